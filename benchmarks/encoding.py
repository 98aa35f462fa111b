"""Kernel ridge of a wide feature space against scikit-learn and himalaya, same data, dtype, folds and values.

    .venv/bin/python benchmarks/encoding.py                      # 4000 x 200704 features x 960 electrodes: 20 minutes
    .venv/bin/python benchmarks/encoding.py --features 20000 --json encoding.json
    .venv/bin/python benchmarks/encoding.py --only fits          # one of the two comparisons: fits, choice

Fits: 3 ROIs, 5 given values of regularisation. Scikit-learn's KernelRidge as in the paper's notebook, for each ROI and
value, thus 15 kernels; ours makes one. The choice among the values is timed apart. Choice: 5 values by 5 folds, one per
electrode, with an intercept: ours, and himalaya's KernelRidgeCV with its numpy and its torch backend, of which the one
that is slower in the first round leaves.
Every contender runs in a process of its own, all take turns within a round, the order turned round every other round;
medians of rounds. Peers hold the features before the clock starts; ours reads them from a file while it runs, and its
process must stay under 4 GiB. Predictions of test stimuli are compared: more than 1e-3 of their SD apart is an error.
Features are independent, so that every solve is well conditioned.
The floor is n^2 p operations (B B' is symmetric) at the speed of the same product, measured on one block.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_VALUES, N_FOLDS, N_TEST = 5, 5, 50
SEED = 6
AGREE = 1e-3
MOST_MEMORY = 4 * 1024**3
NEEDED_RATIO, ALLOWED_TIME = 10.0, 1.1
WIDTH = 4096
ROUNDS = 3

COMPARED = {
    "fits": ("ours", "scikit-learn"),
    "choice": ("ours", "himalaya numpy", "himalaya torch"),
}

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Size:
    """Of the task; test stimuli come on top."""

    stimuli: int
    features: int
    electrodes: int
    rois: int

    @property
    def ids(self) -> list[str]:
        return [str(i) for i in range(self.stimuli + N_TEST)]


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stimuli", type=int, default=4000)
    parser.add_argument("--features", type=int, default=200704)
    parser.add_argument("--electrodes", type=int, default=960)
    parser.add_argument("--rois", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=COMPARED, help="one of the two comparisons")
    parser.add_argument("--folder", type=Path, help="where the features are written, and kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON too")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = Size(args.stimuli, args.features, args.electrodes, args.rois)
    if args.child:
        run_child(size, args.folder, *args.child)
        return
    with tempfile.TemporaryDirectory(prefix="encoding-") as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        write_data(size, folder)
        load = os.getloadavg()
        compared = [args.only] if args.only else list(COMPARED)
        runs = {what: measured(size, folder, what, args.rounds) for what in compared}
        found = report(size, args.rounds, runs, load)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if found["failed"]:
        sys.exit("; ".join(found["failed"]))


# ---------------------------------------------------------------- data


def write_data(size: Size, folder: Path) -> None:
    """Write features, chunk by chunk, and responses; chunks are axes (stimulus, feature), WIDTH features each."""
    path = folder / "features.f32"
    n = size.stimuli + N_TEST
    wanted = 4 * n * size.features
    rng = np.random.default_rng(SEED)
    if not path.exists() or path.stat().st_size != wanted:
        with path.open("wb") as file:
            for start in range(0, size.features, WIDTH):
                shape = (n, min(WIDTH, size.features - start))
                rng.standard_normal(shape, dtype=np.float32).tofile(file)
    first = FileFeatures(size, path).block(np.arange(n), slice(0, min(WIDTH, size.features)))
    rng = np.random.default_rng(SEED + 1)
    weights = rng.standard_normal((first.shape[1], size.electrodes), dtype=np.float32)
    signal = first @ weights / first.shape[1] ** 0.5
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    y = signal * np.linspace(0.2, 2.0, size.electrodes, dtype=np.float32) + noise
    np.save(folder / "responses.npy", y[: size.stimuli] - y[: size.stimuli].mean(axis=0))


class FileFeatures:
    """A feature space in a file of chunks."""

    name = "features"

    def __init__(self, size: Size, path: Path) -> None:
        self.ids = tuple(size.ids)
        self.n_features = size.features
        self._path = path

    def block(self, rows: Array, columns: slice) -> Array:
        """See FeatureSpace; rows are all of them, columns within a chunk or several whole ones."""
        n = len(self.ids)
        parts = []
        for start in range(columns.start - columns.start % WIDTH, columns.stop, WIDTH):
            width = min(WIDTH, self.n_features - start)
            chunk = np.fromfile(self._path, np.float32, n * width, offset=4 * n * start)
            low, high = max(columns.start - start, 0), min(columns.stop - start, width)
            chunk = chunk.reshape(n, width)[:, low:high]
            parts.append(chunk if len(rows) == n else chunk[rows])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def held(self) -> tuple[Array, Array]:
        """Return all of training and of test stimuli, C order, as peers want them."""
        n = len(self.ids)
        x = np.empty((n, self.n_features), np.float32)
        for start in range(0, self.n_features, WIDTH):
            columns = slice(start, min(start + WIDTH, self.n_features))
            x[:, columns] = self.block(np.arange(n), columns)
        return x[:-N_TEST], x[-N_TEST:]


def lambdas_of(size: Size) -> Array:
    """Return the values: of independent features of variance 1, eigenvalues lie about their number."""
    return np.geomspace(0.1, 10.0, N_VALUES) * size.features


# ---------------------------------------------------------------- contenders


def run_child(size: Size, folder: Path, what: str, name: str) -> None:
    """Run one contender in this process; print seconds and memory, write predictions."""
    from offline.regression.folds import folds_by_stimulus

    space = FileFeatures(size, folder / "features.f32")
    y = np.load(folder / "responses.npy")
    folds = folds_by_stimulus(size.ids[: size.stimuli], N_FOLDS, SEED)
    if name == "peak":
        print(json.dumps({"operations_per_s": product_speed(space, size)}))
        return
    run = CONTENDERS[what, name](space, size, y, folds)
    began = time.perf_counter()
    gives = run()
    seconds = time.perf_counter() - began
    # Kilobytes on Linux.
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predicted, extra = gives()
    np.save(folder / f"{what}-{name}.npy", predicted)
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, **extra}))


def product_speed(space: FileFeatures, size: Size) -> float:
    """Return operations per second of the symmetric product of one block, n^2 p each; the best of some."""
    from scipy.linalg.blas import ssyrk

    columns = slice(0, min(WIDTH, space.n_features))
    block = space.block(np.arange(size.stimuli), columns).T
    square = np.zeros((size.stimuli, size.stimuli), np.float32, order="F")
    times = []
    for _ in range(8):
        began = time.perf_counter()
        square = ssyrk(1.0, block, beta=1.0, c=square, trans=1, overwrite_c=1)
        times.append(time.perf_counter() - began)
    return float(size.stimuli**2 * len(block) / min(times))


Gives = Callable[[], tuple[Array, dict[str, Any]]]


def ours_fits(space: Any, size: Size, y: Array, folds: Any) -> Callable[[], Gives]:
    from offline.encoding.kernel_ridge import decomposed, dual_weights_at, gcv
    from offline.encoding.kernels import linear_kernels

    train, test = np.arange(size.stimuli), np.arange(size.stimuli, size.stimuli + N_TEST)

    def run() -> Gives:
        began = time.perf_counter()
        kernels = linear_kernels(space, train, test, centre=False)
        kernel_s = time.perf_counter() - began
        lambdas = lambdas_of(size)
        alphas = [dual_weights_at(kernels.train, y, lam, dtype="float32") for lam in lambdas]

        def gives() -> tuple[Array, dict[str, Any]]:
            began = time.perf_counter()
            gcv(decomposed(kernels.train, centred=False, dtype="float32"), y.astype(np.float64))
            chosen_s = time.perf_counter() - began
            predicted = np.stack([kernels.across @ alpha for alpha in alphas])
            return predicted, {"kernel_s": kernel_s, "choice_s": chosen_s}

        return gives

    return run


def scikit_learn_fits(space: Any, size: Size, y: Array, folds: Any) -> Callable[[], Gives]:
    from sklearn.kernel_ridge import KernelRidge

    x, x_test = space.held()
    rois = np.array_split(np.arange(size.electrodes), size.rois)
    KernelRidge().fit(x[:, :64], y[:, :8])

    def run() -> Gives:
        models = [
            [KernelRidge(alpha=float(lam)).fit(x, y[:, roi]) for roi in rois]
            for lam in lambdas_of(size)
        ]

        def gives() -> tuple[Array, dict[str, Any]]:
            across = x_test @ x.T
            duals = [np.concatenate([one.dual_coef_ for one in row], axis=1) for row in models]
            return np.stack([across @ dual for dual in duals]), {}

        return gives

    return run


def ours_choice(space: Any, size: Size, y: Array, folds: Any) -> Callable[[], Gives]:
    from offline.encoding.kernel_ridge import decomposed, dual_weights, held_out_errors
    from offline.encoding.kernels import linear_kernels

    train, test = np.arange(size.stimuli), np.arange(size.stimuli, size.stimuli + N_TEST)

    def run() -> Gives:
        began = time.perf_counter()
        kernels = linear_kernels(space, train, test)
        kernel_s = time.perf_counter() - began
        mean = y.mean(axis=0, dtype=np.float64)
        wanted = y - mean
        basis = decomposed(kernels.train, centred=True, dtype="float32")
        lambdas = lambdas_of(size)
        errors = held_out_errors(basis, wanted, folds, lambdas, dtype="float32")
        lam = lambdas[errors.argmin(axis=0)]
        alpha = dual_weights(basis, wanted, lam)
        return lambda: (
            kernels.across @ alpha + mean,
            {"kernel_s": kernel_s, "lam": lam.tolist()},
        )

    return run


def himalaya_choice(backend: str) -> Callable[..., Callable[[], Gives]]:
    def prepared(space: Any, size: Size, y: Array, folds: Any) -> Callable[[], Gives]:
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from sklearn.model_selection import PredefinedSplit

        chosen = set_backend(backend)
        x, x_test = space.held()
        of_stimulus = np.empty(len(x), np.int64)
        for f, fold in enumerate(folds):
            of_stimulus[fold.held_out] = f

        def fitted(x: Array, y: Array) -> Any:
            model = KernelRidgeCV(
                alphas=lambdas_of(size).astype(np.float32),
                fit_intercept=True,
                cv=PredefinedSplit(of_stimulus[: len(x)]),
            )
            return model.fit(chosen.asarray(x), chosen.asarray(y))

        fitted(x[:200, :400], y[:200, :8])

        def run() -> Gives:
            model = fitted(x, y)
            return lambda: (
                chosen.to_numpy(model.predict(chosen.asarray(x_test))),
                {"lam": chosen.to_numpy(model.best_alphas_).astype(float).tolist()},
            )

        return run

    return prepared


CONTENDERS: dict[tuple[str, str], Callable[..., Callable[[], Gives]]] = {
    ("fits", "ours"): ours_fits,
    ("fits", "scikit-learn"): scikit_learn_fits,
    ("choice", "ours"): ours_choice,
    ("choice", "himalaya numpy"): himalaya_choice("numpy"),
    ("choice", "himalaya torch"): himalaya_choice("torch"),
}


# ---------------------------------------------------------------- measuring and telling


def measured(size: Size, folder: Path, what: str, n_rounds: int) -> dict[str, Any]:
    """Run all contenders in turn; returns what each said, and how far their predictions are apart."""
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in COMPARED[what]}
    speeds = []
    names = list(said)
    for i in range(n_rounds):
        speeds.append(child(size, folder, what, "peak")["operations_per_s"])
        for name in names[:: -1 if i % 2 else 1]:
            said[name].append(child(size, folder, what, name))
            tell(
                f"round {i + 1} of {n_rounds}: {what}, {name} {said[name][-1]['seconds']:.1f} s, "
                f"{said[name][-1]['peak_bytes'] / 1024**3:.2f} GiB"
            )
        fastest = min(names[1:], key=lambda name: said[name][0]["seconds"])
        names = ["ours", fastest]
    return {"said": said, "speeds": speeds, "apart": apart(folder, what, said)}


def child(size: Size, folder: Path, what: str, name: str) -> dict[str, Any]:
    options = [f"--{key}={getattr(size, key)}" for key in size.__slots__]
    command = [sys.executable, __file__, *options, f"--folder={folder}", "--child", what, name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def apart(folder: Path, what: str, said: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return, for each peer, how far its predictions are from ours by their SD, and the share of equal choices."""
    mine = np.load(folder / f"{what}-ours.npy")
    found = {}
    for name in said:
        if name == "ours":
            continue
        both = np.ones(mine.shape[-1], bool)
        if what == "choice":
            both = np.isclose(said["ours"][-1]["lam"], said[name][-1]["lam"], rtol=1e-5)
        difference = np.abs(mine - np.load(folder / f"{what}-{name}.npy"))[..., both]
        found[name] = {
            "by_sd": float((difference / mine[..., both].std(axis=-2, keepdims=True)).max()),
            "same_choice": float(both.mean()),
        }
    return found


