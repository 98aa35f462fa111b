"""Pictures of a report: drawn from decoded and from true latents by the bundle's generator, and scored.

Which trials are drawn follows from their order alone, never from how well they went; only the three strips over
windows are chosen by rank, and say so. Knows a generator as something that draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SetupError
from offline.evaluation.feature_networks import missing_networks, open_distance, open_network
from offline.evaluation.metrics import cosines
from offline.evaluation.picture_scores import Distance, Network, score_pictures
from offline.evaluation.published_networks import NETWORKS
from offline.evaluation.report.held_out_trials import HeldOutTrials
from offline.stages import Stage

Pictures = NDArray[np.uint8]
Render = Callable[[NDArray[np.float32]], Pictures]
"""From latents, axes (picture, latent), to uint8, axes (picture, row, col, rgb)."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnTrials:
    """Some trials as pictures.

    Attributes
    ----------
    names : tuple of str, axes (picture,)
        Stimulus ids.
    cosine, centred_cosine : float64, axes (picture,)
        Of the last window's latents.
    reconstructed : uint8, axes (picture, row, col, rgb)
    stimuli : uint8, axes (stimulus, row, col, rgb)
        Drawn from the true latents, each stimulus once.
    true_idx : int64, axes (picture,)
        Which of them was shown.
    mean_picture : uint8, axes (row, col, rgb)
        Drawn from the mean latent.
    """

    names: tuple[str, ...]
    cosine: NDArray[np.float64]
    centred_cosine: NDArray[np.float64]
    reconstructed: Pictures
    stimuli: Pictures
    true_idx: NDArray[np.int64]
    mean_picture: Pictures


@dataclass(frozen=True, slots=True, eq=False)
class DrawnStrip:
    """One trial over its windows: ``windows``, uint8, axes (window, row, col, rgb), beside its ``stimulus``."""

    label: str
    name: str
    stimulus: Pictures
    windows: Pictures
    cosine: NDArray[np.float64]


def drawn_first(trials: HeldOutTrials, n: int) -> NDArray[np.intp]:
    """Return which trials are drawn: first presentations in the recording's order, then second ones, ...

    Returns
    -------
    int, axes (picture,)
        At most ``n``; trials without a decoded last window are passed over.
    """
    whole = np.flatnonzero(np.isfinite(trials.decoded[:, -1]).all(axis=1))
    presentation = np.zeros(len(whole), np.int64)
    seen: dict[int, int] = {}
    for i, trial in enumerate(whole):
        shown = int(trials.known.true_idx[trial])
        presentation[i] = seen[shown] = seen.get(shown, -1) + 1
    return whole[np.argsort(presentation, kind="stable")[:n]]


def draw_trials(trials: HeldOutTrials, render: Render, n: int, stage: Stage) -> DrawnTrials:
    """Draw the last window of at most ``n`` trials, their stimuli and the mean latent."""
    chosen = drawn_first(trials, n)
    shown, true_idx = np.unique(trials.known.true_idx[chosen], return_inverse=True)
    decoded, true = trials.decoded[chosen, -1], trials.known.latents[chosen]
    mean = trials.known.mean
    done = stage("report: pictures drawn", len(chosen) + len(shown) + 1)

    def drawn(latents: NDArray[np.float32]) -> Pictures:
        pictures = []
        for row in latents:
            pictures.append(render(row[None])[0])
            done(1)
        return np.stack(pictures)

    return DrawnTrials(
        names=tuple(trials.stimuli[int(i)] for i in chosen),
        cosine=cosines(decoded, true),
        centred_cosine=cosines(decoded - mean, true - mean),
        reconstructed=drawn(decoded),
        stimuli=drawn(trials.known.pool[shown]),
        true_idx=true_idx.astype(np.int64),
        mean_picture=drawn(mean[None])[0],
    )


def draw_strips(trials: HeldOutTrials, render: Render, stage: Stage) -> tuple[DrawnStrip, ...]:
    """Draw every window of the best, the median and the worst trial, by rank of the last window's centred cosine."""
    whole = np.flatnonzero(trials.whole)
    if not len(whole) or trials.decoded.shape[1] < 2:
        return ()
    mean = trials.known.mean
    true = trials.known.latents[whole] - mean
    order = whole[np.argsort(-cosines(trials.decoded[whole, -1] - mean, true), kind="stable")]
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    done = stage("report: pictures over windows", len(places))
    strips = []
    for label, trial in places.items():
        own = trials.known.latents[trial]
        latents = trials.decoded[trial]
        strips.append(
            DrawnStrip(
                label,
                trials.stimuli[trial],
                render(own[None])[0],
                render(latents),
                cosines(latents - mean, np.broadcast_to(own - mean, latents.shape)),
            )
        )
        done(1)
    return tuple(strips)


def open_networks(
    weights: Path | None,
) -> tuple[list[Network], list[Distance], dict[str, dict[str, str]]]:
    """Open every published network that is at hand.

    Returns
    -------
    list of Network
    list of Distance
    dict of network name to ``why`` (one line: what is missing, and how to get it), ``weights`` (the file it needs),
    ``origin`` (whose file that is) and ``folder`` (where it belongs)
    """
    missing = missing_networks(weights)
    networks: list[Network] = []
    distances: list[Distance] = []
    for name, spec in NETWORKS.items():
        if name in missing:
            continue
        try:
            if spec.layers:
                networks.append(open_network(name, weights))
            else:
                distances.append(open_distance(name, weights))
        except SetupError as error:
            missing[name] = str(error)
    folder = str(weights) if weights else "torchvision's cache, or a folder given with --weights"
    return (
        networks,
        distances,
        {
            name: {
                "why": why,
                "weights": NETWORKS[name].weights,
                "origin": NETWORKS[name].origin,
                "folder": folder,
            }
            for name, why in missing.items()
        },
    )


def picture_scores(
    drawn: DrawnTrials,
    stage: Stage,
    networks: list[Network],
    distances: list[Distance],
) -> dict[str, Any]:
    """Score drawn trials; plain data."""
    done = stage(f"report: picture metrics of {len(drawn.names)}", 1)
    scores = score_pictures(
        drawn.reconstructed,
        drawn.stimuli,
        drawn.true_idx,
        drawn.mean_picture,
        networks,
        distances,
    )
    done(1)
    return {
        "n_pictures": len(drawn.names),
        "n_stimuli": len(drawn.stimuli),
        "size_px": list(drawn.mean_picture.shape[:2]),
        "stimuli": list(drawn.names),
        "cosine": drawn.cosine.tolist(),
        "centred_cosine": drawn.centred_cosine.tolist(),
        "scores": [s.to_dict() for s in scores],
    }
