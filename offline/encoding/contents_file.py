"""encoding.json, read back: for reports of other commands, and for whoever goes on with the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import EncodingError
from offline.encoding.contents import CONTENTS_FILE, FORMAT, VERSION
from offline.encoding.scores import EncodingScores


def channels_of(contents: Mapping[str, Any]) -> ChannelMap:
    """Return the channel map that contents were made with."""
    return ChannelMap.from_dict(contents["channels"])


def scores_of(contents: Mapping[str, Any]) -> EncodingScores:
    """Return the scores that contents were made from."""
    ceiling = contents["electrodes"]["ceiling"]
    return EncodingScores.from_dict({**contents, "ceiling": ceiling})


def read_contents(path: Path) -> dict[str, Any]:
    """Read encoding.json.

    Parameters
    ----------
    path : Path
        The file, or the folder it is in.

    Raises
    ------
    EncodingError
        It is missing, no such file, or of another version.
    """
    file = path / CONTENTS_FILE if path.is_dir() else path
    expected = f"expected the {CONTENTS_FILE} that b2g-offline encode writes"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EncodingError(
            f"{file}: {error.strerror}, {expected}. Give the folder it wrote."
        ) from None
    except ValueError:
        raise EncodingError(f"{file}: no JSON, {expected}. Give the folder it wrote.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise EncodingError(f"{file}: no encoding, {expected}. Give the folder it wrote.")
    if found.get("version") != VERSION:
        raise EncodingError(
            f"{file}: version {found.get('version')}, expected {VERSION}. Encode again with this release."
        )
    return found
