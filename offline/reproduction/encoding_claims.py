"""What the encoding reproduction must show: constants, and the figures that are held against them.

They hold for the plan's own sizes. Knows scores, not how they came about.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from offline.encoding.latencies import Latencies
from offline.encoding.layer_assignment import Recovery
from offline.reproduction.claims import Claim
from offline.reproduction.encoding_null import ShuffledScores

RECOVERED = 0.90
NULL_SHARE, NULL_WITHIN = 0.05, 0.015
MOST_WITH_SEVERAL = 1
"""Of twenty shuffles."""
ROIS = ("V1", "V4", "IT")


def encoding_claims(
    network: str,
    recovered: Mapping[str, Recovery],
    shuffled: ShuffledScores,
    latency: Latencies | None,
) -> list[Claim]:
    """Return every claim about one network's animal, with our figures in it; ``recovered``: 'all' and each ROI."""
    found = [
        Claim(
            f"{network}.recovered",
            f"{network}: informative electrodes assigned to the space that drives them",
            recovered["all"].share,
            low=RECOVERED,
        )
    ]
    for space in shuffled.spaces:
        found += [
            Claim(
                f"{network}.shuffled.{space}.uncorrected",
                f"{network}, stimuli shuffled, {space}: share significant, uncorrected",
                shuffled.mean_uncorrected(space),
                NULL_SHARE - NULL_WITHIN,
                NULL_SHARE + NULL_WITHIN,
            ),
            Claim(
                f"{network}.shuffled.{space}.bonferroni",
                f"{network}, stimuli shuffled, {space}: shuffles with more than one Bonferroni electrode",
                float(shuffled.n_with_several(space)),
                high=float(MOST_WITH_SEVERAL),
            ),
        ]
    if latency is not None:
        medians = [_median(latency, roi) for roi in ROIS]
        for (earlier, a), (later, b) in zip(
            zip(ROIS, medians, strict=True), list(zip(ROIS, medians, strict=True))[1:], strict=False
        ):
            found.append(
                Claim(
                    f"{network}.latency.{earlier}.{later}",
                    f"{network}: median latency of {later} minus that of {earlier}, ms",
                    b - a,
                    low=0.0,
                )
            )
    return found


def _median(latency: Latencies, roi: str) -> float:
    own = latency.half_maximum_ms[latency.channels.channels_of(roi)]
    own = own[np.isfinite(own)]
    return float(np.median(own)) if len(own) else float("nan")
