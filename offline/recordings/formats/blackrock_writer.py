"""Blackrock's NSx 2.3 (signals) and NEV 2.3 (events), as the amplifier writes them; blocks of bounded size.

Values are int16 in steps of a quarter of a microvolt up to 8191 uV, as the hardware has them: what is written differs
by at most an eighth of a microvolt from the recording, and is cut off beyond. Lost samples begin a new block of data
with its own stamp; neo, and with it our reader, takes a block of a single row for none, so such a row reads as lost.
Markers become digital inputs where all are whole numbers of 16 bits, else comments.
The format has no place for latents, sets, days and, but for labels, electrodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.blackrock_files import EVENTS, SIGNALS
from offline.recordings.formats.ordered_rows import OrderedRows, labels_of, markers_of
from offline.recordings.formats.reader import RecordingReader, one_line, sample_rate
from offline.whole_files import whole_file

STAMPS_PER_S = 30_000
"""The amplifier's clock."""

STEPS_PER_UV = 4
_MAX_DIGITAL, _MAX_UV = 32764, 8191
_SIGNAL_HEADER, _CHANNEL_HEADER, _EVENT_HEADER, _EXTENDED = 314, 66, 336, 32
_PACKET = 104
_MAX_TEXT = _PACKET - 12
_MAX_STAMP = 1 << 32
_MAX_HOURS = 39.7
_COMMENT = 0xFFFF


class NsxFile:
    """An NSx file, written block of data behind block of data.

    Parameters
    ----------
    file : binary file
        Empty, open for writing.
    labels : sequence of str, axes (column,)
    rate_hz : float
        30 000 divided by a whole number.
    began : datetime
        Wall clock of stamp 0.
    """

    def __init__(
        self, file: IO[bytes], labels: Sequence[str], rate_hz: float, began: datetime
    ) -> None:
        self._file = file
        self._n_columns = len(labels)
        period = round(STAMPS_PER_S / rate_hz)
        n_bytes = _SIGNAL_HEADER + _CHANNEL_HEADER * len(labels)
        file.write(struct.pack("<8sBBI", b"NEURALCD", 2, 3, n_bytes))
        about = f"{rate_hz / 1000:g} kS/s".encode()
        file.write(
            struct.pack("<16s256sII", about, b"written by b2g-offline", period, STAMPS_PER_S)
        )
        file.write(_system_time(began) + struct.pack("<I", len(labels)))
        digital = (-_MAX_DIGITAL, _MAX_DIGITAL, -_MAX_UV, _MAX_UV)
        for k, label in enumerate(labels):
            file.write(
                struct.pack("<2sH16sBB4h", b"CC", k + 1, label.encode()[:15], 1, 1, *digital)
            )
            file.write(struct.pack("<16sIIHIIH", b"uV", 300, 1, 1, 7_500_000, 3, 1))

    def block(self, stamp: int, n_rows: int, parts: Iterable[NDArray[np.floating]]) -> None:
        """Write a stretch without a gap.

        Parameters
        ----------
        stamp : int
            Of the first row, 30 000 a second.
        n_rows : int
            In all parts together.
        parts : iterable of float, axes (sample, column), uV

        Raises
        ------
        ValueError
            Values that are no numbers.
        """
        self._file.write(struct.pack("<BII", 1, stamp, n_rows))
        for rows in parts:
            if not np.isfinite(rows).all():
                raise ValueError("values that are no numbers, which 16-bit integers cannot hold")
            steps = np.round(rows * np.float32(STEPS_PER_UV))
            clipped = np.clip(steps, -_MAX_DIGITAL, _MAX_DIGITAL)
            self._file.write(clipped.astype("<i2").tobytes())


def write_nev(file: IO[bytes], events: Iterable[tuple[int, int | str]], began: datetime) -> None:
    """Write an NEV file.

    Parameters
    ----------
    file : binary file
        Empty, open for writing.
    events : iterable of (stamp, event)
        By stamp, 30 000 a second; a number of 16 bits is a digital input, a text of up to 92 bytes a comment.
    began : datetime
        Wall clock of stamp 0.
    """
    n_bytes = _EVENT_HEADER + _EXTENDED
    head = struct.pack(
        "<8sBBHIIII", b"NEURALEV", 2, 3, 1, n_bytes, _PACKET, STAMPS_PER_S, STAMPS_PER_S
    )
    head += _system_time(began) + struct.pack("<32s256sI", b"b2g-offline", b"", 1)
    file.write(head + struct.pack("<8s16sB7x", b"DIGLABEL", b"digin", 1))
    for stamp, event in events:
        if isinstance(event, int):
            packet = struct.pack("<IHBxH", stamp, 0, 1, event)
        else:
            packet = struct.pack("<IHBBI", stamp, _COMMENT, 0, 0, 0) + event.encode("latin-1")
        file.write(packet.ljust(_PACKET, b"\x00"))


