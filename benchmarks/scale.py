"""One fit, windows one by one, on threads, and on a Dask cluster of two worker processes: time and memory.

    .venv/bin/python benchmarks/scale.py                          # 2000 trials x 9 windows x 480 channels x 256 latents
    .venv/bin/python benchmarks/scale.py --trials 600 --channels 128 --latents 64 --json scale.json
    .venv/bin/python benchmarks/scale.py --memory 200MiB          # the same within a bound

Per-window ridge with cross-validated regularisation per latent; features lie in a file and are read one window at a
time. One by one, a window's folds share the processors. Each way runs in a process of its own; memory is the largest
resident size of any of its processes (VmHWM), the program itself included, beside what the fit states, which is
beyond the program. Results must be the same bits: one hash of all weights. On one machine a cluster can only be slower
than threads, by what it sends; it is here to show that it works and what it costs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from offline.decoding.decoder import LinearDecoder
from offline.decoding.fitting import fit
from offline.recordings.features_file import FeaturesFile, write_features
from offline.regression.folds import folds_by_stimulus
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.memory import parse_size, size_text
from offline.scheduling.workers import Workers, open_workers

SEED = 7
WAYS = ("one by one", "threads", "cluster, 2 workers")


def main() -> None:
    """Parse, run each way in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--channels", type=int, default=480)
    parser.add_argument("--latents", type=int, default=256)
    parser.add_argument("--memory", metavar="SIZE", help="bound of each process")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON too")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(one_way(args)))
        return
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="b2g-scale-") as folder:
        drawn(args, Path(folder))
        rows = {way: measured(way, folder) for way in WAYS}
    found = {
        **{name: getattr(args, name) for name in ("trials", "windows", "channels", "latents")},
        "features_bytes": 4 * args.trials * args.windows * args.channels,
        "memory": args.memory,
        "ways": rows,
        "same_bits": len({row["weights_sha256"] for row in rows.values()}) == 1,
        "processors": len(os.sched_getaffinity(0)),
        "load_before": load,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "dask", "distributed")},
    }
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if not found["same_bits"]:
        sys.exit("the ways give different weights, expected the same bits.")


def drawn(args: argparse.Namespace, folder: Path) -> None:
    """Write features, a trial at a time, and latents."""
    rng = np.random.default_rng(SEED)
    weights = rng.standard_normal((args.latents, args.channels)) / args.channels**0.5
    latents = rng.standard_normal((args.trials, args.latents)).astype(np.float32)
    gain = np.linspace(0.0, 1.0, args.windows)

    def windows() -> Any:
        for trial in range(args.trials):
            seen = gain[:, None] * (latents[trial] @ weights)
            noisy = seen + rng.standard_normal((args.windows, args.channels))
            for k in range(args.windows):
                yield trial, k, noisy[k].astype(np.float32)

    onsets = np.arange(args.trials, dtype=np.int64)
    write_features(folder / "features.h5", windows(), onsets, args.windows, args.channels)
    np.save(folder / "latents.npy", latents)


def measured(way: str, folder: str) -> dict[str, Any]:
    """Run one way in a process of its own."""
    tell(f"{way} ...")
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", folder]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    return dict(json.loads(done.stdout))


def one_way(args: argparse.Namespace) -> dict[str, Any]:
    """Fit, and say how long it took and how much memory."""
    if args.way == "one by one":
        return fitted(args, LocalWorkers(1))
    if args.way == "threads":
        return fitted(args, LocalWorkers())
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        began = time.perf_counter()
        with open_workers(cluster.scheduler_address) as workers:
            connected_s = time.perf_counter() - began
            found = fitted(args, workers)
            peaks = list(workers.run(peak_of_piece, range(8), shared=None))
        found["connect_s"] = connected_s
        found["peak_worker_bytes"] = max(peaks)
        return found


def fitted(args: argparse.Namespace, workers: Workers) -> dict[str, Any]:
    features = FeaturesFile.of(args.folder / "features.h5")
    latents = np.load(args.folder / "latents.npy")
    folds = folds_by_stimulus([str(i) for i in range(args.trials)])
    said: list[str] = []
    # Imports and thread pools are no part of the fit.
    warm = np.random.default_rng(0).standard_normal((40, 2, 4)).astype(np.float32)
    fit(
        "ridge", warm, latents[:40], folds_by_stimulus([str(i) for i in range(40)]), workers=workers
    )
    before = peak_bytes()
    began = time.perf_counter()
    found = fit(
        "ridge",
        features,
        latents,
        folds,
        workers=workers,
        memory=parse_size(args.memory) if args.memory else None,
        say=said.append,
    )
    seconds = time.perf_counter() - began
    decoder = found.decoder
    assert isinstance(decoder, LinearDecoder)
    return {
        "seconds": seconds,
        "before_bytes": before,
        "peak_bytes": peak_bytes(),
        "stated": said[0],
        "explained": found.windows[-1]["explained"],
        "weights_sha256": hashlib.sha256(
            decoder.down.tobytes() + decoder.bias.tobytes()
        ).hexdigest(),
    }


def peak_of_piece(shared: None, item: int) -> int:
    time.sleep(0.1)
    return peak_bytes()


def peak_bytes() -> int:
    """Return the largest resident size that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def table(found: dict[str, Any]) -> str:
    """Return a Markdown table."""
    size = " x ".join(f"{found[key]} {key}" for key in ("trials", "windows", "channels", "latents"))
    lines = [
        f"{size}, features {size_text(found['features_bytes'])}, {found['processors']} processors, "
        f"load before {found['load_before'][0]:.1f}",
        "",
        "| | s | to one by one | peak here | before the fit | peak of a worker | the fit states |",
        "|---|---|---|---|---|---|---|",
    ]
    serial = found["ways"]["one by one"]["seconds"]
    for way, row in found["ways"].items():
        worker = row.get("peak_worker_bytes")
        cells = (
            way,
            f"{row['seconds']:.2f}",
            f"{row['seconds'] / serial:.2f}",
            size_text(row["peak_bytes"]),
            size_text(row["before_bytes"]),
            size_text(worker) if worker else "",
            row["stated"].removeprefix("memory: "),
        )
        lines.append(f"| {' | '.join(cells)} |")
    same = "the same bits" if found["same_bits"] else "DIFFERENT weights"
    last = found["ways"]["one by one"]["explained"]
    lines += ["", f"all ways: {same}; held-out variance explained in the last window {last:.3f}"]
    return "\n".join(lines)


def tell(line: str) -> None:
    """Say how far it is, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
