"""The decode stage: window features in, latents out, none dropped; says how well a trial went."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from b2g_rt.contracts.messages import VERSION, Flags, FrameMessage, Stamps, TrialMessage
from b2g_rt.contracts.windows import DueWindow, WindowFeatures
from b2g_rt.service.progress import Progress
from b2g_rt.service.scoring import TrialScorer

LOG = logging.getLogger(__name__)

Decode = Callable[[NDArray[np.float32], int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class WindowJob:
    """A due window on its way to the decoder; times in seconds on the LSL clock."""

    sequence: int
    window: DueWindow
    features: WindowFeatures
    start_s: float
    stop_s: float
    sample_s: float
    received_s: float
    due_s: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame without its picture, and the latent as numbers, float32, axes (latent,)."""

    frame: FrameMessage
    latent: NDArray[np.float32] | None


class DecodeStage:
    """Turns one job into one frame.

    Parameters
    ----------
    decode : callable
        (features (channel,), window_idx) -> latent (latent,), float32.
    scorer : TrialScorer
    bundle_hash : str
    n_windows : int
        Windows per trial, 1 when free running.
    now : callable
        The LSL clock, seconds.
    progress : Progress
    """

    def __init__(
        self,
        decode: Decode,
        scorer: TrialScorer,
        bundle_hash: str,
        n_windows: int,
        now: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._decode = decode
        self._scorer = scorer
        self._bundle_hash = bundle_hash
        self._n_windows = n_windows
        self._now = now
        self._progress = progress
        self._two_way_sum = 0.0
        self._n_scored = 0

    def push(self, job: WindowJob) -> Decoded:
        """Decode one window; a window without features gives a frame flagged ``dropped``."""
        values = job.features.values
        if values is None:
            return self.failed(job)
        frame = self._frame(job)
        latent = self._decode(values, job.window.window_idx)
        decoded_s = self._now()
        self._progress.windows_decoded += 1
        self._progress.decode.add(decoded_s - job.received_s)
        self._progress.sample_to_latent.add(decoded_s - job.sample_s)
        trial = job.window.trial
        return Decoded(
            replace(
                frame,
                latent=latent.astype("<f4").tobytes(),
                stamps=replace(frame.stamps, decoded=decoded_s),
                cosine=self._scorer.raw_cosine(latent, trial.stimulus) if trial else None,
            ),
            latent,
        )

    def failed(self, job: WindowJob) -> Decoded:
        """Return the frame of a window that has no latent."""
        self._progress.windows_dropped += 1
        frame = self._frame(job)
        return Decoded(replace(frame, flags=replace(frame.flags, dropped=True)), None)

    def _frame(self, job: WindowJob) -> FrameMessage:
        window, trial = job.window, job.window.trial
        return FrameMessage(
            version=VERSION,
            sequence=job.sequence,
            bundle=self._bundle_hash,
            sample_start=window.start,
            sample_stop=window.stop,
            window_start_s=job.start_s,
            window_stop_s=job.stop_s,
            window_idx=window.window_idx,
            n_windows=self._n_windows,
            trial=trial.trial if trial else None,
            stimulus=trial.stimulus if trial else None,
            onset_s=trial.onset_s if trial else None,
            n_lost=job.features.n_lost,
            n_bad_channels=job.features.n_bad_channels,
            flags=Flags(
                gap=job.features.n_lost > 0,
                late=window.late,
                degraded=job.features.n_bad_channels > 0,
            ),
            stamps=Stamps(sample=job.sample_s, received=job.received_s, due=job.due_s),
        )

    def score(self, decoded: Decoded) -> TrialMessage | None:
        """Return the trial's score when this was its last window and its stimulus is known."""
        frame = decoded.frame
        last = frame.window_idx == self._n_windows - 1
        if decoded.latent is None or frame.trial is None or frame.stimulus is None or not last:
            return None
        score = self._scorer.score(decoded.latent, frame.stimulus)
        if score is None:
            return None
        self._n_scored += 1
        self._two_way_sum += score.two_way
        return TrialMessage(
            version=VERSION,
            trial=frame.trial,
            stimulus=frame.stimulus,
            sequence=frame.sequence,
            cosine=score.cosine,
            mean_latent_cosine=score.mean_latent_cosine,
            centred_cosine=score.centred_cosine,
            two_way=score.two_way,
            two_way_mean=self._two_way_sum / self._n_scored,
            n_trials=self._n_scored,
            pool=self._scorer.pool,
        )
