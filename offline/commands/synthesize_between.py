"""``b2g-offline synthesize interpolate`` and ``arithmetic``: pictures between and beyond stimuli."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.synthesize_options import (
    FACES,
    BatchOption,
    DeviceName,
    DeviceOption,
    OutOption,
    WorkersOption,
    make,
    told,
)
from offline.destinations import check_folder

if TYPE_CHECKING:
    from offline.stimuli.generators import PictureGenerator
    from offline.stimuli.synthesis.stimulus_file import StimulusSet
    from offline.stimuli.synthesis.vectors import Way


class SpaceName(StrEnum):
    """Where an interpolation goes."""

    w = "w"
    z = "z"


class WayName(StrEnum):
    """How an interpolation goes."""

    linear = "linear"
    spherical = "spherical"


def interpolate(
    stops: Annotated[
        list[str],
        typer.Argument(help="Two or more ids of the set, or seeds (SEED:WNID with classes)."),
    ],
    out: OutOption,
    of_set: Annotated[
        Path | None, typer.Option("--from", help="A finished set. Without: the stops are seeds.")
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="Directory or shipped name. Default: the set's, or procedural-faces."),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Pictures from one stop to the next, both included.", min=2)
    ] = 9,
    space: Annotated[SpaceName, typer.Option(help="Interpolate w or z.")] = SpaceName.w,
    way: Annotated[
        WayName | None,
        typer.Option(
            help="Straight, or along a great circle. Default: linear in w, spherical in z."
        ),
    ] = None,
    psi: Annotated[
        float | None,
        typer.Option(help="Truncation of seeds; a set has its own. Default .7.", min=0.0, max=1.0),
    ] = None,
    device: DeviceOption = DeviceName.auto,
    batch: BatchOption = None,
    workers: WorkersOption = None,
) -> None:
    """Draw pictures on the way from one stimulus to the next.

    Between stimuli: b2g-offline synthesize interpolate test/0001 test/0002 --from stimuli/faces --out between

    Between seeds: b2g-offline synthesize interpolate 7 8 9 --out between
    """
    _check_stops(stops, of_set, psi)
    check_folder("--out", out)
    from offline.stimuli.generators import open_generator
    from offline.stimuli.synthesis import sequences
    from offline.stimuli.synthesis.plans import PSI
    from offline.stimuli.synthesis.render import chosen_drawing

    drawing = chosen_drawing(device.value, batch, workers)
    if of_set is not None:
        stimuli, opened, given = _set_and_generator(of_set, generator)
        found = sequences.stops_of_set(stimuli, tuple(stops))
    else:
        given = generator or FACES
        opened = open_generator(given)
        found = sequences.stops_of_seeds(opened, tuple(stops), PSI if psi is None else psi)
    straight = way is WayName.linear if way else space is SpaceName.w
    how: Way = "linear" if straight else "spherical"
    plan, w, position = sequences.interpolation(opened, found, steps, space.value, how)
    settings = {"stops": list(found.names), "space": space.value, "way": how, "steps": steps}
    provenance = {
        "generator_given": given,
        "set": None if of_set is None else str(of_set),
        **settings,
    }
    make(
        plan, w, opened, out, drawing, settings=settings, provenance=provenance,
        columns={"position": position},
    )  # fmt: skip
    sequences.write_strip(out, plan)
    told(out, plan, sequences.STRIP)


def arithmetic(
    of_set: Annotated[Path, typer.Option("--from", help="A finished set.")],
    start: Annotated[str, typer.Option(help="Id of the stimulus to start from.")],
    out: OutOption,
    add: Annotated[
        list[str] | None,
        typer.Option(help="Ids, ids with *, or a WordNet id; repeatable. Their mean is added."),
    ] = None,
    subtract: Annotated[
        list[str] | None, typer.Option(help="Likewise; their mean is subtracted.")
    ] = None,
    factor: Annotated[
        list[float] | None, typer.Option(help="Times the difference; repeatable. Default: 0 and 1.")
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Directory or shipped name. Default: the set's.")
    ] = None,
    device: DeviceOption = DeviceName.auto,
    batch: BatchOption = None,
    workers: WorkersOption = None,
) -> None:
    """Draw start + factor * (mean of add - mean of subtract), computed in w.

    a + b - c: b2g-offline synthesize arithmetic --from stimuli/faces --start test/0001 --add test/0002 --subtract
    test/0003 --out sum

    A direction in steps: add --factor -1 --factor 0 --factor 1
    """
    check_folder("--out", out)
    import numpy as np

    from offline.stimuli.synthesis import sequences
    from offline.stimuli.synthesis.render import chosen_drawing

    drawing = chosen_drawing(device.value, batch, workers)
    stimuli, opened, given = _set_and_generator(of_set, generator)
    factors = tuple(factor or (0.0, 1.0))
    plan, w = sequences.arithmetic(stimuli, start, tuple(add or ()), tuple(subtract or ()), factors)
    settings = {
        "start": start,
        "add": add or [],
        "subtract": subtract or [],
        "factors": list(factors),
    }
    provenance = {"generator_given": given, "set": str(of_set), **settings}
    make(
        plan, w, opened, out, drawing, settings=settings, provenance=provenance,
        columns={"factor": np.array(factors)},
    )  # fmt: skip
    sequences.write_strip(out, plan)
    told(out, plan, sequences.STRIP)


def _check_stops(stops: list[str], of_set: Path | None, psi: float | None) -> None:
    if len(stops) < 2:
        raise ConfigError(
            f"interpolate: {stops[0]} alone, expected two stops or more. Name another stimulus or seed."
        )
    if of_set is not None and psi is not None:
        raise ConfigError(
            f"interpolate --psi {psi:g}: the stimuli of {of_set} are truncated already, expected none. Leave it out."
        )


def _set_and_generator(
    folder: Path, generator: str | None
) -> tuple[StimulusSet, PictureGenerator, str]:
    from offline.stimuli.generators import open_generator
    from offline.stimuli.synthesis.sequences import check_same_generator
    from offline.stimuli.synthesis.stimulus_file import read_stimuli

    stimuli = read_stimuli(folder)
    given = generator or str(stimuli.provenance["generator_given"])
    opened = open_generator(given)
    check_same_generator(stimuli, opened)
    return stimuli, opened, given
