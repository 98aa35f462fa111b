"""`b2g-offline inspect`: what it prints for each format, and what it refuses."""

from __future__ import annotations

import json

import pytest
import yaml

from offline.commands.inspect import inspect
from tests.offline.recordings.formats.written_files import SMALL, WRITERS


@pytest.fixture
def run(runner_of):
    """Run the command; return (exit code, what it printed)."""
    return runner_of(inspect)


@pytest.fixture
def channels(tmp_path):
    path = tmp_path / "channels.yaml"
    path.write_text(yaml.safe_dump(SMALL.to_dict()))
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_described(run, channels, tmp_path, name):
    written = WRITERS[name](tmp_path)
    more = ["--channels", channels] if written.options.channels else []
    code, text = run(written.path, *more)
    assert code == 0
    counts = set(written.stimulus)
    for line in (
        f"file:{' ' * 20}"[:5],
        str(written.path),
        written.format,
        f"{written.channels.n_channels} of {written.values.shape[1]} columns",
        f"{len(written.stimulus)}",
        f"{len(counts)}, shown",
    ):
        assert line in text
    if written.n_lost:
        assert "1 gap, 25 samples lost: 25 samples at row 700" in text
    if written.rate_hz is None:
        assert "no time axis" in text


def test_json_holds_the_same(run, tmp_path):
    written = WRITERS["tvsd-trials-N"](tmp_path)
    code, text = run(written.path, "--json")
    found = json.loads(text)
    assert code == 0
    assert found["trials"] == "6"
    assert found["stimuli"] == "4, shown 1 to 3 times each"
    assert found["sets"] == "train 3 trials, test 3 trials"
    assert found["days"] == "3"
    assert found["rows"] == "1800 samples at 1000 Hz in 6 trials"


def test_the_policy_error_refuses_gaps(run, tmp_path):
    written = WRITERS["session"](tmp_path)
    code, text = run(written.path, "--gaps", "error")
    assert code == 2
    assert "25 samples lost" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [", "expected YAML"), ("a: 1", "n_stream_channels"), ("- 1", "expected a mapping")],
)
def test_a_channel_map_that_is_none_is_one_clear_line(run, tmp_path, text, told):
    written = WRITERS["xdf"](tmp_path)
    path = tmp_path / "map.yaml"
    path.write_text(text)
    code, line = run(written.path, "--channels", path)
    assert code == 2
    assert told in line
    assert line.startswith(str(path))


def test_a_format_that_is_none_is_one_clear_line(run, tmp_path):
    written = WRITERS["session"](tmp_path)
    code, line = run(written.path, "--format", "edf")
    assert code == 2
    assert "format 'edf', expected one of b2g-session" in line
