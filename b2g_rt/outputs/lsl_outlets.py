"""LSL outlets: latents and decoder events, for LabRecorder and every other LSL client.

``LatentOutlet``, type ``B2G-Latents``, float32, irregular rate: one sample per decoded window. Channels: the
latents ``latent 0`` ... ``latent n-1``, then ``sequence``, ``trial`` (-1: none), ``window_idx`` and ``flags``
(bits as in contracts/recorded_frames.py). float32 counts exactly to 2^24: at 40 windows/s that is 116 hours.
``EventOutlet``, type ``B2G-Events``, one string channel: JSON of frames without latent and picture, of stimuli
without picture, of trials, of encodings without arrays, and of events; fields as in docs/messages.md.

Time stamps are on the LSL clock and say what the sample is about, not when it was sent: a window's end, an
onset, an event's own time. So a window decoded late carries a stamp of the past, and stamps need not ascend.
The types keep these streams from being taken for MUA or markers by mistake.
pylsl is imported when an outlet is opened. Knows nothing of sockets, files, Qt.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import numpy as np

from b2g_rt.contracts.messages import (
    ARRAYS,
    EventMessage,
    FrameMessage,
    Occurrence,
    StimulusMessage,
    latent_of,
)
from b2g_rt.contracts.recorded_frames import flag_bits

LATENTS_TYPE = "B2G-Latents"
EVENTS_TYPE = "B2G-Events"
IDENTITY_CHANNELS = ("sequence", "trial", "window_idx", "flags")
# Of an irregular stream liblsl keeps 100 samples per "second": 6000, that is 150 s of windows every 25 ms.
_MAX_BUFFERED = 60

_JSON = msgspec.json.Encoder()


class LatentOutlet:
    """One sample per frame that has a latent, stamped with its window's end.

    Parameters
    ----------
    name : str
        Stream name.
    n_latents : int
    bundle : str
        Hash of the bundle, written into the stream's description.
    """

    def __init__(self, name: str, n_latents: int, bundle: str = "") -> None:
        import pylsl

        labels = [*(f"latent {k}" for k in range(n_latents)), *IDENTITY_CHANNELS]
        info = pylsl.StreamInfo(
            name,
            LATENTS_TYPE,
            len(labels),
            pylsl.IRREGULAR_RATE,
            pylsl.cf_float32,
            _source_id(name),
        )
        channels = info.desc().append_child("channels")
        for k, label in enumerate(labels):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("type", "latent" if k < n_latents else "identity")
        info.desc().append_child_value("n_latents", str(n_latents))
        info.desc().append_child_value("time_stamp", "end of the decoding window, LSL clock")
        info.desc().append_child_value("bundle", bundle)
        self._n_latents = n_latents
        self._row = np.empty(len(labels), np.float32)
        self._outlet = pylsl.StreamOutlet(info, chunk_size=1, max_buffered=_MAX_BUFFERED)

    def push(self, frame: FrameMessage) -> None:
        """Send the frame's latent; a dropped frame has none and is left out (the events tell of it).

        Raises
        ------
        ValueError
            The latent has another length than the stream: a fault of the caller.
        """
        latent = latent_of(frame)
        if latent is None or self._outlet is None:
            return
        if len(latent) != self._n_latents:
            raise ValueError(
                f"latent outlet: {len(latent)} latents, the stream has {self._n_latents}."
            )
        self._row[: self._n_latents] = latent
        trial = -1 if frame.trial is None else frame.trial
        self._row[self._n_latents :] = (
            frame.sequence,
            trial,
            frame.window_idx,
            flag_bits(frame.flags),
        )
        self._outlet.push_sample(self._row, frame.window_stop_s)

    def close(self) -> None:
        """Take the stream off the network; twice is harmless."""
        self._outlet = None


class EventOutlet:
    """Strings, one JSON object each, of everything but pictures and numbers by the hundred.

    Parameters
    ----------
    name : str
        Stream name.
    """

    def __init__(self, name: str) -> None:
        import pylsl

        info = pylsl.StreamInfo(
            name, EVENTS_TYPE, 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, _source_id(name)
        )
        channel = info.desc().append_child("channels").append_child("channel")
        channel.append_child_value("label", "json")
        self._now = pylsl.local_clock
        self._outlet = pylsl.StreamOutlet(info, chunk_size=1, max_buffered=_MAX_BUFFERED)

    def push(self, message: FrameMessage | Occurrence) -> None:
        """Send one message as JSON, stamped with its own time (a trial's result and its encoding: now)."""
        if self._outlet is not None:
            self._outlet.push_sample([event_json(message)], self._time_of(message))

    def _time_of(self, message: FrameMessage | Occurrence) -> float:
        if isinstance(message, FrameMessage):
            return message.window_stop_s
        if isinstance(message, StimulusMessage):
            return message.onset_s
        if isinstance(message, EventMessage):
            return message.time_s
        return float(self._now())

    def close(self) -> None:
        """Take the stream off the network; twice is harmless."""
        self._outlet = None


def event_json(message: FrameMessage | Occurrence) -> str:
    """Return a message as JSON without picture and arrays; a number that is none becomes null."""
    fields: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    for name in ARRAYS:
        fields.pop(name, None)
    return _JSON.encode(fields).decode()


def _source_id(name: str) -> str:
    # The same after a restart, so that recorders find the stream again; another on another host.
    return f"b2g-rt:{socket.gethostname()}:{name}"
