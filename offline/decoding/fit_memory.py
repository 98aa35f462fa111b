"""How much memory a fit takes, and how it is cut so that it stays within what it may take.

Figures are what arrays take at most, beyond the program itself and the features and latents that the caller holds;
tests compare them with what is taken. Fewer windows at once come first, then latents in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from b2g_rt.errors import ConfigError
from offline.decoding.methods import MAX_PLS_COMPONENTS
from offline.regression.ridge_search import search_bytes
from offline.scheduling.memory import size_text
from offline.scheduling.one_piece import n_processors
from offline.scheduling.workers import Workers

SMALLEST_BLOCK = 16
"""Latents; smaller blocks would take longer and hardly less memory."""


@dataclass(frozen=True, slots=True)
class FitSize:
    """What is to be fitted.

    Attributes
    ----------
    method : str
    n_trials, n_windows, n_channels, n_latents, n_folds : int
    smoothed : bool
        Whether held-out predictions of all windows are kept.
    """

    method: str
    n_trials: int
    n_windows: int
    n_channels: int
    n_latents: int
    n_folds: int
    smoothed: bool = False


@dataclass(frozen=True, slots=True)
class FitMemory:
    """How a fit is cut.

    Attributes
    ----------
    at_once : int
        Windows under way together.
    latent_block : int or None
        Latents worked on at once; None: all.
    here : int
        Bytes in this process, at most.
    each_worker : int
        Bytes in each worker process, at most; 0 where the work is done here.
    """

    at_once: int
    latent_block: int | None
    here: int
    each_worker: int

    def line(self) -> str:
        """Return one line for people."""
        text = f"memory: at most {size_text(self.here)} here"
        if self.each_worker:
            text += f", {size_text(self.each_worker)} in each worker"
        plural = "s" if self.at_once > 1 else ""
        blocks = f", latents in blocks of {self.latent_block}" if self.latent_block else ""
        return f"{text} ({self.at_once} window{plural} at once{blocks})"


def plan_fit(size: FitSize, workers: Workers, memory: int | None = None) -> FitMemory:
    """Return how to cut a fit.

    Parameters
    ----------
    size : FitSize
    workers : Workers
    memory : int, optional
        Bytes that it may take in each process; without, all slots are used and all latents taken at once.

    Raises
    ------
    ConfigError
        One window at a time, with the smallest blocks, takes more.
    """
    at_once, blocks = min(workers.slots_per_process, size.n_windows), _blocks(size)
    smallest = None
    for n in range(at_once, 0, -1):
        for block in blocks:
            found = _cut(size, workers, n, block)
            smallest = found
            if memory is None or max(found.here, found.each_worker) <= memory:
                return found
            if n > 1 and block is not None and block <= 4 * SMALLEST_BLOCK:
                # Fewer windows at once, rather than tiny blocks.
                break
    assert smallest is not None
    needed = max(smallest.here, smallest.each_worker)
    raise ConfigError(
        f"fit: one window of {size.n_trials} trials, {size.n_channels} channels and {size.n_latents} latents takes "
        f"{size_text(needed)}, {size_text(memory or 0)} of --memory are left for it. Give more, or fit fewer trials or "
        f"channels{', or leave out --smoothing' if size.smoothed else ''}."
    )


def _blocks(size: FitSize) -> list[int | None]:
    blocks: list[int | None] = [None]
    n = size.n_latents // 2
    while size.method in ("ols", "ridge") and n >= SMALLEST_BLOCK:
        blocks.append(n)
        n //= 2
    return blocks


def _cut(size: FitSize, workers: Workers, n: int, block: int | None) -> FitMemory:
    """Return what a fit takes with ``n`` windows at once in a process."""
    item = 2 * 4 * size.n_trials * size.n_channels
    shared = 2 * 8 * size.n_trials * size.n_latents
    maps = 8 * size.n_windows * size.n_channels * size.n_latents
    here = shared + 2 * maps
    if size.smoothed:
        # Predictions, their stack, and what choosing a smoothing makes of them in float64.
        here += 36 * size.n_windows * size.n_trials * size.n_latents
    if workers.here:
        share = max(1, n_processors() // n)
        return FitMemory(n, block, here + n * (item + _piece(size, block, share)), 0)
    full = n >= min(workers.slots_per_process, size.n_windows)
    at_once = min(workers.n_slots if full else n, size.n_windows)
    return FitMemory(
        at_once, block, here + at_once * 2 * item, shared + n * (item + _piece(size, block, 1))
    )


def _piece(size: FitSize, block: int | None, share: int) -> int:
    """Return what one window takes while it is fitted, besides its features and the latents."""
    t, c, y, f = size.n_trials, size.n_channels, size.n_latents, size.n_folds
    if size.method in ("ols", "ridge"):
        return search_bytes(t, c, y, f, block, min(share, f + 1))
    if size.method == "reduced_rank":
        kept = f * (c * c + c * y + y * y + (t // f + 1) * (c + 2 * y))
        return 8 * (3 * t * c + 3 * t * y + kept + 5 * c * c + 5 * y * y + 3 * c * y)
    if size.method == "pls":
        kept = f * MAX_PLS_COMPONENTS * (c + y)
        return 8 * (5 * t * c + 4 * t * y + kept + 5 * c * c + 3 * c * y)
    # Attention: features of all windows as torch holds them, once more for the batch at work.
    return 3 * 4 * t * size.n_windows * (c + y)
