from __future__ import annotations

import sys

import pytest

from b2g_rt.errors import ConfigError, SetupError
from offline.scheduling.resources import open_resources
from offline.scheduling.workers import open_workers


def test_the_scratch_folder_lies_beside_the_results_and_goes(tmp_path):
    with open_resources(None, "2GiB", near=tmp_path / "bundles" / "monday") as resources:
        assert resources.scratch.parent == tmp_path
        assert resources.memory == 2 * 1024**3
        assert resources.held_features == 512 * 1024**2
        (resources.scratch / "features.h5").write_bytes(b"0" * 1000)
    assert not list(tmp_path.iterdir())


def test_no_amount_of_memory_leaves_nothing_behind(tmp_path):
    with (
        pytest.raises(ConfigError, match="expected an amount of memory"),
        open_resources(None, "some", near=tmp_path / "out"),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_cluster_without_dask_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(SetupError, match=r"dask is not installed, .* pip install .*cluster"),
        open_workers("tcp://127.0.0.1:8786"),
    ):
        pass
