"""The online ridge: what an update costs, and what it gains over the bundle's decoder on another day.

    .venv/bin/python benchmarks/online_ridge.py                # cost at full size, and 400 trials of another day
    .venv/bin/python benchmarks/online_ridge.py --choose       # prior and forgetting, on a session that is not reported
    .venv/bin/python benchmarks/online_ridge.py --live         # decode latency of the service with and without it
    .venv/bin/python benchmarks/online_ridge.py --trials 100 --json online_ridge.json

The animal is that of the shipped bundle, on another day (gain, offset, turned tuning); stimuli are new, each shown
once. Every trial is predicted before it is learnt, so no figure is of a trial that was learnt from; bundle and adapted
decoder are scored on the same trials. Features are cut from the simulated stream as live, with running normalisation
that starts the day with the stream.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.adaptation.online_ridge import OnlineRidge
from b2g_rt.adaptation.trial_learner import LearnerSettings, TrialLearner
from b2g_rt.bench.children import Child
from b2g_rt.bench.measured_service import bench_config, running, wait_for
from b2g_rt.commands.simulate import simulate_session
from b2g_rt.config import AdaptationConfig
from b2g_rt.contracts.bundle import ModelBundle, Normalisation
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.service.adaptable import prior_of
from b2g_rt.service.models import Models, load_models
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.features import window_features
from offline.recordings.recording import SimulatedRecording

Float32 = NDArray[np.float32]

REPORTED_SEED, CHOOSING_SEED = 31, 47
PRIORS = (300.0, 1000.0, 3000.0, 10000.0, 30000.0)
FORGETTING = (1.0, 0.998)
BLOCK_TRIALS = 100
DAYS = {
    "the same day": None,
    "gain and offset SD .3": DaySpec(gain_sd=0.3, offset_sd=0.3),
    "and tuning turned by half": DaySpec(gain_sd=0.3, offset_sd=0.3, rotation=0.5),
    "and tuning turned by .9": DaySpec(gain_sd=0.3, offset_sd=0.3, rotation=0.9),
}


def main() -> None:
    args = parsed()
    load = os.getloadavg()
    found: dict[str, Any] = {"cost": cost(args.updates)}
    models = load_models(bench_config("bundle=simulated-faces"))
    if args.live:
        found["live"] = live(models, args.trials)
    elif args.choose:
        found["choice"] = choose(models, args.trials)
    else:
        defaults = AdaptationConfig()
        found["prior_trials"], found["forgetting"] = defaults.prior_trials, defaults.forgetting
        found["days"] = {
            name: gain(models, day, args.trials, defaults) for name, day in DAYS.items()
        }
    found |= {
        "trials": args.trials,
        "load_before": load,
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, help="of a session; default 400, live 64")
    parser.add_argument("--updates", type=int, default=300, help="measured updates")
    parser.add_argument("--choose", action="store_true", help="compare priors and forgetting")
    parser.add_argument("--live", action="store_true", help="measure the service in real time")
    parser.add_argument("--json", type=Path, help="file for machines")
    args = parser.parse_args()
    args.trials = args.trials or (64 if args.live else 400)
    if args.trials < 2 or args.updates < 2:
        parser.error("--trials and --updates: expected at least 2")
    return args


def cost(n_updates: int) -> dict[str, Any]:
    """Measure one window's ridge at full size: 960 electrodes, 512 latents."""
    n_channels, n_latents = 960, 512
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_updates, n_channels)).astype(np.float32)
    residual = rng.standard_normal((n_updates, n_latents)).astype(np.float32)
    ridge = OnlineRidge(n_channels, n_latents, prior=1e4, forgetting=0.999)
    ridge.learn(features[0], residual[0])
    times: dict[str, list[float]] = {"update": [], "predict": [], "checkpoint": []}
    for i, (x, r) in enumerate(zip(features, residual, strict=True)):
        times["predict"].append(_seconds(lambda x=x: ridge.predict(x)))
        times["update"].append(_seconds(lambda x=x, r=r: ridge.learn(x, r)))
        if i % 10 == 0:
            times["checkpoint"].append(_seconds(ridge.state))
    state = ridge.state()
    return {
        "milliseconds": {
            name: {
                "median": 1000 * statistics.median(values),
                "p99": 1000 * float(np.quantile(values, 0.99)),
                "n": len(values),
            }
            for name, values in times.items()
        },
        "megabytes_per_window": (state.p.nbytes + 1.5 * state.correction.nbytes) / 1e6,
        "megabytes_per_checkpoint_and_window": (state.p.nbytes + state.correction.nbytes) / 1e6,
    }


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def live(models: Models, n_trials: int) -> list[dict[str, Any]]:
    """Replay one session in real time through the service, ridge off and on in turns."""
    with tempfile.TemporaryDirectory(prefix="b2g-online-ridge-") as scratch:
        path = Path(scratch) / "session.h5"
        simulate_session(models.bundle, path, n_trials=n_trials)
        n_windows = n_trials * models.bundle.windows.n_windows
        return [replayed(path, n_windows, on=on) for on in (False, True, True, False)]


