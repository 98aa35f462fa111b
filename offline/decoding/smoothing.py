"""Causal smoothing of latents over a trial's windows, chosen on held-out trials.

    d[k] = keep[k] d[k-1] + gain[k] (y[k] - mean) + back[k] (y[k-1] - mean),    smoothed[k] = mean + d[k]

with y[k] what the decoder says of window k; before a trial d and y - mean are 0. ``exponential``: gain g, keep 1 - g,
back 0. ``kalman``: y[k] - mean = h[k] (x - mean) + r[k] measures the true latent x. Windows overlap, and so the
noise r is coloured: r[k] = f[k] r[k-1] + white noise, which is why the filter needs y[k-1] too (measurement
differencing, Bryson & Henrikson, J. Spacecraft and Rockets 5, 1968). x is constant in a trial but for a random walk of
variance q var(x) per window. h, f and the variance of r are taken from held-out predictions, one number per window
for all latents; the gains of a Kalman filter do not depend on the data, so they are arrays made in advance. A filter
that takes the windows' errors for independent adds them up and ends far beyond the truth.
Two remembered numbers per latent: d and y - mean. Knows nothing of features, files or ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.decoding.stepping import Decodes
from offline.regression.folds import Fold

SmoothingKind = Literal["none", "exponential", "kalman"]
SmoothingChoiceKind = Literal["none", "exponential", "kalman", "best"]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

GAINS = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
# Variance of the random walk per window, in variances of the latent.
WALKS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
# A window's correlation with the truth counts when it is so many SDs above chance.
CHANCE_SDS = 3.0
# A fixed decoder's filter is the one that this many windows lead to.
STEADY_AFTER = 500


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The recursion's numbers.

    Attributes
    ----------
    keep, gain, back : float32, axes (window,)
        One window for ``fixed``, used at every position.
    mean : float32, axes (latent,)
    """

    keep: Float32
    gain: Float32
    back: Float32
    mean: Float32

    @property
    def n_state(self) -> int:
        """Two numbers per latent."""
        return 2 * len(self.mean)

    def step(self, latents: Float32, window_idx: int, state: Float32) -> tuple[Float32, Float32]:
        """Smooth one window of many trials; float32, axes (trial, latent), (trial, 2 latents)."""
        moved, before = np.split(state, 2, axis=1)
        apart = latents - self.mean
        k = window_idx
        moved = self.keep[k] * moved + self.gain[k] * apart + self.back[k] * before
        return self.mean + moved, np.concatenate([moved, apart], axis=1)


@dataclass(frozen=True, slots=True)
class SmoothedDecoder:
    """A decoder that remembers nothing, smoothed over windows; see ``Decodes``."""

    decoder: Decodes
    smoothing: Smoothing

    def __post_init__(self) -> None:
        if self.decoder.n_state:
            raise ValueError(
                f"decoder remembers {self.decoder.n_state} numbers by itself, expected none to smooth."
            )

    @property
    def n_windows(self) -> int:
        """Windows of a trial, 1 for ``fixed``."""
        return len(self.smoothing.keep)

    @property
    def n_state(self) -> int:
        """Two numbers per latent."""
        return self.smoothing.n_state

    def step(self, features: Float32, window_idx: int, state: Float32) -> tuple[Float32, Float32]:
        """Decode and smooth one window of many trials."""
        latents, _ = self.decoder.step(
            features, window_idx, np.empty((len(features), 0), np.float32)
        )
        return self.smoothing.step(latents, window_idx, state)


@dataclass(frozen=True, slots=True)
class SmoothingChoice:
    """What held-out trials chose.

    Attributes
    ----------
    kind : {'none', 'exponential', 'kalman'}
    value : float
        Gain or random walk; 0 for none.
    smoothing : Smoothing or None
        Fitted on all trials; None: none is better.
    explained : dict of (kind, value) to float
        Held-out share of the latents' variance, over all windows.
    """

    kind: SmoothingKind
    value: float
    smoothing: Smoothing | None
    explained: dict[tuple[SmoothingKind, float], float]


