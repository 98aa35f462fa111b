"""Trains the attention decoder: contrastive, on a trial's windows, stopped by held-out stimuli.

The loss tells a trial's stimulus from the others of its batch (InfoNCE on cosines of whitened latents, both ways),
which on the TVSD data set does far better than squared error (nlinear-monkeys, arXiv 2601.11108: 71 % of 100
against 10 to 24 %); a smaller squared error beside it keeps lengths meaningful. Every window is trained at once, each
on what it has seen so far, and counts as much as it explains of held-out trials. Held-out trials choose the epoch
too, and the slope that takes the network's output to the latents; test trials never come here. Seeded: the same
numbers on the same machine and threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline.decoding.attention_decoder import SCORE_LIMIT, AttentionDecoder
from offline.decoding.stepping import decode_trials
from offline.regression.folds import Fold

if TYPE_CHECKING:
    import torch

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """How large the network is and how it is trained.

    Attributes
    ----------
    n_hidden : int
    n_epochs, patience : int
        Training ends after ``patience`` epochs without a better held-out error.
    batch : int
        Trials.
    rate, weight_decay, dropout : float
        Of AdamW; share of features set to 0.
    square_share : float
        Weight of the squared error beside the contrastive loss.
    """

    n_hidden: int = 512
    n_epochs: int = 40
    patience: int = 6
    batch: int = 128
    rate: float = 2e-3
    weight_decay: float = 0.1
    dropout: float = 0.6
    square_share: float = 1.0


@dataclass(frozen=True, slots=True)
class AttentionFit:
    """The trained decoder, and what was seen on the way.

    Attributes
    ----------
    decoder : AttentionDecoder
    epoch : int
        The one that was kept, from 1.
    explained : float64, axes (window,)
        Held-out share of the latents' variance.
    by_epoch : float64, axes (epoch,)
        The same over all windows, after each epoch.
    """

    decoder: AttentionDecoder
    epoch: int
    explained: NDArray[np.float64]
    by_epoch: NDArray[np.float64]


def train_attention(
    features: Float32,
    latents: Float32,
    fold: Fold,
    *,
    plan: AttentionPlan | None = None,
    channel_idx: NDArray[np.integer] | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> AttentionFit:
    """Train on a fold's training trials, stop and scale by its held-out trials.

    Parameters
    ----------
    features : float32, axes (trial, window, channel), z units, finite
    latents : float32, axes (trial, latent)
    fold : Fold
    plan : AttentionPlan, optional
    channel_idx : int, axes (read channel,), optional
        All channels by default.
    seed : int
    progress : callable, optional
        Called with the number of epochs done since the last call.
    """
    import torch

    plan = plan or AttentionPlan()
    read = np.arange(features.shape[2]) if channel_idx is None else channel_idx
    scale = _Scale.of(latents[fold.train])
    x = torch.from_numpy(np.ascontiguousarray(features[fold.train][:, :, read]))
    target = torch.from_numpy(scale.whitened(latents[fold.train]))
    chance = torch.Generator().manual_seed(seed)
    network = _Network(len(read), features.shape[1], latents.shape[1], plan, chance)
    n_channels = features.shape[2]
    best: tuple[float, int, AttentionDecoder, NDArray[np.float64]] | None = None
    by_epoch = []
    share = np.full(features.shape[1], 1.0 / features.shape[1])
    for epoch in range(1, plan.n_epochs + 1):
        network.train_epoch(x, target, torch.from_numpy(share.astype(np.float32)))
        plain = network.arrays(read, n_channels, scale)
        decoder, explained = _scaled(plain, features[fold.held_out], latents[fold.held_out])
        by_epoch.append(float(explained.mean()))
        share = _window_shares(explained)
        if best is None or by_epoch[-1] > best[0]:
            best = (by_epoch[-1], epoch, decoder, explained)
        if progress:
            progress(1)
        if epoch - best[1] >= plan.patience:
            break
    if best is None:
        raise ValueError(f"plan of {plan.n_epochs} epochs, expected at least 1.")
    _, epoch, decoder, explained = best
    return AttentionFit(decoder, epoch, explained, np.array(by_epoch))


@dataclass(frozen=True, slots=True)
class _Scale:
    """Mean and SD of the training latents."""

    mean: Float32
    sd: Float32

    @classmethod
    def of(cls, latents: Float32) -> _Scale:
        mean, sd = latents.mean(axis=0), latents.std(axis=0)
        return cls(mean, np.where(sd > 0, sd, 1.0).astype(np.float32))

    def whitened(self, latents: Float32) -> Float32:
        return np.asarray((latents - self.mean) / self.sd, np.float32)


class _Network:
    """The decoder's arrays as torch parameters, and their optimiser."""

    def __init__(
        self,
        n_channels: int,
        n_windows: int,
        n_latents: int,
        plan: AttentionPlan,
        chance: torch.Generator,
    ) -> None:
        import torch

        def drawn(n_in: int, n_out: int) -> torch.Tensor:
            values = torch.randn(n_in, n_out, generator=chance) / n_in**0.5
            return values.requires_grad_()

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, requires_grad=True)

        n = plan.n_hidden
        self._plan, self._chance = plan, chance
        self.embed, self.position = drawn(n_channels, n), zeros(n_windows, n)
        self.mix, self.mix_bias, self.score = drawn(n, n), zeros(n), zeros(n)
        self.readout, self.readout_bias = drawn(n, n_latents), zeros(n_latents)
        self.sharpness = torch.tensor(2.5, requires_grad=True)
        maps = [self.embed, self.mix, self.readout]
        rest = [self.position, self.mix_bias, self.score, self.readout_bias, self.sharpness]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": maps, "weight_decay": plan.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=plan.rate,
        )

    def train_epoch(self, x: torch.Tensor, target: torch.Tensor, share: torch.Tensor) -> None:
        """Go through all trials once, in random order.

        Axes (trial, window, channel), (trial, latent), (window,): what each window's loss counts, 1 in all.
        """
        import torch

        order = torch.randperm(len(x), generator=self._chance)
        for rows in order.split(self._plan.batch):
            if len(rows) < 2:
                continue
            loss = self._loss(self._output(self._disturbed(x[rows])), target[rows], share)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()

    def _disturbed(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        kept = torch.rand(x.shape, generator=self._chance) >= self._plan.dropout
        return x * kept / (1.0 - self._plan.dropout)

    def _output(self, x: torch.Tensor) -> torch.Tensor:
        """Return what each window says, axes (trial, window, latent)."""
        import torch

        hidden = torch.nn.functional.silu(x @ self.embed + self.position)
        hidden = torch.nn.functional.silu(hidden @ self.mix + self.mix_bias)
        if x.shape[1] > 1:
            weight = torch.exp(SCORE_LIMIT * torch.tanh(hidden @ self.score))[:, :, None]
            hidden = (weight * hidden).cumsum(dim=1) / weight.cumsum(dim=1)
        return hidden @ self.readout + self.readout_bias

    def _loss(
        self, output: torch.Tensor, target: torch.Tensor, share: torch.Tensor
    ) -> torch.Tensor:
        import torch

        functional = torch.nn.functional
        direction = functional.normalize(output, dim=2)
        wanted = functional.normalize(target, dim=1)
        # Axes (window, trial, stimulus): the trial's own stimulus is on the diagonal.
        alike = torch.einsum("bkl,sl->kbs", direction, wanted) * self.sharpness.clamp(max=4.6).exp()
        own = torch.arange(len(target)).expand(alike.shape[0], -1)
        contrast = functional.cross_entropy(alike.transpose(1, 2), own, reduction="none")
        contrast = contrast + functional.cross_entropy(alike, own, reduction="none")
        square = (output - target[:, None]).square().mean(dim=2).T
        return (share @ (0.5 * contrast + self._plan.square_share * square)).mean()

    def arrays(self, read: NDArray[np.integer], n_channels: int, scale: _Scale) -> AttentionDecoder:
        """Return the decoder as it stands, slopes 1."""

        def array(values: torch.Tensor) -> Float32:
            return np.array(values.detach().numpy(), np.float32)

        embed = np.zeros((n_channels, self._plan.n_hidden), np.float32)
        embed[read] = array(self.embed)
        return AttentionDecoder(
            embed=embed,
            position=array(self.position),
            mix=array(self.mix),
            mix_bias=array(self.mix_bias),
            score=array(self.score),
            readout=array(self.readout) * scale.sd,
            readout_bias=array(self.readout_bias) * scale.sd,
            slope=np.ones((len(self.position), len(scale.mean)), np.float32),
            mean=scale.mean,
        )


def _window_shares(explained: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each window's loss counts in the next epoch, float64, axes (window,), 1 in all.

    Notes
    -----
    As much as the window explains of held-out trials: windows before the response carry nothing, and a contrastive
    loss on them learns the training trials' noise by heart.
    """
    total = float(explained.sum())
    if total <= 0.0:
        return np.full(len(explained), 1.0 / len(explained))
    return np.asarray(explained / total)


def _scaled(
    plain: AttentionDecoder, features: Float32, latents: Float32
) -> tuple[AttentionDecoder, NDArray[np.float64]]:
    """Give each window the slope that explains most, and return how much that is.

    Notes
    -----
    One number per window: a slope per latent would be fitted to the held-out trials' noise.
    """
    from dataclasses import replace

    found = decode_trials(plain, features).astype(np.float64) - plain.mean
    wanted = latents.astype(np.float64) - plain.mean
    both = np.einsum("tkl,tl->k", found, wanted)
    square = np.square(found).sum(axis=(0, 2))
    slope = np.maximum(np.divide(both, square, out=np.zeros_like(both), where=square > 0), 0.0)
    total = max(float(np.square(wanted).sum()), np.finfo(np.float64).tiny)
    explained = (2.0 * slope * both - slope * slope * square) / total
    by_latent = np.repeat(slope[:, None], plain.readout.shape[1], axis=1)
    return replace(plain, slope=by_latent.astype(np.float32)), explained
