"""What a file really is, by its first bytes: the usual accidents end in a line that says what to do.

Knows magic numbers only; opens nothing.
"""

from __future__ import annotations

import json
import stat
import struct
from pathlib import Path

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.nodes import shown

_HEAD = 1024
_EXPECTED = "expected an official StyleGAN3 or StyleGAN-XL checkpoint (.pkl)"
_LFS = b"version https://git-lfs.github.com/spec/"
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"PK\x03\x04",
        "a zip archive (a torch .pt file, or a packed download), {}. Unpack it, or get the original .pkl",
    ),
    (_TORCH_LEGACY, "a torch .pt file (weights without their network), {}. Get the original .pkl"),
    (b"\x1f\x8b", "packed by gzip, {}. Unpack it first: gunzip FILE"),
    (b"BZh", "packed by bzip2, {}. Unpack it first"),
    (b"\xfd7zXZ\x00", "packed by xz, {}. Unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd, {}. Unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive, {}. Unpack it first"),
    (b"Rar!", "a RAR archive, {}. Unpack it first"),
    (b"\x89HDF", "an HDF5 file, {}"),
    (b"\x93NUMPY", "a numpy array, {}"),
    (b"\x89PNG", "a PNG picture, {}"),
    (b"\xff\xd8\xff", "a JPEG picture, {}"),
    (b"%PDF", "a PDF file, {}"),
    (b"\x7fELF", "a program, {}. Do not run it"),
    (b"MZ", "a Windows program, {}. Do not run it"),
)


def check_kind(path: Path) -> int:
    """Refuse what is no pickle; return the file's size in bytes.

    Raises
    ------
    CheckpointError
        It is missing, empty, a directory, unreadable or of another kind; the line says which.
    """
    size = _size(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}), expected a readable file. Check its permissions."
        ) from None
    told = _other_kind(head, size)
    if told is not None:
        raise CheckpointError(f"{path}: {told.format(_EXPECTED)}.")
    if head[:1] != b"\x80" or head[1:2] not in b"\x02\x03\x04\x05" or size < 3:
        raise CheckpointError(
            f"{path}: {size} bytes that begin with {head[:4].hex(' ')}, {_EXPECTED}, which begins with 80 and its "
            "protocol (02 to 05). Download it again."
        )
    return size


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file, {_EXPECTED}.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be looked at ({shown(error)}), {_EXPECTED}."
        ) from None
    if stat.S_ISDIR(status.st_mode):
        if (path / "generator.json").exists():
            raise CheckpointError(
                f"{path}: a generator's directory, {_EXPECTED}. It is imported already: use it as it is."
            )
        raise CheckpointError(f"{path}: a directory, {_EXPECTED}. Name the file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path}: no ordinary file, {_EXPECTED}.")
    if status.st_size == 0:
        raise CheckpointError(
            f"{path}: empty, {_EXPECTED}. The download failed: download it again."
        )
    return status.st_size


def _other_kind(head: bytes, size: int) -> str | None:
    if head.startswith(_LFS):
        lines = dict(line.split(b" ", 1) for line in head.splitlines() if b" " in line)
        told = lines.get(b"size", b"").decode("ascii", "replace")
        return (
            "a Git LFS pointer to a file"
            + (f" of {int(told) / 1e6:.0f} MB" if told.isdecimal() and len(told) < 16 else "")
            + ", {}. Fetch the file itself: git lfs pull"
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, {}. A login or error page was saved instead: open the address in a browser and look"
    if text.startswith(b"<?xml"):
        return "an XML text (often a server's error), {}. Open it and look, then download again"
    for magic, told in _MAGIC:
        if head.startswith(magic):
            return told
    if head[257:262] == b"ustar":
        return "a tar archive, {}. Unpack it first"
    if _is_safetensors(head, size):
        return "a safetensors file (weights without their network), {}. Get the original .pkl"
    if len(head) > 2 and head[0] == 0x08 and head[1] < 32 and head[2] in (0x12, 0x1A):
        return "probably an ONNX file, {}"
    return _json_kind(text)


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (n,) = struct.unpack("<Q", head[:8])
    return 2 <= n <= size - 8


def _json_kind(text: bytes) -> str | None:
    if text[:1] not in (b"{", b"["):
        return None
    try:
        json.loads(text)
    except ValueError:
        if b'"' not in text[:64]:
            return None
    return "a JSON text (often a server's error), {}. Open it and look, then download again"
