"""Fitting within a bound of memory, on threads, and on a real cluster gives the same bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from distributed import LocalCluster

from b2g_rt.contracts.bundle import ModelBundle
from offline.scheduling import dask_workers
from offline.scheduling.resources import Resources


def same_bundle(one, other):
    a, b = ModelBundle(one), ModelBundle(other)
    assert a.file("decoder.onnx").read_bytes() == b.file("decoder.onnx").read_bytes()
    told = [json.loads((folder / "manifest.json").read_text()) for folder in (one, other)]
    assert told[0]["metrics"] == told[1]["metrics"]
    np.testing.assert_array_equal(a.channel_mean, b.channel_mean)


def test_features_that_are_too_many_go_to_a_file_and_the_bundle_is_the_same(
    run, small_session, generator_file, tmp_path, monkeypatch
):
    fit = ("fit", small_session, "--generator", generator_file, "--decoder", "ridge", "--out")
    code, text, err = run(*fit, tmp_path / "held")
    assert (code, err) == (0, "")
    assert "memory: at most" in text
    monkeypatch.setattr(Resources, "held_features", 0)
    code, _, err = run(*fit, tmp_path / "kept", "--work", tmp_path / "work")
    assert (code, err) == (0, "")
    assert len(list((tmp_path / "work").glob("features-*.h5"))) == 1
    code, _, err = run(*fit, tmp_path / "gone")
    assert (code, err) == (0, "")
    assert not list(tmp_path.glob(".b2g-features-*"))
    for name in ("kept", "gone"):
        same_bundle(tmp_path / "held", tmp_path / name)


def test_too_little_memory_ends_the_command_with_one_line_and_leaves_nothing(
    run, small_session, generator_file, tmp_path
):
    fit = ("fit", small_session, "--generator", generator_file, "--decoder", "ridge", "--out")
    code, _, err = run(*fit, tmp_path / "monday", "--memory", "3MB")
    assert code == 2
    assert err.startswith(
        "error: fit: one window of 108 trials, 192 channels and 512 latents takes"
    )
    assert "3 MiB of --memory are left for it" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [generator_file.name]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_days_on_a_cluster_are_the_bundle_of_two_days_here(
    run, small_session, next_day, generator_file, tmp_path
):
    days = (small_session, next_day, "--generator", generator_file, "--split", "day")
    fit = ("fit", *days, "--decoder", "ridge", "--smoothing", "best", "--out")
    code, _, err = run(*fit, tmp_path / "here")
    assert (code, err) == (0, "")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        code, text, err = run(*fit, tmp_path / "there", "--scheduler", address)
    assert (code, err) == (0, "")
    assert "in each worker (2 windows at once)" in text
    same_bundle(tmp_path / "here", tmp_path / "there")


def test_a_scheduler_that_does_not_answer_ends_the_command_with_one_line(
    run, small_session, generator_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(dask_workers, "CONNECT_S", 0.5)
    fit = ("fit", small_session, "--generator", generator_file, "--out", tmp_path / "monday")
    code, _, err = run(*fit, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert err.startswith("error: --scheduler tcp://127.0.0.1:9: ")
    assert err.count("\n") == 1


def test_an_amount_of_memory_that_is_none_ends_the_command_with_one_line(
    run, small_session, generator_file, tmp_path
):
    fit = ("fit", small_session, "--generator", generator_file, "--out", tmp_path / "monday")
    code, _, err = run(*fit, "--memory", "plenty")
    assert (code, err) == (
        2,
        "error: --memory plenty: expected an amount of memory. For example 2GiB.\n",
    )
