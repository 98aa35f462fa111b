"""Binding a ZeroMQ socket to an address of this machine, with one line that says why it cannot be."""

from __future__ import annotations

import errno
import ipaddress

import zmq

from b2g_rt.errors import PublishError


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host in ("localhost", "lo"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def tcp_bind(
    socket: zmq.Socket[bytes], host: str, port: int, *, host_key: str, port_key: str
) -> str:
    """Bind, and return the address by which clients of this machine come in.

    Parameters
    ----------
    socket : zmq.Socket
    host : str
        An IP address, ``localhost``, ``*`` (all interfaces), or a network interface's name.
    port : int
        0 for a free one.
    host_key, port_key : str
        Configuration keys, for the error's line.

    Raises
    ------
    PublishError
        The port is in use or not allowed, or this machine has no such address.
    """
    try:
        socket.bind(f"tcp://{_bind_host(host)}:{port or '*'}")
    except zmq.ZMQError as error:
        raise PublishError(_explain(error, host, port, host_key, port_key)) from None
    bound_port = socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0").rsplit(":", 1)[1]
    return f"tcp://{_client_host(host)}:{bound_port}"


def _bind_host(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _client_host(host: str) -> str:
    # One cannot connect to "all interfaces"; clients of this machine come in by loopback.
    bare = host.strip("[]")
    if bare in ("*", "0.0.0.0", "localhost", "lo"):
        return "127.0.0.1"
    return "[::1]" if bare == "::" else _bind_host(host)


def _explain(error: zmq.ZMQError, host: str, port: int, host_key: str, port_key: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{port_key}: port {port} on {host} is in use, expected a free one. "
            f"End the other service, or set {port_key}=0 to take a free port."
        )
    if error.errno == errno.EACCES:
        return f"{port_key}: port {port} needs administrator's rights, expected one above 1023."
    return (
        f"{host_key}: {host}: {error.strerror}, expected an address of this machine. "
        "Use 127.0.0.1, or one that `ip address` lists."
    )
