"""The simulated macaque: which electrode answers to what, how strongly, when, and how noisily.

One seed gives everything, and ``truth`` tells it all. For the simulated stream, and for reports
that compare what was decoded or encoded with what is really there. Knows no files, no LSL.
Days, drift, carry-over and dead electrodes come on top later: the day's gain is 1, its offset 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.simulation.latent_space import LatentSpace
from b2g_rt.simulation.noise import NoiseSpec, noise_modes
from b2g_rt.simulation.time_course import TimeCourse


@dataclass(frozen=True, slots=True)
class RoiTuning:
    """What the electrodes of one ROI have in common.

    Attributes
    ----------
    roi : str
    n_components : int
        Whitened components the ROI is tuned to.
    q_mean : float
        Share of the single-trial variance of the response window's mean that stimuli explain.
    f_mean : float
        Share of the explained part that is linear in the latent.
    latency_ms, latency_sd_ms : float
    window_ms : (int, int)
        Response window [start, stop) after onset.
    shared : float
        Share of ``n_components`` that other ROIs are tuned to as well; the rest is this ROI's alone.
    """

    roi: str
    n_components: int
    q_mean: float
    f_mean: float
    latency_ms: float
    latency_sd_ms: float
    window_ms: tuple[int, int]
    shared: float = 0.0

    @property
    def n_own(self) -> int:
        """Components that this ROI is dealt before any are shared."""
        return self.n_components - round(self.shared * self.n_components)


@dataclass(frozen=True, slots=True)
class MacaqueSpec:
    """All numbers of a macaque.

    Attributes
    ----------
    rois : tuple of RoiTuning
    seed : int
    preset : str
        Whose numbers these are, see ``presets.py``.
    q_sd, f_sd : float
        Spread between electrodes of one ROI.
    n_nonlinear : int
        Rank, in each ROI, of what is locked to the stimulus but not linear in w.
    nonlinear_frequency : float
        Length of its wave vectors in whitened space; at 3 less than 1 % of it is linear in w.
    time_course : TimeCourse
    noise : NoiseSpec
    evoked : float
        Median response to any stimulus whatever, in SDs of the single-trial window mean; it tells
        nothing about the stimulus. Not in the facts: real MUA rises at every onset.
    baseline_uv : float
        Median MUA of an electrode, microvolts.
    sd_share : float
        Median SD of the single-trial window mean, as share of the baseline.
    """

    rois: tuple[RoiTuning, ...]
    seed: int = 1
    preset: str = "faces"
    q_sd: float = 0.15
    f_sd: float = 0.10
    n_nonlinear: int = 60
    nonlinear_frequency: float = 3.0
    time_course: TimeCourse = field(default_factory=TimeCourse)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    evoked: float = 1.0
    baseline_uv: float = 12.0
    sd_share: float = 0.02

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for provenance; ``from_dict`` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MacaqueSpec:
        """Build from plain data, also of an earlier release: what it did not know is as it was then.

        Raises
        ------
        TypeError, KeyError
            These are no numbers of a macaque.
        """
        rois = tuple(
            RoiTuning(**{**roi, "window_ms": tuple(roi["window_ms"])}) for roi in data["rois"]
        )
        parts = {
            "time_course": TimeCourse(**data["time_course"]),
            "noise": NoiseSpec(**data["noise"]),
        }
        return cls(**{**data, **parts, "rois": rois})


@dataclass(frozen=True, slots=True, eq=False)
class MacaqueTruth:
    """What is really there.

    Attributes
    ----------
    components : dict of roi to int64, axes (component,)
        Positions of the whitened components that the ROI is tuned to; some may be shared.
    tuning : float64, axes (channel, component)
        Unit rows over all components of the latent space, zero outside the ROI's.
    q, f : float64, axes (channel,)
        Explained share of the single-trial variance; linear share of it.
    latency_ms : float64, axes (channel,)
    evoked : float64, axes (channel,)
        Mean response to any stimulus, SDs.
    gain : float64, axes (sample, channel)
        K(t), sample 0 is the onset.
    baseline_uv, scale_uv : float64, axes (channel,)
        Mean without stimulus, and microvolts per SD of the single-trial window mean.
    """

    components: dict[str, NDArray[np.int64]]
    tuning: NDArray[np.float64]
    q: NDArray[np.float64]
    f: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    evoked: NDArray[np.float64]
    gain: NDArray[np.float64]
    baseline_uv: NDArray[np.float64]
    scale_uv: NDArray[np.float64]


class Macaque:
    """One simulated animal with its electrodes.

    Parameters
    ----------
    spec : MacaqueSpec
    channels : ChannelMap
        Its ROIs must all be in ``spec.rois``.
    latents : LatentSpace
        What its electrodes are tuned to.

    Raises
    ------
    ValueError
        A ROI without tuning, or more tuned components than the space has.

    Notes
    -----
    Response of channel c, in SDs of the single-trial mean over its response window:
    ``K_c(t) * (evoked_c + sqrt(q_c) * (sqrt(f_c) * A_c . z_roi + sqrt(1 - f_c) * u_c)) + noise``,
    where z is whitened w, u = B_c . sqrt(2) cos(omega . z + phi), and the noise of the window's
    mean has variance 1 - q_c. Source: facts/brain2gan.md.
    """

    def __init__(self, spec: MacaqueSpec, channels: ChannelMap, latents: LatentSpace) -> None:
        self.spec = spec
        self.channels = channels
        self.latents = latents
        rng = np.random.default_rng([spec.seed, 2])
        components = _deal_components(spec, latents.n_components, rng)
        self._truth = _draw_electrodes(spec, channels, components, latents.n_components, rng)
        n_waves = spec.n_nonlinear * len(spec.rois)
        omega = _unit_rows(rng.standard_normal((n_waves, latents.n_components)))
        self._omega = spec.nonlinear_frequency * omega
        self._phi = rng.uniform(0.0, 2.0 * np.pi, n_waves)
        self._nonlinear = _draw_nonlinear(spec, channels, rng)
        self._modes = noise_modes(spec.noise, channels)

    def truth(self) -> MacaqueTruth:
        """Return the ground truth."""
        return self._truth

    @property
    def noise_modes(self) -> NDArray[np.float64]:
        """Loadings of the shared noise, float64, axes (mode, channel)."""
        return self._modes

    def response(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the noiseless response to stimuli, averaged over each ROI's response window.

        Parameters
        ----------
        w : float, axes (trial, latent)

        Returns
        -------
        float64, axes (trial, channel), SDs of the single-trial window mean.
        """
        truth = self._truth
        z = self.latents.whiten(w)
        linear = z @ truth.tuning.T
        waves = np.sqrt(2.0) * np.cos(z @ self._omega.T + self._phi)
        nonlinear = waves @ self._nonlinear.T
        locked = np.sqrt(truth.f) * linear + np.sqrt(1.0 - truth.f) * nonlinear
        return np.asarray(truth.evoked + np.sqrt(truth.q) * locked)


