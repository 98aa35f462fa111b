"""A recording that is sent to another process is opened there: by its path, with what the user said of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.recordings.formats.opening import open_recording
from tests.offline.recordings.formats.written_files import WRITERS


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    return WRITERS[request.param](tmp_path)


def test_every_format_is_opened_again_and_reads_the_same(written, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = written.path.relative_to(tmp_path)
    with open_recording(name, written.options) as reader:
        sent = pickle.dumps(reader)
        n = reader.n_samples
        values, index = reader.read(0, n), reader.index()
        stimulus, channels = reader.trials().stimulus, reader.channels
        monkeypatch.chdir("/")
        with pickle.loads(sent) as again:
            np.testing.assert_array_equal(again.read(0, n), values)
            np.testing.assert_array_equal(again.index(), index)
            assert again.trials().stimulus == stimulus
            assert again.channels == channels
    assert len(sent) < 20_000


def test_a_recording_that_is_not_there_is_one_clear_line(written):
    with open_recording(written.path, written.options) as reader:
        sent = pickle.dumps(reader)
    written.path.unlink()
    with pytest.raises(SessionError, match=r"(?i)no such file"):
        pickle.loads(sent)
