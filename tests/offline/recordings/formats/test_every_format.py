"""One suite for all formats: whatever the file, the same questions get the same kind of answer."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import B2GError, ChannelMapError, SessionError
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import FORMATS, format_of, open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.statistics import channel_statistics
from tests.offline.recordings.formats.written_files import WRITERS, Written


@pytest.fixture(scope="module", params=WRITERS)
def written(request, tmp_path_factory) -> Written:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def reader(written):
    with open_recording(written.path, written.options) as opened:
        yield opened


def test_every_format_is_in_this_suite(tmp_path_factory):
    made = {make(tmp_path_factory.mktemp("all")).format for make in WRITERS.values()}
    assert made == set(FORMATS)


def test_the_format_is_found_from_what_the_file_holds(written):
    found = format_of(written.path)
    # Both matrices of responses have one reader, which tells them apart.
    assert found == written.format or {found, written.format} <= {"brain2gan", "tvsd-responses"}


def test_it_says_what_it_is(written, reader):
    info = reader.info
    assert info.format == written.format
    assert info.path == written.path
    assert info.unit == written.unit
    assert info.rate_hz == written.rate_hz
    assert info.n_columns == written.values.shape[1]
    assert reader.n_samples == len(written.values)


def test_the_channel_map_is_applied(written, reader):
    assert reader.channels.same_electrodes(written.channels)
    np.testing.assert_array_equal(reader.channels.stream_idx, written.channels.stream_idx)


def test_values_are_those_that_were_recorded(written, reader):
    found = reader.read(0, reader.n_samples)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, written.values[:, written.channels.stream_idx])


def test_first_and_last_rows_are_slices_of_the_whole(reader):
    whole = reader.read(0, reader.n_samples)
    n = reader.n_samples
    for start, stop in ((0, 1), (n - 1, n), (n // 2 - 1, n // 2 + 2), (3, 3), (n, n)):
        part = reader.read(start, stop)
        assert part.shape == (stop - start, reader.channels.n_channels)
        np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 10**9), (2, 1)])
def test_rows_that_are_not_there_are_refused(reader, start, stop):
    with pytest.raises(SessionError, match="rows"):
        reader.read(start, stop)


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=3))
def test_blocks_do_not_depend_on_their_size(reader, sizes):
    for size in sizes:
        blocks = list(reader.blocks(size))
        assert max(len(b.values) for b in blocks) <= size
        np.testing.assert_array_equal(np.concatenate([b.index for b in blocks]), reader.index())
        rows = np.concatenate([b.values for b in blocks])
        np.testing.assert_array_equal(rows, reader.read(0, reader.n_samples))


def test_rows_stand_where_they_belong_on_the_sample_clock(written, reader):
    found = reader.index()
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found - found[0], written.index)
    np.testing.assert_array_equal(reader.index(5, 9), found[5:9])


def test_stamps_grow_with_the_index(written, reader):
    stamps = reader.time_s()
    assert stamps.shape == (reader.n_samples,)
    np.testing.assert_array_equal(reader.time_s(5, 9), stamps[5:9])
    if written.rate_hz is None:
        assert np.isnan(stamps).all()
    else:
        wanted = written.index / written.rate_hz
        np.testing.assert_allclose(stamps - stamps[0], wanted, atol=1e-6)


def test_trials_have_stimulus_onset_set_and_day(written, reader):
    trials = reader.trials()
    assert trials.stimulus == written.stimulus
    np.testing.assert_array_equal(trials.onset_idx, written.onset_idx)
    if written.split is not None:
        assert trials.split == written.split
    if written.day is not None:
        np.testing.assert_array_equal(trials.day, written.day)


def test_repetitions_are_counted_from_the_stimulus_ids(written, reader):
    trials = reader.trials()
    wanted = [written.stimulus[:i].count(s) for i, s in enumerate(written.stimulus)]
    assert trials.repetition().tolist() == wanted
    assert sum(trials.n_repetitions().values()) == trials.n_trials


def test_lost_samples_are_reported(written, reader):
    assert reader.gaps.n_samples == reader.n_samples
    assert reader.gaps.n_lost == written.n_lost
    assert not reader.gaps.truncation


def test_gaps_are_an_error_by_default(written):
    options = ReaderOptions(channels=written.options.channels)
    if not written.n_lost:
        open_recording(written.path, options).close()
        return
    with pytest.raises(SessionError, match=f"{written.n_lost} samples lost"):
        open_recording(written.path, options)


def test_statistics_are_computed_from_it(written, reader):
    found = channel_statistics(reader)
    picked = written.values[:, written.channels.stream_idx].astype(np.float64)
    np.testing.assert_allclose(found.mean, picked.mean(0), rtol=1e-6, atol=1e-6)


def test_a_channel_map_for_other_columns_is_refused(written):
    other = ChannelMap(4096, written.channels.slots)
    with pytest.raises(ChannelMapError, match="4096"):
        open_recording(written.path, ReaderOptions(channels=other, gaps=written.options.gaps))


def test_a_user_s_channel_map_replaces_the_file_s(written):
    first = written.channels.slots[0]
    other = ChannelMap(written.channels.n_stream_channels, (first,))
    options = ReaderOptions(channels=other, gaps=written.options.gaps)
    with open_recording(written.path, options) as opened:
        assert opened.read(0, 2).shape[1] == other.n_channels


def test_closing_twice_is_harmless(written):
    opened = open_recording(written.path, written.options)
    opened.close()
    opened.close()


def test_opening_reads_no_values(written):
    if written.format in ("nwb", "blackrock"):
        # What pynwb and neo make of a header is larger, and slower to trace, than this small file.
        return
    size = written.values.nbytes
    tracemalloc.start()
    try:
        with open_recording(written.path, written.options):
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < max(size, 3_000_000)


# ------------------------------------------------------------ files that are not what they should be


def _read_everything(path, options):
    with open_recording(path, options) as opened:
        opened.trials()
        opened.stimuli()
        for _ in opened.blocks():
            pass


def _refused(path, written):
    """Return the line of the error."""
    with pytest.raises(B2GError) as found:
        _read_everything(path, ReaderOptions(channels=written.options.channels))
    line = str(found.value)
    assert "\n" not in line
    assert line.startswith(str(path.parent))
    assert len(line) < 600
    return line


def _copied(written, tmp_path):
    """Copy the file's folder, so that what belongs to it is beside it."""
    import shutil

    folder = tmp_path / written.path.parent.name
    shutil.copytree(written.path.parent, folder)
    return folder / written.path.name


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_one_clear_line(written, tmp_path, share):
    path = _copied(written, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    _refused(path, written)


def test_an_empty_file_is_one_clear_line(written, tmp_path):
    path = _copied(written, tmp_path)
    path.write_bytes(b"")
    assert "empty" in _refused(path, written)


def test_a_missing_file_is_one_clear_line(written, tmp_path):
    assert "No such file" in _refused(tmp_path / written.path.name, written)


def test_garbage_behind_the_right_name_is_one_clear_line(written, tmp_path):
    path = _copied(written, tmp_path)
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    _refused(path, written)


def test_garbage_behind_the_right_beginning_is_one_clear_line(written, tmp_path):
    path = _copied(written, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:600] + np.random.default_rng(0).bytes(len(data) - 600))
    _refused(path, written)


