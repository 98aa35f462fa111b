"""A recording of any format decoded by a bundle, trial by trial, with the truth beside it: what scores are made of.

Decoded as live: the bundle's statistics and windows, its very decoder file, windows in order, and a free-running
decoder that remembers something over the whole stream. For scores and reports; knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import SessionError
from offline.decoding.stepping import Decodes
from offline.evaluation.decoded_windows import decode_cut, decode_mua
from offline.evaluation.evaluation_memory import EvaluationSize, bounded
from offline.evaluation.held_out import FeatureChain, known_trials
from offline.evaluation.scores import KnownTrials
from offline.evaluation.training_record import refuse_training_session, seen_in_training
from offline.export.decoder_onnx import OnnxDecoder
from offline.recordings.features_file import Features
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.mua_source import MuaTrials, days_of, mua_of
from offline.recordings.trials import recorded_trials
from offline.scheduling.resources import Resources
from offline.stages import Stage

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSession:
    """The trials of a recording whose stimulus has a known latent, in the order of presentation.

    Attributes
    ----------
    stimuli : tuple of str, axes (trial,)
    onsets : int64, axes (trial,)
        On the sample clock of the MUA; of responses without a time axis the row.
    features : float32, axes (trial, window, channel), z units; or a file of them
        NaN where too much of a window was missing. Of a free-running decoder one window.
    decoded : float32, axes (trial, window, latent)
        NaN where the features are.
    known : KnownTrials
        The truth about these trials; its pool is every known stimulus that was shown.
    seen : bool, axes (trial,)
        Whether the stimulus was in the bundle's training: such trials are no held-out trials.
    resources : Resources or None
        Those that were given, with no more pieces at once than memory allows: for the work that follows.
    """

    stimuli: tuple[str, ...]
    onsets: NDArray[np.int64]
    features: Features
    decoded: Float32
    known: KnownTrials
    seen: NDArray[np.bool_]
    resources: Resources | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.stimuli)


def decoded_session(
    bundle: ModelBundle,
    recording: RecordingReader,
    known: dict[str, Float32],
    stage: Stage,
    resources: Resources | None = None,
    *,
    reported: bool = False,
) -> DecodedSession:
    """Decode every trial whose stimulus is known.

    Parameters
    ----------
    bundle : ModelBundle
    recording : RecordingReader
        Of any format; not one that the bundle was fitted on: that is refused.
    known : dict of stimulus id to latent
        See ``offline.inputs.latents_for``.
    stage : Stage
        Progress.
    resources : Resources, optional
        Workers that decode, and the memory that decides whether features are held; the figure is said.
    reported : bool
        Whether a report follows, which takes more of it.

    Raises
    ------
    SessionError
        A recording of the fit, another rate, other electrodes, no trials, no known stimulus, latents of another
        length, or responses where there should be a recording (and the other way round).
    ConfigError
        It takes more memory than it may.
    """
    refuse_training_session(bundle, recording)
    _check_kind(bundle, recording)
    n_latents = bundle.manifest.n_latents
    if other := sorted({len(w) for w in known.values()} - {n_latents}):
        raise SessionError(
            f"{recording.info.path}: latents of {other[0]} dimensions, the bundle decodes {n_latents}. Give those of "
            "this bundle's generator with --latents."
        )
    table = recorded_trials(recording)
    kept, truth = known_trials(list(table.stimulus), known, bundle.latent_mean)
    stimuli = tuple(table.stimulus[i] for i in kept)
    decoder = bundle_decoder(bundle)
    chain = FeatureChain.of_bundle(bundle)
    size = EvaluationSize.of(decoder, chain, truth, recording, reported=reported)
    resources = bounded(size, resources, stage)
    done = stage("features", recording.n_samples)
    onsets, features, decoded = decode_recording(
        decoder, chain, recording, table.onset_idx[kept], done, resources
    )
    seen = seen_in_training(bundle, stimuli, truth.latents)
    return DecodedSession(stimuli, onsets, features, decoded, truth, seen, resources)


def _check_kind(bundle: ModelBundle, recording: RecordingReader) -> None:
    """Refuse z units of responses where the bundle normalises samples, and the other way round."""
    has_samples = recording.info.kind != "responses"
    if has_samples != bundle.manifest.live:
        kinds = ("responses without a time axis", "a recording with one")
        raise SessionError(
            f"{recording.info.path}: {kinds[has_samples]}, bundle {bundle.path} was fitted on "
            f"{kinds[bundle.manifest.live]}, whose z units are others. Fit a bundle on the same kind."
        )


def bundle_decoder(bundle: ModelBundle) -> Decodes:
    """Return the bundle's very decoder file, ready to run."""
    return OnnxDecoder(bundle.file("decoder.onnx").read_bytes())


def decode_recording(
    decoder: Decodes,
    chain: FeatureChain,
    recording: RecordingReader,
    onsets: NDArray[np.int64],
    progress: Callable[[int], None] | None = None,
    resources: Resources | None = None,
) -> tuple[NDArray[np.int64], Features, Float32]:
    """Cut and decode the windows of some trials.

    Parameters
    ----------
    decoder : Decodes
    chain : FeatureChain
    recording : RecordingReader
    onsets : int64, axes (trial,)
        On the recording's sample clock.
    progress : callable, optional
        Called with the number of samples done since the last call.
    resources : Resources, optional
        See ``decode_mua``.

    Returns
    -------
    onsets : int64, axes (trial,)
        On the MUA's sample clock.
    features : float32, axes (trial, window, channel), or a file of them
    decoded : float32, axes (trial, window, latent)

    Raises
    ------
    SessionError
        Another rate, other electrodes, or responses without a time axis where there should be windows.
    """
    if recording.info.kind == "responses":
        responses = chain.responses(recording, onsets)
        if progress:
            progress(recording.n_samples)
        return onsets, responses, decode_cut(decoder, responses, resources, fixed=True)
    mua = mua_of(recording, onsets, chain.windows.rate_hz)
    if chain.normalisation.kind == "running":
        mua = replace(mua, day_starts=_day_starts(recording, mua))
    features, decoded = decode_mua(decoder, chain, mua, progress, resources)
    return mua.onsets, features, decoded


def _day_starts(recording: RecordingReader, mua: MuaTrials) -> tuple[int, ...]:
    """Return with which samples of the MUA days begin, counted from the first one.

    As the service began them, where it recorded the file; else with the first sample of each day of the trials.
    """
    index = recording.index()
    first, span = int(index.min()), int(index.max()) + 1 - int(index.min())
    per_sample = span / max(mua.stop - mua.first, 1)
    starts = recording.day_starts()
    if not starts:
        rows = [start for start, _, _ in days_of(recording, recorded_trials(recording))]
        starts = [int(index[row]) for row in rows]
    return tuple(round((start - first) / per_sample) for start in starts)
