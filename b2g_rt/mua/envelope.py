"""From raw voltage to MUA, causally: what an amplifier's 30 kHz become before anything else is done with them.

Band-pass, rectify, low-pass, every 30th sample, notches; each filter forward only. An output uses no voltage sample
behind the last one of its own millisecond, and lies ``lag_s`` behind it. Voltage is worked on in groups of the sample
clock (30 samples, one output): the outputs are the same to the last bit, however the voltage is chunked.
For sources of raw voltage and for offline training on what the live chain sees; knows no streams, files or clocks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import StreamMismatch
from b2g_rt.mua.block_filter import BlockFilter
from b2g_rt.mua.filter_design import MuaFilters, MuaSpec, design, settling

STRIP_CHANNELS = 192
FILTERED_TOGETHER = 1024
"""Channels band-passed, and otherwise filtered, at once: the products stay in the cache, and are too small for BLAS to
spread over the cores, which costs more than it saves."""

SETTLED_SHARE = 1e-3
"""A step of the voltage (a start, a gap) counts as over when this share of it is left."""


class MuaEnvelope:
    """Turns chunks of voltage into MUA; state is held per channel.

    Parameters
    ----------
    spec : MuaSpec
    n_channels : int
    uv_per_unit : float or float, axes (channel,)
        Microvolts per unit of the chunks: 1 for microvolts, the amplifier's step for its integers.
    start : int
        Index of the first voltage sample on its sample clock. MUA sample i is made of voltage samples
        [factor i, factor (i + 1)): an incomplete first group gives none.

    Attributes
    ----------
    lag_s : float
        By how much an output is behind the newest voltage sample that it used.
    next_index : int
        Index of the next MUA sample.

    Notes
    -----
    Lost and non-finite samples are bridged with the channel's last value. Outputs that they touch, and those after
    them (and after the start) in which more than a thousandth of a step of the voltage is left, are NaN.
    A group that is lost as a whole starts the filters anew.
    """

    def __init__(
        self,
        spec: MuaSpec,
        n_channels: int,
        uv_per_unit: float | NDArray[np.floating] = 1.0,
        start: int = 0,
    ) -> None:
        filters = design(spec)
        self.lag_s = filters.lag_s
        self.next_index = -(-start // spec.factor)
        self._n = n_channels
        self._factor = spec.factor
        scale = np.broadcast_to(np.asarray(uv_per_unit, np.float32), (n_channels,))
        parts = [slice(i, i + FILTERED_TOGETHER) for i in range(0, n_channels, FILTERED_TOGETHER)]
        self._parts = [(p, _Filters(filters, spec.factor, scale[p])) for p in parts]
        self._group = np.empty((spec.factor, n_channels), np.float32)
        self._filled = 0
        self._n_lost = 0
        self._to_drop = -start % spec.factor

    def push(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        """Take the next voltage samples.

        Parameters
        ----------
        chunk : float32 or int16, axes (sample, channel)
            Any number of samples; other types are turned into float32.

        Returns
        -------
        float32, axes (sample, channel), microvolts, at the MUA's rate
            The outputs that these samples complete; often none.

        Raises
        ------
        StreamMismatch
            Another number of channels.
        """
        if chunk.ndim != 2 or chunk.shape[1] != self._n:
            raise StreamMismatch(
                f"voltage: chunk of shape {chunk.shape}, expected (sample, {self._n}). Check the channel map."
            )
        if chunk.dtype not in (np.float32, np.int16):
            chunk = chunk.astype(np.float32)
        dropped = min(self._to_drop, len(chunk))
        self._to_drop -= dropped
        at = dropped
        out = np.empty((self._n_complete(len(chunk) - at), self._n), np.float32)
        done = 0
        while at < len(chunk):
            n = min(len(chunk) - at, self._factor - self._filled)
            if n == self._factor:
                self._finish(chunk[at : at + n], out[done])
                done += 1
            else:
                self._group[self._filled : self._filled + n] = chunk[at : at + n]
                done += self._fill(n, out[done : done + 1])
            at += n
        return out

    def skip(self, n: int) -> NDArray[np.float32]:
        """Let ``n`` lost voltage samples pass; returns the outputs they complete, as ``push`` does, all NaN.

        A long gap is best skipped in pieces: the outputs are as long as the gap.
        """
        dropped = min(self._to_drop, n)
        self._to_drop -= dropped
        n -= dropped
        out = np.empty((self._n_complete(n), self._n), np.float32)
        done = 0
        while n > 0:
            if self._filled == 0 and n >= self._factor:
                whole = n // self._factor
                self._lose(whole, out[done : done + whole])
                done += whole
                n -= whole * self._factor
                continue
            part = min(n, self._factor - self._filled)
            self._group[self._filled : self._filled + part] = np.nan
            self._n_lost += part
            done += self._fill(part, out[done : done + 1])
            n -= part
        return out

    def _n_complete(self, n: int) -> int:
        return (self._filled + n) // self._factor

    def _fill(self, n: int, out: NDArray[np.float32]) -> int:
        """Count samples into the open group; finish it when it is full, and return how many outputs that made."""
        self._filled += n
        if self._filled < self._factor:
            return 0
        self._finish(self._group, out[0])
        return 1

    def _finish(self, group: NDArray[Any], out: NDArray[np.float32]) -> None:
        lost = self._n_lost == self._factor
        self._filled = self._n_lost = 0
        if lost:
            self._lose(1, out)
            return
        self.next_index += 1
        # Infinite samples are found by what they do to the sums.
        with np.errstate(invalid="ignore", over="ignore"):
            for part, filters in self._parts:
                filters.take(group[:, part], out[part])

    def _lose(self, n_groups: int, out: NDArray[np.float32]) -> None:
        out[...] = np.nan
        self.next_index += n_groups
        for _, filters in self._parts:
            filters.restart()


class _Filters:
    """Up to FILTERED_TOGETHER channels on their way, one group at a time; all arrays have fixed shapes."""

    def __init__(self, filters: MuaFilters, factor: int, scale: NDArray[np.float32]) -> None:
        n = len(scale)
        n_settling = settling(filters.band_pass, SETTLED_SHARE)
        n_settling += settling(filters.low_pass, SETTLED_SHARE)
        self._n_settling = math.ceil(n_settling / factor)
        band = BlockFilter(filters.band_pass, factor, "all", np.float32)
        self._strips = [
            _Strip(band, slice(first, min(first + STRIP_CHANNELS, n)), scale)
            for first in range(0, n, STRIP_CHANNELS)
        ]
        # Float64: the low-pass's slow poles would lose two more digits of gain to rounded coefficients.
        self._low = BlockFilter(filters.low_pass, factor, "last", np.float64)
        self._low_in, self._low_out = _arrays(self._low, n)
        self._notch: BlockFilter | None = None
        if len(filters.notches):
            self._notch = BlockFilter(filters.notches, 1, "all", np.float64)
            self._notch_in, self._notch_out = _arrays(self._notch, n)
        self._notch_runs = np.zeros(n, np.bool_)
        self._last_mua = np.zeros(n)
        self._unsettled = np.zeros(n, np.int64)
        self._all_settled = False
        self._fresh = True

    def restart(self) -> None:
        """Begin anew with the next group, as at the first."""
        self._fresh = True

    def take(self, group: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Filter one group, axes (sample, channel), into ``out``, axes (channel,)."""
        for strip in self._strips:
            strip.load(group, fresh=self._fresh)
        if self._fresh:
            self._unsettled[:] = self._n_settling
            self._all_settled = False
        self._run()
        # A sample that is not finite shows in the output of its channel, which would never recover.
        if not np.isfinite(self._low_out[0]).all():
            bad = ~np.isfinite(self._low_out[0])
            for strip in self._strips:
                strip.bridge()
            self._run()
            self._unsettled[bad] = self._n_settling + 1
            self._all_settled = False
        for strip in self._strips:
            strip.keep_state()
        self._low_in[self._low.length :] = self._low_out[1:]
        self._fresh = False
        self._finish(out)

    def _run(self) -> None:
        """Band-pass, rectify, low-pass; the states stay as they were."""
        rectified = self._low_in[: self._low.length]
        for strip in self._strips:
            np.abs(strip.filtered(), out=rectified[:, strip.columns])
        if self._fresh:
            self._low_in[self._low.length :] = self._low.rest[:, None] * rectified.mean(axis=0)
        np.dot(self._low.matrix, self._low_in, out=self._low_out)

    def _finish(self, out: NDArray[np.float32]) -> None:
        if self._all_settled:
            self._last_mua[:] = self._low_out[0]
            out[:] = self._notched(self._last_mua)
            return
        settled = self._unsettled == 0
        np.copyto(self._last_mua, self._low_out[0], where=settled)
        self._start_notches(settled)
        out[:] = self._notched(self._last_mua)
        out[~settled] = np.nan
        np.maximum(self._unsettled - 1, 0, out=self._unsettled)
        self._all_settled = not self._unsettled.any() and bool(self._notch_runs.all())

    def _start_notches(self, settled: NDArray[np.bool_]) -> None:
        # A notch rings for a second after a step: it starts at rest at the channel's first value, and over losses it
        # is given the last one.
        first = settled & ~self._notch_runs
        if self._notch:
            self._notch_in[1:, first] = self._notch.rest[:, None] * self._last_mua[first]
        self._notch_runs |= first

    def _notched(self, mua: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._notch is None:
            return mua
        self._notch_in[0] = mua
        np.dot(self._notch.matrix, self._notch_in, out=self._notch_out)
        self._notch_in[1:] = self._notch_out[1:]
        notched: NDArray[np.float64] = self._notch_out[0]
        return notched


class _Strip:
    """Neighbouring channels in the band-pass: so many that the product stays in the cache."""

    def __init__(self, band: BlockFilter, columns: slice, scale: NDArray[np.float32]) -> None:
        self.columns = columns
        self._band = band
        self._scale = scale[columns].copy()
        self._in, self._out = _arrays(band, len(self._scale))
        self._voltage = self._in[: band.length]
        self._held = np.zeros(len(self._scale), np.float32)

    def load(self, group: NDArray[Any], *, fresh: bool) -> None:
        """Take the strip's part of a group; ``fresh``: as if its first value had been there since for ever."""
        np.multiply(group[:, self.columns], self._scale, out=self._voltage)
        if fresh:
            self._held = _first_finite(self._voltage, self._held)
            self._in[self._band.length :] = self._band.rest[:, None] * self._held

    def filtered(self) -> NDArray[np.float32]:
        """Return the band-passed voltage, axes (sample, channel), valid until the next call."""
        np.dot(self._band.matrix, self._in, out=self._out)
        filtered: NDArray[np.float32] = self._out[: self._band.length]
        return filtered

    def bridge(self) -> None:
        """Replace what is not finite with the channel's last finite value."""
        last = self._held
        for row in self._voltage:
            np.copyto(row, last, where=~np.isfinite(row))
            last = row

    def keep_state(self) -> None:
        """Go on with the next group."""
        self._in[self._band.length :] = self._out[self._band.length :]
        self._held[:] = self._voltage[-1]


def _arrays(block_filter: BlockFilter, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return [input; state] and [output; next state], axes (row, channel)."""
    n_out, n_in = block_filter.matrix.shape
    dtype = block_filter.matrix.dtype
    return np.zeros((n_in, n), dtype), np.zeros((n_out, n), dtype)


def _first_finite(
    voltage: NDArray[np.float32], otherwise: NDArray[np.float32]
) -> NDArray[np.float32]:
    finite = np.isfinite(voltage)
    first = voltage[finite.argmax(axis=0), np.arange(voltage.shape[1])]
    return np.where(finite.any(axis=0), first, otherwise).astype(np.float32)
