"""A folder of files that were written together: an index (JSON) names the SHA-256 of every other file.

What the model bundle and the encoder share. Files from outside are data: no pickle is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from b2g_rt.errors import BundleError

Shapes = Mapping[str, tuple[int | None, ...]]


class IndexModel(BaseModel):
    """Base of what stands in an index: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Index = TypeVar("Index", bound=IndexModel)


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """One kind of folder.

    Attributes
    ----------
    what : str
        As messages call it: bundle.
    index : str
        Name of the JSON file.
    files : tuple of str
        All others.
    schema_version : int
    made_by : str
        The command that makes one.
    """

    what: str
    index: str
    files: tuple[str, ...]
    schema_version: int
    made_by: str

    def read(self, path: Path, name: str) -> bytes:
        """Return a file's contents.

        Raises
        ------
        BundleError
            It is missing or cannot be read.
        """
        try:
            return (path / name).read_bytes()
        except FileNotFoundError:
            missing = name if path.is_dir() else "the directory"
            raise BundleError(
                f"{self.what} {path}: {missing} is missing, expected {self.index}, {', '.join(self.files)}. "
                f"Check the path, or make one with {self.made_by}."
            ) from None
        except OSError as error:
            raise BundleError(
                f"{self.what} {path}: {name}: {error.strerror}, expected a readable file."
            ) from None

    def parse(self, path: Path, raw: bytes, model: type[Index]) -> Index:
        """Return the index of a folder.

        Raises
        ------
        BundleError
            No JSON, another schema version, or keys and values that do not belong there.
        """
        where = f"{self.what} {path}: {self.index}"
        try:
            data = json.loads(raw)
        except ValueError as error:
            raise BundleError(f"{where}: {error}, expected JSON.") from None
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != self.schema_version:
            raise BundleError(
                f"{where}: schema version {version}, this program reads {self.schema_version}. Use the release that "
                "made it, or make it again."
            )
        try:
            return model.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(p) for p in first["loc"])
            raise BundleError(f"{where}: {key}: {first['msg'].lower()}.") from None

    def verify(self, path: Path, hashes: Mapping[str, str]) -> None:
        """Compare every file with the hash that the index gives it; BundleError where one is not as written."""
        for name in self.files:
            expected = hashes.get(name)
            if expected is None:
                raise BundleError(
                    f"{self.what} {path}: {self.index} names no '{name}', expected its SHA-256."
                )
            found = hashlib.sha256(self.read(path, name)).hexdigest()
            if found != expected:
                raise BundleError(
                    f"{self.what} {path}: {name} has SHA-256 {found[:12]}..., {self.index} says {expected[:12]}.... "
                    f"The file was changed or is incomplete: copy the {self.what} again."
                )

    def arrays(self, path: Path, name: str, shapes: Shapes) -> dict[str, NDArray[Any]]:
        """Return the arrays of a .npz file; a None in a shape fits any length.

        Raises
        ------
        BundleError
            An array is missing, is none, or has another shape.
        """
        where = f"{self.what} {path}: {name}"
        try:
            # Opened here: numpy leaves its own handle open when the archive is broken.
            with (path / name).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in shapes}
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(f"{where}: {error}, expected arrays {', '.join(shapes)}.") from None
        for key, shape in shapes.items():
            found = arrays[key].shape
            if len(found) != len(shape) or any(
                s is not None and s != f for s, f in zip(shape, found, strict=True)
            ):
                raise BundleError(
                    f"{where}: {key} has shape {found}, {self.index} implies {shape}."
                )
        return arrays

    def write(
        self,
        path: Path,
        index: Mapping[str, Any],
        files: Mapping[str, bytes],
        model: type[Index],
        check: Callable[[Index], object] | None = None,
    ) -> str:
        """Write all files, then the index with their hashes.

        Parameters
        ----------
        path : Path
            Directory; made if missing.
        index : mapping
            The index's keys but ``schema_version`` and ``files``.
        files : mapping of name to contents
            All of ``files``.
        model : type
            What the index must satisfy.
        check : callable, optional
            Raises where keys contradict each other; nothing is written then.

        Returns
        -------
        str
            SHA-256 of the index, which identifies the folder.

        Raises
        ------
        BundleError
            A file or a key is missing, or the directory cannot be written.
        """
        missing = [name for name in self.files if name not in files]
        if missing:
            raise BundleError(
                f"{self.what} {path}: {', '.join(missing)} not given, expected all of {', '.join(self.files)}."
            )
        hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in self.files}
        whole = {"schema_version": self.schema_version, **index, "files": hashes}
        raw = json.dumps(whole, indent=1, ensure_ascii=False).encode() + b"\n"
        parsed = self.parse(path, raw, model)
        if check:
            check(parsed)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in self.files:
                (path / name).write_bytes(files[name])
            (path / self.index).write_bytes(raw)
        except OSError as error:
            raise BundleError(
                f"{self.what} {path}: {error.strerror}, expected a directory that can be written. "
                "Check rights and room."
            ) from None
        return hashlib.sha256(raw).hexdigest()


def npz_bytes(**arrays: NDArray[Any]) -> bytes:
    """Return arrays as one compressed .npz file's bytes, the same for the same arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array), allow_pickle=False)
            # A fixed date: np.savez stamps the wall clock into the file.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, part.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
