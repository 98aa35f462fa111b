"""`b2g-offline inspect --electrodes`: what it says, the channel map it writes, and everything that takes that map."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from b2g_rt.config import Config
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import ChannelMapError
from b2g_rt.service.models import stream_channels
from b2g_rt.simulation.days import DaySpec
from b2g_rt.simulation.disturbances import DisturbanceSpec
from offline.commands.recording_options import read_channel_map
from offline.recordings.electrode_quality import electrode_quality
from offline.recordings.formats.opening import open_recording
from offline.recordings.simulated_files import write_simulation
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from tests.offline.recordings.formats.written_files import WRITERS

SMALL = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))

TERMINAL_WIDTH = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory, no_stage, tiny_generator):
    """A simulated day with a dead array, dead and bursting electrodes, its truth beside it, and a generator."""
    folder = tmp_path_factory.mktemp("rig")
    plan = SessionPlan(
        n_train=60,
        n_test=12,
        n_repeats=4,
        day=DaySpec(gain_sd=0.0, offset_sd=0.0, dead_arrays=(1,), dead_share=0.03),
        disturbances=DisturbanceSpec(bursting_share=0.05, bursts_per_min=20),
        channels=SMALL,
    )
    write_simulation(simulated_set(plan), folder / "monday.h5", "session", no_stage)
    other = SessionPlan(n_train=20, seed=2, channels=SMALL)
    write_simulation(simulated_set(other), folder / "tuesday.h5", "session", no_stage)
    (folder / "generator.onnx").write_bytes(tiny_generator)
    return folder


@pytest.fixture(scope="module")
def bad(folder):
    """Which columns are found dead, and which bursting; those that are, but for the loudest of the dead ones."""
    with open_recording(folder / "monday.h5") as reader:
        found = electrode_quality(reader)
    with np.load(folder / "monday-truth.npz") as truth:
        dead = truth["day_dead"][0]
        bursting = np.zeros(192, np.bool_)
        bursting[truth["event_first"][truth["event_kind"] == "burst"]] = True
    assert not (found.dead & ~dead).any()
    assert found.dead[dead].mean() > 0.97
    np.testing.assert_array_equal(found.bursting, bursting & ~found.dead)
    return found.dead, found.bursting


def test_dead_and_bursting_electrodes_are_named_and_left_out_of_the_map(run, folder, bad, tmp_path):
    dead, bursting = bad
    good = tmp_path / "good.yaml"
    code, text, err = run("inspect", folder / "monday.h5", "--electrodes", "--write-channels", good)
    assert code == 0, err
    assert f"dead: {dead.sum()} of 192" in " ".join(text.split())
    assert f"bursting: {bursting.sum()} of 192" in " ".join(text.split())
    own = [", ".join(str(k) for k in np.flatnonzero(mask[:64])) for mask in (dead, bursting)]
    assert re.findall(r"V1 array 0: (.*)", text) == own
    assert "between halves of the repetitions of 12 stimuli, shown 4 times each" in text
    assert "good electrodes above 0.3 (V1 " in text
    assert "for single trials" in text
    assert "has seen test responses" not in text
    n = 192 - int((dead | bursting).sum())
    assert f"written: {good} ({n} of 192 electrodes: neither dead nor bursting)" in text
    channels = read_channel_map(good)
    np.testing.assert_array_equal(channels.stream_idx, np.flatnonzero(~(dead | bursting)))
    assert (channels.array == 1).sum() <= 1


def test_json_says_the_same_of_every_electrode(run, folder, bad):
    code, text, err = run(
        "inspect", folder / "monday.h5", "--electrodes", "--json", "--reliability", 0.5
    )
    assert code == 0, err
    assert "NaN" not in text
    found = json.loads(text)["electrodes"]
    assert found["column"] == list(range(192))
    assert found["dead"] == bad[0].tolist()
    assert found["bursting"] == bad[1].tolist()
    good = ~(bad[0] | bad[1])
    reliability = np.array(found["reliability"], np.float64)[good]
    assert found["share_reliable"] == pytest.approx((reliability > 0.5).mean())
    assert found["mean_reliability"] == pytest.approx(reliability.mean(), abs=1e-5)
    assert found["reliability_threshold"] == 0.5
    assert (found["n_stimuli"], found["n_repetitions"]) == (12, [4, 4])
    assert found["of_test_stimuli"] is True


def test_the_map_is_taken_by_fit_evaluate_the_service_and_sessions(run, folder, tmp_path):
    """What the map keeps goes from a fit to the live configuration, and into a session that is read again."""
    good, bundle = tmp_path / "good.yaml", tmp_path / "bundle"
    options = ("--electrodes", "--reliability", 0.2, "--write-channels", good)
    code, text, err = run("inspect", folder / "monday.h5", *options)
    assert code == 0, err
    assert "has seen test responses" in text
    kept = read_channel_map(good)
    assert 20 < kept.n_channels < 125
    code, _, err = run(
        *("fit", folder / "monday.h5", "--channels", good, "--out", bundle, "--decoder", "ridge"),
        *("--latent-groups", "all", "--kind", "fixed", "--generator", folder / "generator.onnx"),
    )
    assert code == 0, err
    fitted = ModelBundle(bundle)
    assert fitted.channels.same_electrodes(kept)
    assert fitted.channels.n_stream_channels == 192

    live = Config(bundle=str(bundle), channels=good)
    assert stream_channels(live, fitted).n_channels == kept.n_channels
    assert stream_channels(Config(bundle=str(bundle)), fitted).same_electrodes(kept)
    whole = tmp_path / "whole.yaml"
    whole.write_text(json.dumps(SMALL.to_dict()))
    with pytest.raises(ChannelMapError, match=f"keeps 192 electrodes, .* on {kept.n_channels}"):
        stream_channels(Config(bundle=str(bundle), channels=whole), fitted)

    small = tmp_path / "small.h5"
    code, _, err = run("convert", folder / "tuesday.h5", small, "--channels", good)
    assert code == 0, err
    with open_recording(small) as reader, open_recording(folder / "tuesday.h5") as source:
        assert reader.channels.same_electrodes(kept)
        picked = source.columns(100, 200)[:, kept.stream_idx]
        np.testing.assert_array_equal(reader.read(100, 200), picked)
    for session, map_ in ((folder / "tuesday.h5", good), (small, None)):
        arguments = () if map_ is None else ("--channels", map_)
        code, text, err = run("evaluate", bundle, session, *arguments)
        assert code == 0, err
        assert "cosine" in text


def test_no_other_animal_is_simulated_on_the_electrodes_that_are_left(run, folder, tmp_path):
    good, bundle = tmp_path / "good.yaml", tmp_path / "bundle"
    run("inspect", folder / "monday.h5", "--electrodes", "--write-channels", good)
    whole = tmp_path / "whole.yaml"
    whole.write_text(json.dumps(SMALL.to_dict()))
    for channels, demonstrable in ((good, False), (whole, True)):
        code, _, err = run(
            *("fit", folder / "monday.h5", "--channels", channels, "--out", bundle / channels.stem),
            *("--decoder", "ridge", "--latent-groups", "all", "--kind", "fixed"),
            *("--generator", folder / "generator.onnx"),
        )
        assert code == 0, err
        told = ModelBundle(bundle / channels.stem).manifest.training
        assert ("macaque" in told) == demonstrable


def test_mistakes_are_one_line(run, folder, tmp_path):
    monday, taken = folder / "monday.h5", tmp_path / "taken.yaml"
    taken.write_text("mine")
    good = tmp_path / "good.yaml"
    unrepeated = WRITERS["session"](tmp_path).path
    for arguments, told in (
        ((monday, "--write-channels", good), "--write-channels: values are not read, expected"),
        ((monday, "--reliability", 0.3), "--reliability: values are not read, expected --elec"),
        ((monday, "--electrodes", "--write-channels", taken), "is there already"),
        ((monday, "--electrodes", "--write-channels", tmp_path / "no" / "x.yaml"), "no directory"),
        (
            (monday, "--electrodes", "--reliability", 1, "--write-channels", good),
            "none of 192 electrodes is neither dead nor bursting, reliability above 1, expected some",
        ),
        (
            (unrepeated, "--electrodes", "--reliability", 0.3, "--write-channels", good),
            "reliability above 0.3: 1 stimuli were shown more than once",
        ),
    ):
        code, _, err = run("inspect", *arguments)
        assert code == 2
        assert told in " ".join(err.split())
        assert len(err.strip().splitlines()) == 1
        assert not good.exists()
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("name", WRITERS)
def test_electrodes_of_every_format_are_judged(run, tmp_path, name):
    written = WRITERS[name](tmp_path)
    channels = tmp_path / "channels.yaml"
    channels.write_text(json.dumps(written.channels.to_dict()))
    good = tmp_path / "good.yaml"
    more = ("--electrodes", "--write-channels", good, "--channels", channels)
    code, text, err = run("inspect", written.path, *more)
    assert code == 0, err
    n = written.channels.n_channels
    assert f"dead: 0 of {n}" in " ".join(text.split())
    assert "reliability: not known: " in " ".join(text.split())
    assert read_channel_map(good).same_electrodes(written.channels)


def test_a_recording_without_trials_is_judged_too(run, folder, tmp_path):
    out = tmp_path / "quiet.h5"
    out.write_bytes((folder / "tuesday.h5").read_bytes())
    code, text, err = run("inspect", out, "--electrodes", "--marker-pattern", "x(?P<stimulus>y)")
    assert code == 0, err
    assert "dead: 0 of 192" in " ".join(text.split())
    assert "0 stimuli were shown more than once" in text
