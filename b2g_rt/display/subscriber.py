"""The thread that owns the sockets: four subscriptions, each message handed to the model as bytes.

Pictures, activity and status are conflated: libzmq keeps the newest only, so a display that was slow never works
off a queue. Events are not: every frame, trial and event arrives. ZeroMQ reconnects by itself; a socket monitor
tells what it would otherwise keep to itself, above all a CURVE handshake that fails (it looks like "no server").
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

from b2g_rt.contracts.endpoints import CurveClientKeys, Endpoints
from b2g_rt.contracts.messages import Topic
from b2g_rt.errors import ConfigError

_log = logging.getLogger(__name__)

# No message of ours is larger; a stranger's cannot fill the memory.
_MAX_MESSAGE_BYTES = 32 * 2**20
# Small kernel buffers: what waits there during a stall must be read, oldest first, before anything new.
_CONFLATED_BUFFER_BYTES = 256 * 2**10


class Model(Protocol):
    """What the subscriber feeds."""

    def take(self, topic: Topic, data: bytes, arrival_s: float) -> None:
        """Take one message."""

    def note(self, level: Literal["info", "warning", "error"], text: str, arrival_s: float) -> None:
        """Take a line for the event area."""


class Subscriber:
    """Runs from ``start`` to ``close``.

    Parameters
    ----------
    endpoints : Endpoints
        Where the service publishes; it need not be there yet.
    model : Model
        Takes the messages, called from the subscriber's thread.
    on_change : callable
        Called from that thread after each message; must return at once.
    curve : CurveClientKeys, optional
        Keys; without them the sockets are in the clear.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        model: Model,
        on_change: Callable[[], None],
        curve: CurveClientKeys | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._model = model
        self._on_change = on_change
        self._curve = curve
        self._context: Any = None
        self._topics: dict[Any, Topic] = {}
        self._monitors: dict[Any, Topic] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="display-subscriber", daemon=True)

    def connect(self) -> None:
        """Open the sockets; ``start`` does it too, where it was not done before.

        Raises
        ------
        ConfigError
            An address that is none.
        """
        import zmq

        self._context = zmq.Context()
        try:
            for topic in Topic:
                socket = self._socket(self._context, topic)
                self._topics[socket] = topic
                self._monitors[socket.get_monitor_socket(_handshake_failures())] = topic
                _connect(socket, getattr(self._endpoints, topic.value))
        except BaseException:
            self._close_sockets()
            raise

    def start(self) -> None:
        """Connect, and hand over messages from now on."""
        if self._context is None:
            self.connect()
        # From here on the sockets are the thread's alone.
        self._thread.start()

    def close(self) -> None:
        """End the thread and its sockets; twice is harmless."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        elif self._thread.ident is None:
            self._close_sockets()

    def _run(self) -> None:
        try:
            self._receive()
        except Exception:
            # A dead thread behind a living window would show an old state for ever: say so on screen.
            _log.exception("display: the subscriber ended")
            self._model.note(
                "error", "display: cannot receive any more, start it again", time.monotonic()
            )
            self._on_change()
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        for socket in self._topics:
            socket.disable_monitor()
        for socket in (*self._topics, *self._monitors):
            socket.close(linger=0)
        self._topics.clear()
        self._monitors.clear()
        if self._context is not None:
            self._context.term()
            self._context = None

    def _receive(self) -> None:
        import zmq

        poller = zmq.Poller()
        for socket in (*self._topics, *self._monitors):
            poller.register(socket, zmq.POLLIN)
        self._hand_over(poller, self._topics, self._monitors)

    def _hand_over(self, poller: Any, topics: dict[Any, Topic], monitors: dict[Any, Topic]) -> None:
        while not self._stop.is_set():
            for socket, _ in poller.poll(timeout=100):
                if socket in topics:
                    self._drain(socket, topics[socket])
                else:
                    self._tell_failure(socket, monitors[socket])
                self._on_change()

    def _socket(self, context: Any, topic: Topic) -> Any:
        import zmq

        socket = context.socket(zmq.SUB)
        if topic is Topic.EVENTS:
            socket.rcvhwm = 0
        else:
            socket.setsockopt(zmq.CONFLATE, 1)
            socket.setsockopt(zmq.RCVBUF, _CONFLATED_BUFFER_BYTES)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        # A host that vanishes sends no goodbye; without this the socket would wait on it for ever.
        socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10000)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        if self._curve is not None:
            socket.curve_serverkey = self._curve.server_public.encode()
            socket.curve_publickey = self._curve.public.encode()
            socket.curve_secretkey = self._curve.secret.encode()
        return socket

    def _drain(self, socket: Any, topic: Topic) -> None:
        import zmq

        # Bounded, so that a flood on one topic does not starve the others.
        for _ in range(64):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._model.take(topic, b"".join(parts), time.monotonic())

    def _tell_failure(self, monitor: Any, topic: Topic) -> None:
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        event = zmq.Event(recv_monitor_message(monitor)["event"])
        address = getattr(self._endpoints, topic.value)
        # libzmq tells a refused key apart, but not a wrong server key from a side without keys (tried, 4.3.5).
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            cause = "the service does not know this display's public key"
        elif self._curve is None:
            cause = "the service wants CURVE keys, this display has none"
        else:
            cause = "wrong server key, or a service without CURVE keys"
        text = f"{address}: handshake failed, {cause}. Compare the keys of both sides."
        self._model.note("error", text, time.monotonic())


def _connect(socket: Any, address: str) -> None:
    import zmq

    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        reason = zmq.strerror(error.errno or 0)
        raise ConfigError(
            f"display: address {address}: {reason}, expected one such as tcp://rig1:17501. Correct --host or the "
            "endpoints file."
        ) from None


def _handshake_failures() -> int:
    import zmq

    return int(
        zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    )
