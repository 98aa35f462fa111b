"""MUA from recorded voltage: zero-phase, as the paper computed it, or causal, as the live chain does.

Both answer as a recording at the MUA's rate, made while it is read, so everything behind (statistics, normalising,
windows) is the same for them and for recorded MUA. The causal one is the hall's ``MuaEnvelope``; the zero-phase one
runs the same second-order sections forward and backward, a block at a time with an overlap beyond which nothing is
felt. It uses voltage from after each sample, so a decoder trained on it does not quite get what it gets live: on the
index the causal chain is half a millisecond later, and its bands are 3 dB stronger at their edges.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from b2g_rt.mua.envelope import SETTLED_SHARE, MuaEnvelope
from b2g_rt.mua.filter_design import MuaFilters, MuaSpec, design, settling
from offline.recordings.both_ways import BothWays
from offline.recordings.overlapped import OverlappedFilter
from offline.recordings.recording import BLOCK_SAMPLES, Block, Recording

logger = logging.getLogger(__name__)

Phase = Literal["zero", "causal"]

VOLTAGE_BLOCK = 6000
NOTCH_BLOCK = 5000
"""Samples filtered at once, without the overlap: a fifth of a second of voltage, five seconds of MUA."""

SKIPPED_AT_ONCE = 30_000


class MuaRecording:
    """MUA of recorded voltage, made block by block while it is read; a ``Recording``.

    Parameters
    ----------
    voltage : Recording
        At ``spec.raw_rate_hz``.
    spec : MuaSpec
    phase : {'zero', 'causal'}
        ``zero``: the paper's; looks ahead. ``causal``: what the live chain gives, bit for bit.
    uv_per_unit : float or float, axes (channel,)
        Microvolts per unit of the recording.

    Attributes
    ----------
    looks_ahead : bool
        Whether a sample uses voltage from after it.
    n_samples : int
        Rows in all but for those at gaps; for progress.

    Notes
    -----
    MUA sample i lies at voltage sample ``factor i`` (zero) or is made of [factor i, factor (i + 1)) and what was
    before (causal): a marker's place on the voltage's sample clock, divided by the factor, is its place here.
    A gap in the voltage is a gap here; filters start anew behind it. Outputs near non-finite samples are NaN.
    In memory: ``working_bytes``.
    """

    def __init__(
        self,
        voltage: Recording,
        spec: MuaSpec,
        phase: Phase,
        uv_per_unit: float | NDArray[np.floating] = 1.0,
    ) -> None:
        if phase not in ("zero", "causal"):
            raise SessionError(f"MUA chain: phase '{phase}', expected zero or causal.")
        self._voltage = voltage
        self._spec = spec
        self._phase = phase
        self._scale = np.asarray(uv_per_unit, np.float32)
        self.channels = voltage.channels
        self.n_samples = voltage.n_samples // spec.factor
        self.looks_ahead = phase == "zero"

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        """Yield the MUA, microvolts, at most ``n_samples`` rows at a time."""
        pieces = self._zero_phase() if self._phase == "zero" else self._causal()
        for piece in pieces:
            for first in range(0, len(piece.index), n_samples):
                rows = slice(first, first + n_samples)
                yield Block(piece.index[rows], piece.values[rows])

    def _causal(self) -> Iterator[Block]:
        chain: MuaEnvelope | None = None
        stop = 0
        for start, rows in _stretches(self._voltage):
            if chain is None:
                stop = start
                chain = MuaEnvelope(self._spec, rows.shape[1], self._scale, start)
            while stop < start:
                n = min(SKIPPED_AT_ONCE, start - stop)
                chain.skip(n)
                stop += n
            first = chain.next_index
            mua = chain.push(rows)
            stop += len(rows)
            if len(mua):
                yield Block(np.arange(first, first + len(mua), dtype=np.int64), mua)

    def _zero_phase(self) -> Iterator[Block]:
        stages: tuple[OverlappedFilter, OverlappedFilter] | None = None
        stop = 0
        for start, rows in _stretches(self._voltage):
            if stages is None or start != stop:
                if stages is not None:
                    yield from _ended(*stages)
                stages = self._filters(start, rows.shape[1])
            stop = start + len(rows)
            to_mua, notched = stages
            yield from _passed(notched, to_mua.push(rows * self._scale))
        if stages is not None:
            yield from _ended(*stages)

    def _filters(self, start: int, n_channels: int) -> tuple[OverlappedFilter, OverlappedFilter]:
        """Return both stages for a stretch of voltage without gaps."""
        filters, factor = design(self._spec), self._spec.factor
        to_mua = OverlappedFilter(
            _to_mua(filters),
            n_channels,
            start,
            block=VOLTAGE_BLOCK,
            reach=_reach(filters.band_pass, filters.low_pass),
            marked=_marked(filters.band_pass, filters.low_pass),
            step=factor,
        )
        notched = OverlappedFilter(
            BothWays(filters.notches) if len(filters.notches) else np.copy,
            n_channels,
            -(-start // factor),
            block=NOTCH_BLOCK,
            reach=_reach(filters.notches),
            marked=0,
        )
        return to_mua, notched


def mua_onsets(onsets: NDArray[np.integer], spec: MuaSpec) -> NDArray[np.int64]:
    """Return onsets on the MUA's sample clock.

    Parameters
    ----------
    onsets : int, axes (trial,)
        On the voltage's.
    spec : MuaSpec

    Returns
    -------
    int64, axes (trial,); to the nearest sample, half up, as ``contracts.windows.onset_index``.
    """
    return np.floor(np.asarray(onsets) / spec.factor + 0.5).astype(np.int64)


def working_bytes(n_channels: int, spec: MuaSpec | None = None) -> int:
    """Return how much memory zero-phase filtering needs at most, besides the voltage blocks of the reader.

    Parameters
    ----------
    n_channels : int
    spec : MuaSpec, optional
    """
    filters = design(spec or MuaSpec())
    voltage = OverlappedFilter.working_bytes(
        n_channels, VOLTAGE_BLOCK, _reach(filters.band_pass, filters.low_pass)
    )
    notched = OverlappedFilter.working_bytes(n_channels, NOTCH_BLOCK, _reach(filters.notches))
    return voltage + notched


def _stretches(voltage: Recording) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first index, rows without a gap); what comes late is left out, and said."""
    stop: int | None = None
    n_late = 0
    for block in voltage.blocks():
        edges = np.flatnonzero(np.diff(block.index) != 1) + 1
        for index, rows in zip(
            np.split(block.index, edges), np.split(block.values, edges), strict=True
        ):
            if not len(index):
                continue
            late = 0 if stop is None else min(max(stop - int(index[0]), 0), len(index))
            n_late += late
            if late < len(index):
                stop = int(index[-1]) + 1
                yield int(index[late]), rows[late:]
    if n_late:
        logger.warning(
            "voltage: %d late or doubled samples left out, a filter takes them in order", n_late
        )


