"""XDF as LabRecorder writes it: a signal stream and its markers, chunk behind chunk; nothing is held.

Functions return single chunks; ``write_xdf`` writes a recording of any format with them. Lost samples are a jump in the
stamps. XDF has no place for latents, sets and days; the channels' labels tell ROI, array and position.
Source of the layout: the XDF specification (github.com/sccn/xdf/wiki).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import SessionError
from offline.recordings.formats.ordered_rows import OrderedRows, labels_of, markers_of
from offline.recordings.formats.reader import RecordingReader, one_line, sample_rate
from offline.recordings.formats.xdf_chunks import BOUNDARY_UUID, MAGIC
from offline.whole_files import whole_file

MUA_STREAM, MARKER_STREAM = 1, 2
CHUNK_S = 0.25
"""How much of a stream comes in a chunk."""

CLOCK_OFFSET_S = 5.0
"""How often clock offsets are measured."""

BOUNDARY_S = 10.0
_HEADER, _STREAM, _SAMPLES, _CLOCK, _BOUNDARY, _FOOTER = range(1, 7)


def file_header() -> bytes:
    """Return what an XDF file begins with."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    xml = _xml(f"<version>1.0</version><datetime>{made}</datetime>")
    return MAGIC + chunk(_HEADER, xml.encode())


def stream_header(
    stream_id: int,
    name: str,
    kind: str,
    n_channels: int,
    rate_hz: float,
    channel_format: str,
    description: str = "",
) -> bytes:
    """Return a stream's header; ``rate_hz`` 0: irregular; ``description``: XML for its ``desc``."""
    xml = _xml(
        f"<name>{escape(name)}</name><type>{escape(kind)}</type><channel_count>{n_channels}</channel_count>"
        f"<nominal_srate>{rate_hz}</nominal_srate><channel_format>{channel_format}</channel_format>"
        f"<source_id>b2g-{stream_id}</source_id><desc>{description}</desc>"
    )
    return _of_stream(_STREAM, stream_id, xml.encode())


def sample_chunk(
    stream_id: int,
    stamps: NDArray[np.float64],
    rows: NDArray[Any],
    stamped: Literal["all", "first"] = "all",
) -> bytes:
    """Return a chunk of numbers, as float32.

    Parameters
    ----------
    stream_id : int
    stamps : float64, axes (sample,), s
    rows : axes (sample, column)
    stamped : {'all', 'first'}
        ``first``: the other stamps are left to be deduced from the rate.
    """
    values = np.ascontiguousarray(rows, "<f4").view(np.uint8).reshape(len(rows), -1)
    n_stamped = len(rows) if stamped == "all" else min(1, len(rows))
    times = np.ascontiguousarray(stamps[:n_stamped], "<f8").view(np.uint8).reshape(-1, 8)
    told = [np.full((n_stamped, 1), 8, np.uint8), times, values[:n_stamped]]
    others = [np.zeros((len(rows) - n_stamped, 1), np.uint8), values[n_stamped:]]
    content = b"".join(np.concatenate(parts, axis=1).tobytes() for parts in (told, others))
    return _of_stream(_SAMPLES, stream_id, _length(len(rows)) + content)


def text_chunk(stream_id: int, stamps: Sequence[float], texts: Sequence[str]) -> bytes:
    """Return a chunk of a stream of one text per sample."""
    parts = [_length(len(texts))]
    for stamp, text in zip(stamps, texts, strict=True):
        data = text.encode()
        parts += [struct.pack("<Bd", 8, stamp), _length(len(data)), data]
    return _of_stream(_SAMPLES, stream_id, b"".join(parts))


def clock_offset(stream_id: int, time_s: float, offset_s: float) -> bytes:
    """Return a measurement: at ``time_s`` of the sender's clock the recorder's was ``offset_s`` ahead."""
    return _of_stream(_CLOCK, stream_id, struct.pack("<dd", time_s, offset_s))


def boundary() -> bytes:
    """Return what a reader looks for behind damage."""
    return chunk(_BOUNDARY, BOUNDARY_UUID)


