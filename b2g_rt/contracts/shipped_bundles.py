"""Where a bundle lies that is named on a command line or in a configuration."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.errors import BundleError

BUNDLES = Path(__file__).parent.parent / "bundles"


def bundle_path(name: str) -> Path:
    """Return the directory of a bundle given by path, or by the name of a shipped one.

    Raises
    ------
    BundleError
        Neither; the line lists what is shipped.
    """
    shipped = BUNDLES / name
    if (shipped / "manifest.json").exists() and "/" not in name:
        return shipped
    if Path(name).exists():
        return Path(name)
    names = sorted(p.parent.name for p in BUNDLES.glob("*/manifest.json"))
    raise BundleError(
        f"bundle '{name}': no such directory, and no shipped bundle of that name ({', '.join(names) or 'none'}). "
        "Give a directory, or make one with b2g-offline fit."
    )
