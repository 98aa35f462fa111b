from __future__ import annotations

import pytest

from offline.scheduling.fewer_at_once import FewerAtOnce
from offline.scheduling.local_workers import LocalWorkers


@pytest.mark.parametrize("at_once", [None, 1, 5])
def test_no_more_pieces_are_under_way_than_allowed(at_once):
    taken, finished = [], []

    def items():
        for i in range(9):
            taken.append(i)
            yield i

    workers = FewerAtOnce(LocalWorkers(6), 2)
    for i in workers.run(lambda shared, item: item, items(), shared=None, at_once=at_once):
        finished.append(i)
        assert len(taken) - len(finished) < min(at_once or 2, 2)
    assert finished == list(range(9))


def test_it_has_no_more_slots_than_the_workers():
    one, many = FewerAtOnce(LocalWorkers(3), 2), FewerAtOnce(LocalWorkers(3), 9)
    assert (one.n_slots, one.slots_per_process, one.here) == (2, 2, True)
    assert (many.n_slots, many.slots_per_process) == (3, 3)
