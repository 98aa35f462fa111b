"""CURVE keys: who may read what the service publishes, beyond loopback.

A folder, made by ``make_keys``::

    server.key_secret       the service's pair; readable by its owner only
    server.key              its public half: copy it to every client
    NAME.key_secret         the pair of client NAME: move it to that client
    clients/NAME.key        its public half: who is in this folder may read

A file added to or taken from ``clients/`` counts for the next connection, without a restart.
Files are in ZeroMQ's own format (``zmq.auth``). Knows nothing of messages or topics.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from b2g_rt.contracts.endpoints import CurveClientKeys
from b2g_rt.errors import PublishError
from b2g_rt.outputs.binding import is_loopback

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

SERVER_SECRET = "server.key_secret"
SERVER_PUBLIC = "server.key"
CLIENTS = "clients"
_ZAP_DOMAIN = b"b2g"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The service's pair (Z85 text) and the folder of public keys that are let in."""

    public: bytes
    secret: bytes = field(repr=False)
    clients: Path

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket, before it is bound, speak CURVE as the server."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, _ZAP_DOMAIN)


def make_keys(folder: Path, client: str = "display") -> Path:
    """Make a client's pair, and the service's pair where there is none yet.

    Parameters
    ----------
    folder : Path
        Made when missing, readable by its owner only.
    client : str
        The client's name: letters, digits, ``-`` and ``_``.

    Returns
    -------
    Path
        ``NAME.key_secret``, to be moved to the client together with ``server.key``.

    Raises
    ------
    PublishError
        The client has a key already, the name is none, or the folder cannot be written.

    Notes
    -----
    ``zmq.auth.create_certificates`` leaves secret keys readable by everybody; here they are 0600.
    """
    if not client or not all(c.isascii() and (c.isalnum() or c in "-_") for c in client):
        raise PublishError(
            f"key name: {client!r}, expected letters, digits, - and _. Name the client's computer."
        )
    if client == "server":
        raise PublishError("key name: 'server' is the service's own. Name the client's computer.")
    secret = folder / f"{client}.key_secret"
    public = folder / CLIENTS / f"{client}.key"
    for path in (secret, public):
        if path.exists():
            raise PublishError(
                f"{path}: is there already, and keys are never overwritten. "
                "Take another name, or remove the file."
            )
    try:
        (folder / CLIENTS).mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        if not (folder / SERVER_SECRET).exists():
            _write_pair(folder / SERVER_SECRET, folder / SERVER_PUBLIC)
        _write_pair(secret, public)
    except OSError as error:
        raise PublishError(
            f"{folder}: {error.strerror}, expected a folder that can be written. Choose another."
        ) from None
    return secret


def _write_pair(secret_path: Path, public_path: Path) -> None:
    public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    head = "#   b2g_rt CURVE {} key. {}\n\nmetadata\ncurve\n"
    _write(
        secret_path,
        head.format("secret", "Keep it on its own computer, readable by its owner only.")
        + f'    public-key = "{public}"\n    secret-key = "{secret}"\n',
        0o600,
    )
    _write(
        public_path,
        head.format("public", "May be given away.") + f'    public-key = "{public}"\n',
        0o644,
    )


def _write(path: Path, text: str, mode: int) -> None:
    # O_EXCL and the mode at birth: there is no moment at which others can read or replace a secret.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


def service_keys(host: str, folder: Path | None, *, host_key: str) -> ServerKeys | None:
    """Return the keys a bound socket needs: none on loopback, unless a folder is given.

    Parameters
    ----------
    host : str
        Address to bind.
    folder : Path, optional
    host_key : str
        Its configuration key, for the error's line.

    Raises
    ------
    PublishError
        No folder beyond loopback, or one whose keys cannot be used; see ``load_server_keys``.
    """
    if folder is not None:
        return load_server_keys(folder)
    if is_loopback(host):
        return None
    raise PublishError(
        f"{host_key}: {host} is reached from other computers and publish.curve_keys is not set. "
        "Make keys with `b2g-rt keys FOLDER` and set publish.curve_keys=FOLDER, or bind 127.0.0.1."
    )


def load_server_keys(folder: Path) -> ServerKeys:
    """Read the service's pair.

    Raises
    ------
    PublishError
        The folder lacks it or ``clients/``, or others than its owner can read the secret.
    """
    public, secret = _load_secret(folder / SERVER_SECRET, "publish.curve_keys")
    clients = folder / CLIENTS
    if not clients.is_dir():
        raise PublishError(
            f"publish.curve_keys: {clients} is missing, expected a folder of public keys that are let in. "
            "Make a client's key with `b2g-rt keys`."
        )
    return ServerKeys(public, secret, clients)


def load_client_keys(server_key: Path, client_key: Path) -> CurveClientKeys:
    """Read what a client needs: the service's public key and the client's own pair.

    Raises
    ------
    PublishError
        A file is missing or holds no key, or others than its owner can read the secret.
    """
    public, secret = _load_secret(client_key, "display.client_key")
    server, _ = _load(server_key, "display.server_key")
    return CurveClientKeys(server.decode(), public.decode(), secret.decode())


def _load(path: Path, key: str) -> tuple[bytes, bytes | None]:
    from zmq.auth import load_certificate

    try:
        return load_certificate(path)
    except OSError as error:
        raise PublishError(
            f"{key}: {path}: {error.strerror or 'no such file'}, expected a CURVE key. "
            "Make keys with `b2g-rt keys`."
        ) from None
    except ValueError:
        raise PublishError(
            f"{key}: {path}: no key in it, expected a CURVE key file. Make keys with `b2g-rt keys`."
        ) from None


def _load_secret(path: Path, key: str) -> tuple[bytes, bytes]:
    public, secret = _load(path, key)
    if secret is None:
        raise PublishError(
            f"{key}: {path}: a public key, expected the secret one. Name the .key_secret file."
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise PublishError(
            f"{key}: {path}: mode {mode:04o}, others can read this secret. Run: chmod 600 {path}"
        )
    return public, secret


def start_authenticator(
    context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys
) -> ThreadAuthenticator:
    """Start the thread that lets in the keys of ``clients/`` and nobody else.

    Without it CURVE admits every client that knows the service's public key.
    """
    from zmq.auth.thread import ThreadAuthenticator

    authenticator = ThreadAuthenticator(context, log=_log)
    authenticator.start()
    authenticator.configure_curve_callback(
        domain=_ZAP_DOMAIN.decode(), credentials_provider=_Doorkeeper(keys.clients)
    )
    return authenticator


class _Doorkeeper:
    """Reads the folder at each knock, so that keys come and go without a restart."""

    def __init__(self, clients: Path) -> None:
        self._clients = clients
        self._refused: set[bytes] = set()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may come in; called by the authenticator's thread."""
        if key in self._allowed():
            return True
        if key not in self._refused:
            self._refused.add(key)
            _log.warning(
                "CURVE: client with public key %s refused, it is not in %s. "
                "Put its .key file there to let it in.",
                key.decode("ascii", "replace"),
                self._clients,
            )
        return False

    def _allowed(self) -> set[bytes]:
        from zmq.auth import load_certificate

        allowed: set[bytes] = set()
        for path in sorted(self._clients.glob("*.key")):
            try:
                allowed.add(load_certificate(path)[0])
            except (OSError, ValueError):
                _log.warning("CURVE: %s holds no key and is ignored.", path)
        return allowed
