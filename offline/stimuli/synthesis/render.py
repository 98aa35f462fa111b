"""From z to w and from w to PNG files, so that neither an interruption nor the number of workers changes a byte.

For whole sets and for pictures between and beyond them. Small pictures are drawn several batches at a time, each by
one thread of the CPU, others one batch after the other; encoding and writing goes on beside it. What bytes do depend
on besides generator and w (device, batch, threads within an operation) is fixed for a set by whoever keeps its
settings. Must not know where z and w come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import StimulusError
from offline.stimuli.made_folder import cannot_write
from offline.stimuli.synthesis.picture_folder import PictureFolder

if TYPE_CHECKING:
    from offline.stimuli.generators import PictureGenerator
    from offline.stimuli.synthesis.plans import StimulusPlan

Device = Literal["auto", "cpu", "cuda"]

ABREAST_UP_TO_PX = 256
"""Larger pictures keep all cores busy one at a time, and several of them would need gigabytes."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How pictures are drawn.

    Attributes
    ----------
    device : {'cpu', 'cuda'}
    batch : int
        Pictures at a time. The last bits of a picture depend on it, and so, rarely, do bytes; a set has one batch.
    workers : int
        Threads that encode and write, and on the CPU draw small pictures.
    """

    device: Literal["cpu", "cuda"]
    batch: int
    workers: int


def chosen_drawing(device: Device, batch: int | None, workers: int | None) -> Drawing:
    """Fill in what was left open: CUDA where there is one, 1 picture at a time on the CPU and 8 on CUDA.

    Raises
    ------
    ProviderError
        CUDA was asked for and torch has none.
    """
    import os

    from offline.stimuli.devices import device_named

    used: Literal["cpu", "cuda"] = "cuda" if device_named(device).type == "cuda" else "cpu"
    return Drawing(
        used,
        batch or (8 if used == "cuda" else 1),
        workers or min(8, max(1, os.cpu_count() or 1)),
    )


def threads_within(generator: PictureGenerator, drawing: Drawing) -> int | None:
    """Return how many threads share each operation of the drawing: the last bits of sums depend on it.

    Returns
    -------
    int or None
        1 for small pictures on the CPU, torch's own number for others (``OMP_NUM_THREADS``, else the cores); None on
        CUDA, where the CPU's threads compute nothing.
    """
    import torch

    if drawing.device != "cpu":
        return None
    return 1 if generator.resolution <= ABREAST_UP_TO_PX else torch.get_num_threads()


def latents_of(plan: StimulusPlan, generator: PictureGenerator) -> NDArray[np.float32]:
    """Return w of every picture of a plan after truncation, axes (stimulus, w_dim).

    One picture at a time, on the CPU and by one thread: a set's latents depend neither on its length nor on the
    device and the number of cores.
    """
    import torch

    from offline.stimuli.devices import reproducible

    cpu = generator.to("cpu")
    centre = cpu.w_avg.numpy()
    means = plan.is_class_mean
    w = np.empty((len(plan), generator.w_dim), np.float32)
    with torch.inference_mode(), reproducible(1):
        for i in range(len(plan)):
            if means[i]:
                w[i] = centre[plan.class_id[i]]
                continue
            class_id = torch.from_numpy(plan.class_id[i : i + 1]) if generator.n_classes else None
            w[i] = cpu.mapping(torch.from_numpy(plan.z[i : i + 1]), class_id, plan.psi)[
                0, 0
            ].numpy()
    return w


def draw_missing(
    folder: PictureFolder,
    files: Sequence[str],
    w: NDArray[np.float32],
    generator: PictureGenerator,
    drawing: Drawing,
    finished: Mapping[str, str],
    drawn: Callable[[int], None],
) -> dict[str, str]:
    """Draw the pictures that are not finished; return the SHA-256 of all of them.

    Parameters
    ----------
    folder : PictureFolder
    files : sequence of str
        Relative to the folder.
    w : float32, axes (stimulus, w_dim)
    generator : PictureGenerator
    drawing : Drawing
    finished : mapping of file to SHA-256
    drawn : callable
        Told how many more pictures are on the disk.

    Raises
    ------
    StimulusError
        A picture has values that are no numbers, or the disk is full.
    """
    from offline.stimuli.devices import reproducible

    digests = dict(finished)
    waiting: deque[Future[dict[str, str]]] = deque()
    moved = generator.to(drawing.device)
    n_threads = threads_within(generator, drawing)
    many = drawing.device == "cpu" and generator.resolution <= ABREAST_UP_TO_PX
    drawing_now = Semaphore(drawing.workers if many else 1)

    def draw_and_write(start: int, missing: Sequence[int]) -> dict[str, str]:
        with drawing_now:
            pictures = draw(moved, w[start : start + drawing.batch], drawing)
        for i in missing:
            _check_finite(pictures[i - start], files[i])
        return {
            files[i]: folder.write(files[i], _to_bytes(pictures[i - start : i - start + 1]))
            for i in missing
        }

    def note(written: Mapping[str, str]) -> None:
        for file, digest in written.items():
            if file not in digests:
                digests[file] = digest
                folder.note(file, digest)
                drawn(1)

    try:
        with (
            reproducible(n_threads),
            ThreadPoolExecutor(drawing.workers + (0 if many else 1)) as pool,
        ):
            try:
                # Groups have fixed places, and are drawn whole if one picture of them is missing.
                for start in range(0, len(files), drawing.batch):
                    group = range(start, min(start + drawing.batch, len(files)))
                    if missing := [i for i in group if files[i] not in digests]:
                        waiting.append(pool.submit(draw_and_write, start, missing))
                    if len(waiting) > 2 * drawing.workers:
                        note(waiting[0].result())
                        waiting.popleft()
                while waiting:
                    note(waiting[0].result())
                    waiting.popleft()
            except BaseException:
                # Ctrl-C, a full disk: what is being drawn is kept, what waits is not begun.
                for future in [future for future in waiting if not future.cancel()]:
                    if future.exception() is None:
                        note(future.result())
                raise
    except OSError as error:
        raise cannot_write(folder.folder, error) from None
    return digests


def draw(
    generator: PictureGenerator, w: NDArray[np.float32], drawing: Drawing
) -> NDArray[np.float32]:
    """Draw up to one batch of pictures, always in a batch of full size: shape decides about the last bits.

    Returns
    -------
    float32, axes (picture, rgb, row, col), nominally within -1..1
    """
    import torch

    filled = np.concatenate([w, np.repeat(w[-1:], drawing.batch - len(w), axis=0)])
    with torch.inference_mode():
        pictures = generator.synthesis(torch.from_numpy(filled[:, None]).to(drawing.device))
        drawn: NDArray[np.float32] = pictures[: len(w)].float().cpu().numpy()
    return drawn


def _check_finite(picture: NDArray[np.float32], file: str) -> None:
    if not np.isfinite(picture).all():
        raise StimulusError(
            f"{file}: the generator drew values that are no numbers, expected a picture. Import its checkpoint again."
        )


def _to_bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (row, col, rgb) bytes of one picture (1, rgb, row, col)."""
    import torch

    from offline.stimuli.stylegan.generator import to_uint8

    levels: NDArray[np.uint8] = to_uint8(torch.from_numpy(picture))[0].numpy()
    return levels
