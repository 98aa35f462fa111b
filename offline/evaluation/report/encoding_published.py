"""The paper's figures of encoding, to stand beside ours as a reference, never as a bound.

Brain2GAN (Dado et al., PLoS Computational Biology 2024, doi 10.1371/journal.pcbi.1012058): share of electrodes that w
predicts significantly; the layers that electrodes were assigned to, read from the figure, for natural images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SOURCE = "Brain2GAN, doi 10.1371/journal.pcbi.1012058: one macaque, VGG16 and StyleGAN's w"
SIGNIFICANT_W = {
    "faces": {"V1": 0.53, "V4": 0.52, "IT": 0.53},
    "images": {"V1": 0.39, "V4": 0.47, "IT": 0.56},
}
ASSIGNED_IMAGES = {"V1": ("VGG1", 0.55), "V4": ("VGG3", 0.97), "IT": ("VGG5", 0.93)}


def published_beside(spaces: Sequence[str], rois: Sequence[str]) -> dict[str, Any] | None:
    """Return the published figures of spaces and ROIs that were scored here; None where there are none."""
    found: dict[str, Any] = {"source": SOURCE, "significant_w": {}, "assigned": {}}
    if "w" in spaces:
        found["significant_w"] = {
            stimuli: {roi: share for roi, share in shares.items() if roi in rois}
            for stimuli, shares in SIGNIFICANT_W.items()
        }
    for roi, (space, share) in ASSIGNED_IMAGES.items():
        if roi in rois and space in spaces:
            found["assigned"][roi] = {"space": space, "share": share}
    return found if found["significant_w"] or found["assigned"] else None
