"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LatentsOption = Annotated[
    Path | None,
    typer.Option(
        help="Latents of the stimuli: .npz with id (stimulus,) and latent (stimulus, latent); of Brain2GAN responses "
        "their *_w.pickle."
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        help="Regular expression of onset markers with a group 'stimulus', as streams.marker_pattern."
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Do the work on the Dask cluster of this scheduler (tcp://host:8786); by default on all processors here.",
    ),
]
MemoryOption = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="What the work may take in each process, beyond the program itself: 2GiB, 500MB. Features "
        "that need more than half of it go to a file.",
    ),
]
MEMORY = "4GiB"