def replayed(path: Path, n_windows: int, *, on: bool) -> dict[str, Any]:
    """Return the decode latency of one replay, ms: return of the pull that made a window due, to its latent."""
    config = bench_config("bundle=simulated-faces", f"adaptation.online_ridge={on}")
    with running(config) as service, Child("b2g_rt", "replay", path, "--quiet"):
        progress = service.service.progress
        wait_for(lambda: progress.windows_decoded >= n_windows, n_windows / 10 + 60)
    found = progress.decode.session()
    assert found is not None
    milliseconds = {"p50": found.p50, "p99": found.p99, "max": found.max}
    tell(f"ridge {'on' if on else 'off'}: {milliseconds}")
    return {
        "online_ridge": on,
        "windows": progress.windows_decoded,
        "n_trials_learnt": progress.n_trials_learnt,
        "decode_ms": milliseconds,
    }


def session(
    models: Models, day: DaySpec | None, n_trials: int, seed: int
) -> tuple[Float32, Float32, Float32]:
    """Return latents shown, features and the bundle's latents; axes (trial, ...) and (trial, window, ...)."""
    bundle = models.bundle
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "bundle")
    w = macaque.latents.draw(np.random.default_rng([seed, 1]), n_trials)
    animal = macaque if day is None else MacaqueOnDay(macaque, day, seed)
    stream = SimulatedStream(animal, w, Protocol(), seed)
    normaliser = Normaliser(
        Normalisation(kind="running"),
        bundle.channel_mean,
        bundle.channel_sd,
        1000.0,
        day_starts=(0,),
    )
    features = window_features(
        SimulatedRecording(stream, bundle.channels).blocks(),
        stream.onsets,
        bundle.windows,
        bundle.channels,
        normaliser,
    )
    blank = np.zeros(0, np.float32)
    alone = [
        [models.decoder.step(x, k, blank)[0] for k, x in enumerate(trial)] for trial in features
    ]
    tell(f"{n_trials} trials simulated and decoded")
    return w, features, np.array(alone, np.float32)


def adapted(w: Float32, features: Float32, alone: Float32, settings: LearnerSettings) -> Float32:
    """Return what the online ridge gives for every window of every trial, each predicted before it is learnt."""
    n_trials, n_windows, n_channels = features.shape
    learner = TrialLearner(n_windows, n_channels, w.shape[1], settings)
    out = alone.copy()
    for trial in range(n_trials):
        for k in range(n_windows):
            added = learner.predict(features[trial, k], k)
            if added is not None:
                out[trial, k] += added
            learner.hold(trial, k, features[trial, k], w[trial] - alone[trial, k])
        learner.end_trial(trial)
    return out


