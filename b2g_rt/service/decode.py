"""The decode stage: window features in, latents out, none dropped; says how well a trial went."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from b2g_rt.contracts.messages import VERSION, Flags, FrameMessage, Stamps, TrialMessage
from b2g_rt.contracts.windows import DueWindow, Shown, Trial, WindowFeatures
from b2g_rt.service.adaptation import Adaptation, Corrected
from b2g_rt.service.progress import Progress
from b2g_rt.service.scoring import TrialScorer
from b2g_rt.service.trial_decoder import DecodesWindows

LOG = logging.getLogger(__name__)

MAX_RECENT = 400
"""Free-running windows that are kept for markers that come late: ten seconds of the paper's."""


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
    """A frame without its picture, and the latent as numbers, float32, axes (latent,).

    ``unadapted``: the bundle's own, where there is an online ridge to compare it with. ``shows``: see ``DueWindow``.
    """

    frame: FrameMessage
    latent: NDArray[np.float32] | None
    unadapted: NDArray[np.float32] | None = None
    shows: tuple[Shown, ...] = ()


class DecodeStage:
    """Turns one job into one frame.

    Parameters
    ----------
    decoder : DecodesWindows
    scorer : TrialScorer
    bundle_hash : str
    n_windows : int
        Windows per trial, 1 when free running.
    now : callable
        The LSL clock, seconds.
    progress : Progress
    adaptation : Adaptation, optional
        What is added to the decoder's latents; None: nothing.
    """

    def __init__(
        self,
        decoder: DecodesWindows,
        scorer: TrialScorer,
        bundle_hash: str,
        n_windows: int,
        now: Callable[[], float],
        progress: Progress,
        adaptation: Adaptation | None = None,
    ) -> None:
        self._adaptation = adaptation
        self._decoder = decoder
        self._scorer = scorer
        self._bundle_hash = bundle_hash
        self._n_windows = n_windows
        self._now = now
        self._progress = progress
        self._two_way_sum = 0.0
        self._n_scored = 0
        self._recent: OrderedDict[int, Decoded] = OrderedDict()

    def push(self, job: WindowJob) -> Decoded:
        """Decode one window; a window without features gives a frame flagged ``dropped``."""
        values = job.features.values
        if values is None:
            return self.failed(job)
        frame = self._frame(job)
        decoded = Corrected(self._decoder.decode(values, job.window), None, adapted=False)
        if self._adaptation:
            decoded = self._adaptation.correct(decoded.latent, job.window, job.features)
        latent = decoded.latent
        decoded_s = self._now()
        self._progress.windows_decoded += 1
        self._progress.decode.add(decoded_s - job.received_s)
        self._progress.sample_to_latent.add(decoded_s - job.sample_s)
        trial = job.window.trial
        whole = Decoded(
            replace(
                frame,
                latent=latent.astype("<f4").tobytes(),
                flags=replace(frame.flags, adapted=decoded.adapted),
                stamps=replace(frame.stamps, decoded=decoded_s),
                cosine=self._scorer.raw_cosine(latent, trial.stimulus) if trial else None,
            ),
            latent,
            decoded.unadapted,
            job.window.shows,
        )
        if trial is None:
            self._keep(whole)
        return whole

    def failed(self, job: WindowJob) -> Decoded:
        """Return the frame of a window that has no latent."""
        self._progress.windows_dropped += 1
        if self._adaptation:
            self._adaptation.missed(job.window)
        frame = self._frame(job)
        flags = replace(frame.flags, dropped=True)
        return Decoded(replace(frame, flags=flags), None, shows=job.window.shows)

    def _keep(self, decoded: Decoded) -> None:
        """Keep a free-running window until its trial's marker may have come."""
        self._recent[decoded.frame.sample_start] = decoded
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

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

    def scores(self, decoded: Decoded) -> list[TrialMessage]:
        """Return the scores of the trials that this window lets be scored and whose stimuli are known."""
        messages = []
        for shown in decoded.shows:
            free = decoded.frame.trial is None
            window = self._recent.get(shown.start) if free else decoded
            message = window and self._score(window, shown.trial)
            if message:
                messages.append(message)
        return messages

    def _score(self, decoded: Decoded, trial: Trial) -> TrialMessage | None:
        if decoded.latent is None:
            return None
        score = self._scorer.score(decoded.latent, trial.stimulus)
        if score is None:
            return None
        self._n_scored += 1
        self._two_way_sum += score.two_way
        alone = decoded.unadapted
        unadapted = None if alone is None else self._scorer.score(alone, trial.stimulus)
        message = TrialMessage(
            version=VERSION,
            trial=trial.trial,
            stimulus=trial.stimulus,
            sequence=decoded.frame.sequence,
            cosine=score.cosine,
            mean_latent_cosine=score.mean_latent_cosine,
            centred_cosine=score.centred_cosine,
            two_way=score.two_way,
            two_way_mean=self._two_way_sum / self._n_scored,
            n_trials=self._n_scored,
            pool=self._scorer.pool,
            unadapted_cosine=unadapted.cosine if unadapted else None,
            unadapted_centred_cosine=unadapted.centred_cosine if unadapted else None,
            unadapted_two_way=unadapted.two_way if unadapted else None,
        )
        self._progress.comparison.add(message)
        return message
