from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import ChannelMapError
from offline.evaluation.metrics import cosines
from offline.evaluation.roi_ablation import roi_ablation, silenced

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64), ArraySlot(2, "V4", 128)))


class Linear:
    def __init__(self, weights, bias):
        self.weights, self.bias = weights, bias

    def predict(self, features, window_idx):
        return (features @ self.weights[window_idx] + self.bias).astype(np.float32)


@pytest.fixture
def fitted(rng):
    """A decoder whose IT channels carry nothing, two windows, and 40 trials of 20 stimuli."""
    weights = rng.standard_normal((2, 192, 10)) / 14
    weights[:, 64:128] = 0.0
    features = rng.standard_normal((40, 192)).astype(np.float32)
    decoder = Linear(weights, rng.standard_normal(10))
    return decoder, features, np.repeat(np.arange(20), 2)


def test_an_roi_without_weights_costs_nothing_and_the_others_do(fitted):
    decoder, features, groups = fitted
    true = decoder.predict(features, 1)
    found = roi_ablation(
        decoder, features, CHANNELS, lambda d: cosines(d, true), groups, window_idx=1
    )
    rois = {r.roi: r for r in found.rois}
    assert list(rois) == ["V1", "V4", "IT"]
    assert found.whole.mean == pytest.approx(1.0)
    assert rois["IT"].drop.mean == pytest.approx(0.0, abs=1e-12)
    assert rois["IT"].only.mean == pytest.approx(found.nothing.mean)
    for roi in ("V1", "V4"):
        assert rois[roi].drop.low > 0.05
        assert rois[roi].without.mean == pytest.approx(1.0 - rois[roi].drop.mean)
        assert rois[roi].only.mean > found.nothing.mean + 0.05
        assert rois[roi].n_channels == 64
    json.dumps(found.to_dict())


def test_with_everything_silenced_the_decoder_says_its_bias(fitted):
    decoder, features, groups = fitted
    found = roi_ablation(decoder, features, CHANNELS, lambda d: (d - decoder.bias) @ d[0], groups)
    assert found.nothing.mean == pytest.approx(0.0, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(rois=st.sets(st.sampled_from(["V1", "V4", "IT"])), fill=st.floats(-3, 3, width=32))
def test_only_channels_of_the_rois_change_and_silencing_twice_is_once(rois, fill):
    features = np.random.default_rng(1).standard_normal((3, 2, 192)).astype(np.float32)
    found = silenced(features, CHANNELS, rois, fill)
    own = np.isin(CHANNELS.roi, sorted(rois))
    np.testing.assert_array_equal(found[..., own], np.float32(fill))
    np.testing.assert_array_equal(found[..., ~own], features[..., ~own])
    np.testing.assert_array_equal(silenced(found, CHANNELS, rois, fill), found)
    assert found.dtype == np.float32


def test_silenced_channels_can_say_a_mean_of_their_own(rng):
    means = rng.standard_normal(192)
    found = silenced(np.zeros((2, 192), np.float32), CHANNELS, ["IT"], means)
    np.testing.assert_allclose(found[1, 64:128], means[64:128].astype(np.float32))


def test_an_unknown_roi_and_other_channels_are_refused():
    features = np.zeros((2, 192), np.float32)
    with pytest.raises(ChannelMapError, match="no channel in 'MT', expected one of V1, V4, IT"):
        silenced(features, CHANNELS, ["MT"])
    with pytest.raises(ChannelMapError, match="features of 191 channels"):
        silenced(features[:, 1:], CHANNELS, ["V1"])
