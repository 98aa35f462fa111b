"""The mapping network: from z (and a class) to w, with truncation toward an average.

Source: Karras et al. 2019, "A Style-Based Generator Architecture", section 2 (mapping, truncation); Sauer et al.
2022, "StyleGAN-XL" (class embedding); Mokady et al. 2022, "Self-Distilled StyleGAN" (multimodal truncation).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from offline.stimuli.stylegan.specification import GeneratorSpec

SLOPE = 0.2
GAIN = math.sqrt(2.0)


class FullyConnected(nn.Module):
    """A linear layer whose weight is stored unscaled, followed by a leaky ReLU where asked.

    Parameters
    ----------
    n_in, n_out : int
    lr_multiplier : float
        Factor of stored weight and bias.
    activation : bool
        Leaky ReLU of slope 0.2, times sqrt(2).
    """

    def __init__(
        self, n_in: int, n_out: int, *, lr_multiplier: float = 1.0, activation: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.weight_gain = lr_multiplier / math.sqrt(n_in)
        self.bias_gain = lr_multiplier
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in) to (N, out)."""
        x = torch.addmm(self.bias * self.bias_gain, x, self.weight.t() * self.weight_gain)
        return nn.functional.leaky_relu(x, SLOPE) * GAIN if self.activation else x


class Mapping(nn.Module):
    """z (and a class) to w.

    Parameters
    ----------
    spec : GeneratorSpec

    Attributes
    ----------
    w_avg : Tensor, float32, (w_dim,) or (class, w_dim)
        What truncation draws to.
    """

    w_avg: Tensor

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        lr, kind = spec.mapping.lr_multiplier, spec.mapping.embedding
        embedded = 0
        if kind == "linear":
            self.embed: nn.Module = FullyConnected(spec.n_classes, spec.w_dim)
            embedded = spec.w_dim
        elif kind == "table":
            self.embed = nn.Embedding(spec.n_classes, spec.mapping.embedding_size)
            self.embed_proj = FullyConnected(
                spec.mapping.embedding_size, spec.z_dim, activation=True
            )
            embedded = spec.z_dim
        features = [spec.z_dim + embedded] + [spec.w_dim] * spec.mapping.n_layers
        for i in range(spec.mapping.n_layers):
            layer = FullyConnected(features[i], features[i + 1], lr_multiplier=lr, activation=True)
            self.add_module(f"fc{i}", layer)
        by_class = kind == "table"
        shape = (spec.n_classes, spec.w_dim) if by_class else (spec.w_dim,)
        self.register_buffer("w_avg", torch.zeros(shape))

    def forward(
        self,
        z: Tensor,
        class_id: Tensor | None = None,
        psi: float | Tensor = 1.0,
        cutoff: int | None = None,
        centroids: Tensor | None = None,
    ) -> Tensor:
        """Map z to one row of w per layer.

        Parameters
        ----------
        z : Tensor, float32, (N, z_dim)
        class_id : Tensor, int64, (N,)
            Needed where the network has classes.
        psi : float or scalar Tensor
            1: no truncation; 0: the average itself.
        cutoff : int, optional
            Only so many of the first rows are truncated; by default all.
        centroids : Tensor, float32, (k, w_dim), optional
            Truncate each sample toward the nearest of them (Euclidean) instead of the average.

        Returns
        -------
        Tensor, float32, (N, num_ws, w_dim)

        Raises
        ------
        ValueError
            The network has classes and none were given.
        """
        w = self.untruncated(z, class_id)  # (N, w_dim)
        centre = self.centre(w, class_id, centroids)  # (N or 1, w_dim)
        near = truncated(w, centre, psi)  # (N, w_dim)
        n_near = self.spec.num_ws if cutoff is None else min(cutoff, self.spec.num_ws)
        rows = [near.unsqueeze(1).expand(-1, n_near, -1)]
        if n_near < self.spec.num_ws:
            rows.append(w.unsqueeze(1).expand(-1, self.spec.num_ws - n_near, -1))
        return torch.cat(rows, dim=1)  # (N, num_ws, w_dim)

    def untruncated(self, z: Tensor, class_id: Tensor | None = None) -> Tensor:
        """Map z to w, (N, w_dim), without truncation."""
        x = _normalised(z)
        if self.spec.mapping.embedding != "none":
            if class_id is None:
                raise ValueError(f"{self.spec.name}: no class_id, expected one of each sample.")
            x = torch.cat([x, _normalised(self._embedded(class_id))], dim=1)
        for i in range(self.spec.mapping.n_layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    def centre(
        self, w: Tensor, class_id: Tensor | None = None, centroids: Tensor | None = None
    ) -> Tensor:
        """Return what each sample is truncated toward, (N or 1, w_dim)."""
        if centroids is not None:
            return nearest(w, centroids)
        if self.w_avg.ndim == 2:
            if class_id is None:
                raise ValueError(f"{self.spec.name}: no class_id, expected one of each sample.")
            return self.w_avg[class_id]
        return self.w_avg.unsqueeze(0)

    def _embedded(self, class_id: Tensor) -> Tensor:
        if self.spec.mapping.embedding == "table":
            projected: Tensor = self.embed_proj(self.embed(class_id))
            return projected
        one_hot = nn.functional.one_hot(class_id, self.spec.n_classes).to(self.w_avg.dtype)
        embedded: Tensor = self.embed(one_hot)
        return embedded


def truncated(w: Tensor, centre: Tensor, psi: float | Tensor) -> Tensor:
    """Draw w, (N, w_dim), toward a centre; psi 1 is exactly w, as in the original, where nothing is computed for it."""
    return w + (centre - w) * (1.0 - psi)


def nearest(w: Tensor, centroids: Tensor) -> Tensor:
    """Return of each w, (N, w_dim), the nearest of centroids, (k, w_dim), by Euclidean distance."""
    return centroids[torch.cdist(w, centroids).argmin(dim=1)]


def _normalised(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
