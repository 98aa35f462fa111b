"""What a reproduction must show: each figure with its bounds and, where there is one, the paper's value.

Bounds are part of the project's promise, so they stand here as constants and nothing computes them. They hold for
the paper's sizes (4000 training trials): with fewer, least squares overfits and the figures mean something else.
Knows scores, not how they came about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offline.reproduction.decoding import ALL, Condition, ConditionScores, DecoderScores
from offline.reproduction.plan import Stimuli
from offline.reproduction.published import PUBLISHED

BEFORE_ONSET = 0
"""The window that ends at the onset."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure and the bounds it must keep.

    Attributes
    ----------
    name : str
        For programs.
    what : str
        For readers.
    value : float
    low, high : float
        Both within; infinite where there is no bound.
    paper : float, or None
        The paper's value of the same figure.
    """

    name: str
    what: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    paper: float | None = None

    @property
    def inside(self) -> bool:
        """Whether the bounds are kept; a figure that is no number keeps none."""
        return self.low <= self.value <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, in which a missing bound is null."""
        return {
            "name": self.name,
            "what": self.what,
            "value": self.value,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "paper": self.paper,
            "inside": self.inside,
        }


# Middle and half width. V1 of the images: the paper has .73; the calibrated animal is asked for .735.
COSINES: dict[Stimuli, tuple[float, dict[str, float]]] = {
    "faces": (0.03, {"all": 0.55, "V1": 0.50, "V4": 0.50, "IT": 0.52}),
    "images": (0.02, {"all": 0.80, "V1": 0.735, "V4": 0.76, "IT": 0.77}),
}
BEFORE_ONSET_WITHIN = 0.02
SHARES = {2: (0.10, 0.35), 3: (0.50, 0.70), 4: (0.80, math.inf)}
FACES_RIDGE_OVER_MEAN = 0.03
IMAGES_RIDGE_OVER_OLS = 0.01


def claims(stimuli: Stimuli, scores: Mapping[Condition, ConditionScores]) -> tuple[Claim, ...]:
    """Return every claim, with our figures in it."""
    least_squares = scores["averaged"].decoders["ols"]
    return (
        *_cosines(stimuli, least_squares),
        *_windows(stimuli, least_squares[ALL]),
        *_single_trial(stimuli, scores["single_trial"]),
    )


def _cosines(stimuli: Stimuli, by_roi: dict[str, DecoderScores]) -> list[Claim]:
    within, middles = COSINES[stimuli]
    return [
        Claim(
            f"averaged.ols.{roi}",
            f"averaged, OLS, {roi}: w cosine",
            by_roi[roi].roi_windows.cosine.mean,
            middle - within,
            middle + within,
            PUBLISHED[stimuli].rois[roi],
        )
        for roi, middle in middles.items()
    ]


def _windows(stimuli: Stimuli, scores: DecoderScores) -> list[Claim]:
    curve, paper = scores.curve, PUBLISHED[stimuli]
    share = curve.share_of_final_gain()
    before = Claim(
        "averaged.ols.before_onset",
        "averaged, OLS, window before the onset: w cosine minus mean latent",
        float(curve.value[BEFORE_ONSET] - curve.baseline[BEFORE_ONSET]),
        -BEFORE_ONSET_WITHIN,
        BEFORE_ONSET_WITHIN,
        paper.windows[BEFORE_ONSET] - paper.mean_latent,
    )
    return [
        before,
        *(
            Claim(
                f"averaged.ols.share.{k}",
                f"averaged, OLS, window k = {k} (ends at {curve.stop_ms[k]:+.0f} ms): share of the final gain",
                float(share[k]),
                low,
                high,
                paper.share_of_final_gain[k],
            )
            for k, (low, high) in SHARES.items()
        ),
    ]


def _single_trial(stimuli: Stimuli, scores: ConditionScores) -> list[Claim]:
    ols, ridge = (scores.decoders[m][ALL].roi_windows for m in ("ols", "ridge"))
    if stimuli == "images":
        return [
            Claim(
                "single_trial.ridge.over_ols",
                "single trial: w cosine of ridge minus OLS",
                ridge.cosine.mean - ols.cosine.mean,
                low=IMAGES_RIDGE_OVER_OLS,
            )
        ]
    return [
        Claim(
            "single_trial.ols.gain",
            "single trial, OLS: w cosine minus mean latent",
            ols.gain.mean,
            high=0.0,
        ),
        Claim(
            "single_trial.ridge.gain",
            "single trial, ridge: w cosine minus mean latent",
            ridge.gain.mean,
            low=FACES_RIDGE_OVER_MEAN,
        ),
    ]
