"""The alias-free activation with separable filters in one pass over memory, forward and backward, on the CPU.

For ``filtered_activation``, which falls back to plain convolutions where this does not serve. A row of the high-rate
signal is made, activated and filtered down again before the next one, 16 channels at a time, so that the high-rate
signal never exists as a whole: a step of training is several times faster. Needs numba; must not know layers.

Notation: the up filter at high-rate sample t = factor * q + r reads low-rate samples q + first[r] + m with weights
``up[r, m]``, m < 6; the down filter at output i reads high-rate samples 2 i + k with weights ``down[k]``, k < 12.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TAPS = 6
"""Taps per phase, of every filter that StyleGAN3 designs."""

BLOCK = 16
"""Channels computed together: one AVX-512 register, two of AVX2."""


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """What the pass needs to know of a layer.

    Attributes
    ----------
    up : float32, axes (phase, tap)
        Gain included.
    first : int64, axes (phase,)
    down : float32, axes (tap,)
    tmp_size, out_size : int
        Rows (and columns) at the high rate and of the output.
    slope, gain, clamp : float
        Of the leaky ReLU.
    """

    up: NDArray[np.float32]
    first: NDArray[np.int64]
    down: NDArray[np.float32]
    tmp_size: int
    out_size: int
    slope: float
    gain: float
    clamp: float

    def settings(self, rows: int) -> tuple[Any, ...]:
        """Return the kernels' arguments for an input of so many rows and columns, zeros around it included."""
        factor = len(self.first)
        # Whole low-rate steps, and room for all that the down filter reads.
        half = -(-max(self.tmp_size, 2 * self.out_size + 10) // factor) * factor // 2
        before = max(0, int(-self.first.min()))
        last = (2 * half - 1) // factor + int(self.first.max()) + TAPS - 1
        after = max(0, last - (rows - 1))
        sizes = np.array([self.out_size, half, before, after, before, after], np.int64)
        numbers = np.array([self.slope, self.gain, self.clamp], np.float32)
        down = np.ascontiguousarray(self.down.reshape(TAPS, 2).T)
        return self.up, self.first, down, sizes, numbers


def phases(
    taps: NDArray[np.float64], factor: int, low: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Split an up filter into its phases.

    Parameters
    ----------
    taps : float64, axes (tap,)
        Flipped, with gain; 6 * factor of them.
    factor : int
    low : int
        Zeros before the first zero-inserted sample; negative: samples cropped.

    Returns
    -------
    up : float32, axes (phase, tap)
    first : int64, axes (phase,)
    """
    first = np.array([-((low - r) // factor) for r in range(factor)], np.int64)
    offset = factor * first + low - np.arange(factor)  # within 0..factor - 1
    up = np.stack([taps[o::factor] for o in offset])
    return np.ascontiguousarray(up, np.float32), first


class FusedActivation(torch.autograd.Function):
    """``FusedActivation.apply(x (N, C, row, col), filters)``; only x gets a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Filters) -> Tensor:
        """Return (N, C, row, col) at the output's rate, rows first in memory."""
        ctx.save_for_backward(x)
        ctx.filters = filters
        n, c = x.shape[:2]
        size = filters.out_size
        out = torch.empty((n, size, size, c), dtype=torch.float32)
        _shared(_kernels()[0], n, c, _rows_first(x), out.numpy(), *filters.settings(x.shape[2]))
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        """Return the gradient of x; the high-rate signal is made again, not kept."""
        (x,) = ctx.saved_tensors
        n, c, rows, cols = x.shape
        grad = torch.empty((n, rows, cols, c), dtype=torch.float32)
        arrays = _rows_first(x), _rows_first(grads[0]), grad.numpy()
        _shared(_kernels()[1], n, c, *arrays, *ctx.filters.settings(rows))
        return grad.permute(0, 3, 1, 2), None


def _rows_first(x: Tensor) -> NDArray[np.float32]:
    """Return a view or copy, axes (N, row, col, channel)."""
    array: NDArray[np.float32] = x.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return array


def _shared(kernel: Callable[..., None], n: int, channels: int, *arguments: Any) -> None:
    """Run a kernel on all samples and blocks of channels, as many threads as torch uses, this one among them.

    Threads of our own: OpenMP's would be a second pool beside torch's, whose idle threads spin on the same cores.
    """
    n_jobs = n * -(-channels // BLOCK)
    n_threads = min(torch.get_num_threads(), n_jobs)
    ends = [n_jobs * i // n_threads for i in range(n_threads + 1)]
    others = [
        _pool().submit(kernel, *arguments, begin, end)
        for begin, end in zip(ends[1:-1], ends[2:], strict=True)
    ]
    kernel(*arguments, 0, ends[1])
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "activation")


@cache
def _kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compile: some seconds, once per process."""
    import numba

    fast = {"contract", "reassoc", "nsz"}
    inline = numba.njit(fastmath=fast, nogil=True)
    combine, combine_more = inline(_combine), inline(_combine_more)
    load, activate, slant = inline(_load), inline(_activate), inline(_slant)

    def raised(low, high, spare, up, first, before):
        """One high-rate row from one at the low rate, as its even and its odd samples."""
        factor = up.shape[0]
        for r in range(factor):
            start = (first[r] + before) * BLOCK
            if factor == 2:
                length = high.shape[1]
                combine(high[r], length, low[start:], BLOCK, up[r])
                continue
            length = min(spare.shape[0], low.shape[0] - start - 5 * BLOCK)
            combine(spare, length, low[start:], BLOCK, up[r])
            goal = high[r % 2]
            shift, step = r // 2 * BLOCK, factor // 2 * BLOCK
            for i in range(high.shape[1] // step):
                for c in range(BLOCK):
                    goal[shift + i * step + c] = spare[i * BLOCK + c]

    raised = inline(raised)

    def forward(x, out, up, first, down, sizes, numbers, begin, end):
        n, rows, cols, channels = x.shape
        out_size, half, above, below, before, after = sizes
        slope, gain, clamp = numbers
        factor = up.shape[0]
        blocks = (channels + BLOCK - 1) // BLOCK
        n_in, n_out = cols * BLOCK, out_size * BLOCK
        for job in range(begin, end):
            sample, c0 = job // blocks, (job % blocks) * BLOCK
            width = min(BLOCK, channels - c0)
            plane = np.zeros((above + rows + below) * n_in, np.float32)
            load(x[sample], plane[above * n_in :], c0, width)
            low = np.zeros((before + cols + after) * BLOCK, np.float32)
            high = np.zeros((2, half * BLOCK), np.float32)
            spare = np.zeros(half * BLOCK, np.float32)
            ring = np.zeros((2, 6 * n_out), np.float32)
            weights = np.zeros((6, 2, 6), np.float32)
            for turn in range(6):
                for m in range(6):
                    weights[turn, 0, (turn + m) % 6] = down[0, m]
                    weights[turn, 1, (turn + m) % 6] = down[1, m]
            total = np.zeros(n_out, np.float32)
            for t in range(2 * out_size + 10):
                r = t % factor
                start = (t // factor + first[r] + above) * n_in
                combine(low[before * BLOCK :], n_in, plane[start:], n_in, up[r])
                raised(low, high, spare, up, first, before)
                activate(high, slope, gain, clamp)
                line = ring[t % 2, (t // 2 % 6) * n_out :]
                combine(line, n_out, high[0], BLOCK, down[0])
                combine_more(line, n_out, high[1], BLOCK, down[1])
                if t >= 11 and t % 2 == 1:
                    row = (t - 11) // 2
                    combine(total, n_out, ring[0], n_out, weights[row % 6, 0])
                    combine_more(total, n_out, ring[1], n_out, weights[row % 6, 1])
                    for i in range(out_size):
                        for c in range(width):
                            out[sample, row, i, c0 + c] = total[i * BLOCK + c]

    def backward(x, grad_out, grad, up, first, down, sizes, numbers, begin, end):
        n, rows, cols, channels = x.shape
        out_size, half, above, below, before, after = sizes
        slope, gain, clamp = numbers
        factor = up.shape[0]
        blocks = (channels + BLOCK - 1) // BLOCK
        n_in, n_out = cols * BLOCK, out_size * BLOCK
        n_high = (out_size + 5) * BLOCK
        back = np.zeros((2, 6), np.float32)
        for m in range(6):
            back[0, m], back[1, m] = down[0, 5 - m], down[1, 5 - m]
        turned = np.zeros((factor, 6), np.float32)
        for r in range(factor):
            for m in range(6):
                turned[r, m] = up[r, 5 - m]
        # Sample q of phase r came from low-rate columns q + first[r] + m: zeros around make all of them exist.
        lead = max(0, first.max()) + 5
        per_phase = lead + max((2 * half + factor - 1) // factor, cols - first.min()) + 1
        for job in range(begin, end):
            sample, c0 = job // blocks, (job % blocks) * BLOCK
            width = min(BLOCK, channels - c0)
            plane = np.zeros((above + rows + below) * n_in, np.float32)
            load(x[sample], plane[above * n_in :], c0, width)
            coming = np.zeros((out_size + 10) * n_out, np.float32)
            load(grad_out[sample], coming[5 * n_out :], c0, width)
            found = np.zeros((above + rows + below, n_in), np.float32)
            low = np.zeros((before + cols + after) * BLOCK, np.float32)
            high = np.zeros((2, half * BLOCK), np.float32)
            spare = np.zeros(half * BLOCK, np.float32)
            line = np.zeros((out_size + 10) * BLOCK, np.float32)
            phase = np.zeros((factor, per_phase * BLOCK), np.float32)
            slanted = np.zeros(n_high, np.float32)
            gone = np.zeros(n_in, np.float32)
            for t in range(2 * out_size + 10):
                r = t % factor
                start = t // factor + first[r] + above
                combine(low[before * BLOCK :], n_in, plane[start * n_in :], n_in, up[r])
                raised(low, high, spare, up, first, before)
                combine(line[5 * BLOCK :], n_out, coming[(t // 2) * n_out :], n_out, back[t % 2])
                for p in range(2):
                    combine(slanted, n_high, line, BLOCK, back[p])
                    slant(slanted, high[p], n_high, slope, gain, clamp)
                    if factor == 2:
                        phase[p, lead * BLOCK : lead * BLOCK + n_high] = slanted
                        continue
                    for i in range(out_size + 5):
                        goal = phase[(2 * i + p) % factor]
                        at = (lead + (2 * i + p) // factor) * BLOCK
                        for c in range(BLOCK):
                            goal[at + c] = slanted[i * BLOCK + c]
                for s in range(factor):
                    source = phase[s, (lead - first[s] - 5) * BLOCK :]
                    if s == 0:
                        combine(gone, n_in, source, BLOCK, turned[s])
                    else:
                        combine_more(gone, n_in, source, BLOCK, turned[s])
                for m in range(6):
                    weight = up[r, m]
                    goal = found[start + m]
                    for i in range(n_in):
                        goal[i] += weight * gone[i]
            for i in range(rows):
                for j in range(cols):
                    for c in range(width):
                        grad[sample, i, j, c0 + c] = found[above + i, j * BLOCK + c]

    return inline(forward), inline(backward)


def _load(source: Any, plane: Any, c0: int, width: int) -> None:
    """Copy 16 channels of a sample, (row, col, channel), to a flat plane."""
    rows, cols = source.shape[0], source.shape[1]
    for i in range(rows):
        for j in range(cols):
            for c in range(width):
                plane[(i * cols + j) * 16 + c] = source[i, j, c0 + c]


def _combine(goal: Any, length: int, source: Any, step: int, weights: Any) -> None:
    """Filter: the weighted sum of six stretches of the source, each a step further on."""
    a, b, c = source, source[step:], source[2 * step :]
    d, e, f = source[3 * step :], source[4 * step :], source[5 * step :]
    u, v, w, x, y, z = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    for i in range(length):
        goal[i] = u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i] + z * f[i]


def _combine_more(goal: Any, length: int, source: Any, step: int, weights: Any) -> None:
    """Do the same, added to what is there."""
    a, b, c = source, source[step:], source[2 * step :]
    d, e, f = source[3 * step :], source[4 * step :], source[5 * step :]
    u, v, w, x, y, z = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    for i in range(length):
        goal[i] += u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i] + z * f[i]


def _activate(high: Any, slope: float, gain: float, clamp: float) -> None:
    for p in range(2):
        row = high[p]
        for i in range(row.shape[0]):
            v = row[i]
            v = (v if v > 0 else v * slope) * gain
            row[i] = min(max(v, -clamp), clamp)


def _slant(grad: Any, value: Any, length: int, slope: float, gain: float, clamp: float) -> None:
    """Multiply by the activation's derivative."""
    for i in range(length):
        slant = gain if value[i] > 0 else gain * slope
        grad[i] = grad[i] * slant if abs(value[i] * slant) <= clamp else np.float32(0)
