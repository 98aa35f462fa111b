"""What a command may use: workers, and how much memory in each process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from offline.scheduling.memory import parse_size
from offline.scheduling.workers import Workers, open_workers


@dataclass(frozen=True, slots=True)
class Resources:
    """Who does the work.

    Attributes
    ----------
    workers : Workers
    memory : int
        Bytes that it may take in each process, beyond the program itself.
    scratch : Path
        Folder for what is too large to be held; gone afterwards.
    """

    workers: Workers
    memory: int
    scratch: Path

    @property
    def held_features(self) -> int:
        """Bytes of features that are held (and copied once); more go to a file. Half of all is for the work on them."""
        return self.memory // 4


@contextmanager
def open_resources(scheduler: str | None, memory: str, near: Path) -> Iterator[Resources]:
    """Yield what the options of a command say.

    Parameters
    ----------
    scheduler : str, optional
        Address of a Dask scheduler; None: threads here.
    memory : str
        See ``parse_size``.
    near : Path
        The scratch folder lies in the nearest folder above it that exists: where there is room for results, there is
        room for features, while the system's own temporary folder may be memory.

    Raises
    ------
    ConfigError
        ``memory`` is no amount of it.
    SchedulerError, SetupError
        See ``open_workers``.
    """
    n_bytes = parse_size(memory)
    folder = next(path for path in near.absolute().parents if path.is_dir())
    with (
        open_workers(scheduler) as workers,
        TemporaryDirectory(prefix=".b2g-features-", dir=folder) as scratch,
    ):
        yield Resources(workers, n_bytes, Path(scratch))
