"""Evaluating within a bound of memory, on threads, and on a real cluster gives the same figures."""

from __future__ import annotations

import json
import os

import pytest
from distributed import LocalCluster

from offline.scheduling import dask_workers, workers
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.resources import Resources


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["fixed, a day", "per_window, simulated"])
def command(request, monday, next_day):
    if request.param == "fixed, a day":
        return ("evaluate", monday, next_day)
    return ("evaluate", "simulated-faces", "--simulate", 70)


def n_threads_of(monkeypatch, n_threads):
    monkeypatch.setattr(
        "offline.scheduling.local_workers.n_processors", lambda: n_threads, raising=True
    )
    with workers.open_workers() as found:
        assert isinstance(found, LocalWorkers)
        assert found.n_slots == n_threads


def test_features_in_a_file_and_threads_change_no_figure(run, command, tmp_path, monkeypatch):
    told = []
    for n_threads, in_file in ((1, False), (2, False), (2, True)):
        with monkeypatch.context() as patch:
            n_threads_of(patch, n_threads)
            if in_file:
                patch.setattr(Resources, "held_features", 0)
            code, text, err = run(*command, "--json", tmp_path / "scores.json")
        assert (code, err) == (0, "")
        assert "memory: at most" in text
        assert ("features in a file)" in text) == in_file
        told.append((tmp_path / "scores.json").read_text())
        assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]
    assert told[1:] == told[:1] * 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_report_from_a_cluster_is_the_report_from_here(run, command, tmp_path, monkeypatch):
    def reported(name, *args):
        out = tmp_path / name
        code, text, err = run(
            *command, "--report", out, "--pictures", 2, "--weights", tmp_path, *args
        )
        assert (code, err) == (0, "")
        return json.loads((out / "report.json").read_text()), text

    with monkeypatch.context() as patch:
        n_threads_of(patch, 1)
        here, _ = reported("one")
    with monkeypatch.context() as patch:
        n_threads_of(patch, 2)
        patch.setattr(Resources, "held_features", 0)
        assert reported("two")[0] == here
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        there, text = reported("there", "--scheduler", cluster.scheduler_address)
        assert "in each worker" in text
        assert there == here
        monkeypatch.setattr(Resources, "held_features", 0)
        assert reported("file", "--scheduler", cluster.scheduler_address)[0] == here


def test_too_little_memory_ends_the_command_with_one_line_and_leaves_nothing(
    run, monday, next_day, tmp_path
):
    code, text, err = run("evaluate", monday, next_day, "--memory", "2MB")
    assert code == 2
    assert err.startswith("error: evaluate: 40 trials, 40 stimuli, 192 channels and 512 latents ")
    assert "--memory is 2 MiB. Give more." in err
    assert err.count("\n") == 1
    assert "cosine" not in text
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_does_not_answer_ends_the_command_with_one_line(
    run, monday, next_day, monkeypatch
):
    monkeypatch.setattr(dask_workers, "CONNECT_S", 0.5)
    code, _, err = run("evaluate", monday, next_day, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert err.startswith("error: --scheduler tcp://127.0.0.1:9: ")
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_written_does_not_matter_where_nothing_is_written(
    run, monday, next_day, tmp_path, monkeypatch
):
    monkeypatch.setattr("os.access", lambda path, mode, **_: mode != os.W_OK)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    seen = []

    def none_held(resources):
        seen.append(resources)
        return 0

    monkeypatch.setattr(Resources, "held_features", property(none_held))
    code, _, err = run("evaluate", monday, next_day, "--json", "-")
    assert (code, err) == (0, "")
    assert {resources.scratch.parent for resources in seen} == {tmp_path / "temporary"}
    assert not list((tmp_path / "temporary").iterdir())
