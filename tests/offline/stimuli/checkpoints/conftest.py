"""Files of the reader's tests, and a watch over what Python executes while it reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offline.stimuli.checkpoints.official import read_checkpoint
from tests.offline.stimuli.checkpoints.tiny_network import tiny_bytes

_FORBIDDEN = (
    "compile",
    "exec",
    "marshal.loads",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pickle.find_class",
    "socket.connect",
    "subprocess.Popen",
)
_seen: list[str] = []
_watching = False


def _watch(event: str, _: object) -> None:
    if _watching and event in _FORBIDDEN:
        _seen.append(event)


sys.addaudithook(_watch)


@pytest.fixture
def canary(tmp_path) -> Path:
    """A file that only executed code would make."""
    return tmp_path / "canary"


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> None:
    """Read a checkpoint once: what is imported on the first read is executed, by Python itself."""
    path = tmp_path_factory.mktemp("warm") / "net.pkl"
    path.write_bytes(tiny_bytes(path.parent / "canary"))
    read_checkpoint(path)


@pytest.fixture
def read(warm, tmp_path, canary):
    """Read bytes as a checkpoint; fail if anything was executed."""

    def reading(raw: bytes, name: str = "net.pkl"):
        global _watching
        target = tmp_path / name
        target.write_bytes(raw)
        _seen.clear()
        _watching = True
        try:
            return read_checkpoint(target)
        finally:
            _watching = False
            assert not _seen
            assert not canary.exists()

    return reading
