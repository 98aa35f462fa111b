"""The LSL clock of this host, and which liblsl tells it."""

from __future__ import annotations

from collections.abc import Callable


def lsl_clock() -> Callable[[], float]:
    """Return the function that reads the LSL clock, seconds; loads liblsl."""
    import pylsl

    clock: Callable[[], float] = pylsl.local_clock
    return clock


def library_version() -> str:
    """Return liblsl's version, e.g. '1.18'."""
    import pylsl

    version = int(pylsl.library_version())
    return f"{version // 100}.{version % 100}"
