"""ZeroMQ publisher: one PUB socket per topic, one part per message.

Drop policy, in one place:

- ``PICTURES``, ``ACTIVITY``, ``STATUS``: the newest message only. The sockets conflate, so a subscriber that
  reads slowly finds the newest message and nothing before it (but what the kernel's buffers already held).
- ``EVENTS``: a queue of ``EVENTS_QUEUE`` messages per subscriber. What a subscriber leaves unread beyond that is
  lost to it alone; a dead one must not eat the service's memory for ever. A PUB socket does not tell
  how many messages it dropped; it does tell that a queue is full, and that is counted here. The
  subscriber sees the exact number as a jump of ``FrameMessage.sequence``.

Sending never blocks. Beyond loopback CURVE keys are required (see curve.py).
Knows nothing of LSL, Qt, ONNX or files other than the keys.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import zmq

from b2g_rt.contracts.endpoints import Endpoints
from b2g_rt.contracts.messages import Message, Topic, encode
from b2g_rt.outputs.binding import tcp_bind
from b2g_rt.outputs.curve import ServerKeys, service_keys, start_authenticator

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

# 8 minutes of frames every 25 ms; with latents of 512 floats about 55 MB for each subscriber that does not read.
EVENTS_QUEUE = 20_000
# The last messages (trials, "stopping") get this long to leave at close; a stopped subscriber costs no more.
LINGER_MS = 1000

_log = logging.getLogger(__name__)


class Publisher:
    """Four bound sockets.

    Parameters
    ----------
    host : str
        Address to bind: an IP address, ``localhost``, ``*`` (all interfaces), or a network interface's name.
    ports : dict of Topic to int
        Port of each topic, 0 for a free one; all four topics.
    curve_keys : Path, optional
        Folder made by ``curve.make_keys``. Required beyond loopback; on loopback it also closes the door
        to other users of the machine.
    events_queue : int
        Messages kept for a subscriber of ``EVENTS`` that does not read.

    Attributes
    ----------
    endpoints : Endpoints
        The addresses as bound, for clients of this machine.
    n_events_queue_full : int
        How often a subscriber of ``EVENTS`` was found with a full queue, and so began to lose messages.

    Raises
    ------
    PublishError
        No keys beyond loopback, keys that cannot be read, a port in use, an address this machine has not.

    Notes
    -----
    Sockets are not thread safe: one thread publishes one topic (after the constructor, any).
    """

    def __init__(
        self,
        host: str,
        ports: dict[Topic, int],
        *,
        curve_keys: Path | None = None,
        events_queue: int = EVENTS_QUEUE,
    ) -> None:
        keys = service_keys(host, curve_keys, host_key="publish.host")
        self.n_events_queue_full = 0
        self._events_queue = events_queue
        self._sockets: dict[Topic, zmq.Socket[bytes]] = {}
        self._authenticator: ThreadAuthenticator | None = None
        # Its own context: the ZAP handler that checks keys is one per context.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            if keys is not None:
                self._authenticator = start_authenticator(self._context, keys)
            bound = {t: self._bind(t, host, ports[t], keys) for t in Topic}
        except BaseException:
            self.close()
            raise
        self.endpoints = Endpoints(**{topic.value: address for topic, address in bound.items()})

    def _bind(self, topic: Topic, host: str, port: int, keys: ServerKeys | None) -> str:
        socket = self._context.socket(zmq.PUB)
        self._sockets[topic] = socket
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        socket.setsockopt(zmq.IPV6, 1)
        # A host that vanished (cable, power) is found and its queue freed.
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        # Subscriptions are short; nobody may send us more.
        socket.setsockopt(zmq.MAXMSGSIZE, 4096)
        if topic is Topic.EVENTS:
            socket.setsockopt(zmq.SNDHWM, self._events_queue)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            socket.setsockopt(zmq.CONFLATE, 1)
        if keys is not None:
            keys.apply(socket)
        return tcp_bind(
            socket, host, port, host_key="publish.host", port_key=f"publish.{topic.value}_port"
        )

    def publish(self, topic: Topic, message: Message) -> None:
        """Send one message; returns at once, whatever the subscribers do."""
        socket = self._sockets[topic]
        data = encode(message)
        try:
            socket.send(data, zmq.DONTWAIT)
        except zmq.Again:
            self._send_past_full_queue(socket, data)

    def _send_past_full_queue(self, socket: zmq.Socket[bytes], data: bytes) -> None:
        # The refused message went to nobody; sent again without NODROP it goes to all who have room.
        self.n_events_queue_full += 1
        if self.n_events_queue_full == 1:
            _log.warning(
                "events: a subscriber left %d messages unread and loses what follows until it reads. "
                "Further ones are counted.",
                self._events_queue,
            )
        socket.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            socket.send(data, zmq.DONTWAIT)
        finally:
            socket.setsockopt(zmq.XPUB_NODROP, 1)

    def close(self) -> None:
        """Let the last messages out (at most ``LINGER_MS``) and close; twice is harmless."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets = {}
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()

    def __enter__(self) -> Publisher:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
