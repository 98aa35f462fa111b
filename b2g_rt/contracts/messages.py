"""Messages that travel from the service to displays, recorders and strangers' programs.

One message is one msgpack map, one ZeroMQ part; ``type`` and ``version`` stand in each. Never pickle.
A message of another version is refused by name. The layout, for writing a client from, is docs/messages.md.
Times are seconds on the LSL local clock of the service's host, float64; sample positions are indices of
the service's sample clock (0 = first sample received; lost samples are counted), intervals half open.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import MessageError

VERSION = 3
AdaptationState = Literal["off", "learning", "frozen"]
# A message of a few bytes must not make a display ask for gigabytes.
MAX_IMAGE_SIDE = 4096


class Topic(StrEnum):
    """One ZeroMQ socket each. ``PICTURES``, ``ACTIVITY``, ``STATUS``: conflate. ``EVENTS``: never."""

    PICTURES = "pictures"
    EVENTS = "events"
    ACTIVITY = "activity"
    STATUS = "status"


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture; axes (row, col, rgb), uint8. ``raw`` is C order, ``jpeg`` a baseline JPEG file."""

    format: Literal["raw", "jpeg"]
    height: int
    width: int
    data: bytes


class Stamps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a frame passed each stage, seconds on the LSL clock; None where it never came.

    ``sample``: the stamp of the window's last sample. ``received``: return of the pull that made the window due
    (its last sample, or a late marker).
    ``due``: the window was found due and cut. ``decoded``, ``rendered``, ``published``: stage finished.
    """

    sample: float
    received: float
    due: float
    decoded: float | None = None
    rendered: float | None = None
    published: float | None = None


class Flags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a frame must not hide.

    ``gap``: samples of the window were lost. ``late``: the marker came after the window had closed.
    ``degraded``: electrodes had to be left out (NaN, infinite). ``skipped``: latent, but no picture (newest
    wins, or it was not valid). ``dropped``: no latent (too much missing, or the window had left the ring).
    ``adapted``: the latent is the bundle's decoder's plus what was learnt in this session.
    """

    gap: bool = False
    late: bool = False
    degraded: bool = False
    skipped: bool = False
    dropped: bool = False
    adapted: bool = False


class VersionedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What every message carries: ``type`` (its tag) and ``version``."""

    version: int


class FrameMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="frame"):
    """One due window, decoded and perhaps rendered; exactly one per due window on ``EVENTS``.

    ``latent``: float32 little-endian, axes (latent,). ``window_idx``: position k in the trial, of
    ``n_windows``. ``trial`` counts onset markers from 0; None when free running. ``cosine``: decoded against
    the stimulus's latent, raw, when that is known. On ``EVENTS`` frames carry no image; on ``PICTURES`` they do.
    """

    sequence: int
    bundle: str
    sample_start: int
    sample_stop: int
    window_start_s: float
    window_stop_s: float
    window_idx: int
    n_windows: int
    trial: int | None
    stimulus: str | None
    onset_s: float | None
    n_lost: int
    n_bad_channels: int
    flags: Flags
    stamps: Stamps
    latent: bytes | None = None
    image: Image | None = None
    cosine: float | None = None


class StimulusMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="stimulus"):
    """A stimulus came on. ``image`` is None when the bundle does not know the stimulus."""

    trial: int
    stimulus: str
    onset_s: float
    image: Image | None


class TrialMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="trial"):
    """A trial's last window was decoded, and how well; latents as in the bundle.

    ``cosine``: decoded against true latent, raw; ``mean_latent_cosine``: the same for the training mean;
    ``centred_cosine``: both minus the training mean. ``two_way``: share of the other ``pool - 1`` stimuli
    whose centred latent is farther (Pearson) from the decoded one than the true one is; chance .5;
    ``two_way_mean`` is the running mean over ``n_trials`` trials. All are of the latent that was published. The same
    of the bundle's decoder by itself, nothing learnt added: ``unadapted_cosine``, ``unadapted_centred_cosine``,
    ``unadapted_two_way``; None while the online ridge is off, when there is nothing to compare.
    """

    trial: int
    stimulus: str
    sequence: int
    cosine: float
    mean_latent_cosine: float
    centred_cosine: float
    two_way: float
    two_way_mean: float
    n_trials: int
    pool: int
    unadapted_cosine: float | None = None
    unadapted_centred_cosine: float | None = None
    unadapted_two_way: float | None = None


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well predicted responses fit observed ones, over the electrodes of an ROI (``roi`` is ``all``: over all).

    ``r``: Pearson over electrodes; ``mean_response_r``: the baseline, the same for the mean of what the encoder
    predicts for the stimuli it knows. None where it cannot be had: fewer than three electrodes, or no variation.
    """

    roi: str
    n_electrodes: int
    r: float | None
    mean_response_r: float | None


class EncodingMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="encoding"):
    """A trial's response was observed, and what the encoder predicts for its stimulus.

    ``sequence``: the frame whose window completed the response. ``encoder``: its SHA-256. ``predicted``, ``observed``:
    float32 little-endian, axes (channel,), z units, each electrode's mean over its ROI's window; NaN where an
    electrode is not predicted, was bad, or its window is missing. ``agreement``: all electrodes first, then each ROI.
    ``in_training``: the encoder was fitted to this stimulus, so it predicts it better than a new one. ``trial_r``:
    float32, axes (channel,), Pearson over the ``n_trials`` trials so far, ``n_in_training`` of them with such stimuli;
    NaN where an electrode has fewer than ten; None before the tenth.
    """

    trial: int
    stimulus: str
    sequence: int
    encoder: str
    predicted: bytes
    observed: bytes
    agreement: list[Agreement]
    in_training: bool
    n_trials: int
    n_in_training: int
    trial_r: bytes | None = None


class EventMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="event"):
    """Something to know: a gap, a reconnect, a clock step, an unknown stimulus, a failure, a day's start.

    ``sample``: the first sample for which it holds, where it holds from a sample on (``day-start``).
    """

    kind: str
    level: Literal["info", "warning", "error"]
    text: str
    time_s: float
    sample: int | None = None


class ActivityMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="activity"):
    """Recent MUA for the array maps: mean of the last 50 ms, z units, float32, axes (channel,)."""

    time_s: float
    sample_stop: int
    values: bytes


class ChannelLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where each channel sits: ROI, array number, row and column in the 8x8 grid; axes (channel,)."""

    roi: list[str]
    array: list[int]
    row: list[int]
    col: list[int]


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Samples (or markers) of one stream; ``expected == received + lost`` at all times."""

    expected: int = 0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    late: int = 0
    reconnects: int = 0
    clock_steps: int = 0


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a duration, in milliseconds."""

    p50: float
    p99: float
    max: float


class StatusMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="status"):
    """What the service is doing; sent several times a second, also when there is no stream.

    ``state``: ``waiting`` (no stream), ``streaming``, ``stalled`` (connected, no samples), ``stopping``.
    ``speed``: replayed seconds per second (1 for live); ``simulated``: brain and stimuli are simulated.
    ``baseline``: the picture of the mean latent. ``note``: what the service is waiting for, else "".
    ``adaptation``: the online ridge is ``off``, ``learning`` or ``frozen``; ``n_trials_learnt`` is what it stands on.
    ``encoder``: SHA-256 of the encoder, "" without one; ``n_trials_predicted`` are compared with what it predicts,
    ``n_trials_unpredicted`` are not, because it does not know the stimulus or nothing was observed.
    """

    time_s: float
    state: Literal["waiting", "streaming", "stalled", "stopping"]
    note: str
    stream: str
    host: str
    rate_hz: float
    speed: float
    simulated: bool
    bundle: str
    bundle_name: str
    provider: str
    generator_provider: str
    decoder_kind: str
    n_trials: int
    windows_due: int
    windows_decoded: int
    windows_skipped: int
    windows_dropped: int
    frames_rendered: int
    frames_superseded: int
    frames_per_s: float
    latency_decode_ms: Quantiles | None
    latency_sample_to_latent_ms: Quantiles | None
    latency_sample_to_frame_ms: Quantiles | None
    mua: Ledger
    markers: Ledger
    layout: ChannelLayout
    baseline: Image | None
    n_trials_expected: int | None = None
    latent_gain: float = 1.0
    n_other_markers: int = 0
    n_unknown_stimuli: int = 0
    n_markers_too_old: int = 0
    n_failures: int = 0
    adaptation: AdaptationState = "off"
    n_trials_learnt: int = 0
    encoder: str = ""
    n_trials_predicted: int = 0
    n_trials_unpredicted: int = 0


Message = (
    FrameMessage
    | StimulusMessage
    | TrialMessage
    | EncodingMessage
    | EventMessage
    | ActivityMessage
    | StatusMessage
)

Occurrence = StimulusMessage | TrialMessage | EncodingMessage | EventMessage
"""What stands beside the frames on ``EVENTS``."""

ARRAYS = ("latent", "image", "predicted", "observed", "trial_r")
"""Fields that hold numbers by the hundred: left out where messages are written as text."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_T = TypeVar("_T")


