"""Where each sample of a layer comes from, along one axis, when its high rate is kept as phase planes.

The high-rate grid of a layer (after up-sampling, before down-sampling) is never made: sample ``m = D q + a`` of it is
sample q of plane a, for a = 0..D-1 of down factor D. Each plane is a short correlation of the low-rate samples, and
the layer's output is a sum of short correlations of the planes. Only the samples that the next layer reads are planned,
so a layer that crops makes the one before it compute less. All offsets follow from padding, factors and taps.

Along one axis, with low-rate samples y (zero outside 0..S-1), up filter f (T taps), down filter g (G taps), up factor U
and padding p::

    t[m] = U sum_j f[j] y[n]   over all j with  n U = m + T - 1 - j - p
    x[k] = sum_j g[j] t[D k + G - 1 - j]

Must not know ONNX or torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from offline.stimuli.stylegan.specification import LayerSpec

ZERO_TAP = -1


@dataclass(frozen=True, slots=True)
class Span:
    """Samples lo..hi-1."""

    lo: int
    hi: int

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.hi - self.lo


@dataclass(frozen=True, slots=True)
class Phase:
    """One plane along one axis.

    Attributes
    ----------
    up : tuple of int
        Taps of the up filter in the order of a correlation; ``ZERO_TAP`` crops.
    pad : tuple of int
        Zeros before and after the low-rate samples.
    down : tuple of int
        Taps of the down filter in the order of a correlation; it needs no padding.
    """

    up: tuple[int, ...]
    pad: tuple[int, int]
    down: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """A layer along one axis.

    Attributes
    ----------
    out : Span
        Samples of the layer's output that are made.
    low : Span
        Samples after the convolution that are read, of ``LayerSpec.convolved_size``.
    read : Span
        Samples of the layer's input that are read.
    conv_pad : tuple of int
        Zeros of the convolution, before and after ``read``.
    insertion : int
        Each of ``low`` is followed by this many samples less one of zeros first; 1: none.
    stride : int
        Of the up correlations.
    phases : tuple of Phase
        Without those that no output reads.
    """

    out: Span
    low: Span
    read: Span
    conv_pad: tuple[int, int]
    insertion: int
    stride: int
    phases: tuple[Phase, ...]


def axis_plan(spec: LayerSpec, padding: int, out: Span) -> AxisPlan:
    """Plan a layer along one axis.

    Parameters
    ----------
    spec : LayerSpec
    padding : int
        Zeros before the first sample at the high rate; negative: a crop.
    out : Span
        Samples of the output that are read later.
    """
    up, down, shared = spec.up_factor, spec.down_factor, math.gcd(spec.up_factor, spec.down_factor)
    insertion, stride = up // shared, down // shared
    found: list[tuple[tuple[int, ...], tuple[int, ...], int, int]] = []
    for a in range(down):
        last_tap = spec.down_taps - 1 - a
        down_taps = range(last_tap % down, spec.down_taps, down)
        ahead = spec.up_taps - 1 + a - padding
        # No tap of the filter falls on this plane: it is zero.
        up_taps = tuple(range(ahead % shared, spec.up_taps, shared)) or (ZERO_TAP,)
        if not down_taps:
            continue
        q_last = out.hi - 1 + last_tap // down
        q_first = out.lo + last_tap // down - (len(down_taps) - 1)
        first = stride * q_first + ahead // shared - (len(up_taps) - 1)
        found.append(
            (
                tuple(reversed(up_taps)),
                tuple(reversed(down_taps)),
                first,
                stride * q_last + ahead // shared + 1,
            )
        )
    size = spec.convolved_size
    lo = max(0, min(-(-first // insertion) for _, _, first, _ in found))
    hi = min(size, max((end - 1) // insertion + 1 for _, _, _, end in found))
    # A spec whose output reads padding alone still gets a sample to read.
    low = Span(min(lo, size - 1), max(hi, min(lo, size - 1) + 1))
    start, stop = low.lo * insertion, low.hi * insertion
    phases = tuple(
        Phase(
            (ZERO_TAP,) * max(0, first - start) + up_taps + (ZERO_TAP,) * max(0, stop - end),
            (max(0, start - first), max(0, end - stop)),
            down_taps,
        )
        for up_taps, down_taps, first, end in found
    )
    edge = spec.conv_kernel - 1
    read = Span(max(0, low.lo - edge), min(spec.in_size, low.hi))
    conv_pad = (read.lo - (low.lo - edge), low.hi - read.hi)
    return AxisPlan(out, low, read, conv_pad, insertion, stride, phases)
