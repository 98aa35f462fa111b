"""Simulated recordings for training, evaluation and files: who sees what, on how many days, and what goes wrong.

Samples are made while they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import ConfigError
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.disturbances import DisturbanceSpec, DisturbedStream
from b2g_rt.simulation.from_record import MACAQUE_SEED, preset_macaque
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.raw_voltage import RawVoltage, VoltageSpec
from b2g_rt.simulation.session_writer import session_provenance
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.formats.reader import Stimuli
from offline.recordings.formats.responses import response_ids
from offline.recordings.recording import SimulatedRecording
from offline.recordings.simulated_reader import ShownTrials, SimulatedReader

RATE_HZ = 1000.0
UNIT = "uV"


def simulated_recording(
    macaque: Macaque, w: NDArray[np.float32], noise_seed: int
) -> tuple[SimulatedRecording, NDArray[np.int64]]:
    """Return a recording of one trial per latent, and the onsets (int64, axes (trial,))."""
    stream = SimulatedStream(macaque, w, Protocol(), noise_seed)
    return SimulatedRecording(stream, macaque.channels), stream.onsets


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What is simulated.

    Attributes
    ----------
    preset : str
        One of ``presets.PRESETS``.
    n_train : int
        Training stimuli, each shown once.
    n_test, n_repeats : int
        Test stimuli, and how often each is shown; every day shows its share of the repeats.
    n_days : int
        Trials are dealt out over the days evenly.
    day : DaySpec, optional
        How days differ; None: all are the day that the animal was calibrated for.
    disturbances : DisturbanceSpec
    voltage : VoltageSpec, optional
        Voltage instead of MUA.
    channels : ChannelMap, optional
        The Brain2GAN monkey's 960 electrodes by default.
    seed : int
        Of latents, order, noise, days and disturbances; the animal has its own.
    macaque_seed : int

    Raises
    ------
    ConfigError
        Nothing to show, or more days than repeats of the test stimuli.
    """

    preset: str = "faces"
    n_train: int = 0
    n_test: int = 0
    n_repeats: int = 1
    n_days: int = 1
    day: DaySpec | None = None
    disturbances: DisturbanceSpec = field(default_factory=DisturbanceSpec)
    voltage: VoltageSpec | None = None
    channels: ChannelMap | None = None
    seed: int = 1
    macaque_seed: int = MACAQUE_SEED

    def __post_init__(self) -> None:
        """Refuse what makes no session."""
        shown = self.n_train + self.n_test * self.n_repeats
        if min(self.n_train, self.n_test, self.n_repeats) < 0 or self.n_days < 1:
            raise ConfigError("simulation: negative numbers, expected trials on at least one day.")
        if shown < self.n_days:
            raise ConfigError(
                f"simulation: {shown} trials on {self.n_days} days, expected at least one a day. Show more."
            )
        if self.n_test and self.n_repeats < self.n_days:
            raise ConfigError(
                f"simulation: {self.n_repeats} repeats of the test stimuli on {self.n_days} days, expected at least "
                "one a day: each day is normalised with its test trials. Give more --repeats."
            )


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedDay:
    """One day of a simulated set.

    Attributes
    ----------
    number : int
        From 1.
    macaque : Macaque
        As it is on this day.
    shown : ShownTrials
    stream : DisturbedStream
    """

    number: int
    macaque: Macaque
    shown: ShownTrials
    stream: DisturbedStream


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSet:
    """All days of a simulation, with their truth.

    Attributes
    ----------
    plan : SessionPlan
    macaque : Macaque
        As calibrated.
    stimuli : Stimuli
        Ids, training first, and latents.
    days : tuple of SimulatedDay
    told : dict
        What provenance says of an animal that is not the preset's; plain data.
    truth : dict of arrays
        What is true of it besides.
    """

    plan: SessionPlan
    macaque: Macaque
    stimuli: Stimuli
    days: tuple[SimulatedDay, ...]
    told: dict[str, Any] = field(default_factory=dict)
    truth: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float:
        """Samples per second of the streams."""
        return RATE_HZ if self.plan.voltage is None else self.plan.voltage.rate_hz

    def reader(self, day: SimulatedDay, path: Path) -> SimulatedReader:
        """Return a day as a recording; ``path`` is named in errors."""
        own = set(day.shown.stimulus)
        ids, latents = self.stimuli
        kept = [k for k, stimulus in enumerate(ids) if stimulus in own]
        return SimulatedReader(
            path,
            day.stream,
            self.rate_hz,
            self.macaque.channels,
            day.shown,
            ([ids[k] for k in kept], latents[kept]),
            self._provenance(day),
            day.number,
        )

    def _provenance(self, day: SimulatedDay) -> dict[str, Any]:
        plan = self.plan
        told = session_provenance(
            self.macaque, Protocol(), len(day.shown.stimulus), _noise_seed(plan, day.number)
        )
        wrong = plan.disturbances
        return {
            **told,
            "preset": plan.preset,
            "day": day.number,
            **({} if plan.day is None else {"days": plan.day.to_dict()}),
            **({} if wrong == DisturbanceSpec() else {"disturbances": wrong.to_dict()}),
            **({} if plan.voltage is None else {"voltage": asdict(plan.voltage)}),
            **self.told,
        }


