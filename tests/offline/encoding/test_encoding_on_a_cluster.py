"""A real cluster: two worker processes get blocks of features, then values and blocks of electrodes."""

from __future__ import annotations

import numpy as np
import pytest
from distributed import LocalCluster

from offline.encoding.encode import encode_space
from offline.encoding.kernels import FEATURES_PER_PIECE, n_pieces
from offline.features.feature_space import ArrayFeatures
from offline.scheduling.workers import open_workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_cluster_gives_what_this_process_gives(rng):
    n, n_train = 60, 48
    values = rng.standard_normal((n, 2 * FEATURES_PER_PIECE + 300)).astype(np.float32)
    y = values[:n_train, :6] @ rng.standard_normal((6, 4)) + rng.standard_normal((n_train, 4))
    space = ArrayFeatures("VGG1", tuple(map(str, range(n))), values)
    train, test = space.ids[:n_train], space.ids[n_train:]
    few = ArrayFeatures("w", space.ids, values[:, :12])
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        open_workers(cluster.scheduler_address) as workers,
    ):
        steps: list[int] = []
        for one in (space, few):
            alone = encode_space(one, train, test, y)
            found = encode_space(one, train, test, y, workers=workers, progress=steps.append)
            np.testing.assert_array_equal(found.lam, alone.lam)
            np.testing.assert_allclose(found.errors, alone.errors, rtol=1e-5)
            np.testing.assert_allclose(found.predicted, alone.predicted, rtol=1e-4, atol=1e-5)
    assert sum(steps) == n_pieces(space) + n_pieces(few) == 4
