"""A subscriber on a real socket, closed at the end of the test."""

from __future__ import annotations

import pytest
import zmq


@pytest.fixture
def subscribe():
    context = zmq.Context()
    opened = []

    def open_subscriber(address, *, conflate=False, rcvhwm=0, keys=None):
        sub = context.socket(zmq.SUB)
        opened.append(sub)
        sub.setsockopt(zmq.RCVHWM, rcvhwm)
        if conflate:
            sub.setsockopt(zmq.CONFLATE, 1)
        if keys is not None:
            sub.setsockopt(zmq.CURVE_SERVERKEY, keys.server_public.encode())
            sub.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
            sub.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
        sub.setsockopt(zmq.SUBSCRIBE, b"")
        sub.connect(address)
        return sub

    yield open_subscriber
    for sub in opened:
        sub.close(linger=0)
    context.term()
