"""Which format a file has, and its reader: the one door to all recordings.

The format is found by what a file holds, never by its name alone; a user's ``format`` is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from b2g_rt.errors import SessionError
from offline.recordings.formats import (
    blackrock,
    blackrock_files,
    nwb,
    responses,
    session_hdf5,
    tvsd_trials,
    xdf,
    xdf_chunks,
)
from offline.recordings.formats.mat_file import MAT_5
from offline.recordings.formats.reader import (
    FAULTS,
    ReaderOptions,
    RecordingReader,
    faults_told,
    one_line,
)

FORMATS: dict[str, Callable[[Path, ReaderOptions], RecordingReader]] = {
    session_hdf5.NAME: session_hdf5.SessionReader,
    responses.BRAIN2GAN: responses.ResponsesReader,
    responses.TVSD: responses.ResponsesReader,
    tvsd_trials.NAME: tvsd_trials.TvsdTrialsReader,
    nwb.NAME: nwb.NwbReader,
    xdf.NAME: xdf.XdfReader,
    blackrock.NAME: blackrock.BlackrockReader,
}
"""Readers by format."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEADER_BYTES = 512
_OTHERS = (
    (b"\x1f\x8b", "packed by gzip. Unpack it first: gunzip FILE"),
    (b"PK\x03\x04", "a zip archive. Unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer. Fetch the file itself: git lfs pull"),
    (b"version https://git-annex", "a git-annex pointer. Fetch the file itself: git annex get"),
    (b"/annex/objects/", "a git-annex pointer. Fetch the file itself: git annex get"),
    (b"\x80", "a pickle. Name the responses' .mat file, and the pickle with --latents"),
    (b"<", "a web page or XML. A login or error page was saved instead"),
)


def open_recording(
    path: Path, options: ReaderOptions | None = None, format: str | None = None
) -> RecordingReader:
    """Open a recording of any format; use as a context manager.

    Parameters
    ----------
    path : Path
    options : ReaderOptions, optional
    format : str, optional
        One of ``FORMATS``; found out by default.

    Raises
    ------
    SessionError
        No such file, no format that is known, or not what the format promises.
    ChannelMapError
        The file does not say which column is which electrode, or the map given does not fit.
    """
    name = format or format_of(path)
    if name not in FORMATS:
        raise SessionError(f"{path}: format '{name}', expected one of {', '.join(FORMATS)}.")
    options = options or ReaderOptions()
    with faults_told(str(path), name):
        reader = FORMATS[name](path, options)
    reader.opened_by = (path.absolute(), options, name)
    return reader


def format_of(path: Path) -> str:
    """Return the format of a file.

    Raises
    ------
    SessionError
        It cannot be read, or is none of the formats; the line says what it is.
    """
    known = ", ".join(FORMATS)
    try:
        if path.is_dir():
            raise SessionError(f"{path}: a directory, expected a recording. Name the file in it.")
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES + len(_HDF5))
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror}, expected a recording. Check the path."
        ) from None
    if not head:
        raise SessionError(
            f"{path}: empty, expected a recording. The copy or the recording failed."
        )
    if head.startswith(xdf_chunks.MAGIC):
        return xdf.NAME
    if blackrock_files.is_blackrock(head):
        return blackrock.NAME
    if head.startswith(_HDF5) or head[_HEADER_BYTES:].startswith(_HDF5):
        return _hdf5_format(path)
    if head.startswith(MAT_5):
        raise SessionError(
            f"{path}: a MATLAB file before version 7.3, expected one of {known}. Save it again in MATLAB with "
            "save(..., '-v7.3')."
        )
    for magic, told in _OTHERS:
        if head.startswith(magic):
            raise SessionError(f"{path}: {told}; expected one of {known}.")
    by_name = _by_name(path)
    if by_name is not None:
        # Its reader says what is wrong with it.
        return by_name
    raise SessionError(f"{path}: begins with {head[:8]!r}, expected one of {known}.")


def _by_name(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in (*blackrock_files.SIGNALS, blackrock_files.EVENTS):
        return blackrock.NAME
    return {
        ".xdf": xdf.NAME,
        ".nwb": nwb.NAME,
        ".mat": responses.BRAIN2GAN,
        ".h5": session_hdf5.NAME,
    }.get(suffix)


def _hdf5_format(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = set(file)
            attributes = set(file.attrs)
    except FAULTS as error:
        # A session that was not closed opens by its own reader only; others that do not open are damaged.
        if path.suffix.lower() in (".mat", ".nwb"):
            raise SessionError(
                f"{path}: {one_line(error)}, expected a whole HDF5 file. It is cut short or damaged: copy it again."
            ) from None
        return session_hdf5.NAME
    if "format" in attributes and "mua" in names:
        return session_hdf5.NAME
    if "nwb_version" in attributes:
        return nwb.NAME
    if "ALLMUA" in names:
        return tvsd_trials.NAME
    if {"train_MUA", "test_MUA"} & names:
        return responses.BRAIN2GAN
    listed = ", ".join(sorted(n for n in names if not n.startswith("#"))[:8]) or "nothing"
    raise SessionError(
        f"{path}: an HDF5 file with {listed}, expected a b2g session, NWB, or MATLAB's train_MUA and test_MUA or "
        "ALLMUA."
    )
