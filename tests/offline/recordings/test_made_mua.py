"""MUA made of a recording for writers: what the chain computes, at any row, its trials and stamps at their places."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from b2g_rt.mua.envelope import MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec, design
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.made_mua import MadeMua
from offline.recordings.mua_chain import MuaRecording
from offline.recordings.recording import Block
from tests.offline.recordings.voltage_session import (
    CHANNELS,
    FIRST_INDEX,
    GAP,
    GAP_AT,
    N_COLUMNS,
    OPTIONS,
    START_S,
    voltage_session,
)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return voltage_session(tmp_path_factory.mktemp("voltage") / "raw.h5")


@pytest.fixture
def voltage(session):
    with open_recording(session, OPTIONS) as reader:
        yield reader


class Everything:
    """All columns at once, for the chain."""

    channels = CHANNELS

    def __init__(self, reader):
        self._reader = reader
        self.n_samples = reader.n_samples

    def blocks(self, n_samples=None):
        yield Block(self._reader.index(), self._reader.columns(0, self.n_samples))


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_rows_are_the_chains_at_any_place(voltage, tmp_path, phase):
    blocks = list(MuaRecording(Everything(voltage), MuaSpec(), phase).blocks())
    index = np.concatenate([b.index for b in blocks])
    whole = np.concatenate([b.values for b in blocks])
    done: list[int] = []
    with MadeMua(voltage, phase, tmp_path, done.append) as mua:
        assert mua.n_samples == len(index) == sum(done)
        np.testing.assert_array_equal(mua.index(), index)
        np.testing.assert_array_equal(mua.columns(0, mua.n_samples), whole)
        n = mua.n_samples
        for start, stop in ((n - 3, n), (5, 5), (0, 2), (40, 50)):
            np.testing.assert_array_equal(mua.columns(start, stop), whole[start:stop])
        np.testing.assert_array_equal(mua.read(3, 9), CHANNELS.pick(whole[3:9]))
    assert list(tmp_path.iterdir()) == []


def test_causal_is_the_live_chain_bit_for_bit_and_zero_phase_comes_earlier(voltage, tmp_path):
    raw = voltage.columns(0, GAP_AT)
    live = MuaEnvelope(MuaSpec(), N_COLUMNS, start=FIRST_INDEX).push(raw)
    with (
        MadeMua(voltage, "causal", tmp_path) as causal,
        MadeMua(voltage, "zero", tmp_path) as zero,
    ):
        np.testing.assert_array_equal(causal.columns(0, len(live)), live)
        a, b = (made.columns(50, 900).mean(axis=1) for made in (zero, causal))
        assert causal.lag_ms == pytest.approx(1000 * design(MuaSpec()).lag_s)
        assert zero.lag_ms == 0.0
        told = zero.provenance()
        assert "looks ahead" in str(told["mua"])
        assert (told["mua_looks_ahead"], told["mua_lag_ms"]) == (True, 0.0)
        assert causal.provenance()["mua_looks_ahead"] is False
    # The activity rises and falls slowly: what is later correlates best when it is taken later.
    r = [np.corrcoef(a[5:-5], b[5 + s : len(b) - 5 + s])[0, 1] for s in range(-4, 5)]
    assert np.argmax(r) - 4 in (0, 1)
    assert r[4] > 0.98


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_stamps_onsets_and_gaps_are_those_of_the_voltage(voltage, tmp_path, phase):
    with MadeMua(voltage, phase, tmp_path) as mua:
        np.testing.assert_allclose(mua.time_s(), START_S + mua.index() / 1000.0, atol=1e-9)
        table = voltage.trials()
        onsets = np.floor(table.onset_idx / 30 + 0.5)
        np.testing.assert_array_equal(mua.trials().onset_idx, onsets)
        np.testing.assert_array_equal(mua.trials().onset_s, table.onset_s)
        assert mua.trials().stimulus == table.stimulus
        assert mua.markers() == voltage.markers()
        assert mua.gaps.n_lost == pytest.approx(GAP / 30, abs=1)
        assert mua.gaps.n_segments == 2
        assert mua.info.rate_hz == 1000.0


@pytest.mark.parametrize(("suffix", "write"), [("h5", write_session_hdf5), ("nwb", write_nwb)])
def test_what_is_written_is_read_again(voltage, tmp_path, suffix, write):
    path = tmp_path / f"mua.{suffix}"
    with MadeMua(voltage, "zero", tmp_path) as mua:
        write(mua, path)
        rows, index, trials = mua.columns(0, mua.n_samples), mua.index(), mua.trials()
    with open_recording(path, OPTIONS) as again:
        assert again.info.rate_hz == 1000.0
        np.testing.assert_allclose(again.columns(0, again.n_samples), rows, rtol=1e-6)
        np.testing.assert_array_equal(again.index() - again.index()[0], index - index[0])
        assert again.trials().stimulus == trials.stimulus
        np.testing.assert_array_equal(
            again.trials().onset_idx - again.index()[0], trials.onset_idx - index[0]
        )
        assert again.provenance()["mua_looks_ahead"] is True
        assert again.provenance()["mua_chain"]["raw_rate_hz"] == 30_000.0


def test_another_rate_and_too_little_are_one_line(tmp_path):
    path = voltage_session(tmp_path / "slow.h5", rate_hz=2000.0, n=4000, gap=0)
    with open_recording(path) as reader:
        with pytest.raises(SessionError, match=r"2000 Hz, --mua expects voltage at 30000 Hz"):
            MadeMua(reader, "zero", tmp_path)
    path = voltage_session(tmp_path / "short.h5", n=29, gap=0)
    with open_recording(path) as reader:
        with pytest.raises(SessionError, match="29 samples of voltage, expected at least 30"):
            MadeMua(reader, "zero", tmp_path)


def test_a_folder_that_takes_no_file_is_one_line(voltage, tmp_path):
    with pytest.raises(SessionError, match=r"No such file or directory, expected room for \d+ MB"):
        MadeMua(voltage, "causal", tmp_path / "missing")
