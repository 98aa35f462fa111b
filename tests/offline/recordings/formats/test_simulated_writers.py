"""Simulated sessions in every format: read back by our readers, by the formats' own libraries, and as features."""

from __future__ import annotations

import tracemalloc
import warnings

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import paper_windows, sliding_windows
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.simulation.disturbances import DisturbanceSpec
from b2g_rt.simulation.raw_voltage import VoltageSpec
from offline.recordings.features import window_features
from offline.recordings.formats import ordered_rows
from offline.recordings.formats.blackrock_writer import write_blackrock
from offline.recordings.formats.brain2gan_writer import write_brain2gan
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.responses import ResponsesReader
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.formats.tvsd_writer import (
    MAPPING_FILE,
    write_tvsd_responses,
    write_tvsd_trials,
)
from offline.recordings.formats.xdf_writer import write_xdf
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from tests.offline.recordings.formats.written_files import WRITERS, values

CHANNELS = ChannelMap(
    192,
    (
        ArraySlot(0, "V1", 0),
        ArraySlot(1, "V4", 64, dead_electrodes=(5,)),
        ArraySlot(2, "IT", 128),
    ),
)
SEGMENT = ReaderOptions(gaps=GapPolicy("segment"))
OPTIONS = ReaderOptions(channels=CHANNELS, gaps=GapPolicy("segment"), monkey="N")
# A loss every four seconds, and something of all else that may go wrong.
WRONG = DisturbanceSpec(losses_per_min=15, line_uv=0.5, saturations_per_min=4, drift_sd=0.02)
PLAN = SessionPlan(
    n_train=14, n_test=3, n_repeats=4, n_days=2, disturbances=WRONG, channels=CHANNELS, seed=5
)
STREAMS = {
    "h5": write_session_hdf5,
    "nwb": write_nwb,
    "xdf": write_xdf,
    "ns2": write_blackrock,
}
# Blackrock's steps are a quarter of a microvolt.
WITHIN_UV = {"h5": 0.0, "nwb": 0.0, "xdf": 0.0, "ns2": 0.125}


@pytest.fixture(scope="module")
def simulated():
    return simulated_set(PLAN)


@pytest.fixture(scope="module")
def files(simulated, tmp_path_factory):
    """The first day in every streaming format."""
    folder = tmp_path_factory.mktemp("simulated")
    made = {}
    for suffix, write in STREAMS.items():
        made[suffix] = folder / f"day.{suffix}"
        write(simulated.reader(simulated.days[0], made[suffix]), made[suffix])
    return made


@pytest.fixture
def day(simulated, tmp_path):
    return simulated.reader(simulated.days[0], tmp_path)


@pytest.mark.parametrize("suffix", STREAMS)
def test_a_simulated_day_comes_back_with_its_losses_as_gaps(files, day, suffix):
    assert day.gaps.n_lost > 0
    with open_recording(files[suffix], OPTIONS) as found:
        assert found.info.rate_hz == 1000.0
        assert found.info.unit == "uV"
        assert found.channels.same_electrodes(CHANNELS)
        rows = day.columns(0, day.n_samples)
        np.testing.assert_allclose(
            found.columns(0, found.n_samples), rows, rtol=0, atol=WITHIN_UV[suffix]
        )
        first = found.index()[0] - day.index()[0]
        np.testing.assert_array_equal(found.index() - first, day.index())
        assert [g.n_lost for g in found.gaps.gaps] == [g.n_lost for g in day.gaps.gaps]
        assert found.trials().stimulus == day.trials().stimulus
        np.testing.assert_array_equal(found.trials().onset_idx - first, day.trials().onset_idx)
        if suffix in ("h5", "nwb"):
            assert found.info.simulated
            assert found.trials().split == day.trials().split
            assert set(found.trials().day.tolist()) == {1}
            np.testing.assert_array_equal(found.stimuli()[1], day.stimuli()[1])
            assert found.provenance()["seeds"]["macaque"] == 1
            assert "converted_from" not in found.provenance()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nwb", "xdf", "ns2"])
