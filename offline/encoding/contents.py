"""Everything a report says of encoding, as plain data: what encoding.json, page and figures share.

Figures are drawn from this data and nothing else, so a figure shows what the file says. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.encoding.joint_encoding import JointScores
from offline.encoding.latencies import Latencies, latencies
from offline.encoding.layer_assignment import LayerAssignment, Recovery
from offline.encoding.rsa import RsaScores
from offline.encoding.scores import EncodingScores, plain
from offline.encoding.statistics import Array, Correction, corrected
from offline.encoding.time_resolved import TimeResolvedScores
from offline.resampling import N_RESAMPLES, ArrayInterval, Rows, bootstrap

FORMAT, VERSION = "b2g-encoding", 1
CONTENTS_FILE = "encoding.json"
CORRECTIONS: tuple[Correction, ...] = ("none", "fdr", "bonferroni")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted to what, for those who read the figures.

    Attributes
    ----------
    rule : str
        How the regularisation of each electrode was chosen: ``cross_validation`` or ``degrees_of_freedom``.
    n_train : int
        Training responses, each of one presentation.
    n_features : mapping of space to int
    network : mapping of space to str
        Where each comes from, in words: ``VGG16, ImageNet weights, pool1``.
    window_ms : mapping of ROI to (start, stop)
        Half open, after the onset: what ``r`` is of.
    fewest, most : int, optional
        Repeats of a test stimulus.
    """

    rule: str
    n_train: int
    n_features: Mapping[str, int]
    network: Mapping[str, str] = field(default_factory=dict)
    window_ms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fewest: int | None = None
    most: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "rule": self.rule,
            "n_train": self.n_train,
            "n_features": dict(self.n_features),
            "network": dict(self.network),
            "window_ms": {roi: list(window) for roi, window in self.window_ms.items()},
            "fewest": self.fewest,
            "most": self.most,
        }