def choose_smoothing(
    kind: SmoothingChoiceKind,
    predicted: Float32,
    latents: Float32,
    folds: Sequence[Fold],
    *,
    fixed: bool = False,
) -> SmoothingChoice:
    """Choose kind and strength by the squared error of held-out trials, over all windows.

    Parameters
    ----------
    kind : {'none', 'exponential', 'kalman', 'best'}
        ``best`` tries all; the others may still answer ``none`` where smoothing does not help.
    predicted : float32, axes (trial, window, latent)
        Each trial decoded by a decoder that has not seen it; NaN where there is none.
    latents : float32, axes (trial, latent)
        The truth.
    folds : sequence of Fold
        A fold's held-out trials are smoothed with numbers from its training trials.
    fixed : bool
        The windows are positions of a sliding window: one keep and gain for all.

    Returns
    -------
    SmoothingChoice
    """
    candidates: list[tuple[SmoothingKind, float]] = [("none", 0.0)]
    if kind in ("exponential", "best"):
        candidates += [("exponential", gain) for gain in GAINS]
    if kind in ("kalman", "best"):
        candidates += [("kalman", walk) for walk in WALKS]
    error = dict.fromkeys(candidates, 0.0)
    total = 0.0
    known = np.asarray(np.isfinite(predicted).all(axis=(1, 2)))
    for fold in folds:
        train, held_out = (idx[known[idx]] for idx in (fold.train, fold.held_out))
        if not len(train) or not len(held_out):
            continue
        made = _Maker(predicted[train], latents[train], fixed)
        truth = latents[held_out]
        total += predicted.shape[1] * float(np.square(truth - made.mean, dtype=np.float64).sum())
        for candidate in candidates:
            smoothed = _smoothed(made.smoothing(*candidate), predicted[held_out])
            error[candidate] += float(np.square(smoothed - truth[:, None], dtype=np.float64).sum())
    explained = {c: 1.0 - e / total for c, e in error.items()} if total else error
    best = max(candidates, key=lambda c: explained[c])
    whole = _Maker(predicted[known], latents[known], fixed)
    return SmoothingChoice(*best, whole.smoothing(*best), explained)


class _Maker:
    """Makes the candidates from predictions of trials that the decoder had not seen."""

    def __init__(self, predicted: Float32, latents: Float32, fixed: bool) -> None:
        y, x = predicted.astype(np.float64), latents.astype(np.float64)
        self.mean = x.mean(axis=0)
        x = x - self.mean
        self._fixed = fixed
        self._variance = float(np.square(x).mean())
        rows = [_Measured.of(y[:, k] - self.mean, x, self._variance) for k in range(y.shape[1])]
        pairs = zip(rows[:-1], rows[1:], strict=True)
        coloured = [0.0] + [_ratio(float((a.rest * b.rest).mean()), a.noise) for a, b in pairs]
        self._slope = np.array([one.slope for one in rows])
        self._noise = np.array([one.noise for one in rows])
        self._colour = np.array(coloured)
        if fixed:
            self._slope = np.full(STEADY_AFTER, self._slope.mean())
            self._noise = np.full(STEADY_AFTER, self._noise.mean())
            self._colour = np.full(STEADY_AFTER, np.mean(coloured[1:] or 0.0))

    def smoothing(self, kind: SmoothingKind, value: float) -> Smoothing | None:
        if kind == "none":
            return None
        if kind == "exponential":
            rows = np.repeat([[1.0 - value, value, 0.0]], len(self._slope), axis=0)
        else:
            rows = self._filtered(value * self._variance)
        if self._fixed:
            rows = rows[-1:]
        keep, gain, back = rows.T.astype(np.float32)
        return Smoothing(keep, gain, back, self.mean.astype(np.float32))

    def _filtered(self, walk: float) -> NDArray[np.float64]:
        """Return keep, gain, back of each window, float64, axes (window, 3)."""
        rows = []
        variance, walk_now, slope_before, noise_before = self._variance, 0.0, 0.0, 0.0
        for slope, noise, colour in zip(self._slope, self._noise, self._colour, strict=True):
            # What y[k] - f y[k-1] measures of x[k-1], and what is new in it.
            seen = slope - colour * slope_before
            new = max(noise - colour**2 * noise_before, 0.0)
            shared = variance * seen + walk_now * slope
            gain = _ratio(shared, seen**2 * variance + slope**2 * walk_now + new)
            variance = max(variance + walk_now - gain * shared, 0.0)
            rows.append((1.0 - gain * seen, gain, -gain * colour))
            walk_now, slope_before, noise_before = walk, slope, noise
        return np.array(rows)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A window as a measurement of the latents: slope, variance of the noise, and the noise, (trial, latent)."""

    slope: float
    noise: float
    rest: Float64

    @classmethod
    def of(cls, said: Float64, truth: Float64, variance: float) -> _Measured:
        slope = max(_ratio(float((said * truth).mean()), variance), 0.0)
        # A window that carries nothing would otherwise be blown up by the inverse of a chance slope.
        correlation = slope * _ratio(variance, float(np.square(said).mean())) ** 0.5
        if correlation < CHANCE_SDS / said.size**0.5:
            slope = 0.0
        rest = said - slope * truth
        return cls(slope, float(np.square(rest).mean()), rest)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0


def _smoothed(smoothing: Smoothing | None, predicted: Float32) -> Float32:
    if smoothing is None:
        return predicted
    smoothed = np.empty_like(predicted)
    state = np.zeros((len(predicted), smoothing.n_state), np.float32)
    for k in range(predicted.shape[1]):
        window_idx = min(k, len(smoothing.keep) - 1)
        smoothed[:, k], state = smoothing.step(predicted[:, k], window_idx, state)
    return smoothed
