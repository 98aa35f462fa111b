"""Which Blackrock files belong together, and whether their headers can be true; bytes only, before neo reads them."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.errors import SessionError

SIGNALS = tuple(f".ns{n}" for n in range(1, 7))
EVENTS = ".nev"
_SIGNAL_MAGIC = (b"NEURALSG", b"NEURALCD", b"BRSMPGRP")
_EVENT_MAGIC = (b"NEURALEV", b"BREVENTS")
_HEADER_BYTES = 314


def is_blackrock(head: bytes) -> bool:
    """Whether a file that begins so is an NSx or NEV file."""
    return head.startswith(_SIGNAL_MAGIC + _EVENT_MAGIC)


def signals_of(path: Path, stream: str | None) -> Path:
    """Return the NSx file that is meant.

    Raises
    ------
    SessionError
        No Blackrock file, or several NSx files beside an NEV file and none chosen.
    """
    check_head(path)
    if path.suffix.lower() in SIGNALS and stream is None:
        return path
    there = [path.with_suffix(s) for s in SIGNALS if path.with_suffix(s).exists()]
    if stream is not None:
        there = [p for p in there if p.suffix == f".{stream.lstrip('.')}"]
    if len(there) != 1:
        names = ", ".join(p.name for p in there) or "none"
        raise SessionError(
            f"{path}: {names} beside it, expected one NSx file. Choose with --stream ns6, or name the NSx file."
        )
    return there[0]


def check_head(path: Path) -> None:
    """Refuse a file that does not begin as its ending promises.

    Raises
    ------
    SessionError
        It cannot be opened, or is no NSx or NEV file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SessionError(f"{path}: {error.strerror}, expected a Blackrock file.") from None
    events = path.suffix.lower() == EVENTS
    if head not in (_EVENT_MAGIC if events else _SIGNAL_MAGIC):
        what = "NEV file (NEURALEV)" if events else "NSx file (NEURALCD or NEURALSG)"
        raise SessionError(f"{path}: begins with {head!r}, expected a Blackrock {what}.")


def check_counts(signals: Path) -> None:
    """Refuse a header that promises more channels than the file can hold: neo would go through them all.

    Raises
    ------
    SessionError
        No channels, no period, or headers longer than the file.
    """
    size = signals.stat().st_size
    with signals.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    oldest = head.startswith(_SIGNAL_MAGIC[0])
    period_at, count_at, first, each = (24, 28, 32, 4) if oldest else (286, 310, 314, 66)
    period = int.from_bytes(head[period_at : period_at + 4], "little")
    n = int.from_bytes(head[count_at : count_at + 4], "little")
    told = first + each * n if oldest else int.from_bytes(head[10:14], "little")
    if not n or not period or not first + each * n <= told <= size:
        raise SessionError(
            f"{signals}: {n} channels, a period of {period} and {told} bytes of headers in a file of {size} bytes, "
            "expected a Blackrock NSx file. It is damaged or cut short: copy it again."
        )


def events_of(signals: Path) -> Path | None:
    """Return the NEV file beside an NSx file, or None."""
    nev = signals.with_suffix(EVENTS)
    return nev if nev.exists() else None
