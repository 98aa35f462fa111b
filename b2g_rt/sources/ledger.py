"""The ledger of a stream: what was expected, what came, and what became of the rest.

``expected == received + lost`` at all times: every slot of the sample clock is one or the other; a late sample
moves its slot from lost to received. Duplicates lie beside it, they fill no slot.
"""

from __future__ import annotations

from b2g_rt.contracts.messages import Ledger
from b2g_rt.sources.placed import Placed


class StreamLedger:
    """Counts one stream; ``snapshot`` gives the message."""

    def __init__(self) -> None:
        self._expected = 0
        self._received = 0
        self._lost = 0
        self._duplicated = 0
        self._late = 0
        self._reconnects = 0
        self._clock_steps = 0

    def add(self, run: Placed) -> None:
        """Count one run of samples."""
        n = len(run)
        if run.kind == "new":
            self._expected += run.n_lost + n
            self._lost += run.n_lost
            self._received += n
            self._clock_steps += run.step_s != 0.0
        elif run.kind == "late":
            self._lost -= n
            self._received += n
            self._late += n
        else:
            self._duplicated += n

    def add_markers(self, n: int) -> None:
        """Count markers: irregular, so those that never came cannot be known."""
        self._expected += n
        self._received += n

    def add_reconnect(self) -> None:
        """Count a reconnect."""
        self._reconnects += 1

    def snapshot(self) -> Ledger:
        """Return the counts as they stand."""
        return Ledger(
            expected=self._expected,
            received=self._received,
            lost=self._lost,
            duplicated=self._duplicated,
            late=self._late,
            reconnects=self._reconnects,
            clock_steps=self._clock_steps,
        )
