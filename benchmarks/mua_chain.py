"""Voltage to MUA on one core: channels x samples per second of the causal chain, beside its floor.

    .venv/bin/python benchmarks/mua_chain.py                                # 960 channels, 30 kHz, 10 ms chunks
    .venv/bin/python benchmarks/mua_chain.py --seconds 2 --rounds 9 --json

One BLAS thread, CPU time of the process, so that what else runs on the machine counts little; median, lowest and
highest of the rounds. Contenders take turns within each round. Beside the chain (``MuaEnvelope``): the same filters by
``scipy.signal.sosfilt``, float32 and float64, state carried from chunk to chunk, which is the straightforward form.
Floors: the arithmetic of the recursion (what a loop in vector registers would need) and that of the matrix products
which the chain really does, both at the speed of this machine's SGEMM on large matrices in the same run; and reading
the voltage once, writing the MUA, at the speed of a copy. Exit status 1 if the chain is slower than real time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

# Before numpy: OpenBLAS reads it once.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from scipy import signal  # noqa: E402

from b2g_rt.mua.envelope import STRIP_CHANNELS, MuaEnvelope  # noqa: E402
from b2g_rt.mua.filter_design import MuaSpec, design  # noqa: E402

SPEC = MuaSpec()
FLOPS_PER_SECTION = 9
"""Five products and four sums per sample and second-order section."""


class Straightforward:
    """The chain as one would write it: scipy's recursive filters, sample by sample, then every 30th."""

    def __init__(self, n_channels: int, dtype: type[np.floating]) -> None:
        filters = design(SPEC)
        self._sos = [np.asarray(s, dtype) for s in (filters.band_pass, filters.low_pass)]
        self._notches = filters.notches
        self._state = [np.zeros((len(s), 2, n_channels), dtype) for s in self._sos]
        self._notch_state = np.zeros((len(self._notches), 2, n_channels))
        self._dtype = dtype

    def push(self, chunk: np.ndarray) -> np.ndarray:
        x = chunk.astype(self._dtype, copy=False)
        x, self._state[0] = signal.sosfilt(self._sos[0], x, axis=0, zi=self._state[0])
        x, self._state[1] = signal.sosfilt(self._sos[1], np.abs(x), axis=0, zi=self._state[1])
        mua = x[SPEC.factor - 1 :: SPEC.factor]
        mua, self._notch_state = signal.sosfilt(self._notches, mua, axis=0, zi=self._notch_state)
        return mua


