"""Amounts of memory, read and written as people do: 2GiB, 500 MB."""

from __future__ import annotations

import re

from b2g_rt.errors import ConfigError

_UNITS = {
    unit: factor**power
    for power, prefix in enumerate(("", "k", "m", "g", "t"))
    for unit, factor in ((f"{prefix}b", 1000), (f"{prefix}ib", 1024), (prefix, 1024))
}


def parse_size(text: str) -> int:
    """Return bytes.

    Parameters
    ----------
    text : str
        A number and its unit: B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024), or K, M, G, T (of
        1024); capitals do not matter.

    Raises
    ------
    ConfigError
        It is none, or not more than 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    n_bytes = int(float(found[1]) * _UNITS.get(found[2], 0)) if found else 0
    if not n_bytes:
        raise ConfigError(f"--memory {text}: expected an amount of memory. For example 2GiB.")
    return n_bytes


def size_text(n_bytes: int) -> str:
    """Return an amount for people: ``812 MiB``, ``1.5 GiB``."""
    if n_bytes < 1024**3:
        return f"{max(1, round(n_bytes / 1024**2))} MiB"
    return f"{n_bytes / 1024**3:.1f} GiB"
