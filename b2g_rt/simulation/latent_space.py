"""The latent space of the stimuli: a mean, and components of known spread along random directions.

For the simulator (tuned to whitened components), the face renderer (reads its parameters from
them) and whoever draws stimuli. Must not know electrodes, pictures or files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FACE_MEAN_ENERGY = 0.228
IMAGE_MEAN_ENERGY = 0.52
"""Share of E|w|^2 that the mean latent holds: its root is the cosine that the mean latent alone scores."""

SPECTRUM_EXPONENT = -0.3
"""Variance of component i falls as i to this power."""

FACE_LATENT_SEED = 20240
IMAGE_LATENT_SEED = 20241
"""The seeds of the default spaces; a bundle and a simulator that meet must use the same."""


@dataclass(frozen=True, slots=True, eq=False)
class LatentSpace:
    """Latents w = mean + sum over components of z * sd * basis row, z standard normal.

    Attributes
    ----------
    mean : float64, axes (latent,)
    basis : float64, axes (component, latent)
        Orthonormal rows.
    sd : float64, axes (component,)
        Standard deviation along each row of the basis, descending.
    seed : int
        What it was made from.
    """

    mean: NDArray[np.float64] = field(repr=False)
    basis: NDArray[np.float64] = field(repr=False)
    sd: NDArray[np.float64] = field(repr=False)
    seed: int

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return len(self.mean)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.sd)

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
        """Draw latents.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            How many.

        Returns
        -------
        float32, axes (n, latent)
        """
        z = rng.standard_normal((n, self.n_components))
        return (self.mean + (z * self.sd) @ self.basis).astype(np.float32)

    def whiten(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the components of latents, in units of their SD.

        Parameters
        ----------
        w : float, axes (trial, latent)

        Returns
        -------
        float64, axes (trial, component); independent standard normal for drawn latents.
        """
        return ((w.astype(np.float64) - self.mean) @ self.basis.T) / self.sd


def face_latents(seed: int = FACE_LATENT_SEED, n_latents: int = 512) -> LatentSpace:
    """Return a latent space with the statistics of the paper's face latents.

    Notes
    -----
    Source of the number: facts/brain2gan.md, calibrated against Brain2GAN (faces),
    doi 10.1371/journal.pcbi.1012058: the mean latent alone scores a cosine of .48.
    """
    return latent_space(FACE_MEAN_ENERGY, seed, n_latents)


def image_latents(seed: int = IMAGE_LATENT_SEED, n_latents: int = 512) -> LatentSpace:
    """Return a latent space with the statistics of the paper's natural images.

    Notes
    -----
    Source of the number: as of ``face_latents``; the mean latent alone scores a cosine of .72. Latents are drawn one
    by one, training and test alike: so it is calibrated. Classes, and class means as test latents, are not modelled.
    """
    return latent_space(IMAGE_MEAN_ENERGY, seed, n_latents)


def latent_space(mean_energy: float, seed: int, n_latents: int = 512) -> LatentSpace:
    """Return a latent space.

    Parameters
    ----------
    mean_energy : float
        Share of E|w|^2 that the mean latent holds, 0 to 1.
    seed : int
        Gives the directions of mean and components.
    n_latents : int
        Dimensions; as many components.

    Returns
    -------
    LatentSpace
        E|w|^2 = n_latents; variances fall as i^-0.3.
    """
    rng = np.random.default_rng([seed, 1])
    energy = float(n_latents)
    direction = rng.standard_normal(n_latents)
    mean = direction * np.sqrt(mean_energy * energy / np.sum(direction**2))
    spectrum = np.arange(1, n_latents + 1, dtype=np.float64) ** SPECTRUM_EXPONENT
    variance = spectrum * ((1.0 - mean_energy) * energy / spectrum.sum())
    q, r = np.linalg.qr(rng.standard_normal((n_latents, n_latents)))
    # With the signs of R's diagonal taken out the rotation is unique, whatever the LAPACK.
    basis = (q * np.sign(np.diag(r))).T
    return LatentSpace(mean, np.ascontiguousarray(basis), np.sqrt(variance), seed)
