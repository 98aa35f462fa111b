from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import explained_variance_score

from offline.encoding.variance_partitioning import (
    explained_variance,
    normalised_variance,
    product_measure,
    unique_and_shared,
)


def drawn(seed, n_spaces, n_stimuli=30, n_channels=3):
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((n_spaces, n_stimuli, n_channels)) * rng.uniform(0, 2)
    observed = 4.0 + parts.sum(axis=0) + rng.standard_normal((n_stimuli, n_channels))
    return parts, observed


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_spaces=st.integers(1, 5),
    offset=st.floats(-50, 50),
    missing=st.integers(0, 8),
)
def test_parts_add_up_to_what_the_joint_model_explains(seed, n_spaces, offset, missing):
    parts, observed = drawn(seed, n_spaces)
    observed[:missing, 1] = np.nan
    # Parts have no mean of their own; where it is, in one of them or in the intercept, must not matter.
    parts[0] += offset
    joint = explained_variance(parts.sum(axis=0) - 7.0, observed)
    np.testing.assert_allclose(product_measure(parts, observed).sum(axis=0), joint, atol=1e-9)
    without = np.stack([explained_variance(parts.sum(axis=0) - p, observed) for p in parts])
    unique, shared = unique_and_shared(joint, without)
    np.testing.assert_allclose(unique.sum(axis=0) + shared, joint, atol=1e-12)


def test_the_explained_variance_is_scikit_learns_and_leaves_missing_stimuli_out():
    parts, observed = drawn(3, 2)
    predicted = parts.sum(axis=0)
    wanted = explained_variance_score(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(explained_variance(predicted, observed), wanted)
    observed[5:9, 2] = np.nan
    kept = np.r_[0:5, 9:30]
    found = explained_variance(predicted, observed)
    assert found[2] == pytest.approx(
        explained_variance_score(observed[kept, 2], predicted[kept, 2])
    )
    np.testing.assert_allclose(found[:2], wanted[:2])


def test_a_response_that_does_not_vary_is_not_explained():
    parts, observed = drawn(4, 2)
    observed[:, 0] = 0.1
    assert explained_variance(parts[0], observed)[0] == 0.0
    assert product_measure(parts, observed)[:, 0].tolist() == [0.0, 0.0]
    observed[:] = 0.1
    assert not product_measure(parts, observed).any()


def test_of_two_spaces_the_shared_part_is_what_either_could_explain_alone():
    unique, shared = unique_and_shared(np.array([0.5]), np.array([[0.3], [0.4]]))
    np.testing.assert_allclose(unique[:, 0], [0.2, 0.1])
    # 0.4 by the first alone, 0.3 by the second alone, 0.5 by both.
    assert shared[0] == pytest.approx(0.4 + 0.3 - 0.5)


def test_the_whole_explainable_variance_is_1_whatever_the_noise():
    rng = np.random.default_rng(6)
    signal = rng.standard_normal((20000, 3))
    noise = np.array([0.5, 1.0, 2.0])
    observed = signal + noise * rng.standard_normal(signal.shape)
    ceiling = 1 / np.sqrt(1 + noise**2)
    share = normalised_variance(explained_variance(signal, observed), ceiling)
    np.testing.assert_allclose(share, 1.0, atol=0.06)
    assert np.isnan(normalised_variance(np.ones(3), np.array([np.nan, 0.0, 0.09]))).all()
