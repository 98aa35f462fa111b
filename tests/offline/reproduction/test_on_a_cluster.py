from __future__ import annotations

import pytest
from distributed import LocalCluster

from offline.reproduction.experiment import reproduce
from offline.scheduling.resources import open_resources


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_experiment_on_a_cluster_has_the_figures_of_threads_here(
    found, macaque, plan, no_stage, tmp_path
):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        open_resources(cluster.scheduler_address, "2GiB", near=tmp_path / "out") as resources,
    ):
        there = reproduce(macaque, plan, tmp_path / "work", no_stage, resources)
    assert there.to_dict() == found.to_dict()
    # Workers on this machine share the folder: sessions are kept for the next run.
    assert len(list((tmp_path / "work").glob("responses-*.npz"))) == len(plan.sessions())
