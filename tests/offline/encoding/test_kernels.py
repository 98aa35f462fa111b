from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import ConfigError, EncodingError
from offline.encoding import kernels
from offline.encoding.kernels import across_kernel, kernel_bytes, linear_kernels, n_pieces
from offline.features.feature_space import ArrayFeatures
from offline.scheduling.local_workers import LocalWorkers

N_TRAIN, N_OTHER = 30, 6
TRAIN, OTHER = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_OTHER)
BY_DTYPE = {"float32": 1e-6, "float64": 1e-13}


def space_of(values):
    ids = tuple(f"s{i}" for i in range(len(values)))
    return ArrayFeatures("VGG1", ids, np.asarray(values, np.float32))


@pytest.fixture
def space(rng):
    return space_of(rng.standard_normal((N_TRAIN + N_OTHER, 700)) + 2.0)


def wanted(space, centre=True, train=TRAIN, other=OTHER):
    x = space.values.astype(np.float64)
    if centre:
        x = x - x[train].mean(axis=0)
    return x[train] @ x[train].T, x[other] @ x[train].T


def check(found, space, dtype, centre=True, **rows):
    train, across = wanted(space, centre, **rows)
    atol = BY_DTYPE[dtype] * np.abs(train).max()
    np.testing.assert_allclose(found.train, train, rtol=0, atol=atol)
    np.testing.assert_allclose(found.across, across, rtol=0, atol=atol)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_equal_products_of_all_features_at_once(space, dtype, device, centre):
    found = linear_kernels(
        space, TRAIN, OTHER, dtype=dtype, device=device, centre=centre, block_features=64
    )
    check(found, space, dtype, centre)
    np.testing.assert_array_equal(found.train, found.train.T)


def test_stimuli_may_lie_anywhere_in_the_space_and_come_twice(space):
    train, other = np.array([5, 0, 33, 5, 12]), np.array([33, 2])
    found = linear_kernels(space, train, other, dtype="float64")
    check(found, space, "float64", train=train, other=other)


def test_pieces_are_summed_in_order_whoever_does_them(space, monkeypatch):
    monkeypatch.setattr(kernels, "FEATURES_PER_PIECE", 128)
    steps: list[int] = []
    alone = linear_kernels(space, TRAIN, OTHER, progress=steps.append)
    side_by_side = linear_kernels(space, TRAIN, OTHER, workers=LocalWorkers(3))
    assert sum(steps) == len(steps) == n_pieces(space) == 6
    np.testing.assert_array_equal(side_by_side.train, alone.train)
    np.testing.assert_array_equal(side_by_side.across, alone.across)
    check(alone, space, "float32")


@settings(max_examples=30, deadline=None)
@given(n_features=st.integers(1, 300), block=st.integers(1, 310), seed=st.integers(0, 99))
def test_the_size_of_blocks_changes_nothing_beyond_rounding(n_features, block, seed):
    values = np.random.default_rng(seed).standard_normal((N_TRAIN + N_OTHER, n_features))
    space = space_of(values)
    found = linear_kernels(space, TRAIN, OTHER, dtype="float64", block_features=block)
    check(found, space, "float64")


def test_features_far_from_0_lose_no_precision_in_float32(rng):
    values = rng.standard_normal((N_TRAIN + N_OTHER, 500)) + 1e4 * rng.standard_normal(500)
    space = space_of(values)
    # Of the centred products: 1e8 times smaller than those of the features as they are.
    check(linear_kernels(space, TRAIN, OTHER), space, "float32")


def test_rows_of_a_centred_kernel_sum_to_0(space):
    found = linear_kernels(space, TRAIN, OTHER)
    scale = np.abs(found.train).max()
    assert np.abs(found.train.sum(axis=0)).max() < 1e-12 * scale
    assert np.abs(found.across.sum(axis=1)).max() < 1e-12 * scale


def test_features_of_the_space_are_not_changed(space):
    before = space.values.copy()

    class Lent:
        name, ids, n_features = space.name, space.ids, space.n_features

        def block(self, rows, columns):
            return space.values[:, columns] if columns.start else space.values[:]

    rows = np.arange(len(space.values))
    linear_kernels(Lent(), rows, rows[:0], block_features=space.n_features)
    np.testing.assert_array_equal(space.values, before)


@pytest.mark.parametrize("centre", [True, False])
def test_rows_of_further_stimuli_are_those_of_the_same_pass(space, centre):
    found = linear_kernels(space, TRAIN, OTHER, centre=centre).across
    again = across_kernel(space, TRAIN, OTHER, centre=centre)
    np.testing.assert_allclose(again, found, rtol=0, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize(("row", "column"), [(3, 650), (N_TRAIN + 1, 2)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named(space, row, column, value):
    values = space.values.copy()
    values[row, column] = value
    with pytest.raises(EncodingError, match=rf"1 stimuli .*first is s{row}, feature {column}\)"):
        linear_kernels(replace(space, values=values), TRAIN, OTHER, block_features=64)


def test_products_beyond_float32_are_refused(space):
    with pytest.raises(EncodingError, match="too large to be multiplied in float32"):
        linear_kernels(replace(space, values=space.values * np.float32(1e20)), TRAIN, OTHER)


@dataclass
class Drawn:
    """Features that are made when they are read, and so take no memory."""

    name = "drawn"
    n_features: int
    n: int

    @property
    def ids(self):
        return tuple(map(str, range(self.n)))

    def block(self, rows, columns):
        shape = (len(rows), columns.stop - columns.start)
        return np.random.default_rng(columns.start).random(shape, np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workers", [None, LocalWorkers(2)], ids=["alone", "two"])
def test_memory_stays_within_what_is_given_and_what_is_said(dtype, workers):
    n, memory = 300, 6 * 1024**2
    space = Drawn(2**15, n)
    rows = np.arange(n)
    linear_kernels(Drawn(256, n), rows[:250], rows[250:])
    tracemalloc.start()
    linear_kernels(space, rows[:250], rows[250:], dtype=dtype, workers=workers, memory=memory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < memory
    # Not by far too much either, or fewer blocks than fit would be used.
    assert peak > memory / 6


def test_too_little_memory_is_refused_before_anything_is_read(space):
    class Unread:
        name, ids, n_features = space.name, space.ids, space.n_features

        def block(self, rows, columns):
            raise AssertionError("read")

    needed = kernel_bytes(N_TRAIN, N_OTHER, 64, "float32", 1)
    with pytest.raises(ConfigError, match="the kernel of 30 training and 6 other stimuli takes"):
        linear_kernels(Unread(), TRAIN, OTHER, memory=needed - 1)
    linear_kernels(space, TRAIN, OTHER, memory=needed)
