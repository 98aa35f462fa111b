"""Decodes a held-out recording as the live service would, and scores its single trials.

Causal by construction: features come from ``window_features`` (frozen statistics of the training recordings), and
latents one window at a time from the bundle's own decoder file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle, Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser
from offline.evaluation.scores import KnownTrials
from offline.recordings.features import window_features
from offline.recordings.recording import Recording


class Predicts(Protocol):
    """Anything that decodes: the arrays, or the ONNX file."""

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Decode one window of many trials."""


@dataclass(frozen=True, slots=True)
class FeatureChain:
    """What stands between a recording and its features; the bundle's, or the one being trained.

    Attributes
    ----------
    channels : ChannelMap
    windows : WindowSpec
    channel_mean, channel_sd : float64, axes (channel,)
    normalisation : Normalisation
    """

    channels: ChannelMap
    windows: WindowSpec
    channel_mean: NDArray[np.float64]
    channel_sd: NDArray[np.float64]
    normalisation: Normalisation

    @classmethod
    def of_bundle(cls, bundle: ModelBundle) -> FeatureChain:
        """Return the chain a bundle was trained with."""
        return cls(
            bundle.channels,
            bundle.windows,
            bundle.channel_mean,
            bundle.channel_sd,
            bundle.manifest.normalisation,
        )

    def features(
        self,
        recording: Recording,
        onsets: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Cut all windows; float32, axes (trial, window, channel), NaN where too much is missing.

        Raises
        ------
        SessionError
            The recording has other electrodes than the chain.
        """
        if not self.channels.same_electrodes(recording.channels):
            raise SessionError(
                f"recording: {recording.channels.n_channels} electrodes "
                f"({', '.join(recording.channels.rois())}), the bundle was trained on other "
                f"{self.channels.n_channels}. Use the bundle of this animal."
            )
        normaliser = Normaliser(
            self.normalisation, self.channel_mean, self.channel_sd, self.windows.rate_hz
        )
        return window_features(
            recording.blocks(),
            onsets,
            self.windows,
            recording.channels,
            normaliser,
            progress=progress,
        )


def decode_windows(decoder: Predicts, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decode every window of every trial.

    Parameters
    ----------
    decoder : Predicts
    features : float32, axes (trial, window, channel)

    Returns
    -------
    float32, axes (trial, window, latent); NaN where the features are
    """
    return np.stack([decoder.predict(features[:, k], k) for k in range(features.shape[1])], axis=1)


def known_trials(
    stimuli: list[str],
    known: dict[str, NDArray[np.float32]],
    mean: NDArray[np.floating],
) -> tuple[NDArray[np.intp], KnownTrials]:
    """Return which trials' stimuli are known, and the truth about those.

    Parameters
    ----------
    stimuli : list of str, axes (trial,)
    known : dict of stimulus id to latent, float32, axes (latent,)
    mean : float, axes (latent,)

    Returns
    -------
    int, axes (known trial,)
        Positions of the trials that can be scored.
    KnownTrials
        Identification's pool is every known stimulus that was shown.

    Raises
    ------
    SessionError
        No stimulus is known.
    """
    trials = np.array([i for i, s in enumerate(stimuli) if s in known], np.intp)
    if not len(trials):
        shown = ", ".join(sorted(set(stimuli))[:3])
        raise SessionError(
            f"session: none of its {len(set(stimuli))} stimuli ({shown}, ...) has a known latent, expected ids of "
            "the session's /stimuli, the bundle, or --latents. Give --latents FILE.npz."
        )
    ids = sorted({stimuli[i] for i in trials})
    row = {s: i for i, s in enumerate(ids)}
    return trials, KnownTrials(
        pool=np.stack([known[s] for s in ids]).astype(np.float32),
        true_idx=np.array([row[stimuli[i]] for i in trials], np.int64),
        mean=np.asarray(mean, np.float32),
    )
