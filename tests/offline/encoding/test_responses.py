"""Sorting the responses of trials, and the noise ceiling."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import EncodingError
from offline.encoding.responses import ceiling_of, trial_responses


def _few_channels() -> ChannelMap:
    dead = tuple(range(8, 64))
    rois = enumerate(("V1", "V4", "IT"))
    return ChannelMap(192, tuple(ArraySlot(k, roi, 64 * k, False, dead) for k, roi in rois))


def test_training_trials_that_lack_an_electrode_are_left_out_and_counted() -> None:
    channels = _few_channels()
    values = np.random.default_rng(0).standard_normal((20, 24)).astype(np.float32)
    values[3, 7] = np.nan
    stimulus = [f"s{k // 2 if k >= 10 else 100 + k}" for k in range(20)]
    is_test = np.arange(20) >= 10
    found = trial_responses(values, stimulus, is_test, channels, note="", where="file")
    assert found.n_left_out == 1
    assert "s103" not in found.train_ids
    assert len(found.train_ids) == 9
    values[:, 7] = np.nan
    with pytest.raises(EncodingError, match="electrode 7 lacks most"):
        trial_responses(values, stimulus, is_test, channels, note="", where="file")


def test_the_ceiling_allows_for_stimuli_with_unequal_repeats() -> None:
    rng = np.random.default_rng(1)
    signal = rng.standard_normal((1, 2000, 1))
    values = signal + 2.0 * rng.standard_normal((4, 2000, 1))
    values[2:, :1000] = np.nan
    # The mean of 1 / repetitions is 3 / 8, of a noise variance of 4.
    assert ceiling_of(values)[0] == pytest.approx(np.sqrt(1 / (1 + 4 * 3 / 8)), abs=0.03)
