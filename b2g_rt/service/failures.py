"""What fails inside a stage, said once per cause and counted: one window must not end a session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from b2g_rt.errors import B2GError
from b2g_rt.service.progress import Progress

LOG = logging.getLogger(__name__)

# What a failure costs, by stage; the deliver stage cannot send word of its own.
_COSTS = {
    "decode": "The frame is flagged",
    "render": "The frame is flagged",
    "encode": "The trial is not compared",
}

Tell = Callable[[str, Literal["info", "warning", "error"], str], None]


class Failures:
    """Counts and tells.

    Parameters
    ----------
    progress : Progress
    tell : callable
        (kind, level, text): publishes it, from any thread.
    """

    def __init__(self, progress: Progress, tell: Tell) -> None:
        self._progress = progress
        self._tell = tell
        self._known: set[tuple[str, type[Exception]]] = set()

    def contain(self, stage: str, error: Exception) -> None:
        """Take note of what a stage could not do with one item."""
        self._progress.n_failures += 1
        if (stage, type(error)) in self._known:
            return
        self._known.add((stage, type(error)))
        of_ours = isinstance(error, B2GError)
        if of_ours:
            LOG.error("stage %s: %s Counted from now on", stage, error)
        else:
            LOG.error("stage %s failed, counted from now on", stage, exc_info=error)
        if stage in _COSTS:
            what = str(error) if of_ours else f"{type(error).__name__}: {error}."
            text = f"{stage}: {what} {_COSTS[stage]}, the session goes on."
            self._tell("stage-failed", "error", " ".join(text.split()))