@pytest.fixture(scope="module", params=sorted(WRITERS))
def stranger(request, tmp_path_factory) -> Written:
    return WRITERS[request.param](tmp_path_factory.mktemp("stranger"))


def test_a_file_of_another_format_told_to_be_this_one_is_one_clear_line(written, stranger):
    same = {stranger.format, written.format} <= {"brain2gan", "tvsd-responses"}
    if same or stranger.format == written.format:
        return
    with pytest.raises(B2GError) as found:
        open_recording(stranger.path, stranger.options, written.format)
    assert "\n" not in str(found.value)


def test_a_folder_is_one_clear_line(tmp_path):
    with pytest.raises(SessionError, match="directory"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x1f\x8b\x08abc", "gzip"),
        (b"PK\x03\x04abc", "zip archive"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"/annex/objects/MD5E-s58--x", "git-annex"),
        (b"\x80\x04\x95", "pickle"),
        (b"hello", "begins with"),
        (b"MATLAB 5.0 MAT-file, Platform", "7.3"),
    ],
    ids=["gzip", "zip", "html", "lfs", "annex", "pickle", "text", "mat5"],
)
def test_other_things_are_named(tmp_path, head, told):
    path = tmp_path / "x.bin"
    path.write_bytes(head)
    with pytest.raises(SessionError, match=told):
        open_recording(path)


@pytest.mark.parametrize("seed", range(12))
def test_bytes_that_were_changed_are_read_or_refused_in_one_line(written, tmp_path, seed):
    """Whatever the damage: an error of ours, never a library's."""
    rng = np.random.default_rng(seed)
    path = _copied(written, tmp_path)
    for name in {p.name for p in written.files}:
        file = path.with_name(name)
        data = bytearray(file.read_bytes())
        # Headers are where it matters; values may be anything.
        span = min(len(data), 6000) if seed % 3 else len(data)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(span)] = rng.integers(256)
        file.write_bytes(data)
    try:
        options = ReaderOptions(channels=written.options.channels, gaps=GapPolicy("segment"))
        _read_everything(path, options)
    except B2GError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a file that can be read is as good


def test_a_wrong_ending_does_not_matter_where_the_content_tells(written, tmp_path):
    path = _copied(written, tmp_path)
    renamed = path.rename(path.with_suffix(".dat"))
    if written.format == "blackrock":  # neo goes by the ending
        assert "expected one NSx file" in _refused(renamed, written)
        return
    with open_recording(renamed, written.options) as opened:
        assert opened.info.format == written.format
