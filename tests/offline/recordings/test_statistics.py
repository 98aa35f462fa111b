from __future__ import annotations

import numpy as np
import pytest

from offline.recordings.cache import cached_arrays
from offline.recordings.statistics import ChannelStatistics, merged_statistics


@pytest.mark.parametrize("block", [1, 7, 64, 1000], ids="block={}".format)
def test_statistics_of_blocks_equal_those_of_the_whole_recording(rng, block):
    values = (rng.normal(size=(1000, 5)) * [1, 10, 0.01, 1, 0] + [0, 1000, 5000, -3, 7]).astype(
        np.float32
    )
    total = merged_statistics(
        ChannelStatistics.of(values[i : i + block]) for i in range(0, 1000, block)
    )
    wide = values.astype(np.float64)
    np.testing.assert_allclose(total.mean, wide.mean(0), rtol=1e-12)
    np.testing.assert_allclose(total.sd, wide.std(0), rtol=1e-9, atol=1e-12)


def test_nan_and_infinite_samples_do_not_count(rng):
    values = rng.normal(size=(400, 3)).astype(np.float32)
    clean = values.astype(np.float64)
    values[10:20, 0] = np.nan
    values[5, 1] = np.inf
    values[:, 2] = np.nan
    total = merged_statistics(ChannelStatistics.of(v) for v in np.split(values, 4))
    assert total.count.tolist() == [390, 399, 0]
    np.testing.assert_allclose(total.mean[0], np.delete(clean[:, 0], np.arange(10, 20)).mean())
    np.testing.assert_allclose(total.sd[1], np.delete(clean[:, 1], 5).std())
    assert total.sd[2] == 0


def test_cached_arrays_are_computed_once_for_the_same_key(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3)}

    for key in ({"seed": 1, "n": 2}, {"n": 2, "seed": 1}, {"seed": 2, "n": 2}):
        np.testing.assert_array_equal(cached_arrays(tmp_path, "x", key, compute)["a"], [0, 1, 2])
    assert len(calls) == 2


def test_a_broken_cache_file_is_computed_again(tmp_path):
    cached_arrays(tmp_path, "x", {}, lambda: {"a": np.arange(3)})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    again = cached_arrays(tmp_path, "x", {}, lambda: {"a": np.arange(4)})
    assert len(again["a"]) == 4
