"""What is really there in a simulated set, as one .npz beside the files: for checks against what was decoded or found.

Keys: ``id`` (stimulus,), ``latent`` (stimulus, latent) and ``split`` (stimulus,); this much is what --latents takes.
Electrodes, axes (channel,): ``roi``, ``array``, ``row``, ``col``, ``q``, ``f``, ``latency_ms``, ``evoked``,
``baseline_uv``, ``scale_uv``; ``gain`` (sample, channel), ``tuning`` (channel, component), ``components_ROI``.
Days, axes (day, channel): ``day_gain``, ``day_offset``, ``day_dead``; with a rotation ``day_tuning``.
Trials, axes (trial,): ``trial_stimulus``, ``trial_day``, ``trial_onset_idx`` (on the day's sample clock).
Disturbances, axes (event,): ``event_kind``, ``event_day``, ``event_start``, ``event_stop`` (samples), ``event_first``,
``event_last`` (columns); losses are those of kind 'loss'. ``plan``: JSON of how it was simulated.
An animal that features drive: ``space`` (channel,), see ``b2g-offline simulate --tuning``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.simulation.days import MacaqueOnDay
from offline.recordings.simulated_sessions import SimulatedSet
from offline.whole_files import whole_file


def write_truth(simulated: SimulatedSet, path: Path) -> None:
    """Write the truth; OSError where that fails."""
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **truth_of(simulated))


def truth_of(simulated: SimulatedSet) -> dict[str, Any]:
    """Return the arrays by name."""
    ids, latents = simulated.stimuli
    n_train = simulated.plan.n_train
    return {
        "id": np.array(ids),
        "latent": latents,
        "split": np.array(["train"] * n_train + ["test"] * (len(ids) - n_train)),
        **_electrodes(simulated),
        **_days(simulated),
        **_trials(simulated),
        **_events(simulated),
        "plan": np.array(json.dumps(_plan(simulated))),
        **simulated.truth,
    }


def _electrodes(simulated: SimulatedSet) -> dict[str, Any]:
    channels, truth = simulated.macaque.channels, simulated.macaque.truth()
    names = ("q", "f", "latency_ms", "evoked", "baseline_uv", "scale_uv")
    return {
        "roi": np.array(channels.roi),
        "array": channels.array,
        "row": channels.row,
        "col": channels.col,
        **{name: getattr(truth, name) for name in names},
        "gain": truth.gain.astype(np.float32),
        "tuning": truth.tuning.astype(np.float32),
        **{f"components_{roi}": own for roi, own in truth.components.items()},
    }


def _days(simulated: SimulatedSet) -> dict[str, Any]:
    animals = [d.macaque for d in simulated.days if isinstance(d.macaque, MacaqueOnDay)]
    shape = (len(simulated.days), simulated.macaque.channels.n_channels)
    if not animals:
        return {
            "day_gain": np.ones(shape),
            "day_offset": np.zeros(shape),
            "day_dead": np.zeros(shape, np.bool_),
        }
    told = {
        "day_gain": np.stack([a.day.gain for a in animals]),
        "day_offset": np.stack([a.day.offset for a in animals]),
        "day_dead": np.stack([a.day.dead for a in animals]),
    }
    if simulated.plan.day is not None and simulated.plan.day.rotation:
        told["day_tuning"] = np.stack([a.truth().tuning.astype(np.float32) for a in animals])
    return told


def _trials(simulated: SimulatedSet) -> dict[str, Any]:
    days = simulated.days
    return {
        "trial_stimulus": np.array([s for d in days for s in d.shown.stimulus]),
        "trial_day": np.repeat([d.number for d in days], [len(d.shown.stimulus) for d in days]),
        "trial_onset_idx": np.concatenate([d.stream.onsets for d in days]),
    }


def _events(simulated: SimulatedSet) -> dict[str, Any]:
    events = [(d.number, e) for d in simulated.days for e in d.stream.events]
    numbers = ("start", "stop", "first", "last")
    return {
        "event_kind": np.array([e.kind for _, e in events], "U10"),
        "event_day": np.array([day for day, _ in events], np.int64),
        **{f"event_{n}": np.array([getattr(e, n) for _, e in events], np.int64) for n in numbers},
    }


def _plan(simulated: SimulatedSet) -> dict[str, Any]:
    plan = simulated.plan
    return {
        "preset": plan.preset,
        "n_train": plan.n_train,
        "n_test": plan.n_test,
        "n_repeats": plan.n_repeats,
        "n_days": plan.n_days,
        "seed": plan.seed,
        "macaque_seed": plan.macaque_seed,
        "rate_hz": simulated.rate_hz,
        "day": None if plan.day is None else plan.day.to_dict(),
        "disturbances": plan.disturbances.to_dict(),
        "voltage": None if plan.voltage is None else asdict(plan.voltage),
        "macaque": simulated.macaque.spec.to_dict(),
        "channel_map": simulated.macaque.channels.to_dict(),
    }
