"""How much each electrode moves the decoded latent: the norm of its weights, measured through the decoder itself.

For a linear decoder this is the norm of the electrode's row of the map over latents, exactly; for any other one the
same difference around the mean response. It is no map of where the information is: a decoder also weighs electrodes to
cancel noise (Haufe et al. 2014, doi 10.1016/j.neuroimage.2013.10.067).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.decoding.stepping import Decodes

ABOUT = (
    "Length of the change of the decoded latent at the last window when one electrode responds 1 SD more there, all "
    "others at their mean (for a linear decoder: the norm of its weights). Large weights may cancel noise: no map of "
    "where the information is."
)


def electrode_effects(
    decoder: Decodes, mean_response: NDArray[np.floating], *, fixed: bool = False
) -> NDArray[np.float64]:
    """Return how far the last window's latent moves per SD of each electrode.

    Parameters
    ----------
    decoder : Decodes
    mean_response : float, axes (window, channel), z units
        Where the difference is taken; earlier windows only fill the memory of a decoder that has one.
    fixed : bool
        One map for all windows.

    Returns
    -------
    float64, axes (channel,), latent units per SD
        Half the difference between 1 SD above and 1 SD below.
    """
    mean = np.asarray(mean_response, np.float32)
    n_windows, n_channels = mean.shape
    state = np.zeros((1, decoder.n_state), np.float32)
    for k in range(n_windows - 1):
        _, state = decoder.step(mean[k : k + 1], 0 if fixed else k, state)
    states = np.repeat(state, n_channels, axis=0)
    last = 0 if fixed else n_windows - 1
    found = [
        decoder.step(mean[-1] + sign * np.eye(n_channels, dtype=np.float32), last, states)[0]
        for sign in (1.0, -1.0)
    ]
    difference = found[0].astype(np.float64) - found[1].astype(np.float64)
    return np.asarray(np.linalg.norm(difference, axis=1) / 2.0)
