"""Whether a bundle's decoder can be refined while it runs, from which stimuli, and how firmly it is held on to."""

from __future__ import annotations

import re

import numpy as np

from b2g_rt.config import AdaptationConfig
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import ConfigError


def stimuli_marked_test(bundle: ModelBundle, config: AdaptationConfig) -> frozenset[str]:
    """Return the bundle's stimuli that must never be learnt from.

    Raises
    ------
    ConfigError
        The pattern is no regular expression.
    """
    named = {str(s) for s in bundle.manifest.training.get("test_stimuli", [])}
    named |= set(config.test_stimuli)
    if config.test_pattern is not None:
        try:
            pattern = re.compile(config.test_pattern)
        except re.error as error:
            raise ConfigError(
                f"adaptation.test_pattern: {error}, expected a regular expression."
            ) from None
        named |= {s for s in bundle.stimuli.ids if pattern.fullmatch(s)}
    return frozenset(named)


def why_not_adaptable(bundle: ModelBundle) -> str:
    """Return why no correction can be learnt for a bundle, or "" when it can."""
    manifest = bundle.manifest
    if bundle.windows.anchor != "marker" or manifest.decoder_kind != "per_window":
        return f"bundle '{manifest.name}' decodes with one decoder for all windows, expected one per window of a trial"
    if manifest.decoder_state:
        return f"the decoder of bundle '{manifest.name}' remembers earlier windows, expected one without smoothing"
    if not bundle.stimuli.ids:
        return f"bundle '{manifest.name}' knows no stimuli, expected latents to learn from"
    return ""


def prior_of(bundle: ModelBundle, prior_trials: float) -> float:
    """Return the ridge that is worth ``prior_trials`` trials: times a feature's mean square, as the bundle saw it."""
    return prior_trials * float(np.square(bundle.reference().features, dtype=np.float64).mean())
