"""The chunks of an XDF file: what lies where, walked from the first byte to the last; damage and a cut end are noted.

pyxdf loads a damaged or cut file without an exception; here nothing is left out silently. Values are not kept: a
recording of hours has gigabytes of them. Source of the layout: the XDF specification (github.com/sccn/xdf/wiki).
Knows bytes, nothing of clocks or channels.
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError

MAGIC = b"XDF:"
FORMATS = {
    "float32": "<f4",
    "double64": "<f8",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "string": "",
}
_HEADER, _STREAM, _SAMPLES, _CLOCK, _BOUNDARY, _FOOTER = range(1, 7)
_OF_STREAMS = (_STREAM, _SAMPLES, _CLOCK, _FOOTER)
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_MAX_CHUNK = 1 << 31
_SCAN = 1 << 20


@dataclass(frozen=True, slots=True)
class SampleChunk:
    """Rows [row, row + n) of a stream: ``length`` bytes from ``start``, which begin with the first sample."""

    row: int
    n: int
    start: int
    length: int


@dataclass(slots=True)
class XdfStream:
    """One stream.

    Attributes
    ----------
    stream_id : int
    name, type, format : str
    n_channels : int
    rate_hz : float
        0: irregular.
    header : Element
        Its XML.
    chunks : list of SampleChunk
    n_samples : int
    footer_samples : int or None
        What the footer says; None: no footer.
    """

    stream_id: int
    name: str
    type: str
    format: str
    n_channels: int
    rate_hz: float
    header: ET.Element
    chunks: list[SampleChunk] = field(default_factory=list)
    n_samples: int = 0
    footer_samples: int | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's values; 0 for strings."""
        return self.n_channels * np.dtype(FORMATS[self.format] or "V0").itemsize


