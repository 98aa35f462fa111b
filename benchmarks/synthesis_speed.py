"""How much faster a synthesis is as our ONNX file than straightforwardly in torch.

    python benchmarks/synthesis_speed.py --only 64/2048/64 128/2048/64 --rounds 7 --json synthesis.json

For each network (resolution/channel_base/channel_max, config R, random weights) and contender one process is started
that holds one model and nothing else. In every round each of them in turn draws pictures of the same w, batch 1, while
the others sleep; a round's figure is the median of its pictures. Contenders: ``onnx``, what ``export-generator``
writes, in ONNX Runtime; ``ref-1D`` and the others of ``tests/offline/stimuli/stylegan/straightforward.py`` in torch, in
inference mode. Synthesis only: w is given, the mapping network is not part of it. Every contender's picture is compared
with that of ref-1D. A round in which other processes took more than a quarter of a core is measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests/ holds the reference; it is no installed package.

NETWORKS = (
    "64/2048/64",
    "64/4096/128",
    "64/16384/512",
    "128/2048/64",
    "128/4096/128",
    "128/16384/512",
    "256/4096/128",
    "256/16384/512",
)
ONNX, REFERENCE = "onnx", "ref-1D"
WARM_UP = 2
MOST_FOREIGN = 0.25
"""Of a core: what other processes may take while one contender is measured."""
MOST_DISTURBED = 5
"""Times the number of rounds that may be measured again."""
SETTLE_S = 0.25
"""Thread pools spin for a while after their work: the last contender's must be asleep when the next one starts."""


def main() -> None:
    """Measure, print, write."""
    arguments = _arguments()
    if arguments.child:
        _serve(arguments.child, arguments.network, arguments.threads)
        return
    names = [ONNX, *arguments.references]
    results: dict[str, Any] = {"environment": environment(arguments.threads), "networks": {}}
    print(json.dumps(results["environment"]))
    for network in arguments.only:
        one = compare(network, names, arguments.rounds, arguments.threads, arguments.seconds)
        one["own_floor_ms"] = own_floor_ms(network, results["environment"]["sgemm_gflop_per_s"])
        one["measured_with"] = results["environment"]
        results["networks"][network] = one
        print(line(network, one), flush=True)
        if arguments.json:
            merged = _merged(arguments.json, results) if arguments.append else results
            arguments.json.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")


def compare(
    network: str, names: list[str], rounds: int, threads: int, seconds: float
) -> dict[str, Any]:
    """Measure all contenders on one network.

    Returns
    -------
    dict
        ``floor_ms`` (arithmetic of the mixing and of separable filters at 140 GFLOP/s, as in the project's facts),
        ``x_floor``, and per contender ``ms`` {median, min, max over rounds}, ``rounds_ms``, ``error`` (largest
        difference from ref-1D's picture over its SD) and, of the references, ``ratio`` to onnx {of_medians, median,
        min, max over rounds}.
    """
    children = {name: _Child(name, network, threads) for name in names}
    try:
        pictures = {name: child.start() for name, child in children.items()}
        times: dict[str, list[float]] = {name: [] for name in names}
        disturbed = 0
        while len(times[names[0]]) < rounds:
            # Every other round backwards, so that a drift favours nobody.
            backwards = len(times[names[0]]) % 2 == 1
            taken, foreign = {}, 0.0
            for name in names[::-1] if backwards else names:
                time.sleep(SETTLE_S)
                taken[name], share = children[name].measure(seconds)
                foreign = max(foreign, share)
            if foreign > MOST_FOREIGN:
                disturbed += 1
                if disturbed > MOST_DISTURBED * rounds:
                    raise SystemExit(
                        f"synthesis_speed: {network}: other processes take {foreign:.1f} of a core, again and again. "
                        "Measure on a quiet machine."
                    )
                continue
            for name in names:
                times[name].append(taken[name])
    finally:
        for child in children.values():
            child.end()
    truth = pictures[REFERENCE] if REFERENCE in names else next(iter(pictures.values()))
    found: dict[str, Any] = {}
    for name in names:
        found[name] = {
            "ms": _spread(times[name]),
            "rounds_ms": [round(t, 3) for t in times[name]],
            "error": float(np.abs(pictures[name] - truth).max() / truth.std()),
        }
        if name != ONNX:
            ratios = [a / b for a, b in zip(times[name], times[ONNX], strict=True)]
            of_medians = statistics.median(times[name]) / statistics.median(times[ONNX])
            found[name]["ratio"] = {"of_medians": of_medians, **_spread(ratios)}
    floor = _floor(network, statistics.median(times[ONNX]))
    return {**floor, "rounds": rounds, "rounds_disturbed": disturbed, "contenders": found}


