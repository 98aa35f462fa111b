"""A real cluster: a scheduler here, two worker processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from distributed import Client, LocalCluster

import b2g_rt
from b2g_rt.errors import SchedulerError, SessionError
from offline.decoding.fitting import fit
from offline.regression.folds import folds_by_stimulus
from offline.scheduling import dask_workers
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.workers import open_workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Workers cannot import this module: its functions are sent as code.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as one:
        yield one


@pytest.fixture
def workers(cluster):
    with open_workers(cluster.scheduler_address) as one:
        yield one


def blas_threads(shared, item):
    from threadpoolctl import threadpool_info

    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def process(shared, item):
    time.sleep(0.2)
    return os.getpid()


def ended_once(folder, item):
    mark = Path(folder) / "ended"
    if item == 2 and not mark.exists():
        mark.touch()
        os._exit(1)
    return item * 10


def ended_always(shared, item):
    os._exit(1)


def refused(shared, item):
    raise SessionError("monday.h5: 3 trials, expected 50. Record more.")


def large(shared, item):
    return float(shared.sum() + item.sum())


def slow(shared, item):
    time.sleep(0.3)
    return float(shared.sum() + item)


def test_pieces_are_done_by_both_processes_and_come_in_order(workers):
    assert (workers.here, workers.n_slots, workers.slots_per_process) == (False, 2, 1)
    done: list[int] = []
    pids = list(workers.run(process, range(8), shared=None, progress=done.append))
    assert os.getpid() not in pids
    assert len(set(pids)) == 2
    assert done == [1] * 8


def test_pieces_have_one_thread_of_blas(workers):
    for found in workers.run(blas_threads, range(4), shared=None):
        assert found
        assert set(found) == {1}


def test_products_have_the_bits_of_threads_here(workers, rng):
    shared = rng.standard_normal((333, 257))
    items = [rng.standard_normal((257, 190)) for _ in range(5)]
    wanted = LocalWorkers(2).run(np.matmul, items, shared=shared)
    for one, other in zip(wanted, workers.run(np.matmul, items, shared=shared), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["ols", "ridge", "reduced_rank", "pls"])
def test_a_fit_has_the_same_bits_from_one_thread_two_threads_and_the_cluster(method, workers, rng):
    n_trials, n_channels, n_latents = 150, 24, 12
    latents = rng.standard_normal((n_trials, n_latents)).astype(np.float32)
    seen = latents @ rng.standard_normal((n_latents, n_channels)) / 3.0
    features = seen[:, None] + rng.standard_normal((n_trials, 3, n_channels))
    folds = folds_by_stimulus([str(i) for i in range(n_trials)])

    def fitted(one):
        return fit(
            method, features.astype(np.float32), latents, folds, smoothing="kalman", workers=one
        )

    wanted = fitted(LocalWorkers(1))
    for one in (LocalWorkers(2), workers):
        found = fitted(one)
        assert found.windows == wanted.windows
        assert found.smoothing == wanted.smoothing
        for name in ("down", "up", "bias"):
            mine = getattr(wanted.decoder.decoder, name)
            if mine is not None:
                np.testing.assert_array_equal(getattr(found.decoder.decoder, name), mine)


def test_no_more_items_are_taken_than_are_under_way(workers):
    taken, finished = [], []

    def items():
        for i in range(9):
            taken.append(i)
            yield i

    for i in workers.run(lambda shared, item: item, items(), shared=None, at_once=3):
        finished.append(i)
        assert len(taken) - len(finished) < 3
    assert finished == list(range(9))


def test_large_arrays_are_sent_without_a_word(workers, rng):
    shared, item = np.ones(3_000_000), np.ones(3_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(workers.run(large, [item, item], shared=shared)) == [6e6, 6e6]


def test_a_piece_whose_worker_ends_is_given_to_another(workers, tmp_path):
    found = list(workers.run(ended_once, range(5), shared=str(tmp_path)))
    assert found == [0, 10, 20, 30, 40]
    assert (tmp_path / "ended").exists()


def test_when_all_workers_end_new_ones_go_on_with_what_everyone_needs(workers):
    pids = set(workers.run(process, range(4), shared=None))

    def end_all():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    threading.Timer(0.5, end_all).start()
    found = list(workers.run(slow, range(8), shared=np.ones(1000)))
    assert found == [1000.0 + i for i in range(8)]


def test_a_piece_that_ends_every_worker_is_one_clear_line(workers):
    with pytest.raises(SchedulerError, match="one piece of work ended every worker .* --memory"):
        list(workers.run(ended_always, [0], shared=None))


def test_an_error_meant_for_people_arrives_as_it_is(workers):
    with pytest.raises(SessionError, match=r"^monday.h5: 3 trials, expected 50. Record more.$"):
        list(workers.run(refused, range(3), shared=None))


def test_stopping_early_leaves_nothing_on_the_cluster(workers, cluster):
    found = workers.run(slow, range(100), shared=np.ones(10))
    next(found)
    found.close()
    assert list(workers.run(large, [np.ones(1)], shared=np.ones(1))) == [2.0]


def test_a_scheduler_that_does_not_answer_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(dask_workers, "CONNECT_S", 0.5)
    with (
        pytest.raises(SchedulerError, match=r"tcp://127.0.0.1:9.* answers within 0.5 s. Start one"),
        open_workers("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["nonsense", "127.0.0.1:port", "smoke://127.0.0.1:8786", "tcp://:8786", "a b:8786"]
)
def test_an_address_that_is_none_is_one_clear_line(address):
    with (
        pytest.raises(
            SchedulerError, match=r"no address, expected .* For example tcp://node1:8786"
        ),
        open_workers(address),
    ):
        pass


def test_a_scheduler_without_workers_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(dask_workers, "WORKER_S", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(SchedulerError, match="no worker within 0.5 s, expected at least one"),
        open_workers(empty.scheduler_address),
    ):
        pass


def test_another_version_on_a_worker_is_one_clear_line(cluster, monkeypatch):
    monkeypatch.setattr(b2g_rt, "__version__", "9.9.9")
    with (
        pytest.raises(
            SchedulerError, match=r"worker tcp://\S+ has b2g_rt \S+, expected b2g_rt 9.9.9 as"
        ),
        open_workers(cluster.scheduler_address),
    ):
        pass


def test_another_numpy_on_a_worker_is_one_clear_line(cluster, monkeypatch):
    monkeypatch.setattr(np, "__version__", "1.26.4")
    with (
        pytest.raises(SchedulerError, match=r"has numpy \S+, expected numpy 1.26.4 as here"),
        open_workers(cluster.scheduler_address),
    ):
        pass


def test_a_scheduler_that_goes_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(dask_workers, "CONNECT_S", 2.0)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as short:
        with open_workers(short.scheduler_address) as workers:
            found = workers.run(slow, range(50), shared=np.ones(10))
            assert next(found) == 10.0
            short.close()
            with pytest.raises(SchedulerError, match="the scheduler is gone"):
                list(found)


def test_the_client_is_the_callers_own_and_no_default(cluster):
    with (
        open_workers(cluster.scheduler_address),
        pytest.raises(ValueError, match="No clients found"),
    ):
        Client.current()
