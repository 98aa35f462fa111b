"""The published MATLAB files: both monkeys, both tables, scrambled channels, latents beside the responses."""

from __future__ import annotations

import shutil
import tracemalloc

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import paper_windows
from b2g_rt.errors import ChannelMapError, SessionError
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features import window_features
from offline.recordings.formats import tvsd_trials as module
from offline.recordings.formats.latent_pickle import read_latents
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.tvsd_electrodes import tvsd_channels
from tests.offline.recordings.formats.written_files import (
    SMALL,
    brain2gan,
    mat73,
    tvsd_responses,
    tvsd_trials,
    tvsd_trials_f,
    values,
)


@pytest.mark.parametrize(
    ("monkey", "counts", "dead"),
    [
        ("N", {"V1": 448, "V4": 256, "IT": 256}, range(256, 320)),
        ("F", {"V1": 512, "IT": 320, "V4": 192}, ()),
    ],
)
def test_the_monkeys_have_their_own_areas_and_dead_block(monkey, counts, dead):
    channels = tvsd_channels(monkey)
    assert {roi: len(channels.channels_of(roi)) for roi in counts} == counts
    assert not set(dead) & set(channels.stream_idx.tolist())
    borders = {
        "N": [(0, "V1"), (512, "V4"), (768, "IT")],
        "F": [(0, "V1"), (512, "IT"), (832, "V4")],
    }
    for first, roi in borders[monkey]:
        assert channels.roi[channels.stream_idx.tolist().index(first)] == roi


# ------------------------------------------------------------ trials


def test_trials_are_cut_by_the_live_windows_and_never_across(tmp_path):
    written = tvsd_trials(tmp_path)
    spec = paper_windows()
    with open_recording(written.path) as reader:
        n = reader.channels.n_channels
        normaliser = Normaliser(Normalisation(kind="frozen"), np.zeros(n), np.ones(n), 1000.0)
        onsets = reader.trials().onset_idx
        found = window_features(reader.blocks(450), onsets, spec, reader.channels, normaliser)
        beyond = window_features(reader.blocks(), onsets + 150, spec, reader.channels, normaliser)
    rows = written.values[:, written.channels.stream_idx].reshape(6, 300, -1)
    for k in range(spec.n_windows):
        wanted = rows[:, 25 * k : 25 * k + 100].mean(1, dtype=np.float64)
        np.testing.assert_allclose(found[:, k], wanted, rtol=1e-5, atol=1e-4)
    # Windows that begin late in a trial do not take the next trial's samples.
    assert np.isnan(beyond[:, -1]).all()


@pytest.mark.parametrize("held", [1, 3 * 300 * 1024 * 4, 64 << 20])
def test_values_do_not_depend_on_how_many_trials_are_held(tmp_path, monkeypatch, held):
    monkeypatch.setattr(module, "HELD_BYTES", held)
    written = tvsd_trials(tmp_path)
    with open_recording(written.path) as reader:
        for start, stop in ((0, 1800), (250, 1000), (1500, 1501), (299, 301)):
            wanted = written.values[start:stop][:, reader.channels.stream_idx]
            np.testing.assert_array_equal(reader.read(start, stop), wanted)


def test_a_file_of_many_gigabytes_is_read_in_bounded_memory(tmp_path):
    written = tvsd_trials(tmp_path)
    folder = written.path.parent
    n_trials = 47_000
    with h5py.File(folder / "big.mat", "w", userblock_size=512) as file:
        # Chunks that were never written take no room on the disk and read as zeros.
        file.create_dataset("ALLMUA", (300, n_trials, 1024), "f4", chunks=(300, 1, 1024))
        table = np.zeros((6, n_trials))
        table[1] = np.arange(1, n_trials + 1)
        file["ALLMAT"] = table
        file["tb"] = np.arange(-100.0, 200.0)
        assert file["ALLMUA"].nbytes > 57e9
    tracemalloc.start()
    try:
        with open_recording(folder / "big.mat") as reader:
            assert reader.n_samples == 300 * n_trials
            for start in (0, 7_000_000, reader.n_samples - 2000):
                assert reader.read(start, start + 2000).shape == (2000, 960)
                reader.index(start, start + 2000)
            assert reader.trials().n_trials == n_trials
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.5 * module.HELD_BYTES


@pytest.mark.parametrize("make", [tvsd_trials, tvsd_trials_f], ids=["N", "F"])
def test_the_repetition_column_is_not_believed(tmp_path, make):
    with open_recording(make(tmp_path).path) as reader:
        trials = reader.trials()
        assert trials.repetition().tolist() == [0, 0, 1, 0, 2, 0]
        assert trials.n_repetitions()["test/0002"] == 3


def test_scrambled_channels_without_their_mapping_are_an_error(tmp_path):
    written = tvsd_trials(tmp_path)
    mapping = next(written.path.parent.glob("*mapping*"))
    elsewhere = tmp_path / "elsewhere.mat"
    shutil.move(mapping, elsewhere)
    with pytest.raises(SessionError, match="scrambled, expected one mapping file.*--mapping"):
        open_recording(written.path)
    with open_recording(written.path, ReaderOptions(mapping=elsewhere)) as reader:
        assert reader.n_samples == 1800


@pytest.mark.parametrize("fault", ["short", "twice", "nothing", "no file", "garbage"])
def test_a_mapping_that_is_none_is_one_clear_line(tmp_path, fault):
    written = tvsd_trials(tmp_path)
    path = tmp_path / "m.mat"
    number = np.arange(1, 1025.0)
    if fault == "short":
        mat73(path, {"mapping": number[:100]})
    elif fault == "twice":
        mat73(path, {"mapping": np.r_[1, number[:-1]]})
    elif fault == "nothing":
        mat73(path, {"other": number})
    elif fault == "garbage":
        path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(range(256)) * 8)
    with pytest.raises(SessionError) as found:
        open_recording(written.path, ReaderOptions(mapping=path))
    assert str(found.value).startswith(str(path))
    assert "\n" not in str(found.value)