@dataclass(frozen=True, slots=True, eq=False)
class OtherAnimal:
    """An animal that is shown given stimuli, instead of the preset's and drawn ones.

    Attributes
    ----------
    macaque : Macaque
    stimuli : Stimuli
        Ids, training first, and latents.
    on_day : callable (macaque, day, number) to Macaque
    told : dict
        For provenance; plain data.
    truth : dict of arrays
        For the truth beside the files.
    """

    macaque: Macaque
    stimuli: Stimuli
    on_day: Callable[[Macaque, DaySpec, int], Macaque]
    told: dict[str, Any]
    truth: dict[str, NDArray[Any]]


def simulated_set(plan: SessionPlan, other: OtherAnimal | None = None) -> SimulatedSet:
    """Draw latents and order, and prepare each day's stream; no sample is made before it is read.

    Parameters
    ----------
    plan : SessionPlan
    other : OtherAnimal, optional
        Shown its own ``plan.n_train + plan.n_test`` stimuli.

    Raises
    ------
    ConfigError
        Other stimuli than the plan counts.
    """
    rng = np.random.default_rng([plan.seed, 8])
    n_stimuli = plan.n_train + plan.n_test
    if other is None:
        macaque = preset_macaque(plan.preset, plan.macaque_seed, channels=plan.channels)
        ids = response_ids("train", plan.n_train) + response_ids("test", plan.n_test)
        latents = macaque.latents.draw(rng, n_stimuli)
    else:
        macaque = other.macaque
        ids, latents = other.stimuli
        if len(ids) != n_stimuli:
            raise ConfigError(
                f"simulation: {len(ids)} stimuli, expected {plan.n_train} for training and {plan.n_test} for the test."
            )
    on_day = MacaqueOnDay if other is None else other.on_day
    days = []
    for number, order in enumerate(_orders(plan, rng), start=1):
        animal = macaque if plan.day is None else on_day(macaque, plan.day, number)
        shown = ShownTrials(
            tuple(ids[k] for k in order),
            tuple("train" if k < plan.n_train else "test" for k in order),
        )
        days.append(
            SimulatedDay(number, animal, shown, _stream(plan, animal, latents[order], number))
        )
    return SimulatedSet(
        plan,
        macaque,
        (ids, latents),
        tuple(days),
        {} if other is None else other.told,
        {} if other is None else other.truth,
    )


def _orders(plan: SessionPlan, rng: np.random.Generator) -> list[Sequence[int]]:
    """Deal the trials out: a test stimulus comes again only when all others have, training trials between."""
    train = np.array_split(rng.permutation(plan.n_train), plan.n_days)
    repeats = np.array_split(np.arange(plan.n_repeats), plan.n_days)
    orders: list[Sequence[int]] = []
    for own, rounds in zip(train, repeats, strict=True):
        test = [plan.n_train + rng.permutation(plan.n_test) for _ in rounds]
        tests = np.concatenate([np.zeros(0, np.int64), *test])
        place = np.zeros(len(own) + len(tests), np.bool_)
        place[rng.choice(len(place), len(tests), replace=False)] = True
        order = np.empty(len(place), np.int64)
        order[place], order[~place] = tests, own
        orders.append(order.tolist())
    return orders


def _noise_seed(plan: SessionPlan, day: int) -> int:
    return 1000 * plan.seed + day


def _stream(
    plan: SessionPlan, macaque: Macaque, w: NDArray[np.float32], day: int
) -> DisturbedStream:
    seed = _noise_seed(plan, day)
    mua = SimulatedStream(macaque, w, Protocol(), seed)
    if plan.voltage is None:
        return DisturbedStream(mua, plan.disturbances, seed, RATE_HZ)
    voltage = RawVoltage(mua, plan.voltage, seed)
    return DisturbedStream(voltage, plan.disturbances, seed, plan.voltage.rate_hz)
