"""What several feature spaces explain together and apart, as plain data: means per ROI with intervals, and electrodes.

For ``encoding_contents(joint=...)``; what is explained is computed by variance_partitioning.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.scores import plain
from offline.encoding.statistics import Array
from offline.resampling import N_RESAMPLES, Rows, bootstrap


@dataclass(frozen=True, slots=True, eq=False)
class _Means:
    """Means over electrodes, axes (figure,)."""

    values: Array = field(repr=False)

    def __call__(self, rows: Rows) -> Array:
        return np.asarray(self.values[:, rows].mean(axis=1))


def joint_contents(
    spaces: Sequence[str],
    channels: ChannelMap,
    joint: NDArray[np.floating],
    unique: NDArray[np.floating],
    shared: NDArray[np.floating],
    *,
    n_test: int,
    product: NDArray[np.floating] | None = None,
    ceiling: NDArray[np.floating] | None = None,
    informative: NDArray[np.bool_] | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Gather the figures of a joint model.

    Parameters
    ----------
    spaces : sequence of str, axes (space,)
        Those of the joint model.
    channels : ChannelMap
    joint, shared : float, axes (channel,)
        Variance that all spaces explain; what more than one could explain: ``unique_and_shared``.
    unique : float, axes (space, channel)
    n_test : int
        Stimuli, held out.
    product : float, axes (space, channel), optional
        See ``product_measure``.
    ceiling : float, axes (channel,), optional
        Noise ceiling, a correlation: its square is what could be explained at all.
    informative : bool, axes (channel,), optional
        Electrodes that means are taken over; all by default, and where there is none.
    n_resamples, seed : int
        Of the bootstrap over electrodes.

    Returns
    -------
    dict
        Plain data; per ROI ``joint``, ``shared``, ``unique`` and ``product`` by space, each mean, low, high.
    """
    chosen = np.ones(channels.n_channels, np.bool_)
    if informative is not None and informative.any():
        chosen = np.asarray(informative, np.bool_)
    rows = [joint, shared, *unique, *(() if product is None else product)]
    values = np.asarray(np.stack(rows), np.float64)
    rois: dict[str, dict[str, Any] | None] = {}
    for roi in channels.rois():
        own = channels.channels_of(roi)
        own = own[chosen[own]]
        if not len(own):
            rois[roi] = None
            continue
        found = bootstrap(_Means(values[:, own]), np.arange(len(own)), n_resamples, seed)
        means = [
            {"mean": float(m), "low": float(low), "high": float(high)}
            for m, low, high in zip(found.value, found.low, found.high, strict=True)
        ]
        n = len(spaces)
        known = np.empty(0) if ceiling is None else np.square(ceiling[own])
        known = known[np.isfinite(known)]
        rois[roi] = {
            "n_channels": len(own),
            "joint": means[0],
            "shared": means[1],
            "unique": dict(zip(spaces, means[2 : 2 + n], strict=True)),
            "product": dict(zip(spaces, means[2 + n :], strict=True))
            if product is not None
            else None,
            "explainable": float(known.mean()) if len(known) else None,
        }
    return {
        "spaces": list(spaces),
        "n_test": n_test,
        "informative_only": not chosen.all(),
        "rois": rois,
        "electrodes": {
            "joint": plain(np.asarray(joint)),
            "shared": plain(np.asarray(shared)),
            "unique": plain(np.asarray(unique)),
            "product": None if product is None else plain(np.asarray(product)),
        },
    }
