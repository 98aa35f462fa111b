"""Ridge regression that goes on learning, trial by trial: what is added to the latents of a fixed decoder.

    x = [features, 1]       r = true latent - latent of the fixed decoder
    C_t = argmin_C  sum over i <= t of m_i |r_i - C' x_i|^2  +  m_0 d |C|^2        m_i = l_(i+1) l_(i+2) ... l_t

C_0 is 0: before the first trial the decoder is the bundle's, and ``d`` (the prior) holds it there. ``l`` forgets.
Solved recursively (recursive least squares: Plackett 1950, Biometrika 37; with forgetting: Astrom & Wittenmark,
Adaptive Control, 2nd ed., chapter 2), P being the inverse of the weighted sum of x x' plus the prior:

    1  l = max(forgetting, trace(P) / trace(P_0))      P = P / l
    2  g = P x / (1 + x' P x)
    3  C = C + g (r - C' x)'
    4  P = P - g (P x)'

What is added to a latent is a C' x. The trust ``a`` says how far corrections have proved right so far: every trial is
predicted before it is learnt, and ``a`` is the slope of the residuals on the corrections that had been predicted for
them, sum(r . c) / sum(c . c), between 0 and 1, recent trials foremost. So a correction that rests on too few trials to
be of use is not added, a helpful one soon is, and a prior that was chosen too weak does little harm.

Step 1 keeps trace(P) at or below that of the start, so the gain is bounded for ever: what has not been seen for long is
not forgotten beyond the prior (without it P would grow without limit along every quiet direction). Step 4 is computed
as a symmetric product, so P stays symmetric to the last bit. The cost of a trial is that of a few passes over P and C.
Knows numpy; nothing of bundles, windows, trials or services.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


# So that products of this many rows stay in the processor's cache: the cost is memory traffic.
_ROWS_AT_ONCE = 32

TRUST_FORGETTING = 0.98
"""What a trial counts for the trust one trial later: the last fifty or so decide, as the correction itself changes."""


def added(features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features times weights, plus those of the constant.

    Parameters
    ----------
    features : float32, axes (channel,)
    weights : float32, axes (channel + 1, latent)

    Returns
    -------
    float32, axes (latent,)

    Notes
    -----
    By einsum, here and below: BLAS would wake all its threads for such a product, which costs up to 10 ms on a machine
    that is busy; a single thread needs a tenth of a millisecond, and gives the same bits on any number of processors.
    """
    return np.asarray(np.einsum("c,cl->l", features, weights[:-1]) + weights[-1])


@dataclass(frozen=True, slots=True, eq=False)
class RidgeState:
    """What an ``OnlineRidge`` knew at one moment; copies.

    Attributes
    ----------
    correction : float64, axes (channel + 1, latent)
    p : float64, axes (channel + 1, channel + 1)
    n_learnt : int
    agreement, size : float
        The two sums of the trust.
    """

    correction: Float64 = field(repr=False)
    p: Float64 = field(repr=False)
    n_learnt: int
    agreement: float
    size: float


class OnlineRidge:
    """The correction of one window's decoder.

    Parameters
    ----------
    n_channels, n_latents : int
    prior : float
        How strongly the correction is held at 0, in units of a squared feature times trials: as much as that many
        trials whose every feature has a mean square of 1.
    forgetting : float
        What a trial counts one trial later, above 0, at most 1. 1: all trials count alike.

    Attributes
    ----------
    correction : float64, axes (channel + 1, latent)
        The last row belongs to the constant.
    n_learnt : int
        Trials learnt.

    Raises
    ------
    ValueError
        A prior that is not positive, or a forgetting beyond its range.
    """

    def __init__(
        self, n_channels: int, n_latents: int, *, prior: float, forgetting: float = 1.0
    ) -> None:
        if not prior > 0 or not 0 < forgetting <= 1:
            raise ValueError(f"prior {prior}, forgetting {forgetting}")
        n = n_channels + 1
        self._prior = prior
        self._forgetting = forgetting
        self._max_trace = n / prior
        self._x = np.ones(n)
        self.correction: Float64 = np.zeros((n, n_latents))
        self._weights = np.zeros((n, n_latents), np.float32)
        self._p: Float64 = np.eye(n) / prior
        self.n_learnt = 0
        self._agreement = self._size = 0.0

    @property
    def trust(self) -> float:
        """How much of the correction is added, 0 to 1; 0 until it could be compared with two trials."""
        if self._agreement <= 0.0 or self._size <= 0.0:
            return 0.0
        return min(self._agreement / self._size, 1.0)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is to be added to the fixed decoder's latent: the trusted share of the correction.

        Parameters
        ----------
        features : float32, axes (channel,)

        Returns
        -------
        float32, axes (latent,)
        """
        return added(features, self._weights)

    def learn(self, features: NDArray[np.float32], residual: NDArray[np.floating]) -> float:
        """Learn one trial.

        Parameters
        ----------
        features : float32, axes (channel,)
        residual : float, axes (latent,)
            The true latent minus that of the fixed decoder.

        Returns
        -------
        float
            The forgetting that was in force (``l`` of the module's header).

        Raises
        ------
        ValueError
            Something is not finite; nothing is learnt then.
        FloatingPointError
            Rounding has ruined P. It did not in any test; the check is one comparison.
        """
        if not (np.isfinite(features).all() and np.isfinite(residual).all()):
            raise ValueError("features or residual that are not finite")
        x, p = self._x, self._p
        x[:-1] = features
        kept = max(self._forgetting, float(np.trace(p)) / self._max_trace)
        if kept < 1.0:
            p /= kept
        px = np.einsum("ij,j->i", p, x)
        spread = 1.0 + float(x @ px)
        if not spread >= 1.0:
            raise FloatingPointError(f"1 + x'Px is {spread:g}: P is not positive any more")
        predicted = np.einsum("c,cl->l", x, self.correction)
        error = residual - predicted
        gain, root = px / spread, px / np.sqrt(spread)
        for start in range(0, len(x), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            self.correction[rows] += gain[rows, None] * error
            p[rows] -= root[rows, None] * root
        self._agreement = TRUST_FORGETTING * self._agreement + float(residual @ predicted)
        self._size = TRUST_FORGETTING * self._size + float(predicted @ predicted)
        self.n_learnt += 1
        self._set_weights()
        return min(kept, 1.0)

    def _set_weights(self) -> None:
        np.multiply(self.correction, self.trust, out=self._weights, casting="same_kind")

    def weights(self) -> NDArray[np.float32]:
        """Return what ``predict`` multiplies features with: a copy, float32, axes (channel + 1, latent)."""
        return self._weights.copy()

    def state(self) -> RidgeState:
        """Return a copy of everything that learning changes."""
        return RidgeState(
            self.correction.copy(), self._p.copy(), self.n_learnt, self._agreement, self._size
        )

    def restore(self, state: RidgeState) -> None:
        """Go back to a state of this very object; predictions are again those of then, bit for bit."""
        self.correction[...] = state.correction
        self._p[...] = state.p
        self.n_learnt = state.n_learnt
        self._agreement, self._size = state.agreement, state.size
        self._set_weights()

    def forget_all(self) -> None:
        """Go back to the prior: the correction is 0."""
        self.correction[...] = 0.0
        self._p[...] = 0.0
        np.fill_diagonal(self._p, 1.0 / self._prior)
        self.n_learnt = 0
        self._agreement = self._size = 0.0
        self._set_weights()
