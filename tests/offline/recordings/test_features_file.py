from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import paper_windows
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser
from offline.decoding.fitting import fit
from offline.recordings.features import features_bytes, window_features, window_features_file
from offline.recordings.features_file import (
    FeaturesFile,
    array_of,
    finite_trials,
    joined_features,
    kept_features_file,
    trials_of,
    window_of,
    write_features,
)
from offline.recordings.recording import Block
from offline.regression.folds import folds_by_stimulus
from offline.scheduling.local_workers import LocalWorkers

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
SPEC = paper_windows()


def normaliser(kind="running"):
    return Normaliser(Normalisation(kind=kind), np.zeros(192), np.ones(192), 1000.0)


def blocks(n_samples, size=700):
    rng = np.random.default_rng(1)
    for start in range(0, n_samples, size):
        n = min(size, n_samples - start)
        yield Block(np.arange(start, start + n), rng.standard_normal((n, 192)).astype(np.float32))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    onsets=st.lists(st.integers(-300, 9500), min_size=1, max_size=150),
    in_order=st.booleans(),
)
def test_a_file_holds_the_bits_of_the_array_in_any_order_of_trials(onsets, in_order, tmp_path):
    at = np.array(sorted(onsets) if in_order else onsets, np.int64)
    wanted = window_features(blocks(9000), at, SPEC, CHANNELS, normaliser())
    path = tmp_path / "features.h5"
    written = window_features_file(path, blocks(9000), at, SPEC, CHANNELS, normaliser())
    for found in (written, FeaturesFile.of(path)):
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(finite_trials(found), finite_trials(wanted))
        for k in range(wanted.shape[1]):
            np.testing.assert_array_equal(window_of(found, k), wanted[:, k])


def filled(path, values):
    n_trials, n_windows, n_channels = values.shape
    pairs = ((t, k, values[t, k]) for t in range(n_trials) for k in range(n_windows))
    return write_features(path, pairs, np.arange(n_trials), n_windows, n_channels)


def test_some_trials_of_several_files_are_those_of_the_arrays(rng, tmp_path):
    arrays = [rng.standard_normal((n, 3, 5)).astype(np.float32) for n in (70, 9)]
    files = [filled(tmp_path / f"{i}.h5", a) for i, a in enumerate(arrays)]
    idx = np.array([3, 78, 0, 69, 70])
    wanted = joined_features(arrays)[idx]
    found = trials_of(joined_features(files), idx)
    for k in range(3):
        np.testing.assert_array_equal(window_of(found, k), wanted[:, k])
    again = trials_of(found, np.array([4, 1]))
    np.testing.assert_array_equal(window_of(again, 1), wanted[[4, 1], 1])


def test_a_fit_from_a_file_is_the_fit_from_the_array(rng, tmp_path):
    features = rng.standard_normal((90, 3, 8)).astype(np.float32)
    latents = (features[:, 2] @ rng.standard_normal((8, 4))).astype(np.float32)
    folds = folds_by_stimulus([str(i) for i in range(90)])
    file = filled(tmp_path / "features.h5", features)
    found = fit("ridge", file, latents, folds, workers=LocalWorkers(2))
    wanted = fit("ridge", features, latents, folds, workers=LocalWorkers(2))
    assert found.windows == wanted.windows


def test_writing_and_reading_hold_a_small_part_of_the_features(tmp_path):
    onsets = np.arange(300, 300 + 1200 * 40, 40)
    n_samples = int(onsets[-1]) + 600
    whole = features_bytes(len(onsets), SPEC, 192)
    path = tmp_path / "features.h5"

    def peak_of(function):
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def write():
        z = normaliser("frozen")
        return window_features_file(path, blocks(n_samples, 200), onsets, SPEC, CHANNELS, z)

    def naive():
        return window_features(blocks(n_samples), onsets, SPEC, CHANNELS, normaliser("frozen"))

    assert peak_of(naive) > whole
    assert peak_of(write) < whole / 3
    file = FeaturesFile.of(path)
    assert peak_of(lambda: file.window(4)) < 2.2 * whole / SPEC.n_windows


def test_an_interrupted_writing_leaves_no_file(tmp_path):
    def broken():
        yield 0, 0, np.zeros(5, np.float32)
        raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        write_features(tmp_path / "features.h5", broken(), np.arange(3), 2, 5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "text", "another"])
def test_a_file_that_is_none_is_one_clear_line(damage, tmp_path, rng):
    path = tmp_path / "features.h5"
    filled(path, rng.standard_normal((4, 2, 3)).astype(np.float32))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:900])
    elif damage == "text":
        path.write_text("features")
    else:
        with h5py.File(path, "w") as file:
            file["features"] = np.zeros((2, 2, 2))
    with pytest.raises(SessionError, match=r"features.h5: cannot be read .* Delete it."):
        FeaturesFile.of(path)


def test_features_kept_in_a_folder_are_written_once_and_again_when_broken(rng, tmp_path):
    values = rng.standard_normal((4, 2, 3)).astype(np.float32)
    written = []

    def write(path):
        written.append(path)
        return filled(path, values)

    for damaged, n in ((False, 1), (False, 1), (True, 2)):
        if damaged:
            written[0].write_bytes(b"half")
        found = kept_features_file(tmp_path / "work", {"session": "monday"}, write)
        assert len(written) == n
        np.testing.assert_array_equal(array_of(found), values)
    assert kept_features_file(tmp_path / "work", {"session": "tuesday"}, write).paths != found.paths
