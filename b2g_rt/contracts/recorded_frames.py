"""Frames and events in a session file: what the service put out, beside what came in.

    /frames/sequence, sample_start, sample_stop, window_idx, n_windows, n_lost, n_bad_channels   int64
    /frames/trial            int64, -1 where there is none
    /frames/window_start_s, window_stop_s, onset_s, cosine   float64, NaN where there is none
    /frames/flags            int64, bits: gap 1, late 2, degraded 4, skipped 8, dropped 16, adapted 32
    /frames/stamps           float64, axes (frame, stage), NaN where the stage never came; stages in the order
                             sample, received, due, decoded, rendered, published
    /frames/latent           float32, axes (frame, latent), NaN where there is none
    /frames/stimulus, bundle   text columns, empty where there is none
    /frames/image            text column, each entry a JPEG file or empty
    /events/time_s           float64, NaN where the message has no time of its own (a trial's result, an encoding)
    /events/json             text column: stimuli, trials, encodings (without their arrays) and events as JSON, fields
                             as in docs/messages.md

All have the axes (frame,) or (event,) unless said otherwise; one row per message, in the order published.
A text column is described in session.py. Written by outputs/recorder.py, read by both wings.
Knows HDF5 and messages, nothing of LSL, Qt, ONNX.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import (
    ARRAYS,
    EncodingMessage,
    Flags,
    FrameMessage,
    Image,
    Occurrence,
    StimulusMessage,
    TrialMessage,
    jpeg_image,
    latent_of,
    pixels_of,
)
from b2g_rt.contracts.session import (
    GrowingColumn,
    SessionFile,
    TextColumn,
    n_written,
    read_text_column,
)
from b2g_rt.errors import SessionError

if TYPE_CHECKING:
    import h5py

STAGES = ("sample", "received", "due", "decoded", "rendered", "published")
FLAGS = ("gap", "late", "degraded", "skipped", "dropped", "adapted")

DAY_START = "day-start"
"""Kind of the events that say with which sample running normalisation starts a day."""

_INTEGERS = (
    "sequence",
    "sample_start",
    "sample_stop",
    "window_idx",
    "n_windows",
    "n_lost",
    "n_bad_channels",
)
_FLOATS = ("window_start_s", "window_stop_s", "onset_s", "cosine")
_TEXTS = ("stimulus", "bundle", "image")


def flag_bits(flags: Flags) -> int:
    """Return the flags as one number, the first of ``FLAGS`` in the lowest bit."""
    return sum(getattr(flags, name) << bit for bit, name in enumerate(FLAGS))


def flags_of(bits: int) -> Flags:
    """Return the flags that a number stands for."""
    return Flags(**{name: bool(bits >> bit & 1) for bit, name in enumerate(FLAGS)})


class FrameColumns:
    """The growing columns of /frames.

    Parameters
    ----------
    group : h5py.Group
        Empty; all columns are made at once, as SWMR demands.
    n_latents : int
        0 for a recording without a decoder.
    images : bool
        Whether pictures are kept; raw ones are compressed to JPEG here.
    """

    def __init__(self, group: h5py.Group, n_latents: int, *, images: bool) -> None:
        self._columns = {name: GrowingColumn(group, name, "i8") for name in _INTEGERS}
        self._columns |= {name: GrowingColumn(group, name, "i8") for name in ("trial", "flags")}
        self._columns |= {name: GrowingColumn(group, name, "f8") for name in _FLOATS}
        self._columns["stamps"] = GrowingColumn(group, "stamps", "f8", (len(STAGES),))
        self._columns["latent"] = GrowingColumn(group, "latent", "f4", (n_latents,))
        self._texts = {name: TextColumn(group, name) for name in _TEXTS}
        self._file = group.file
        self._n_latents = n_latents
        self._images = images

    def append(self, frames: Sequence[FrameMessage]) -> None:
        """Write frames at the end."""
        if not frames:
            return
        rows: dict[str, NDArray[Any]] = {
            name: np.array([getattr(f, name) for f in frames], np.int64) for name in _INTEGERS
        }
        rows["trial"] = np.array([-1 if f.trial is None else f.trial for f in frames], np.int64)
        rows["flags"] = np.array([flag_bits(f.flags) for f in frames], np.int64)
        rows |= {name: _floats([getattr(f, name) for f in frames]) for name in _FLOATS}
        rows["stamps"] = np.stack([_floats([getattr(f.stamps, s) for s in STAGES]) for f in frames])
        rows["latent"] = np.stack([self._latent(f) for f in frames])
        self._texts["stimulus"].append([(f.stimulus or "").encode() for f in frames])
        self._texts["bundle"].append([f.bundle.encode() for f in frames])
        self._texts["image"].append([self._jpeg(f.image) for f in frames])
        for name, column in self._columns.items():
            if name != "sequence":
                column.append(rows[name])
        # A frame counts once its sequence number is there, so that goes last.
        self._file.flush()
        self._columns["sequence"].append(rows["sequence"])

    def _latent(self, frame: FrameMessage) -> NDArray[np.float32]:
        latent = latent_of(frame)
        if latent is None or len(latent) != self._n_latents:
            return np.full(self._n_latents, np.nan, np.float32)
        return latent

    def _jpeg(self, image: Image | None) -> bytes:
        if image is None or not self._images:
            return b""
        return image.data if image.format == "jpeg" else jpeg_image(pixels_of(image)).data


class EventColumns:
    """The growing columns of /events; ``group`` is empty."""

    def __init__(self, group: h5py.Group) -> None:
        self._time_s = GrowingColumn(group, "time_s", "f8")
        self._json = TextColumn(group, "json")

    def append(self, messages: Sequence[Occurrence]) -> None:
        """Write messages at the end; a stimulus's picture is left out."""
        if not messages:
            return
        self._json.append([_event_json(m) for m in messages])
        self._time_s.append(_floats([_time_of(m) for m in messages]))


