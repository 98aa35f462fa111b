"""What repetitions of a stimulus tell of the recording itself: reliability of electrodes, and the ceiling of noise.

No decoder comes near: these figures say how good any could be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.evaluation.report.held_out_trials import HeldOutTrials
from offline.recordings.features_file import window_of
from offline.recordings.noise_ceiling import variance_components
from offline.recordings.reliability import mean_reliability, oracle_correlation, repetitions


def repetition_contents(trials: HeldOutTrials, channels: ChannelMap) -> dict[str, Any]:
    """Return reliability and noise ceiling of the last window's responses.

    Parameters
    ----------
    trials : HeldOutTrials
        Of repeated stimuli, see ``HeldOutTrials.repeated``.
    channels : ChannelMap

    Returns
    -------
    dict
        Counts; ``rois``: medians over electrodes; ``reliability``: axes (channel,).
    """
    found = repetitions(window_of(trials.features, trials.features.shape[1] - 1), trials.stimuli)
    components = variance_components(found.values)
    n = float(found.counts.mean())
    reliability = mean_reliability(found.values)
    per_electrode = {
        "reliability": reliability,
        "oracle": oracle_correlation(found.values),
        "noise_ceiling_single_trial": components.noise_ceiling(),
        "noise_ceiling_averaged": components.noise_ceiling(n),
    }
    return {
        "n_stimuli": len(found.stimuli),
        "fewest": int(found.counts.min()),
        "most": int(found.counts.max()),
        "mean": n,
        "about": (
            "Responses at the last window. Reliability: Pearson's r over stimuli between every two repetitions, mean "
            "over pairs; oracle: between one repetition and the mean of the others; noise ceiling: highest "
            "correlation that a prediction can have with one trial, or with the mean of all. Medians over electrodes."
        ),
        "rois": {
            roi: {"n_channels": len(channels.channels_of(roi))}
            | {name: _median(v[channels.channels_of(roi)]) for name, v in per_electrode.items()}
            for roi in channels.rois()
        },
        "electrode_reliability": reliability.tolist(),
    }


def _median(values: NDArray[np.float64]) -> float | None:
    there = values[np.isfinite(values)]
    return float(np.median(there)) if len(there) else None
