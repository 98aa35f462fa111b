"""The usual accidents: what the file is stands in one line, with what to do."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile

import pytest

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.file_kind import check_kind

_LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 312345678\n"
)


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return made.getvalue()


def _safetensors() -> bytes:
    head = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return struct.pack("<Q", len(head)) + head + bytes(4)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", ("empty", "download it again")),
        (b"<!DOCTYPE html><html>Sign in</html>", ("a web page", "open the address")),
        (b"\n  <HTML><head>", ("a web page",)),
        (b"\xef\xbb\xbf<html>", ("a web page",)),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", ("an XML text",)),
        (b'{"error": "not found"}', ("a JSON text",)),
        (_LFS, ("a Git LFS pointer to a file of 312 MB", "git lfs pull")),
        (_LFS.replace(b"312345678", b"many"), ("a Git LFS pointer to a file, expected",)),
        (_zip(), ("a zip archive",)),
        (_safetensors(), ("a safetensors file",)),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", ("a torch .pt file",)),
        (gzip.compress(b"x" * 100), ("packed by gzip", "gunzip")),
        (b"BZh91AY", ("bzip2",)),
        (b"\xfd7zXZ\x00\x00", ("xz",)),
        (b"\x28\xb5\x2f\xfd\x00", ("zstd",)),
        (b"7z\xbc\xaf\x27\x1c\x00", ("7-Zip",)),
        (b"\x08\x08\x12\x07pytorch", ("probably an ONNX file",)),
        (b"\x89HDF\r\n\x1a\n", ("an HDF5 file",)),
        (b"\x93NUMPY\x01\x00", ("a numpy array",)),
        (b"\x89PNG\r\n", ("a PNG picture",)),
        (b"\x00" * 257 + b"ustar\x00" + bytes(300), ("a tar archive",)),
        (b"(dp0\nS'G_ema'\np1\n.", ("begin with 28 64 70 30",)),
        (b"\x80\x09N.", ("begin with 80 09",)),
        (b"\x80", ("1 bytes that begin with 80",)),
        (b"hello", ("5 bytes that begin with 68 65 6c 6c",)),
    ],
    ids=lambda value: value[0][:24] if isinstance(value, tuple) else "",
)
def test_what_the_file_is_is_told_in_one_line(content, lines, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        check_kind(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert "expected an official StyleGAN3 or StyleGAN-XL checkpoint (.pkl)" in told
    assert told.endswith(".")
    assert "\n" not in told
    for line in lines:
        assert line in told


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_passes_with_its_size(protocol, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(bytes([0x80, protocol]) + b"N.")
    assert check_kind(path) == 4


def test_places_that_are_no_file_are_told(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        check_kind(tmp_path / "x")
    with pytest.raises(CheckpointError, match="a directory, expected"):
        check_kind(tmp_path)
    (tmp_path / "generator.json").write_text("{}")
    with pytest.raises(CheckpointError, match="It is imported already"):
        check_kind(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="no ordinary file"):
        check_kind(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot be looked at"):
        check_kind(tmp_path / "generator.json" / "x")
    with pytest.raises(CheckpointError, match="cannot be looked at"):
        check_kind(tmp_path / ("x" * 5000))
