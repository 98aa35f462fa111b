"""How alike two pictures are, pixel by pixel: PixCorr and SSIM, with their resizing and preprocessing stated.

Figures differ by resizing alone, so each result carries the sentence that says what was done. Pictures are uint8,
axes (picture, row, col, rgb); a reconstruction is compared with the picture at the same position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import PictureError
from offline.evaluation.metrics import Array, unit_rows

Pictures = NDArray[np.uint8]

PIXCORR_SIDE = 425
_RESIZED = "RGB 0..1, bilinear with antialiasing to {side} px (shorter side)"


@dataclass(frozen=True, slots=True, eq=False)
class PictureValues:
    """One figure per picture.

    Attributes
    ----------
    metric : str
    values : float64, axes (picture,)
    better : "higher" or "lower"
    chance : float or None
        What unrelated pictures score on average, where that is known; None: see the mean-latent picture instead.
    preprocessing : str
        For the report.
    """

    metric: str
    values: Array
    better: Literal["higher", "lower"]
    chance: float | None
    preprocessing: str


def resized(pictures: Pictures, side: int) -> NDArray[np.float32]:
    """Resize pictures so that the shorter side has a given length.

    Parameters
    ----------
    pictures : uint8, axes (picture, row, col, rgb)
    side : int, pixels

    Returns
    -------
    float32, axes (picture, row, col, rgb), 0 to 1
        Bilinear, with antialiasing where it shrinks: what torchvision's ``Resize(side)`` does to tensors; not rounded
        to 8 bits.

    Raises
    ------
    PictureError
        No uint8 RGB pictures.
    """
    from PIL import Image

    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise PictureError(
            f"pictures: {pictures.dtype}, axes {pictures.shape}, expected uint8, axes (picture, row, col, 3)."
        )
    n, rows, cols, _ = pictures.shape
    short = min(rows, cols)
    size = (side * cols // short, side * rows // short)  # Pillow: (col, row)
    if size == (cols, rows):
        return np.asarray(pictures.astype(np.float32) / 255.0, np.float32)
    found = np.empty((n, size[1], size[0], 3), np.float32)
    for i, picture in enumerate(pictures):
        for rgb in range(3):
            plane = Image.fromarray(picture[:, :, rgb].astype(np.float32))
            found[i, :, :, rgb] = plane.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(found / 255.0, np.float32)


def pixel_correlation(
    reconstructed: Pictures, shown: Pictures, side: int = PIXCORR_SIDE
) -> PictureValues:
    """Return PixCorr: Pearson's r over all pixels and colours of a picture.

    Parameters
    ----------
    reconstructed, shown : uint8, axes (picture, row, col, rgb)
        Both sets may have sizes of their own, of the same shape.
    side : int, pixels

    Returns
    -------
    PictureValues
        -1 to 1; 0 where one of the two is a single colour of grey. Chance is not 0: pictures share their layout, so
        see the mean-latent picture.

    Notes
    -----
    Definition of MindEye (Scotti et al. 2023), 425 px.
    """
    a, b = _pair(reconstructed, shown, side)
    values = np.empty(len(a))
    for i in range(len(a)):  # one at a time: 425 px in float64 are 4 MB
        rows = unit_rows(np.stack([a[i].ravel(), b[i].ravel()]).astype(np.float64))
        values[i] = rows[0] @ rows[1]
    return PictureValues(
        "PixCorr", values, "higher", None, _RESIZED.format(side=side) + "; Pearson over all values"
    )


def structural_similarity(
    reconstructed: Pictures, shown: Pictures, side: int = PIXCORR_SIDE
) -> PictureValues:
    """Return SSIM of the grey pictures.

    Parameters
    ----------
    reconstructed, shown : uint8, axes (picture, row, col, rgb)
    side : int, pixels

    Returns
    -------
    PictureValues
        -1 to 1, 1 for equal pictures; chance depends on the pictures: see the mean-latent picture.

    Notes
    -----
    Wang et al. 2004, doi 10.1109/TIP.2003.819861: Gaussian weights of SD 1.5 px (11 x 11), covariance of the
    population, K1 = .01, K2 = .03, data range 1; by scikit-image. Grey and size as in MindEye.
    """
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity as ssim

    a, b = _pair(reconstructed, shown, side)
    values = [
        ssim(
            rgb2gray(x.astype(np.float64)),
            rgb2gray(y.astype(np.float64)),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for x, y in zip(a, b, strict=True)
    ]
    return PictureValues(
        "SSIM",
        np.array(values, np.float64),
        "higher",
        None,
        _RESIZED.format(side=side)
        + "; grey .2125 R + .7154 G + .0721 B; Gaussian weights, SD 1.5 px, data range 1",
    )


def _pair(
    reconstructed: Pictures, shown: Pictures, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if len(reconstructed) != len(shown):
        raise PictureError(
            f"pictures: {len(reconstructed)} reconstructions of {len(shown)} stimuli, expected as many."
        )
    a, b = resized(reconstructed, side), resized(shown, side)
    if a.shape != b.shape:
        raise PictureError(
            f"pictures: reconstructions of {reconstructed.shape[1:3]} px, stimuli of {shown.shape[1:3]} px, expected "
            "the same shape. Crop them alike."
        )
    return a, b
