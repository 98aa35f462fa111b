"""From time stamps to places on the sample clock: what is a gap and what is only jitter.

A lost sample never comes back: behind a loss, all stamps are later for good. A delay does come back: the next chunk
is on time again. So a step in the stamps is a gap only if the earliest stamps of the stretch behind it are later,
too, and by more than stamps in this recording usually jitter. Stamps that run backwards a little between chunks are
jitter, however many there are.
Pure functions of arrays; knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import MAX_JITTER_S, Gap, GapPolicy, GapReport, check
from offline.recordings.trials import sample_positions

_BASE_LINE_S = 2.0
_SLOPE_S = 10.0
_BASE_LINE_CHUNKS = 10
_SHORT_SHARE = 0.05
_MIN_SHORT_STEPS = 2
_MAX_DRIFT = 0.01


@dataclass(frozen=True, slots=True)
class Placement:
    """Where rows lie on the sample clock.

    Attributes
    ----------
    index : int64, axes (sample,)
        A jump ahead is a gap.
    report : GapReport
    """

    index: NDArray[np.int64] = field(repr=False)
    report: GapReport


def place(time_s: NDArray[np.float64], rate_hz: float, policy: GapPolicy, where: str) -> Placement:
    """Place rows by their stamps.

    Parameters
    ----------
    time_s : float64, axes (sample,), seconds
        In the order of the rows, one clock.
    rate_hz : float
        Nominal.
    policy : GapPolicy
    where : str
        Opens the error's line.

    Raises
    ------
    SessionError
        Stamps that are no numbers; or, with the policy ``error``, gaps.
    """
    n = len(time_s)
    if not np.isfinite(time_s).all():
        n_bad = int(np.count_nonzero(~np.isfinite(time_s)))
        raise SessionError(
            f"{where}: {n_bad} of {n} time stamps are no finite number, expected seconds. The file is damaged."
        )
    if n < 2:
        return Placement(np.arange(n, dtype=np.int64), GapReport(n))
    dt = 1.0 / rate_hz
    step = np.diff(time_s) - dt
    back = step + dt
    small = (back < 0) & (back >= -MAX_JITTER_S)
    jitter_s = _jitter(step, dt)
    gaps: list[Gap] = []
    resets = np.flatnonzero(back < -MAX_JITTER_S) + 1
    for start, stop in zip(np.r_[0, resets], np.r_[resets, n], strict=True):
        if start:
            gaps.append(Gap(int(start), float(time_s[start]), 0, float(step[start - 1])))
        gaps += _losses(time_s[start:stop], dt, jitter_s, int(start))
    gaps = [
        replace(gap, closed=True)
        if policy.kind == "tolerate" and abs(gap.step_s) <= policy.tolerance_s
        else gap
        for gap in gaps
    ]
    report = GapReport(
        n, tuple(gaps), int(np.count_nonzero(small)), float(-back[small].min(initial=0.0))
    )
    check(report, policy, where)
    return Placement(_index(n, gaps, rate_hz), report)


def _jitter(step: NDArray[np.float64], dt: float) -> float:
    """Return by how much stamps usually come short, s: the steps that no loss can explain."""
    short = -step[(step < -_SHORT_SHARE * dt) & (step >= -MAX_JITTER_S - dt)]
    return float(np.quantile(short, 0.95)) if len(short) >= _MIN_SHORT_STEPS else 0.0


def _losses(time_s: NDArray[np.float64], dt: float, jitter_s: float, first_row: int) -> list[Gap]:
    """Return the gaps of rows between two settings of the clock."""
    n = len(time_s)
    rows = np.arange(n)
    residual = time_s - time_s[0] - rows * dt
    residual = residual - rows * _drift(residual, dt, jitter_s)
    step = np.diff(residual)
    threshold = max(0.5 * dt, 2 * jitter_s)
    # Long enough for several chunks: each shares one jitter.
    n_uneven = int(np.count_nonzero(np.abs(step) > _SHORT_SHARE * dt))
    reach = max(2, round(_BASE_LINE_S / dt), _BASE_LINE_CHUNKS * n // (n_uneven + 1))
    gaps: list[Gap] = []
    last = 0
    for row in (np.flatnonzero(step > threshold) + 1).tolist():
        before = float(residual[max(last, row - reach) : row].min())
        after = float(residual[row : row + reach].min())
        if after - before > threshold:
            shift = after - before if jitter_s else float(step[row - 1])
            gaps.append(Gap(first_row + row, float(time_s[row]), max(1, round(shift / dt)), shift))
            last = row
    return gaps


def _drift(residual: NDArray[np.float64], dt: float, jitter_s: float) -> float:
    """Return by how much the device's sample is longer than the nominal one, s, from stretches without large steps."""
    step = np.diff(residual)
    typical = float(np.median(step))
    if len(step) < 2 or abs(typical) > _MAX_DRIFT * dt:
        return 0.0
    n_large = np.r_[0, np.cumsum(step > max(0.5 * dt, 2 * jitter_s))]
    lag = max(1, min(len(step) // 4, round(_SLOPE_S / dt)))
    even = n_large[lag:] == n_large[:-lag]
    slopes = (residual[lag:] - residual[:-lag]) / lag
    if np.count_nonzero(even) > lag // 4:
        slope = float(np.median(slopes[even]))
    elif jitter_s:
        # Large steps everywhere: gaps only lift, so the lower slopes are the device's.
        slope = float(np.quantile(slopes, 0.25))
    else:
        slope = typical
    return slope if abs(slope) < _MAX_DRIFT * dt else 0.0


def _index(n: int, gaps: list[Gap], rate_hz: float) -> NDArray[np.int64]:
    ahead = np.ones(n, np.int64)
    ahead[:1] = 0
    for gap in gaps:
        if not gap.closed:
            # After a clock that jumped back nobody knows how long the pause was: a second keeps the stretches apart.
            ahead[gap.row] += gap.n_lost or round(rate_hz)
    return np.cumsum(ahead)


def by_index(index: NDArray[np.int64], time_s: NDArray[np.float64], rate_hz: float) -> GapReport:
    """Report the gaps of rows whose place on the sample clock is recorded (our own HDF5).

    Parameters
    ----------
    index : int64, axes (sample,)
        In the order of reception.
    time_s : float64, axes (sample,)
    rate_hz : float
    """
    newest = np.maximum.accumulate(index)
    late = np.r_[False, index[1:] <= newest[:-1]] if len(index) else np.zeros(0, np.bool_)
    rows = np.flatnonzero(~late)
    jump = np.diff(index[rows]) - 1
    found = []
    for position in np.flatnonzero(jump > 0).tolist():
        row, n = int(rows[position + 1]), int(jump[position])
        found.append(Gap(row, float(time_s[row]), n, n / rate_hz))
    return GapReport(len(index), tuple(found), n_late=int(np.count_nonzero(late)))


def close_gaps(
    index: NDArray[np.int64], report: GapReport, policy: GapPolicy
) -> tuple[NDArray[np.int64], GapReport]:
    """Close the tolerable gaps of a recorded index; late rows keep their distance to their neighbours."""
    if policy.kind != "tolerate":
        return index, report
    gaps = tuple(replace(g, closed=g.step_s <= policy.tolerance_s) for g in report.gaps)
    # Everything at or beyond a gap's end on the clock moves, late rows included.
    closed = [gap for gap in gaps if gap.closed]
    ends = np.array([index[gap.row] for gap in closed], np.int64)
    lost = np.r_[0, np.cumsum([gap.n_lost for gap in closed], dtype=np.int64)]
    moved = index - lost[np.searchsorted(ends, index, side="right")]
    return moved, replace(report, gaps=gaps)


def positions(
    times: NDArray[np.float64],
    time_s: NDArray[np.float64],
    index: NDArray[np.int64],
    per_s: float,
) -> NDArray[np.float64]:
    """Return where points in time lie on the sample clock, also where the recording's clock was set back.

    Parameters
    ----------
    times : float64, axes (marker,), seconds, the recording's clock
    time_s : float64, axes (sample,)
    index : int64, axes (sample,)
    per_s : float
        Samples per second of that clock.

    Returns
    -------
    float64, axes (marker,), fractional samples; NaN for a time that is no number

    Notes
    -----
    Between samples: linear. Where two stretches share a time, the later one counts.
    """
    if not len(time_s):
        return np.full(len(times), np.nan)
    resets = np.flatnonzero(np.diff(time_s) < -MAX_JITTER_S) + 1
    edges = np.r_[0, resets, len(time_s)]
    placed = np.full(len(times), np.nan)
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = slice(start, stop)
        inside = np.isfinite(times) & (times >= time_s[start] - 0.5 / per_s)
        # The first stretch takes what lies before everything.
        inside |= np.isfinite(times) if start == 0 else np.zeros(len(times), np.bool_)
        if inside.any():
            placed[inside] = sample_positions(times[inside], time_s[part], index[part], per_s)
    return placed