def spent_s(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def through(chain: MuaEnvelope | Straightforward, voltage: np.ndarray, chunk: int) -> None:
    for start in range(0, len(voltage), chunk):
        chain.push(voltage[start : start + chunk])


def sgemm_flops() -> float:
    n = 512
    a, b = (np.random.default_rng(i).standard_normal((n, n), np.float32) for i in (0, 1))
    out = np.empty((n, n), np.float32)
    times = [spent_s(lambda: [np.dot(a, b, out=out) for _ in range(20)]) for _ in range(5)]
    return 20 * 2 * n**3 / min(times)


def copy_bytes() -> float:
    source = np.ones(32_000_000, np.float32)
    target = np.empty_like(source)
    times = [spent_s(lambda: np.copyto(target, source)) for _ in range(5)]
    # Read once, written once.
    return 2 * source.nbytes / min(times)


def work_per_second(n_channels: int, itemsize: int) -> dict[str, float]:
    """Return FLOPs and bytes for one second of all channels."""
    filters = design(SPEC)
    n_band, n_low, n_notch = (
        len(s) for s in (filters.band_pass, filters.low_pass, filters.notches)
    )
    voltage, mua = SPEC.raw_rate_hz * n_channels, SPEC.rate_hz * n_channels
    recursion = voltage * ((n_band + n_low) * FLOPS_PER_SECTION + 2)
    recursion += mua * n_notch * FLOPS_PER_SECTION
    products = (SPEC.factor + 2 * n_band) ** 2
    products += (1 + 2 * n_low) * (SPEC.factor + 2 * n_low) + (1 + 2 * n_notch) ** 2
    return {
        "recursion_flops": recursion,
        "product_flops": 2.0 * products * mua,
        "bytes": voltage * itemsize + mua * 4,
    }


def measured(args: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n = round(args.seconds * SPEC.raw_rate_hz)
    chunk = round(args.chunk_ms * SPEC.raw_rate_hz / 1000)
    voltage = rng.standard_normal((n, args.channels), np.float32) * np.float32(80.0)
    voltage = voltage.astype(args.dtype)
    # The straightforward form counts its outputs from each chunk's start.
    if chunk % SPEC.factor:
        raise SystemExit(f"--chunk-ms {args.chunk_ms}: expected a whole number of milliseconds")
    contenders: dict[str, MuaEnvelope | Straightforward] = {
        "chain": MuaEnvelope(SPEC, args.channels),
        "sosfilt float32": Straightforward(args.channels, np.float32),
        "sosfilt float64": Straightforward(args.channels, np.float64),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for chain in contenders.values():
        through(chain, voltage[: 10 * chunk], chunk)
    speeds = []
    for number in range(args.rounds):
        speeds.append((sgemm_flops(), copy_bytes()))
        order = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            spent = spent_s(lambda name=name: through(contenders[name], voltage, chunk))  # type: ignore[misc]
            times[name].append(spent / args.seconds)
    flops, copied = (max(s) for s in zip(*speeds, strict=True))
    work = work_per_second(args.channels, voltage.itemsize)
    return {
        "channels": args.channels,
        "raw_rate_hz": SPEC.raw_rate_hz,
        "chunk_ms": args.chunk_ms,
        "dtype": args.dtype,
        "seconds": args.seconds,
        "strip_channels": STRIP_CHANNELS,
        "cpu_s_per_s": times,
        "sgemm_gflops": flops / 1e9,
        "copy_gb_s": copied / 1e9,
        "work_per_s": work,
        "floor_s_per_s": {
            "recursion": work["recursion_flops"] / flops,
            "products": work["product_flops"] / flops,
            "bytes": work["bytes"] / copied,
        },
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
    }


def table(result: dict[str, Any]) -> str:
    per_s = result["channels"] * result["raw_rate_hz"]
    lines = [
        f"{result['channels']} channels x {result['raw_rate_hz'] / 1000:g} kHz, {result['dtype']}, "
        f"{result['chunk_ms']:g} ms chunks, one core, load {result['load']:.1f}; "
        f"SGEMM {result['sgemm_gflops']:.0f} GFLOP/s, copy {result['copy_gb_s']:.1f} GB/s",
        f"{'':18}{'channel samples/s':>18}{'share of a core':>17}   (range)",
    ]
    for name, times in result["cpu_s_per_s"].items():
        middle = median(times)
        lines.append(
            f"{name:18}{per_s / middle / 1e6:16.0f} M{middle:17.1%}   ({min(times):.1%} to {max(times):.1%})"
        )
    lines.extend(
        f"floor, {name:11}{per_s / floor / 1e6:16.0f} M{floor:17.2%}"
        for name, floor in result["floor_s_per_s"].items()
    )
    chain = median(result["cpu_s_per_s"]["chain"])
    floor = max(result["floor_s_per_s"]["products"], result["floor_s_per_s"]["bytes"])
    straight = median(result["cpu_s_per_s"]["sosfilt float32"])
    lines.append(
        f"chain: {chain / floor:.1f} x its floor, {straight / chain:.1f} x faster than sosfilt float32"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=960)
    parser.add_argument("--seconds", type=float, default=1.0, help="of voltage, per round")
    parser.add_argument("--chunk-ms", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "int16"), default="float32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measured(args)
    sys.stdout.write((json.dumps(result, indent=1) if args.json else table(result)) + "\n")
    return int(median(result["cpu_s_per_s"]["chain"]) >= 1.0)


if __name__ == "__main__":
    raise SystemExit(main())
