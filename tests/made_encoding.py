"""Scores of electrodes whose best space and latency are known, from responses drawn here: no network, no fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import paper_windows
from offline.encoding.contents import encoding_contents
from offline.encoding.dissimilarity import response_dissimilarity
from offline.encoding.joint_encoding import JointScores
from offline.encoding.layer_assignment import LayerAssignment, assign_layers, recovery
from offline.encoding.rsa import RsaScores, compare_rois
from offline.encoding.scores import EncodingScores, score_encoding
from offline.encoding.statistics import mean_r_interval
from offline.encoding.time_resolved import TimeResolvedScores, score_over_time

SPACES = ("VGG1", "VGG2", "VGG3", "VGG4", "VGG5", "w")
TUNING = {"V1": ("VGG1",), "V4": ("VGG3",), "IT": ("VGG5", "w")}
BEGINS_MS = {"V1": 35.0, "V4": 60.0, "IT": 85.0}
"""From here on an electrode responds, so the first window with anything in it closes at the next multiple of 25 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeEncoding:
    channels: ChannelMap
    truth: tuple[str, ...]
    signal: NDArray[np.float64]
    scores: EncodingScores
    assignment: LayerAssignment
    time: TimeResolvedScores
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]

    def contents(self, **more: Any) -> dict[str, Any]:
        """Everything; what is given takes the place of what is made."""
        groups = tuple(self.channels.channels_of(roi) for roi in self.channels.rois())
        options: dict[str, Any] = {
            "mean_r": mean_r_interval(self.predicted, self.observed, groups, n_resamples=50),
            "time": self.time,
            "recovered": {
                roi: recovery(
                    self.assignment,
                    self.truth,
                    self.scores.informative,
                    self.channels.channels_of(roi),
                )
                for roi in self.channels.rois()
            },
            "rsa": self.rsa(),
            "joint": self.joint(),
            "n_resamples": 100,
        }
        return encoding_contents(self.scores, self.assignment, **(options | more))

    def rsa(self) -> RsaScores:
        """Responses of an ROI depend on signals of its own; VGG1 is made of V1's, w of IT's."""
        rng = np.random.default_rng(62)
        repetitions = self.observed + 0.5 * rng.standard_normal((4, *self.observed.shape))
        spaces = {}
        for space, roi in (("VGG1", "V1"), ("VGG3", "V4"), ("w", "IT")):
            signal = self.signal[:, self.channels.channels_of(roi)]
            mixed = signal + 0.5 * rng.standard_normal(signal.shape)
            spaces[space] = response_dissimilarity(mixed)
        return compare_rois(spaces, repetitions, self.channels, n_permutations=199)

    def joint(self) -> JointScores:
        """VGG1 and w together; explained variance as if it were additive in r squared."""
        alone = np.square(np.maximum(self.scores.r[[0, -1]], 0.0))
        shared = 0.5 * alone.min(axis=0)
        unique = alone - shared
        explained = unique.sum(axis=0) + shared
        return JointScores(
            spaces=(SPACES[0], SPACES[-1]),
            channels=self.channels,
            n_test=len(self.observed),
            r=np.sqrt(explained),
            p=np.zeros_like(explained),
            explained=explained,
            unique=unique,
            shared=shared,
            product=unique + 0.5 * shared,
            gamma=np.full_like(unique, 0.5),
            regularisation=np.ones_like(explained),
            ceiling=self.scores.ceiling,
        )


def three_arrays() -> ChannelMap:
    """V1, a dead V1 array, V4 and IT; IT lacks three electrodes."""
    return ChannelMap(
        256,
        (
            ArraySlot(0, "V1", 0),
            ArraySlot(1, "V1", 64, dead=True),
            ArraySlot(2, "V4", 128),
            ArraySlot(3, "IT", 192, dead_electrodes=(0, 9, 63)),
        ),
    )


def made_encoding(
    channels: ChannelMap | None = None, n_test: int = 100, seed: int = 61, silent: float = 0.25
) -> MadeEncoding:
    """Draw responses; a share ``silent`` of the electrodes answers nothing."""
    channels = channels or three_arrays()
    rng = np.random.default_rng(seed)
    n = channels.n_channels
    truth = [TUNING[roi][i % len(TUNING[roi])] for i, roi in enumerate(channels.roi)]
    signal = rng.standard_normal((n_test, n))
    strength = rng.uniform(0.5, 0.9, n) * (rng.random(n) > silent)
    windows = paper_windows()
    stops = np.array([windows.start_of(k) + windows.length for k in range(windows.n_windows)])
    begins = np.array([BEGINS_MS[roi] for roi in channels.roi])
    gain = np.clip((stops[:, None] - begins) / 60.0, 0.0, 1.0)  # (window, channel)
    noise = rng.standard_normal((n_test, windows.n_windows, n))
    observed = gain * strength * signal[:, None] + np.sqrt(1 - (gain * strength) ** 2) * noise
    position = {space: i for i, space in enumerate(SPACES)}
    away = np.abs(np.arange(len(SPACES))[:, None] - [position[t] for t in truth])
    alike = 0.8**away * 0.95
    other = rng.standard_normal((len(SPACES), n_test, n))
    right = alike[:, None] * signal + np.sqrt(1 - alike[:, None] ** 2) * other
    fitted = (gain > 0)[None, None] * right[:, :, None]
    chance = rng.standard_normal((len(SPACES), n_test, windows.n_windows, n))
    predicted = np.where(fitted == 0, chance, fitted)
    lam = np.full((len(SPACES), n), 10.0)
    scores = score_encoding(SPACES, predicted[:, :, -1], observed[:, -1], channels, strength, lam)
    time = score_over_time(
        SPACES,
        (p.reshape(n_test, -1) for p in predicted),
        observed,
        channels,
        windows,
        (np.full(n * windows.n_windows, 10.0) for _ in SPACES),
    )
    tuned = tuple(t if s else "" for t, s in zip(truth, strength, strict=True))
    return MadeEncoding(
        channels,
        tuned,
        signal,
        scores,
        assign_layers(scores),
        time,
        predicted[:, :, -1],
        observed[:, -1],
    )
