"""Whether the newest picture may be shown as new.

Three traps are closed here. A picture that has grown old is stale, whatever happens next. A stream that does
not run makes its last picture stale at once. And a display that was stalled (process stopped, screen locked,
GUI blocked) finds old messages in the kernel's buffers when it wakes: they come out in order, so the first
one it could paint is the oldest. After a stall nothing is shown until a picture arrives that is at most
``FRAMES_BEHIND`` pictures old; only when none comes for ``CATCH_UP_S`` (the trial is over, the service is gone)
the newest is shown, with its true age.

Knows neither sockets nor Qt; time is an argument (seconds, monotonic clock).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

# A paint that comes this late means that the process or its GUI stood still.
STALL_S = 0.25
CATCH_UP_S = 0.5
# Two would be allowed; the half keeps the publication's own jitter inside.
FRAMES_BEHIND = 1.5


class Shown(Enum):
    """What a view does with the picture."""

    NOTHING = auto()
    CATCHING_UP = auto()
    FRESH = auto()
    STALE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the picture is shown; ``age_s`` since the window's last sample, None when unknown."""

    shown: Shown
    age_s: float | None


class Freshness:
    """Judges at each paint.

    Parameters
    ----------
    stale_after_s : float
        Age from which a picture is greyed.
    """

    def __init__(self, stale_after_s: float = 1.0) -> None:
        self._stale_after_s = stale_after_s
        self._last_paint_s: float | None = None
        self._awake_since_s = float("-inf")
        self._catching_up = False

    @property
    def awake_since_s(self) -> float:
        """End of the last stall; minus infinity when there was none."""
        return self._awake_since_s

    def tick(self, now_s: float) -> None:
        """Note that a paint begins; must come before ``judge``."""
        if self._last_paint_s is not None and now_s - self._last_paint_s > STALL_S:
            self._awake_since_s = now_s
            self._catching_up = True
        self._last_paint_s = now_s

    def judge(
        self,
        now_s: float,
        *,
        streaming: bool,
        sample_s: float | None,
        published_s: float | None,
        picture_period_s: float,
    ) -> Verdict:
        """Judge the newest picture.

        Parameters
        ----------
        now_s : float
            Time of this paint.
        streaming : bool
            The service says that samples come in.
        sample_s, published_s : float or None
            Stamps of the picture on this clock; None without a picture or before the clock is known.
        picture_period_s : float
            Time between pictures while they flow.
        """
        if sample_s is None or published_s is None:
            return Verdict(Shown.NOTHING, None)
        if self._catching_up:
            caught_up = now_s - published_s <= FRAMES_BEHIND * picture_period_s
            if not caught_up and now_s - self._awake_since_s < CATCH_UP_S:
                return Verdict(Shown.CATCHING_UP, None)
            self._catching_up = False
        age_s = now_s - sample_s
        fresh = streaming and age_s <= self._stale_after_s
        return Verdict(Shown.FRESH if fresh else Shown.STALE, age_s)
