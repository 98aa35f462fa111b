"""Representational similarity analysis: whether an ROI and a feature space agree on which stimuli are alike.

Every ROI's dissimilarity matrix beside every space's, with p by permuting stimuli (rows and columns together, so that
entries which share a stimulus stay together) and the ceiling that noise sets. For commands and the report; knows no
files or figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import EncodingError
from offline.encoding.dissimilarity import pairs, response_dissimilarity
from offline.encoding.scores import plain
from offline.encoding.similarity import (
    Comparison,
    check_comparison,
    noise_ceiling,
    similarities,
    unit_entries,
)
from offline.encoding.statistics import Array
from offline.recordings.reliability import mean_of_present
from offline.resampling import N_PERMUTATIONS, Rows, permute_pairs
from offline.scheduling.workers import Workers

MIN_STIMULI = 4
"""Three can be permuted in six ways only."""


@dataclass(frozen=True, slots=True, eq=False)
class RsaScores:
    """How alike ROIs and feature spaces represent the test stimuli.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
    rois : tuple of str, axes (roi,)
    comparison : {'spearman', 'kendall', 'cosine'}
    n_stimuli, n_parts : int
        Stimuli compared; parts that repetitions were averaged into, 0 where nothing was repeated.
    similarity : float64, axes (roi, space)
        Of the responses averaged over all repetitions.
    p : float64, axes (roi, space)
        Of ``similarity``; one-sided, not corrected.
    similarity_of_parts : float64, axes (roi, space)
        Mean over the parts: what stands beside the ceiling. NaN where nothing was repeated.
    lower, upper : float64, axes (roi,)
        Bounds of the noise ceiling of ``similarity_of_parts``. NaN where nothing was repeated.
    """

    spaces: tuple[str, ...]
    rois: tuple[str, ...]
    comparison: Comparison
    n_stimuli: int
    n_parts: int
    similarity: Array = field(repr=False)
    p: Array = field(repr=False)
    similarity_of_parts: Array = field(repr=False)
    lower: Array = field(repr=False)
    upper: Array = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, NaN as None."""
        by_space = ("similarity", "p", "similarity_of_parts")
        rois: dict[str, dict[str, Any]] = {}
        for i, roi in enumerate(self.rois):
            rois[roi] = {"lower": plain(self.lower[i]), "upper": plain(self.upper[i])}
            for name in by_space:
                values = plain(getattr(self, name)[i])
                rois[roi][name] = dict(zip(self.spaces, values, strict=True))
        return {
            "spaces": list(self.spaces),
            "comparison": self.comparison,
            "n_stimuli": self.n_stimuli,
            "n_parts": self.n_parts,
            "rois": rois,
        }


