"""`b2g-offline simulate`: recordings of the simulated macaque, in any format, with the truth beside them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import console, say
from offline.stages import stages

if TYPE_CHECKING:
    from b2g_rt.contracts.channels import ChannelMap
    from b2g_rt.simulation.days import DaySpec

DAY_GAIN_SD, DAY_OFFSET_SD = 0.25, 0.3
DAYS = "Days"
FAULTS = "What goes wrong"
DRIVEN = "What drives the electrodes"


class Preset(StrEnum):
    """Macaques."""

    faces = "faces"
    images = "images"


class WrittenFormat(StrEnum):
    """Formats that are written."""

    session = "session"
    nwb = "nwb"
    xdf = "xdf"
    blackrock = "blackrock"
    brain2gan = "brain2gan"
    tvsd = "tvsd"


class Monkey(StrEnum):
    """TVSD's monkeys."""

    N = "N"
    F = "F"


def simulate(
    out: Annotated[
        Path,
        typer.Argument(
            help="File to write: .h5 (session), .nwb, .xdf, .ns2 (Blackrock), .mat (Brain2GAN); a directory: TVSD."
        ),
    ],
    preset: Annotated[
        Preset,
        typer.Option(
            help="What is looked at; the mean latent scores a cosine of .48 (faces) or .72 (images)."
        ),
    ] = Preset.faces,
    trials: Annotated[
        int, typer.Option(min=0, help="Training stimuli, each shown once. In the paper 4000.")
    ] = 400,
    test_stimuli: Annotated[
        int, typer.Option(min=0, help="Test stimuli. In the paper 100 faces or 200 images.")
    ] = 20,
    repeats: Annotated[
        int,
        typer.Option(min=1, help="How often each test stimulus is shown, on all days together."),
    ] = 20,
    format_: Annotated[
        WrittenFormat | None, typer.Option("--format", help="By default as OUT ends.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Blackrock: voltage at 30 kHz instead of MUA at 1 kHz.")
    ] = False,
    channels: Annotated[
        Path | None,
        typer.Option(
            help="Electrodes (YAML); by default the Brain2GAN monkey's 960, for TVSD those of --monkey."
        ),
    ] = None,
    monkey: Annotated[Monkey, typer.Option(help="TVSD: whose layout.")] = Monkey.N,
    days: Annotated[
        int,
        typer.Option(
            min=1,
            help="Trials are dealt out over so many days; a file for each, but for Brain2GAN and TVSD.",
            rich_help_panel=DAYS,
        ),
    ] = 1,
    gain_sd: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"SD of the logarithm of each electrode's gain, day by day; {DAY_GAIN_SD} with several days, else 0.",
            rich_help_panel=DAYS,
        ),
    ] = None,
    offset_sd: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="SD of each electrode's offset, in SDs of its single-trial response; "
            f"{DAY_OFFSET_SD} with several days, else 0.",
            rich_help_panel=DAYS,
        ),
    ] = None,
    rotation: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the tuning that turns away, day by day.",
            rich_help_panel=DAYS,
        ),
    ] = 0.0,
    dead_array: Annotated[
        list[int] | None,
        typer.Option(
            help="Number of an array that answers to nothing; may be repeated.",
            rich_help_panel=FAULTS,
        ),
    ] = None,
    dead_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of dead electrodes.", rich_help_panel=FAULTS),
    ] = 0.0,
    bursting_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of bursting electrodes.", rich_help_panel=FAULTS),
    ] = 0.0,
    drift: Annotated[
        float,
        typer.Option(
            min=0,
            help="SD of the logarithm of a slow gain of the whole signal within a day.",
            rich_help_panel=FAULTS,
        ),
    ] = 0.0,
    line_noise: Annotated[
        float,
        typer.Option(min=0, help="Amplitude of 50 Hz with harmonics, uV.", rich_help_panel=FAULTS),
    ] = 0.0,
    saturation: Annotated[
        float,
        typer.Option(
            min=0, help="How often 64 columns saturate, per minute.", rich_help_panel=FAULTS
        ),
    ] = 0.0,
    packet_loss: Annotated[
        float,
        typer.Option(
            min=0,
            help="Losses of 30 ms on average, per minute: gaps, in TVSD's trials NaN.",
            rich_help_panel=FAULTS,
        ),
    ] = 0.0,
    tuning: Annotated[
        str | None,
        typer.Option(
            metavar="ROI=FILE:SPACE,...",
            help="Feature space that drives each ROI's electrodes: V1=vgg.zarr:VGG1,V4=vgg.zarr:VGG3,IT=w. w is the "
            "animal's own tuning. Needs --stimuli.",
            rich_help_panel=DRIVEN,
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Fitted encoder that drives the electrodes: encoder/ of b2g-offline encode. Needs --stimuli.",
            rich_help_panel=DRIVEN,
        ),
    ] = None,
    stimuli: Annotated[
        Path | None,
        typer.Option(
            help="Stimulus set that is shown (b2g-offline synthesize): the one that features were made of.",
            rich_help_panel=DRIVEN,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of latents, order, noise, days and faults.")
    ] = 1,
    animal: Annotated[int, typer.Option(min=0, help="Seed of the animal itself.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
) -> None:
    """Simulate recordings that are as hard to decode as real ones, and write them with their truth.

    A day of faces: b2g-offline simulate recordings/monday.h5

    A month that drifts: b2g-offline simulate recordings/may.nwb --preset images --days 5 --rotation 0.05 --drift 0.05

    For another program: b2g-offline simulate rig/monday.xdf --packet-loss 2 --line-noise 1

    Tuned to features: b2g-offline simulate recordings/vgg.h5 --tuning V1=vgg.zarr:VGG1,V4=vgg.zarr:VGG3,IT=w
    --stimuli stimuli/faces

    Stream one through LSL: b2g-rt replay recordings/monday.h5
    """
    from b2g_rt.simulation.disturbances import DisturbanceSpec
    from b2g_rt.simulation.raw_voltage import VoltageSpec
    from offline.destinations import check_file, check_folder
    from offline.recordings import simulated_files
    from offline.recordings.simulated_sessions import SessionPlan, simulated_set

    name = simulated_files.format_for(out, format_)
    if raw and name != WrittenFormat.blackrock:
        raise ConfigError(f"--raw: {out} is {name}, expected a Blackrock file (.ns6).")
    electrodes = _electrodes(channels, name, monkey)
    plan = SessionPlan(
        preset=preset.value,
        n_train=trials,
        n_test=test_stimuli,
        n_repeats=repeats,
        n_days=days,
        day=_day(days, gain_sd, offset_sd, rotation, dead_array or [], dead_share, seed),
        disturbances=DisturbanceSpec(
            drift_sd=drift,
            line_uv=line_noise,
            bursting_share=bursting_share,
            saturations_per_min=saturation,
            losses_per_min=packet_loss,
        ),
        voltage=VoltageSpec() if raw else None,
        channels=electrodes,
        seed=seed,
        macaque_seed=animal,
    )
    if name == simulated_files.TVSD:
        check_folder("OUT", out)
    else:
        check_file("OUT", out, make_folder=True)
    wanted = simulated_files.files_of(out, name, days, monkey.value)
    for path in (*wanted, simulated_files.truth_path(out, name)):
        if path.exists() and not overwrite:
            raise ConfigError(
                f"{path}: is there already, expected a new file. Add --overwrite, or name another."
            )
    driven = None
    if tuning is not None or encoder is not None or stimuli is not None:
        from offline.commands.driven_simulation import driven_animal

        driven = driven_animal(plan, tuning, encoder, stimuli)
    simulated = simulated_set(plan, driven)
    _check_arrays(dead_array or [], simulated.macaque.channels)
    with stages(console) as stage:
        for path in simulated_files.write_simulation(simulated, out, name, stage, monkey.value):
            say(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for day in simulated.days:
        n_lost = sum(e.stop - e.start for e in day.stream.events if e.kind == "loss")
        lost = f", {n_lost} samples lost" if n_lost else ""
        say(
            f"day {day.number}: {len(day.shown.stimulus)} trials, {day.stream.n_samples} samples{lost}"
        )


def _electrodes(channels: Path | None, name: str, monkey: Monkey) -> ChannelMap | None:
    if channels is not None:
        from offline.commands.recording_options import read_channel_map

        return read_channel_map(channels)
    if name == WrittenFormat.tvsd:
        from offline.recordings.formats.tvsd_electrodes import tvsd_channels

        return tvsd_channels(monkey.value)
    return None


def _day(
    n_days: int,
    gain_sd: float | None,
    offset_sd: float | None,
    rotation: float,
    dead_arrays: list[int],
    dead_share: float,
    seed: int,
) -> DaySpec | None:
    """Return how days differ; None: one day, as calibrated."""
    from b2g_rt.simulation.days import DaySpec

    usual = (DAY_GAIN_SD, DAY_OFFSET_SD) if n_days > 1 else (0.0, 0.0)
    spec = DaySpec(
        gain_sd=usual[0] if gain_sd is None else gain_sd,
        offset_sd=usual[1] if offset_sd is None else offset_sd,
        rotation=rotation,
        dead_arrays=tuple(dead_arrays),
        dead_share=dead_share,
        seed=seed,
    )
    differs = spec.gain_sd or spec.offset_sd or rotation or dead_arrays or dead_share
    return spec if differs else None


def _check_arrays(dead: list[int], channels: ChannelMap) -> None:
    known = sorted(set(channels.array.tolist()))
    unknown = [number for number in dead if number not in known]
    if unknown:
        raise ConfigError(
            f"--dead-array {unknown[0]}: no such array, expected one of {', '.join(map(str, known))}."
        )
