"""The subscriber on real sockets."""

from __future__ import annotations

import threading
import time

import pytest
import zmq

from b2g_rt.contracts.endpoints import CurveClientKeys
from b2g_rt.contracts.messages import Topic
from b2g_rt.display.newest import Newest
from b2g_rt.display.subscriber import Subscriber
from tests.fake_service import FakeService

_DEADLINE_S = 10.0


def wait_until(condition, what):
    end_s = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not happen within {_DEADLINE_S:.0f} s"
        time.sleep(0.01)


@pytest.fixture
def service():
    made = FakeService()
    yield made
    made.close()


@pytest.fixture
def subscribe():
    running = []

    def begin(endpoints, model, on_change=lambda: None, curve=None):
        subscriber = Subscriber(endpoints, model, on_change, curve)
        subscriber.start()
        running.append(subscriber)
        return subscriber

    yield begin
    for subscriber in running:
        subscriber.close()


def _connect(service, model):
    """Send status until it arrives: then the subscriptions stand."""

    def arrived():
        service.send(Topic.STATUS, service.status())
        service.send(Topic.EVENTS, service.event("hello", "info"))
        service.send(Topic.PICTURES, service.frame(0, service.now()))
        time.sleep(0.02)
        snapshot = model.snapshot()
        return snapshot.status and snapshot.picture and snapshot.events

    wait_until(arrived, "the first message of each topic")


def test_all_topics_arrive_and_each_message_wakes(service, subscribe):
    model, woken = Newest(), threading.Event()
    subscribe(service.bind(), model, woken.set)
    _connect(service, model)
    assert woken.is_set()
    service.send(Topic.ACTIVITY, service.activity(0.1))
    wait_until(lambda: model.snapshot().activity is not None, "activity")


class _Slow:
    """A model that is held up by its first message until ``go``."""

    def __init__(self):
        self.go = threading.Event()
        self.taken = []

    def take(self, topic, data, arrival_s):
        self.taken.append((topic, data))
        self.go.wait(_DEADLINE_S)

    def of(self, topic):
        return [data for taken, data in list(self.taken) if taken is topic]

    def note(self, level, text, arrival_s):
        raise AssertionError(text)


@pytest.fixture
def witness():
    """A second subscriber to the pictures, which takes them all: what it has got the service has sent."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvhwm = 0
        socket.linger = 0
        socket.rcvtimeo = int(_DEADLINE_S * 1000)
        socket.subscribe(b"")
        yield socket


def test_a_slow_display_gets_all_events_but_only_the_newest_picture(service, subscribe, witness):
    endpoints = service.bind()
    witness.connect(endpoints.pictures)
    model = _Slow()
    subscribe(endpoints, model)

    def held_up():
        service.send(Topic.STATUS, b"first")
        time.sleep(0.01)
        return model.taken

    wait_until(held_up, "the first message")
    time.sleep(0.3)  # lets the other three subscriptions arrive; no timing is proved by it
    model.taken.clear()
    for i in range(500):
        service.send(Topic.EVENTS, f"event {i}".encode())
        service.send(Topic.PICTURES, f"picture {i}".encode() + bytes(50_000))
    # Not before they are sent: on a busy machine most would else be on their way when the display wakes.
    while not witness.recv_multipart()[-1].startswith(b"picture 499"):
        pass
    model.go.set()
    wait_until(lambda: len(model.of(Topic.EVENTS)) == 500, "all 500 events")
    newest = b"picture 499"
    wait_until(lambda: model.of(Topic.PICTURES)[-1].startswith(newest), "the newest picture")
    # A few more than one, since the last were still on their way when the display woke.
    assert len(model.of(Topic.PICTURES)) < 100


def test_a_service_that_is_started_again_is_found_again(service, subscribe):
    model = Newest()
    endpoints = service.bind()
    subscribe(endpoints, model)
    _connect(service, model)
    service.close()
    again = FakeService(seed=2)
    try:
        again.bind(endpoints)
        again.trial = 70

        def back():
            again.send(Topic.STATUS, again.status())
            time.sleep(0.02)
            return model.snapshot().status.n_trials == 71

        wait_until(back, "the new service's status")
    finally:
        again.close()


def test_foreign_bytes_on_the_socket_are_a_line_and_nothing_else(service, subscribe):
    model = Newest()
    subscribe(service.bind(), model)
    _connect(service, model)
    before = model.snapshot().picture
    for _ in range(3):
        service.send(Topic.PICTURES, b"\x93some other program")
        service.send(Topic.EVENTS, b"GET / HTTP/1.1")
    wait_until(lambda: model.snapshot().n_foreign >= 4, "counting")
    texts = " ".join(line.text for line in model.snapshot().events)
    assert "pictures: " in texts
    assert "events: " in texts
    assert model.snapshot().picture is before
    _connect(service, model)


def _keys():
    return zmq.curve_keypair()


def test_with_the_right_keys_messages_arrive(service, subscribe):
    public, secret = _keys()
    own_public, own_secret = (k.decode() for k in _keys())
    endpoints = service.bind(keys=(public, secret))
    model = Newest()
    subscribe(endpoints, model, curve=CurveClientKeys(public.decode(), own_public, own_secret))
    _connect(service, model)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("wrong server key", "wrong server key"),
        ("display without keys", "wants CURVE keys, this display has none"),
        ("service without keys", "or a service without CURVE keys"),
    ],
)
def test_a_failed_handshake_is_a_line_not_a_silence(service, subscribe, case, said):
    own_public, own_secret = (k.decode() for k in _keys())
    stranger = _keys()[0].decode()
    endpoints = service.bind(keys=None if case == "service without keys" else _keys())
    curve = CurveClientKeys(stranger, own_public, own_secret)
    model = Newest()
    subscribe(endpoints, model, curve=None if case == "display without keys" else curve)
    _expect_line(model, said)


def test_a_display_that_the_service_does_not_know_is_told_so(service, subscribe, tmp_path):
    from zmq.auth.thread import ThreadAuthenticator

    public, secret = _keys()
    own_public, own_secret = (k.decode() for k in _keys())
    endpoints = service.bind(keys=(public, secret))
    authenticator = ThreadAuthenticator(service.context)
    authenticator.start()
    try:
        authenticator.configure_curve(domain="*", location=str(tmp_path))  # no client is known
        model = Newest()
        keys = CurveClientKeys(public.decode(), own_public, own_secret)
        subscribe(endpoints, model, curve=keys)
        _expect_line(model, "does not know this display's public key")
    finally:
        authenticator.stop()


def _expect_line(model, said):
    wait_until(lambda: model.snapshot().events, "the line")
    line = model.snapshot().events[-1]
    assert line.level == "error"
    assert "handshake failed" in line.text
    assert said in line.text


def test_close_twice_is_harmless(service, subscribe):
    subscriber = subscribe(service.bind(), Newest())
    subscriber.close()
    subscriber.close()
