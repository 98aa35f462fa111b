"""The sample clock: which index each received sample has, and when each index was.

Index 0 is the first sample received; lost samples are counted in, so an index is a place in time. liblsl's own
smoothing counts samples and is off by the length of every gap; this clock measures gaps from the stamps.
A pure function of the stamps so far: chunk sizes and the time of the call change nothing. Knows no LSL.

How a stamp becomes an index: while it lies within ``threshold_s`` of the fitted line, the sample is the next one.
Beyond that it is held (``pending.py``) until the shift is shown to stay, then placed by the shift, rounded half up.
A loss shorter than the threshold cannot be told from jitter: the line follows it, the count does not. Rows whose
stamps fall on slots that were received are repeats only if their values are; else the stamps' clock went back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from b2g_rt.sources.pending import Pending, half_up
from b2g_rt.sources.placed import Placed
from b2g_rt.sources.placer import Placer
from b2g_rt.sources.slot_memory import Run, SlotMemory
from b2g_rt.sources.stamp_jitter import StampJitter
from b2g_rt.sources.time_axis import TimeAxis

CONFIRM_SAMPLES = 30
MAX_WAIT_S = 1.0
MAX_FORWARD_S = 60.0
MAX_BACKWARD_S = 1.0


class SampleClock:
    """Places samples by their stamps; see the module's header.

    Parameters
    ----------
    nominal_rate_hz : float
        As the stream declares it.
    gap_threshold_s : float, optional
        Stamps that jump farther than this are a gap; by default .75 samples or 6 times the measured jitter,
        whichever is more (20 ms until that is known).
    stamp_noise_s : float, optional
        The default threshold is never below this: steps of a remote clock's correction are no gaps.
    confirm_samples : int, optional
        A shift must stay for this many samples.
    max_wait_s : float, optional
        Held at most for this much of samples.
    max_forward_s, max_backward_s : float, optional
        A shift beyond is a step of the stamps' clock, not lost or repeated samples; forward only without a
        reconnect.

    Raises
    ------
    ValueError
        The rate is not positive: an irregular stream has no sample clock.
    """

    def __init__(
        self,
        nominal_rate_hz: float,
        *,
        gap_threshold_s: float | None = None,
        stamp_noise_s: float = 0.0,
        confirm_samples: int = CONFIRM_SAMPLES,
        max_wait_s: float = MAX_WAIT_S,
        max_forward_s: float = MAX_FORWARD_S,
        max_backward_s: float = MAX_BACKWARD_S,
    ) -> None:
        if not (nominal_rate_hz > 0 and math.isfinite(nominal_rate_hz)):
            raise ValueError(f"sample clock: rate {nominal_rate_hz} Hz, expected more than 0.")
        self._rate_hz = nominal_rate_hz
        self._confirm = confirm_samples
        self._max_wait = max(confirm_samples, half_up(max_wait_s * nominal_rate_hz))
        self._max_forward_s = max_forward_s
        self._max_backward_s = max_backward_s
        self._jitter = StampJitter(1.0 / nominal_rate_hz, gap_threshold_s, stamp_noise_s)
        memory = 1 + half_up((max_backward_s + 2 * max_wait_s) * nominal_rate_hz)
        self._slots = SlotMemory(memory)
        self._axis = TimeAxis(nominal_rate_hz, self._jitter)
        self._placer = Placer(self._axis, self._slots)
        self._pending: Pending | None = None
        self._last_stamp = math.nan

    @property
    def stop(self) -> int:
        """Index after the newest placed sample."""
        return self._axis.stop

    @property
    def started(self) -> bool:
        """Whether any sample was placed."""
        return self._axis.started

    @property
    def n_pending(self) -> int:
        """Samples held because their stamps jumped."""
        return 0 if self._pending is None else len(self._pending)

    @property
    def rate_hz(self) -> float:
        """Fitted rate, samples per second of the LSL clock."""
        return 1.0 / self._axis.line.period_s

    @property
    def jitter_s(self) -> float | None:
        """Root mean square of the stamps around the line, s; None until a block is complete."""
        return self._jitter.rms_s

    @property
    def threshold_s(self) -> float:
        """Stamps farther than this from the line are a jump, s."""
        return self._jitter.threshold_s

    def time_of(self, index: float) -> float:
        """Return the fitted time of an index, s, LSL clock.

        Raises
        ------
        WindowNotReady
            No sample has been placed yet.
        """
        return self._axis.time_of(index)

    def position_of(self, time_s: float) -> float:
        """Return the index at a time, fractional; may lie before 0 or after ``stop``.

        Raises
        ------
        WindowNotReady
            No sample has been placed yet.
        """
        return self._axis.position_of(time_s)

    def push(self, stamps: NDArray[np.float64], rows: NDArray[np.float32]) -> list[Placed]:
        """Place received samples.

        Parameters
        ----------
        stamps : float64, axes (sample,)
            LSL clock, s. A stamp that is not finite is taken for the line's own.
        rows : float32, axes (sample, stream column)
            Kept by reference while samples are held: hand in an array that is not written again.

        Returns
        -------
        list of Placed
            In the order received, which is also the order in which to write them.
        """
        placed: list[Placed] = []
        n, at, run = len(stamps), 0, 0
        if not math.isfinite(float(stamps.sum())):
            stamps = self._mend(stamps)
        if n and not self._axis.started:
            self._axis.start(0, float(stamps[0]))
        while at < n:
            if self._pending is None:
                at = self._axis.follow(stamps, at)
                if at < n:
                    self._placer.followed(placed, stamps[run:at], rows[run:at])
                    self._pending = Pending(self._axis.stop)
                    run = at
            else:
                at = self._judge(stamps, rows, at, placed)
                run = at
        if self._pending is None:
            self._placer.followed(placed, stamps[run:n], rows[run:n])
        if n:
            self._last_stamp = float(stamps[-1])
        return placed

    def flush(self) -> list[Placed]:
        """Place what is held with what is known: at the stream's end, at a stall, before a reconnect."""
        placed: list[Placed] = []
        if self._pending is not None and len(self._pending):
            self._resolve_unsettled(placed)
        return placed

    def restart_hint(self) -> list[Placed]:
        """Tell that the stream was reconnected: what comes next lies after a gap, whose length is measured.

        Returns
        -------
        list of Placed
            What was held until now.
        """
        placed = self.flush()
        if self._axis.started:
            self._pending = Pending(self._axis.stop, certain=True)
        return placed

    # ------------------------------------------------------------------ samples that jumped

    def _judge(
        self,
        stamps: NDArray[np.float64],
        rows: NDArray[np.float32],
        at: int,
        placed: list[Placed],
    ) -> int:
        """Hold samples until the jump is understood; return the position of the first not consumed."""
        pending, first_row = self._pending, at
        assert pending is not None
        line, threshold_s = self._axis.line, self._jitter.threshold_s
        trend_s = max(0.25 * line.period_s, threshold_s / 3)
        for position in range(at, len(stamps)):
            stamp = float(stamps[position])
            residual = stamp - line.time_of(pending.first + len(pending))
            if len(pending) and abs(residual) <= threshold_s and not pending.certain:
                pending.hold_rows(rows[first_row:position])
                self._resolve_returned(placed)
                return position
            pending.hold(stamp, residual, threshold_s)
            settled = pending.settled(self._confirm, trend_s, any_push=self._jitter.computed)
            if settled or len(pending) >= self._max_wait:
                pending.hold_rows(rows[first_row : position + 1])
                if settled:
                    self._resolve(pending.tail_residual(), placed)
                else:
                    self._resolve_unsettled(placed)
                return position + 1
        pending.hold_rows(rows[first_row:])
        return len(stamps)

    def _resolve_returned(self, placed: list[Placed]) -> None:
        """Nothing was lost: place by stamp where that fills every slot once (swapped chunks), else in order."""
        pending = self._take_pending()
        runs = pending.shifts(self._axis.line.period_s) if self._jitter.precise else None
        inside = runs is not None and all(
            0 <= a + shift and b + shift <= len(pending) for a, b, shift in runs
        )
        self._place_runs(placed, pending, runs if runs and inside else [(0, len(pending), 0)])

    def _resolve_unsettled(self, placed: list[Placed]) -> None:
        pending = self._pending
        assert pending is not None
        few = len(pending) < 3 or pending.falls(self._jitter.threshold_s)
        if few and not pending.certain:
            self._place_runs(placed, self._take_pending(), [(0, len(pending), 0)])
        else:
            self._resolve(pending.tail_residual(self._confirm), placed)

    def _resolve(self, residual_s: float, placed: list[Placed]) -> None:
        """Place what is held, the newest samples being ``residual_s`` off their contiguous place."""
        pending = self._take_pending()
        period_s = self._axis.line.period_s
        shift = half_up(residual_s / period_s)
        forward = residual_s > self._max_forward_s and not pending.certain
        runs = None
        if not forward and residual_s >= -self._max_backward_s:
            runs = self._checked(pending, shift)
        if runs is None:
            # The stamps' clock was set: no sample is lost by that, times go on from here.
            self._axis.new_piece(pending.first, self._axis.line.time_of(pending.first) + residual_s)
            small = pending.certain and abs(residual_s) <= self._jitter.threshold_s
            step_s = 0.0 if small else residual_s
            rows, stamps = pending.rows(), pending.stamps()
            self._placer.put(
                placed, pending.first, stamps, rows, step_s=step_s, restart=pending.certain
            )
            return
        if pending.certain:
            # Another run of the device: whole samples of the old clock mean nothing, only time does.
            time_s = self._axis.line.time_of(pending.first) + residual_s
            self._axis.new_piece(pending.first + runs[0][2], time_s)
        self._place_runs(placed, pending, runs)

    def _runs(self, pending: Pending, shift: int) -> list[Run]:
        """Return (first sample, sample after the last, shift): by stamps where they tell, else all alike."""
        end = len(pending) + shift
        runs = None
        if self._jitter.precise and not pending.certain:
            runs = pending.shifts(self._axis.line.period_s)
        if runs is None or runs[-1][1] + runs[-1][2] != end or any(b + s > end for _, b, s in runs):
            return [(0, len(pending), shift)]
        return runs

    def _checked(self, pending: Pending, shift: int) -> list[Run] | None:
        runs, period_s = self._runs(pending, shift), self._axis.line.period_s
        reach = 0
        if len(runs) == 1 and not self._jitter.precise:
            reach = half_up(self._jitter.threshold_s / period_s) + 1
        checked = self._slots.without_false_repeats(
            pending.first, pending.rows(), runs, self._axis.stop, reach
        )
        return [(0, len(pending), shift)] if checked is None and shift >= 0 else checked

    def _take_pending(self) -> Pending:
        pending = self._pending
        assert pending is not None
        self._pending = None
        return pending

    def _place_runs(self, placed: list[Placed], pending: Pending, runs: list[Run]) -> None:
        stamps, rows = pending.stamps(), pending.rows()
        for a, b, shift in runs:
            first = pending.first + a + shift
            self._placer.put(
                placed, first, stamps[a:b], rows[a:b], restart=pending.certain and a == 0
            )

    def _mend(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replace stamps that are not finite by the one before plus a sample."""
        mended = stamps.copy()
        last = self._last_stamp
        for position in np.flatnonzero(~np.isfinite(stamps)):
            before = float(mended[position - 1]) if position else last
            mended[position] = (before if math.isfinite(before) else 0.0) + 1.0 / self._rate_hz
        return mended
