"""Bundles from recordings of every format and of several days, with every choice that a user has."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest

from b2g_rt.config import load_config
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.session import GrowingColumn, TextColumn
from b2g_rt.errors import BundleError, ConfigError, SessionError
from b2g_rt.service.models import load_models
from offline.evaluation.bundle_scores import score_session
from offline.evaluation.training_record import session_digest
from offline.export.decoder_onnx import OnnxDecoder
from offline.export.default_bundle import windows_of
from offline.export.fit_plan import FitPlan
from offline.export.session_bundle import make_session_bundle
from offline.export.training_trials import training_trials
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.formats.xdf_writer import write_xdf
from offline.recordings.known_latents import known_latents
from tests import decoded_world as world
from tests.tiny_bundle import CHANNELS

OLS = FitPlan(method="ols")
MAPPED = ReaderOptions(channels=CHANNELS)
OLD = world.draw("old", 60, 1)


def no_stage(what, total):
    return lambda done: None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def monday(folder) -> Path:
    return world.write(folder / "monday.h5", OLD, [s for s in OLD for _ in range(2)], 3)


@pytest.fixture(scope="module")
def tuesday(folder) -> Path:
    """The same stimuli in another order, electrodes with another gain and offset."""
    shown = list(reversed(OLD))
    path = world.write(folder / "tuesday.h5", OLD, shown, 5)
    with h5py.File(path, "r+") as file:
        file["mua/data"][:] = 3 * file["mua/data"][:] + 50
    return path


def fitted(paths, plan, out, options=MAPPED, known=None, **others) -> ModelBundle:
    with ExitStack() as opened:
        recordings = [opened.enter_context(open_recording(p, options)) for p in paths]
        make_session_bundle(
            recordings,
            known or known_latents(recordings, None),
            plan,
            world.GENERATOR,
            out,
            command="pytest",
            stage=no_stage,
            **others,
        )
    return ModelBundle(out)


@pytest.mark.parametrize(
    ("name", "write"), [("a.nwb", write_nwb), ("a.xdf", write_xdf), ("a.h5", write_session_hdf5)]
)
def test_every_format_gives_the_decoder_that_the_session_itself_gives(
    monday, tmp_path, name, write
):
    with open_recording(monday) as recording:
        write(recording, tmp_path / name)
        known = known_latents([recording], None)
    wanted = fitted([monday], OLS, tmp_path / "wanted")
    found = fitted([tmp_path / name], OLS, tmp_path / "found", known=known)
    assert found.manifest.training["session"] == name
    assert found.manifest.training["n_trials"] == wanted.manifest.training["n_trials"] == 108
    np.testing.assert_allclose(found.channel_mean, wanted.channel_mean, rtol=1e-6)
    a, b = (OnnxDecoder(x.file("decoder.onnx").read_bytes()) for x in (found, wanted))
    features = wanted.reference().features
    for k in range(9):
        np.testing.assert_allclose(
            a.predict(features, k), b.predict(features, k), atol=5e-3 * float(features.std())
        )


def test_a_recording_of_the_fit_is_refused_whatever_its_format(monday, tmp_path):
    bundle = fitted([monday], OLS, tmp_path / "b")
    with open_recording(monday) as recording:
        known = known_latents([recording], None)
        write_nwb(recording, tmp_path / "copy.nwb")
    for path in (monday, tmp_path / "copy.nwb"):
        with open_recording(path) as recording:
            with pytest.raises(SessionError, match="was fitted on this very session"):
                score_session(bundle, recording, known, no_stage)


def test_two_recordings_are_two_days_each_in_its_own_z_units(monday, tuesday, tmp_path):
    plan = FitPlan(method="ols", split="day")
    with pytest.raises(SessionError, match="shows every stimulus of the other days"):
        fitted([monday, tuesday], plan, tmp_path / "b")
    with open_recording(monday) as first, open_recording(tuesday) as second:
        trials = training_trials([first, second], windows_of("per_window"), no_stage)
    assert trials.n_days == 2
    assert np.bincount(trials.day).tolist() == [120, 60]
    spread = [trials.features[trials.day == d].std() for d in (0, 1)]
    assert spread[0] == pytest.approx(spread[1], rel=0.02)
    assert trials.chain.normalisation.kind == "running"
    np.testing.assert_allclose(trials.chain.channel_mean, 80, atol=6)


def test_choices_are_made_by_day_where_days_show_other_stimuli(monday, folder, tmp_path):
    other = world.draw("other", 60, 8)
    path = world.write(folder / "other.h5", other, list(other), 9)
    bundle = fitted([monday, path], FitPlan(method="ridge", split="day"), tmp_path / "b")
    training = bundle.manifest.training
    assert training["session"] == ["monday.h5", "other.h5"]
    assert (training["split"], training["n_days"], training["method"]) == ("day", 2, "ridge")
    assert len(training["session_sha256"]) == 2
    with open_recording(path) as recording:
        assert session_digest(recording) == training["session_sha256"][1]
        with pytest.raises(SessionError, match="was fitted on this very session"):
            score_session(bundle, recording, other, no_stage)


def with_table(path: Path, split: list[str], day: list[int]) -> Path:
    """Give a session a table of its trials, as one that was converted has."""
    n = len(split)
    onsets = world.onsets(n)
    with h5py.File(path, "r+") as file:
        times = file["markers/time_s"][:]
        stops = file["markers/text_stop"][:]
        text = file["markers/text_bytes"][:].tobytes()
        group = file.create_group("trials")
        TextColumn(group, "stimulus").append(
            [text[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]
        )
        TextColumn(group, "split").append([s.encode() for s in split])
        GrowingColumn(group, "onset_idx", "i8").append(onsets)
        GrowingColumn(group, "onset_s", "f8").append(times)
        GrowingColumn(group, "day", "i8").append(np.array(day))
    return path


def test_trials_that_the_recording_calls_test_are_never_trained_on(tmp_path):
    order = list(OLD) + list(OLD)[:5] * 2
    split = ["train"] * 60 + ["test"] * 10
    path = with_table(world.write(tmp_path / "s.h5", OLD, order, 6), split, [1] * 70)
    training = fitted([path], OLS, tmp_path / "b").manifest.training
    assert training["held_out_by"] == "the recording"
    assert training["test_stimuli"] == list(OLD)[:5]
    assert training["stimuli"] == list(OLD)[5:]
    # The first five were shown as training stimuli too, and are held out there as well.
    assert (training["n_trials"], training["n_trials_held_out"]) == (55, 15)


def test_days_within_one_recording_are_normalised_one_by_one(tmp_path):
    path = world.write(tmp_path / "s.h5", OLD, list(OLD), 6)
    halfway = (world.onsets(60)[29] + world.onsets(60)[30]) // 2
    with h5py.File(path, "r+") as file:
        file["mua/data"][halfway:] = 4 * file["mua/data"][halfway:] + 30
    with_table(path, [""] * 60, [1] * 30 + [2] * 30)
    with open_recording(path) as recording:
        trials = training_trials([recording], windows_of("per_window"), no_stage)
    assert np.bincount(trials.day).tolist() == [30, 30]
    assert len(trials.streams) == 2
    spread = [trials.features[trials.day == d].std() for d in (0, 1)]
    assert spread[0] == pytest.approx(spread[1], rel=0.03)
    np.testing.assert_allclose(trials.chain.channel_mean, 70, atol=8)


def test_a_decoder_of_two_rois_does_not_look_at_the_third(monday, tmp_path):
    plan = FitPlan(method="ols", rois=("V1", "V4"))
    bundle = fitted([monday], plan, tmp_path / "b")
    assert bundle.manifest.training["rois"] == ["V1", "V4"]
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    features = bundle.reference().features
    changed = features.copy()
    changed[:, CHANNELS.channels_of("IT")] += 5
    np.testing.assert_array_equal(decoder.predict(changed, 8), decoder.predict(features, 8))
    changed[:, CHANNELS.channels_of("V1")] += 5
    assert not np.array_equal(decoder.predict(changed, 8), decoder.predict(features, 8))


@pytest.mark.parametrize("method", ["ols", "ridge"])
def test_the_manifest_tells_decoder_and_choices(monday, tmp_path, method):
    bundle = fitted([monday], FitPlan(method=method, smoothing="kalman"), tmp_path / "b")
    training = bundle.manifest.training
    assert training["method"] == method
    assert training["split"] == "stimulus"
    assert training["rois"] == "all"
    assert training["smoothing"]["kind"] == "kalman"
    assert bundle.manifest.decoder_state == 2 * bundle.manifest.n_latents
    assert len(training["windows"]) == 9
    assert all("explained" in window for window in training["windows"])
    assert ("latent_groups" in training) == (method == "ridge")


def test_latent_groups_are_of_ridge_alone():
    with pytest.raises(ConfigError, match="--latent-groups all: decoder ols, expected ridge"):
        FitPlan(method="ols", latent_groups="all")


def test_an_interrupted_fit_finds_its_features_again_and_others_do_not(monday, tuesday, tmp_path):
    work = tmp_path / "work"
    fitted([monday], OLS, tmp_path / "b", work=work)
    kept = {f.name for f in work.iterdir()}
    assert len(kept) == 2
    bundle = fitted([monday], FitPlan(method="ridge"), tmp_path / "c", work=work)
    assert {f.name for f in work.iterdir()} == kept
    fitted([tuesday], OLS, tmp_path / "d", work=work)
    assert len(list(work.iterdir())) == 4
    assert bundle.channel_mean.mean() < 20


def test_live_stimuli_of_another_length_are_refused(monday, tmp_path):
    with pytest.raises(SessionError, match="latents of 3 dimensions, the decoder gives 16"):
        fitted([monday], OLS, tmp_path / "b", live_stimuli={"x": np.zeros(3, np.float32)})


def test_recordings_that_disagree_on_a_latent_are_refused(monday, folder):
    other = world.draw("old", 60, 2)
    path = world.write(folder / "liar.h5", other, list(other)[:2], 9)
    with open_recording(monday) as first, open_recording(path) as second:
        with pytest.raises(SessionError, match="'old-000' has another latent"):
            known_latents([first, second], None)


def responses(path: Path, n_train: int, n_test: int, seed: int) -> tuple[Path, dict]:
    """Write a matrix of responses as Brain2GAN's, and return its stimuli's latents."""
    rng = np.random.default_rng(seed)
    w = {
        **{f"training/{i + 1:04d}": None for i in range(n_train)},
        **{f"test/{i + 1:04d}": None for i in range(n_test)},
    }
    latents = 1 + rng.standard_normal((len(w), world.ENCODING.shape[0]))
    rows = (latents - 1) @ world.ENCODING + 2 * rng.standard_normal((len(w), 192))
    path.write_bytes(b"\0" * 512)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["train_MUA"], file["test_MUA"] = rows[:n_train], rows[n_train:]
    return path, dict(zip(w, latents.astype(np.float32), strict=True))


def test_responses_without_a_time_axis_are_fitted_and_scored_but_not_served(tmp_path):
    path, known = responses(tmp_path / "GAN_faces.mat", 100, 20, 3)
    plan = FitPlan("fixed", "ridge")
    bundle = fitted([path], plan, tmp_path / "b", known=known)
    assert not bundle.manifest.live
    assert bundle.manifest.unit == "z"
    training = bundle.manifest.training
    assert (training["n_trials"], training["n_trials_held_out"]) == (100, 20)
    held_out = bundle.manifest.metrics["held_out"]["windows"]
    assert held_out[0]["centred_cosine"]["mean"] > 0.5
    with pytest.raises(BundleError, match="fitted on responses in z units"):
        load_models(load_config(None, [f"bundle={bundle.path}"]))
    other, also = responses(tmp_path / "other.mat", 10, 30, 4)
    renamed = {k: v for k, v in also.items() if k.startswith("test")}
    with open_recording(other, MAPPED) as recording:
        scores = score_session(bundle, recording, renamed, no_stage)
    assert scores.unseen is not None
    assert scores.unseen.last.n_trials == 30
    assert scores.unseen.last.centred_cosine.mean > 0.5


def test_z_units_of_responses_and_of_samples_are_not_mixed(tmp_path, monday):
    path, known = responses(tmp_path / "GAN_faces.mat", 60, 5, 3)
    of_responses = fitted([path], FitPlan("fixed", "ols"), tmp_path / "a", known=known)
    of_samples = fitted([monday], FitPlan("fixed", "ols"), tmp_path / "b")
    with open_recording(monday) as recording:
        with pytest.raises(SessionError, match="was fitted on responses without a time axis"):
            score_session(of_responses, recording, OLD, no_stage)
    with open_recording(path, MAPPED) as recording:
        with pytest.raises(SessionError, match="was fitted on a recording with one"):
            score_session(of_samples, recording, known, no_stage)


def test_responses_have_no_windows_after_the_onset_and_nothing_to_smooth(tmp_path):
    path, known = responses(tmp_path / "GAN_faces.mat", 60, 5, 3)
    with pytest.raises(ConfigError, match="without a time axis.*Add --kind fixed"):
        fitted([path], OLS, tmp_path / "b", known=known)
    plan = FitPlan("fixed", "ols", smoothing="best")
    with pytest.raises(SessionError, match="expected a time axis to smooth over"):
        fitted([path], plan, tmp_path / "b", known=known)
