from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from b2g_rt.errors import ConfigError
from offline.decoding.fit_memory import FitSize, plan_fit
from offline.decoding.fitting import fit
from offline.regression.folds import folds_by_stimulus
from offline.scheduling.local_workers import LocalWorkers

MIB = 1024**2


class Cluster:
    """The size of one: 3 processes of 2 threads."""

    here = False
    n_slots = 6
    slots_per_process = 2

    def run(self, *args, **kwargs):
        raise NotImplementedError


def drawn(rng, n_trials, n_windows, n_channels, n_latents):
    features = rng.standard_normal((n_trials, n_windows, n_channels), np.float32)
    mixing = rng.standard_normal((n_channels, n_latents), np.float32) / n_channels**0.5
    noise = rng.standard_normal((n_trials, n_latents), np.float32)
    return features, features[:, -1] @ mixing + noise


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MANY_TRIALS = (400, 3, 60, 30)
MANY_CHANNELS = (200, 2, 300, 40)
MANY_LATENTS = (150, 2, 30, 600)


@pytest.mark.parametrize(
    ("method", "shape", "smoothing"),
    [
        ("ols", MANY_TRIALS, "none"),
        ("ols", MANY_CHANNELS, "none"),
        ("ridge", MANY_TRIALS, "none"),
        ("ridge", MANY_CHANNELS, "none"),
        ("ridge", MANY_LATENTS, "none"),
        ("ridge", MANY_TRIALS, "kalman"),
        ("ridge", MANY_LATENTS, "kalman"),
        ("reduced_rank", MANY_CHANNELS, "none"),
        ("reduced_rank", MANY_LATENTS, "none"),
        ("pls", MANY_LATENTS, "none"),
    ],
)
def test_a_fit_takes_no_more_than_its_figure_and_more_than_a_tenth(method, shape, smoothing, rng):
    features, latents = drawn(rng, *shape)
    folds = folds_by_stimulus([str(i) for i in range(shape[0])])
    workers = LocalWorkers(2)
    n_trials, n_windows, n_channels, n_latents = shape
    size = FitSize(method, n_trials, n_windows, n_channels, n_latents, 5, smoothing != "none")

    def run():
        fit(method, features, latents, folds, smoothing=smoothing, workers=workers)

    run()
    figure = plan_fit(size, workers).here
    assert figure / 10 < peak_of(run) <= figure


@pytest.mark.parametrize("method", ["ols", "ridge"])
def test_with_less_memory_a_fit_is_cut_smaller_stays_within_it_and_says_the_same(method, rng):
    shape = (300, 3, 40, 800)
    features, latents = drawn(rng, *shape)
    folds = folds_by_stimulus([str(i) for i in range(shape[0])])
    workers = LocalWorkers(2)
    n_trials, n_windows, n_channels, n_latents = shape
    size = FitSize(method, n_trials, n_windows, n_channels, n_latents, 5)
    said: list[str] = []

    whole = fit(method, features, latents, folds, workers=workers)
    memory = int(0.6 * plan_fit(size, workers).here)

    def blockwise():
        return fit(
            method, features, latents, folds, workers=workers, memory=memory, say=said.append
        )

    taken = peak_of(blockwise)
    assert taken <= plan_fit(size, workers, memory).here <= memory
    assert "1 window at once" in said[0] or "blocks of" in said[0]
    found = blockwise()
    for one, other in zip(found.windows, whole.windows, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_fewer_windows_at_once_come_before_small_blocks():
    size = FitSize("ridge", 4000, 9, 960, 512, 5)
    workers = LocalWorkers(8)
    free = plan_fit(size, workers)
    assert (free.at_once, free.latent_block) == (8, None)
    plans = [plan_fit(size, workers, int(share * free.here)) for share in (0.9, 0.7, 0.5, 0.3)]
    at_once = [plan.at_once for plan in plans]
    assert at_once == sorted(at_once, reverse=True)
    assert all(
        plan.here <= share * free.here
        for plan, share in zip(plans, (0.9, 0.7, 0.5, 0.3), strict=True)
    )


def test_too_little_memory_is_one_clear_line_with_what_is_needed():
    size = FitSize("ridge", 4000, 9, 960, 512, 5, smoothed=True)
    with pytest.raises(ConfigError, match=r"takes \S+ [GM]iB, 10 MiB of --memory .*--smoothing"):
        plan_fit(size, LocalWorkers(2), 10 * MIB)


def test_on_a_cluster_both_figures_are_said_and_bound():
    size = FitSize("ridge", 4000, 9, 960, 512, 5)
    free = plan_fit(size, Cluster())
    assert free.at_once == 6
    assert "here" in free.line()
    assert "in each worker (6 windows at once)" in free.line()
    tight = plan_fit(size, Cluster(), int(0.7 * free.each_worker))
    assert max(tight.here, tight.each_worker) <= 0.7 * free.each_worker
    # All of them may come to one worker.
    assert tight.latent_block or tight.at_once == 1