def write_blackrock(
    reader: RecordingReader, path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write a recording; the events go beside it, with the ending .nev.

    Parameters
    ----------
    reader : RecordingReader
        In microvolts.
    path : Path
        Ends in .ns1 to .ns6; existing files are replaced once the new ones are whole.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Raises
    ------
    SessionError
        The recording has no time axis, is not in microvolts, holds NaN, has a rate or markers that the format cannot
        hold or is too long for it, cannot be read, or the files cannot be written.
    """
    rate_hz = _checked(reader, path)
    rows = OrderedRows(reader)
    began = reader.created() or datetime.now(UTC)
    events = _events(reader, rows, rate_hz)
    if len(rows) and _stamp(int(rows.index[-1] - rows.index[0]), rate_hz) >= _MAX_STAMP:
        raise SessionError(
            f"{reader.info.path}: longer than {_MAX_HOURS} hours, expected less: Blackrock's stamps of 32 bits end "
            "there. Write parts."
        )
    try:
        with whole_file(path) as part, whole_file(path.with_suffix(EVENTS)) as nev:
            with part.open("wb") as file:
                nsx = NsxFile(file, labels_of(reader.channels), rate_hz, began)
                for start, stop in rows.stretches():
                    stamp = _stamp(int(rows.index[start] - rows.index[0]), rate_hz)
                    nsx.block(stamp, stop - start, _told(rows.blocks(start, stop), progress))
            with nev.open("wb") as file:
                write_nev(file, events, began)
    except ValueError as error:
        raise SessionError(f"{reader.info.path}: {error}. Write a session or NWB.") from None
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def _told(
    blocks: Iterable[NDArray[np.float32]], progress: Callable[[int], None] | None
) -> Iterable[NDArray[np.float32]]:
    for block in blocks:
        yield block
        if progress:
            progress(len(block))


def _checked(reader: RecordingReader, path: Path) -> float:
    """Return the rate, samples per second of the amplifier's clock."""
    info = reader.info
    if path.suffix.lower() not in SIGNALS:
        raise SessionError(f"{path}: ends in '{path.suffix}', expected .ns1 to .ns6.")
    rate_hz = sample_rate(info, "Blackrock files hold streams only.") * info.speed
    if not reader.n_samples:
        raise SessionError(
            f"{info.path}: no samples, expected some: neo cannot read a file of none."
        )
    if info.unit != "uV":
        raise SessionError(
            f"{info.path}: values in '{info.unit}', expected microvolts: Blackrock files hold steps of a quarter of "
            "one. Write a session or NWB."
        )
    if (STAMPS_PER_S / rate_hz) % 1:
        raise SessionError(
            f"{info.path}: {rate_hz:g} samples a second, expected a rate that divides {STAMPS_PER_S}. Write a session, "
            "NWB or XDF."
        )
    return rate_hz


def _stamp(samples: float, rate_hz: float) -> int:
    return round(samples * STAMPS_PER_S / rate_hz)


def _events(
    reader: RecordingReader, rows: OrderedRows, rate_hz: float
) -> list[tuple[int, int | str]]:
    markers = markers_of(reader)
    if not markers or not len(rows):
        return []
    places = rows.positions(np.array([t for t, _ in markers], np.float64)) - rows.index[0]
    outside = (places < 0) | (places * STAMPS_PER_S >= _MAX_STAMP * rate_hz)
    if n_outside := int(np.count_nonzero(outside)):
        raise SessionError(
            f"{reader.info.path}: {n_outside} markers before the first sample or after {_MAX_HOURS} hours, expected "
            "none: Blackrock's stamps begin with the recording."
        )
    texts = [text for _, text in markers]
    numbers = all(t.isascii() and t.isdigit() and t == str(int(t)) for t in texts)
    digital = numbers and all(int(t) < 1 << 16 for t in texts)
    if not digital:
        long = [t for t in texts if len(t) > _MAX_TEXT or not _is_latin(t)]
        if long:
            raise SessionError(
                f"{reader.info.path}: marker {long[0][:60]!r}, expected at most {_MAX_TEXT} Latin letters: a Blackrock "
                "comment holds no more."
            )
    return [
        (_stamp(float(place), rate_hz), int(text) if digital else text)
        for place, text in zip(places, texts, strict=True)
    ]


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


def _system_time(time: datetime) -> bytes:
    """Return Windows' SYSTEMTIME, UTC."""
    utc = time.astimezone(UTC)
    return struct.pack(
        "<8H",
        utc.year,
        utc.month,
        utc.isoweekday() % 7,
        utc.day,
        utc.hour,
        utc.minute,
        utc.second,
        utc.microsecond // 1000,
    )
