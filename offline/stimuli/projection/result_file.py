"""What a projection leaves behind, and how an interrupted one goes on.

    OUT/projection.h5     everything, one row per picture (``id``, ``w``, ``psnr_db``, ``loss``, ...), and its ``runs``
    OUT/latents.npz       ``id`` (picture,) and ``latent`` (picture, latent), for ``b2g-offline fit --latents``
    OUT/pictures/ID.png   target and found, side by side
    OUT/settings.json     what all pictures of the folder were found with
    OUT/parts/            finished batches that are not yet in projection.h5

A batch is written whole under another name and then renamed, so a killed run loses the batch it was at. Files are made
in memory first: where the disk is full, writing fails once and plainly, not again whenever HDF5 or zip tidy up.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from b2g_rt.errors import StimulusError
from offline.stimuli.made_folder import settings_of, write_settings
from offline.stimuli.projection.runs import Run, counted, merged
from offline.whole_files import whole_file, write_whole

FORMAT = "b2g-projection"
VERSION = 1
RESULT = "projection.h5"
LATENTS = "latents.npz"
PARTS = "parts"
PICTURES = "pictures"
RUNS = "runs"

NO_CLASS = -1


@dataclass(frozen=True, slots=True, eq=False)
class ProjectedPictures:
    """Pictures and their latents.

    Attributes
    ----------
    id, path, sha256 : unicode, (picture,)
        SHA-256 of the file.
    class_id : int64, (picture,)
        ``NO_CLASS`` where w was held to the mean of all.
    w : float32, (picture, layer, latent)
        One layer, or one per layer of the generator.
    anchor : float32, (picture, latent)
        What w was held to.
    psnr_db : float32, (picture,)
        Of the found picture, values cut to -1..1, against the target; peak 2.
    distance : float32, (picture,)
        Mahalanobis distance from the anchor per direction; about psi for a picture of the generator's own.
    start_idx : int64, (picture,)
        0: the anchor.
    loss : float32, (picture, step)
    run : unicode, (picture,)
        Date of the run that found it; see ``read_runs``.
    """

    id: NDArray[np.str_]
    path: NDArray[np.str_]
    sha256: NDArray[np.str_]
    class_id: NDArray[np.int64]
    w: NDArray[np.float32]
    anchor: NDArray[np.float32]
    psnr_db: NDArray[np.float32]
    distance: NDArray[np.float32]
    start_idx: NDArray[np.int64]
    loss: NDArray[np.float32]
    run: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.id)

    @property
    def latent(self) -> NDArray[np.float32]:
        """One latent per picture, (picture, latent): the mean over layers."""
        return np.asarray(self.w.mean(axis=1, dtype=np.float64), np.float32)

    def rows(self, idx: NDArray[np.intp]) -> ProjectedPictures:
        """Return some of the pictures."""
        return ProjectedPictures(**{f.name: getattr(self, f.name)[idx] for f in fields(self)})


class ResultFolder:
    """The folder of one projection.

    Parameters
    ----------
    folder : Path
        Made where missing.
    settings : dict
        JSON values: generator digest, settings, preparation.
    provenance : dict, optional
        JSON values, what this run works with: command, device, versions.

    Attributes
    ----------
    run : Run
        This one.

    Raises
    ------
    StimulusError
        The folder holds a projection made with other settings, or other files.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], provenance: dict[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.run = Run(provenance or {})
        self.settings = json.loads(json.dumps(settings))
        held = settings_of(folder)
        if held is None:
            write_settings(folder, self.settings)
        else:
            _compare(folder, held, self.settings)
        (folder / PARTS).mkdir(exist_ok=True)
        self._n_parts = 0

    def finished(self) -> dict[str, str]:
        """Return the pictures that are done: id to SHA-256 of the file."""
        return {i: str(digest) for i, digest in self._of_each("sha256")}

    def finished_classes(self) -> dict[str, int]:
        """Return the class that each picture that is done was held to, ``NO_CLASS`` for the mean of all."""
        return {i: int(class_id) for i, class_id in self._of_each("class_id")}

    def _of_each(self, name: str) -> Iterator[tuple[str, Any]]:
        for part in self._read():
            yield from zip(map(str, part.id), getattr(part, name), strict=True)

    def add(self, part: ProjectedPictures) -> None:
        """Keep a finished batch."""
        while (path := self.folder / PARTS / f"{self._n_parts:06d}.npz").exists():
            self._n_parts += 1
        arrays: dict[str, Any] = {f.name: getattr(part, f.name) for f in fields(part)}
        write_whole(path, _archive(**arrays, **{RUNS: json.dumps(self.run.record())}))

    def draw(self, picture_id: str, target: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
        """Write target and found side by side, each (row, col, rgb)."""
        path = self.folder / PICTURES / f"{picture_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            Image.fromarray(np.concatenate([target, found], axis=1)).save(unfinished, "PNG")

    def close(self, order: Sequence[str] = ()) -> None:
        """Gather all finished batches in ``projection.h5`` and ``latents.npz``; without any, do nothing.

        Parameters
        ----------
        order : sequence of str
            Ids that come first, in this order; others follow as they came.
        """
        parts = self._read()
        if not parts:
            return
        joined = ProjectedPictures(
            **{
                f.name: np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(parts[0])
            }
        )
        # A picture stands in a part and in the file when the last gathering was cut off: the first is as good.
        rows = {str(picture_id): i for i, picture_id in reversed(list(enumerate(joined.id)))}
        first = [rows[i] for i in dict.fromkeys(order) if i in rows]
        rest = sorted(set(rows.values()) - set(first))
        self._write(joined.rows(np.array(first + rest, np.intp)), self._runs())
        for path in self._part_files():
            path.unlink()
        # Whatever else somebody put there stays.
        with suppress(OSError):
            (self.folder / PARTS).rmdir()

    def _part_files(self) -> list[Path]:
        return sorted((self.folder / PARTS).glob("[0-9]" * 6 + ".npz"))

    def _read(self) -> list[ProjectedPictures]:
        found = []
        if (self.folder / RESULT).exists():
            found.append(read_projection(self.folder / RESULT))
        for path in self._part_files():
            with np.load(path, allow_pickle=False) as archive:
                found.append(
                    ProjectedPictures(
                        **{f.name: archive[f.name] for f in fields(ProjectedPictures)}
                    )
                )
        return found

    def _runs(self) -> list[dict[str, Any]]:
        found = read_runs(self.folder / RESULT) if (self.folder / RESULT).exists() else []
        for path in self._part_files():
            with np.load(path, allow_pickle=False) as archive:
                found.append(json.loads(str(archive[RUNS])))
        return merged([*found, self.run.record()])

    def _write(self, pictures: ProjectedPictures, runs: list[dict[str, Any]]) -> None:
        runs = counted(runs, pictures.run)
        whole = io.BytesIO()
        with h5py.File(whole, "w") as file:
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            file.attrs["settings"] = json.dumps(self.settings)
            file.attrs["provenance"] = json.dumps(runs[-1]["provenance"])
            lines = np.array([json.dumps(run) for run in runs], h5py.string_dtype())
            # No attribute: these end at 64 KB.
            file.create_dataset(RUNS, data=lines)
            for f in fields(pictures):
                values = getattr(pictures, f.name)
                if values.dtype.kind == "U":
                    values = values.astype(h5py.string_dtype())
                file.create_dataset(f.name, data=values)
        write_whole(self.folder / RESULT, whole.getvalue())
        write_whole(self.folder / LATENTS, _archive(id=pictures.id, latent=pictures.latent))


def read_projection(path: Path) -> ProjectedPictures:
    """Read a ``projection.h5``.

    Raises
    ------
    StimulusError
        It is none, of another version, or broken.
    """
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise StimulusError(
                    f"{path}: format {file.attrs.get('format')} {file.attrs.get('version')}, expected {FORMAT} "
                    f"{VERSION}. Remove it to begin anew."
                )
            arrays: dict[str, Any] = {}
            for f in fields(ProjectedPictures):
                values = file[f.name]
                text = h5py.check_string_dtype(values.dtype) is not None
                arrays[f.name] = np.array(values.asstr()[...], np.str_) if text else values[...]
            return ProjectedPictures(**arrays)
    except (OSError, KeyError) as error:
        raise StimulusError(
            f"{path}: {error}, expected a whole {RESULT}. Remove it to begin anew."
        ) from None


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Read the runs that made a ``projection.h5``, in the order in which they began.

    Returns
    -------
    list of dict
        ``date`` (UTC, when it began), ``n_pictures`` (of the file, that it found), ``seconds``, and ``provenance``:
        command, device and versions.
    """
    with h5py.File(path) as file:
        return [json.loads(line) for line in file[RUNS].asstr()[...]]


def _archive(**arrays: Any) -> bytes:
    whole = io.BytesIO()
    np.savez(whole, **arrays)
    return whole.getvalue()


def _compare(folder: Path, held: dict[str, Any], settings: dict[str, Any]) -> None:
    before, now = _flat(held), _flat(settings)
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise StimulusError(
                f"{folder}: made with {key} {before.get(key)}, expected {now.get(key)} as asked now. Give another "
                "--out, or the same settings to go on."
            )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    flat = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else key))
    return flat