@dataclass(slots=True)
class XdfFile:
    """What a walk found.

    Attributes
    ----------
    streams : dict of stream id to XdfStream
    good : list of (start, stop)
        Bytes of the chunks that are whole, the magic included.
    damage : list of str
        What had to be left out, and where.
    footer_cut : bool
        The file ends within a footer: no sample is missing.
    """

    streams: dict[int, XdfStream] = field(default_factory=dict)
    good: list[tuple[int, int]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    footer_cut: bool = False


def walk(file: IO[bytes], size: int, path: Path) -> XdfFile:
    """Find all chunks.

    Raises
    ------
    SessionError
        No XDF file, or no stream in it.
    """
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise SessionError(
            f"{path}: does not begin with 'XDF:', expected an XDF file of LabRecorder."
        )
    found = XdfFile(good=[(0, len(MAGIC))])
    at = len(MAGIC)
    while at < size:
        stop = _chunk(file, at, size, found)
        if stop is None:
            stop = _after_boundary(file, at + 1, size)
            which = "the last " if stop >= size else ""
            if stop >= size and _tag(file, at) == _FOOTER:
                found.footer_cut = True
            else:
                found.damage.append(
                    f"{which}{stop - at} bytes, from byte {at}, hold no whole chunk"
                )
        else:
            found.good.append((at, stop))
        at = stop
    if not found.streams:
        raise SessionError(
            f"{path}: no stream in its {size} bytes, expected a recording of LabRecorder. The file is cut short or "
            "damaged."
        )
    return found


def _chunk(file: IO[bytes], at: int, size: int, found: XdfFile) -> int | None:
    """Take in one chunk; return its end, None where there is no whole one."""
    file.seek(at)
    length, start = _variable(file.read(9), at)
    if length is None or length < 2 or length > _MAX_CHUNK or start + length > size:
        return None
    file.seek(start)
    head = file.read(2)
    (tag,) = struct.unpack("<H", head)
    stop = start + length
    if tag not in range(_HEADER, _FOOTER + 1) or (tag in _OF_STREAMS and length < 6):
        return None
    if tag not in _OF_STREAMS:
        return stop
    (stream_id,) = struct.unpack("<I", file.read(4))
    if tag == _STREAM:
        stream = _stream(file.read(length - 6), stream_id)
        if stream is None or stream_id in found.streams:
            return None
        found.streams[stream_id] = stream
        return stop
    known = found.streams.get(stream_id)
    if known is None or (tag == _CLOCK and length != 22):
        return None
    if tag == _SAMPLES:
        return stop if _samples(file, start + 6, stop, known) else None
    if tag == _FOOTER:
        known.footer_samples = _footer_samples(file.read(length - 6))
    return stop


def _tag(file: IO[bytes], at: int) -> int | None:
    file.seek(at)
    length, start = _variable(file.read(9), at)
    file.seek(start)
    tag = file.read(2)
    return None if length is None or len(tag) < 2 else int.from_bytes(tag, "little")


def _variable(head: bytes, at: int) -> tuple[int | None, int]:
    """Return a length of variable size and where what follows begins."""
    n = head[0] if head else 0
    if n not in (1, 4, 8) or len(head) < 1 + n:
        return None, at
    return int.from_bytes(head[1 : 1 + n], "little"), at + 1 + n


def _stream(xml: bytes, stream_id: int) -> XdfStream | None:
    try:
        root = ET.fromstring(xml.decode("utf-8", "replace"))
        text = {n: (root.findtext(n) or "").strip() for n in ("name", "type", "channel_format")}
        n_channels = int(root.findtext("channel_count") or "")
        rate_hz = float(root.findtext("nominal_srate") or "")
    except (ET.ParseError, ValueError):
        return None
    if text["channel_format"] not in FORMATS or not 0 < n_channels <= 1 << 20:
        return None
    if not 0 <= rate_hz < 1e7:
        return None
    return XdfStream(
        stream_id, text["name"], text["type"], text["channel_format"], n_channels, rate_hz, root
    )


def _footer_samples(xml: bytes) -> int | None:
    try:
        return int(ET.fromstring(xml.decode("utf-8", "replace")).findtext("sample_count") or "")
    except (ET.ParseError, ValueError):
        return None


def _samples(file: IO[bytes], at: int, stop: int, stream: XdfStream) -> bool:
    """Note a chunk of samples; False where its bytes do not hold as many as it says."""
    file.seek(at)
    n, start = _variable(file.read(9), at)
    if n is None:
        return False
    file.seek(start)
    data = file.read(stop - start)
    if stream.format == "string":
        fits = _strings_fit(data, n, stream.n_channels)
    else:
        fits = offsets(data, n, stream.row_bytes) is not None
    if fits:
        stream.chunks.append(SampleChunk(stream.n_samples, n, start, stop - start))
        stream.n_samples += n
    return fits


def offsets(data: bytes, n: int, row_bytes: int) -> NDArray[np.int64] | None:
    """Return where the values of each sample begin in a chunk, int64, axes (sample,); None where they do not fit.

    Notes
    -----
    A sample is one byte (0 or 8), then a stamp of so many bytes, then its values. Either all have a stamp, or none
    has, or (LabRecorder: only those that cannot be deduced) some have.
    """
    for stamp_bytes in (8, 0):
        stride = 1 + stamp_bytes + row_bytes
        if n * stride == len(data):
            flags = np.frombuffer(data, np.uint8)[::stride]
            if (flags == stamp_bytes).all():
                return np.arange(n, dtype=np.int64) * stride + 1 + stamp_bytes
    if n > len(data):
        return None
    found = np.empty(n, np.int64)
    at = 0
    for row in range(n):
        if at >= len(data) or data[at] not in (0, 8):
            return None
        at += 1 + data[at]
        found[row] = at
        at += row_bytes
    return found if at == len(data) else None


def _strings_fit(data: bytes, n: int, n_channels: int) -> bool:
    at = 0
    for _ in range(n):
        if at >= len(data) or data[at] not in (0, 8):
            return False
        at += 1 + data[at]
        for _ in range(n_channels):
            length, start = _variable(data[at : at + 9], at)
            if length is None or start + length > len(data):
                return False
            at = start + length
    return at == len(data)


def _after_boundary(file: IO[bytes], at: int, size: int) -> int:
    """Return the byte behind the next boundary chunk, or the file's size."""
    while at < size:
        file.seek(at)
        block = file.read(_SCAN + len(BOUNDARY_UUID))
        hit = block.find(BOUNDARY_UUID)
        if hit >= 0:
            return at + hit + len(BOUNDARY_UUID)
        at += _SCAN
    return size
