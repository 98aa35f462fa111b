"""Which electrodes share a value of the regularisation: by the paper's rule those of an ROI, else each has its own.

For whoever fits the electrodes of a recording; encode.py knows nothing of ROIs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.encode import Rule


def sharing(rule: Rule, channels: ChannelMap, n_windows: int = 1) -> NDArray[np.intp]:
    """Return the group of each target, int, axes (target,), targets being electrodes, window by window.

    Parameters
    ----------
    rule : {'cross_validation', 'degrees_of_freedom'}
        The second is the paper's, which has one value per ROI (and window).
    channels : ChannelMap
    n_windows : int
    """
    if rule == "cross_validation":
        return np.arange(n_windows * channels.n_channels)
    rois = channels.rois()
    of_channel = np.array([rois.index(roi) for roi in channels.roi], np.intp)
    return (np.arange(n_windows)[:, None] * len(rois) + of_channel).ravel()