def compare_rois(
    spaces: Mapping[str, Array],
    repetitions: NDArray[np.floating],
    channels: ChannelMap,
    *,
    comparison: Comparison = "spearman",
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    workers: Workers | None = None,
) -> RsaScores:
    """Compare every ROI with every feature space.

    Parameters
    ----------
    spaces : mapping of name to float64, axes (stimulus, stimulus)
        Dissimilarity matrices: ``space_dissimilarity``.
    repetitions : float, axes (repetition, stimulus, channel)
        Responses to the same stimuli; NaN is a missing one. Electrodes that lack a stimulus are left out.
    channels : ChannelMap
    comparison : {'spearman', 'kendall', 'cosine'}
        Kendall's tau takes by far the longest: it is computed anew for every permutation.
    n_permutations, seed : int
    workers : Workers, optional
        They do the permutations.

    Returns
    -------
    RsaScores
        Of the ROIs that have two electrodes with a response to every stimulus.

    Raises
    ------
    EncodingError
        Too few stimuli, or no such ROI.
    ValueError
        There is no such comparison, or a matrix is of other stimuli.
    """
    check_comparison(comparison)
    n_stimuli = repetitions.shape[1]
    if n_stimuli < MIN_STIMULI:
        raise EncodingError(
            f"RSA: {n_stimuli} stimuli, expected at least {MIN_STIMULI}. Show more stimuli."
        )
    for name, matrix in spaces.items():
        if matrix.shape != (n_stimuli, n_stimuli):
            raise ValueError(f"{name}: {matrix.shape}, expected ({n_stimuli}, {n_stimuli}).")
    whole = np.flatnonzero(np.isfinite(repetitions).any(axis=0).all(axis=0))
    chosen = {roi: np.intersect1d(channels.channels_of(roi), whole) for roi in channels.rois()}
    chosen = {roi: own for roi, own in chosen.items() if len(own) > 1}
    if not chosen:
        raise EncodingError(
            f"RSA: {len(whole)} of {channels.n_channels} electrodes have a response to every stimulus, expected two in "
            "one ROI. Leave out the stimuli that lack responses."
        )
    models = np.stack(list(spaces.values()))
    brains = [
        response_dissimilarity(mean_of_present(repetitions[:, :, own])) for own in chosen.values()
    ]
    statistic = _statistic(models, np.stack(brains), comparison)
    similarity, p = permute_pairs(statistic, np.arange(n_stimuli), n_permutations, seed, workers)
    of_parts = np.full((len(chosen), len(models)), np.nan)
    bounds = np.full((2, len(chosen)), np.nan)
    parts = _parts(repetitions[:, :, whole])
    for i, own in enumerate(chosen.values() if len(parts) > 1 else ()):
        columns = np.searchsorted(whole, own)
        measured = np.stack([pairs(response_dissimilarity(part[:, columns])) for part in parts])
        of_parts[i] = similarities(measured, pairs(models), comparison).mean(axis=0)
        bounds[:, i] = noise_ceiling(measured, comparison)
    return RsaScores(
        spaces=tuple(spaces),
        rois=tuple(chosen),
        comparison=comparison,
        n_stimuli=n_stimuli,
        n_parts=len(parts),
        similarity=similarity,
        p=p,
        similarity_of_parts=of_parts,
        lower=bounds[0],
        upper=bounds[1],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """Similarity of ROIs whose stimuli were permuted with spaces: products of entries, axes (roi, space)."""

    models: Array
    brains: Array

    def __call__(self, rows: Rows) -> Array:
        moved = self.brains[:, rows][:, :, rows]
        return np.asarray(0.5 * np.tensordot(moved, self.models, axes=([1, 2], [1, 2])))


@dataclass(frozen=True, slots=True, eq=False)
class _Taus:
    """The same by Kendall's tau, of which there are no such entries."""

    models: Array
    brains: Array

    def __call__(self, rows: Rows) -> Array:
        return similarities(pairs(self.brains[:, rows][:, :, rows]), self.models, "kendall")


def _statistic(models: Array, brains: Array, comparison: Comparison) -> _Products | _Taus:
    if comparison == "kendall":
        return _Taus(pairs(models), brains)
    return _Products(_units(models, comparison), _units(brains, comparison))


def _units(matrices: Array, comparison: Comparison) -> Array:
    """Return matrices of entries whose products are the similarity, counted twice; the diagonal is 0."""
    first, second = np.triu_indices(matrices.shape[-1], 1)
    found = np.zeros(matrices.shape)
    found[:, first, second] = found[:, second, first] = unit_entries(pairs(matrices), comparison)
    return found


def _parts(repetitions: NDArray[np.floating]) -> Array:
    """Average repetitions into as many parts as the stimulus that was shown least often was shown.

    Returns
    -------
    float64, axes (part, stimulus, channel)
        A response to every stimulus in every part; no part at all where a stimulus was not repeated, or an electrode
        missed one of its repetitions.
    """
    there = np.isfinite(repetitions).all(axis=2)
    n = int(there.sum(axis=0).min())
    if n < 2:
        return np.empty((0, *repetitions.shape[1:]))
    # Those that are there come first.
    order = np.argsort(~there, axis=0, kind="stable")
    sorted_ = np.take_along_axis(
        np.where(there[:, :, None], repetitions, np.nan), order[..., None], 0
    )
    return np.stack([mean_of_present(sorted_[part::n]) for part in range(n)])
