"""All photographs of a projection, class by class and batch by batch, with what was finished before left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from b2g_rt.errors import GeneratorError, StimulusError
from offline.stimuli.generators import PictureGenerator
from offline.stimuli.made_folder import cannot_write
from offline.stimuli.projection.memory import is_out_of_memory, out_of_memory
from offline.stimuli.projection.optimise import (
    Found,
    ProjectionSettings,
    StartPictures,
    n_steps,
    project_batch,
    start_pictures,
)
from offline.stimuli.projection.result_file import (
    NO_CLASS,
    RESULT,
    ProjectedPictures,
    ResultFolder,
    read_projection,
)
from offline.stimuli.projection.start import anchors, latent_distribution
from offline.stimuli.projection.targets import (
    PREPARATION,
    Photograph,
    as_target,
    read_photograph,
)
from offline.stimuli.stylegan.generator import to_uint8


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """What is to be projected, and how.

    Attributes
    ----------
    generator : PictureGenerator
    photographs : list of Photograph
    class_ids : dict of id to int
        Pictures that are not in it are held to the mean of all classes.
    settings : ProjectionSettings
    batch : int
        Pictures drawn at once, which memory grows with.
    """

    generator: PictureGenerator
    photographs: list[Photograph]
    class_ids: dict[str, int]
    settings: ProjectionSettings
    batch: int

    def described(self) -> dict[str, Any]:
        """Return what results depend on, for ``ResultFolder``."""
        return {
            "generator": self.generator.name,
            "generator_sha256": self.generator.digest,
            "preparation": PREPARATION,
            "projection": self.settings.to_dict(),
        }


def project_all(
    projection: Projection,
    folder: Path,
    begun: Callable[[int, int, int], Callable[[int], None]] = lambda n, there, steps: (
        lambda done: None
    ),
    provenance: dict[str, Any] | None = None,
) -> ProjectedPictures:
    """Project what the folder does not hold yet.

    Parameters
    ----------
    projection : Projection
        Its generator lies on the device that works.
    folder : Path
    begun : callable
        Called with pictures to do, pictures that are there, and steps to do; returns what is told of steps.
    provenance : dict, optional
        JSON values for the file: what this run works with.

    Returns
    -------
    ProjectedPictures
        All of the folder, those asked for first.

    Raises
    ------
    StimulusError
        A picture cannot be read, or the folder cannot be written to, holds other files, or was made with other
        settings, classes or another picture of the same id.
    GeneratorError
        A class that the generator does not have, it draws no numbers, or memory is too small for the batch.
    """
    classes: list[int | None] = [projection.class_ids.get(p.id) for p in projection.photographs]
    anchor = anchors(projection.generator, classes, seed=projection.settings.seed)
    try:
        return _gone_on_with(projection, folder, classes, anchor, begun, provenance)
    except OSError as error:
        raise cannot_write(folder, error) from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(projection.generator, projection.batch) from None


def _gone_on_with(
    projection: Projection,
    folder: Path,
    classes: list[int | None],
    anchor: torch.Tensor,
    begun: Callable[[int, int, int], Callable[[int], None]],
    provenance: dict[str, Any] | None,
) -> ProjectedPictures:
    generator = projection.generator
    result = ResultFolder(folder, projection.described(), provenance)
    todo = _unfinished(projection.photographs, result.finished(), folder)
    _check_classes(projection.photographs, classes, result.finished_classes(), folder)
    for i in todo:
        # Before hours of work: every one is a picture.
        read_photograph(projection.photographs[i], generator.resolution)
    done = begun(len(todo), len(classes) - len(todo), len(todo) * n_steps(projection.settings))
    try:
        if todo:
            _work(projection, todo, classes, anchor, result, done)
    finally:
        # Also after Ctrl-C: what is finished is in the file.
        result.close([p.id for p in projection.photographs])
    return read_projection(folder / RESULT)


def _work(
    projection: Projection,
    todo: list[int],
    classes: list[int | None],
    anchor: torch.Tensor,
    result: ResultFolder,
    done: Callable[[int], None],
) -> None:
    generator, settings = projection.generator, projection.settings
    for class_id, of_class in _by_class(todo, classes):
        # Of its own class alone: what is found for a picture must not depend on which others are asked for.
        drawn = [] if class_id is None else [class_id]
        distribution = latent_distribution(generator, drawn, seed=settings.seed)
        starts = start_pictures(generator, drawn, settings, projection.batch)
        _check_numbers(generator, starts)
        for first in range(0, len(of_class), projection.batch):
            idx = of_class[first : first + projection.batch]
            photographs = [projection.photographs[i] for i in idx]
            read = [read_photograph(p, generator.resolution) for p in photographs]
            found = project_batch(
                generator,
                distribution,
                torch.from_numpy(as_target(read)).to(anchor.device),
                anchor[idx],
                starts,
                settings,
                partial(_told, done, len(idx)),
                projection.batch,
            )
            _keep(result, photographs, read, class_id, anchor[idx], found)


def _by_class(todo: list[int], classes: list[int | None]) -> Iterator[tuple[int | None, list[int]]]:
    """Yield each class with its pictures, in the order in which they come up."""
    for class_id in dict.fromkeys(classes[i] for i in todo):
        yield class_id, [i for i in todo if classes[i] == class_id]


def _keep(
    result: ResultFolder,
    photographs: list[Photograph],
    read: list[NDArray[np.uint8]],
    class_id: int | None,
    anchor: torch.Tensor,
    found: Found,
) -> None:
    drawn_again = to_uint8(found.pictures).cpu().numpy()
    for photograph, before, after in zip(photographs, read, drawn_again, strict=True):
        result.draw(photograph.id, before, after)
    result.add(_rows(photographs, class_id, anchor, found, result.run.date))


def _told(done: Callable[[int], None], n_pictures: int, n_steps: int) -> None:
    done(n_pictures * n_steps)


def _unfinished(photographs: list[Photograph], finished: dict[str, str], folder: Path) -> list[int]:
    for p in photographs:
        if finished.get(p.id, p.sha256) != p.sha256:
            raise StimulusError(
                f"{p.path}: {folder} holds another picture of the id {p.id}, expected the same. Give another --out, or "
                "rename the picture."
            )
    return [i for i, p in enumerate(photographs) if p.id not in finished]


def _check_classes(
    photographs: list[Photograph],
    classes: list[int | None],
    finished: dict[str, int],
    folder: Path,
) -> None:
    for p, asked in zip(photographs, map(_stored_class, classes), strict=True):
        if finished.get(p.id, asked) != asked:
            raise StimulusError(
                f"{folder}: {p.id} was held to class {finished[p.id]}, asked for {asked} ({NO_CLASS}: mean of all), "
                "expected the same. Give another --out."
            )


def _stored_class(class_id: int | None) -> int:
    return NO_CLASS if class_id is None else class_id


def _check_numbers(generator: PictureGenerator, starts: StartPictures) -> None:
    if not bool(torch.isfinite(starts.pictures).all()):
        raise GeneratorError(
            f"generator {generator.name}: draws values that are no numbers, expected pictures. Check its weights."
        )


def _rows(
    photographs: list[Photograph],
    class_id: int | None,
    anchor: torch.Tensor,
    found: Found,
    run: str,
) -> ProjectedPictures:
    return ProjectedPictures(
        id=np.array([p.id for p in photographs]),
        path=np.array([str(p.path) for p in photographs]),
        sha256=np.array([p.sha256 for p in photographs]),
        class_id=np.full(len(photographs), _stored_class(class_id), np.int64),
        w=_float32(found.w),
        anchor=_float32(anchor),
        psnr_db=_float32(found.psnr_db),
        distance=_float32(found.distance),
        start_idx=found.start_idx.cpu().numpy(),
        loss=_float32(found.losses),
        run=np.full(len(photographs), run),
    )


def _float32(values: torch.Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().numpy().astype(np.float32)
