"""Contact sheets of faces, for the eye: many faces, an interpolation, two generators side by side.

For the docs and for looking at a training. Pictures come as bytes; must not know networks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GAP = 2


def sheet(rows: list[NDArray[np.uint8]], path: Path) -> None:
    """Write a PNG file of rows of pictures.

    Parameters
    ----------
    rows : list of uint8, axes (picture, row, col, rgb)
        One entry per row of the sheet, all of the same length.
    path : Path
    """
    from PIL import Image

    size = rows[0].shape[1]
    step = size + GAP
    n_across = max(len(row) for row in rows)
    canvas = np.full((len(rows) * step - GAP, n_across * step - GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            canvas[i * step : i * step + size, j * step : j * step + size] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path, optimize=True)
