"""The numbers of a demo: windows, frames, samples, latencies, cosines, provider; as plain data for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import asdict

from b2g_rt.contracts.messages import Ledger, Quantiles
from b2g_rt.demo.collect import Collector, TrialRecord
from b2g_rt.service.models import Models
from b2g_rt.service.progress import Progress

SIMULATED = (
    "Brain and faces of this demo are simulated: no animal was recorded, no photograph used."
)


def summarize(
    progress: Progress, models: Models, ledger: Ledger, markers: Ledger, collector: Collector
) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    Returns
    -------
    dict
        ``windows`` {due, decoded, skipped, dropped, late, gap}, ``frames`` {rendered, superseded}, ``samples``
        {expected, received, lost, duplicated, late}, ``markers``, ``latency_ms`` {decode, sample_to_latent,
        sample_to_frame: {p50, p99, max}}, ``cosine`` {decoded, mean_latent, decoded_centred} (means over trials, last
        window), ``two_way`` {rate, chance, pool, n_trials}, ``adaptation`` {state, n_trials_learnt, n_trials, adapted,
        unadapted: {cosine, centred_cosine, two_way}} (means over the same trials; empty without any), ``provider``,
        ``generator_provider``, ``bundle``, ``note``.
    """
    scores = [t.score for t in collector.scored() if t.score]

    def mean(name: str) -> float | None:
        return float(np.mean([getattr(s, name) for s in scores])) if scores else None

    return {
        "note": SIMULATED if models.bundle.manifest.simulated else "",
        "windows": {
            "due": progress.windows_due,
            "decoded": progress.windows_decoded,
            "skipped": progress.windows_skipped,
            "dropped": progress.windows_dropped,
            "late": progress.windows_late,
            "gap": progress.windows_gap,
        },
        "frames": {
            "rendered": progress.frames_rendered,
            "superseded": progress.windows_skipped,
        },
        "trials": {"shown": progress.n_trials, "scored": len(scores)},
        "samples": asdict(ledger),
        "markers": {
            **asdict(markers),
            "unknown_stimuli": progress.n_unknown_stimuli,
            "no_onsets": progress.n_other_markers,
            "too_old": progress.n_markers_too_old,
        },
        "failures": progress.n_failures,
        "latency_ms": {
            name: _plain(getattr(progress, name).session())
            for name in ("decode", "sample_to_latent", "sample_to_frame")
        },
        "cosine": {
            "decoded": mean("cosine"),
            "mean_latent": mean("mean_latent_cosine"),
            "decoded_centred": mean("centred_cosine"),
        },
        "two_way": {
            "rate": mean("two_way"),
            "chance": 0.5,
            "pool": scores[0].pool if scores else 0,
            "n_trials": len(scores),
        },
        "adaptation": {
            "state": progress.adaptation,
            "n_trials_learnt": progress.n_trials_learnt,
            "n_trials": progress.comparison.n_trials,
            "adapted": progress.comparison.adapted,
            "unadapted": progress.comparison.unadapted,
        },
        "provider": models.decoder.record.provider,
        "generator_provider": models.generator.record.provider if models.generator else "off",
        "decoder": models.decoder.record.as_dict(),
        "bundle": {"name": models.bundle.manifest.name, "hash": models.bundle.hash},
        "events": [{"kind": e.kind, "level": e.level, "text": e.text} for e in collector.events],
    }


def _plain(quantiles: Quantiles | None) -> dict[str, float] | None:
    return asdict(quantiles) if quantiles else None


def chosen_trials(collector: Collector) -> list[tuple[str, TrialRecord]]:
    """Return the best, median and worst trial by rank of the raw cosine; fewer when there are fewer trials."""
    scored = collector.scored()
    if not scored:
        return []
    places = {"best": 0, "median": len(scored) // 2, "worst": len(scored) - 1}
    chosen: list[tuple[str, TrialRecord]] = []
    for name, place in places.items():
        if all(scored[place] is not trial for _, trial in chosen):
            chosen.append((f"{name} of {len(scored)}", scored[place]))
    return chosen
