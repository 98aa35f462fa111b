from __future__ import annotations

import threading

import pytest

from b2g_rt.service.edges import Closed, Edge, LosslessQueue, NewestSlot

LOSSLESS = Edge("a", "b", 4, "lossless")
NEWEST = Edge("a", "b", 1, "newest")


def test_a_lossless_queue_makes_a_fast_sender_wait_and_loses_nothing():
    queue: LosslessQueue[int] = LosslessQueue(LOSSLESS)

    def send() -> None:
        for i in range(1000):
            queue.put(i)
        queue.close()

    sender = threading.Thread(target=send)
    sender.start()
    received, longest = [], 0
    for _ in range(1000):
        longest = max(longest, len(queue))
        received.append(queue.get())
    sender.join()
    with pytest.raises(Closed):
        queue.get()
    assert received == list(range(1000))
    assert longest <= LOSSLESS.capacity


def test_the_newest_wins_and_what_it_superseded_is_handed_over_in_order():
    superseded: list[int] = []
    slot: NewestSlot[int] = NewestSlot(NEWEST, superseded.append)
    for i in range(5):
        slot.put(i)
    assert slot.get() == 4
    assert superseded == [0, 1, 2, 3]


def test_what_is_in_the_slot_is_taken_even_after_closing():
    slot: NewestSlot[int] = NewestSlot(NEWEST, lambda _: None)
    slot.put(1)
    slot.close()
    assert slot.get() == 1
    with pytest.raises(Closed):
        slot.get()


def test_closing_wakes_a_receiver_that_waits():
    slot: NewestSlot[int] = NewestSlot(NEWEST, lambda _: None)
    ended = threading.Event()

    def receive() -> None:
        with pytest.raises(Closed):
            slot.get()
        ended.set()

    receiver = threading.Thread(target=receive)
    receiver.start()
    slot.close()
    assert ended.wait(10)
    receiver.join()


def test_every_item_is_either_taken_or_superseded():
    superseded: list[int] = []
    slot: NewestSlot[int] = NewestSlot(NEWEST, superseded.append)
    taken: list[int] = []

    def receive() -> None:
        try:
            while True:
                taken.append(slot.get())
        except Closed:
            pass

    receiver = threading.Thread(target=receive)
    receiver.start()
    for i in range(5000):
        slot.put(i)
    slot.close()
    receiver.join(10)
    assert sorted(taken + superseded) == list(range(5000))
    assert taken == sorted(taken)
    assert taken[-1] == 4999
