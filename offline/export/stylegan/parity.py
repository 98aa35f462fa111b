"""Whether ONNX Runtime computes what torch computes, element by element, on its CPU provider."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from b2g_rt.errors import GeneratorError
from offline.export.cpu_session import cpu_session
from offline.stages import Stage
from offline.stimuli.stylegan.generator import to_uint8

if TYPE_CHECKING:
    import onnxruntime

    from offline.stimuli.generators import PictureGenerator

TOLERANCE = 2e-4  # of w, and of pictures in float32, in SDs
HALF_TOLERANCE = 5e-2  # of pictures in float16, in their SDs
LEVELS = 2  # of pictures as bytes, in grey levels, beside what the tolerance comes to
SEED = 0
LARGE = 512  # px; pictures of this size are compared one at a time


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst element of one comparison.

    Attributes
    ----------
    what : {'w', 'image'}
    of : str
        What was drawn: the truncation, or another w for each layer.
    rows : int
        Rows of w that were given.
    error : float
        In SDs of what torch computed; of bytes in grey levels.
    index : tuple of int
        Where.
    sd : float
        Of what torch computed, in its own unit.
    tolerance : float
        As ``error``.
    share : float or None
        Of bytes: share of elements that differ.
    """

    what: str
    of: str
    rows: int
    error: float
    index: tuple[int, ...]
    sd: float
    tolerance: float
    share: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "index": list(self.index)}


def worst_element(
    found: NDArray[Any], wanted: NDArray[Any], what: str, of: str, rows: int, tolerance: float
) -> Worst:
    """Compare two arrays; bytes in grey levels, anything else in SDs of ``wanted``.

    Raises
    ------
    GeneratorError
        The worst element exceeds the tolerance, is no number, or the shapes differ.
    """
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise GeneratorError(
            f"export: {what} ({of}) is {found.dtype} {found.shape}, expected {wanted.dtype} {wanted.shape}. The export "
            "is wrong: report it."
        )
    as_bytes = wanted.dtype == np.uint8
    sd = float(wanted.std())
    difference = np.abs(found.astype(np.float64) - wanted) / (1.0 if as_bytes else sd or 1.0)
    place = int(np.nanargmax(np.where(np.isnan(difference), np.inf, difference)))
    index = tuple(int(i) for i in np.unravel_index(place, wanted.shape))
    allowed = LEVELS + float(np.floor(tolerance * sd)) if as_bytes else tolerance
    worst = Worst(
        what,
        of,
        rows,
        float(difference[index]),
        index,
        sd,
        allowed,
        float(np.count_nonzero(difference) / difference.size) if as_bytes else None,
    )
    if not worst.error <= allowed:
        raise GeneratorError(
            f"export: {what} ({of}) differs from torch at {index} by {worst.error:.2g} "
            f"{'grey levels' if as_bytes else 'SD'}, expected at most {allowed:g}. The export is wrong, or its weights "
            "leave the range of its type: report it."
        )
    return worst


def compared(
    generator: PictureGenerator, mapping: Path, synthesis: Path, *, half: bool, stage: Stage
) -> list[Worst]:
    """Compare both files with torch: w and pictures at psi 1 and .7, and pictures of another w for each layer.

    Parameters
    ----------
    generator : PictureGenerator
        What was exported, on the CPU.
    mapping, synthesis : Path
        The files.
    half : bool
        Whether the synthesis computes in float16.
    stage : Stage

    Raises
    ------
    GeneratorError
        An element exceeds its tolerance.
    """
    rng = np.random.default_rng(SEED)
    n = 2 if generator.resolution < LARGE else 1
    z = rng.standard_normal((n, generator.z_dim)).astype(np.float32)
    classes = rng.integers(max(generator.n_classes, 1), size=n)
    found: list[Worst] = []
    drawn: list[tuple[str, NDArray[np.float32]]] = []
    session = open_session(mapping)
    for psi in (1.0, 0.7):
        feed: dict[str, Any] = {"z": z, "psi": np.array(psi, np.float32)}
        if generator.n_classes:
            feed["class_id"] = classes
        w = _w(generator, z, classes, psi)
        of = f"psi {psi:g}"
        found.append(worst_element(session.run(None, feed)[0], w, "w", of, w.shape[1], TOLERANCE))
        # A single row where all are the same: broadcast inside.
        drawn.append((of, w if psi == 1.0 else w[:, :1]))
    if generator.num_ws > 1:
        many = rng.standard_normal((generator.num_ws, generator.z_dim)).astype(np.float32)
        labels = rng.integers(max(generator.n_classes, 1), size=generator.num_ws)
        per_layer = _w(generator, many, labels, 1.0)[:, 0][None]
        drawn.append(("w per layer", per_layer))
    done = stage(f"compared with torch: {len(drawn)} drawings", len(drawn))
    session = open_session(synthesis)
    as_bytes = "uint8" in session.get_outputs()[0].type
    for of, w in drawn:
        with torch.no_grad():
            image = generator.synthesis(torch.from_numpy(w))
            wanted = (to_uint8(image) if as_bytes else image).numpy()
        picture = session.run(None, {"w": w})[0]
        tolerance = HALF_TOLERANCE if half else TOLERANCE
        found.append(worst_element(picture, wanted, "image", of, w.shape[1], tolerance))
        done(1)
    return found


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an exported file on all cores of the CPU, for a few runs."""
    return cpu_session(path, threads=0, keeps_memory=False)


def _w(
    generator: PictureGenerator, z: NDArray[np.float32], classes: NDArray[np.int64], psi: float
) -> NDArray[np.float32]:
    class_id = torch.from_numpy(classes) if generator.n_classes else None
    with torch.no_grad():
        w = generator.mapping(torch.from_numpy(z), class_id, psi)
    return np.asarray(w.contiguous().numpy(), np.float32)
