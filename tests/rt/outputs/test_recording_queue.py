"""The recorder's queue: what gives way first, and that nothing gives way unsaid."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.outputs.recording_queue import RecordingQueue
from tests.rt.outputs import made_messages as made

ROW_BYTES = 4 * 4 + 16


def put(queue: RecordingQueue, start: int, stop: int) -> None:
    index = np.arange(start, stop)
    queue.samples(np.zeros((len(index), 4), np.float32), index / 1000.0, index)


def indices(batch) -> list[int]:
    return [int(i) for part in batch.index for i in part]


def test_a_take_empties_the_queue_and_memory_is_free_once_it_is_written():
    queue = RecordingQueue(10 * ROW_BYTES)
    put(queue, 0, 4)
    batch = queue.take(0.0)
    assert indices(batch) == [0, 1, 2, 3]
    assert queue.waiting_bytes == 4 * ROW_BYTES
    queue.written()
    assert queue.waiting_bytes == 0


def test_a_closed_queue_gives_the_rest_and_then_nothing():
    queue = RecordingQueue(10 * ROW_BYTES)
    put(queue, 0, 4)
    queue.close()
    put(queue, 4, 6)
    assert indices(queue.take(10.0)) == [0, 1, 2, 3]
    assert queue.take(10.0) is None
    assert queue.n_refused == 2


def test_a_waiting_taker_wakes_at_close():
    queue = RecordingQueue(10 * ROW_BYTES)
    taken = []
    taker = threading.Thread(target=lambda: taken.append(queue.take(60.0)))
    taker.start()
    queue.close()
    taker.join(10)
    assert taken == [None]


def test_markers_frames_and_events_are_taken_when_samples_are_not():
    queue = RecordingQueue(2 * ROW_BYTES)
    put(queue, 0, 10)
    queue.marker(0.0, "face-0")
    queue.event(made.event())
    queue.frame(made.frame(0))
    queue.frame(made.frame(1, image=True))
    batch = queue.take(0.0)
    assert (batch.n_samples, len(batch.markers), len(batch.events)) == (0, 1, 1)
    assert [f.image for f in batch.frames] == [None, None]
    assert queue.n_refused == 10


def test_being_behind_is_said_once_until_it_is_over():
    queue = RecordingQueue(8 * ROW_BYTES)
    said = []
    for k in range(6):
        put(queue, k, k + 1)
        said.append(queue.falls_behind())
    assert said == [False, False, True, False, False, False]
    queue.take(0.0)
    queue.written()
    assert not queue.falls_behind()
    put(queue, 6, 10)
    assert queue.falls_behind()


def test_what_could_not_be_written_counts_as_refused_and_nothing_is_kept():
    queue = RecordingQueue(100 * ROW_BYTES)
    put(queue, 0, 4)
    batch = queue.take(0.0)
    put(queue, 4, 7)
    queue.give_up(batch)
    put(queue, 7, 9)
    queue.frame(made.frame(image=True))
    assert queue.n_refused == 9
    assert queue.waiting_bytes == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 7), st.booleans()), max_size=60))
def test_every_sample_is_taken_once_or_refused_and_named(steps):
    queue = RecordingQueue(20 * ROW_BYTES)
    taken: list[int] = []
    refused = 0
    position = 0
    for n, take in steps:
        put(queue, position, position + n)
        position += n
        if take and queue.waiting_bytes:
            taken += indices(queue.take(0.0))
            queue.written()
        for line in queue.confessions():
            refused += int(line.split()[0])
    queue.close()
    while (batch := queue.take(0.0)) is not None:
        taken += indices(batch)
        queue.written()
    for line in queue.confessions():
        refused += int(line.split()[0])
    assert taken == sorted(set(taken))
    assert len(taken) + queue.n_refused == position
    assert refused == queue.n_refused