@pytest.mark.parametrize("spec", [paper_windows(), sliding_windows()], ids=["nine", "roi"])
def test_features_are_those_of_the_session_file(files, suffix, spec):
    """Blackrock: a window's mean of 100 samples is off by less than an eighth of a microvolt, in practice far less."""
    found = {}
    for name in ("h5", suffix):
        with open_recording(files[name], OPTIONS) as reader:
            n = reader.channels.n_channels
            normaliser = Normaliser(
                Normalisation(kind="frozen"), np.full(n, 12.0), np.full(n, 0.24), 1000.0
            )
            found[name] = window_features(
                reader.blocks(), reader.trials().onset_idx, spec, reader.channels, normaliser
            )
    np.testing.assert_array_equal(np.isnan(found["h5"]), np.isnan(found[suffix]))
    assert np.isfinite(found["h5"]).any(axis=(1, 2)).all()
    if suffix == "ns2":
        off_uv = 0.24 * np.abs(found["h5"] - found[suffix])
        assert np.nanmax(off_uv) < 0.125
        # Quantisation errors of a hundred samples: 0.25 / sqrt(12) / 10 = 0.007 uV.
        assert np.sqrt(np.nanmean(off_uv**2)) < 0.009
    else:
        np.testing.assert_array_equal(found["h5"], found[suffix])


def test_pyxdf_reads_what_is_written(files, day):
    import pyxdf

    streams, header = pyxdf.load_xdf(str(files["xdf"]), dejitter_timestamps=False)
    mua, markers = sorted(streams, key=lambda s: s["info"]["type"][0])
    assert header["info"]["version"] == ["1.0"]
    np.testing.assert_array_equal(mua["time_series"], day.columns(0, day.n_samples))
    np.testing.assert_allclose(mua["time_stamps"], day.time_s(), rtol=0, atol=1e-9)
    assert [row[0] for row in markers["time_series"]] == list(day.trials().stimulus)
    assert mua["footer"]["info"]["sample_count"] == [str(day.n_samples)]
    labels = [c["label"][0] for c in mua["info"]["desc"][0]["channels"][0]["channel"]]
    assert labels[63:65] == ["V1-0-63", "V4-1-0"]
    assert labels[69] == "dead"


def test_pyxdf_finds_the_losses_as_segments(files, day):
    import pyxdf

    streams, _ = pyxdf.load_xdf(
        str(files["xdf"]), jitter_break_threshold_seconds=0.0015, jitter_break_threshold_samples=1
    )
    mua = next(s for s in streams if s["info"]["type"] == ["MUA"])
    assert len(mua["info"]["segments"]) == day.gaps.n_segments


def test_neo_reads_what_is_written(files, day):
    from neo.rawio import BlackrockRawIO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = BlackrockRawIO(
            filename=str(files["ns2"].with_suffix("")), nsx_to_load=2, gap_tolerance_ms=0.0
        )
        raw.parse_header()
        n = raw.segment_count(0)
        assert n == day.gaps.n_segments
        sizes = [raw.get_signal_size(0, k, 0) for k in range(n)]
        assert sum(sizes) == day.n_samples
        chunk = raw.get_analogsignal_chunk(0, 0, 0, 50, 0)
        volts = raw.rescale_signal_raw_to_float(chunk, "float64", 0)
    assert raw.header["signal_channels"]["units"][0] == "uV"
    np.testing.assert_allclose(volts, day.columns(0, 50), rtol=0, atol=0.125)
    for file in getattr(raw, "_nsx_fids", {}).values():
        file.close()


@pytest.mark.slow
def test_nwb_has_no_critical_findings(files):
    from nwbinspector import Importance, inspect_nwbfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(inspect_nwbfile(nwbfile_path=files["nwb"]))
    serious = (Importance.CRITICAL, Importance.ERROR, Importance.PYNWB_VALIDATION)
    assert [m for m in found if m.importance in serious] == []


def test_numbers_become_digital_inputs_and_texts_comments(tmp_path):
    written = WRITERS["blackrock"](tmp_path)
    for name, options in (("blackrock", written.options), ("session", OPTIONS)):
        source = WRITERS[name](tmp_path)
        path = tmp_path / f"again-{name}.ns2"
        with open_recording(source.path, options) as reader:
            write_blackrock(reader, path)
            with open_recording(path, written.options) as again:
                assert again.trials().stimulus == source.stimulus
                np.testing.assert_array_equal(
                    again.columns(0, again.n_samples), reader.columns(0, reader.n_samples)
                )
        packets = path.with_suffix(".nev").read_bytes()[336 + 32 :]
        kind = int.from_bytes(packets[4:6], "little")
        assert kind == (0 if name == "blackrock" else 0xFFFF)


