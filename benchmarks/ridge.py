"""Cross-validated ridge regression: ours against scikit-learn and himalaya, same data, folds and values.

    .venv/bin/python benchmarks/ridge.py                     # 4000 trials x 960 channels x 512 latents, a few minutes
    .venv/bin/python benchmarks/ridge.py --trials 600 --channels 200 --latents 64 --json ridge.json

Each contender gets float32 features and latents, 20 values and the same 5 folds, and gives scores and the weights of
all trials: ours (one value per latent, and one for all), scikit-learn's GridSearchCV(Ridge) (one value for all: it
has no other; one process and one per processor), himalaya's RidgeCV and KernelRidgeCV (one value per latent).
They take turns within a round, the order turned round every other round; medians of rounds. Scores are R2, averaged
over folds: per latent at its best value against himalaya's, per value over all latents against scikit-learn's; more
than 1e-3 apart is an error. The ratio is the fastest peer over ours with one value per latent.

Then the windows of a per-window decoder, other features and the same latents: each on its own (latents centred, fold
means, everything anew), with the latents' part made once for all (SharedTargets), and that with windows side by side
instead of folds (what `fit` does). Weights of the first two must be the same bits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.regression.folds import Fold, folds_by_stimulus
from offline.regression.ridge_forms import SharedTargets
from offline.regression.ridge_search import RidgeSearch, ridge_search
from offline.scheduling.local_workers import LocalWorkers

N_VALUES, N_FOLDS = 20, 5
SEED = 5
AGREE = 1e-3

Array = NDArray[Any]
# Best score of each latent (latent,) or None; score of each value over all latents (value,) or None.
Scores = tuple[Array | None, Array | None]


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--channels", type=int, default=960)
    parser.add_argument("--latents", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=9, help="0: leave the windows out")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders that begin so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON too")
    args = parser.parse_args()
    x, y = drawn(args.trials, args.channels, args.latents)
    folds = folds_by_stimulus([str(i) for i in range(args.trials)], N_FOLDS, SEED)
    lambdas = np.logspace(-2, 3, N_VALUES) * args.trials
    contenders = {
        name: run
        for name, run in contenders_of(lambdas, folds).items()
        if not args.only or any(name.startswith(one) for one in args.only)
    }
    load = os.getloadavg()
    seconds, scores = measured(contenders, x, y, args.rounds)
    found = report(args, seconds, scores, load)
    if args.windows:
        found["windows"] = windows_measured(x, y, folds, lambdas, args.windows, args.rounds)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if found["worst_disagreement"] > AGREE:
        sys.exit(f"scores differ by {found['worst_disagreement']:.2g}, expected at most {AGREE:g}.")


def drawn(n_trials: int, n_channels: int, n_latents: int) -> tuple[Array, Array]:
    """Return features and latents, float32: correlated channels, latents of which each is decodable differently."""
    rng = np.random.default_rng(SEED)
    mixing = rng.standard_normal((n_channels, n_channels)) / n_channels**0.5
    x = rng.standard_normal((n_trials, n_channels)) @ (mixing + 0.5 * np.eye(n_channels))
    weights = rng.standard_normal((n_channels, n_latents)) / n_channels**0.5
    y = x @ (weights * np.geomspace(0.05, 2.0, n_latents))
    y += rng.standard_normal(y.shape) + 1.0
    return (x + 0.3).astype(np.float32), y.astype(np.float32)


def contenders_of(
    lambdas: Array, folds: list[Fold]
) -> dict[str, Callable[[Array, Array], Callable[[], Scores]]]:
    """Return name -> function that fits and returns a function that gives the scores (not timed)."""
    return {
        "ours": lambda x, y: ours(x, y, lambdas, folds, "each"),
        "ours, one value for all": lambda x, y: ours(x, y, lambdas, folds, "all"),
        "scikit-learn GridSearchCV(Ridge)": lambda x, y: scikit_learn(x, y, lambdas, folds, None),
        "scikit-learn, one process per processor": lambda x, y: scikit_learn(
            x, y, lambdas, folds, len(os.sched_getaffinity(0))
        ),
        "himalaya RidgeCV": lambda x, y: himalaya(x, y, lambdas, folds, "ridge"),
        "himalaya KernelRidgeCV": lambda x, y: himalaya(x, y, lambdas, folds, "kernel"),
    }


def ours(
    x: Array, y: Array, lambdas: Array, folds: list[Fold], groups: str
) -> Callable[[], Scores]:
    found = ridge_search(x, SharedTargets.of(y, folds), lambdas=lambdas, groups=groups)

    def scores() -> Scores:
        if groups == "all":
            return None, None
        spread = np.stack(
            [
                np.square(y[f.held_out] - y[f.held_out].mean(axis=0, dtype=np.float64)).sum(axis=0)
                for f in folds
            ]
        )
        r2 = (1.0 - found.errors / spread[:, None]).mean(axis=0)
        return r2.max(axis=0), r2.mean(axis=1)

    return scores


def scikit_learn(
    x: Array, y: Array, lambdas: Array, folds: list[Fold], n_jobs: int | None
) -> Callable[[], Scores]:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    splits = [(fold.train, fold.held_out) for fold in folds]
    search = GridSearchCV(Ridge(), {"alpha": lambdas}, scoring="r2", cv=splits, n_jobs=n_jobs)
    search.fit(x, y)
    return lambda: (None, search.cv_results_["mean_test_score"])


def himalaya(
    x: Array, y: Array, lambdas: Array, folds: list[Fold], kind: str
) -> Callable[[], Scores]:
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import r2_score
    from sklearn.model_selection import PredefinedSplit

    of_trial = np.empty(len(x), np.int64)
    for f, fold in enumerate(folds):
        of_trial[fold.held_out] = f
    model = {"ridge": RidgeCV, "kernel": KernelRidgeCV}[kind]
    search = model(
        alphas=lambdas.astype(np.float32),
        fit_intercept=True,
        cv=PredefinedSplit(of_trial),
        solver_params={"score_func": r2_score},
    )
    with warnings.catch_warnings():
        # Kernel ridge warns that this is more trials than channels: that is what is asked here.
        warnings.simplefilter("ignore", UserWarning)
        search.fit(x, y)
    return lambda: (np.asarray(search.cv_scores_), None)


def measured(
    contenders: dict[str, Callable[[Array, Array], Callable[[], Scores]]],
    x: Array,
    y: Array,
    n_rounds: int,
) -> tuple[dict[str, list[float]], dict[str, Scores]]:
    """Run all in turn, after one run of each on little data (imports, thread pools)."""
    small = slice(0, None), slice(0, 8)
    for run in contenders.values():
        run(x[small], y[small])
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    scores = {}
    for i in range(n_rounds):
        for name in list(contenders)[:: -1 if i % 2 else 1]:
            began = time.perf_counter()
            gives = contenders[name](x, y)
            seconds[name].append(time.perf_counter() - began)
            scores[name] = gives()
            tell(f"round {i + 1} of {n_rounds}: {name} {seconds[name][-1]:.2f} s")
    return seconds, scores


WindowWay = Callable[[list[Array], Array], list[RidgeSearch]]


def windows_measured(
    x: Array, y: Array, folds: list[Fold], lambdas: Array, n_windows: int, n_rounds: int
) -> dict[str, Any]:
    """Fit several windows in each way, in turn."""
    rng = np.random.default_rng(SEED + 1)
    windows = [
        (gain * x + rng.standard_normal(x.shape)).astype(np.float32)
        for gain in np.linspace(0.0, 1.0, n_windows)
    ]

    def alone(windows: list[Array], y: Array) -> list[RidgeSearch]:
        return [ridge_search(one, SharedTargets.of(y, folds), lambdas=lambdas) for one in windows]

    def shared(windows: list[Array], y: Array) -> list[RidgeSearch]:
        latents = SharedTargets.of(y, folds)
        return [ridge_search(one, latents, lambdas=lambdas) for one in windows]

    def side_by_side(windows: list[Array], y: Array) -> list[RidgeSearch]:
        latents = SharedTargets.of(y, folds)
        return list(LocalWorkers().run(search_window, windows, shared=(latents, lambdas)))

    ways: dict[str, WindowWay] = {
        "each on its own": alone,
        "latents' part shared": shared,
        "latents' part shared, windows side by side": side_by_side,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    weights: dict[str, list[Array]] = {}
    for i in range(n_rounds):
        for name in list(ways)[:: -1 if i % 2 else 1]:
            began = time.perf_counter()
            found = ways[name](windows, y)
            seconds[name].append(time.perf_counter() - began)
            weights[name] = [one.weights for one in found]
            tell(
                f"round {i + 1} of {n_rounds}: {n_windows} windows, {name} {seconds[name][-1]:.2f} s"
            )
    first, *others = weights.values()
    apart = [max(float(np.abs(a - b).max()) for a, b in zip(first, o, strict=True)) for o in others]
    if apart[0] > 0.0:
        sys.exit(f"weights with shared latents differ by {apart[0]:.2g}, expected the same bits.")
    return {
        "n": n_windows,
        "seconds": seconds,
        "median_s": {name: statistics.median(times) for name, times in seconds.items()},
        "weights_apart": dict(zip(weights, [0.0, *apart], strict=True)),
    }


def search_window(shared: tuple[SharedTargets, Array], window: Array) -> RidgeSearch:
    return ridge_search(window, shared[0], lambdas=shared[1])


def report(
    args: argparse.Namespace,
    seconds: dict[str, list[float]],
    scores: dict[str, Scores],
    load: tuple[float, float, float],
) -> dict[str, Any]:
    median = {name: statistics.median(times) for name, times in seconds.items()}
    peers = {n: t for n, t in median.items() if not n.startswith("ours")}
    apart = {name: disagreement(scores.get("ours"), scores[name]) for name in peers}
    fastest = min(peers, key=lambda name: peers[name]) if peers else None
    return {
        "trials": args.trials,
        "channels": args.channels,
        "latents": args.latents,
        "values": N_VALUES,
        "folds": N_FOLDS,
        "seconds": seconds,
        "median_s": median,
        "disagreement": apart,
        "worst_disagreement": max(apart.values(), default=0.0),
        "fastest_peer": fastest,
        "ratio": median[fastest] / median["ours"] if fastest and "ours" in median else None,
        "load_before": load,
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("numpy", "scipy", "scikit-learn", "himalaya")},
    }


def disagreement(mine: Scores | None, peer: Scores) -> float:
    """Return the largest difference of what both can say."""
    if mine is None:
        return 0.0
    both = [(a, b) for a, b in zip(mine, peer, strict=True) if a is not None and b is not None]
    return max((float(np.abs(a - b).max()) for a, b in both), default=0.0)


def table(found: dict[str, Any]) -> str:
    """Return a Markdown table."""
    size = " x ".join(f"{found[key]} {key}" for key in ("trials", "channels", "latents", "values"))
    lines = [
        f"{size} x {found['folds']} folds, float32, {found['processors']} processors, "
        f"load before {found['load_before'][0]:.1f}",
        "",
        "| | median, s | range, s | by ours | scores differ by at most |",
        "|---|---|---|---|---|",
    ]
    mine = found["median_s"].get("ours")
    for name, times in found["seconds"].items():
        apart = found["disagreement"].get(name)
        cells = (
            name,
            f"{found['median_s'][name]:.2f}",
            f"{min(times):.2f}-{max(times):.2f}",
            f"{found['median_s'][name] / mine:.2f}" if mine else "",
            "" if apart is None else f"{apart:.1e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    if found["ratio"]:
        lines += ["", f"fastest peer ({found['fastest_peer']}) / ours: {found['ratio']:.2f}"]
    if "windows" in found:
        lines += ["", *windows_table(found["windows"])]
    return "\n".join(lines)


def windows_table(found: dict[str, Any]) -> list[str]:
    alone = found["median_s"]["each on its own"]
    lines = [
        f"| {found['n']} windows, one value per latent | median, s | range, s | by each on its own | weights apart |",
        "|---|---|---|---|---|",
    ]
    for name, times in found["seconds"].items():
        cells = (
            name,
            f"{found['median_s'][name]:.2f}",
            f"{min(times):.2f}-{max(times):.2f}",
            f"{found['median_s'][name] / alone:.2f}",
            f"{found['weights_apart'][name]:.1e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def tell(line: str) -> None:
    """Say how far it is, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
