"""The runs that made one result: when, how long, with what. A projection that was gone on with has several.

A run is known by the date at which it began; every picture of the result holds that of its own. Must not know files.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any


class Run:
    """The run that is under way.

    Parameters
    ----------
    provenance : dict
        JSON values: command, device, versions.

    Attributes
    ----------
    date : str
        When it began, UTC, ISO 8601 to the microsecond.
    """

    def __init__(self, provenance: dict[str, Any]) -> None:
        self.date = datetime.now(UTC).isoformat(timespec="microseconds")
        self._provenance = provenance
        self._began = time.monotonic()

    def record(self) -> dict[str, Any]:
        """Return it as JSON values, with the seconds that it has run."""
        seconds = round(time.monotonic() - self._began, 3)
        return {"date": self.date, "seconds": seconds, "provenance": self._provenance}


def merged(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one record per run, in the order in which they began: the one written last, as of the longest time."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        held = found.get(record["date"])
        if held is None or record["seconds"] >= held["seconds"]:
            found[record["date"]] = record
    return [found[date] for date in sorted(found)]


def counted(records: list[dict[str, Any]], dates: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the runs that found pictures, with ``n_pictures``.

    Parameters
    ----------
    records : list of dict
    dates : iterable of str
        Of the run of each picture.
    """
    n = Counter(map(str, dates))
    return [{**r, "n_pictures": n[r["date"]]} for r in records if n[r["date"]]]