def test_late_samples_stand_at_their_place(tmp_path):
    """A session as the recorder leaves it: rows in the order in which they came."""
    source = WRITERS["session"](tmp_path)
    order = np.r_[0:300, 310:500, 300:310, 495:500, 500:1200]
    with h5py.File(source.path, "r+") as file:
        for name in ("data", "time_s", "index"):
            rows = file["mua"][name][:][order]
            del file["mua"][name]
            file["mua"][name] = rows
    for suffix, write in STREAMS.items():
        if suffix == "h5":
            continue
        path = tmp_path / f"sorted.{suffix}"
        options = ReaderOptions(channels=source.channels, gaps=GapPolicy("segment"))
        with open_recording(source.path, options) as reader:
            write(reader, path)
        with open_recording(path, options) as found:
            np.testing.assert_array_equal(found.columns(0, found.n_samples), source.values)
            np.testing.assert_array_equal(found.index() - found.index()[0], source.index)


@pytest.mark.parametrize("suffix", ["xdf", "ns2"])
def test_a_long_session_is_written_in_bounded_memory(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(ordered_rows, "BLOCK_BYTES", 1 << 20)
    simulated = simulated_set(SessionPlan(n_train=60, channels=CHANNELS))
    reader = simulated.reader(simulated.days[0], tmp_path)
    size = 4 * reader.n_samples * 192
    assert size > 25e6
    tracemalloc.start()
    try:
        STREAMS[suffix](reader, tmp_path / f"long.{suffix}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6


def test_voltage_at_thirty_kilohertz_is_a_blackrock_recording(tmp_path):
    channels = ChannelMap(64, (ArraySlot(0, "V1", 0),))
    plan = SessionPlan(n_train=1, channels=channels, voltage=VoltageSpec())
    simulated = simulated_set(plan)
    reader = simulated.reader(simulated.days[0], tmp_path)
    path = tmp_path / "raw.ns6"
    write_blackrock(reader, path)
    with open_recording(path, ReaderOptions(channels=channels)) as found:
        assert found.info.rate_hz == 30_000.0
        assert found.trials().onset_idx.tolist() == [300 * 30]
        np.testing.assert_allclose(
            found.columns(0, 3000), reader.columns(0, 3000), rtol=0, atol=0.125
        )


@pytest.mark.parametrize("suffix", STREAMS)
def test_responses_are_no_stream(tmp_path, suffix):
    written = WRITERS["brain2gan"](tmp_path)
    with open_recording(written.path, written.options) as reader:
        with pytest.raises(SessionError, match="time axis"):
            STREAMS[suffix](reader, tmp_path / f"x.{suffix}")
    assert not list(tmp_path.glob("*x.*"))


def test_a_single_row_between_two_losses_reads_as_lost_too_from_blackrock(tmp_path):
    source = WRITERS["session"](tmp_path)
    with h5py.File(source.path, "r+") as file:
        index = file["mua/index"][:]
        index[300:] += 5
        index[301:] += 7
        file["mua/index"][:] = index
    with open_recording(source.path, SEGMENT) as reader:
        write_blackrock(reader, tmp_path / "x.ns2")
    options = ReaderOptions(channels=source.channels, gaps=GapPolicy("segment"))
    with open_recording(tmp_path / "x.ns2", options) as found:
        np.testing.assert_array_equal(found.index(), np.delete(index, 300))
        assert found.gaps.n_lost == 25 + 5 + 1 + 7


@pytest.mark.parametrize("fault", ["nan", "unit", "suffix", "marker", "rate", "empty"])
def test_what_blackrock_cannot_hold_is_refused_in_one_line(tmp_path, fault):
    source = WRITERS["session"](tmp_path)
    told = {
        "nan": "values that are no numbers",
        "unit": "expected microvolts",
        "suffix": "expected .ns1 to .ns6",
        "marker": "expected at most 92 Latin letters",
        "rate": "expected a rate that divides 30000",
        "empty": "no samples",
    }[fault]
    with h5py.File(source.path, "r+") as file:
        if fault == "nan":
            file["mua/data"][700, 3] = np.nan
        if fault == "empty":
            for name in ("data", "time_s", "index"):
                file["mua"][name].resize(0, axis=0)
        if fault == "unit":
            file.attrs["unit"] = "z"
        if fault == "rate":
            file.attrs["rate_hz"] = 999.0
        if fault == "marker":
            text = "ж".encode() + b"x" * 10
            del file["markers/text_bytes"], file["markers/text_stop"]
            file["markers/text_bytes"] = np.frombuffer(text * 3, np.uint8)
            file["markers/text_stop"] = np.arange(1, 4) * len(text)
    path = tmp_path / ("x.dat" if fault == "suffix" else "x.ns2")
    with open_recording(source.path, SEGMENT) as reader:
        with pytest.raises(SessionError, match=told) as found:
            write_blackrock(reader, path)
    assert "\n" not in str(found.value)
    assert not list(tmp_path.glob("*x.*"))


# ------------------------------------------------------------ TVSD and Brain2GAN


def test_trials_come_back_with_days_and_what_was_lost_is_nan(simulated, tmp_path):
    path = tmp_path / "monkeyN" / "THINGS_MUA_trials.mat"
    path.parent.mkdir()
    readers = [simulated.reader(day, path) for day in simulated.days]
    done: list[int] = []
    write_tvsd_trials(readers, path, done.append)
    assert sum(done) == sum(r.n_samples for r in readers)
    with open_recording(path, OPTIONS) as found:
        table = found.trials()
        rows = found.columns(0, found.n_samples).reshape(-1, 300, 192)
    shown = [s for r in readers for s in r.trials().stimulus]
    assert list(table.stimulus) == shown
    assert table.day.tolist() == [d for r in readers for d in r.trials().day.tolist()]
    assert table.split == tuple(s for r in readers for s in r.trials().split)
    at = n_nan = 0
    for reader in readers:
        whole = np.full((int(reader.index()[-1]) + 300, 192), np.nan, np.float32)
        whole[reader.index()] = reader.columns(0, reader.n_samples)
        for onset in reader.trials().onset_idx.tolist():
            np.testing.assert_array_equal(rows[at], whole[onset - 100 : onset + 200])
            n_nan += int(np.isnan(rows[at]).all(axis=1).sum())
            at += 1
    assert n_nan > 0
    with h5py.File(path.with_name(MAPPING_FILE)) as file:
        order = np.asarray(file["mapping"]).reshape(-1)
    assert sorted(order.tolist()) == list(range(1, 193))
    assert order.tolist() != list(range(1, 193))


def _slow_responses(readers):
    """The window means by plain loops: V1 25-125, V4 50-150, IT 75-175 ms, z of each day's test trials."""
    window = {"V1": 25, "V4": 50, "IT": 75}
    start = np.array([window[roi] for roi in CHANNELS.roi])
    by_stimulus: dict[str, list] = {}
    for reader in readers:
        whole = np.full((int(reader.index()[-1]) + 300, 192), np.nan)
        whole[reader.index()] = reader.columns(0, reader.n_samples)
        trials = reader.trials()
        means = []
        for onset in trials.onset_idx.tolist():
            row = np.empty(CHANNELS.n_channels)
            for c, column in enumerate(CHANNELS.stream_idx):
                part = whole[onset + start[c] : onset + start[c] + 100, column]
                lost = np.isnan(part).mean()
                row[c] = np.nan if lost > 0.2 else np.nanmean(part)
            # One window is one: where an area misses too much, none is taken.
            means.append(np.full_like(row, np.nan) if np.isnan(row).any() else row)
        test = np.array([m for m, s in zip(means, trials.split, strict=True) if s == "test"])
        mean, sd = np.nanmean(test, axis=0), np.nanstd(test, axis=0)
        for stimulus, row in zip(trials.stimulus, means, strict=True):
            by_stimulus.setdefault(stimulus, []).append((row - mean) / sd)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {s: np.nanmean(rows, axis=0) for s, rows in by_stimulus.items()}


def test_brain2gan_s_matrices_match_a_slow_computation(simulated, tmp_path):
    path = tmp_path / "faces_MUA.mat"
    readers = [simulated.reader(day, path) for day in simulated.days]
    write_brain2gan(readers, path)
    wanted = _slow_responses([simulated.reader(day, path) for day in simulated.days])
    with ResponsesReader(path, OPTIONS) as found:
        assert found.info.format == "brain2gan"
        ids = found.trials().stimulus
        assert list(ids) == simulated.stimuli[0]
        rows = found.read(0, found.n_samples)
        for stimulus, row in zip(ids, rows, strict=True):
            np.testing.assert_allclose(row, wanted[stimulus], rtol=2e-3, atol=2e-3)
        told = found.stimuli()
        assert told is not None
        assert told[0] == simulated.stimuli[0]
        np.testing.assert_array_equal(told[1], simulated.stimuli[1])
        assert (found.columns(0, found.n_samples)[:, 69] == 0).all()
    with h5py.File(path) as file:
        assert file.userblock_size == 512
        letters = np.asarray(file["test_stimulus"]).T
        assert "".join(map(chr, letters[1])).strip() == "test/0002"
        assert file["test_stimulus"].attrs["MATLAB_class"] == b"char"
    assert path.read_bytes().startswith(b"MATLAB 7.3 MAT-file")


def test_tvsd_s_matrices_have_repetitions_and_quality(simulated, tmp_path):
    path = tmp_path / "monkeyN" / "THINGS_normMUA.mat"
    path.parent.mkdir()
    readers = [simulated.reader(day, path) for day in simulated.days]
    write_tvsd_responses(readers, path)
    with ResponsesReader(path, OPTIONS) as found:
        assert found.info.format == "tvsd-responses"
        repetitions, reliab, oracle = map(found.quality, ("test_MUA_reps", "reliab", "oracle"))
        assert repetitions is not None
        assert reliab is not None
        assert oracle is not None
        assert repetitions.shape == (4, 3, 191)
        averaged = found.read(found.n_train, found.n_samples)
        np.testing.assert_allclose(np.nanmean(repetitions, axis=0), averaged, rtol=1e-4, atol=1e-5)
        assert reliab.shape == (6, 191)
        assert oracle.size == 191
        assert np.nanmean(oracle) > 0.1


def test_trials_without_sets_are_sorted_by_how_often_they_were_shown(tmp_path):
    """XDF knows no sets: face-1 is shown twice, so it is a test stimulus."""
    written = WRITERS["xdf"](tmp_path)
    path = tmp_path / "x_MUA.mat"
    with open_recording(written.path, written.options) as reader:
        write_brain2gan([reader], path)
    with h5py.File(path) as file:
        assert file["train_MUA"].shape == file["test_MUA"].shape == (1, 192)
    assert not list(tmp_path.glob("*.pickle"))


def test_ids_that_are_no_pictures_of_the_set_are_refused_by_tvsd(tmp_path):
    written = WRITERS["xdf"](tmp_path)
    with open_recording(written.path, written.options) as reader:
        with pytest.raises(SessionError, match="'face-1', expected training/N or test/N"):
            write_tvsd_trials([reader], tmp_path / "x.mat")
    assert not list(tmp_path.glob("*x.mat*"))


def test_only_training_stimuli_make_no_matrices(tmp_path):
    simulated = simulated_set(SessionPlan(n_train=2, channels=CHANNELS))
    reader = simulated.reader(simulated.days[0], tmp_path / "x.mat")
    with pytest.raises(SessionError, match="0 of 2 trials are test trials"):
        write_brain2gan([reader], tmp_path / "x.mat")


@pytest.mark.parametrize("suffix", STREAMS)
def test_a_writer_that_is_interrupted_leaves_nothing(simulated, tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"

    def interrupt(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        STREAMS[suffix](simulated.reader(simulated.days[0], path), path, interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_tvsd_trials, write_tvsd_responses, write_brain2gan])
def test_matrices_that_are_interrupted_leave_nothing(simulated, tmp_path, write):
    def interrupt(n):
        raise KeyboardInterrupt

    path = tmp_path / "x.mat"
    with pytest.raises(KeyboardInterrupt):
        write([simulated.reader(day, path) for day in simulated.days], path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_before_the_work(simulated, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    path = tmp_path / "x.mat"
    done: list[int] = []
    with pytest.raises(SessionError, match="No space left on device"):
        write_tvsd_trials([simulated.reader(simulated.days[0], path)], path, done.append)
    assert done == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_one_line(simulated, tmp_path):
    for suffix, write in STREAMS.items():
        path = tmp_path / "no" / f"x.{suffix}"
        with pytest.raises(SessionError, match="No such file") as found:
            write(simulated.reader(simulated.days[0], path), path)
        assert "\n" not in str(found.value)


def test_values_of_the_fixtures_are_exact_in_quarters():
    assert (values() * 4 == np.round(values() * 4)).all()
