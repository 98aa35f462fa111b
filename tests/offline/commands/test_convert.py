"""`b2g-offline convert`: what it writes, what it says, what it refuses."""

from __future__ import annotations

import pytest
import yaml

from b2g_rt.contracts.session import SessionFile
from offline.commands.convert import convert
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from tests.offline.recordings.formats.written_files import SMALL, WRITERS


@pytest.fixture
def run(runner_of):
    """Run the command; return (exit code, what it printed)."""
    return runner_of(convert)


@pytest.fixture
def written(tmp_path):
    return WRITERS["xdf"](tmp_path)


@pytest.fixture
def channels(tmp_path):
    path = tmp_path / "channels.yaml"
    path.write_text(yaml.safe_dump(SMALL.to_dict()))
    return path


def test_a_recording_of_the_rig_becomes_a_session_and_then_nwb(run, written, channels, tmp_path):
    session, nwb = tmp_path / "monday.h5", tmp_path / "monday.nwb"
    code, text = run(written.path, session, "--channels", channels, "--gaps", "segment")
    assert code == 0
    assert "xdf to b2g-session" in text
    assert "gaps: 1 gap, 25 samples lost" in text
    assert f"written: {session} (b2g-session, 1200 samples, 3 trials" in text
    with SessionFile(session) as file:
        assert file.n_samples == 1200
    code, text = run(session, nwb, "--gaps", "segment", "--subject", "M1", "--age", "P9Y")
    assert code == 0
    assert "b2g-session to nwb" in text
    with open_recording(nwb, ReaderOptions(gaps=GapPolicy("segment"))) as reader:
        assert reader.trials().stimulus == written.stimulus


def test_gaps_are_refused_unless_something_is_said(run, written, channels, tmp_path):
    out = tmp_path / "monday.h5"
    code, line = run(written.path, out, "--channels", channels)
    assert code == 2
    assert "25 samples lost" in line
    assert not out.exists()
    options = ("--gaps", "tolerate", "--tolerance-ms", 50)
    assert run(written.path, out, "--channels", channels, *options)[0] == 0
    with open_recording(out) as reader:
        assert reader.gaps.n_segments == 1


def test_what_to_write_is_taken_from_the_ending_or_said(run, written, channels, tmp_path):
    code, line = run(written.path, tmp_path / "x.dat", "--channels", channels)
    assert code == 2
    assert "ends in '.dat', expected .h5, .nwb, .xdf or .ns2" in line
    arguments = ("--channels", channels, "--to", "b2g-session", "--gaps", "segment")
    assert run(written.path, tmp_path / "x.dat", *arguments)[0] == 0


def test_a_file_that_is_there_is_kept(run, written, channels, tmp_path):
    out = tmp_path / "x.h5"
    out.write_bytes(b"older")
    arguments = (written.path, out, "--channels", channels, "--gaps", "segment")
    code, line = run(*arguments)
    assert code == 2
    assert "is there already" in line
    assert out.read_bytes() == b"older"
    assert run(*arguments, "--overwrite")[0] == 0
    assert out.stat().st_size > 1000


def test_a_recording_is_not_written_over_itself(run, tmp_path):
    written = WRITERS["session"](tmp_path)
    before = written.path.read_bytes()
    code, line = run(written.path, written.path, "--overwrite", "--gaps", "segment")
    assert code == 2
    assert "onto itself" in line
    assert written.path.read_bytes() == before


def test_responses_have_no_time_axis_to_write(run, tmp_path):
    written = WRITERS["brain2gan"](tmp_path)
    code, line = run(written.path, tmp_path / "x.h5")
    assert code == 2
    assert "without a time axis" in line


@pytest.mark.parametrize("suffix", ["xdf", "ns2"])
def test_a_session_goes_back_to_what_amplifiers_write(run, channels, tmp_path, suffix):
    written = WRITERS["session"](tmp_path)
    out = tmp_path / f"again.{suffix}"
    code, text = run(written.path, out, "--gaps", "segment")
    assert code == 0
    assert f"b2g-session to {'xdf' if suffix == 'xdf' else 'blackrock'}" in text
    options = ReaderOptions(channels=SMALL, gaps=GapPolicy("segment"))
    with open_recording(out, options) as reader:
        assert reader.trials().stimulus == written.stimulus
        assert reader.gaps.n_lost == written.n_lost


def test_matrices_are_written_when_asked_for(run, tmp_path):
    written = WRITERS["tvsd-trials-N"](tmp_path)
    # Training pictures are shown once, the test picture three times; days 2 and 3 have too few test trials.
    code, line = run(written.path, tmp_path / "x_MUA.mat", "--to", "brain2gan")
    assert code == 2
    assert "test trials, the paper's way needs at least 2" in line
    code, line = run(written.path, tmp_path / "x_MUA.mat")
    assert code == 2
    assert "ends in '.mat'" in line
    trials = tmp_path / "copy" / "monkeyN"
    trials.mkdir(parents=True)
    code, text = run(written.path, trials / "THINGS_MUA_trials.mat", "--to", "tvsd-trials")
    assert code == 0
    with open_recording(trials / "THINGS_MUA_trials.mat") as reader:
        assert reader.trials().stimulus == written.stimulus
        rows = reader.columns(0, reader.n_samples)
        assert (rows == written.values).all()
