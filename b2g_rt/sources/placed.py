"""Where received samples belong: runs of rows that are contiguous on the sample clock.

Made by the sample clock, counted by the ledger, written by ring and recorder. Knows no LSL, no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["new", "late", "duplicate"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Rows [index, index + n) of the sample clock, in the order in which they were received.

    Attributes
    ----------
    index : int
        Of the first row.
    kind : {'new', 'late', 'duplicate'}
        ``new``: moves the clock's ``stop`` to the run's end. ``late``: fills slots that were declared lost.
        ``duplicate``: these slots were received before (or left the clock's memory); for the recorder only.
    stamps : float64, axes (sample,)
        As received, s.
    rows : float32, axes (sample, stream column)
    n_lost : int
        Slots directly before ``index`` that are lost; only with ``new``.
    step_s : float
        The stamps' clock jumped by this much before the run (no samples lost by it); only with ``new``.
    restart : bool
        First run after a reconnect.
    """

    index: int
    kind: Kind
    stamps: NDArray[np.float64]
    rows: NDArray[np.float32]
    n_lost: int = 0
    step_s: float = 0.0
    restart: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.stamps)

    @property
    def stop(self) -> int:
        """Index after the last row."""
        return self.index + len(self.stamps)

    @property
    def lost_start(self) -> int:
        """Index of the first of the ``n_lost`` slots."""
        return self.index - self.n_lost
