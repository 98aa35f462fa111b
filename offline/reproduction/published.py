"""The paper's figures of decoding w, to stand beside ours.

Brain2GAN (Dado et al., PLoS Computational Biology 2024, doi 10.1371/journal.pcbi.1012058): table S13, the mean cosine
between predicted and true w, by ordinary least squares from responses averaged over repetitions; figure 11, the same
over windows, read from the figure. The paper has neither ridge, nor single trials, nor intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline.reproduction.plan import Stimuli

DOI = "10.1371/journal.pcbi.1012058"
SOURCE = f"Brain2GAN, doi {DOI}: table S13 (ROIs) and figure 11 (windows)"


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """Cosines of one of the paper's two experiments.

    Attributes
    ----------
    rois : dict of ROI to cosine
        'all' first; in the ROI windows.
    mean_latent : float
        The mean latent's, without looking at the brain.
    windows : tuple of float
        All electrodes, k = 0 to 8.
    """

    rois: dict[str, float]
    mean_latent: float
    windows: tuple[float, ...]

    @property
    def share_of_final_gain(self) -> tuple[float, ...]:
        """How much of the last window's gain over the first one each window has."""
        first, last = self.windows[0], self.windows[-1]
        return tuple((value - first) / (last - first) for value in self.windows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "source": SOURCE,
            "rois": self.rois,
            "mean_latent": self.mean_latent,
            "windows": list(self.windows),
            "share_of_final_gain": list(self.share_of_final_gain),
        }


PUBLISHED: dict[Stimuli, PublishedScores] = {
    "faces": PublishedScores(
        {"all": 0.55, "V1": 0.50, "V4": 0.50, "IT": 0.52},
        0.48,
        (0.478, 0.479, 0.498, 0.525, 0.541, 0.548, 0.550, 0.548, 0.549),
    ),
    "images": PublishedScores(
        {"all": 0.80, "V1": 0.73, "V4": 0.76, "IT": 0.77},
        0.72,
        (0.72, 0.72, 0.742, 0.776, 0.792, 0.799, 0.801, 0.800, 0.800),
    ),
}
