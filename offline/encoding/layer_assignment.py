"""Which feature space predicts each electrode best, and how that runs from V1 to IT.

Knows scores only. The order of the spaces is the hierarchy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.scores import EncodingScores, plain
from offline.encoding.statistics import Array, Correction, corrected


@dataclass(frozen=True, slots=True, eq=False)
class LayerAssignment:
    """The best space of each electrode.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
        Lowest of the hierarchy first.
    channels : ChannelMap
    alpha : float
    correction : {'bonferroni', 'fdr', 'none'}
    best : int64, axes (channel,)
        The space of the highest r; of several with the same r the lowest. Where ``significant`` is not, it means
        nothing.
    r, p : float64, axes (channel,)
        Of the best space; ``p`` is corrected.
    significant : bool, axes (channel,)
        Whether any space predicts the channel: ``p`` below alpha and r above 0.
    """

    spaces: tuple[str, ...]
    channels: ChannelMap
    alpha: float
    correction: Correction
    best: NDArray[np.int64] = field(repr=False)
    r: Array = field(repr=False)
    p: Array = field(repr=False)
    significant: NDArray[np.bool_] = field(repr=False)

    def n_significant(self, roi: str) -> int:
        """Return how many of an ROI's channels are significant."""
        return len(self._assigned(roi))

    def counts(self, roi: str) -> NDArray[np.int64]:
        """Return how many significant channels of an ROI each space predicts best, int64, axes (space,)."""
        return np.bincount(self.best[self._assigned(roi)], minlength=len(self.spaces))

    def shares(self, roi: str) -> Array:
        """Return the counts as shares of the ROI's significant channels, axes (space,); NaN where there is none."""
        counts = self.counts(roi)
        n = int(counts.sum())
        return np.asarray(counts / n if n else np.full(len(counts), np.nan))

    def mean_position(self, roi: str, hierarchy: Sequence[str] | None = None) -> float:
        """Return where an ROI stands in the hierarchy: the mean position of its significant channels' best spaces.

        Parameters
        ----------
        roi : str
        hierarchy : sequence of str, optional
            Spaces that form it, lowest first; all by default. Channels best predicted by others (w, CLIP) are left
            out.

        Returns
        -------
        float, 0 to one less than there are spaces; NaN where no channel is left

        Raises
        ------
        ValueError
            A space of the hierarchy was not scored.
        """
        order = list(self.spaces if hierarchy is None else hierarchy)
        if unknown := [space for space in order if space not in self.spaces]:
            raise ValueError(f"hierarchy: {', '.join(unknown)}, expected some of {self.spaces}.")
        position = np.array([order.index(s) if s in order else np.nan for s in self.spaces], float)
        found = position[self.best[self._assigned(roi)]]
        found = found[np.isfinite(found)]
        return float(found.mean()) if len(found) else float("nan")

    def _assigned(self, roi: str) -> NDArray[np.intp]:
        channels = self.channels.channels_of(roi)
        return np.asarray(channels[self.significant[channels]])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "spaces": list(self.spaces),
            "alpha": self.alpha,
            "correction": self.correction,
            **{name: plain(getattr(self, name)) for name in ("best", "r", "p", "significant")},
            "rois": {
                roi: {
                    "n_channels": len(self.channels.channels_of(roi)),
                    "n_significant": self.n_significant(roi),
                    "counts": plain(self.counts(roi)),
                    "shares": plain(self.shares(roi)),
                    "mean_position": plain(np.array(self.mean_position(roi))),
                }
                for roi in self.channels.rois()
            },
        }


def assign_layers(
    scores: EncodingScores, alpha: float = 0.05, correction: Correction = "bonferroni"
) -> LayerAssignment:
    """Give each electrode the space that predicts it best.

    Parameters
    ----------
    scores : EncodingScores
    alpha : float
    correction : {'bonferroni', 'fdr', 'none'}
        Over channels. The best of several spaces was chosen, so its p-value is first multiplied by their number: that
        any space predicts the channel is what is tested. ``none``: p as it is, which nothing makes up for.

    Raises
    ------
    ValueError
        There is no such correction.
    """
    best = np.argmax(scores.r, axis=0)
    r, p = (np.take_along_axis(v, best[None], axis=0)[0] for v in (scores.r, scores.p))
    if correction != "none":
        p = np.minimum(p * len(scores.spaces), 1.0)
    p = corrected(p, correction)
    return LayerAssignment(
        spaces=scores.spaces,
        channels=scores.channels,
        alpha=alpha,
        correction=correction,
        best=best.astype(np.int64),
        r=r,
        p=p,
        significant=(p < alpha) & (r > 0),
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many electrodes got the space that made their responses.

    Attributes
    ----------
    n_informative : int
        Channels with something to predict, and a known truth.
    n_recovered : int
        Of these, those that are significant and whose best space is the true one.
    n_best : int
        Those whose best space is the true one, significant or not.
    """

    n_informative: int
    n_recovered: int
    n_best: int

    @property
    def share(self) -> float:
        """Share of the informative channels that are recovered; NaN where there is none."""
        return self.n_recovered / self.n_informative if self.n_informative else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        share = self.share if self.n_informative else None
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {**counts, "share": share}


def recovery(
    assignment: LayerAssignment,
    truth: Sequence[str],
    informative: NDArray[np.bool_],
    channels: NDArray[np.integer] | None = None,
) -> Recovery:
    """Compare with a truth that is known: the simulator's.

    Parameters
    ----------
    assignment : LayerAssignment
    truth : sequence of str, axes (channel,)
        Space that each channel is tuned to; '' where it is tuned to none.
    informative : bool, axes (channel,)
        See ``EncodingScores.informative``; from the simulation's own noise, where it is known.
    channels : int, axes (chosen channel,), optional
        Those of one ROI, say; all by default.

    Raises
    ------
    ValueError
        The truth names a space that was not scored: nothing could recover it.
    """
    if unknown := sorted(set(truth) - set(assignment.spaces) - {""}):
        raise ValueError(
            f"truth: {', '.join(unknown)}, expected some of {', '.join(assignment.spaces)}."
        )
    names = np.array(truth)
    counted = np.asarray(informative, np.bool_) & (names != "")
    if channels is not None:
        counted &= np.isin(np.arange(len(names)), channels)
    right = counted & (np.array(assignment.spaces)[assignment.best] == names)
    recovered = right & assignment.significant
    return Recovery(int(counted.sum()), int(recovered.sum()), int(right.sum()))
