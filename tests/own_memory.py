"""Memory of a process of its own, for scripts that tests start.

Not getrusage: what that says of a new process begins at the memory of the one that started it.
"""

from __future__ import annotations

from pathlib import Path


def own_memory(name: str = "VmHWM") -> int:
    """Return bytes of this process: its peak, or now (``VmRSS``); Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
