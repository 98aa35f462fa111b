"""A configuration for a bundle on the CPU."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.config import Config, load_config


def config_for(bundle: Path, *sets: str) -> Config:
    """Return the defaults with this bundle on the CPU, and ``sets`` on top."""
    return load_config(None, [f"bundle={bundle}", "inference.provider=cpu", *sets])