def gain(
    models: Models, day: DaySpec | None, n_trials: int, config: AdaptationConfig
) -> dict[str, Any]:
    """Score the last window of a reported session, a hundred trials at a time."""
    w, features, alone = session(models, day, n_trials, REPORTED_SEED)
    settings = LearnerSettings(
        prior_of(models.bundle, config.prior_trials),
        config.forgetting,
        checkpoint_trials=n_trials + 1,
    )
    both = adapted(w, features, alone, settings)
    mean = models.bundle.latent_mean
    blocks = [slice(a, min(a + BLOCK_TRIALS, n_trials)) for a in range(0, n_trials, BLOCK_TRIALS)]
    floor = cosines(np.broadcast_to(mean, w.shape), w)
    scored = {
        "bundle": (cosines(alone[:, -1], w), cosines(alone[:, -1] - mean, w - mean)),
        "adapted": (cosines(both[:, -1], w), cosines(both[:, -1] - mean, w - mean)),
    }
    by_window = [
        float((cosines(both[:, k], w) - cosines(alone[:, k], w))[n_trials // 2 :].mean())
        for k in range(features.shape[1])
    ]
    return {
        "blocks": [
            {
                "trials": [block.start, block.stop],
                "mean_latent": float(floor[block].mean()),
                **{
                    name: {"cosine": float(c[block].mean()), "centred": float(z[block].mean())}
                    for name, (c, z) in scored.items()
                },
            }
            for block in blocks
        ],
        "gain_by_window_second_half": by_window,
    }


def choose(models: Models, n_trials: int) -> list[dict[str, Any]]:
    """Compare settings on sessions that are not reported: mean gain of the last window over all trials and days.

    The rule: the best mean over days; of those within .0001 of it, no forgetting, then the stronger prior.
    """
    bundle: ModelBundle = models.bundle
    sessions = [session(models, day, n_trials, CHOOSING_SEED) for day in DAYS.values()]
    rows = []
    for prior_trials in PRIORS:
        for forgetting in FORGETTING:
            gains = []
            for w, features, alone in sessions:
                settings = LearnerSettings(
                    prior_of(bundle, prior_trials), forgetting, checkpoint_trials=n_trials + 1
                )
                last = slice(-1, None)
                both = adapted(w, features[:, last], alone[:, last], settings)
                gains.append(float((cosines(both[:, 0], w) - cosines(alone[:, -1], w)).mean()))
            rows.append(
                {
                    "prior_trials": prior_trials,
                    "forgetting": forgetting,
                    "gains": gains,
                    "mean": float(np.mean(gains)),
                }
            )
            tell(f"prior {prior_trials:g}, forgetting {forgetting:g}: {np.mean(gains):+.4f}")
    return rows


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of each trial, float64, axes (trial,); 0 where one of the two is 0."""
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(norm > 0, (a * b).sum(axis=1) / np.where(norm > 0, norm, 1.0), 0.0)


def table(found: dict[str, Any]) -> str:
    """Return Markdown."""
    lines = [
        f"{found['processors']} processors, load before {found['load_before'][0]:.1f}, numpy {found['numpy']}",
        "",
        "| one window, 960 electrodes, 512 latents | median, ms | 99 %, ms |",
        "|---|---|---|",
    ]
    for name, ms in found["cost"]["milliseconds"].items():
        lines.append(f"| {name} | {ms['median']:.2f} | {ms['p99']:.2f} |")
    lines.append("")
    lines.append(f"{found['cost']['megabytes_per_window']:.0f} MB per window")
    if "choice" in found:
        lines += [
            "",
            f"| prior, trials | forgetting | {' | '.join(DAYS)} | mean |",
            "|---" * (3 + len(DAYS)) + "|",
        ]
        for row in found["choice"]:
            gains = " | ".join(f"{g:+.4f}" for g in row["gains"])
            lines.append(
                f"| {row['prior_trials']:g} | {row['forgetting']:g} | {gains} | {row['mean']:+.4f} |"
            )
    if "live" in found:
        lines += [
            "",
            "| service in real time | windows | trials learnt | decode: median, ms | 99 %, ms | max, ms |",
            "|---|---|---|---|---|---|",
        ]
        for row in found["live"]:
            ms = row["decode_ms"]
            lines.append(
                f"| ridge {'on' if row['online_ridge'] else 'off'} | {row['windows']} | {row['n_trials_learnt']} | "
                f"{ms['p50']:.2f} | {ms['p99']:.2f} | {ms['max']:.2f} |"
            )
    for name, day in found.get("days", {}).items():
        lines += [
            "",
            f"{name}, last window:",
            "",
            "| trials | mean latent | bundle | adapted | gain | centred: bundle | adapted |",
            "|---|---|---|---|---|---|---|",
        ]
        for block in day["blocks"]:
            bundle, own = block["bundle"], block["adapted"]
            lines.append(
                f"| {block['trials'][0] + 1}-{block['trials'][1]} | {block['mean_latent']:.4f} | "
                f"{bundle['cosine']:.4f} | {own['cosine']:.4f} | {own['cosine'] - bundle['cosine']:+.4f} | "
                f"{bundle['centred']:.4f} | {own['centred']:.4f} |"
            )
        windows = ", ".join(f"{g:+.4f}" for g in day["gain_by_window_second_half"])
        lines += ["", f"gain of windows 0 to 8, second half of the trials: {windows}"]
    return "\n".join(lines)


def tell(line: str) -> None:
    """Say how far it is, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
