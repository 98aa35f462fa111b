"""The same macaque on another day: other gains and offsets, tuning turned a little, electrodes that died.

A day's animal is a ``Macaque`` with a ground truth of its own, so streams, sessions and reports take it like the
calibrated one; day without changes gives that one's samples, bit for bit. For tests of normalisation and adaptation.
What goes wrong within a session (drift, line noise, losses) is in ``disturbances.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.macaque import Macaque, MacaqueTruth

DEAD_SCALE = 0.1
DEAD_BASELINE_UV = 1.0


@dataclass(frozen=True, slots=True)
class DaySpec:
    """How days differ.

    Attributes
    ----------
    gain_sd : float
        SD of the logarithm of each electrode's gain.
    offset_sd : float
        SD of each electrode's offset, in SDs of the single-trial window mean.
    gain_of : {'response', 'electrode'}
        What the gain multiplies: the response to stimuli alone, as in the facts' formula, or the whole signal with
        baseline and noise, as a changed impedance does. The latter is the harder one for a decoder that does not
        normalise: the baseline is 50 SDs high.
    rotation : float
        Share of the tuning, 0 to 1, that turns away within the ROI's components: the new unit row is
        sqrt(1 - rotation^2) of the old one and ``rotation`` of a random one.
    dead_arrays : tuple of int
        Array numbers without any response.
    dead_share : float
        Share of the other electrodes that are dead.
    seed : int
    """

    gain_sd: float = 0.25
    offset_sd: float = 0.3
    gain_of: Literal["response", "electrode"] = "response"
    rotation: float = 0.0
    dead_arrays: tuple[int, ...] = ()
    dead_share: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no day, with ValueError."""
        if min(self.gain_sd, self.offset_sd) < 0 or self.gain_of not in ("response", "electrode"):
            raise ValueError(f"{self}: SDs or gain_of that make no day")
        if not (0 <= self.rotation <= 1 and 0 <= self.dead_share <= 1):
            raise ValueError(f"{self}: shares must lie between 0 and 1")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class DayTruth:
    """What the day did; axes (channel,).

    Attributes
    ----------
    gain : float64
    offset : float64, SDs of the single-trial window mean
    dead : bool
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    dead: NDArray[np.bool_]


class MacaqueOnDay(Macaque):
    """A macaque on one day.

    Parameters
    ----------
    macaque : Macaque
        As it was on the day it was calibrated for.
    spec : DaySpec
    day : int
        Days of the same specification and seed differ by this number. The tuning turns from the calibrated one to
        that of this day; days do not add up.

    Attributes
    ----------
    day : DayTruth

    Notes
    -----
    ``truth().q`` stays that of the calibrated day for living electrodes, although a gain of the response changes the
    share that stimuli explain.
    """

    def __init__(self, macaque: Macaque, spec: DaySpec, day: int) -> None:
        super().__init__(macaque.spec, macaque.channels, macaque.latents)
        rng = np.random.default_rng([spec.seed, day, 3])
        n = macaque.channels.n_channels
        gain = np.exp(spec.gain_sd * rng.standard_normal(n))
        offset = spec.offset_sd * rng.standard_normal(n)
        dead = rng.random(n) < spec.dead_share
        dead |= np.isin(macaque.channels.array, spec.dead_arrays)
        self.day = DayTruth(gain, offset, dead)
        self._truth = _truth_on(macaque.truth(), spec, self.day, rng)
        self._response_gain = np.where(dead, 0.0, gain if spec.gain_of == "response" else 1.0)

    def response(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the noiseless response of this day, float64, axes (trial, channel); see ``Macaque.response``."""
        return np.asarray(super().response(w) * self._response_gain)


def _truth_on(
    truth: MacaqueTruth, spec: DaySpec, day: DayTruth, rng: np.random.Generator
) -> MacaqueTruth:
    electrode = day.gain if spec.gain_of == "electrode" else np.ones(len(day.gain))
    baseline = electrode * (truth.baseline_uv + day.offset * truth.scale_uv)
    scale = electrode * truth.scale_uv
    return replace(
        truth,
        tuning=_turned(truth, spec.rotation, rng),
        q=np.where(day.dead, 0.0, truth.q),
        evoked=np.where(day.dead, 0.0, truth.evoked),
        baseline_uv=np.where(day.dead, DEAD_BASELINE_UV, baseline),
        scale_uv=np.where(day.dead, DEAD_SCALE * truth.scale_uv, scale),
    )


def _turned(truth: MacaqueTruth, rotation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    if rotation == 0:
        return truth.tuning
    # Only within the components that the electrode's ROI is tuned to; there, every row has its non-zero entries.
    other = np.where(truth.tuning != 0, rng.standard_normal(truth.tuning.shape), 0.0)
    # At a right angle to the old row: what is kept of it is then exactly sqrt(1 - rotation^2).
    other -= (other * truth.tuning).sum(axis=1, keepdims=True) * truth.tuning
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return np.asarray(np.sqrt(1.0 - rotation**2) * truth.tuning + rotation * other)
