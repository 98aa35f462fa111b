"""The portrait's frame: coordinates, light and colours that all layers of a face share.

For the layers. Picture coordinates x (right) and y (down); head coordinates u, v in the same
unit, tilted with the head, with their origin between the eyes. A point at depth z in front of
the head's axis moves by z times the turn (along u) and the nod (along v). Must not know which
layers there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from offline.stimuli.faces.soft_shapes import Region, tint

HEAD_Y = -0.06
NECK_Y = 0.45


@dataclass(frozen=True, slots=True)
class Portrait:
    """What all layers share.

    Attributes
    ----------
    s : mapping of str to Tensor
        Saturated parameters by name, scalars in -1..1.
    x, y : Tensor
        Picture coordinates, (1, 1, 1, col) and (1, 1, row, 1).
    u, v : Tensor
        Head coordinates, planes.
    turn, nod : Tensor
        Sine of yaw and of pitch, scalars.
    light : tuple of Tensor
        Unit vector towards the light (right, down, to the viewer), scalars.
    light_colour, shade_colour, skin, hair : Tensor
        Colours.
    grain : Tensor
        Fixed fine texture, mean 0, SD 1, (1, 1, row, col).
    """

    s: Mapping[str, Tensor]
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    turn: Tensor
    nod: Tensor
    light: tuple[Tensor, Tensor, Tensor]
    light_colour: Tensor
    shade_colour: Tensor
    skin: Tensor
    hair: Tensor
    grain: Tensor

    def crop(self, region: Region) -> Portrait:
        """Restrict the planes to a region."""
        return replace(
            self,
            x=region.crop(self.x),
            y=region.crop(self.y),
            u=region.crop(self.u),
            v=region.crop(self.v),
            grain=region.crop(self.grain),
        )

    def diffuse(
        self, nx: Tensor, ny: Tensor, terminator: float = 0.44, slope: float = 6.0
    ) -> Tensor:
        """Soft two-tone shading (0 shade, 1 light) of a surface with normal (nx, ny, 1)."""
        lx, ly, lz = self.light
        facing = (nx * lx + ny * ly + lz) * torch.rsqrt(nx * nx + ny * ny + 1.0)
        return torch.sigmoid(facing * slope - slope * terminator)

    def lit(self, colour: Tensor, diffuse: Tensor) -> Tensor:
        """Colour of a surface between its shaded and its lit tone."""
        shaded = colour * self.shade_colour
        return shaded + diffuse * (colour * self.light_colour - shaded)


def compose(s: Mapping[str, Tensor], x: Tensor, y: Tensor, grain: Tensor) -> Portrait:
    """Set up coordinates, light and colours from the saturated parameters."""
    u, v = _head_coordinates(s, x, y)
    warmth = s["light_warmth"]
    return Portrait(
        s=s,
        x=x,
        y=y,
        u=u,
        v=v,
        turn=0.40 * s["yaw"],
        nod=0.26 * s["pitch"],
        light=_light(s),
        light_colour=tint((1.10, 1.07, 1.04), (warmth, (0.06, 0.0, -0.11))),
        shade_colour=tint(
            (0.56, 0.44, 0.44),
            (warmth, (-0.08, 0.0, 0.13)),
            (s["fill_light"], (0.20, 0.24, 0.24)),
        ),
        skin=tint(
            (0.80, 0.60, 0.48),
            (s["skin_tone"], (0.42, 0.53, 0.58)),
            (s["skin_tone"] * s["skin_tone"], (-0.24, -0.23, -0.21)),
            (s["skin_warmth"], (0.06, -0.035, -0.09)),
        ),
        hair=_hair_colour(s),
        grain=grain,
    )


def _head_coordinates(s: Mapping[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    roll = 0.16 * s["roll"]
    cos, sin = torch.cos(roll), torch.sin(roll)
    from_neck_x, from_neck_y = x - 0.02 * s["roll"], y - NECK_Y
    u = from_neck_x * cos + from_neck_y * sin
    v = (from_neck_y * cos + (NECK_Y - HEAD_Y)) - from_neck_x * sin
    return u, v


def _light(s: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    lx, ly, lz = 1.40 * s["light_x"], 0.62 * s["light_y"] - 0.34, 0.70
    norm = torch.rsqrt(lx * lx + ly * ly + lz * lz)
    return lx * norm, ly * norm, lz * norm


def _hair_colour(s: Mapping[str, Tensor]) -> Tensor:
    lightness = s["hair_lightness"]
    young = tint(
        (0.31, 0.19, 0.125),
        (lightness, (1.30, 1.30, 1.02)),
        (lightness * lightness, (-0.27, -0.07, 0.05)),
        (s["hair_warmth"], (0.20, -0.07, -0.28)),
    )
    grey = tint((0.52, 0.52, 0.54), (lightness, (0.45, 0.45, 0.45)))
    return young + (0.75 * torch.sigmoid(6.0 * s["age"] - 2.1)) * (grey - young)
