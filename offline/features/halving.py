"""The paper's halving of early feature maps: less numbers, each of a neighbourhood of four.

After Brain2GAN (Dado et al. 2024, doi 10.1371/journal.pcbi.1012058), which halves the first two pooling outputs of
VGG16: 64x112x112 to 64x56x56, 128x56x56 to 128x28x28.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KERNEL_ENTRY = math.exp(-1.0)
"""Each of the 2x2 Gaussian kernel's entries: all lie equally far from its centre. They do not sum to 1."""


def halved(maps: torch.Tensor) -> torch.Tensor:
    """Convolve each map with the 2x2 kernel, as large as it was, and keep every second row and column.

    Parameters
    ----------
    maps : torch.Tensor
        Axes (picture, channel, row, col).

    Returns
    -------
    torch.Tensor
        Axes (picture, channel, row / 2, col / 2), rounded up.

    Notes
    -----
    The kernel has no middle: as in ``scipy.signal.convolve2d(map, kernel, mode="same")`` entry (i, j) covers rows i-1
    and i and columns j-1 and j, with 0 outside. So entry (0, 0) sees one number, (0, 1) two.
    """
    from torch.nn.functional import avg_pool2d, pad

    return avg_pool2d(pad(maps, (1, 0, 1, 0)), 2) * (4.0 * KERNEL_ENTRY)
