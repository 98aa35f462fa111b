"""The bundles that ship: made by the code that stands here, and as good as they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.contracts.shipped_bundles import BUNDLES
from b2g_rt.simulation.from_record import recorded_macaque
from offline.cli import MAKE_DEFAULT
from offline.decoding.stepping import decode_trials
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.scores import KnownTrials, score
from offline.export.decoder_onnx import OnnxDecoder
from offline.export.default_bundle import NAMES, TrainingPlan, demo_stimuli, windows_of
from offline.export.distilled_bundle import NAME as DISTILLED_BUNDLE
from offline.export.generator_onnx import OnnxGenerator
from offline.export.source_hashes import distilled_sources, source_hashes
from offline.recordings.simulated_sessions import simulated_recording
from offline.stimuli.distilled.face_latents import shipped_face_latents
from offline.stimuli.generators import DISTILLED, open_generator
from offline.stimuli.stylegan.generator import to_uint8

KINDS = tuple(NAMES)


def shipped(kind) -> ModelBundle:
    return ModelBundle(BUNDLES / NAMES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_was_made_by_this_simulator_mua_chain_and_renderer(kind):
    made_with, now = shipped(kind).manifest.sources, source_hashes()
    changed = sorted(f for f in made_with.keys() | now.keys() if made_with.get(f) != now.get(f))
    assert not changed, (
        f"{NAMES[kind]} was made before these changed: {', '.join(changed)}. Make the bundles again, in the same "
        f"commit: .venv/bin/{MAKE_DEFAULT}"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_is_small_and_says_how_it_was_made(kind):
    bundle = shipped(kind)
    size = sum(f.stat().st_size for f in bundle.path.iterdir())
    assert size < (5e6 if kind == "per_window" else 2e6)
    manifest, plan = bundle.manifest, TrainingPlan()
    assert manifest.simulated
    assert bundle.windows == windows_of(kind)
    assert bundle.channels.same_electrodes(brain2gan_channels())
    training = manifest.training
    assert training["command"] == MAKE_DEFAULT
    assert training["n_trials"] == 4000
    assert training["plan"]["noise_seed"] == plan.noise_seed
    assert training["macaque"]["noise"]["global_share"] == 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_and_generator_give_their_reference_outputs(kind):
    bundle = shipped(kind)
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    assert bundle.check_decoder(lambda f, k, s: (decoder.predict(f[None], k)[0], s), "cpu") < 1e-4
    generator = OnnxGenerator(bundle.file("generator.onnx").read_bytes(), bundle.manifest.n_latents)
    assert bundle.check_generator(lambda w: generator.render(w[None])[0], "cpu") < 1.0


def test_the_distilled_bundle_is_the_default_one_with_the_networks_pictures():
    default, distilled = shipped("per_window"), ModelBundle(BUNDLES / DISTILLED_BUNDLE)
    same = ("decoder.onnx", "statistics.npz", "stimuli.npz")
    assert [distilled.manifest.files[f] for f in same] == [default.manifest.files[f] for f in same]
    assert distilled.manifest.sources == distilled_sources(), f"run .venv/bin/{MAKE_DEFAULT}"
    generator = OnnxGenerator(distilled.file("generator.onnx").read_bytes(), 512)
    assert distilled.check_generator(lambda w: generator.render(w[None])[0], "cpu") < 1.0
    # Not only the file that was shipped: the weights that were shipped.
    w = default.stimuli.latent[:3]
    with torch.no_grad():
        own = torch.from_numpy(shipped_face_latents().of_stimuli(w)).float()
        drawn = to_uint8(open_generator(DISTILLED).synthesis(own[:, None])).numpy()
    assert np.abs(drawn.astype(int) - generator.render(w).astype(int)).max() <= 1


def test_the_demos_stimuli_are_those_of_the_plan():
    bundle = shipped("per_window")
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "shipped bundle")
    ids, w = demo_stimuli(macaque, TrainingPlan())
    assert list(bundle.stimuli.ids) == ids
    np.testing.assert_allclose(bundle.stimuli.latent, w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_single_trials_of_the_demo_score_as_the_manifest_says(kind):
    bundle = shipped(kind)
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "shipped bundle")
    w = bundle.stimuli.latent
    recording, onsets = simulated_recording(macaque, w, TrainingPlan().demo_noise_seed)
    features = FeatureChain.of_bundle(bundle).features(recording, onsets)
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    known = KnownTrials(w, np.arange(len(w)), bundle.latent_mean)
    last = score(decode_trials(decoder, features), known).last
    assert last.cosine.mean >= last.mean_latent_cosine + 0.03
    assert last.centred_cosine.low > 0
    said = bundle.manifest.metrics["demo"]["windows"][-1]
    assert last.cosine.mean == pytest.approx(said["cosine"]["mean"], abs=1e-3)
    assert last.centred_cosine.mean == pytest.approx(said["centred_cosine"]["mean"], abs=1e-3)
    assert last.two_way.mean == pytest.approx(said["two_way"]["mean"], abs=1e-3)