def report(
    size: Size, n_rounds: int, runs: dict[str, Any], load: tuple[float, float, float]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        **{key: getattr(size, key) for key in size.__slots__},
        "values": N_VALUES,
        "folds": N_FOLDS,
        "rounds": n_rounds,
        "failed": [],
        "compared": {},
        "load_before": load,
        "processors": len(os.sched_getaffinity(0)),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {
            n: version(n) for n in ("numpy", "scipy", "scikit-learn", "himalaya", "torch")
        },
    }
    full = size == Size(4000, 200704, 960, 3)
    for what, run in runs.items():
        seconds = {name: [one["seconds"] for one in said] for name, said in run["said"].items()}
        median = {name: statistics.median(times) for name, times in seconds.items()}
        peak = {n: max(one["peak_bytes"] for one in said) for n, said in run["said"].items()}
        peers = [name for name in median if name != "ours"]
        fastest = min(peers, key=lambda name: median[name])
        floor = size.stimuli**2 * size.features / max(run["speeds"])
        extra = {
            key: statistics.median(one[key] for one in run["said"]["ours"])
            for key in ("kernel_s", "choice_s")
            if key in run["said"]["ours"][0]
        }
        found["compared"][what] = {
            "seconds": seconds,
            "median_s": median,
            "peak_bytes": peak,
            "fastest_peer": fastest,
            "ratio": median[fastest] / median["ours"],
            "operations_per_s": max(run["speeds"]),
            "floor_s": floor,
            "by_floor": median["ours"] / floor,
            "apart": run["apart"],
            **extra,
        }
        found["failed"] += failures(what, found["compared"][what], full)
    return found


