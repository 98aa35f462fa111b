"""Fitting on a macaque of three arrays: everything of the default bundle, in seconds."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import SessionError
from offline.evaluation.bundle_scores import (
    score_decoded,
    score_session,
    simulated_session,
)
from offline.export.decoder_onnx import OnnxDecoder
from offline.export.default_bundle import make_default_bundle
from offline.export.fit_plan import FitPlan
from offline.export.new_generator import with_generator
from offline.export.session_bundle import make_session_bundle
from offline.recordings.formats.opening import open_recording
from offline.recordings.known_latents import known_latents

# The first test that asks for the small bundles makes them.
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("kind", ["per_window", "fixed"])
def test_a_bundle_gives_its_reference_outputs(small_bundles, kind):
    bundle = ModelBundle(small_bundles[kind])
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    worst = bundle.check_decoder(lambda f, k, s: (decoder.predict(f[None], k)[0], s), "cpu")
    assert worst < 1e-5
    assert bundle.n_windows == (9 if kind == "per_window" else 1)
    assert set(bundle.reference().window_idx) == set(range(bundle.n_windows))


def test_nothing_of_the_demo_was_trained_on(small_bundles, small_plan):
    bundle = ModelBundle(small_bundles["per_window"])
    assert bundle.stimuli.ids[0] == "face-0001"
    assert len(bundle.stimuli.ids) == small_plan.n_demo
    plan = bundle.manifest.training["plan"]
    seeds = [plan[k] for k in ("stimulus_seed", "held_out_seed", "demo_seed")]
    noise = [plan[k] for k in ("noise_seed", "held_out_noise_seed", "demo_noise_seed")]
    assert len(set(seeds)) == 3
    assert len(set(noise)) == 3


def test_an_interrupted_fit_goes_on_and_gives_the_same_bundle(
    small_macaque, small_bundles, tmp_path, small_plan, tiny_generator, no_stage
):
    class Stopped(Exception):
        pass

    def stage(what, total):
        left = [0.85 * total]

        def tick(n):
            left[0] -= n
            if what == "training: features" and left[0] < 0:
                raise Stopped

        return tick

    def make(this_stage):
        return make_default_bundle(
            small_macaque,
            "per_window",
            tiny_generator,
            tmp_path / "again",
            plan=small_plan,
            work=tmp_path / "work",
            command="pytest",
            stage=this_stage,
        )

    with pytest.raises(Stopped):
        make(stage)
    kept = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "work").iterdir()}
    assert any(name.startswith("features-") for name in kept)
    outcome = make(no_stage)
    after = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "work").iterdir()}
    assert kept.items() <= after.items()
    assert outcome.hash == ModelBundle(small_bundles["per_window"]).hash


def test_a_recorded_session_decodes_above_the_mean_latent(small_bundles, small_session, no_stage):
    bundle = ModelBundle(small_bundles["per_window"])
    with open_recording(small_session) as session:
        groups = score_session(bundle, session, known_latents([session], None), no_stage)
    assert groups.named
    assert groups.seen is None
    scores = groups.unseen
    assert scores.pool == 60
    assert scores.last.n_trials == 120
    assert scores.last.centred_cosine.low > 0
    assert scores.last.two_way.low > 0.5
    assert scores.windows[0].cosine.mean == pytest.approx(
        scores.windows[0].mean_latent_cosine, abs=0.01
    )
    assert len(scores.parameters) > 40


def test_new_simulated_stimuli_score_like_the_held_out_ones(small_bundles, no_stage):
    bundle = ModelBundle(small_bundles["per_window"])
    session = simulated_session(bundle, 40, 9000, no_stage)
    scores = score_decoded(bundle, session, no_stage).unseen
    held_out = bundle.manifest.metrics["held_out"]["windows"][-1]
    assert scores.last.centred_cosine.mean == pytest.approx(
        held_out["centred_cosine"]["mean"], abs=0.05
    )


@pytest.mark.parametrize("kind", ["per_window", "fixed"])
def test_a_bundle_is_fitted_from_a_recorded_session(
    small_session, tmp_path, kind, tiny_generator, no_stage
):
    with open_recording(small_session) as session:
        outcome = make_session_bundle(
            [session],
            known_latents([session], None),
            FitPlan(kind=kind),
            tiny_generator,
            tmp_path / "monday",
            command="pytest",
            stage=no_stage,
        )
    bundle = ModelBundle(tmp_path / "monday")
    assert bundle.hash == outcome.hash
    assert bundle.manifest.name == "monday"
    assert len(bundle.stimuli.ids) == 60
    training = bundle.manifest.training
    assert (training["n_trials"], training["n_trials_held_out"], training["n_stimuli"]) == (
        108,
        12,
        54,
    )


def test_statistics_of_a_session_bundle_are_those_of_the_file(
    small_session, tmp_path, tiny_generator, no_stage
):
    with open_recording(small_session) as session:
        make_session_bundle(
            [session],
            known_latents([session], None),
            FitPlan(kind="fixed"),
            tiny_generator,
            tmp_path / "b",
            command="pytest",
            stage=no_stage,
            with_stimuli=False,
        )
        whole = session.read(0, session.n_samples).astype(np.float64)
    bundle = ModelBundle(tmp_path / "b")
    np.testing.assert_allclose(bundle.channel_mean, whole.mean(0), rtol=1e-10)
    np.testing.assert_allclose(bundle.channel_sd, whole.std(0), rtol=1e-9)
    assert bundle.stimuli.ids == ()


def test_too_few_usable_trials_are_refused(small_session, tmp_path, no_stage):
    with open_recording(small_session) as session:
        known = dict(list(known_latents([session], None).items())[:20])
        with pytest.raises(
            SessionError, match="40 of 120 trials can be used; no latent for 40 stimuli"
        ):
            make_session_bundle(
                [session],
                known,
                FitPlan(kind="fixed"),
                b"",
                tmp_path / "b",
                command="",
                stage=no_stage,
            )
        with pytest.raises(SessionError, match="none of its 60 stimuli"):
            make_session_bundle(
                [session],
                {"x": np.zeros(512, np.float32)},
                FitPlan(kind="fixed"),
                b"",
                tmp_path / "b",
                command="",
                stage=no_stage,
            )


def test_a_bundle_with_another_generator_keeps_its_decoder(small_bundles, tmp_path, tiny_generator):
    source = ModelBundle(small_bundles["fixed"])
    with_generator(source, tiny_generator, tmp_path / "other")
    copy = ModelBundle(tmp_path / "other")
    assert copy.manifest.files["decoder.onnx"] == source.manifest.files["decoder.onnx"]
    assert copy.manifest.name == "other"
