"""Puts what was trained into a model bundle, with reference inputs and the outputs they must give."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import b2g_rt
from b2g_rt.contracts.bundle import Normalisation, npz_bytes, write_bundle
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import BundleError
from offline.decoding.decoder import DecoderKind, FittedDecoder
from offline.decoding.stepping import decode_trials
from offline.export.decoder_onnx import Decoder, check_decoder_parity, decoder_onnx
from offline.export.generator_onnx import OnnxGenerator

N_REFERENCE_TRIALS = 2
N_REFERENCE_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Trained:
    """Everything a bundle is made of.

    Attributes
    ----------
    name : str
    kind : DecoderKind
    channels : ChannelMap
    windows : WindowSpec
    unit : str
        Of the recording.
    channel_mean, channel_sd : float64, axes (channel,)
    latent_mean : float64, axes (latent,)
    decoder : LinearDecoder, SmoothedDecoder or AttentionDecoder
    generator : bytes
        ONNX file with fixed shapes.
    stimulus_ids : sequence of str, axes (stimulus,)
    stimulus_latents : float32, axes (stimulus, latent)
    simulated : bool
    training, metrics : dict
        Plain data.
    sources : dict of path to SHA-256
    reference_features : float32, axes (trial, window, channel)
        In order; of a fixed decoder that remembers something: successive positions of its window.
    reference_w : float32, axes (image, latent)
    normalisation : Normalisation
    live : bool
        False: no live stream can be normalised as the training data were.
    """

    name: str
    kind: DecoderKind
    channels: ChannelMap
    windows: WindowSpec
    unit: str
    channel_mean: NDArray[np.float64]
    channel_sd: NDArray[np.float64]
    latent_mean: NDArray[np.float64]
    decoder: Decoder
    generator: bytes
    stimulus_ids: Sequence[str]
    stimulus_latents: NDArray[np.float32]
    simulated: bool
    training: dict[str, Any]
    metrics: dict[str, Any]
    reference_features: NDArray[np.float32]
    reference_w: NDArray[np.float32]
    sources: dict[str, str] = field(default_factory=dict)
    normalisation: Normalisation = field(default_factory=Normalisation)
    live: bool = True


def save_bundle(path: Path, trained: Trained) -> str:
    """Write a bundle.

    Returns
    -------
    str
        Its hash.

    Raises
    ------
    BundleError
        ONNX Runtime does not compute what numpy computes, the generator gives no picture, or the disk is full.
    """
    model = decoder_onnx(trained.decoder)
    features = trained.reference_features
    fixed = trained.kind == "fixed"
    check_decoder_parity(model, trained.decoder, features, fixed=fixed)
    generator = OnnxGenerator(trained.generator, len(trained.latent_mean))
    manifest = {
        "name": trained.name,
        "decoder_kind": trained.kind,
        "decoder_state": trained.decoder.n_state,
        "live": trained.live,
        "channel_map": trained.channels.to_dict(),
        "windows": trained.windows.to_dict(),
        "unit": trained.unit,
        "normalisation": trained.normalisation.model_dump(),
        "n_latents": len(trained.latent_mean),
        "image": generator.image.model_dump(),
        "simulated": trained.simulated,
        "training": trained.training,
        "metrics": trained.metrics,
        "sources": trained.sources,
    }
    files = {
        "decoder.onnx": model,
        "generator.onnx": trained.generator,
        "statistics.npz": npz_bytes(
            channel_mean=trained.channel_mean,
            channel_sd=trained.channel_sd,
            latent_mean=trained.latent_mean,
        ),
        "stimuli.npz": npz_bytes(
            id=np.array(list(trained.stimulus_ids), np.str_),
            latent=trained.stimulus_latents.astype(np.float32),
        ),
        "reference.npz": _reference(trained, generator),
    }
    return written(path, manifest, files)


def written(path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> str:
    """Write a bundle as ``write_bundle`` does; what the disk refuses is one line too.

    Raises
    ------
    BundleError
        See ``write_bundle``, or it could not be written.
    """
    try:
        return write_bundle(path, manifest, files)
    except OSError as error:
        raise BundleError(
            f"bundle {path}: {error.strerror}, expected to write {error.filename or 'it'}. It is not whole: make room "
            "there and write it again."
        ) from None


def _reference(trained: Trained, generator: OnnxGenerator) -> bytes:
    """Return the reference rows, window by window: those of a trial are in order."""
    features, fixed = trained.reference_features, trained.kind == "fixed"
    n_trials, n_windows, n_channels = features.shape
    latents = decode_trials(trained.decoder, features, fixed=fixed)
    window_idx = np.repeat(np.arange(n_windows, dtype=np.int64), n_trials)
    arrays: dict[str, NDArray[Any]] = {
        "features": features.transpose(1, 0, 2).reshape(-1, n_channels),
        "window_idx": np.zeros_like(window_idx) if fixed else window_idx,
        "latents": latents.transpose(1, 0, 2).reshape(-1, latents.shape[2]),
        "w": trained.reference_w,
        "images": generator.render(trained.reference_w),
    }
    if trained.decoder.n_state:
        arrays["trial"] = np.tile(np.arange(n_trials, dtype=np.int64), n_windows)
    return npz_bytes(**arrays)


def chosen(fitted: FittedDecoder) -> list[dict[str, float]]:
    """Return what cross-validation chose for each window, plain data for the manifest."""
    return [
        {"lambda": float(f"{c.lam:.4g}"), "rank": c.rank, "explained": round(c.explained, 5)}
        for c in fitted.choices
    ]


def versions() -> dict[str, str]:
    """Return what the bundle was made with; what is not installed is left out."""
    packages = ("numpy", "onnx", "onnxruntime-gpu", "torch")
    return {
        "b2g_rt": b2g_rt.__version__,
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
