"""Where a service publishes and takes commands: ZeroMQ addresses, and the file in which it leaves them.

The service writes the file when its sockets are bound (free ports are known only then); displays and
recorders read it. Knows nothing of sockets.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from b2g_rt.errors import ConfigError

_SCHEMES = ("tcp://", "ipc://", "inproc://")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One address per topic (``messages.Topic``), such as ``tcp://127.0.0.1:5571``; ``control`` takes commands.

    Raises
    ------
    ConfigError
        An address that is none.
    """

    pictures: str
    events: str
    activity: str
    status: str
    control: str = ""

    def __post_init__(self) -> None:
        for topic, address in asdict(self).items():
            if topic == "control" and address == "":
                continue
            if not isinstance(address, str) or not address.startswith(_SCHEMES):
                raise ConfigError(
                    f"endpoints: {topic}: {address!r}, expected an address such as "
                    "tcp://127.0.0.1:5571. Copy it from the service's log or endpoints file."
                )


@dataclass(frozen=True, slots=True)
class CurveClientKeys:
    """What a display needs to reach a service beyond loopback: Z85 text of 40 characters each.

    Attributes
    ----------
    server_public : str
        The service's public key.
    public, secret : str
        The display's own pair; the service must know ``public``. The secret is never printed.

    Raises
    ------
    ConfigError
        A key of another length.
    """

    server_public: str
    public: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, key in asdict(self).items():
            if len(key) != 40:
                raise ConfigError(
                    f"CURVE keys: {name}: {len(key)} characters, expected 40 (Z85). "
                    "Make a pair with zmq.curve_keypair()."
                )


def write_endpoints(path: Path, endpoints: Endpoints) -> None:
    """Write the addresses as JSON; a reader sees the old file or the new one, never half of one.

    Raises
    ------
    ConfigError
        The file cannot be written there; nothing is left behind.
    """
    unfinished = path.parent / f".{path.name}.{os.getpid()}"
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(asdict(endpoints), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: {error.strerror}, expected a file that can be written. Correct publish.endpoints_file."
        ) from None


def read_endpoints(path: Path) -> Endpoints:
    """Read the addresses that a service left.

    Raises
    ------
    ConfigError
        The file is missing, is no JSON, or names other topics than the four (``control`` may be missing).
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}, expected the endpoints of a service. Start the service first."
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"{path}: {error}, expected JSON. Let the service write it again."
        ) from None
    topics = {f.name for f in fields(Endpoints)} - {"control"}
    if not isinstance(data, dict) or set(data) - {"control"} != topics:
        found = ", ".join(sorted(data)) if isinstance(data, dict) else type(data).__name__
        raise ConfigError(
            f"{path}: {found}, expected the keys {', '.join(sorted(topics))}. "
            "Let the service write it again."
        )
    return Endpoints(**data)