def test_the_monkey_must_be_known(tmp_path):
    written = tvsd_trials(tmp_path)
    folder = tmp_path / "data"
    shutil.move(written.path.parent, folder)
    path = folder / written.path.name
    with pytest.raises(SessionError, match="which monkey"):
        open_recording(path)
    with pytest.raises(SessionError, match="monkey 'X'"):
        open_recording(path, ReaderOptions(monkey="X"))
    with open_recording(path, ReaderOptions(monkey="f")) as reader:
        assert reader.channels.n_channels == 1024


@pytest.mark.parametrize("fault", ["both", "fewer", "five", "time"])
def test_tables_that_do_not_fit_are_one_clear_line(tmp_path, fault):
    written = tvsd_trials(tmp_path)
    with h5py.File(written.path, "r+") as file:
        table, tb = file["ALLMAT"][:], file["tb"][:]
        if fault == "both":
            table[2] = 3
        elif fault == "fewer":
            table = table[:, :-1]
        elif fault == "five":
            table = table[:5]
        else:
            tb = tb[:-1]
        del file["ALLMAT"], file["tb"]
        file["ALLMAT"], file["tb"] = table, tb
    told = {
        "both": "3 of 6 trials in ALLMAT show both",
        "fewer": "6 trials in ALLMUA, 5 in ALLMAT",
        "five": "expected 6 or 7 columns",
        "time": "tb has 299 times",
    }
    with pytest.raises(SessionError, match=told[fault]):
        open_recording(written.path)


# ------------------------------------------------------------ responses


def test_latents_are_found_beside_the_responses(tmp_path):
    written = brain2gan(tmp_path)
    with open_recording(written.path) as reader:
        stimuli = reader.stimuli()
        assert stimuli is not None
        ids, latents = stimuli
        assert tuple(ids) == reader.trials().stimulus
    stored = read_latents(tmp_path / "StyleGAN3_w.pickle")
    np.testing.assert_array_equal(latents, np.concatenate([stored["train"], stored["test"]]))


def test_latents_of_another_set_are_refused(tmp_path):
    written = brain2gan(tmp_path)
    mat73(tmp_path / "other.mat", {"train_MUA": values(15, 1024), "test_MUA": values(5, 1024)})
    latents = ReaderOptions(latents=tmp_path / "StyleGAN3_w.pickle")
    with open_recording(tmp_path / "other.mat", latents) as reader:
        with pytest.raises(SessionError, match="14 training and 5 test latents, expected 15 and 5"):
            reader.stimuli()
    with open_recording(written.path, latents) as reader:
        assert reader.stimuli() is not None


def test_without_one_pickle_there_are_no_latents(tmp_path):
    written = brain2gan(tmp_path)
    shutil.copy(tmp_path / "StyleGAN3_w.pickle", tmp_path / "other_w.pickle")
    with open_recording(written.path) as reader:
        assert reader.stimuli() is None


def test_matrices_the_other_way_round_are_recognised(tmp_path):
    train, test = values(14, 1024, 1), values(5, 1024, 2)
    path = mat73(tmp_path / "x.mat", {"train_MUA": train.T.copy(), "test_MUA": test.T.copy()})
    with open_recording(path) as reader:
        assert (reader.n_train, reader.n_test) == (14, 5)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(reader.columns(10, 17), np.r_[train[10:], test[:3]])


def test_the_map_of_960_columns_is_the_default_where_the_broken_array_is_dropped(tmp_path):
    path = mat73(tmp_path / "x.mat", {"train_MUA": values(3, 960), "test_MUA": values(2, 960)})
    with open_recording(path) as reader:
        assert reader.channels.takes_all


def test_other_numbers_of_channels_need_a_map(tmp_path):
    path = mat73(tmp_path / "x.mat", {"train_MUA": values(3, 192), "test_MUA": values(2, 192)})
    with pytest.raises(ChannelMapError, match="192 columns"):
        open_recording(path)
    with open_recording(path, ReaderOptions(channels=SMALL)) as reader:
        assert reader.read(0, 5).shape == (5, SMALL.n_channels)


def test_one_matrix_alone_is_named_as_missing(tmp_path):
    path = mat73(tmp_path / "x.mat", {"train_MUA": values(3, 1024), "other": values(2, 10)})
    with pytest.raises(
        SessionError, match="no array of numbers 'test_MUA'.*holds other, train_MUA"
    ):
        open_recording(path)


def test_matrices_of_different_width_are_refused(tmp_path):
    path = mat73(tmp_path / "x.mat", {"train_MUA": values(3, 1024), "test_MUA": values(2, 960)})
    with pytest.raises(SessionError, match="1024 channels in train_MUA, 960 in test_MUA"):
        open_recording(path)


def test_the_published_reliabilities_come_with_the_channel_map_applied(tmp_path):
    written = tvsd_responses(tmp_path)
    with open_recording(written.path) as reader, h5py.File(written.path) as file:
        kept = reader.channels.stream_idx
        for name, shape in (
            ("reliab", (3, 960)),
            ("oracle", (1, 960)),
            ("test_MUA_reps", (3, 4, 960)),
        ):
            found = reader.quality(name)  # type: ignore[attr-defined]
            assert found.shape == shape
            stored = file[name][:] if name != "oracle" else file[name][:].T
            np.testing.assert_array_equal(found, stored[..., kept].astype(np.float32))
        assert reader.quality("SNR") is None  # type: ignore[attr-defined]
