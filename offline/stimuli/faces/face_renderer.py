"""The face renderer: latents in, illustrated portraits out, smooth in everything.

For the synthesis of stimuli, for reconstructions, and, exported to ONNX, as the first generator
of the live path. A fixed linear reading takes each face parameter from the latent, a soft
saturation bounds it, and layers of smooth shapes paint the picture. Must not know how latents
are drawn, decoded or stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from offline.stimuli.faces.face_backdrop import background, body
from offline.stimuli.faces.face_eyes import brows, eyes, glasses
from offline.stimuli.faces.face_hair import back_hair, front_hair, hair
from offline.stimuli.faces.face_mouth import age_lines, beard, mouth, nose
from offline.stimuli.faces.face_parameters import PARAMETERS, FaceParameter
from offline.stimuli.faces.face_skin import ears, face_frame, skin
from offline.stimuli.faces.portrait import compose
from offline.stimuli.faces.soft_shapes import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PARAMETERS", "FaceParameter", "FaceRenderer"]

# Where each layer can show, whatever the parameters (a test holds them to it): drawing there
# only halves the cost.
FACE_LAYERS = (
    (Region(0.29, 0.70, 0.07, 0.93), (ears,)),
    (Region(0.06, 0.88, 0.09, 0.91), (skin, age_lines, beard)),
    (Region(0.39, 0.89, 0.17, 0.83), (nose, mouth)),
    (Region(0.22, 0.66, 0.09, 0.91), (eyes, brows, glasses)),
)

_HALF_WIDTH = 0.745  # of the picture, in the portrait's unit
_GRAIN_SEED = 7


class FaceRenderer(nn.Module):
    """Draws a face from a latent.

    Parameters
    ----------
    latent_mean : array or Tensor, float32, (latent,)
        The mean latent, which gives the mean face.
    reading : array or Tensor, float32, (parameter, latent)
        Row j reads parameter j, in the order of `PARAMETERS`: ``p = reading @ (w - latent_mean)``,
        to be scaled such that p is standard normal over the stimuli.
    size : int
        Rows and columns of the picture; edges keep their width in pixels of 128.

    Raises
    ------
    ValueError
        When the reading's shape is not (parameter, latent).
    """

    latent_mean: Tensor
    reading: Tensor
    gain: Tensor
    x: Tensor
    y: Tensor
    grain: Tensor

    def __init__(
        self,
        latent_mean: NDArray[np.float32] | Tensor,
        reading: NDArray[np.float32] | Tensor,
        size: int = 128,
    ) -> None:
        super().__init__()
        mean = torch.as_tensor(latent_mean, dtype=torch.float32)
        rows = torch.as_tensor(reading, dtype=torch.float32)
        expected = (len(PARAMETERS), *mean.shape)
        if mean.ndim != 1 or tuple(rows.shape) != expected:
            raise ValueError(
                f"reading: found shape {tuple(rows.shape)}, expected (parameter, latent) = "
                f"{expected}. Give one row per entry of PARAMETERS."
            )
        self.size = size
        centre = (
            (torch.arange(size, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
        ) * _HALF_WIDTH
        self.register_buffer("latent_mean", mean)
        self.register_buffer("reading", rows)
        self.register_buffer("gain", torch.tensor([parameter.gain for parameter in PARAMETERS]))
        self.register_buffer("x", centre.reshape(1, 1, 1, size))
        self.register_buffer("y", (centre - 0.005).reshape(1, 1, size, 1))
        self.register_buffer("grain", _grain(size))

    def parameters_of(self, w: Tensor) -> Tensor:
        """Read the face parameters of latents.

        Parameters
        ----------
        w : Tensor, float32, (N, latent)
            Latents.

        Returns
        -------
        Tensor, float32, (N, parameter)
            On the standard-normal scale; 0 is the mean face.
        """
        return (w - self.latent_mean) @ self.reading.T

    def render(self, p: Tensor) -> Tensor:
        """Draw faces from their parameters.

        Parameters
        ----------
        p : Tensor, float32, (N, parameter)
            On the standard-normal scale.

        Returns
        -------
        Tensor, float32, (N, 3, row, col)
            Pictures, rgb within -1..1.
        """
        saturated = torch.tanh(p * self.gain).unsqueeze(2).unsqueeze(3)  # (N, parameter, 1, 1)
        columns = torch.split(saturated, 1, dim=1)
        s = {parameter.name: c for parameter, c in zip(PARAMETERS, columns, strict=True)}
        scene = compose(s, self.x, self.y, self.grain)
        frame = face_frame(scene)
        locks = hair(scene, frame)
        canvas = background(scene)
        canvas = back_hair(canvas, scene, locks)
        canvas = body(canvas, scene)
        for region, layers in FACE_LAYERS:
            part, place = scene.crop(region), frame.crop(region)
            piece = region.crop(canvas)
            for paint in layers:
                piece = paint(piece, part, place)
            canvas = region.paste(canvas, piece)
        canvas = front_hair(canvas, scene, frame, locks)
        # Tone curve of a film: contrast about the middle, soft shoulders, never outside -1..1.
        return torch.tanh((canvas - 0.5) * (1.9 * torch.exp(0.20 * s["contrast"] + 0.10)))

    def forward(self, w: Tensor) -> Tensor:
        """Draw the faces of latents; of the K rows of each only the first is read.

        Parameters
        ----------
        w : Tensor, float32, (N, K, latent)
            Latents, one row per layer as for a StyleGAN; K is 1 or more.

        Returns
        -------
        Tensor, float32, (N, 3, row, col)
            Pictures, rgb within -1..1.
        """
        return self.render(self.parameters_of(w[:, 0]))


def _grain(size: int) -> Tensor:
    """Make the fixed fine texture of short upright hairs: mean 0, SD 1, (1, 1, size, size)."""
    generator = torch.Generator().manual_seed(_GRAIN_SEED)
    noise = torch.randn((1, 1, size, size), generator=generator)
    noise = nn.functional.avg_pool2d(noise, (3, 1), 1, (1, 0))
    return (noise - noise.mean()) / noise.std()
