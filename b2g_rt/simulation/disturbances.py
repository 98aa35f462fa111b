"""What goes wrong within a session: slow drift, line noise, bursts, saturation, lost packets.

Wraps a stream, MUA or voltage, and answers like one. Every disturbance belongs to a place on the sample clock: it is
the same whatever the block size, and all are known (``events``). Without any, the samples pass bit for bit.
What changes from day to day, dead arrays among it, is in ``days.py``. Knows no files, no clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

COLUMNS_TOGETHER = 64
"""A saturated amplifier takes a whole array with it."""

LINE_HARMONICS = ((50.0, 1.0), (100.0, 0.5), (150.0, 0.25))
REFRESH_HZ = 60.0


class Stream(Protocol):
    """What can be disturbed: a ``SimulatedStream``, a ``RawVoltage``, a disturbed stream."""

    n_trials: int
    n_samples: int
    n_columns: int
    onsets: NDArray[np.int64]

    def blocks(self, n_samples: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (index of the first sample, the caller's own block), axes (sample, stream column)."""


@dataclass(frozen=True, slots=True)
class DisturbanceSpec:
    """How much of what goes wrong; nothing by default.

    Attributes
    ----------
    drift_sd : float
        SD of the logarithm of each column's gain over a long session; it multiplies the whole signal, and starts at 1.
    drift_period_s : float
        Typical period of the drift.
    line_uv, refresh_uv : float
        Amplitude, microvolts, of 50 Hz (with harmonics) and of the screen's 60 Hz; columns differ by tens of percent.
    bursting_share : float
        Share of the columns that burst.
    bursts_per_min, burst_ms, burst_uv : float
        Of such a column: how often, how long, how much on top.
    saturations_per_min, saturation_ms : float
        How often 64 neighbouring columns are held at the rail, and for how long.
    rail_uv : float
        Nothing is larger.
    losses_per_min, loss_ms : float
        Gaps in the stream: how many, and their mean length.
    """

    drift_sd: float = 0.0
    drift_period_s: float = 1200.0
    line_uv: float = 0.0
    refresh_uv: float = 0.0
    bursting_share: float = 0.0
    bursts_per_min: float = 6.0
    burst_ms: float = 200.0
    burst_uv: float = 20.0
    saturations_per_min: float = 0.0
    saturation_ms: float = 20.0
    rail_uv: float = 6000.0
    losses_per_min: float = 0.0
    loss_ms: float = 30.0

    def __post_init__(self) -> None:
        """Refuse negative numbers, with ValueError."""
        if min(asdict(self).values()) < 0 or self.bursting_share > 1:
            raise ValueError(f"{self}: amplitudes, rates and lengths must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Event:
    """One disturbance, in samples [start, stop) and stream columns [first, last); ``loss`` concerns all columns."""

    kind: Literal["burst", "saturation", "loss"]
    start: int
    stop: int
    first: int
    last: int


class DisturbedStream:
    """A stream with disturbances.

    Parameters
    ----------
    stream : Stream
    spec : DisturbanceSpec
    seed : int
    rate_hz : float
        Samples per second of the stream.

    Attributes
    ----------
    n_trials, n_samples, n_columns : int
        As the stream's; lost samples are counted in ``n_samples``.
    onsets : int64, axes (trial,)
    events : tuple of Event
        The truth, by start.
    """

    def __init__(
        self, stream: Stream, spec: DisturbanceSpec, seed: int, rate_hz: float = 1000.0
    ) -> None:
        self._stream = stream
        self._spec = spec
        self._rate_hz = rate_hz
        self.n_trials, self.n_samples = stream.n_trials, stream.n_samples
        self.n_columns, self.onsets = stream.n_columns, stream.onsets
        # One generator per kind: switching one on leaves the others where they were.
        drift, line, bursts, saturations, losses = (
            np.random.default_rng([seed, 4, kind]) for kind in range(5)
        )
        self._drift_turn = (
            2.0 * np.pi / (spec.drift_period_s * rate_hz) * drift.uniform(0.7, 1.4, self.n_columns)
        )
        self._drift_phase = drift.uniform(0.0, 2.0 * np.pi, self.n_columns)
        self._line_share = np.exp(0.3 * line.standard_normal(self.n_columns))
        self.events = tuple(
            sorted(
                [*self._bursts(bursts), *self._saturations(saturations), *self._losses(losses)],
                key=lambda event: (event.start, event.first),
            )
        )
        self._event_start = np.array([event.start for event in self.events], np.int64)
        self._event_stop = np.array([event.stop for event in self.events], np.int64)

    def blocks(self, n_samples: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the stream; a jump in the start of blocks is a loss.

        Yields
        ------
        start : int
        block : float32, axes (sample, stream column), at most ``n_samples`` consecutive samples
        """
        for start, block in self._stream.blocks(n_samples):
            self._disturb(start, block)
            yield from self._received(start, block)

    def _disturb(self, start: int, block: NDArray[np.float32]) -> None:
        spec = self._spec
        index = np.arange(start, start + len(block))
        if spec.drift_sd:
            angle = index[:, None] * self._drift_turn + self._drift_phase
            # sqrt(2): a sine's SD over its period is 1 / sqrt(2) of its amplitude.
            turn = np.sqrt(2.0) * (np.sin(angle) - np.sin(self._drift_phase))
            block *= np.exp(spec.drift_sd * turn).astype(np.float32)
        if spec.line_uv or spec.refresh_uv:
            t = index / self._rate_hz
            hum = spec.refresh_uv * np.sin(2.0 * np.pi * REFRESH_HZ * t)
            for hz, share in LINE_HARMONICS:
                hum += spec.line_uv * share * np.sin(2.0 * np.pi * hz * t)
            block += (hum[:, None] * self._line_share).astype(np.float32)
        for event, rows in self._within(start, len(block), ("burst", "saturation")):
            part = block[rows, event.first : event.last]
            if event.kind == "burst":
                part += np.float32(spec.burst_uv)
            else:
                part[:] = spec.rail_uv
        if self.events or spec.line_uv or spec.drift_sd:
            np.clip(block, -spec.rail_uv, spec.rail_uv, out=block)

    def _received(
        self, start: int, block: NDArray[np.float32]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        kept = np.ones(len(block), np.bool_)
        for _, rows in self._within(start, len(block), ("loss",)):
            kept[rows] = False
        edges = np.flatnonzero(np.diff(np.r_[False, kept, False].astype(np.int8)))
        for first, stop in edges.reshape(-1, 2).tolist():
            yield start + first, block[first:stop]

    def _within(self, start: int, n: int, kinds: tuple[str, ...]) -> Iterator[tuple[Event, slice]]:
        here = (self._event_start < start + n) & (self._event_stop > start)
        for position in np.flatnonzero(here).tolist():
            event = self.events[position]
            if event.kind in kinds:
                yield event, slice(max(event.start - start, 0), min(event.stop - start, n))

    def _times(
        self, rng: np.random.Generator, per_min: float, length_ms: float, *, fixed: bool
    ) -> list[tuple[int, int]]:
        minutes = self.n_samples / self._rate_hz / 60.0
        n = int(rng.poisson(per_min * minutes))
        starts = np.sort(rng.integers(0, max(self.n_samples, 1), n))
        lengths = np.full(n, length_ms) if fixed else rng.exponential(length_ms, n)
        samples = np.maximum(np.round(lengths * self._rate_hz / 1000.0), 1.0).astype(np.int64)
        stops = np.minimum(starts + samples, self.n_samples)
        return list(zip(starts.tolist(), stops.tolist(), strict=True))

    def _bursts(self, rng: np.random.Generator) -> Iterator[Event]:
        spec = self._spec
        for column in np.flatnonzero(rng.random(self.n_columns) < spec.bursting_share).tolist():
            for start, stop in self._times(rng, spec.bursts_per_min, spec.burst_ms, fixed=False):
                yield Event("burst", start, stop, column, column + 1)

    def _saturations(self, rng: np.random.Generator) -> Iterator[Event]:
        spec = self._spec
        for start, stop in self._times(
            rng, spec.saturations_per_min, spec.saturation_ms, fixed=True
        ):
            first = COLUMNS_TOGETHER * int(rng.integers(0, -(-self.n_columns // COLUMNS_TOGETHER)))
            last = min(first + COLUMNS_TOGETHER, self.n_columns)
            yield Event("saturation", start, stop, first, last)

    def _losses(self, rng: np.random.Generator) -> Iterator[Event]:
        spec = self._spec
        for start, stop in self._times(rng, spec.losses_per_min, spec.loss_ms, fixed=False):
            yield Event("loss", start, stop, 0, self.n_columns)
