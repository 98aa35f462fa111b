"""The socket on which a running service takes commands: ZeroMQ, one request, one reply.

ZeroMQ and not LSL markers: a command is answered (done, or why not), it is let in by key (LSL lets in the whole
network), and it never stands among the stimuli of a recording. Loopback unless configured otherwise, and beyond it
CURVE keys are required, as for the publisher (curve.py): who is in ``clients/`` may then command too.
Knows messages, keys and sockets; what a command does is the handler's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import zmq

from b2g_rt.contracts.control import (
    CommandMessage,
    ReplyMessage,
    decode_command,
    decode_reply,
    encode_control,
)
from b2g_rt.contracts.endpoints import CurveClientKeys
from b2g_rt.contracts.messages import VERSION
from b2g_rt.errors import CommandError, MessageError
from b2g_rt.outputs.binding import tcp_bind
from b2g_rt.outputs.curve import service_keys, start_authenticator

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

Handler = Callable[[CommandMessage], ReplyMessage]

_MAX_COMMAND_BYTES = 4096
_POLL_MS = 100
_LINGER_MS = 500

_log = logging.getLogger(__name__)


class ControlServer:
    """A bound socket; it answers from ``start`` to ``close``, in a thread of its own.

    Parameters
    ----------
    host : str
        Address to bind, as ``Publisher``.
    port : int
        0 for a free one.
    curve_keys : Path, optional
        Folder of keys; required beyond loopback.

    Attributes
    ----------
    address : str
        As bound, for clients of this machine.

    Raises
    ------
    PublishError
        No keys beyond loopback, keys that cannot be read, a port in use, an address this machine has not.
    """

    def __init__(self, host: str, port: int, *, curve_keys: Path | None = None) -> None:
        keys = service_keys(host, curve_keys, host_key="publish.control_host")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._authenticator: ThreadAuthenticator | None = None
        # Its own context: the ZAP handler that checks keys is one per context.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        try:
            if keys is not None:
                self._authenticator = start_authenticator(self._context, keys)
                keys.apply(self._socket)
            self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
            self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_COMMAND_BYTES)
            self.address = tcp_bind(
                self._socket,
                host,
                port,
                host_key="publish.control_host",
                port_key="publish.control_port",
            )
        except BaseException:
            self.close()
            raise

    def start(self, handler: Handler) -> None:
        """Answer from now on; ``handler`` is called in the control thread and may raise CommandError."""
        self._thread = threading.Thread(
            target=self._run, args=(handler,), name="b2g-control", daemon=True
        )
        self._thread.start()

    def _run(self, handler: Handler) -> None:
        while not self._stop.is_set():
            if self._socket.poll(_POLL_MS):
                self._socket.send(encode_control(self._answer(self._socket.recv(), handler)))

    def _answer(self, data: bytes, handler: Handler) -> ReplyMessage:
        try:
            return handler(decode_command(data))
        except MessageError as error:
            _log.warning("control: %s", error)
            return ReplyMessage(VERSION, False, str(error), "off", 0)
        except Exception:
            # Whatever a command runs into, the service goes on and the next one is answered.
            _log.exception("control: a command failed")
            return ReplyMessage(
                VERSION, False, "the command failed; the service's log says why.", "off", 0
            )

    def close(self) -> None:
        """Answer what is being answered and close; twice is harmless."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._socket.close()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()

    def __enter__(self) -> ControlServer:
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


def send_command(
    address: str,
    command: CommandMessage,
    *,
    curve: CurveClientKeys | None = None,
    timeout_s: float = 5.0,
) -> ReplyMessage:
    """Send one command to a running service and return its reply.

    Raises
    ------
    CommandError
        The address is none, nobody answers in time, or the answer is none of this program's release.
    """
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        if curve is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, curve.server_public.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, curve.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, curve.secret.encode())
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            raise CommandError(
                f"control: {address}: {error.strerror}, expected an address such as tcp://127.0.0.1:17505."
            ) from None
        socket.send(encode_control(command))
        if not socket.poll(round(1000 * timeout_s)):
            raise CommandError(
                f"control: nobody answered at {address} within {timeout_s:g} s. Is the service running, are host, "
                "port and keys right?"
            )
        try:
            return decode_reply(socket.recv())
        except MessageError as error:
            raise CommandError(f"control: {address}: {error}") from None
