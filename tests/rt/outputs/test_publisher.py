"""ZeroMQ publisher: what arrives, what is refused, what a slow subscriber costs. Real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
import zmq

from b2g_rt.contracts.messages import FrameMessage, Message, Topic, decode
from b2g_rt.errors import PublishError
from b2g_rt.outputs.binding import is_loopback
from b2g_rt.outputs.publisher import Publisher
from tests.rt.outputs import made_messages as made

FREE = dict.fromkeys(Topic, 0)
DEADLINE_S = 10.0


@pytest.fixture
def publisher():
    with Publisher("127.0.0.1", FREE) as publisher:
        yield publisher


def first_message(publisher: Publisher, topic: Topic, message, sub: zmq.Socket) -> bytes:
    """Publish until it arrives: a subscription takes a moment to reach the publisher."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        publisher.publish(topic, message)
        if sub.poll(20):
            data = sub.recv()
            while sub.poll(50):
                sub.recv()
            return data
    raise AssertionError(f"nothing on {topic} in {DEADLINE_S} s")


def frame_of(data: bytes) -> FrameMessage:
    message = decode(data)
    assert isinstance(message, FrameMessage)
    return message


MESSAGES: dict[Topic, Message] = {
    Topic.PICTURES: made.frame(7, image=True),
    Topic.EVENTS: made.event(),
    Topic.ACTIVITY: made.activity(),
    Topic.STATUS: made.status(),
}


@pytest.mark.parametrize("topic", list(Topic))
def test_a_message_arrives_as_it_was_sent(publisher, subscribe, topic):
    sub = subscribe(getattr(publisher.endpoints, topic.value))
    assert decode(first_message(publisher, topic, MESSAGES[topic], sub)) == MESSAGES[topic]


def test_four_free_ports_are_four_different_addresses(publisher):
    assert len({getattr(publisher.endpoints, topic.value) for topic in Topic}) == 4


def test_events_are_all_delivered_in_order(publisher, subscribe):
    sub = subscribe(publisher.endpoints.events)
    first_message(publisher, Topic.EVENTS, made.event(), sub)
    for k in range(3000):
        publisher.publish(Topic.EVENTS, made.frame(k))
    received: list[int] = []
    while len(received) < 3000 and sub.poll(2000):
        received.append(frame_of(sub.recv()).sequence)
    assert received == list(range(3000))


@pytest.mark.parametrize("topic", [Topic.PICTURES, Topic.ACTIVITY, Topic.STATUS])
def test_three_subscribers_find_the_newest_message_after_not_reading(publisher, subscribe, topic):
    def numbered(k: int):
        return made.frame(k)

    subs = [subscribe(getattr(publisher.endpoints, topic.value), conflate=True) for _ in range(3)]
    for sub in subs:
        first_message(publisher, topic, numbered(-1), sub)
    for k in range(500):
        publisher.publish(topic, numbered(k))
    for sub in subs:
        newest = -1
        deadline = time.monotonic() + DEADLINE_S
        while newest < 499 and time.monotonic() < deadline:
            if sub.poll(100):
                newest = frame_of(sub.recv()).sequence
        assert newest == 499


def test_a_subscriber_that_never_reads_disturbs_nobody_and_is_counted(subscribe):
    with Publisher("127.0.0.1", FREE, events_queue=50) as publisher:
        dead = subscribe(publisher.endpoints.events, rcvhwm=1)
        alive = subscribe(publisher.endpoints.events)
        first_message(publisher, Topic.EVENTS, made.event(), alive)
        first_message(publisher, Topic.EVENTS, made.event(), dead)
        while alive.poll(100):
            alive.recv()
        big = made.frame(0, n_latents=20_000)
        # One in, one out: only the dead subscriber's queue can fill.
        for _ in range(2000):
            publisher.publish(Topic.EVENTS, big)
            assert alive.poll(5000)
            alive.recv()
            if publisher.n_events_queue_full:
                break
        assert publisher.n_events_queue_full == 1


def test_the_last_events_go_out_at_close(subscribe):
    publisher = Publisher("127.0.0.1", FREE)
    sub = subscribe(publisher.endpoints.events)
    first_message(publisher, Topic.EVENTS, made.event(), sub)
    for k in range(200):
        publisher.publish(Topic.EVENTS, made.frame(k, image=True))
    publisher.close()
    received = 0
    while received < 200 and sub.poll(2000):
        assert isinstance(decode(sub.recv()), FrameMessage)
        received += 1
    assert received == 200


JUNK = {
    "web browser": b"GET / HTTP/1.1\r\nHost: rig\r\n\r\n",
    "noise": bytes(range(256)) * 40,
    "half a greeting": b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_sent_to_the_port_disturbs_no_subscriber(publisher, subscribe, junk):
    address = publisher.endpoints.events
    host, port = address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as stranger:
        stranger.sendall(junk)
        sub = subscribe(address)
        first_message(publisher, Topic.EVENTS, made.event(), sub)


def test_a_long_subscription_is_refused_and_disturbs_no_subscriber(publisher, subscribe):
    address = publisher.endpoints.events
    stranger = subscribe(address)
    stranger.setsockopt(zmq.SUBSCRIBE, bytes(5000))
    sub = subscribe(address)
    assert decode(first_message(publisher, Topic.EVENTS, made.event(), sub)) == made.event()


def test_importing_the_outputs_loads_neither_lsl_nor_hdf5_nor_onnx_nor_qt():
    modules = ["publisher", "curve", "lsl_outlets", "recorder", "session_writer", "session_repair"]
    heavy = ("pylsl", "h5py", "onnxruntime", "PySide6", "torch", "scipy.signal")
    script = "import sys\n" + "\n".join(f"import b2g_rt.outputs.{name}" for name in modules)
    script += f"\nprint([name for name in {heavy} if name in sys.modules])"
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True
    )
    assert child.stdout.strip() == "[]"


def test_closing_twice_is_harmless(publisher):
    publisher.close()
    publisher.close()


@pytest.mark.parametrize("topic", list(Topic))
def test_a_port_in_use_is_named_with_its_key(topic):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PublishError) as error:
            Publisher("127.0.0.1", {**FREE, topic: port})
    assert f"publish.{topic.value}_port" in str(error.value)
    assert str(port) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.0.2.7", "::", "eth0"])
def test_beyond_loopback_without_keys_is_refused_in_one_line(host):
    with pytest.raises(PublishError, match=r"publish\.curve_keys") as error:
        Publisher(host, FREE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "lo"])
def test_loopback_is_known_by_all_its_names(host):
    assert is_loopback(host)


def test_localhost_can_be_bound_and_reached(subscribe):
    with Publisher("localhost", FREE) as publisher:
        sub = subscribe(publisher.endpoints.events)
        first_message(publisher, Topic.EVENTS, made.event(), sub)


def test_an_address_that_is_not_this_machines_is_said(tmp_path):
    from b2g_rt.outputs.curve import make_keys

    make_keys(tmp_path / "keys")
    with pytest.raises(PublishError, match=r"publish\.host: 192\.0\.2\.7") as error:
        Publisher("192.0.2.7", FREE, curve_keys=tmp_path / "keys")
    assert "\n" not in str(error.value)
