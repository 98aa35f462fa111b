"""Whether what a generator returned can be a picture: float16 overflows, and gives NaN or one colour for it.

Costs microseconds, for the live path. Flags only what no picture is: a dark face is many shades of dark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_N_PROBES = 16  # per axis


def number_fault(image: NDArray[np.floating[Any]]) -> str:
    """Say what is wrong with a float picture's numbers, '' when nothing is.

    Parameters
    ----------
    image : float, axes (rgb, row, col)
    """
    finite = np.isfinite(image)
    if finite.all():
        return ""
    n_broken = image.size - int(np.count_nonzero(finite))
    return f"{n_broken} of {image.size} values are NaN or infinite"


def colour_fault(pixels: NDArray[np.uint8]) -> str:
    """Say whether a picture is one colour throughout, '' when it is not.

    Bytes cannot be NaN: what was NaN before the cast comes out as one colour, mostly black.

    Parameters
    ----------
    pixels : uint8, axes (row, col, rgb)
    """
    corner = pixels[0, 0]
    rows, cols = (max(1, n // _N_PROBES) for n in pixels.shape[:2])
    # One probe that differs settles it, so that only a suspect is looked at pixel by pixel.
    if (pixels[::rows, ::cols] != corner).any() or (pixels != corner).any():
        return ""
    if not corner.any():
        return "the picture is black throughout"
    return f"the picture is one colour throughout {tuple(corner.tolist())}"
