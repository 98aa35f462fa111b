"""What a user chooses about a fit, and what of it a bundle's manifest tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError
from offline.decoding.decoder import DecoderKind
from offline.decoding.fitting import Fitted, Method
from offline.decoding.smoothing import SmoothingChoiceKind
from offline.regression.folds import Fold, folds_by_day, folds_by_stimulus

Split = Literal["stimulus", "day"]
LatentGroups = Literal["each", "all"]

ABOUT: dict[Method, str] = {
    "ols": "ordinary least squares",
    "ridge": "ridge",
    "reduced_rank": "reduced-rank ridge",
    "pls": "partial least squares",
    "attention": "attention network",
}


@dataclass(frozen=True, slots=True)
class FitPlan:
    """Which decoder, and how its choices are made.

    Attributes
    ----------
    kind : {'per_window', 'fixed'}
    method : {'ols', 'ridge', 'reduced_rank', 'pls', 'attention'}
    smoothing : {'none', 'exponential', 'kalman', 'best'}
        Of latents over windows.
    rois : tuple of str
        Which ROIs the decoder reads; empty: all.
    split : {'stimulus', 'day'}
        What is held out while the decoder's choices are made.
    latent_groups : {'each', 'all'}
        Which latents share a regularisation; of ridge only.
    seed : int
        Of the held-out stimuli, the folds, and training by chance.

    Raises
    ------
    ConfigError
        Latent groups for a method that has none.
    """

    kind: DecoderKind = "per_window"
    method: Method = "reduced_rank"
    smoothing: SmoothingChoiceKind = "none"
    rois: tuple[str, ...] = ()
    split: Split = "stimulus"
    latent_groups: LatentGroups = "each"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning together."""
        if self.latent_groups != "each" and self.method != "ridge":
            raise ConfigError(
                f"--latent-groups {self.latent_groups}: decoder {self.method}, expected ridge, which alone has a "
                "regularisation per group of latents."
            )

    @property
    def slides(self) -> bool:
        """Whether smoothing is chosen on a sliding window."""
        return self.kind == "fixed" and self.smoothing != "none"

    def folds(self, stimuli: Sequence[str], days: NDArray[np.integer]) -> list[Fold]:
        """Return the folds that choices are made on.

        Raises
        ------
        SessionError
            Too few stimuli or days.
        """
        if self.split == "day":
            return folds_by_day(stimuli, days)
        return folds_by_stimulus(stimuli, seed=self.seed)

    def told(self, fitted: Fitted) -> dict[str, Any]:
        """Return what the manifest says of the decoder: plain data."""
        rounded = "" if self.method == "attention" else ", weights rounded to float16"
        groups = {"latent_groups": self.latent_groups} if self.method == "ridge" else {}
        return {
            "decoder": ABOUT[self.method] + rounded,
            "method": self.method,
            "smoothing": fitted.smoothing or {"kind": "none"},
            "rois": list(self.rois) or "all",
            "split": self.split,
            **groups,
            "windows": [_rounded(window) for window in fitted.windows],
        }


def _rounded(window: dict[str, float]) -> dict[str, float]:
    return {
        name: value if isinstance(value, int) else float(f"{value:.5g}")
        for name, value in window.items()
    }
