"""Feature files, read: a Zarr 3 directory with one array per feature space, axes (stimulus, feature), float32.

For the encoding room and for whoever looks. A shard is one piece of stimuli, whole rows; within it, chunks of some
thousand features, so that a block of features of all stimuli is read without the rest. ``docs/features.md`` describes
the attributes. Writing is store_writing.py's. Must not know networks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import FeatureError
from offline.features.content import CONTENT_HASH, content_hash, piece_digest
from offline.features.feature_space import Rows

FORMAT, FORMAT_VERSION = "b2g features", 1
METADATA = "zarr.json"
AGAIN = "Give the same command again: it makes what is missing or damaged"

_PIECES_AT_ONCE = 16
_EXPECTED = f"expected {FORMAT} {FORMAT_VERSION}, as b2g-offline features writes"


class StoredFeatures:
    """One space of a feature file; a ``FeatureSpace``. Can be pickled: another process opens the same path.

    Parameters
    ----------
    path : Path
        Of the file.
    name : str
    ids : tuple of str, axes (stimulus,)
    array : zarr.Array
        Axes (stimulus, feature).
    """

    def __init__(self, path: Path, name: str, ids: tuple[str, ...], array: Any) -> None:
        self.path = path
        self.name = name
        self.ids = ids
        self._array = array

    def __repr__(self) -> str:
        return f"StoredFeatures({self.path}, {self.name}, {len(self.ids)} x {self.n_features})"

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self._array.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one stimulus: (channel, row, col), or (feature,)."""
        return tuple(self._array.attrs["shape"])

    @property
    def piece(self) -> int:
        """Stimuli in one shard."""
        return int(self._array.shards[0])

    @property
    def chunk(self) -> int:
        """Features in one chunk: blocks of so many, that start at a multiple of it, are read fastest."""
        return int(self._array.chunks[1])

    def block(self, rows: Rows, columns: slice) -> NDArray[np.float32]:
        """See ``FeatureSpace``.

        Raises
        ------
        FeatureError
            What lies there cannot be read, or is not what was written.
        """
        rows = np.asarray(rows, np.intp)
        start, stop, step = columns.indices(self.n_features)
        wanted = np.empty((len(rows), len(range(start, stop, step))), np.float32)
        for first, last in _runs(np.unique(rows // self.piece)):
            begin, end = first * self.piece, min((last + 1) * self.piece, len(self.ids))
            read = self._read(slice(begin, end), slice(start, stop))[:, ::step]
            inside = np.flatnonzero((rows >= begin) & (rows < end))
            wanted[inside] = read[rows[inside] - begin]
        return wanted

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield all features, piece by piece, axes (stimulus, feature)."""
        for begin in range(0, len(self.ids), self.piece):
            yield self._read(slice(begin, begin + self.piece), slice(None))

    def _read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        try:
            return np.asarray(self._array[rows, columns], np.float32)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise FeatureError(
                f"{self.path}: {self.name}, stimuli {rows.start} to {rows.stop - 1}: cannot be read "
                f"({_one_line(error)}), expected what was written. {AGAIN}."
            ) from None


class FeatureFile:
    """A finished feature file, open for reading.

    Parameters
    ----------
    path : Path
    group : zarr.Group
    attributes : dict
        Plain data; see ``docs/features.md``.
    """

    def __init__(self, path: Path, group: Any, attributes: dict[str, Any]) -> None:
        self.path = path
        self.attributes = attributes
        self.ids: tuple[str, ...] = tuple(attributes["stimuli"]["id"])
        self.split: tuple[str, ...] = tuple(attributes["stimuli"]["split"])
        self._group = group

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of the feature spaces, in the order of processing."""
        return tuple(self.attributes["spaces"])

    def space(self, name: str) -> StoredFeatures:
        """Return one feature space.

        Raises
        ------
        FeatureError
            There is none of that name.
        """
        if name not in self.spaces:
            raise FeatureError(
                f"{self.path}: no features {name}, expected one of {', '.join(self.spaces)}."
            )
        return StoredFeatures(self.path, name, self.ids, self._group[name])

    def content_hash(self, progress: Callable[[int], None] | None = None) -> str:
        """Compute the hash of what lies there; the attribute ``content_hash`` says what was written.

        Parameters
        ----------
        progress : callable, optional
            Called with the number of stimuli of each piece that was read.

        Raises
        ------
        FeatureError
            See ``StoredFeatures.block``.
        """

        def digests(name: str) -> Iterator[str]:
            for values in self.space(name).pieces():
                yield piece_digest(values)
                if progress is not None:
                    progress(len(values))

        return content_hash(self.attributes, (digests(name) for name in self.spaces))


def open_features(path: Path) -> FeatureFile:
    """Open a feature file.

    Raises
    ------
    FeatureError
        There is none, it is unfinished, damaged, something else, or of a newer version.
    """
    attributes = read_attributes(path)
    if attributes is None:
        raise FeatureError(
            f"{path}: no such directory, expected a feature file. Make it: b2g-offline features PICTURES --network "
            f"vgg16 --out {path}."
        )
    group = open_group(path, attributes)
    missing = missing_pieces(path, group, attributes)
    n_pieces = -(-len(attributes["stimuli"]["id"]) // attributes["stimuli_per_piece"])
    if CONTENT_HASH not in attributes:
        raise FeatureError(
            f"{path}: unfinished ({n_pieces - len(missing)} of {n_pieces} pieces), expected a finished feature file. "
            f"{AGAIN}."
        )
    if missing:
        raise FeatureError(
            f"{path}: damaged, {len(missing)} of {n_pieces} pieces are missing (piece {missing[0]}), expected all. "
            f"{AGAIN}."
        )
    return FeatureFile(path, group, attributes)


def read_attributes(path: Path) -> dict[str, Any] | None:
    """Return the attributes of a feature file, finished or not; None: there is nothing, or an empty directory.

    Raises
    ------
    FeatureError
        It is something else, of a newer version, or cannot be read.
    """
    try:
        text = (path / METADATA).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_dir() and not any(path.iterdir()):
            return None
        if not path.exists():
            return None
        raise FeatureError(
            f"{path}: no feature file ({METADATA} is missing), {_EXPECTED}."
        ) from None
    except OSError as error:
        raise FeatureError(f"{path / METADATA}: {error.strerror}, {_EXPECTED}.") from None
    try:
        found = json.loads(text)
        attributes = found["attributes"]
        name, version = attributes["format"], int(attributes["format_version"])
    except (ValueError, KeyError, TypeError):
        raise FeatureError(
            f"{path}: no feature file (a foreign {METADATA}), {_EXPECTED}."
        ) from None
    if name != FORMAT:
        raise FeatureError(f"{path}: format {name}, {_EXPECTED}.")
    if version != FORMAT_VERSION:
        raise FeatureError(
            f"{path}: format version {version}, {_EXPECTED}. Update this program, or make the file again."
        )
    return dict(attributes)


def open_group(path: Path, attributes: dict[str, Any]) -> Any:
    """Return the Zarr group for reading, its arrays compared with the attributes.

    Raises
    ------
    FeatureError
        An array is missing or of another shape, or an attribute is.
    """
    import zarr

    try:
        stimuli = attributes["stimuli"]
        n, piece = len(stimuli["id"]), int(attributes["stimuli_per_piece"])
        if not n or piece < 1 or {len(stimuli[key]) for key in ("split", "sha256")} != {n}:
            raise ValueError("stimuli of unequal numbers")
        group = zarr.open_group(path, mode="r", zarr_format=3)
        for name in attributes["spaces"]:
            array: Any = group[name]
            features = math.prod(array.attrs["shape"])
            found = array.shape, str(array.dtype), (array.shards or (0,))[0]
            if found != ((n, features), "float32", piece):
                raise ValueError(f"{name} is {found}, not {((n, features), 'float32', piece)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FeatureError(
            f"{path}: damaged ({type(error).__name__}: {_one_line(error)}), {_EXPECTED}. Remove it, and make it again."
        ) from None
    return group


def missing_pieces(path: Path, group: Any, attributes: dict[str, Any]) -> list[int]:
    """Return the pieces of which not all spaces are there."""
    n_pieces = -(-len(attributes["stimuli"]["id"]) // int(attributes["stimuli_per_piece"]))
    names = attributes["spaces"]
    return [
        k for k in range(n_pieces) if not all(shard_path(path, name, k).is_file() for name in names)
    ]


def shard_path(path: Path, space: str, piece: int) -> Path:
    """Return the file of one piece of a space."""
    return path / space / "c" / str(piece) / "0"


def _runs(pieces: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield first and last of consecutive pieces, at most so many at once."""
    if not len(pieces):
        return
    first = last = int(pieces[0])
    for piece in map(int, pieces[1:]):
        if piece != last + 1 or piece - first >= _PIECES_AT_ONCE:
            yield first, last
            first = piece
        last = piece
    yield first, last


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
