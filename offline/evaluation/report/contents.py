"""Everything a report says of latents, computed from arrays: plain data that report.json, page and figures share.

Figures are drawn from this data and nothing else, so a figure shows what the file says. Single-trial curves are the
scores that ``evaluate`` prints: they are handed in, not computed a second time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.stepping import Decodes
from offline.evaluation.decoded_blocks import Silence
from offline.evaluation.decoding_scores import score_decoding
from offline.evaluation.identification import similarities
from offline.evaluation.latent_dimensions import dimension_p_values
from offline.evaluation.metrics import Array, cosines
from offline.evaluation.report.electrode_effects import ABOUT, electrode_effects
from offline.evaluation.report.held_out_trials import HeldOutTrials, ReportedDecoder, SlidTrials
from offline.evaluation.report.repeated_stimuli import repetition_contents
from offline.evaluation.roi_ablation import channels_in, roi_shares
from offline.evaluation.scores import Scores, score
from offline.evaluation.time_course import temporal_generalisation, time_curve, window_stops_ms
from offline.resampling import N_PERMUTATIONS, permute_stimuli
from offline.stages import Stage

STATISTICS = (
    "Intervals: 95 %, percentile bootstrap, stimuli drawn with all their repetitions. p-values: one-sided, "
    "(b + 1) / (n + 1), stimuli permuted (or flipped in sign) with all their repetitions. Mean latent: the training "
    "mean, shown at every trial without looking at the brain."
)


def report_contents(
    trials: HeldOutTrials,
    averaged: HeldOutTrials | None,
    decoder: ReportedDecoder,
    scores: Scores,
    stage: Stage,
    slid: SlidTrials | None = None,
) -> dict[str, Any]:
    """Compute all figures of decoded latents.

    Parameters
    ----------
    trials, averaged : HeldOutTrials
        Single; and where stimuli are repeated, one averaged response each.
    decoder : ReportedDecoder
    scores : Scores
        Of the same trials, single: what ``evaluate`` prints.
    stage : Stage
        Progress.
    slid : SlidTrials, optional
        Of a fixed decoder, which has no curve over windows otherwise.

    Returns
    -------
    dict
        Plain data: numbers, lists, dicts, None where something cannot be known.

    Raises
    ------
    SessionError
        Training trials among these, or none that was decoded.
    """
    done = stage("report: single trials", 2)
    single = _section(trials, decoder, scores)
    done(1)
    single["dimension_tests"] = _dimension_tests(trials, decoder)
    done(1)
    repeated = trials.repeated()
    done = stage("report: windows, ROIs and electrodes", 6)
    of_averages = _averaged(averaged, decoder) if averaged else None
    done(1)
    repetitions = repetition_contents(repeated, decoder.channels) if repeated else None
    done(1)
    if slid is not None:
        time = _time(
            slid.trials, score(slid.trials.decoded, slid.trials.known), decoder, slid.windows
        )
    else:
        time = _time(trials, scores, decoder, decoder.windows)
    done(1)
    generalisation = _generalisation(trials, decoder)
    done(1)
    ablation = _ablation(trials, decoder)
    done(1)
    electrodes = _electrodes(trials, decoder)
    done(1)
    return {
        "statistics": STATISTICS,
        "single_trial": single,
        "averaged": of_averages,
        "repetitions": repetitions,
        "time": time,
        "temporal_generalisation": generalisation,
        "roi_ablation": ablation,
        "electrodes": electrodes,
    }


def _section(trials: HeldOutTrials, decoder: ReportedDecoder, scores: Scores) -> dict[str, Any]:
    last = score_decoding(
        trials.decoded[:, -1],
        trials.known,
        trials.stimuli,
        decoder.trained,
        workers=decoder.workers,
    )
    return {
        "scores": scores.to_dict(),
        "last_window": last.to_dict(),
        "mean_latent_r2": float(last.dimensions.mean_latent_r2.mean()),
    }


def _dimension_tests(trials: HeldOutTrials, decoder: ReportedDecoder) -> dict[str, Any]:
    whole = np.isfinite(trials.decoded[:, -1]).all(axis=1)
    p, adjusted = dimension_p_values(
        trials.decoded[whole, -1],
        trials.known.latents[whole],
        trials.known.true_idx[whole],
        workers=decoder.workers,
    )
    return {
        "n_permutations": N_PERMUTATIONS,
        "p": p.tolist(),
        "p_false_discovery": adjusted.tolist(),
        "n_significant": int((adjusted < 0.05).sum()),
    }


def _averaged(averaged: HeldOutTrials, decoder: ReportedDecoder) -> dict[str, Any]:
    scores = score(averaged.decoded, averaged.known)
    return _section(averaged, decoder, scores) | {
        "about": f"Responses are averaged before they are decoded.{decoder.starts_anew}",
        "time": _curves(scores, decoder.windows),
    }


def _time(
    trials: HeldOutTrials, scores: Scores, decoder: ReportedDecoder, spec: WindowSpec
) -> dict[str, Any] | None:
    curves = _curves(scores, spec)
    if curves is None:
        return None
    from scipy.stats import false_discovery_control

    p = []
    for k in range(trials.decoded.shape[1]):
        whole = np.isfinite(trials.decoded[:, k]).all(axis=1)
        known = trials.known
        similarity = similarities(trials.decoded[whole, k], known.pool, known.mean, "cosine")
        p.append(permute_stimuli(similarity, known.true_idx[whole]).p)
    return curves | {
        "p_centred_cosine": p,
        "p_centred_cosine_false_discovery": false_discovery_control(p).tolist(),
        "about": (
            "The one map of the decoder, slid over the trial; a window closes when the latest ROI's samples are there."
            if decoder.fixed
            else "Each window has a map of its own and is decoded when it closes."
        ),
        "rois": _roi_curves(trials, decoder, spec),
        "rois_about": (
            "Each ROI alone: the electrodes of all others are replaced by their mean over these trials, window by "
            "window; the decoder stays as it is." + decoder.starts_anew
        ),
    }


def _roi_curves(
    trials: HeldOutTrials, decoder: ReportedDecoder, spec: WindowSpec
) -> dict[str, Any]:
    whole = np.flatnonzero(trials.whole)
    if not len(whole):
        return {}
    held = trials.chosen(whole)
    fill = held.mean_response()
    every, found = decoder.channels.rois(), {}
    for roi in every:
        others = [r for r in every if r != roi]
        silence = _silence(decoder.channels, others, fill)
        scores = score(decoder.decode(held.features, silence), held.known)
        found[roi] = time_curve(scores, spec, centred=True).to_dict()
    return found


def _silence(channels: ChannelMap, rois: Collection[str], fill: NDArray[np.float64]) -> Silence:
    return Silence(channels_in(channels, rois), fill.astype(np.float32))


def _curves(scores: Scores, spec: WindowSpec) -> dict[str, Any] | None:
    if spec.anchor != "marker":
        return None
    stops = window_stops_ms(spec, len(scores.windows))
    two_way = [w.two_way for w in scores.windows]
    return {
        "stop_ms": stops.tolist(),
        "length_ms": spec.length * 1000.0 / spec.rate_hz,
        "cosine": time_curve(scores, spec).to_dict(),
        "centred_cosine": time_curve(scores, spec, centred=True).to_dict(),
        "two_way": {
            "value": [i.mean for i in two_way],
            "low": [i.low for i in two_way],
            "high": [i.high for i in two_way],
            "baseline": [0.5] * len(two_way),
            "pool": scores.pool,
        },
    }


class _MemoryEmpty:
    """A decoder as one map per window, without what it may remember of earlier windows."""

    def __init__(self, decoder: Decodes) -> None:
        self._decoder = decoder

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        state = np.zeros((len(features), self._decoder.n_state), np.float32)
        return self._decoder.step(features, window_idx, state)[0]


def _generalisation(trials: HeldOutTrials, decoder: ReportedDecoder) -> dict[str, Any] | None:
    if decoder.fixed:
        return None
    found = temporal_generalisation(
        _MemoryEmpty(decoder.decoder),
        decoder.windows.n_windows,
        trials.features,
        trials.known,
        decoder.workers,
    )
    memory = " Every cell starts with an empty memory." if decoder.has_memory else ""
    return found.to_dict() | {
        "stop_ms": window_stops_ms(decoder.windows, decoder.windows.n_windows).tolist(),
        "about": (
            "The map fitted at one window decodes the features of another; centred cosine, 0 for the mean latent. "
            f"A square of high values is a code that lasts.{memory}"
        ),
    }


def _ablation(trials: HeldOutTrials, decoder: ReportedDecoder) -> dict[str, Any] | None:
    whole = trials.whole
    if not whole.any():
        return None
    held = trials.chosen(np.flatnonzero(whole))
    true, shown = held.known.latents, held.known.true_idx
    mean = held.known.mean.astype(np.float64)
    fill = held.mean_response()
    found: dict[frozenset[str], tuple[Array, Array]] = {}

    def scored(rois: Collection[str]) -> tuple[Array, Array]:
        if (key := frozenset(rois)) not in found:
            # Whole trials: what is silenced was silent all along.
            silence = _silence(decoder.channels, rois, fill)
            decoded = decoder.decode(held.features, silence, last_window=True)[:, 0]
            found[key] = cosines(decoded, true), cosines(decoded - mean, true - mean)
        return found[key]

    def ablation(centred: bool) -> dict[str, Any]:
        return roi_shares(lambda rois: scored(rois)[centred], decoder.channels, shown).to_dict()

    return {
        "cosine": ablation(centred=False),
        "centred_cosine": ablation(centred=True),
        "about": (
            "Last window. The electrodes of an ROI are replaced by their mean over these trials, window by window; "
            "the decoder stays as it is. 'only': everything else replaced; 'no electrode': all of them, which says no "
            "more than the mean of these stimuli. What an ROI could do with a decoder of its own is another question."
            + decoder.starts_anew
        ),
    }


def _electrodes(trials: HeldOutTrials, decoder: ReportedDecoder) -> dict[str, Any] | None:
    whole = trials.whole
    if not whole.any():
        return None
    mean = trials.chosen(np.flatnonzero(whole)).mean_response()
    channels = decoder.channels
    return {
        "about": ABOUT,
        "effect": electrode_effects(decoder.decoder, mean, fixed=decoder.fixed).tolist(),
        "roi": list(channels.roi),
        "array": channels.array.tolist(),
        "row": channels.row.tolist(),
        "col": channels.col.tolist(),
    }
