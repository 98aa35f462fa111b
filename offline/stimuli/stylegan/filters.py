"""The low-pass filters of a layer, designed from its cutoffs: separable (Kaiser window) or radial (jinc).

Source: Karras et al. 2021, appendix B and C. Must not know torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.stimuli.stylegan.specification import LayerSpec


def up_filter(layer: LayerSpec) -> NDArray[np.float64] | None:
    """Return the layer's up filter, axes (tap,), sum 1, or None where there is none."""
    if layer.up_taps == 1:
        return None
    return separable(
        layer.up_taps, layer.in_cutoff, layer.in_half_width * 2, layer.tmp_sampling_rate
    )


def down_filter(layer: LayerSpec) -> NDArray[np.float64] | None:
    """Return the layer's down filter, axes (tap,) or, where radial, (row tap, col tap); sum 1; None without one."""
    if layer.down_taps == 1:
        return None
    design = radial if layer.down_radial else separable
    return design(
        layer.down_taps, layer.out_cutoff, layer.out_half_width * 2, layer.tmp_sampling_rate
    )


def separable(taps: int, cutoff: float, width: float, rate: float) -> NDArray[np.float64]:
    """Return a windowed-sinc low-pass.

    Parameters
    ----------
    taps : int
    cutoff, width, rate : float
        Cutoff, full transition band and sampling rate, in the same unit.

    Returns
    -------
    float64, axes (tap,), sum 1
    """
    from scipy.signal import firwin

    return np.asarray(firwin(taps, cutoff, width=width, fs=rate), np.float64)


def radial(taps: int, cutoff: float, width: float, rate: float) -> NDArray[np.float64]:
    """Return a rotation-symmetric low-pass: a jinc under the outer product of a Kaiser window.

    Parameters
    ----------
    taps, cutoff, width, rate
        As for ``separable``.

    Returns
    -------
    float64, axes (row tap, col tap), sum 1
    """
    from scipy.signal import kaiser_atten, kaiser_beta
    from scipy.signal.windows import kaiser
    from scipy.special import j1

    offset = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(offset[:, None], offset[None, :])
    # An odd number of taps has a sample at r = 0, where the limit is pi * cutoff^2 / pi.
    with np.errstate(invalid="ignore", divide="ignore"):
        jinc = np.where(r > 0, j1(2 * np.pi * cutoff * r) / (np.pi * r), cutoff)
    window = kaiser(taps, kaiser_beta(kaiser_atten(taps, width / (rate / 2))))
    kernel = jinc * np.outer(window, window)
    return np.asarray(kernel / kernel.sum(), np.float64)
