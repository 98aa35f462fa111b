"""A GPU to pretend with, and the tiny bundle."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.inference import bound_session, session_opening
from b2g_rt.inference.providers import ORT_NAMES
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return write_tiny_bundle(tmp_path / "tiny")


@dataclass
class PretendedGpu:
    """What was asked of it; ``prefixes``: of TensorRT engines."""

    captures: list[bool] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> PretendedGpu:
    """Let 'cuda' and 'tensorrt' compute on the CPU, through all the code that serves a GPU."""
    asked = PretendedGpu()
    buffers, session = bound_session._buffers, session_opening._session

    def without_a_ban(path, settings, providers, free_dimensions, *, forbid_cpu):
        # A session on nothing but the CPU cannot be forbidden the CPU.
        return session(path, settings, providers, free_dimensions, forbid_cpu=False)

    def on_the_cpu(kind, settings, *, engine_prefix="", capture=False):
        asked.captures.append(capture)
        asked.prefixes.append(engine_prefix)
        return ["CPUExecutionProvider"]

    monkeypatch.setattr(session_opening, "provider_options", on_the_cpu)
    monkeypatch.setattr(session_opening, "_session", without_a_ban)
    monkeypatch.setattr(bound_session, "_buffers", lambda specs, kind, n: buffers(specs, "cpu", 0))
    monkeypatch.setattr(bound_session, "check_placement", lambda path, kind, nodes, capture: None)
    for kind in ("cuda", "tensorrt"):
        monkeypatch.setitem(ORT_NAMES, kind, "CPUExecutionProvider")
    return asked