def footer(stream_id: int, first_s: float, last_s: float, n_samples: int) -> bytes:
    """Return a stream's footer."""
    xml = _xml(
        f"<first_timestamp>{first_s!r}</first_timestamp><last_timestamp>{last_s!r}</last_timestamp>"
        f"<sample_count>{n_samples}</sample_count>"
    )
    return _of_stream(_FOOTER, stream_id, xml.encode())


def chunk(tag: int, content: bytes) -> bytes:
    """Return a chunk."""
    return _length(len(content) + 2) + struct.pack("<H", tag) + content


def _of_stream(tag: int, stream_id: int, content: bytes) -> bytes:
    return chunk(tag, struct.pack("<I", stream_id) + content)


def write_xdf(
    reader: RecordingReader, path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write a recording.

    Parameters
    ----------
    reader : RecordingReader
    path : Path
        An existing file is replaced once the new one is whole.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Raises
    ------
    SessionError
        The recording has no time axis, cannot be read, or the file cannot be written.
    """
    info = reader.info
    rate_hz = sample_rate(info, "XDF holds streams only.")
    try:
        with whole_file(path) as part, part.open("wb") as file:
            _write(file, reader, rate_hz * info.speed, progress)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def _write(
    file: IO[bytes],
    reader: RecordingReader,
    per_s: float,
    progress: Callable[[int], None] | None,
) -> None:
    info = reader.info
    rows = OrderedRows(reader)
    time_s = rows.time_s()
    about = _channels_xml(reader.channels, info.unit) + _b2g_xml(info.simulated, info.speed)
    file.write(file_header())
    file.write(
        stream_header(MUA_STREAM, "mua", "MUA", info.n_columns, per_s, "float32", about)
        + stream_header(MARKER_STREAM, "stimuli", "Markers", 1, 0, "string")
        + boundary()
    )
    markers = markers_of(reader)
    marked_s = np.array([t for t, _ in markers], np.float64)
    per_chunk = max(1, round(CHUNK_S * per_s))
    measured = bounded = -np.inf
    at = n_marked = 0
    for block in rows.blocks():
        for first in range(0, len(block), per_chunk):
            stamps = time_s[at + first : at + min(first + per_chunk, len(block))]
            # As a recorder would: a marker comes before the first chunk that ends behind it.
            due = max(n_marked, int(np.searchsorted(marked_s, stamps[-1], side="right")))
            _write_markers(file, markers[n_marked:due])
            n_marked = due
            file.write(sample_chunk(MUA_STREAM, stamps, block[first : first + per_chunk]))
            if stamps[0] >= measured + CLOCK_OFFSET_S:
                measured = float(stamps[0])
                for stream_id in (MUA_STREAM, MARKER_STREAM):
                    file.write(clock_offset(stream_id, measured, 0.0))
            if stamps[0] >= bounded + BOUNDARY_S:
                bounded = float(stamps[0])
                file.write(boundary())
        at += len(block)
        if progress:
            progress(len(block))
    _write_markers(file, markers[n_marked:])
    file.write(boundary())
    if len(time_s):
        file.write(footer(MUA_STREAM, float(time_s[0]), float(time_s[-1]), len(time_s)))
    if markers:
        file.write(footer(MARKER_STREAM, markers[0][0], markers[-1][0], len(markers)))


def _write_markers(file: IO[bytes], due: list[tuple[float, str]]) -> None:
    if due:
        stamps, texts = zip(*due, strict=True)
        file.write(text_chunk(MARKER_STREAM, stamps, texts))


def _channels_xml(channels: ChannelMap, unit: str) -> str:
    unit = escape(unit)
    each = "".join(
        f"<channel><label>{label}</label><unit>{unit}</unit><type>MUA</type></channel>"
        for label in labels_of(channels)
    )
    return f"<channels>{each}</channels>"


def _b2g_xml(simulated: bool, speed: float) -> str:
    return f"<b2g><simulated>{int(simulated)}</simulated><speed>{speed!r}</speed></b2g>"


def _xml(content: str) -> str:
    return f'<?xml version="1.0"?><info>{content}</info>'


def _length(n: int) -> bytes:
    """Return a length in the fewest bytes that XDF knows: 1, 4 or 8."""
    if n < 1 << 8:
        return struct.pack("<BB", 1, n)
    return struct.pack("<BI", 4, n) if n < 1 << 32 else struct.pack("<BQ", 8, n)
