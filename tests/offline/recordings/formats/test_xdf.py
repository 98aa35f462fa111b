"""XDF: cut ends are told or harmless, jitter makes no segments, values and stamps are pyxdf's."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import pytest
import pyxdf

from b2g_rt.errors import ChannelMapError, SessionError
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.xdf import XdfReader
from offline.recordings.formats.xdf_writer import (
    boundary,
    chunk,
    sample_chunk,
    stream_header,
    text_chunk,
)
from tests.offline.recordings.formats.written_files import (
    ONSETS,
    RATE_HZ,
    SMALL,
    START_S,
    STIMULI,
    N,
    values,
    xdf_bytes,
)

REGULAR = START_S + np.arange(N) / RATE_HZ
ONSET_S = [START_S + o / RATE_HZ for o in ONSETS]
ERROR = ReaderOptions(channels=SMALL)
SEGMENT = ReaderOptions(channels=SMALL, gaps=GapPolicy("segment"))


def opened(tmp_path, data, options=ERROR):
    path = tmp_path / "x.xdf"
    path.write_bytes(data)
    return XdfReader(path, options)


def whole(reader):
    return reader.read(0, reader.n_samples)


@pytest.mark.parametrize(
    "where", ["before the footers", "within the first footer", "within the second"]
)
def test_a_file_cut_at_its_footer_loads_whole_and_in_one_segment(tmp_path, where):
    data = xdf_bytes(REGULAR, values(), ONSET_S)
    without = len(xdf_bytes(REGULAR, values(), ONSET_S, footers=False))
    stop = {"before the footers": without, "within the first footer": without + 60}
    data = data[: stop.get(where, len(data) - 20)]
    with opened(tmp_path, data) as reader:
        assert reader.n_samples == N
        assert reader.gaps.n_segments == 1
        assert not reader.gaps.gaps
        np.testing.assert_array_equal(whole(reader), values()[:, SMALL.stream_idx])
        assert reader.trials().stimulus == STIMULI


@pytest.mark.parametrize("per_chunk", [10, 32, 100])
def test_steps_back_between_chunks_make_no_segments(tmp_path, per_chunk):
    step = np.full(N, 1 / RATE_HZ)
    step[::per_chunk] = -1 / RATE_HZ
    stamps = START_S + np.cumsum(step)
    data = xdf_bytes(stamps, values(), ONSET_S, per_chunk=per_chunk, footers=False)
    with opened(tmp_path, data) as reader:
        assert reader.gaps.n_segments == 1
        assert reader.gaps.n_backward > 3
        np.testing.assert_array_equal(reader.index(), np.arange(N))


def test_what_pyxdf_cuts_silently_is_an_error_here(tmp_path, caplog):
    data = xdf_bytes(REGULAR, values(), ONSET_S)
    path = tmp_path / "cut.xdf"
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.CRITICAL, "pyxdf"):
        streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False)
    assert 0 < len(streams[0]["time_series"]) < N
    with pytest.raises(SessionError, match="cut short: the last .* bytes, from byte"):
        XdfReader(path, ERROR)
    with XdfReader(path, SEGMENT) as reader:
        n = reader.n_samples
        assert 0 < n < N
        np.testing.assert_array_equal(whole(reader), values()[:n, SMALL.stream_idx])
        assert "bytes" in reader.gaps.truncation


def test_a_footer_that_names_more_samples_is_a_truncation(tmp_path):
    data = xdf_bytes(REGULAR, values(), ONSET_S)
    one = sample_chunk(1, REGULAR[800:840], values()[800:840])
    assert one in data
    with pytest.raises(SessionError, match="1160 samples of 'mua', its footer says 1200"):
        opened(tmp_path, data.replace(one, b""))


def test_a_damaged_chunk_is_left_out_and_told(tmp_path):
    data = xdf_bytes(REGULAR, values(), ONSET_S)
    at = data.index(sample_chunk(1, REGULAR[800:840], values()[800:840]))
    damaged = data[: at + 3] + b"\xff\xff" + data[at + 5 :]
    with pytest.raises(SessionError, match="hold no whole chunk"):
        opened(tmp_path, damaged)
    with opened(tmp_path, damaged, SEGMENT) as reader:
        np.testing.assert_array_equal(whole(reader), values()[:800, SMALL.stream_idx])


def test_a_count_of_samples_that_does_not_fit_its_bytes_is_damage(tmp_path):
    data = xdf_bytes(REGULAR, values(), ONSET_S)
    good = sample_chunk(1, REGULAR[800:840], values()[800:840])
    at = good.index(b"\x01\x28")
    bad = good[: at + 1] + b"\x29" + good[at + 2 :]
    with pytest.raises(SessionError, match="hold no whole chunk"):
        opened(tmp_path, data.replace(good, bad))


@pytest.mark.parametrize("stamped", ["all", "first"])
@pytest.mark.parametrize("offset_s", [0.0, -3.25])
def test_values_and_stamps_are_those_of_pyxdf(tmp_path, stamped, offset_s):
    data = xdf_bytes(REGULAR, values(), ONSET_S, stamped=stamped, offset_s=offset_s)
    with opened(tmp_path, data) as reader:
        streams, _ = pyxdf.load_xdf(str(reader.info.path), dejitter_timestamps=False)
        np.testing.assert_array_equal(reader.time_s(), streams[0]["time_stamps"])
        np.testing.assert_array_equal(reader.columns(0, N), streams[0]["time_series"])
        np.testing.assert_allclose(reader.time_s(), REGULAR, atol=1e-6)
        np.testing.assert_array_equal(reader.trials().onset_idx, ONSETS)


@pytest.mark.parametrize(
    ("form", "dtype"), [("int16", "<i2"), ("double64", "<f8"), ("int32", "<i4"), ("int8", "<i1")]
)
def test_other_number_formats_are_read(tmp_path, form, dtype):
    rows = np.random.default_rng(0).integers(-100, 100, (50, 192)).astype(dtype)
    import struct

    samples = b"".join(
        struct.pack("<Bd", 8, t) + r.tobytes() for t, r in zip(REGULAR, rows, strict=False)
    )
    data = (
        b"XDF:"
        + stream_header(1, "mua", "MUA", 192, RATE_HZ, form)
        + chunk(3, struct.pack("<IBB", 1, 1, 50) + samples)
    )
    with opened(tmp_path, data) as reader:
        np.testing.assert_array_equal(reader.columns(0, 50), rows.astype(np.float32))


def two_signals():
    rows = values(20, 192)
    return (
        b"XDF:"
        + stream_header(1, "left", "EEG", 192, RATE_HZ, "float32")
        + stream_header(2, "right", "EEG", 192, RATE_HZ, "float32")
        + stream_header(3, "a", "Markers", 1, 0, "string")
        + stream_header(4, "b", "Markers", 1, 0, "string")
        + boundary()
        + sample_chunk(1, REGULAR[:20], rows)
        + sample_chunk(2, REGULAR[:20], rows + 1)
        + text_chunk(3, [START_S], ["x"])
        + text_chunk(4, [START_S], ["y"])
    )


def test_of_several_streams_one_must_be_chosen(tmp_path):
    with pytest.raises(SessionError, match=r"'left', 'right'. Choose with --stream"):
        opened(tmp_path, two_signals())
    with pytest.raises(SessionError, match=r"'a', 'b'. Choose with --markers"):
        opened(tmp_path, two_signals(), ReaderOptions(channels=SMALL, stream="left"))
    options = ReaderOptions(channels=SMALL, stream="right", markers="b")
    with opened(tmp_path, two_signals(), options) as reader:
        np.testing.assert_array_equal(reader.columns(0, 20), values(20, 192) + 1)
        assert reader.trials().stimulus == ("y",)
    with pytest.raises(SessionError, match="0 streams fit"):
        opened(tmp_path, two_signals(), ReaderOptions(channels=SMALL, stream="middle"))


def test_the_channel_map_must_be_given(tmp_path):
    with pytest.raises(ChannelMapError, match="192 columns is which electrode"):
        opened(tmp_path, xdf_bytes(REGULAR, values(), ONSET_S), ReaderOptions())


def test_a_file_with_headers_only_has_no_samples(tmp_path):
    data = b"XDF:" + stream_header(1, "mua", "MUA", 192, RATE_HZ, "float32")
    with opened(tmp_path, data) as reader:
        assert reader.n_samples == 0
        assert list(reader.blocks()) == []
        assert reader.trials().n_trials == 0


def test_a_marker_pattern_picks_the_onsets(tmp_path):
    data = xdf_bytes(REGULAR, values(), ONSET_S, texts=("on:a", "fixation", "on:b"))
    options = ReaderOptions(channels=SMALL, marker_pattern=r"on:(?P<stimulus>\w+)")
    with opened(tmp_path, data, options) as reader:
        assert reader.trials().stimulus == ("a", "b")
        assert len(reader.markers()) == 3


def test_values_are_never_held_as_a_whole(tmp_path):
    n = 8000
    rows = np.tile(values(100), (n // 100, 1))
    data = xdf_bytes(START_S + np.arange(n) / RATE_HZ, rows, ONSET_S)
    path = tmp_path / "x.xdf"
    path.write_bytes(data)
    size = len(data)
    del data, rows
    tracemalloc.start()
    try:
        with XdfReader(path, ERROR) as reader:
            for block in reader.blocks(200):
                del block
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 6_000_000
    # One megabyte is the buffer that pyxdf reads through.
    assert peak < 1_000_000 + size / 4
