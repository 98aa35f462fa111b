"""The issue's null: models that are fitted to shuffled stimuli, of electrodes that share most of what they do."""

from __future__ import annotations

import numpy as np
import pytest

from offline.encoding.encode import encode_space
from offline.encoding.statistics import bonferroni, pearson, t_test_p
from offline.features.feature_space import ArrayFeatures

pytestmark = pytest.mark.timeout(180)

N_TRAIN, N_TEST, N_CHANNELS, RANK, N_SPACES, N_SHUFFLES = 100, 100, 96, 8, 5, 20


def test_models_of_shuffled_stimuli_leave_5_percent_significant_and_hardly_one_after_bonferroni():
    rng = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    ids = tuple(str(i) for i in range(n))
    pictures = rng.standard_normal((n, 60))
    low_rank = rng.standard_normal((60, RANK)) @ rng.standard_normal((RANK, N_CHANNELS))
    responses = pictures @ low_rank / np.sqrt(60 * RANK)
    responses += 0.5 * rng.standard_normal(responses.shape)
    spaces = [
        ArrayFeatures(
            f"layer {i}",
            ids,
            np.maximum(pictures @ rng.standard_normal((60, 300)), 0.0).astype(np.float32),
        )
        for i in range(N_SPACES)
    ]

    def p_values(order):
        shown = responses[order]
        predicted = [
            encode_space(space, ids[:N_TRAIN], ids[N_TRAIN:], shown[:N_TRAIN]).predicted
            for space in spaces
        ]
        return t_test_p(pearson(np.stack(predicted), shown[N_TRAIN:]), N_TEST)

    # The same spaces predict, and the electrodes hang together: it is the shuffling that leaves nothing.
    assert (bonferroni(p_values(np.arange(n))) < 0.05).mean() > 0.8
    p = np.stack([p_values(rng.permutation(n)) for _ in range(N_SHUFFLES)])
    assert (p < 0.05).mean(axis=(0, 2)) == pytest.approx(np.full(N_SPACES, 0.05), abs=0.015)
    n_bonferroni = (bonferroni(p) < 0.05).sum(axis=2)
    assert ((n_bonferroni > 1).sum(axis=0) <= 1).all()