def parameter_reading(
    macaque: Macaque, parameters: Sequence[tuple[str, str]]
) -> NDArray[np.float32]:
    """Return how picture parameters are read from latents, so that electrodes carry them.

    Parameters
    ----------
    macaque : Macaque
    parameters : sequence of (name, roi)
        In the order of the renderer's parameter axis.

    Returns
    -------
    float32, axes (parameter, latent)
        ``reading @ (w - mean)`` is standard normal for drawn latents; the components that the ROI
        is tuned to are dealt out among its parameters, with equal weights.

    Raises
    ------
    ValueError
        A ROI has more parameters than tuned components, or none.
    """
    latents = macaque.latents
    reading = np.zeros((len(parameters), latents.n_latents))
    for roi in dict.fromkeys(roi for _, roi in parameters):
        rows = [i for i, (_, r) in enumerate(parameters) if r == roi]
        components = macaque.truth().components.get(roi, np.empty(0, np.int64))
        if len(components) < len(rows):
            raise ValueError(
                f"{roi}: {len(rows)} parameters, but only {len(components)} tuned components"
            )
        for position, row in enumerate(rows):
            own = components[position :: len(rows)]
            whitened = latents.basis[own] / latents.sd[own, None]
            reading[row] = whitened.sum(axis=0) / np.sqrt(len(own))
    return reading.astype(np.float32)


