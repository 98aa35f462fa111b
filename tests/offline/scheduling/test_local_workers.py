from __future__ import annotations

import threading
from collections.abc import Generator

import numpy as np
import pytest

from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.one_piece import n_processors, share_of_piece
from offline.scheduling.workers import open_workers


def test_results_come_in_order_and_progress_counts_each():
    done: list[int] = []
    found = LocalWorkers(4).run(
        lambda shared, item: shared + item, range(30), shared=100, progress=done.append
    )
    assert list(found) == list(range(100, 130))
    assert done == [1] * 30


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(n_threads, rng):
    shared = rng.standard_normal((333, 257))
    items = [rng.standard_normal((257, 190)) for _ in range(5)]
    wanted = list(LocalWorkers(1).run(np.matmul, items, shared=shared))
    found = list(LocalWorkers(n_threads).run(np.matmul, items, shared=shared))
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_more_items_are_taken_than_are_under_way():
    taken, finished = [], []

    def items():
        for i in range(12):
            taken.append(i)
            yield i

    for i in LocalWorkers(5).run(lambda shared, item: item, items(), shared=None, at_once=3):
        finished.append(i)
        assert len(taken) - len(finished) < 3
    assert finished == taken == list(range(12))


def blas_threads():
    from threadpoolctl import threadpool_info

    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_blas_has_one_thread_in_pieces_and_its_own_number_afterwards():
    import scipy.linalg  # noqa: F401

    before = blas_threads()
    found = list(LocalWorkers(2).run(lambda shared, item: blas_threads(), range(8), shared=None))
    assert found == [[1] * len(before)] * 8
    assert blas_threads() == before


def test_a_piece_is_told_its_share_of_the_processors():
    assert share_of_piece() is None
    found = LocalWorkers().run(
        lambda shared, item: share_of_piece(), range(2), shared=None, at_once=1
    )
    assert list(found) == [n_processors()] * 2


def test_an_error_of_a_piece_reaches_the_caller_and_the_rest_is_not_begun():
    begun = []

    def one(shared, item):
        begun.append(item)
        if item == 1:
            raise ValueError("piece 1")
        return item

    with pytest.raises(ValueError, match="piece 1"):
        list(LocalWorkers(2).run(one, range(100), shared=None))
    assert len(begun) <= 4


def test_stopping_early_ends_every_thread():
    found = LocalWorkers(2).run(lambda shared, item: item, range(100), shared=None)
    assert next(found) == 0
    assert isinstance(found, Generator)
    found.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("piece")]


def test_without_an_address_the_workers_are_threads_here():
    with open_workers() as workers:
        assert workers.here
        assert workers.n_slots == workers.slots_per_process == n_processors()
