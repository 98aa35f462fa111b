"""Gaps and backward steps of a recording: what was found, and what a user wants done about them.

How they are found is in `placement`. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from b2g_rt.errors import SessionError

PolicyKind = Literal["error", "segment", "tolerate"]
POLICIES: tuple[PolicyKind, ...] = ("error", "segment", "tolerate")

MAX_JITTER_S = 0.1
"""A step back by more than this is a clock that was set anew, not jitter."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class GapPolicy:
    """What is done about gaps and backward steps.

    Attributes
    ----------
    kind : {'error', 'segment', 'tolerate'}
        ``error``: a recording that has any is refused, with the report. ``segment``: a gap keeps its true length on
        the sample clock, no window reaches across unnoticed. ``tolerate``: gaps and steps up to ``tolerance_s`` are
        closed, because the samples are trusted and the stamps are not; larger ones stay as with ``segment``.
    tolerance_s : float
        Of ``tolerate``.

    Raises
    ------
    SessionError
        Another kind, or a tolerance that is no positive number.
    """

    kind: PolicyKind = "error"
    tolerance_s: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in POLICIES:
            raise SessionError(f"gaps: '{self.kind}', expected one of {', '.join(POLICIES)}.")
        if not 0 < self.tolerance_s < np.inf:
            raise SessionError(f"gap tolerance: {self.tolerance_s} s, expected more than 0.")


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap or step back, between rows ``row - 1`` and ``row``.

    Attributes
    ----------
    row : int
    time_s : float
        Stamp of the row.
    n_lost : int
        Samples that are missing; 0 for a clock that jumped back.
    step_s : float
        How much later (negative: earlier) the row's stamp is than expected.
    closed : bool
        Tolerated: the rows follow each other on the sample clock.
    """

    row: int
    time_s: float
    n_lost: int
    step_s: float
    closed: bool = False


@dataclass(frozen=True, slots=True)
class GapReport:
    """What was found in a recording's stamps.

    Attributes
    ----------
    n_samples : int
    gaps : tuple of Gap
        Losses and jumps of the clock, in order.
    n_backward, backward_s : int, float
        Small steps back in the stamps (jitter): how many, the largest; no samples are lost or doubled by them.
    n_late : int
        Rows that came after rows of a later index (our own HDF5: late or doubled samples).
    truncation : str
        What says that the file was cut short; empty: nothing.
    """

    n_samples: int
    gaps: tuple[Gap, ...] = ()
    n_backward: int = 0
    backward_s: float = 0.0
    n_late: int = 0
    truncation: str = ""

    @property
    def n_lost(self) -> int:
        """Samples missing in gaps, closed ones included."""
        return sum(gap.n_lost for gap in self.gaps)

    @property
    def n_segments(self) -> int:
        """Stretches without an open gap."""
        return (self.n_samples > 0) + sum(not gap.closed for gap in self.gaps)

    def lines(self) -> list[str]:
        """Return the report for a person, a fact a line; empty where there is nothing to report."""
        found = []
        if self.gaps:
            n_closed = sum(gap.closed for gap in self.gaps)
            shown = ", ".join(_shown(gap) for gap in self.gaps[:_SHOWN])
            more = f", {len(self.gaps) - _SHOWN} more" if len(self.gaps) > _SHOWN else ""
            closed = f", {n_closed} of them closed" if n_closed else ""
            gaps = "1 gap" if len(self.gaps) == 1 else f"{len(self.gaps)} gaps"
            found.append(f"{gaps}{closed}, {self.n_lost} samples lost: {shown}{more}")
        if self.n_backward:
            found.append(
                f"{self.n_backward} stamps run backwards by at most {1000 * self.backward_s:.3g} ms (jitter; no sample "
                "is lost)"
            )
        if self.n_late:
            found.append(f"{self.n_late} late or doubled samples")
        if self.truncation:
            found.append(f"cut short: {self.truncation}")
        return found


def _shown(gap: Gap) -> str:
    what = f"{gap.n_lost} samples" if gap.n_lost else f"clock {gap.step_s:+.3g} s"
    return f"{what} at row {gap.row} ({gap.time_s:.3f} s)"


def check(report: GapReport, policy: GapPolicy, where: str) -> None:
    """Refuse a recording with gaps, late samples or a cut end where the policy says so.

    Raises
    ------
    SessionError
        The policy is ``error`` and there is something to report beyond jitter.
    """
    if policy.kind != "error" or not (report.gaps or report.n_late or report.truncation):
        return
    lines = "; ".join(replace(report, n_backward=0).lines())
    advice = "--gaps segment keeps gaps as gaps, --gaps tolerate closes short ones"
    if report.truncation:
        advice = (
            "Copy it again if the original is longer; with --gaps segment what is there is read"
        )
    raise SessionError(f"{where}: {lines}; expected a whole recording without gaps. {advice}.")
