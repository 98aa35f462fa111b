"""A stretch of regular samples with its losses, and what can be asked for one.

The ring (live) and ``SampleArray`` (offline) answer the same question, so one function cuts windows from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import WindowNotReady, WindowOverwritten


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples [start, start + n), z units, each channel regular on the sample clock.

    Attributes
    ----------
    start : int
        Index of the first sample on the sample clock.
    values : float32, axes (sample, channel), C order
        Rows of lost samples are NaN.
    lost : bool, axes (sample,)
        True where the sample never arrived.
    """

    start: int
    values: NDArray[np.float32]
    lost: NDArray[np.bool_]


class SampleStore(Protocol):
    """What windows are cut from."""

    @property
    def start(self) -> int:
        """Index of the oldest sample that can be read."""

    @property
    def stop(self) -> int:
        """Index after the newest sample."""

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of samples [start, stop), or raise WindowNotReady or WindowOverwritten."""


def check_extent(start: int, stop: int, have_start: int, have_stop: int) -> None:
    """Raise the named error unless [start, stop) lies within [have_start, have_stop)."""
    if stop > have_stop:
        raise WindowNotReady(
            f"samples {start} to {stop - 1}: newest is {have_stop - 1}. Ask again after {stop - have_stop} more."
        )
    if start < have_start:
        raise WindowOverwritten(
            f"samples {start} to {stop - 1}: oldest kept is {have_start}, {have_start - start} too late. "
            "Raise service.ring_s."
        )


class SampleArray:
    """A whole recording, or a block of it, in memory.

    Parameters
    ----------
    values : float32, axes (sample, channel), z units
    start : int
        Index of ``values[0]`` on the sample clock.
    lost : bool, axes (sample,), optional
        True where the sample never arrived; none by default.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        start: int = 0,
        lost: NDArray[np.bool_] | None = None,
    ) -> None:
        self._values = values
        self._start = start
        self._lost = np.zeros(len(values), np.bool_) if lost is None else lost

    @property
    def start(self) -> int:
        """Index of the first sample."""
        return self._start

    @property
    def stop(self) -> int:
        """Index after the last sample."""
        return self._start + len(self._values)

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of samples [start, stop).

        Raises
        ------
        WindowNotReady, WindowOverwritten
            The array does not hold all of them.
        """
        check_extent(start, stop, self.start, self.stop)
        inside = slice(start - self._start, stop - self._start)
        return Samples(
            start, np.array(self._values[inside], np.float32, order="C"), self._lost[inside].copy()
        )
