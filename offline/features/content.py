"""The content hash of a feature file: the same for the same numbers and the same making, whenever and however often.

Over every array and every attribute, but for the hash itself and for ``run``: dates, and the command as it was typed,
which holds paths. Knows nothing of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTENT_HASH = "content_hash"
RUN = "run"


def piece_digest(values: NDArray[np.float32]) -> str:
    """Return the SHA-256 of a piece of stimuli, axes (stimulus, feature): its bytes in C order, little endian."""
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").data).hexdigest()


def content_hash(attributes: Mapping[str, Any], digests: Iterable[Iterable[str]]) -> str:
    """Return the SHA-256 of a whole file.

    Parameters
    ----------
    attributes : mapping
        Plain data.
    digests : iterable of iterable of str, axes (space, piece)
        See ``piece_digest``.
    """
    hashed = hashlib.sha256(json.dumps(content_of(attributes), sort_keys=True).encode())
    for of_space in digests:
        hashed.update(b"\nspace")
        for digest in of_space:
            hashed.update(bytes.fromhex(digest))
    return hashed.hexdigest()


def content_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are content."""
    return {key: value for key, value in attributes.items() if key not in (CONTENT_HASH, RUN)}
