"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LatentsOption = Annotated[
    Path | None,
    typer.Option(
        help="Latents of the stimuli: .npz with id (stimulus,) and latent (stimulus, latent)."
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        help="Regular expression of onset markers with a group 'stimulus', as streams.marker_pattern."
    ),
]
