"""Options of `b2g-offline fit`: which decoder, and how it makes its choices."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from b2g_rt.errors import ConfigError


class Kind(StrEnum):
    """Decoder kinds."""

    per_window = "per_window"
    fixed = "fixed"


class DecoderMethod(StrEnum):
    """Decoders."""

    ols = "ols"
    ridge = "ridge"
    reduced_rank = "reduced_rank"
    pls = "pls"
    attention = "attention"


class SmoothingMethod(StrEnum):
    """Smoothings."""

    none = "none"
    exponential = "exponential"
    kalman = "kalman"
    best = "best"


class SplitBy(StrEnum):
    """Splits."""

    stimulus = "stimulus"
    day = "day"


class Groups(StrEnum):
    """Latents that share a regularisation."""

    each = "each"
    all = "all"


WorkOption = Annotated[
    Path | None,
    typer.Option(help="Folder for features on the way: an interrupted run goes on from there."),
]
KindOption = Annotated[
    Kind | None,
    typer.Option(
        help="per_window: one decoder per window after the onset marker. fixed: one decoder for the ROI windows, "
        "slid freely, no marker needed live. Default: per_window; with --default both."
    ),
]
GeneratorOption = Annotated[
    Path | None,
    typer.Option(
        help="ONNX file that draws pictures from w (1, 1, latent), or directory of export-generator."
    ),
]
DecoderOption = Annotated[
    DecoderMethod,
    typer.Option(
        help="ols: least squares, as the paper. ridge: regularised. reduced_rank: regularised, of low rank, small. "
        "pls: partial least squares. attention: a network over the windows so far."
    ),
]
SmoothingOption = Annotated[
    SmoothingMethod,
    typer.Option(help="Of latents over windows, causal; best: what held-out trials prefer."),
]
RoisOption = Annotated[
    str | None, typer.Option(help="Decode from these ROIs only, for example V1,V4.")
]
SplitOption = Annotated[
    SplitBy,
    typer.Option(
        help="What is held out while the decoder makes its choices: stimuli, or one day after the other."
    ),
]
GroupsOption = Annotated[
    Groups,
    typer.Option(help="Of ridge: one regularisation for each latent, or one for all."),
]
LiveStimuliOption = Annotated[
    Path | None,
    typer.Option(
        help="Stimuli that will be shown live, instead of the session's: .npz as --latents takes it."
    ),
]


def rois_of(text: str | None) -> tuple[str, ...]:
    """Return the ROIs of an option.

    Raises
    ------
    ConfigError
        None is named.
    """
    if text is None:
        return ()
    named = tuple(part.strip() for part in text.split(",") if part.strip())
    if not named:
        raise ConfigError(f"--rois '{text}': names none, expected for example V1,V4.")
    return named


def refuse_choices(given: Mapping[str, bool]) -> None:
    """Refuse choices beside --default; ``given`` says of each option whether it was.

    Raises
    ------
    ConfigError
        One was given.
    """
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise ConfigError(
            f"fit --default: {named[0]}, expected none: the shipped bundles are made in one way. Name a session to "
            "choose."
        )
