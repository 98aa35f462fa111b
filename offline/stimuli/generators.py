"""Generators by name or directory, behind one face: z to w, w to pictures.

``procedural-faces`` and ``distilled-faces`` ship with the project; anything else is a directory that
``b2g-offline import-checkpoint`` or ``train-generator`` wrote. For synthesis, projection and export, which need not
know which kind they have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.mapping import nearest, truncated

if TYPE_CHECKING:
    from b2g_rt.simulation.latent_space import LatentSpace
    from offline.stimuli.stylegan.specification import GeneratorSpec

PROCEDURAL = "procedural-faces"
DISTILLED = "distilled-faces"
SHIPPED = (PROCEDURAL, DISTILLED)
DISTILLED_FOLDER = Path(__file__).resolve().parent / "distilled" / "weights"


@dataclass(frozen=True, slots=True, eq=False)
class PictureGenerator:
    """A generator, ready to draw.

    Attributes
    ----------
    name : str
    mapping : nn.Module
        ``mapping(z (N, z_dim), class_id (N,) or None, psi, cutoff, centroids)`` -> w (N, num_ws, w_dim).
    synthesis : nn.Module
        ``synthesis(w (N, 1 or num_ws, w_dim))`` -> pictures (N, 3, row, col), float32, nominally within -1..1.
    z_dim, w_dim, num_ws, n_classes, resolution : int
    w_avg : Tensor, float32, (w_dim,) or (class, w_dim)
        What truncation draws to.
    spec : GeneratorSpec or None
        None for the procedural faces, which are no network.
    digest : str
        SHA-256 of all weights and numbers: what pictures depend on.
    """

    name: str
    mapping: nn.Module
    synthesis: nn.Module
    z_dim: int
    w_dim: int
    num_ws: int
    n_classes: int
    resolution: int
    w_avg: Tensor
    spec: GeneratorSpec | None
    digest: str

    def to(self, device: str | torch.device) -> PictureGenerator:
        """Return it with its weights on another device; they are moved, so this one is of no use any more."""
        from dataclasses import replace

        moved = self.mapping.to(device), self.synthesis.to(device)
        return replace(self, mapping=moved[0], synthesis=moved[1], w_avg=self.w_avg.to(device))


class LinearMapping(nn.Module):
    """z to w of the simulated faces: ``w = mean + (z * sd) @ basis``, truncated toward the mean."""

    w_avg: Tensor
    basis: Tensor

    def __init__(self, latents: LatentSpace) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.tensor(latents.mean, dtype=torch.float32))
        basis = latents.sd[:, None] * latents.basis
        self.register_buffer("basis", torch.tensor(basis, dtype=torch.float32))

    def forward(
        self,
        z: Tensor,
        class_id: Tensor | None = None,
        psi: float | Tensor = 1.0,
        cutoff: int | None = None,
        centroids: Tensor | None = None,
    ) -> Tensor:
        """Return w (N, 1, w_dim); there are no classes, and one row serves the whole picture."""
        w = z @ self.basis  # (N, w_dim), about the mean
        if centroids is not None:
            w = w + self.w_avg
            return truncated(w, nearest(w, centroids), psi).unsqueeze(1)
        # About the mean already, so nothing is taken off it first.
        return (self.w_avg + psi * w).unsqueeze(1)


def open_generator(name: str | Path) -> PictureGenerator:
    """Open a shipped generator by name, or any by its directory.

    Raises
    ------
    GeneratorError
        Neither, or its files do not fit.
    """
    if str(name) == PROCEDURAL:
        return procedural_faces()
    folder = DISTILLED_FOLDER if str(name) == DISTILLED else Path(name)
    if not folder.is_dir():
        raise GeneratorError(
            f"generator {name}: no such directory, expected one or a shipped generator ({', '.join(SHIPPED)}). "
            "A checkpoint (.pkl) is imported first: b2g-offline import-checkpoint FILE --out DIR."
        )
    from offline.stimuli.stylegan.directory import load_generator

    network = load_generator(folder)
    spec = network.spec
    return PictureGenerator(
        name=str(name) if str(name) in SHIPPED else folder.name,
        mapping=network.mapping,
        synthesis=network.synthesis,
        z_dim=spec.z_dim,
        w_dim=spec.w_dim,
        num_ws=spec.num_ws,
        n_classes=spec.n_classes,
        resolution=spec.resolution,
        w_avg=network.mapping.w_avg,
        spec=spec,
        digest=digest_of(network, spec.to_dict()),
    )


def procedural_faces() -> PictureGenerator:
    """Return the face renderer of the default simulated macaque."""
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.stimuli.faces.face_reading import face_reading
    from offline.stimuli.faces.face_renderer import FaceRenderer

    macaque = faces_macaque()
    mapping = LinearMapping(macaque.latents)
    renderer = FaceRenderer(macaque.latents.mean.astype(np.float32), face_reading(macaque)).eval()
    n = macaque.latents.n_latents
    return PictureGenerator(
        name=PROCEDURAL,
        mapping=mapping.eval(),
        synthesis=renderer,
        z_dim=macaque.latents.n_components,
        w_dim=n,
        num_ws=1,
        n_classes=0,
        resolution=renderer.size,
        w_avg=mapping.w_avg,
        spec=None,
        digest=digest_of(nn.ModuleList([mapping, renderer]), PROCEDURAL),
    )


def digest_of(module: nn.Module, description: Any) -> str:
    """Return the SHA-256 of a module's tensors, in the order of their names, and of a description."""
    hashed = hashlib.sha256(repr(description).encode())
    for name, tensor in sorted(module.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()
