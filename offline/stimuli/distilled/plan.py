"""What the small generator is made of and how it is trained: every number that the result depends on.

For the training and its provenance. Must not know torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.specification import GeneratorSpec, MappingSpec

NAME = "distilled-faces"

MAPPING_LAYERS = 3
"""As many as a bend needs whose weights are computed (``latent_mapping``)."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A share of the training during which only the first layers exist.

    Attributes
    ----------
    rate : int
        Rows and columns of the pictures compared: those of the last layer at this sampling rate, or of the network.
    share : float
        Of the whole training.
    batch : int
        Pictures per step.
    learning_rate : (float, float)
        At the phase's beginning, after its warm-up, and at its end; between them a cosine.
    spread, final_spread : (float, float)
        Range from which each picture's SD of face parameters is drawn, at the phase's beginning and at its end: 1 are
        the stimuli, .5 about decoded latents. Nearly equal faces teach edges, different ones the way these move.
    energy : float
        Weight of the distance between the pictures' local contrasts (``losses.contrast_distance``), which a blur fails
        even where it cannot know better: shapes first, contrast when these are about in place.
    """

    rate: int
    share: float
    batch: int
    learning_rate: tuple[float, float]
    spread: tuple[float, float]
    final_spread: tuple[float, float]
    energy: float = 0.0


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What a difference between two pictures costs.

    Attributes
    ----------
    levels : tuple of float
        Weights of the Charbonnier distance at full, half, quarter ... size.
    gradient : float
        Weight of the distance between the pictures' differences of neighbours.
    epsilon : float
        Below this difference the distance is quadratic.
    centre : float
        How much more a pixel in the middle of the face counts than one at the border.
    """

    levels: tuple[float, ...] = (1.0, 0.5, 0.5)
    gradient: float = 1.0
    epsilon: float = 0.05
    centre: float = 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole training.

    Attributes
    ----------
    widths : Widths
    phases : tuple of Phase
        Shares add up to 1.
    losses : LossWeights
    warm_up_steps : int
        Of each phase.
    momentum : float
        Of matrices.
    betas : tuple of (float, float)
        Of everything else (Adam).
    average_decay : float
        Of the moving average of the weights, per step, which is the result.
    style_scale : float
        SD of the styles' dependence on w at the beginning.
    seed : int
    """

    widths: Widths = field(
        default_factory=lambda: Widths(
            128, channel_base=2048, channel_max=128, n_layers=8, conv_kernel=3, margin=4
        )
    )
    phases: tuple[Phase, ...] = (
        Phase(32, 0.03, 16, (3e-3, 3e-3), (0.3, 1.1), (0.3, 1.1)),
        Phase(64, 0.06, 8, (3e-3, 3e-3), (0.3, 1.1), (0.3, 1.1)),
        Phase(64, 0.21, 8, (3e-3, 2e-3), (0.05, 0.3), (0.2, 0.7), 2.0),
        Phase(128, 0.23, 4, (3e-3, 2e-3), (0.1, 0.5), (0.25, 0.85), 5.0),
        Phase(128, 0.47, 4, (2e-3, 2e-5), (0.25, 0.85), (0.25, 0.85), 5.0),
    )
    losses: LossWeights = LossWeights()
    warm_up_steps: int = 60
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.99)
    average_decay: float = 0.998
    style_scale: float = 0.4
    seed: int = 4

    def specification(self, w_dim: int = 512) -> GeneratorSpec:
        """Return the generator's specification."""
        return stylegan3(
            NAME, self.widths, w_dim=w_dim, mapping=MappingSpec(n_layers=MAPPING_LAYERS)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    def digest(self) -> str:
        """Return what tells two plans apart."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def phase_at(self, progress: float) -> tuple[int, float]:
        """Return the phase's position and how much of it is done (0..1) at a share of the training."""
        begin = 0.0
        for i, phase in enumerate(self.phases):
            if progress < begin + phase.share or i == len(self.phases) - 1:
                return i, min(max((progress - begin) / phase.share, 0.0), 1.0)
            begin += phase.share
        raise ValueError("a plan without phases, expected one or more")