def failures(what: str, found: dict[str, Any], full: bool) -> list[str]:
    """Return what is not as it must be; how fast it must be is said of the full size only."""
    failed = [
        f"{what}: predictions of {name} differ by {one['by_sd']:.2g} of their SD, expected at most {AGREE:g}"
        for name, one in found["apart"].items()
        if not one["by_sd"] <= AGREE
    ]
    if found["peak_bytes"]["ours"] > MOST_MEMORY:
        failed.append(
            f"{what}: ours took {found['peak_bytes']['ours'] / 1024**3:.2f} GiB, expected less than 4"
        )
    if full and what == "fits" and found["ratio"] < NEEDED_RATIO:
        failed.append(f"fits: {found['ratio']:.1f} times faster, expected {NEEDED_RATIO:g}")
    if full and what == "choice" and found["ratio"] < 1.0 / ALLOWED_TIME:
        failed.append(
            f"choice: {1.0 / found['ratio']:.2f} of himalaya's time, expected at most {ALLOWED_TIME:g}"
        )
    return failed


def machine() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def table(found: dict[str, Any]) -> str:
    """Return Markdown."""
    size = " x ".join(f"{found[key]} {key}" for key in ("stimuli", "features", "electrodes"))
    lines = [
        f"{size}, {found['rois']} ROIs, {found['values']} values, float32; {found['processors']} processors "
        f"({found['machine']}), load before {found['load_before'][0]:.1f}, {found['rounds']} rounds",
    ]
    for what, one in found["compared"].items():
        lines += [
            "",
            f"| {what} | median, s | range, s | by ours | peak, GiB | predictions apart, SD | same choice |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, times in one["seconds"].items():
            far = one["apart"].get(name)
            cells = (
                name,
                f"{one['median_s'][name]:.1f}",
                f"{min(times):.1f}-{max(times):.1f}",
                f"{one['median_s'][name] / one['median_s']['ours']:.2f}",
                f"{one['peak_bytes'][name] / 1024**3:.2f}",
                f"{far['by_sd']:.1e}" if far else "",
                f"{100 * far['same_choice']:.1f} %" if far and what == "choice" else "",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += [
            "",
            f"fastest peer ({one['fastest_peer']}) / ours: {one['ratio']:.2f}",
            f"floor: n^2 p at {one['operations_per_s'] / 1e9:.0f} G/s: {one['floor_s']:.1f} s; our kernel "
            f"{one['kernel_s']:.1f} s, {one['kernel_s'] / one['floor_s']:.2f} of it; all of ours {one['by_floor']:.2f}",
        ]
        if "choice_s" in one:
            lines.append(
                "choice among the values, apart: one decomposition and generalised cross-validation "
                f"{one['choice_s']:.1f} s"
            )
    return "\n".join(lines)


def tell(line: str) -> None:
    """Say how far it is, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