def _deal_components(
    spec: MacaqueSpec, n_components: int, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    wanted = sum(roi.n_own for roi in spec.rois)
    if wanted > n_components:
        raise ValueError(f"{wanted} tuned components, the latent space has {n_components}")
    order = rng.permutation(n_components)
    stops = np.cumsum([roi.n_own for roi in spec.rois])
    own = {
        roi.roi: order[stop - roi.n_own : stop] for roi, stop in zip(spec.rois, stops, strict=True)
    }
    dealt = {}
    for roi in spec.rois:
        parts = [own[roi.roi]]
        if n_shared := roi.n_components - roi.n_own:
            others = np.concatenate([own[other.roi] for other in spec.rois if other is not roi])
            parts.append(rng.choice(others, n_shared, replace=False))
        dealt[roi.roi] = np.sort(np.concatenate(parts))
    return dealt


def _draw_electrodes(
    spec: MacaqueSpec,
    channels: ChannelMap,
    components: dict[str, NDArray[np.int64]],
    n_components: int,
    rng: np.random.Generator,
) -> MacaqueTruth:
    known = {roi.roi: roi for roi in spec.rois}
    missing = [roi for roi in channels.rois() if roi not in known]
    if missing:
        raise ValueError(f"{', '.join(missing)}: electrodes without a tuning")
    own = [known[roi] for roi in channels.roi]
    n = channels.n_channels

    def spread(name: str, sd: float | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([getattr(roi, name) for roi in own]) + sd * rng.standard_normal(n)

    q = np.clip(spread("q_mean", spec.q_sd), 0.02, 0.90)
    f = np.clip(spread("f_mean", spec.f_sd), 0.05, 0.95)
    latency = spread("latency_ms", np.array([roi.latency_sd_ms for roi in own]))
    # No visual response comes sooner than the retina and the thalamus let through.
    latency = np.maximum(latency, 20.0)
    tuning = np.zeros((n, n_components))
    for roi in channels.rois():
        rows = channels.channels_of(roi)
        tuning[np.ix_(rows, components[roi])] = rng.standard_normal(
            (len(rows), len(components[roi]))
        )
    baseline = spec.baseline_uv * np.exp(0.3 * rng.standard_normal(n))
    scale = baseline * spec.sd_share * np.exp(0.15 * rng.standard_normal(n))
    window = np.array([roi.window_ms for roi in own], np.int64)
    return MacaqueTruth(
        components=components,
        tuning=_unit_rows(tuning),
        q=q,
        f=f,
        latency_ms=latency,
        evoked=spec.evoked * np.exp(0.4 * rng.standard_normal(n)),
        gain=spec.time_course.gain(latency, window),
        baseline_uv=baseline,
        scale_uv=scale,
    )


def _draw_nonlinear(
    spec: MacaqueSpec, channels: ChannelMap, rng: np.random.Generator
) -> NDArray[np.float64]:
    # Each ROI has waves of its own: shared ones can be cancelled across ROIs, which decodes all
    # ROIs together at .57 where the paper has .55.
    n = spec.n_nonlinear
    loading = np.zeros((channels.n_channels, n * len(spec.rois)))
    for position, roi in enumerate(spec.rois):
        rows = channels.channels_of(roi.roi)
        block = rng.standard_normal((len(rows), n))
        loading[rows, position * n : (position + 1) * n] = _unit_rows(block)
    return loading


def _unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
