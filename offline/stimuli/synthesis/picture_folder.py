"""A directory of pictures that a killed run leaves usable: settings, whole PNG files, and their hashes.

``settings.json`` says what the pictures depend on, ``SHA256SUMS`` which of them are finished (readable by
``sha256sum -c``). For the drawing; must not know generators.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from b2g_rt.errors import StimulusError
from offline.stimuli.made_folder import cannot_write, settings_of, write_settings
from offline.whole_files import file_sha256, write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUMS = "SHA256SUMS"
LIMIT = "limit"
"""The one setting that may grow: a try with a few pictures goes on to the whole set (null)."""
THREADS = "n_threads"
"""The one setting that no option of a command states: the machine does, so a refusal says how to change it."""

_logger = logging.getLogger(__name__)

_SUM = re.compile(r"([0-9a-f]{64})  (\S.*)")


class PictureFolder:
    """The directory of one set, open for writing.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    settings : mapping
        Everything the pictures depend on; plain data.

    Raises
    ------
    StimulusError
        It holds something else, or pictures of other settings, or cannot be written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        _compare(folder, settings)
        try:
            write_settings(folder, settings)
            _mend_last_line(folder / SUMS)
            self._sums: TextIO = (folder / SUMS).open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(folder, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sums.close()

    def finished(self, files: Sequence[str], workers: int) -> dict[str, str]:
        """Return the SHA-256 of those pictures that are there and still what was written.

        Raises
        ------
        StimulusError
            A picture is there and cannot be read.
        """
        noted = self._noted()
        wanted = [file for file in files if file in noted]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            found = pool.map(lambda file: _sha256(self.folder / file), wanted)
            pairs = list(zip(wanted, found, strict=True))
        same = {file: digest for file, digest in pairs if digest == noted[file]}
        changed = [file for file, digest in pairs if digest not in (None, noted[file])]
        if changed:
            _logger.warning(
                "%s: %d pictures are not what was written (%s, ...); they are drawn again",
                self.folder,
                len(changed),
                changed[0],
            )
        return same

    def write(self, file: str, picture: NDArray[np.uint8]) -> str:
        """Write a picture (row, col, rgb) as PNG, whole or not at all; return its SHA-256. Any thread may call it."""
        from PIL import Image

        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, "PNG")
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        write_whole(path, encoded.getvalue())
        return hashlib.sha256(encoded.getvalue()).hexdigest()

    def note(self, file: str, digest: str) -> None:
        """Note a picture as finished; one thread only."""
        self._sums.write(f"{digest}  {file}\n")
        self._sums.flush()

    def settle(self, files: Sequence[str], digests: Mapping[str, str]) -> None:
        """Write the hashes of a finished set in its own order, each once."""
        self._sums.close()
        text = "".join(f"{digests[file]}  {file}\n" for file in files)
        write_whole(self.folder / SUMS, text.encode())

    def _noted(self) -> dict[str, str]:
        lines = (self.folder / SUMS).read_text(encoding="utf-8").splitlines()
        found = [match for line in lines if (match := _SUM.fullmatch(line))]
        return {match[2]: match[1] for match in found}


def _compare(folder: Path, settings: Mapping[str, Any]) -> None:
    found = settings_of(folder)
    if found is None:
        return
    for key in (*settings, *found):
        old, new = found.get(key), settings.get(key)
        if key == LIMIT and _grows(old, new):
            continue
        if old != new:
            how = " (OMP_NUM_THREADS, up to the number of cores)" if key == THREADS else ""
            raise StimulusError(
                f"{folder}: made with {key} {_short(old)}, asked for {_short(new)}, expected the same settings. Give "
                f"another --out, or the settings that the directory was made with{how}."
            )


def _grows(old: Any, new: Any) -> bool:
    return isinstance(old, int) and (new is None or (isinstance(new, int) and new >= old))


def _short(value: Any) -> str:
    text = "all" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StimulusError(
            f"{path}: {error.strerror}, expected a picture of the set. Remove what is there."
        ) from None


def _mend_last_line(path: Path) -> None:
    """End a line that a killed run left half-written, so that the next one starts on its own."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        write_whole(path, data[: data.rfind(b"\n") + 1])
