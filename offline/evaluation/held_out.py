"""From a recording to the features that a decoder sees live, and which trials' stimuli are known.

Causal by construction: features come from ``window_features``, with the statistics of the training recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle, Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser
from offline.evaluation.scores import KnownTrials
from offline.recordings.features import cut_windows, window_features, window_features_file
from offline.recordings.features_file import FeaturesFile
from offline.recordings.formats.reader import RecordingReader
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
        day_starts: Sequence[int] = (0,),
    ) -> NDArray[np.float32]:
        """Cut all windows; float32, axes (trial, window, channel), NaN where too much is missing.

        Running normalisation begins a day with the samples ``day_starts``, counted from the first one: as the service
        does with a stream's first sample.

        Raises
        ------
        SessionError
            The recording has other electrodes than the chain.
        """
        return window_features(
            recording.blocks(),
            onsets,
            self.windows,
            recording.channels,
            self._normaliser(recording, day_starts),
            progress=progress,
        )

    def cut(
        self,
        recording: Recording,
        onsets: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
        day_starts: Sequence[int] = (0,),
    ) -> Iterator[tuple[int, int, NDArray[np.float32] | None]]:
        """Yield (trial, window, values) in order of time, as ``features`` gathers them; see ``cut_windows``."""
        return cut_windows(
            recording.blocks(),
            onsets,
            self.windows,
            recording.channels,
            self._normaliser(recording, day_starts),
            progress=progress,
        )

    def features_file(
        self,
        path: Path,
        recording: Recording,
        onsets: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> FeaturesFile:
        """Cut all windows into a file, for more than fit in memory; otherwise as ``features``."""
        return window_features_file(
            path,
            recording.blocks(),
            onsets,
            self.windows,
            recording.channels,
            self._normaliser(recording, (0,)),
            progress=progress,
        )

    def _normaliser(self, recording: Recording, day_starts: Sequence[int]) -> Normaliser:
        self._check(recording)
        return Normaliser(
            self.normalisation,
            self.channel_mean,
            self.channel_sd,
            self.windows.rate_hz,
            day_starts=day_starts,
        )

    def responses(self, recording: RecordingReader, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return responses without a time axis as one window each; float32, axes (trial, 1, channel), z units.

        Raises
        ------
        SessionError
            The chain has more than one window, or other electrodes.
        """
        self._check(recording)
        if self.windows.anchor != "free":
            raise SessionError(
                f"{recording.info.path}: responses without a time axis, the decoder has {self.windows.n_windows} "
                "windows. Use one that was fitted with --kind fixed."
            )
        normaliser = Normaliser(
            self.normalisation, self.channel_mean, self.channel_sd, self.windows.rate_hz
        )
        values = [normaliser.apply(block.values) for block in recording.blocks()]
        return np.concatenate(values)[rows][:, None]

    def _check(self, recording: Recording) -> None:
        if not self.channels.same_electrodes(recording.channels):
            raise SessionError(
                f"recording: {recording.channels.n_channels} electrodes "
                f"({', '.join(recording.channels.rois())}), the bundle was trained on other "
                f"{self.channels.n_channels}. Use the bundle of this animal, or give --channels the map that it was "
                "fitted with."
            )


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
