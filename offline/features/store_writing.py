"""Feature files, written: laid out at once, filled piece by piece, finished last.

A shard appears whole or not at all: Zarr's LocalStore writes beside the goal and renames (since 3.1.3). So after a kill
the pieces that are there are whole, and ``finish`` has not been. Nothing is compared here but what lies in the file
with what is asked for; must not know pictures nor networks.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import FeatureError
from offline.features.content import CONTENT_HASH, RUN, content_hash, content_of, piece_digest
from offline.features.store import (
    FORMAT,
    FORMAT_VERSION,
    StoredFeatures,
    missing_pieces,
    open_group,
    read_attributes,
    shard_path,
)
from offline.stages import Stage

_logger = logging.getLogger(__name__)

CHUNK_FEATURES = 8192
"""Features of one chunk, at most: those of 4000 stimuli are 130 MB."""
PIECE = 32
"""Stimuli of one piece, at most, where a batch is no larger."""
PIECE_BYTES = 128 << 20
"""What a piece of all spaces may take, where a batch is no larger."""


@dataclass(frozen=True, slots=True)
class SpaceLayout:
    """A feature space that is to be written; ``shape``: of one stimulus."""

    name: str
    shape: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return math.prod(self.shape)


def stimuli_per_piece(spaces: Sequence[SpaceLayout], batch: int) -> int:
    """Return how many stimuli share a shard: whole batches, and no more than may be held."""
    row = 4 * sum(space.n_features for space in spaces)
    return batch * max(1, min(PIECE, PIECE_BYTES // row) // batch)


class StoreWriter:
    """A feature file that is being written. Can be pickled; any thread may write pieces.

    Parameters
    ----------
    path : Path
        Of a file that was laid out: see ``begin``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        found = read_attributes(path)
        assert found is not None
        self._attributes = found
        self._names: list[str] = found["spaces"]
        self._n, self._size = len(found["stimuli"]["id"]), int(found["stimuli_per_piece"])

    @classmethod
    def begin(
        cls,
        path: Path,
        spaces: Sequence[SpaceLayout],
        size: int,
        *,
        stimuli: Mapping[str, Sequence[str]],
        provenance: Mapping[str, Any],
        run: Mapping[str, str],
    ) -> Self:
        """Lay a file out, or go on with one that was laid out alike.

        Parameters
        ----------
        path : Path
        spaces : sequence of SpaceLayout
        size : int
            Stimuli of one piece.
        stimuli : mapping of 'id', 'split' and 'sha256' to sequence of str, axes (stimulus,)
        provenance : mapping
            All that the features depend on besides; plain data.
        run : mapping
            Date and command: not compared, and kept from the first run.

        Raises
        ------
        FeatureError
            Something else lies there, or features made with other settings, or the disk is full.
        """
        attributes = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            # First, because it says best what is another one.
            "provenance": dict(provenance),
            "spaces": [space.name for space in spaces],
            "stimuli_per_piece": size,
            RUN: dict(run),
            "stimuli": {key: list(stimuli[key]) for key in ("id", "split", "sha256")},
        }
        found = read_attributes(path)
        if found is None:
            _lay_out(path, spaces, size, attributes)
        else:
            _compare(path, found, attributes)
        return cls(path)

    @property
    def n_pieces(self) -> int:
        """All pieces, whether they are there or not."""
        return -(-self._n // self._size)

    def rows(self, piece: int) -> range:
        """Return the stimuli of a piece."""
        return range(piece * self._size, min(self._n, (piece + 1) * self._size))

    def kept(self, stage: Stage) -> dict[int, dict[str, str]]:
        """Return the digests of the pieces that are there, by space; those that cannot be read are not there.

        What a run that was killed left half-written is removed: see ``sole_writer``.
        """
        for left in self.path.glob("*/c/*/*.partial"):
            left.unlink(missing_ok=True)
        group = open_group(self.path, self._attributes)
        missing = set(missing_pieces(self.path, group, self._attributes))
        there = [k for k in range(self.n_pieces) if k not in missing]
        if not there:
            return {}
        shown = stage(f"{self.path}: looking through what is there", len(there))
        ids = tuple(self._attributes["stimuli"]["id"])
        spaces = [StoredFeatures(self.path, name, ids, group[name]) for name in self._names]
        digests = {}
        for k in there:
            rows = np.array(self.rows(k))
            try:
                digests[k] = {s.name: piece_digest(s.block(rows, slice(None))) for s in spaces}
            except FeatureError as error:
                _logger.warning("%s It is made again.", error)
                # Zarr reads what it writes over.
                for name in self._names:
                    shard_path(self.path, name, k).unlink(missing_ok=True)
            shown(1)
        return digests

    def write(self, piece: int, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Write one piece of all spaces, each axes (stimulus, feature).

        Raises
        ------
        FeatureError
            The disk is full.
        """
        import zarr

        rows = self.rows(piece)
        try:
            group = zarr.open_group(self.path, mode="r+", zarr_format=3)
            for name in self._names:
                array: Any = group[name]
                array[rows.start : rows.stop] = values[name]
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def finish(self, digests: Mapping[int, Mapping[str, str]], run: Mapping[str, str]) -> None:
        """Note the content hash, which says that all pieces are there; of a finished file compare it.

        Parameters
        ----------
        digests : mapping of piece to mapping of space to str
            Of all pieces.
        run : mapping
            What is added of this run.

        Raises
        ------
        FeatureError
            The disk is full, or what was finished before is not what was written.
        """
        import zarr

        in_order = ([digests[k][name] for k in range(self.n_pieces)] for name in self._names)
        found = content_hash(self._attributes, in_order)
        noted = self._attributes.get(CONTENT_HASH, found)
        if noted != found:
            raise FeatureError(
                f"{self.path}: content {found[:12]}, expected {noted[:12]} as when it was finished: something was "
                "changed. Remove it, and make it again."
            )
        if CONTENT_HASH in self._attributes:
            return
        try:
            group = zarr.open_group(self.path, mode="r+", zarr_format=3)
            group.attrs.update({CONTENT_HASH: found, RUN: {**self._attributes[RUN], **run}})
        except OSError as error:
            raise cannot_write(self.path, error) from None


def time_text() -> str:
    """Return the time as a file's ``run`` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cannot_write(path: Path, error: OSError) -> FeatureError:
    """Return the line for a full disk and the like."""
    return FeatureError(
        f"{path}: cannot be written ({error.strerror or error}), expected room for it. Make some; the same command "
        "goes on."
    )


def _lay_out(
    path: Path, spaces: Sequence[SpaceLayout], size: int, attributes: dict[str, Any]
) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    n = len(attributes["stimuli"]["id"])
    part = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(part, zarr_format=3, attributes=attributes)
        for space in spaces:
            n_chunks = -(-space.n_features // CHUNK_FEATURES)
            width = -(-space.n_features // n_chunks)
            group.create_array(
                space.name,
                shape=(n, space.n_features),
                dtype="float32",
                shards=(size, n_chunks * width),
                chunks=(size, width),
                # A piece that is missing must not be taken for one of zeros, nor one of zeros be left out.
                fill_value=float("nan"),
                config={"write_empty_chunks": True},
                compressors=[ZstdCodec(level=1, checksum=True)],
                dimension_names=("stimulus", "feature"),
                attributes={"shape": list(space.shape)},
            )
        part.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _compare(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    # As it is read again: a tuple is a list there.
    asked = json.loads(json.dumps(asked))
    for key, old, new in _differences(content_of(found), content_of(asked)):
        raise FeatureError(
            f"{path}: made with {key} {_short(old)}, asked for {_short(new)}, expected the same settings. Give "
            "another --out, or the settings that it was made with."
        )


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            below = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name), new.get(name), below)
    elif isinstance(old, list) and isinstance(new, list) and key.startswith("stimuli."):
        if len(old) != len(new):
            yield "the number of stimuli", len(old), len(new)
        for k, (one, other) in enumerate(zip(old, new, strict=False)):
            if one != other:
                yield f"{key} of stimulus {k + 1}", one, other
    elif old != new:
        yield key.removeprefix("provenance."), old, new


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
