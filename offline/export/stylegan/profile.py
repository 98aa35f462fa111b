"""Where an exported synthesis spends its time in ONNX Runtime's CPU provider, by layer and part.

From the runtime's own profiler and the names of the nodes (``L3_36_64/up_row0.57``); nodes that the optimiser made take
the layer of their neighbours. For ``b2g-offline profile-generator``. Knows names and times, not what they should be.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offline.stimuli.stylegan.costs import INPUT

REST = "rest"
PARTS = ("style", "mixing", "up", "activation", "down", "layout")
"""As measured: ``up`` includes the leaky ReLU, which is fused and gives the convolution its name; ``activation`` is the
clamp; ``layout`` are reorders."""

WARM_UP = 3
_PREFIXES = (
    ("mix", "mixing"),
    ("bias", "mixing"),
    ("merge", "mixing"),
    ("up", "up"),
    ("insert", "up"),
    ("LeakyRelu", "up"),
    ("clamp", "activation"),
    ("Clip", "activation"),
    ("down", "down"),
)
_KERNEL = "_kernel_time"


@dataclass(frozen=True, slots=True)
class Profile:
    """Times of one picture (or one batch), ms.

    Attributes
    ----------
    wall_ms : float
        Median of whole runs without the profiler.
    layer_ms : dict
        Mean by (layer, part), with the profiler; ``('rest', '')``: what belongs to no layer.
    n_nodes : int
        Nodes that run, after optimisation.
    n_reorders : int
        Of them, those that only change the layout in memory.
    """

    wall_ms: float
    layer_ms: dict[tuple[str, str], float]
    n_nodes: int
    n_reorders: int

    def of(self, layer: str, part: str | None = None) -> float:
        """Return the time of a layer, or of one part of it, ms."""
        return sum(
            ms for key, ms in self.layer_ms.items() if key[0] == layer and part in (None, key[1])
        )

    @property
    def nodes_ms(self) -> float:
        """All nodes together."""
        return sum(self.layer_ms.values())


def profile_synthesis(
    model: bytes,
    layers: Iterable[str],
    w: np.ndarray,
    *,
    threads: int,
    seconds: float = 2.0,
) -> Profile:
    """Run a synthesis, first by itself, then with ONNX Runtime's profiler.

    Parameters
    ----------
    model : bytes
        As ``synthesis_model`` writes it.
    layers : iterable of str
        Names of the layers.
    w : float32, (N, 1 or num_ws, w_dim)
    threads : int
    seconds : float
        Of each of the two; at least three runs.
    """
    feed = {"w": w}
    session = _session(model, threads, None)
    wall = _runs(session, feed, seconds)
    del session
    with tempfile.TemporaryDirectory(prefix="b2g-profile-") as folder:
        session = _session(model, threads, Path(folder) / "run")
        n_runs = WARM_UP + len(_runs(session, feed, seconds))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [
        (event["name"].removesuffix(_KERNEL), event["args"]["op_name"], event["dur"])
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    ]
    per_run = len(nodes) // n_runs
    warm = nodes[WARM_UP * per_run :]
    found: dict[tuple[str, str], float] = {}
    for key, us in attributed(warm, set(layers)):
        found[key] = found.get(key, 0.0) + us
    ms = {key: us / 1000 / (n_runs - WARM_UP) for key, us in found.items()}
    reorders = sum(op.startswith("Reorder") for _, op, _ in nodes[:per_run])
    return Profile(1000 * statistics.median(wall), ms, per_run, reorders)


def attributed(
    nodes: list[tuple[str, str, float]], layers: set[str]
) -> Iterable[tuple[tuple[str, str], float]]:
    """Yield ((layer, part), time) of nodes (name, operator, time) in the order of their running.

    A node whose name says no layer belongs to the node after it (what a layer's reading needs is laid out just before)
    or, where it lays out an output, to the one before.
    """
    own = [_named(name, layers) for name, _, _ in nodes]
    ahead: tuple[str, str] | None = None
    following: list[tuple[str, str] | None] = [None] * len(nodes)
    for i in range(len(nodes) - 1, -1, -1):
        following[i] = ahead
        ahead = own[i] or ahead
    behind: tuple[str, str] | None = None
    for i, (_, op, us) in enumerate(nodes):
        key = own[i]
        if key is None:
            near = behind if op == "ReorderOutput" else following[i]
            layer = (near or behind or (REST, ""))[0]
            key = (layer, "layout") if op.startswith("Reorder") else (layer, "style")
            key = key if layer not in (INPUT, REST) else (layer, "")
        else:
            behind = key
        yield key, us


def _named(name: str, layers: set[str]) -> tuple[str, str] | None:
    layer, slash, what = name.partition("/")
    if not slash:
        return None
    if layer == INPUT:
        return INPUT, ""
    if layer not in layers:
        return None
    return layer, next((part for prefix, part in _PREFIXES if what.startswith(prefix)), "style")


def _session(model: bytes, threads: int, profile: Path | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def _runs(session: Any, feed: Mapping[str, np.ndarray], seconds: float) -> list[float]:
    for _ in range(WARM_UP):
        session.run(None, feed)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        begun = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begun)
    return times
