"""NWB as others write it: integers with conversion, rates, several series, tables that say less than ours."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.misc import AnnotationSeries

from b2g_rt.errors import ChannelMapError, SessionError
from offline.recordings.formats.nwb import NwbReader
from offline.recordings.formats.reader import ReaderOptions
from tests.offline.recordings.formats.written_files import SMALL, values

RAW = np.round(values(200)).astype(np.int16)
GIVEN = ReaderOptions(channels=SMALL)


def file_with_electrodes():
    file = NWBFile("test", "id-1", datetime(2026, 11, 25, tzinfo=UTC))
    device = file.create_device(name="amplifier")
    group = file.create_electrode_group("all", "arrays", "V1", device)
    for _ in range(192):
        file.add_electrode(location="V1", group=group)
    return file, file.create_electrode_table_region(list(range(192)), "all")


def written(tmp_path, file):
    path = tmp_path / "x.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


@pytest.mark.parametrize("per_channel", [False, True])
def test_integers_are_brought_to_microvolts(tmp_path, per_channel):
    file, region = file_with_electrodes()
    factors = np.linspace(1, 2, 192)
    file.add_acquisition(
        ElectricalSeries(
            name="raw",
            data=RAW,
            electrodes=region,
            rate=500.0,
            starting_time=2.0,
            conversion=0.25e-6,
            channel_conversion=factors if per_channel else None,
            offset=1e-6,
        )
    )
    with NwbReader(written(tmp_path, file), GIVEN) as reader:
        wanted = RAW * 0.25 * (factors if per_channel else 1.0) + 1.0
        np.testing.assert_allclose(reader.columns(0, 200), wanted, rtol=1e-6)
        assert (reader.info.unit, reader.info.rate_hz) == ("uV", 500.0)
        np.testing.assert_allclose(reader.time_s(), 2.0 + np.arange(200) / 500.0)


def test_other_units_stay(tmp_path):
    file, _ = file_with_electrodes()
    file.add_acquisition(TimeSeries(name="z", data=RAW, unit="z", rate=1000.0))
    with NwbReader(written(tmp_path, file), GIVEN) as reader:
        assert reader.info.unit == "z"
        np.testing.assert_array_equal(reader.columns(3, 9), RAW[3:9].astype(np.float32))


def test_electrodes_that_do_not_say_their_array_need_a_map(tmp_path):
    file, region = file_with_electrodes()
    file.add_acquisition(ElectricalSeries(name="raw", data=RAW, electrodes=region, rate=1000.0))
    with pytest.raises(ChannelMapError, match="array, row, col and location.*--channels"):
        NwbReader(written(tmp_path, file), ReaderOptions())


def test_of_several_series_one_must_be_chosen(tmp_path):
    file, region = file_with_electrodes()
    for name in ("lfp", "mua"):
        series = ElectricalSeries(
            name=name,
            data=RAW + (name == "mua"),
            electrodes=region,
            rate=1000.0,
            conversion=1e-6,
        )
        file.add_acquisition(series)
    path = written(tmp_path, file)
    with pytest.raises(SessionError, match=r"2 series fit.*'lfp' \(200, 192\).*--stream"):
        NwbReader(path, GIVEN)
    with NwbReader(path, ReaderOptions(channels=SMALL, stream="mua")) as reader:
        np.testing.assert_array_equal(reader.columns(0, 200), RAW + 1)


def test_trials_without_stimulus_ids_are_one_clear_line(tmp_path):
    file, region = file_with_electrodes()
    file.add_acquisition(ElectricalSeries(name="raw", data=RAW, electrodes=region, rate=1000.0))
    file.add_trial(start_time=0.1, stop_time=0.2)
    with NwbReader(written(tmp_path, file), GIVEN) as reader:
        with pytest.raises(SessionError, match="start_time, stop_time, expected a column"):
            reader.trials()


@pytest.mark.parametrize("older", [False, True], ids=["EventsTable", "AnnotationSeries"])
def test_annotations_are_markers_where_there_is_no_trials_table(tmp_path, older):
    file, region = file_with_electrodes()
    file.add_acquisition(ElectricalSeries(name="raw", data=RAW, electrodes=region, rate=1000.0))
    if older:
        with pytest.warns(UserWarning, match="deprecated"):
            events = AnnotationSeries(name="on", data=["a", "b"], timestamps=[0.05, 0.1])
        file.add_acquisition(events)
    else:
        table = file.create_events_table(name="on", description="onsets")
        table.add_event(timestamp=0.05, annotation="a")
        table.add_event(timestamp=0.1, annotation="b")
    with NwbReader(written(tmp_path, file), GIVEN) as reader:
        assert reader.trials().stimulus == ("a", "b")
        assert reader.trials().onset_idx.tolist() == [50, 100]


def test_a_file_without_a_series_is_one_clear_line(tmp_path):
    file, _ = file_with_electrodes()
    with pytest.raises(SessionError, match="0 series fit.*there are none"):
        NwbReader(written(tmp_path, file), GIVEN)


@pytest.mark.parametrize(
    "gone", ["acquisition/raw/data", "general/extracellular_ephys", "identifier"]
)
def test_a_file_with_a_part_missing_is_one_clear_line(tmp_path, gone):
    file, region = file_with_electrodes()
    file.add_acquisition(ElectricalSeries(name="raw", data=RAW, electrodes=region, rate=1000.0))
    path = written(tmp_path, file)
    with h5py.File(path, "r+") as raw:
        del raw[gone]
    with pytest.raises(SessionError) as found:
        NwbReader(path, GIVEN)
    assert str(found.value).startswith(str(path))
    assert "\n" not in str(found.value)
