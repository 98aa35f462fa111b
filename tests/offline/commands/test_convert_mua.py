"""`b2g-offline convert --mua`: from the amplifier's voltage to a session of MUA that is fitted and evaluated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.mua.filter_design import MuaSpec
from b2g_rt.simulation.raw_voltage import VoltageSpec
from offline.commands.recording_options import read_channel_map
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.mua_chain import MuaRecording
from offline.recordings.simulated_files import write_simulation
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from tests import decoded_world as world
from tests.offline.recordings.formats.written_files import WRITERS
from tests.offline.recordings.voltage_session import write_voltage

ARRAY = ChannelMap(64, (ArraySlot(0, "V1", 0, dead_electrodes=(9,)),))
SPACING = 7500
WHOLE = ChannelMap(64, (ArraySlot(0, "V1", 0),))

TERMINAL_WIDTH = 200


@pytest.fixture(scope="module")
def rig(tmp_path_factory, no_stage):
    """Voltage of a simulated macaque as Blackrock's files, its truth and its channel map beside it."""
    folder = tmp_path_factory.mktemp("rig")
    plan = SessionPlan(n_train=3, n_test=1, n_repeats=2, voltage=VoltageSpec(), channels=ARRAY)
    write_simulation(simulated_set(plan), folder / "monday.ns6", "blackrock", no_stage)
    return folder


@pytest.mark.parametrize(
    ("phase", "told", "ahead"),
    [
        ("zero", "looks ahead, so no live decoder gets these samples; no lag", True),
        ("causal", "no sample knows what comes after it; 1.52 ms behind the voltage", False),
    ],
)
def test_blackrocks_voltage_becomes_the_chains_mua(run, rig, tmp_path, phase, told, ahead):
    out, map_ = tmp_path / "monday.h5", rig / "monday-channels.yaml"
    code, text, err = run("convert", rig / "monday.ns6", out, "--mua", phase, "--channels", map_)
    assert code == 0, err
    assert told in text
    options = ReaderOptions(channels=read_channel_map(map_))
    with open_recording(rig / "monday.ns6", options) as voltage, open_recording(out) as mua:
        blocks = list(MuaRecording(voltage, MuaSpec(), phase).blocks())
        expected = np.concatenate([b.values for b in blocks])
        np.testing.assert_array_equal(mua.read(0, mua.n_samples), expected)
        assert mua.channels.same_electrodes(ARRAY)
        # Dead columns are made too; the causal chain settles first.
        assert np.isfinite(mua.columns(20, mua.n_samples)[:, 9]).all()
        with np.load(rig / "monday-truth.npz") as truth:
            onsets = np.floor(truth["trial_onset_idx"] / 30 + 0.5)
            np.testing.assert_array_equal(mua.trials().onset_idx, onsets)
            assert list(mua.trials().stimulus) == truth["trial_stimulus"].tolist()
        assert mua.provenance()["mua_looks_ahead"] is ahead
        assert mua.provenance()["converted_from"]["format"] == "blackrock"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["monday.h5"]
    code, text, _ = run("inspect", out)
    assert f"mua: {phase}: filtered forward" in " ".join(text.split())


def test_voltage_stays_voltage_unless_it_is_said(run, rig, tmp_path):
    out = tmp_path / "raw.h5"
    code, text, _ = run(
        "convert", rig / "monday.ns6", out, "--channels", rig / "monday-channels.yaml"
    )
    assert code == 0
    assert "voltage, written as it is" in text
    assert "add --mua causal (as live) or --mua zero (as the paper, looks ahead)" in text
    with open_recording(out) as reader:
        assert reader.info.rate_hz == 30_000.0


def test_mistakes_are_one_line_and_write_nothing(run, tmp_path):
    mua, responses = WRITERS["session"](tmp_path).path, WRITERS["brain2gan"](tmp_path).path
    out = tmp_path / "x.h5"
    for arguments, told in (
        ((mua, out, "--gaps", "segment"), "1000 Hz, --mua expects voltage at 30000 Hz"),
        ((responses, out), "no time axis, --mua expects voltage at 30000 Hz"),
    ):
        code, _, err = run("convert", *arguments, "--mua", "causal")
        assert code == 2
        assert told in " ".join(err.split())
        assert len(err.strip().splitlines()) == 1
        assert not out.exists()


def spiking(path, stimuli, seed):
    """Write voltage whose noise is stronger, electrode by electrode, after each onset, as the latent says."""
    n = SPACING * (len(stimuli) + 1)
    log_gain = np.zeros((n, 64), np.float32)
    onsets = SPACING // 2 + SPACING * np.arange(len(stimuli))
    for onset, w in zip(onsets, stimuli.values(), strict=True):
        log_gain[onset + 1200 : onset + 6000] = 0.2 * (w - 1) @ world.ENCODING[:, :64]
    noise = np.random.default_rng(seed).standard_normal((n, 64), dtype=np.float32)
    rows = 10 * noise * np.exp(log_gain)
    index = np.arange(n, dtype=np.int64)
    return write_voltage(path, rows, index, list(stimuli), onsets, latents=stimuli, channels=WHOLE)


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_what_is_written_is_fitted_and_evaluated(run, tmp_path, phase):
    generator, bundle = tmp_path / "generator.onnx", tmp_path / "bundle"
    generator.write_bytes(world.GENERATOR)
    days = {"monday": world.draw("old", 60, 1), "tuesday": world.draw("new", 20, 2)}
    for seed, (name, stimuli) in enumerate(days.items()):
        raw = spiking(tmp_path / f"{name}-raw.h5", stimuli, seed)
        code, _, err = run("convert", raw, tmp_path / f"{name}.h5", "--mua", phase)
        assert code == 0, err
    code, text, err = run(
        *("fit", tmp_path / "monday.h5", "--generator", generator, "--out", bundle),
        *("--kind", "fixed", "--decoder", "ridge", "--latent-groups", "all"),
    )
    assert code == 0, err
    assert ("mua: monday.h5 was filtered both ways, which looks ahead" in text) == (phase == "zero")
    told = ModelBundle(bundle).manifest.training["mua"]
    assert [note.split(":")[0] for note in told] == [phase]
    # Live, voltage goes through the causal chain: from the voltage itself nearly the same is decoded.
    for session in ("tuesday.h5", "tuesday-raw.h5"):
        scores = tmp_path / f"{session}.json"
        code, _, err = run("evaluate", bundle, tmp_path / session, "--json", scores)
        assert code == 0, err
        (found,) = json.loads(scores.read_text())["scores"]["windows"]
        assert found["n_trials"] == 20
        assert found["cosine"]["mean"] > found["mean_latent_cosine"] + 0.25