def _event_json(message: Occurrence) -> bytes:
    if isinstance(message, StimulusMessage):
        message = msgspec.structs.replace(message, image=None)
    if not isinstance(message, EncodingMessage):
        return msgspec.json.encode(message)
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    return msgspec.json.encode({k: v for k, v in fields.items() if k not in ARRAYS})


def _time_of(message: Occurrence) -> float | None:
    if isinstance(message, TrialMessage | EncodingMessage):
        return None
    return message.onset_s if isinstance(message, StimulusMessage) else message.time_s


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], np.float64)


@dataclass(frozen=True, slots=True)
class RecordedFrames:
    """The frames of a session, column by column; axes (frame,) and units as in the module's header.

    ``stimulus`` and ``bundle`` are texts, ``image`` JPEG files; empty where there is none.
    """

    sequence: NDArray[np.int64]
    sample_start: NDArray[np.int64]
    sample_stop: NDArray[np.int64]
    window_idx: NDArray[np.int64]
    n_windows: NDArray[np.int64]
    n_lost: NDArray[np.int64]
    n_bad_channels: NDArray[np.int64]
    trial: NDArray[np.int64]
    flags: NDArray[np.int64]
    window_start_s: NDArray[np.float64]
    window_stop_s: NDArray[np.float64]
    onset_s: NDArray[np.float64]
    cosine: NDArray[np.float64]
    stamps: NDArray[np.float64]
    latent: NDArray[np.float32]
    stimulus: list[str]
    bundle: list[str]
    image: list[bytes]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.sequence)

    def flagged(self, flag: str) -> NDArray[np.bool_]:
        """Return which frames carry a flag of ``FLAGS``, bool, axes (frame,)."""
        marked: NDArray[np.bool_] = (self.flags >> FLAGS.index(flag) & 1).astype(np.bool_)
        return marked


def read_frames(session: SessionFile) -> RecordedFrames:
    """Read all frames of a session into memory, pictures as JPEG.

    Raises
    ------
    SessionError
        The session has no frames: nothing was decoded when it was recorded.
    """
    group = _group(session, "frames", ("sequence", "latent", "stamps"))
    texts = {name: read_text_column(group, name) for name in _TEXTS}
    numbers = (*_INTEGERS, "trial", "flags", *_FLOATS, "stamps", "latent")
    # A killed writer can leave the columns of different length by one flush.
    n = min(*(len(group[name]) for name in numbers), *(len(t) for t in texts.values()))
    n = min(n, n_written(group["sequence"]))
    return RecordedFrames(
        **{name: np.asarray(group[name][:n]) for name in numbers},
        stimulus=[t.decode("utf-8", "replace") for t in texts["stimulus"][:n]],
        bundle=[t.decode("utf-8", "replace") for t in texts["bundle"][:n]],
        image=texts["image"][:n],
    )


def read_events(session: SessionFile) -> list[dict[str, Any]]:
    """Read stimuli, trials, encodings and events as plain dictionaries, fields as in docs/messages.md.

    Raises
    ------
    SessionError
        The session has no events: it was not written by the recorder.
    """
    group = _group(session, "events", ("time_s",))
    return [json.loads(entry) for entry in read_text_column(group, "json")]


def read_day_starts(session: SessionFile) -> list[int]:
    """Return with which samples (sample clock) running normalisation started a day, in order; empty without events."""
    if session.group("events") is None:
        return []
    events = (e for e in read_events(session) if e["type"] == "event" and e["kind"] == DAY_START)
    return [int(e["sample"]) for e in events]


def _group(session: SessionFile, name: str, parts: tuple[str, ...]) -> h5py.Group:
    group = session.group(name)
    if group is None or any(part not in group for part in parts):
        raise SessionError(
            f"{session.path}: no {name} in it, expected a session recorded by the service. "
            "Replay it into `b2g-rt serve --set record.path=NEW.h5`."
        )
    return group