def _passed(notched: OverlappedFilter, pieces: Iterator[NDArray[np.float32]]) -> Iterator[Block]:
    for piece in pieces:
        yield from _blocks(notched, notched.push(piece))


def _ended(to_mua: OverlappedFilter, notched: OverlappedFilter) -> Iterator[Block]:
    yield from _passed(notched, to_mua.finish())
    yield from _blocks(notched, notched.finish())


def _blocks(source: OverlappedFilter, pieces: Iterator[NDArray[np.float32]]) -> Iterator[Block]:
    for piece in pieces:
        stop = source.next_index
        yield Block(np.arange(stop - len(piece), stop, dtype=np.int64), piece)


def _to_mua(filters: MuaFilters) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    band, low = BothWays(filters.band_pass), BothWays(filters.low_pass)

    def run(voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        rectified = band(voltage)
        np.abs(rectified, out=rectified)
        return low(rectified)

    return run


RESIDUAL = 1e-7
"""Share that is left, behind the overlap, of what lies beyond it."""


def _reach(*filters: NDArray[np.float64]) -> int:
    return sum(settling(sos, RESIDUAL) for sos in filters)


def _marked(*filters: NDArray[np.float64]) -> int:
    return sum(settling(sos, SETTLED_SHARE) for sos in filters)