def line(network: str, one: dict[str, Any]) -> str:
    """Return a row of the table."""
    contenders = one["contenders"]
    ms = contenders[ONNX]["ms"]
    parts = [f"{network:14s} onnx {ms['median']:7.1f} ms ({ms['min']:.1f}-{ms['max']:.1f})"]
    parts.append(f"{one['x_floor']:.2f} x floor {one['floor_ms']:.1f} ms")
    parts.append(
        f"{ms['median'] / one['own_floor_ms']:.2f} x own floor {one['own_floor_ms']:.1f} ms"
    )
    for name, c in contenders.items():
        if name == ONNX:
            parts.append(f"error {c['error']:.1e}")
            continue
        r, t = c["ratio"], c["ms"]
        parts.append(
            f"{name} {t['median']:.0f} ms ({t['min']:.0f}-{t['max']:.0f}) = {r['of_medians']:.1f} x "
            f"(rounds {r['median']:.1f}, {r['min']:.1f}-{r['max']:.1f})"
        )
    return " | ".join(parts)


def environment(threads: int) -> dict[str, Any]:
    """Return machine, versions, threads and commit."""
    cpu = [
        text.split(":", 1)[1].strip()
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if text.startswith("model name")
    ]
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    git = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "avx512": " avx512f" in flags,
        "load_before": os.getloadavg()[0],
        "threads": threads,
        "batch": 1,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "onnxruntime": metadata.version("onnxruntime-gpu"),
        "provider": "CPUExecutionProvider",
        "commit": git.stdout.strip() or "unknown",
        "sgemm_gflop_per_s": sgemm_peak(threads),
    }


