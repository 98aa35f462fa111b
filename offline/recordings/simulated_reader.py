"""A simulated session as a recording like any other: what the writers of all formats are given. Made while it is read.

Reads forward; a step back of more than what is held makes the stream anew from its first sample, to the same numbers.
In memory: a few blocks, and 17 bytes a sample for the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.session import SessionMarker
from b2g_rt.simulation.disturbances import DisturbedStream
from offline.recordings.formats.placement import by_index
from offline.recordings.formats.reader import SIMULATED, RecordingInfo, RecordingReader, Stimuli
from offline.recordings.formats.trial_table import TrialTable

START_S = 10_000.0
"""Stamp of the first sample: an LSL clock counts from when its machine started."""

_BLOCK_SAMPLES = 1000
_HELD_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class ShownTrials:
    """What is shown on a day; axes (trial,).

    Attributes
    ----------
    stimulus : tuple of str
    split : tuple of str
        'train' or 'test'.
    """

    stimulus: tuple[str, ...]
    split: tuple[str, ...]


class SimulatedReader(RecordingReader):
    """One simulated day.

    Parameters
    ----------
    path : Path
        What the errors of writers name.
    stream : DisturbedStream
        Lost samples are missing rows.
    rate_hz : float
        Of the stream.
    channels : ChannelMap
    shown : ShownTrials
    stimuli : Stimuli
        Ids and latents.
    provenance : dict
    day : int
        From 1.
    """

    def __init__(
        self,
        path: Path,
        stream: DisturbedStream,
        rate_hz: float,
        channels: ChannelMap,
        shown: ShownTrials,
        stimuli: Stimuli,
        provenance: dict[str, Any],
        day: int,
    ) -> None:
        self._stream = stream
        self._shown = shown
        self._stimuli = stimuli
        self._provenance = provenance
        self._day = day
        self._rate_hz = rate_hz
        self._created = datetime.now(UTC)
        self._index = _received(stream)
        self.channels = channels
        self.n_samples = len(self._index)
        self.gaps = by_index(self._index, START_S + self._index / rate_hz, rate_hz)
        self.info = RecordingInfo(
            path=path,
            format=SIMULATED,
            kind="continuous",
            unit="uV",
            rate_hz=rate_hz,
            n_columns=stream.n_columns,
            simulated=True,
        )
        self._blocks: Iterator[NDArray[np.float32]] = iter(())
        self._held: list[NDArray[np.float32]] = []
        self._held_from = self._read_to = self.n_samples

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, column)."""
        if start < self._held_from:
            self._blocks = (block for _, block in self._stream.blocks(_BLOCK_SAMPLES))
            self._held, self._held_from, self._read_to = [], 0, 0
        rows = np.empty((stop - start, self.info.n_columns), np.float32)
        done = 0
        while True:
            first = self._held_from
            for block in self._held:
                a, b = max(start + done, first), min(stop, first + len(block))
                if a == start + done and b > a:
                    rows[done : b - start] = block[a - first : b - first]
                    done = b - start
                first += len(block)
            if done == len(rows):
                return rows
            self._read_on()

    def _read_on(self) -> None:
        block = next(self._blocks)
        self._held.append(block)
        self._read_to += len(block)
        if len(self._held) > _HELD_BLOCKS:
            self._held_from += len(self._held.pop(0))

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the samples that were not lost."""
        return self._index[start:stop]

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps, LSL clock."""
        return START_S + self._index[start:stop] / self._rate_hz

    def markers(self) -> list[SessionMarker]:
        """Return the onsets, each as the stimulus' id."""
        times = START_S + self._stream.onsets / self._rate_hz
        return [
            SessionMarker(float(t), text)
            for t, text in zip(times, self._shown.stimulus, strict=True)
        ]

    def trials(self) -> TrialTable:
        """Return what was shown."""
        onsets = np.asarray(self._stream.onsets, np.int64)
        return TrialTable(
            self._shown.stimulus,
            onsets,
            START_S + onsets / self._rate_hz,
            self._shown.split,
            np.full(len(onsets), self._day, np.int64),
        )

    def stimuli(self) -> Stimuli:
        """Return ids and latents."""
        return self._stimuli

    def provenance(self) -> dict[str, object]:
        """Return the macaque, its seeds, and what goes wrong."""
        return dict(self._provenance)

    def created(self) -> datetime:
        """Return when it was begun: now."""
        return self._created

    def close(self) -> None:
        """Do nothing: there is no file."""


def _received(stream: DisturbedStream) -> NDArray[np.int64]:
    kept = np.ones(stream.n_samples, np.bool_)
    for event in stream.events:
        if event.kind == "loss":
            kept[event.start : event.stop] = False
    return np.flatnonzero(kept).astype(np.int64)
