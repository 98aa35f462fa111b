"""A simulated macaque whose electrodes answer to feature spaces: an encoding model drives the simulator.

What is locked to the stimulus comes from features, or from what a fitted encoder predicts; everything else (how much
of the variance that is, time course, noise, days) stays the calibrated animal's. Only stimuli whose features are
known can be shown: a latent stands for its stimulus. So streams, sessions and files take it like any macaque.
For the reproduction and ``b2g-offline simulate``; knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.macaque import Macaque
from offline.encoding.kernels import linear_kernels
from offline.encoding.space_reading import rows_in
from offline.features.feature_space import FeatureSpace
from offline.scheduling.workers import Workers

Float64 = NDArray[np.float64]

LATENT = "w"
"""The space whose electrodes keep the calibrated animal's own tuning, which is linear in the latent."""
N_COMPONENTS = 200
_DEAL, _TUNE = 91, 92


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What drives each electrode, stimulus by stimulus.

    Attributes
    ----------
    ids : tuple of str, axes (stimulus,)
    latents : float32, axes (stimulus, latent)
        By which a stimulus is recognised.
    space : tuple of str, axes (channel,)
        The feature space that the electrode is tuned to; '' where it answers to nothing.
    values : float64, axes (stimulus, channel)
        Mean 0 and SD 1 over the reference stimuli; 0 throughout where ``space`` is ''.
    """

    ids: tuple[str, ...] = field(repr=False)
    latents: NDArray[np.float32] = field(repr=False)
    space: tuple[str, ...] = field(repr=False)
    values: Float64 = field(repr=False)


class DrivenMacaque(Macaque):
    """A macaque that answers to features.

    Parameters
    ----------
    macaque : Macaque
        The calibrated one.
    drive : Drive
        Of its electrodes.
    share : float
        Share of the stimulus-locked variance that the drive makes, 0 to 1; the rest is what the calibrated animal has
        beside its tuning: waves over the latent space that no feature space holds.

    Attributes
    ----------
    drive : Drive
    share : float

    Raises
    ------
    EncodingError
        Two stimuli have the same latent, or the drive is another animal's.

    Notes
    -----
    With ``locked = sqrt(share) * drive + sqrt(1 - share) * u`` in place of f and ``A . z``. In its truth
    ``q`` is 0 where nothing drives an electrode, ``f`` NaN where it is not tuned to w, and ``tuning`` 0 there.
    """

    def __init__(self, macaque: Macaque, drive: Drive, share: float = 1.0) -> None:
        super().__init__(macaque.spec, macaque.channels, macaque.latents)
        if drive.values.shape != (len(drive.ids), macaque.channels.n_channels):
            raise EncodingError(
                f"driven macaque: drive {drive.values.shape}, expected ({len(drive.ids)}, "
                f"{macaque.channels.n_channels}), stimuli by electrodes. Drive this animal's electrodes."
            )
        self.drive = drive
        self.share = share
        self._row = {row.tobytes(): i for i, row in enumerate(_as_latents(drive.latents))}
        if len(self._row) != len(drive.ids):
            raise EncodingError(
                f"driven macaque: {len(drive.ids)} stimuli with {len(self._row)} different latents, expected one of "
                "each: stimuli are recognised by them. Leave the doubles out."
            )
        truth = macaque.truth()
        space = np.array(drive.space)
        self._truth = replace(
            truth,
            q=np.where(space == "", 0.0, truth.q),
            f=np.where(space == LATENT, share, np.nan),
            tuning=np.where((space == LATENT)[:, None], truth.tuning, 0.0),
        )

    def response(self, w: NDArray[np.floating]) -> Float64:
        """Return the noiseless response to known stimuli, float64, axes (trial, channel); see ``Macaque.response``.

        Raises
        ------
        EncodingError
            A latent is no known stimulus's.
        """
        locked = np.sqrt(self.share) * self.drive.values[self._rows(w)]
        if self.share < 1.0:
            waves = np.sqrt(2.0) * np.cos(self.latents.whiten(w) @ self._omega.T + self._phi)
            locked += np.sqrt(1.0 - self.share) * (waves @ self._nonlinear.T)
        return np.asarray(self._truth.evoked + np.sqrt(self._truth.q) * locked)

    def noise_ceiling(self, n_repeats: float = 1.0) -> Float64:
        """Return the true ceiling of means over so many repeats, float64, axes (channel,), 0 to 1.

        Notes
        -----
        sqrt(q / (q + (1 - q) / n)): of all that is locked to the stimulus, whether a feature space holds it or not.
        """
        q = self._truth.q
        return np.asarray(np.sqrt(q / (q + (1.0 - q) / n_repeats)))

    def _rows(self, w: NDArray[np.floating]) -> NDArray[np.intp]:
        try:
            return np.array([self._row[row.tobytes()] for row in _as_latents(w)], np.intp)
        except KeyError:
            raise EncodingError(
                f"driven macaque: a latent of none of its {len(self._row)} stimuli, expected one of theirs: it answers "
                "to features, which are known of no others. Show stimuli of the same set."
            ) from None


class DrivenMacaqueOnDay(MacaqueOnDay):
    """A driven macaque on one day; see ``MacaqueOnDay``.

    Raises
    ------
    EncodingError
        The day turns the tuning: that of features has no directions to turn to.
    """

    def __init__(self, macaque: Macaque, spec: DaySpec, day: int) -> None:
        if not isinstance(macaque, DrivenMacaque):
            raise EncodingError("driven macaque: another animal, expected one that features drive.")
        if spec.rotation:
            raise EncodingError(
                f"driven macaque: days that turn the tuning by {spec.rotation:g}, expected 0: electrodes tuned to "
                "features keep their tuning. Leave out --rotation."
            )
        super().__init__(macaque, spec, day)
        self._driven = macaque

    def response(self, w: NDArray[np.floating]) -> Float64:
        """Return the noiseless response of this day, float64, axes (trial, channel)."""
        return np.asarray(self._driven.response(w) * self._response_gain)


def tuned_drive(
    macaque: Macaque,
    ids: Sequence[str],
    latents: NDArray[np.float32],
    tuning: Mapping[str, Sequence[str]],
    spaces: Mapping[str, FeatureSpace],
    *,
    reference: Sequence[str] | None = None,
    n_components: int = N_COMPONENTS,
    seed: int = 1,
    workers: Workers | None = None,
    memory: int | None = None,
) -> Drive:
    """Tune every electrode of an ROI to one of its feature spaces.

    Parameters
    ----------
    macaque : Macaque
    ids : sequence of str, axes (stimulus,)
        Everything that will be shown.
    latents : float32, axes (stimulus, latent)
    tuning : mapping of ROI to space names
        Several: each electrode is dealt one of them. ``w``: the animal's own tuning.
    spaces : mapping of name to FeatureSpace
    reference : sequence of str, optional
        Stimuli that components, means and SDs are taken from; all by default.
    n_components : int
        Leading components of the space that electrodes are tuned to; fewer where the space has no more.
    seed : int
    workers : Workers, optional
    memory : int, optional
        Bytes that products of features may take in each process.

    Raises
    ------
    EncodingError
        An ROI without a space, a space without features, or a stimulus without features.

    Notes
    -----
    Response = a . z, with z the leading principal components of the space over the reference stimuli, each divided by
    its SD, and a random direction a: as the calibrated animal is tuned to whitened components of w. Decorrelated
    signals are what efficient coding asks of sensory neurons (Atick & Redlich 1992, Neural Computation 4:196). Without
    the whitening a picture's few strongest components (how bright it is, where the light comes from) would rule all
    electrodes, and random networks' levels share those: see docs/encoding.md.
    """
    channels = macaque.channels
    names = _dealt(macaque, tuning, seed)
    known = list(ids if reference is None else reference)
    rows = np.array([list(ids).index(i) for i in known], np.intp)
    values = np.zeros((len(ids), channels.n_channels))
    for name in dict.fromkeys(names):
        own = np.flatnonzero(np.array(names) == name)
        if name == LATENT:
            values[:, own] = macaque.latents.whiten(latents) @ macaque.truth().tuning[own].T
            continue
        if name not in spaces:
            raise EncodingError(
                f"driven macaque: no features {name}, expected one of {', '.join(spaces) or 'none'} or {LATENT}. Give "
                "a feature file that has it."
            )
        scores = whitened_components(spaces[name], ids, known, n_components, workers, memory)
        rng = np.random.default_rng([seed, _TUNE, *name.encode()])
        values[:, own] = scores @ rng.standard_normal((scores.shape[1], len(own)))
    return Drive(tuple(ids), latents, names, _standardised(values, rows))


def predicted_drive(
    ids: Sequence[str],
    latents: NDArray[np.float32],
    space: Sequence[str],
    predicted: NDArray[np.floating],
    *,
    reference: Sequence[str] | None = None,
) -> Drive:
    """Let a fitted encoder drive the animal.

    Parameters
    ----------
    ids : sequence of str, axes (stimulus,)
    latents : float32, axes (stimulus, latent)
    space : sequence of str, axes (channel,)
        Which space predicts an electrode; '' where none does.
    predicted : float, axes (stimulus, channel)
        What the encoder predicts, ``LinearMap.predict`` say; only how it varies counts.
    reference : sequence of str, optional
        Stimuli that means and SDs are taken from; all by default.
    """
    position = {stimulus: row for row, stimulus in enumerate(ids)}
    rows = np.array([position[i] for i in (ids if reference is None else reference)], np.intp)
    values = _standardised(np.asarray(predicted, np.float64), rows)
    varies = np.asarray(values[rows] != 0).max(axis=0)
    names = tuple(name if v else "" for name, v in zip(space, varies, strict=True))
    silent = np.array([name == "" for name in names], np.bool_)
    return Drive(tuple(ids), latents, names, np.where(silent, 0.0, values))


def whitened_components(
    space: FeatureSpace,
    ids: Sequence[str],
    reference: Sequence[str],
    n_components: int,
    workers: Workers | None = None,
    memory: int | None = None,
) -> Float64:
    """Return the leading principal components of stimuli, each of SD 1 over the reference, strongest first.

    Returns
    -------
    float64, axes (stimulus, component)
        From the kernel, so that wide spaces are never held; at most ``n_components``, and none that is rounding.

    Raises
    ------
    EncodingError
        A stimulus without features, or features that do not vary.
    """
    kernels = linear_kernels(
        space, rows_in(space, reference), rows_in(space, ids), workers=workers, memory=memory
    )
    values, vectors = np.linalg.eigh(kernels.train)
    values, vectors = values[::-1], vectors[:, ::-1]
    # Products of features were float32.
    n = min(n_components, int((values > 1e-5 * values[0]).sum())) if values[0] > 0 else 0
    if not n:
        raise EncodingError(
            f"features {space.name}: the same for all {len(reference)} stimuli, expected ones that vary. Choose "
            "another layer, or check the pictures."
        )
    return np.asarray(kernels.across @ vectors[:, :n] / values[:n] * np.sqrt(len(reference)))


def _dealt(macaque: Macaque, tuning: Mapping[str, Sequence[str]], seed: int) -> tuple[str, ...]:
    """Return the space of each electrode; an ROI's spaces are dealt out at random, as many of each as can be."""
    names = np.full(macaque.channels.n_channels, "", object)
    for roi in macaque.channels.rois():
        if not tuning.get(roi):
            raise EncodingError(
                f"driven macaque: no feature space for {roi}, expected one for each of "
                f"{', '.join(macaque.channels.rois())}. Name it: {roi}=SPACE."
            )
        own = macaque.channels.channels_of(roi)
        rng = np.random.default_rng([seed, _DEAL, *roi.encode()])
        names[rng.permutation(own)] = np.resize(np.array(tuning[roi], object), len(own))
    return tuple(str(name) for name in names)


def _standardised(values: Float64, rows: NDArray[np.intp]) -> Float64:
    """Return columns of mean 0 and SD 1 over some rows; 0 where they do not vary."""
    centred = values - values[rows].mean(axis=0)
    sd = centred[rows].std(axis=0)
    varies = sd > 1e-9 * np.abs(values).max(axis=0, initial=0.0)
    return np.asarray(np.where(varies, centred / np.where(varies, sd, 1.0), 0.0))


def _as_latents(w: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(w, np.float32)