def encoding_contents(
    scores: EncodingScores,
    assignment: LayerAssignment,
    *,
    fitted: Fitted | None = None,
    mean_r: ArrayInterval | None = None,
    permutation_p: NDArray[np.floating] | None = None,
    time: TimeResolvedScores | None = None,
    rsa: RsaScores | None = None,
    joint: JointScores | None = None,
    recovered: Mapping[str, Recovery] | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Gather all figures of encoding.

    Parameters
    ----------
    scores : EncodingScores
    assignment : LayerAssignment
        Of the same scores.
    fitted : Fitted, optional
        For captions.
    mean_r : ArrayInterval, axes (ROI, space), optional
        Mean r over each ROI's electrodes, stimuli resampled: ``mean_r_interval``. Without, means have no interval.
    permutation_p : float, axes (space, channel), optional
        See ``permutation_p`` of statistics.py; not corrected.
    time : TimeResolvedScores, optional
    rsa : RsaScores, optional
    joint : JointScores, optional
    recovered : mapping of ROI to Recovery, optional
        Of a simulation, whose truth is known.
    n_resamples, seed : int
        Of the bootstrap over electrodes.

    Returns
    -------
    dict
        Plain data: numbers, lists, dicts, None where something cannot be known.
    """
    channels = scores.channels
    return {
        "format": FORMAT,
        "version": VERSION,
        "spaces": list(scores.spaces),
        "n_test": scores.n_test,
        "fitted": None if fitted is None else fitted.to_dict(),
        "channels": channels.to_dict(),
        "electrodes": {
            "roi": list(channels.roi),
            **{n: plain(getattr(channels, n)) for n in ("array", "row", "col", "stream_idx")},
            "ceiling": plain(scores.ceiling),
            "informative": plain(scores.informative),
        },
        "r": plain(scores.r),
        "p": plain(scores.p),
        "normalised_r": plain(scores.normalised_r),
        "regularisation": plain(scores.regularisation),
        "permutation_p": None if permutation_p is None else plain(np.asarray(permutation_p)),
        "significance": _significance(scores, assignment),
        "assignment": assignment.to_dict(),
        "rois": {
            roi: _roi(
                scores,
                roi,
                assignment.alpha,
                None if mean_r is None else _row(mean_r, i),
                None if permutation_p is None else np.asarray(permutation_p),
            )
            for i, roi in enumerate(channels.rois())
        },
        "time": None if time is None else _time(time, scores, assignment, n_resamples, seed),
        "rsa": None if rsa is None else _rsa(rsa, assignment),
        "joint": None if joint is None else joint.to_dict(),
        "recovered": None
        if recovered is None
        else {roi: found.to_dict() for roi, found in recovered.items()},
    }


def _significance(scores: EncodingScores, assignment: LayerAssignment) -> dict[str, Any]:
    return {
        "alpha": assignment.alpha,
        "correction": assignment.correction,
        "p": plain(corrected(scores.p, assignment.correction)),
        "significant": plain(scores.significant(assignment.alpha, assignment.correction)),
        "least_r": _least_r(scores, assignment),
    }


def _least_r(scores: EncodingScores, assignment: LayerAssignment) -> float | None:
    """Return the smallest r that any space and electrode has that is significant: a line for figures."""
    found = scores.r[scores.significant(assignment.alpha, assignment.correction)]
    return float(found.min()) if found.size else None


def _row(interval: ArrayInterval, i: int) -> ArrayInterval:
    return ArrayInterval(interval.value[i], interval.low[i], interval.high[i])


def _roi(
    scores: EncodingScores,
    roi: str,
    alpha: float,
    mean_r: ArrayInterval | None,
    permutation_p: NDArray[np.floating] | None,
) -> dict[str, Any]:
    own = scores.channels.channels_of(roi)
    ceilings = scores.ceiling[own]
    known = ceilings[np.isfinite(ceilings)]
    significant = {c: scores.significant(alpha, c)[:, own] for c in CORRECTIONS}
    spaces = {}
    for i, space in enumerate(scores.spaces):
        r = scores.r[i, own]
        share = scores.normalised_r[i, own]
        share = share[np.isfinite(share)]
        spaces[space] = {
            "mean_r": float(r.mean()),
            "low": None if mean_r is None else float(mean_r.low[i]),
            "high": None if mean_r is None else float(mean_r.high[i]),
            "median_r": float(np.median(r)),
            "quartiles_r": np.quantile(r, (0.25, 0.75)).tolist(),
            "n_normalised": len(share),
            "median_normalised_r": float(np.median(share)) if len(share) else None,
            "significant": {c: float(significant[c][i].mean()) for c in CORRECTIONS},
            "permutation": None
            if permutation_p is None
            else float(((permutation_p[i, own] < alpha) & (r > 0)).mean()),
        }
    return {
        "n_channels": len(own),
        "n_informative": int(scores.informative[own].sum()),
        "median_ceiling": float(np.median(known)) if len(known) else None,
        "quartiles_ceiling": np.quantile(known, (0.25, 0.75)).tolist() if len(known) else None,
        "spaces": spaces,
    }


def _rsa(rsa: RsaScores, assignment: LayerAssignment) -> dict[str, Any]:
    """Return the comparison with its p-values corrected over all pairs of ROI and space, as electrodes are."""
    found = rsa.to_dict()
    p = corrected(rsa.p.ravel(), assignment.correction).reshape(rsa.p.shape)
    for roi, row in zip(rsa.rois, p, strict=True):
        found["rois"][roi]["p_corrected"] = dict(zip(rsa.spaces, plain(row), strict=True))
    return {**found, "alpha": assignment.alpha, "correction": assignment.correction}


@dataclass(frozen=True, slots=True, eq=False)
class _Mean:
    """Mean r over electrodes, axes (space, window)."""

    r: Array = field(repr=False)

    def __call__(self, rows: Rows) -> Array:
        return np.asarray(self.r[..., rows].mean(axis=-1))


def _time(
    time: TimeResolvedScores,
    scores: EncodingScores,
    assignment: LayerAssignment,
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    where = assignment.correction
    found: Latencies = latencies(
        time,
        best=assignment.best,
        among=assignment.significant,
        alpha=assignment.alpha,
        correction=where,
    )
    return {
        "windows": time.windows.to_dict(),
        "length_ms": time.length_ms,
        "stop_ms": plain(time.stop_ms),
        "centre_ms": plain(time.centre_ms),
        "n_test": time.n_test,
        "r": plain(time.r),
        "p": plain(time.p),
        "ceiling": plain(time.ceiling),
        "regularisation": plain(time.regularisation),
        "curves": _curves(time, scores.informative, n_resamples, seed),
        "latency": found.to_dict(n_resamples, seed),
    }


def _curves(
    time: TimeResolvedScores, informative: NDArray[np.bool_], n_resamples: int, seed: int
) -> dict[str, Any]:
    """Return mean r over windows, per ROI and space; where ceilings are known, of informative electrodes.

    Whether an electrode is informative does not depend on what is predicted: choosing by it favours no space or window.
    """
    chosen = informative if informative.any() else np.ones_like(informative)
    rois = {}
    for roi in time.channels.rois():
        own = time.channels.channels_of(roi)
        own = own[chosen[own]]
        if not len(own):
            rois[roi] = {"n_channels": 0, "spaces": {}}
            continue
        statistic = _Mean(np.ascontiguousarray(time.r[..., own]))
        mean = bootstrap(statistic, np.arange(len(own)), n_resamples, seed)
        spaces = {
            space: {
                "mean": plain(mean.value[i]),
                "low": plain(mean.low[i]),
                "high": plain(mean.high[i]),
            }
            for i, space in enumerate(time.spaces)
        }
        rois[roi] = {"n_channels": len(own), "spaces": spaces}
    return {"informative_only": bool(informative.any()), "rois": rois}