class _Header(msgspec.Struct):
    type: str
    version: int


# Deeply nested bytes end in RecursionError, text that is no UTF-8 in UnicodeDecodeError.
_NO_MESSAGE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_HEADER_DECODER = msgspec.msgpack.Decoder(_Header)


def encode(message: Message) -> bytes:
    """Return the message as one msgpack map."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Read one message.

    Parameters
    ----------
    data : bytes
        One ZeroMQ part.

    Raises
    ------
    MessageError
        The bytes are no message of this program, or one of another version; the line says which.
    """
    return decode_as(_DECODER, data)


def decode_as(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    """Read one message of the types that ``decoder`` knows; raises as ``decode``."""
    try:
        header = _HEADER_DECODER.decode(data)
    except _NO_MESSAGE as error:
        raise MessageError(
            f"message of {len(data)} bytes: {error}, expected a b2g_rt message (msgpack map with type and "
            "version). Something else publishes on this address."
        ) from None
    if header.version != VERSION:
        raise MessageError(
            f"message '{header.type}': version {header.version}, this program reads version {VERSION}. "
            "Use the same release of b2g_rt on both sides."
        )
    try:
        return decoder.decode(data)
    except _NO_MESSAGE as error:
        raise MessageError(
            f"message '{header.type}': {error}, expected the layout of version {VERSION} (docs/messages.md)."
        ) from None


def raw_image(pixels: NDArray[np.uint8]) -> Image:
    """Wrap pixels, axes (row, col, rgb), without compression."""
    height, width, _ = pixels.shape
    return Image(format="raw", height=height, width=width, data=pixels.tobytes())


def jpeg_image(pixels: NDArray[np.uint8], quality: int = 90) -> Image:
    """Compress pixels, axes (row, col, rgb), as JPEG with full colour resolution (4:4:4)."""
    import simplejpeg

    height, width, _ = pixels.shape
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB")
    return Image(format="jpeg", height=height, width=width, data=data)


def pixels_of(image: Image) -> NDArray[np.uint8]:
    """Return the picture's pixels, uint8, axes (row, col, rgb).

    Raises
    ------
    MessageError
        The data do not hold the picture that the message announces.
    """
    if not (0 < image.height <= MAX_IMAGE_SIDE and 0 < image.width <= MAX_IMAGE_SIDE):
        raise MessageError(
            f"image: {image.height} x {image.width} pixels, expected 1 to {MAX_IMAGE_SIDE} on each side."
        )
    if image.format == "jpeg":
        import simplejpeg

        try:
            # From the header, before memory is taken: a few bytes can announce gigabytes.
            height, width, *_ = simplejpeg.decode_jpeg_header(image.data)
            _check_size(height, width, image)
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(image.data, colorspace="RGB")
        except ValueError as error:
            raise MessageError(f"image: {error}, expected a JPEG file.") from None
    else:
        if len(image.data) != image.height * image.width * 3:
            raise MessageError(
                f"image: {len(image.data)} bytes, expected {image.height} x {image.width} x 3."
            )
        pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    return pixels


def _check_size(height: int, width: int, image: Image) -> None:
    if (height, width) != (image.height, image.width):
        raise MessageError(
            f"image: {height} x {width} pixels, message says {image.height} x {image.width}."
        )


def latent_of(frame: FrameMessage) -> NDArray[np.float32] | None:
    """Return the frame's latent, float32, axes (latent,), or None.

    Raises
    ------
    MessageError
        The bytes are no whole number of floats.
    """
    return None if frame.latent is None else floats_of(frame.latent, "latent")


def floats_of(data: bytes, name: str) -> NDArray[np.float32]:
    """Return the numbers of a ``bin`` field.

    Raises
    ------
    MessageError
        The bytes are no whole number of floats; ``name`` is the field's.
    """
    if len(data) % 4:
        raise MessageError(f"{name}: {len(data)} bytes, expected a multiple of 4 (float32).")
    return np.frombuffer(data, "<f4")