def sgemm_peak(threads: int) -> float:
    """Return the profiler's measurement, GFLOP/s; in a process of its own, for this one holds no torch."""
    code = (
        "from offline.export.stylegan.device_peaks import sgemm_gflop_per_s as measured\n"
        f"print(measured({threads}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return float(run.stdout)


# ---------------------------------------------------------------- a contender, in a process of its own


class _Child:
    def __init__(self, name: str, network: str, threads: int) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", name, "--network", network]
            + ["--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def start(self) -> NDArray[np.float32]:
        """Wait until it is warm; return its picture (3, row, col)."""
        answer = self._answer()
        picture = np.frombuffer(self._process.stdout.read(answer["bytes"]), np.float32)  # type: ignore[union-attr]
        return picture.reshape(answer["shape"])

    def measure(self, seconds: float) -> tuple[float, float]:
        """Measure for so many seconds, at least three pictures.

        Returns
        -------
        ms : float
            Median time of a picture.
        foreign : float
            Cores that other processes had meanwhile.
        """
        assert self._process.stdin
        busy_s, own_s, begun = _busy_s(), self._cpu_s(), time.monotonic()
        self._process.stdin.write(f"{seconds}\n".encode())
        self._process.stdin.flush()
        ms: float = self._answer()["ms"]
        foreign_s = (_busy_s() - busy_s) - (self._cpu_s() - own_s)
        return ms, foreign_s / (time.monotonic() - begun)

    def _cpu_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        text = self._process.stdout.readline()
        if not text:
            raise SystemExit(f"synthesis_speed: {self.name} ended; its own lines stand above.")
        answer: dict[str, Any] = json.loads(text)
        return answer


def _busy_s() -> float:
    """Return the processor time of all processes on this machine so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - getattr(times, "steal", 0.0))


def _serve(name: str, network: str, threads: int) -> None:
    """Hold one model; draw for as many seconds as each line of stdin says."""
    draw = _onnx(network, threads) if name == ONNX else _torch(name, network, threads)
    for _ in range(WARM_UP):
        picture = draw()
    out = sys.stdout.buffer
    head = {"bytes": picture.nbytes, "shape": picture.shape}
    out.write(json.dumps(head).encode() + b"\n" + picture.tobytes())
    out.flush()
    for text in sys.stdin:
        times: list[float] = []
        until = time.perf_counter() + float(text)
        while time.perf_counter() < until or len(times) < 3:
            begun = time.perf_counter()
            draw()
            times.append(time.perf_counter() - begun)
        out.write(json.dumps({"ms": 1000 * statistics.median(times)}).encode() + b"\n")
        out.flush()


def _spec(network: str) -> Any:
    from offline.stimuli.stylegan.schedule import Widths, stylegan3

    resolution, base, most = map(int, network.split("/"))
    return stylegan3(network, Widths(resolution, base, most, conv_kernel=1, radial=True))


def _network(network: str, cls: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """Return a network with the same random weights for every contender, and w (1, 1, w_dim)."""
    import torch

    torch.manual_seed(0)
    made = cls(_spec(network), *arguments).eval()
    torch.manual_seed(1)
    return made, torch.randn(1, 1, 512)


def _onnx(network: str, threads: int) -> Callable[[], NDArray[np.float32]]:
    import onnxruntime

    from offline.export.stylegan.model import synthesis_model
    from offline.stimuli.stylegan.synthesis import Synthesis

    synthesis, w = _network(network, Synthesis)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # As live (b2g_rt/inference): waiting threads sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        synthesis_model(synthesis).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    feed = {"w": w.numpy()}
    return lambda: session.run(None, feed)[0]


def _torch(variant: str, network: str, threads: int) -> Callable[[], NDArray[np.float32]]:
    import torch

    from tests.offline.stimuli.stylegan.straightforward import StraightforwardSynthesis

    torch.set_num_threads(threads)
    synthesis, w = _network(network, StraightforwardSynthesis, variant)

    def draw() -> NDArray[np.float32]:
        with torch.inference_mode():
            picture: NDArray[np.float32] = synthesis(w).numpy()
        return picture

    return draw


def own_floor_ms(network: str, gflop_per_s: float) -> float:
    """Return the floor of a network's arithmetic at so many GFLOP/s, ms."""
    from offline.stimuli.stylegan.costs import floor_costs, published_floor_ms

    return published_floor_ms(floor_costs(_spec(network)), gflop_per_s)


def _floor(network: str, ms: float) -> dict[str, float]:
    from offline.stimuli.stylegan.costs import FLOOR_GFLOP_PER_S

    floor = own_floor_ms(network, FLOOR_GFLOP_PER_S)
    return {"floor_ms": floor, "x_floor": ms / floor}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _merged(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return results
    before = json.loads(path.read_text(encoding="utf-8"))
    networks = {**before["networks"], **results["networks"]}
    order = [*(n for n in NETWORKS if n in networks), *(n for n in networks if n not in NETWORKS)]
    return {**results, "networks": {n: networks[n] for n in order}}


def _arguments() -> argparse.Namespace:
    from tests.offline.stimuli.stylegan.straightforward import VARIANTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--references", nargs="*", default=[REFERENCE], choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="per contender and round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--append", action="store_true", help="keep other networks in the file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
