"""Arithmetic on latents: ways from one to another, and differences added to a third.

For pictures between and beyond those of a set. Arrays only.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import StimulusError

Way = Literal["linear", "spherical"]

_PARALLEL = 1e-6
"""Below this angle, in rad, a great circle and a straight line are the same in float32."""


def linear(
    a: NDArray[np.floating], b: NDArray[np.floating], t: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return points on the straight line from ``a`` (latent,) to ``b`` at ``t`` (point,) in 0..1; (point, latent)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    along: NDArray[np.float64] = (1.0 - t)[:, None] * a + t[:, None] * b
    return along


def spherical(
    a: NDArray[np.floating], b: NDArray[np.floating], t: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return points on the great circle from ``a`` to ``b``; the length goes linearly from one's to the other's.

    Source: Shoemake 1985, "Animating rotation with quaternion curves"; for z of generators White 2016, "Sampling
    generative networks": z lie near a sphere, and the middle of a straight line does not.

    Raises
    ------
    StimulusError
        They point in opposite directions, or one is zero: there is no one way.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if not (length_a and length_b):
        raise StimulusError(
            "interpolation: a latent of length 0, expected one with a direction. Use --way linear."
        )
    unit_a, unit_b = a / length_a, b / length_b
    # Exact near 0 and pi too, where the arc cosine of the scalar product is not.
    angle = 2 * np.arctan2(np.linalg.norm(unit_a - unit_b), np.linalg.norm(unit_a + unit_b))
    if angle < _PARALLEL:
        return linear(a, b, t)
    if np.pi - angle < _PARALLEL:
        raise StimulusError(
            "interpolation: latents of opposite directions, expected one shortest way. Use --way linear."
        )
    share_a = np.sin((1.0 - t) * angle) / np.sin(angle)
    share_b = np.sin(t * angle) / np.sin(angle)
    length = (1.0 - t) * length_a + t * length_b
    along: NDArray[np.float64] = length[:, None] * (
        share_a[:, None] * unit_a + share_b[:, None] * unit_b
    )
    return along


def through(
    stops: NDArray[np.floating], n_steps: int, way: Way
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return points on a way through all stops, and where they are.

    Parameters
    ----------
    stops : float, axes (stop, latent)
    n_steps : int
        Points from one stop to the next, both included; at least 2.
    way : {'linear', 'spherical'}

    Returns
    -------
    points : float32, axes (point, latent)
        The stops among them, exactly.
    position : float64, axes (point,)
        0 at the first stop, 1 at the second, and so on.
    """
    between = linear if way == "linear" else spherical
    t = np.linspace(0.0, 1.0, n_steps)
    points, position = [stops[:1].astype(np.float32)], [np.zeros(1)]
    for i in range(len(stops) - 1):
        leg = between(stops[i], stops[i + 1], t).astype(np.float32)
        leg[-1] = stops[i + 1]
        points.append(leg[1:])
        position.append(i + t[1:])
    return np.concatenate(points), np.concatenate(position)


def shifted(
    start: NDArray[np.floating],
    add: NDArray[np.floating],
    subtract: NDArray[np.floating],
    factors: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Return ``start + factor * (mean of add - mean of subtract)``, one row for each factor.

    Parameters
    ----------
    start : float, axes (latent,)
    add, subtract : float, axes (stimulus, latent)
        An empty one counts as zero.
    factors : float, axes (factor,)

    Returns
    -------
    float32, axes (factor, latent)
    """
    direction = _mean(add) - _mean(subtract)  # (latent,)
    moved: NDArray[np.float64] = start.astype(np.float64) + factors[:, None] * direction
    return moved.astype(np.float32)


def _mean(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    if not len(rows):
        return np.zeros(rows.shape[1])
    mean: NDArray[np.float64] = rows.astype(np.float64).mean(axis=0)
    return mean
