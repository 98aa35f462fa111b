"""The fit of one window as a piece of work, for threads of this process or workers of a cluster.

For fitting.py. What every window needs is sent once; a window's features come, its map and figures go back, and its
held-out predictions only where smoothing needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from offline.decoding.methods import (
    LINEAR_METHODS,
    LinearMethod,
    Solve,
    WindowFit,
    WindowMap,
    ols,
    ridge,
)
from offline.regression.folds import Fold
from offline.regression.ridge_forms import SharedTargets
from offline.scheduling.workers import Workers

Float32 = NDArray[np.float32]

TRIALS_AT_ONCE = 64

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EveryWindow:
    """What the fit of every window needs.

    Attributes
    ----------
    solve : Solve
    latents : SharedTargets
    channel_idx : int, axes (read channel,), or None
    keep_held_out : bool
        Whether held-out predictions are wanted.
    """

    solve: Solve
    latents: SharedTargets
    channel_idx: NDArray[np.integer] | None
    keep_held_out: bool


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A window's map, what was chosen, the held-out share of variance explained, and the predictions if wanted."""

    map: WindowMap
    chosen: dict[str, float]
    explained: float
    held_out: Float32 | None


@dataclass(frozen=True, slots=True)
class WithinFold:
    """What the fits on the training trials of each fold need."""

    solve: Solve
    channel_idx: NDArray[np.integer] | None


def fit_window(work: EveryWindow, features: Float32) -> WindowResult:
    """Fit one window; features are float32, axes (trial, channel)."""
    one = work.solve(_read(features, work.channel_idx), work.latents)
    held_out = one.held_out if work.keep_held_out else None
    return WindowResult(one.map, one.chosen, _explained(one, work.latents), held_out)


def fit_within(
    work: WithinFold, item: tuple[Float32, NDArray[np.floating], Sequence[Fold]]
) -> WindowMap:
    """Fit the training trials of one fold: their features, latents, and folds within them."""
    features, latents, folds = item
    return work.solve(_read(features, work.channel_idx), SharedTargets.of(latents, folds)).map


def run_pieces(
    workers: Workers | None,
    function: Callable[[Shared, Item], Result],
    items: Iterator[Item],
    shared: Shared,
    at_once: int,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """Yield each piece's result in order; without workers, one after the other on all processors."""
    if workers is not None:
        yield from workers.run(function, items, shared=shared, at_once=at_once, progress=progress)
        return
    for item in items:
        yield function(shared, item)
        if progress:
            progress(1)


def solve_of(
    method: LinearMethod, groups: NDArray[np.integer] | str, latent_block: int | None
) -> Solve:
    """Return a method's way to fit one window."""
    if method == "ridge":
        return partial(ridge, groups=groups, latent_block=latent_block)
    if method == "ols":
        return partial(ols, latent_block=latent_block)
    return LINEAR_METHODS[method]


def _read(features: Float32, channel_idx: NDArray[np.integer] | None) -> Float32:
    return features if channel_idx is None else features[:, channel_idx]


def _explained(one: WindowFit, latents: SharedTargets) -> float:
    """Return the share of the latents' variance that held-out predictions explain; at most 1."""
    rest = total = 0.0
    for start in range(0, len(one.held_out), TRIALS_AT_ONCE):
        rows = slice(start, start + TRIALS_AT_ONCE)
        known = np.isfinite(one.held_out[rows]).all(axis=1)
        truth = latents.centred[rows][known]
        error = truth + latents.mean - one.held_out[rows][known]
        rest += float(np.square(error).sum())
        total += float(np.square(truth).sum())
    return float(1.0 - rest / total) if total > 0 else 0.0
