"""Backward in little memory: layers keep their input alone, and are drawn again when their gradient is asked for.

A layer's signals at the high rate are many times its input: all of them, kept, are tens of gigabytes per picture at
1024 px. For networks made of layers; what has none (the procedural faces) is drawn as it is. Must not know what is
optimised.

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from offline.stimuli.stylegan.synthesis import Synthesis

LARGE = 256
"""Resolution, pixels, beyond which a network's layers are drawn again rather than kept."""


def recomputing(synthesis: nn.Module, large: int = LARGE) -> Callable[[Tensor], Tensor]:
    """Return a synthesis of the same pictures and gradients, whose backward takes less memory and more time.

    Parameters
    ----------
    synthesis : nn.Module
        ``synthesis(w (N, 1 or num_ws, latent))`` -> pictures (N, 3, row, col).
    large : int
        See ``LARGE``.
    """
    if not isinstance(synthesis, Synthesis) or synthesis.spec.resolution <= large:
        return synthesis

    # Not the reentrant kind, which has no `torch.autograd.grad`. Nothing here is drawn at random.
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    return lambda w: synthesis.drawn(w, again) if w.requires_grad else synthesis(w)
