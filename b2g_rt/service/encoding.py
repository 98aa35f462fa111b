"""The encoding stage: what a trial's stimulus should have evoked, beside what it did.

It gets every window after it was decoded and takes its own time: neither latents nor pictures wait for it.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.channels import ROIS
from b2g_rt.contracts.messages import VERSION, Agreement, EncodingMessage
from b2g_rt.inference.encoder import Encoder
from b2g_rt.service.decode import WindowJob
from b2g_rt.service.observed_responses import (
    ObservedResponse,
    ObservedResponses,
    windows_of_encoder,
)
from b2g_rt.service.progress import Progress
from b2g_rt.service.running_correlation import RunningCorrelation, correlation

LOG = logging.getLogger(__name__)

MIN_TRIALS = 10
"""Trials from which an electrode's r over trials is told."""
EVERYWHERE = "all"

Float32 = NDArray[np.float32]


class EncodingStage:
    """Compares predicted and observed responses, trial by trial.

    Parameters
    ----------
    encoder : Encoder
    bundle : ModelBundle
    progress : Progress

    Raises
    ------
    BundleError
        The encoder's responses are over windows that the bundle does not have.
    """

    def __init__(self, encoder: Encoder, bundle: ModelBundle, progress: Progress) -> None:
        self._encoder = encoder
        self._progress = progress
        self._observed = ObservedResponses(bundle, windows_of_encoder(encoder.fitted, bundle))
        roi = np.array(bundle.channels.roi)
        self._groups = {EVERYWHERE: np.ones(len(roi), bool)}
        self._groups |= {name: roi == name for name in ROIS if (roi == name).any()}
        self._over_trials = RunningCorrelation(len(roi))
        self._n_trials = 0
        self._n_in_training = 0
        self._named_unknown = False

    def needs(self, job: WindowJob) -> bool:
        """Whether a window has a part in a response; to be asked before handing one over."""
        return self._observed.needs(job.window)

    def push(self, job: WindowJob) -> list[EncodingMessage]:
        """Take one window, in the order in which windows close; return the trials that it completes."""
        found = (
            self._compare(response, job.sequence)
            for response in self._observed.take(job.window, job.features)
        )
        return [message for message in found if message]

    def _compare(self, response: ObservedResponse, sequence: int) -> EncodingMessage | None:
        stimulus = response.trial.stimulus
        predicted = self._encoder.response_to(stimulus)
        if predicted is None:
            self._name_unknown(stimulus)
        known = None if predicted is None else np.isfinite(predicted) & np.isfinite(response.values)
        if predicted is None or known is None or not known.any():
            self._progress.n_trials_unpredicted += 1
            return None
        predicted = np.where(known, predicted, np.float32(np.nan))
        observed = np.where(known, response.values, np.float32(np.nan))
        self._over_trials.add(predicted, observed)
        in_training = stimulus in self._encoder.fitted.stimuli.in_training
        self._n_trials += 1
        self._n_in_training += in_training
        self._progress.n_trials_predicted = self._n_trials
        return EncodingMessage(
            version=VERSION,
            trial=response.trial.trial,
            stimulus=stimulus,
            sequence=sequence,
            encoder=self._encoder.fitted.hash,
            predicted=predicted.astype("<f4").tobytes(),
            observed=observed.astype("<f4").tobytes(),
            agreement=self._agreement(predicted, observed, known),
            in_training=in_training,
            n_trials=self._n_trials,
            n_in_training=self._n_in_training,
            trial_r=self._trial_r(),
        )

    def _agreement(
        self, predicted: Float32, observed: Float32, known: NDArray[np.bool_]
    ) -> list[Agreement]:
        mean = self._encoder.mean_response
        found = []
        for name, members in self._groups.items():
            mine = members & known
            found.append(
                Agreement(
                    roi=name,
                    n_electrodes=int(np.count_nonzero(mine)),
                    r=correlation(predicted[mine], observed[mine]),
                    mean_response_r=correlation(mean[mine], observed[mine]),
                )
            )
        return found

    def _trial_r(self) -> bytes | None:
        if self._n_trials < MIN_TRIALS:
            return None
        return self._over_trials.r(MIN_TRIALS).astype("<f4").tobytes()

    def _name_unknown(self, stimulus: str) -> None:
        if not self._named_unknown:
            self._named_unknown = True
            LOG.warning(
                "encoder '%s': does not know stimulus '%s', nothing is predicted for it. Counted from now on",
                self._encoder.fitted.manifest.name,
                stimulus,
            )
