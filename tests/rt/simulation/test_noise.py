"""The noise has the variance, the modes and the independence of block sizes that it promises."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.noise import BLOCK, WINDOW, Noise, NoiseSpec, noise_modes

CHANNELS = ChannelMap(
    192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64, dead=True), ArraySlot(2, "IT", 128))
)


@pytest.fixture(scope="module")
def window_means() -> np.ndarray:
    """Means over windows of 100 samples, axes (window, stream column)."""
    noise = Noise(
        noise_modes(NoiseSpec(), CHANNELS),
        CHANNELS.stream_idx,
        CHANNELS.n_stream_channels,
        np.ones(192, np.float32),
        seed=4,
    )
    blocks = [noise.next_block() for _ in range(400)]
    return np.concatenate([b.reshape(-1, WINDOW, 192).mean(axis=1) for b in blocks])


def test_mean_over_a_window_has_unit_variance_in_every_column(window_means: np.ndarray) -> None:
    assert window_means.var(axis=0) == pytest.approx(np.ones(192), abs=0.1)
    assert window_means.var(axis=0).mean() == pytest.approx(1.0, abs=0.01)


def test_global_mode_holds_a_tenth_and_arrays_and_neighbours_share_more(
    window_means: np.ndarray,
) -> None:
    correlation = np.corrcoef(window_means.T)
    live = CHANNELS.stream_idx
    between = correlation[np.ix_(live[:64], live[64:])].mean()
    assert between == pytest.approx(0.10, abs=0.02)
    grid = np.arange(64).reshape(8, 8)
    neighbours = correlation[grid[:, :-1], grid[:, 1:]].mean()
    corners = correlation[grid[0, 0], grid[7, 7]]
    assert neighbours == pytest.approx(0.20, abs=0.02)
    assert neighbours > corners


def test_dead_columns_carry_noise_that_no_other_column_has(window_means: np.ndarray) -> None:
    correlation = np.corrcoef(window_means.T)
    others = np.concatenate([correlation[64:128, :64], correlation[64:128, 128:]], axis=1)
    assert abs(others.mean()) < 0.01


def test_modes_have_the_same_variance_in_every_channel() -> None:
    spec = NoiseSpec(global_share=0.1, array_share=0.07, distance_share=0.2)
    shared = np.square(noise_modes(spec, CHANNELS)).sum(axis=0)
    assert shared == pytest.approx(np.full(128, 0.37))
    assert spec.private_share == pytest.approx(0.63)


def test_temporal_kernel_runs_across_the_borders_of_internal_blocks() -> None:
    noise = Noise(np.zeros((1, 0)), np.empty(0, np.int64), 200, np.ones(200, np.float32), seed=1)
    x = np.concatenate([noise.next_block() for _ in range(200)])
    border = np.arange(1, 200) * BLOCK
    across = np.mean(x[border] * x[border - 1]) / x.var()
    within = np.mean(x[border + 500] * x[border + 499]) / x.var()
    assert within == pytest.approx(2 / 3, abs=0.02)
    assert across == pytest.approx(2 / 3, abs=0.02)
