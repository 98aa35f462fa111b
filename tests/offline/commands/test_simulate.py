"""`b2g-offline simulate`: what it writes in each format, what it says, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from b2g_rt.contracts.session import SessionFile
from offline.commands.recording_options import read_channel_map
from offline.commands.simulate import simulate
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.responses import ResponsesReader
from tests.offline.recordings.formats.written_files import SMALL

SHORT = ("--trials", 6, "--test-stimuli", 2, "--repeats", 2)


@pytest.fixture
def run(runner_of):
    """Run the command; return (exit code, what it printed)."""
    return runner_of(simulate)


@pytest.fixture
def small(tmp_path):
    """Options for a small animal."""
    path = tmp_path / "electrodes.yaml"
    path.write_text(yaml.safe_dump(SMALL.to_dict()))
    return (*SHORT, "--channels", path)


def test_a_day_is_a_session_that_fit_and_replay_read_and_its_truth(run, small, tmp_path):
    out = tmp_path / "new" / "monday.h5"
    code, text = run(out, *small)
    assert code == 0, text
    assert f"written: {out} (" in text
    assert "day 1: 10 trials, 6700 samples" in text
    with SessionFile(out) as session, np.load(tmp_path / "new" / "monday-truth.npz") as truth:
        assert session.info.simulated
        assert session.n_samples == 6700
        stimuli = session.stimuli()
        assert stimuli is not None
        ids, latents = stimuli
        assert truth["id"].tolist() == ids == [*_ids("training", 6), *_ids("test", 2)]
        np.testing.assert_array_equal(truth["latent"], latents)
        assert [m.text for m in session.markers()] == truth["trial_stimulus"].tolist()
    assert sorted(p.name for p in out.parent.iterdir()) == ["monday-truth.npz", "monday.h5"]


@pytest.mark.parametrize("suffix", ["nwb", "xdf", "ns2"])
def test_days_are_files_and_a_map_of_the_electrodes_lies_beside_where_it_is_needed(
    run, small, tmp_path, suffix
):
    out = tmp_path / f"may.{suffix}"
    code, text = run(out, *small, "--days", 2, "--packet-loss", 40, "--dead-array", 2)
    assert code == 0, text
    assert "samples lost" in text
    beside = tmp_path / "may-channels.yaml"
    assert beside.exists() == (suffix != "nwb")
    channels = read_channel_map(beside) if beside.exists() else None
    options = ReaderOptions(channels=channels, gaps=GapPolicy("segment"))
    shown: list[str] = []
    with np.load(tmp_path / "may-truth.npz") as truth:
        told = truth["trial_stimulus"].tolist()
        dead, array = truth["day_dead"], truth["array"]
        assert (dead == (array == 2)).all()
        assert truth["day_gain"].std() > 0.1
    for day in (1, 2):
        with open_recording(tmp_path / f"may-day{day}.{suffix}", options) as reader:
            assert reader.gaps.n_lost > 0
            shown += reader.trials().stimulus
            rows = reader.read(0, 1000)
            quiet = np.median(rows.std(axis=0)[reader.channels.array == 2])
            assert quiet < 0.2 * np.median(rows.std(axis=0)[reader.channels.array == 0])
    assert shown == told


def test_brain2gan_is_a_matrix_and_a_pickle(run, small, tmp_path):
    out = tmp_path / "images_MUA.mat"
    code, text = run(out, *small, "--preset", "images", "--days", 2)
    assert code == 0, text
    options = ReaderOptions(channels=read_channel_map(tmp_path / "images_MUA-channels.yaml"))
    with ResponsesReader(out, options) as reader, np.load(tmp_path / "images_MUA-truth.npz") as t:
        assert (reader.n_train, reader.n_test) == (6, 2)
        stimuli = reader.stimuli()
        assert stimuli is not None
        np.testing.assert_array_equal(stimuli[1], t["latent"])
        assert '"preset": "images"' in str(t["plan"])


@pytest.mark.slow
@pytest.mark.parametrize("monkey", ["N", "F"])
def test_tvsd_is_a_directory_that_names_the_monkey(run, tmp_path, monkey):
    out = tmp_path / "tvsd"
    code, text = run(out, *SHORT, "--monkey", monkey, "--days", 2)
    assert code == 0, text
    folder = out / f"monkey{monkey}"
    with open_recording(folder / "THINGS_MUA_trials.mat") as reader:
        assert reader.trials().n_trials == 10
        assert sorted(set(reader.trials().day.tolist())) == [1, 2]
    with ResponsesReader(folder / "THINGS_normMUA.mat", ReaderOptions()) as responses:
        assert (responses.n_train, responses.n_test) == (6, 2)
    assert (out / "truth.npz").exists()


def test_voltage_goes_to_blackrock_only(run, small, tmp_path):
    out = tmp_path / "raw.ns6"
    code, text = run(out, *small[:-2], "--channels", small[-1], "--raw", "--trials", 1)
    assert code == 0, text
    with open_recording(out, ReaderOptions(channels=SMALL)) as reader:
        assert reader.info.rate_hz == 30_000.0
    code, line = run(tmp_path / "raw.h5", *small, "--raw")
    assert code == 2
    assert "--raw" in line
    assert "expected a Blackrock file" in line


def test_one_day_without_options_is_the_calibrated_one_and_the_same_seed_the_same_file(
    run, small, tmp_path
):
    for name, more in (("a", ()), ("b", ()), ("c", ("--seed", 2)), ("d", ("--gain-sd", 0.3))):
        assert run(tmp_path / f"{name}.h5", *small, *more)[0] == 0
    rows = {}
    for name in "abcd":
        with SessionFile(tmp_path / f"{name}.h5") as session:
            rows[name] = session.mua(0, 1000)
            assert ("days" in session.info.provenance) == (name == "d")
    np.testing.assert_array_equal(rows["a"], rows["b"])
    assert not np.array_equal(rows["a"], rows["c"])
    assert not np.array_equal(rows["a"], rows["d"])


def test_files_that_are_there_are_kept(run, small, tmp_path):
    out = tmp_path / "may.h5"
    second = tmp_path / "may-day2.h5"
    second.write_bytes(b"older")
    code, line = run(out, *small, "--days", 2)
    assert code == 2
    assert f"{second}: is there already" in line
    assert second.read_bytes() == b"older"
    assert not (tmp_path / "may-day1.h5").exists()
    assert run(out, *small, "--days", 2, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("x.dat", (), "ends in '.dat', expected .h5"),
        ("x.h5", ("--format", "xdf"), "ends in '.h5', expected .xdf for xdf"),
        ("x.h5", ("--dead-array", 9), "--dead-array 9: no such array, expected one of 0, 2"),
        ("x.h5", ("--days", 3), "2 repeats of the test stimuli on 3 days"),
        ("x.h5", ("--trials", 0, "--test-stimuli", 0), "0 trials on 1 days"),
    ],
)
def test_what_cannot_be_is_one_line(run, small, tmp_path, name, options, told):
    code, line = run(tmp_path / name, *small, *options)
    assert code == 2
    assert told in line
    assert "\n" not in line
    assert not list(tmp_path.glob("x*"))


def test_the_command_is_among_the_recordings(monkeypatch):
    from offline.cli import app

    result = CliRunner().invoke(app, ["simulate", "--help"], terminal_width=200)
    assert result.exit_code == 0
    for option in ("--preset", "--packet-loss", "--rotation", "--dead-array", "--raw"):
        assert option in result.output


def _ids(part, n):
    return [f"{part}/{k:04d}" for k in range(1, n + 1)]
