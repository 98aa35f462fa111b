"""Run by tests as a process of its own: features of a folder, by a network that stops on the way and says so.

``interrupted_run.py FOLDER OUT BATCHES_BEFORE_THE_STOP``
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from offline.features.extraction import NetworkOpener, extract
from offline.features.pictures import find_pictures
from offline.scheduling.local_workers import LocalWorkers
from tests.offline.features.tiny_network import StoppingNetwork


def main(folder: str, out: str, after: str) -> None:
    extract(
        find_pictures([Path(folder)]),
        NetworkOpener(partial(StoppingNetwork, int(after))),
        Path(out),
        batch=4,
        workers=LocalWorkers(1),
        command="pytest",
        stage=lambda what, total: lambda done: None,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
