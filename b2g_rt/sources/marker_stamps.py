"""Whether a marker's stamp can be of LSL's clock: those that cannot are held back, said once and counted.

For sources whose markers come from strangers: a stamp that is no number ends arithmetic, one of Unix time lets an
onset wait for ever. Knows no LSL.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from b2g_rt.sources.chunk import Level, SourceMarker

AHEAD_S = 10.0
# The samples of an older onset are gone: liblsl keeps 360 s of them for a reader that is held up. Only a
# foreign clock (seconds since a program's start, an uncorrected host) looks like this.
BEHIND_S = 3600.0
# A recording's own clock may read anything at which float64 still resolves a microsecond.
_RESOLVED_S = 2.0**53 * 1e-6
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ClockNow:
    """What marker stamps are held against.

    ``newest_s``: fitted time of the newest sample, None before the first; where the stamps' clock of the MUA was
    set, markers may follow it. ``session_clock``: the MUA stream says that stamps are on the recording's own clock.
    """

    newest_s: float | None
    session_clock: bool


class MarkerStamps:
    """Sorts markers into those that can be placed and those that are refused.

    Parameters
    ----------
    key : str
        Where the marker stream stands in the configuration.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._n_refused: Counter[tuple[str, str]] = Counter()

    def sort(
        self, markers: list[SourceMarker], clock: ClockNow, stream: str, uid: str
    ) -> tuple[list[SourceMarker], list[tuple[str, Level, str]]]:
        """Return the markers whose stamps can be true, and what there is to say (kind, level, text).

        Parameters
        ----------
        markers : list of SourceMarker
        clock : ClockNow
        stream, uid : str
            The connected marker stream, in one phrase, and which outlet of it: another one is said anew.
        """
        good: list[SourceMarker] = []
        said: list[tuple[str, Level, str]] = []
        for marker in markers:
            found = _fault(marker, clock)
            if found is None:
                good.append(marker)
                continue
            cause, expected = found
            self._n_refused[uid, cause] += 1
            said += self._line(marker, stream, cause, expected, self._n_refused[uid, cause])
        return good, said

    def _line(
        self, marker: SourceMarker, stream: str, cause: str, expected: str, n: int
    ) -> list[tuple[str, Level, str]]:
        where = f"{self._key}: {stream}: marker {marker.text[:_SHOWN]!r}"
        if n == 1:
            text = (
                f"{where} stamped {marker.time_s!r} s, {cause}, expected {expected}. Such markers are no onsets; "
                "let the outlet stamp with pylsl.local_clock()."
            )
            return [("markers-clock", "error", text)]
        # Said again each time it has become ten times as many.
        if n == 10 ** (len(str(n)) - 1):
            text = f"{where} stamped {marker.time_s!r} s is the {n}th that is refused: {cause}."
            return [("markers-clock", "warning", text)]
        return []


def _fault(marker: SourceMarker, clock: ClockNow) -> tuple[str, str] | None:
    """Return (cause, what was expected) of a stamp that cannot be true."""
    stamp, received_s = marker.time_s, marker.received_s
    if not math.isfinite(stamp):
        return "not a finite number", "seconds of LSL's local_clock"
    if clock.session_clock:
        if abs(stamp) > _RESOLVED_S:
            return "beyond what a clock reads", f"within {_RESOLVED_S:.0g} s of zero"
        return None
    newest_s = received_s if clock.newest_s is None else clock.newest_s
    if stamp > max(received_s, newest_s) + AHEAD_S:
        return (
            "far ahead of LSL's local_clock (Unix time?)",
            f"within {AHEAD_S:.0f} s of {received_s:.0f} s",
        )
    if stamp < max(0.0, min(received_s, newest_s) - BEHIND_S):
        return (
            "far behind LSL's local_clock",
            f"at most {BEHIND_S:.0f} s before {received_s:.0f} s, and not before 0",
        )
    return None
