"""A real cluster: a scheduler here, two worker processes."""

from __future__ import annotations

import os
from functools import partial

import pytest
from distributed import LocalCluster

from b2g_rt.errors import FeatureError
from offline.features.store import open_features
from offline.scheduling.workers import open_workers
from tests.offline.features.tiny_network import OpeningsNoted, TinyNetwork

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as one:
        yield one


@pytest.fixture
def workers(cluster):
    with open_workers(cluster.scheduler_address) as one:
        yield one


def test_workers_of_a_cluster_give_the_same_content_and_open_the_network_once(
    compute, tmp_path, workers
):
    opened = tmp_path / "opened"
    opened.mkdir()
    there = compute(tmp_path / "there.zarr", partial(OpeningsNoted, str(opened)), workers=workers)
    here = compute(tmp_path / "here.zarr")
    assert there.attributes["content_hash"] == here.attributes["content_hash"]
    processes = [path.name.partition("-")[0] for path in opened.iterdir()]
    assert str(os.getpid()) in processes
    assert len(processes) > 1
    assert len(set(processes)) == len(processes)


def test_a_worker_with_another_network_is_refused(compute, tmp_path, workers):
    with pytest.raises(FeatureError, match="a worker has weights"):
        compute(tmp_path / "f.zarr", partial(SeededByProcess, os.getpid()), workers=workers)


def test_the_command_gives_the_same_content_on_a_cluster(run, picture_folder, tmp_path, cluster):
    vgg16 = ("--network", "vgg16", "--random-weights", "3", "--side", "32", "--sheet", "0")
    arguments = ("features", picture_folder, *vgg16, "--out")
    assert run(*arguments, tmp_path / "here.zarr")[0] == 0
    there = (tmp_path / "there.zarr", "--scheduler", cluster.scheduler_address)
    code, said, errors = run(*arguments, *there)
    assert (code, errors) == (0, "")
    assert "VGG5: 512 x 1 x 1 = 512 features of 80 stimuli" in said
    files = [open_features(tmp_path / f"{k}.zarr") for k in ("here", "there")]
    assert files[0].attributes["content_hash"] == files[1].attributes["content_hash"]


class SeededByProcess(TinyNetwork):
    """Other weights in any other process."""

    def __init__(self, home: int) -> None:
        super().__init__(0 if os.getpid() == home else 1)
