"""The network as it is trained: on face parameters instead of latents, and growing.

Its affine layers see the 44 face parameters, saturated as the renderer saturates them (``bent``): affine layers cannot
bend, and to do it further up cost the network most of what it had. The mapping bends instead (``latent_mapping``), w is
linear in the bent parameters, and the layers become ordinary ones of w afterwards (``baked``). While only the first
layers exist, a temporary layer reads the picture off the last of them. Must not know how it is trained.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from offline.stimuli.distilled.latent_mapping import bent
from offline.stimuli.distilled.plan import Plan
from offline.stimuli.faces.face_parameters import PARAMETERS
from offline.stimuli.stylegan.filtered_activation import use_fused_activations
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.mapping import FullyConnected
from offline.stimuli.stylegan.synthesis import Synthesis


class TrainingNetwork(nn.Module):
    """Draws pictures from face parameters at the size of each phase.

    Parameters
    ----------
    plan : Plan
        Its seed gives the first weights.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.synthesis = Synthesis(plan.specification(len(PARAMETERS)))
            self.heads = nn.ModuleDict()
            whole = plan.phases[-1].rate
            for rate in dict.fromkeys(phase.rate for phase in plan.phases if phase.rate != whole):
                channels = self.synthesis.layers[self._last(rate)].spec.out_channels
                self.heads[str(rate)] = nn.Conv2d(channels, 3, 1)
            parameters = torch.randn(8, len(PARAMETERS)) * 0.8
        self._begin(parameters, plan.style_scale)
        use_fused_activations(self.synthesis)

    def _last(self, rate: int) -> int:
        """Position of the last layer with this output rate."""
        layers = self.synthesis.layers[:-1]
        return max(i for i, layer in enumerate(layers) if layer.spec.out_sampling_rate == rate)

    @torch.no_grad()
    def _begin(self, parameters: Tensor, style_scale: float) -> None:
        """Weaken the styles, and fix each layer's input gain such that its input has unit power."""
        parameters = bent(parameters)
        x = self.synthesis.input(parameters)
        for layer in self.synthesis.layers:
            layer.affine.weight.mul_(style_scale)
            layer.magnitude_ema.copy_(x.square().mean())
            x = layer(x, parameters)

    def forward(self, parameters: Tensor, rate: int) -> Tensor:
        """Draw pictures.

        Parameters
        ----------
        parameters : Tensor, float32, (N, parameter)
            As the renderer takes them, not bent.
        rate : int
            Of a phase.

        Returns
        -------
        Tensor, float32, (N, 3, row, col)
        """
        parameters = bent(parameters)
        if rate == self.plan.phases[-1].rate:
            picture: Tensor = self.synthesis(parameters.unsqueeze(1))
            return picture
        x = self.synthesis.input(parameters)
        for layer in self.synthesis.layers[: self._last(rate) + 1]:
            x = layer(x, parameters)
        margin = (x.shape[3] - rate) // 2
        x = x[:, :, margin : margin + rate, margin : margin + rate]
        head: Tensor = self.heads[str(rate)](x)
        return head


@torch.no_grad()
def baked(network: TrainingNetwork, latent_mean: Tensor, reading: Tensor) -> Generator:
    """Return the generator that draws from w what the network draws from bent parameters read off w.

    Parameters
    ----------
    network : TrainingNetwork
    latent_mean : Tensor, (latent,)
    reading : Tensor, (parameter, latent)
        Bent parameters are ``(w - mean) @ reading.T``, see ``face_latents.FaceLatents.reading``.

    Returns
    -------
    Generator
        Its mapping is left random, see ``latent_mapping``.
    """
    generator = Generator(network.plan.specification(len(latent_mean))).eval()
    sources: list[nn.Module] = [network.synthesis.input, *network.synthesis.layers]
    goals: list[nn.Module] = [generator.synthesis.input, *generator.synthesis.layers]
    for source, goal in zip(sources, goals, strict=True):
        state = source.state_dict()
        small, large = source.affine, goal.affine
        assert isinstance(small, FullyConnected)  # noqa: S101
        assert isinstance(large, FullyConnected)  # noqa: S101
        # Of all of w, in double precision: the mean's part cancels against the bias.
        effective = small.weight.double() * small.weight_gain @ reading.double()
        state["affine.weight"] = (effective * math.sqrt(len(latent_mean))).float()
        state["affine.bias"] = (small.bias.double() - effective @ latent_mean.double()).float()
        goal.load_state_dict(state)
    return generator
