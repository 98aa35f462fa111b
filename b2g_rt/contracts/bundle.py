"""The model bundle: what offline training hands to the live service, verified when it is loaded.

    manifest.json      everything but the numbers, and the SHA-256 of every other file
    decoder.onnx       features (1, channel) float32, window_idx (1,) int64 -> latent (1, latent) float32; one that
                       remembers something from window to window: state, next_state (1, number) float32 too
    generator.onnx     w (1, 1, latent) float32 -> image uint8 (1, row, col, rgb), or float32 (1, rgb, row, col)
    statistics.npz     channel_mean, channel_sd (channel,), latent_mean (latent,); float64
    stimuli.npz        id (stimulus,), latent (stimulus, latent) float32: stimuli whose latents are known
    reference.npz      features, window_idx, latents, w, images: inputs and the outputs they must give; of a decoder
                       that remembers, trial (window,) too: rows of one trial are in order

Files from outside are data: no pickle is read. Running the reference inputs is the caller's part (it knows the
provider); comparing is done here. Knows nothing of ONNX Runtime.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.verified_folder import FolderFormat, IndexModel, Shapes
from b2g_rt.contracts.verified_folder import npz_bytes as npz_bytes
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import B2GError, BundleError

SCHEMA_VERSION = 1
FILES = ("decoder.onnx", "generator.onnx", "statistics.npz", "stimuli.npz", "reference.npz")
LATENT_TOLERANCE = 1e-3  # of the reference latents' SD: other providers and CPUs round differently
IMAGE_TOLERANCE = 3  # grey levels of 255, mean over the picture

_FORMAT = FolderFormat("bundle", "manifest.json", FILES, SCHEMA_VERSION, "b2g-offline fit")

DecoderStep = Callable[
    [NDArray[np.float32], int, NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]
]


class Normalisation(IndexModel):
    """How raw MUA becomes z units; ``running`` starts from the statistics and follows the day, causally."""

    kind: Literal["frozen", "running"] = "frozen"
    block_samples: int = 1000
    time_constant_s: float = 300.0


class ImageShape(IndexModel):
    """What the generator returns."""

    height: int
    width: int
    layout: Literal["row_col_rgb_uint8", "rgb_row_col_float32"]


class Manifest(IndexModel):
    """``manifest.json``; every key is required unless it has a default.

    ``decoder_state``: how many numbers the decoder remembers from window to window. ``live``: false where it was
    fitted on responses without a time axis, which no live stream can be normalised like.
    """

    schema_version: int
    name: str
    decoder_kind: Literal["per_window", "fixed"]
    decoder_state: int = Field(default=0, ge=0)
    live: bool = True
    channel_map: dict[str, Any]
    windows: dict[str, Any]
    unit: str
    normalisation: Normalisation
    n_latents: int
    image: ImageShape
    simulated: bool
    training: dict[str, Any]
    metrics: dict[str, Any]
    sources: dict[str, str] = {}
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stimuli:
    """Stimuli whose latents are known; ``latent``: float32, axes (stimulus, latent)."""

    ids: tuple[str, ...]
    latent: NDArray[np.float32] = field(repr=False)

    def position(self, stimulus: str) -> int | None:
        """Return the row of a stimulus id, or None."""
        try:
            return self.ids.index(stimulus)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Reference:
    """Inputs, and the outputs they must give.

    ``features`` float32 (window, channel); ``window_idx`` int64 (window,); ``latents`` float32 (window, latent);
    ``trial`` int64 (window,), rows of one trial in the order in which they are decoded (free running: a stretch of the
    stream each); ``w`` float32 (image, latent); ``images`` uint8 (image, row, col, rgb).
    """

    features: NDArray[np.float32]
    window_idx: NDArray[np.int64]
    latents: NDArray[np.float32]
    trial: NDArray[np.int64]
    w: NDArray[np.float32]
    images: NDArray[np.uint8]


class ModelBundle:
    """A bundle whose every file was verified against its manifest.

    Parameters
    ----------
    path : Path
        The directory.

    Attributes
    ----------
    manifest : Manifest
    hash : str
        SHA-256 of ``manifest.json``, which names the hashes of all files: it identifies the bundle.
    channels : ChannelMap
    windows : WindowSpec
    channel_mean, channel_sd : float64, axes (channel,)
    latent_mean : float32, axes (latent,)
    stimuli : Stimuli

    Raises
    ------
    BundleError
        Missing directory, manifest or file; another schema version; a file that is not the one that was written;
        contents that contradict the manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        raw = _FORMAT.read(path, _FORMAT.index)
        self.hash = hashlib.sha256(raw).hexdigest()
        self.manifest = _FORMAT.parse(path, raw, Manifest)
        _FORMAT.verify(path, self.manifest.files)
        self.channels, self.windows = _channels_and_windows(path, self.manifest)
        n_channels, n_latents = self.channels.n_channels, self.manifest.n_latents
        stats = self._arrays(
            "statistics.npz",
            {
                "channel_mean": (n_channels,),
                "channel_sd": (n_channels,),
                "latent_mean": (n_latents,),
            },
        )
        self.channel_mean: NDArray[np.float64] = stats["channel_mean"].astype(np.float64)
        self.channel_sd: NDArray[np.float64] = stats["channel_sd"].astype(np.float64)
        self.latent_mean: NDArray[np.float32] = stats["latent_mean"].astype(np.float32)
        known = self._arrays("stimuli.npz", {"id": (None,), "latent": (None, n_latents)})
        self.stimuli = Stimuli(
            tuple(str(i) for i in known["id"]), known["latent"].astype(np.float32)
        )

    @property
    def n_windows(self) -> int:
        """Decoders in the bundle: one per window position, or 1 when fixed."""
        return self.windows.n_windows if self.manifest.decoder_kind == "per_window" else 1

    def file(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.path / name

    def reference(self) -> Reference:
        """Return the reference inputs and outputs."""
        n_channels, n_latents = self.channels.n_channels, self.manifest.n_latents
        image = self.manifest.image
        shapes: dict[str, tuple[int | None, ...]] = {
            "features": (None, n_channels),
            "window_idx": (None,),
            "latents": (None, n_latents),
            "w": (None, n_latents),
            "images": (None, image.height, image.width, 3),
        }
        if self.manifest.decoder_state:
            shapes["trial"] = (None,)
        a = self._arrays("reference.npz", shapes)
        # Without anything remembered each row stands for itself.
        trial = a.get("trial", np.arange(len(a["features"])))
        if len({len(rows) for rows in (a["features"], a["window_idx"], a["latents"], trial)}) > 1:
            raise BundleError(
                f"bundle {self.path}: reference.npz: features, window_idx, latents and trial differ in length, "
                "expected a row of each per window. Make the bundle again."
            )
        return Reference(
            a["features"].astype(np.float32),
            a["window_idx"].astype(np.int64),
            a["latents"].astype(np.float32),
            trial.astype(np.int64),
            a["w"].astype(np.float32),
            a["images"].astype(np.uint8),
        )

    def check_decoder(self, step: DecoderStep, provider: str) -> float:
        """Run the reference features through a decoder, trial by trial, and compare.

        Parameters
        ----------
        step : callable
            (features (channel,), window_idx, state (number,)) -> (latent (latent,), state (number,)), float32.
        provider : str
            For the message.

        Returns
        -------
        float
            Worst difference, in SDs of the reference latents.

        Raises
        ------
        BundleError
            It exceeds LATENT_TOLERANCE: these are not the weights that were tested.
        """
        reference = self.reference()
        scale = float(reference.latents.std()) or 1.0
        blank = np.zeros(self.manifest.decoder_state, np.float32)
        states: dict[int, NDArray[np.float32]] = {}
        worst = 0.0
        rows = zip(
            reference.features,
            reference.window_idx.tolist(),
            reference.trial.tolist(),
            reference.latents,
            strict=True,
        )
        for features, window_idx, trial, wanted in rows:
            got, states[trial] = step(features, window_idx, states.get(trial, blank))
            # A NaN is the worst of all.
            worst = float(np.maximum(worst, np.abs(got - wanted).max() / scale))
        if not worst <= LATENT_TOLERANCE:
            raise BundleError(
                f"bundle {self.path}: decoder.onnx on {provider} differs from the reference latents by {worst:.3g} SD, "
                f"expected at most {LATENT_TOLERANCE:g}. The weights are not the tested ones: make the bundle again."
            )
        return worst

    def check_generator(
        self, render: Callable[[NDArray[np.float32]], NDArray[np.uint8]], provider: str
    ) -> float:
        """Run the reference latents through ``render`` and compare; see ``check_decoder``.

        Returns
        -------
        float
            Largest mean absolute difference of a picture, grey levels.
        """
        reference = self.reference()
        worst = 0.0
        for w, image in zip(reference.w, reference.images, strict=True):
            worst = max(worst, float(np.abs(render(w).astype(np.int16) - image).mean()))
        if not worst <= IMAGE_TOLERANCE:
            raise BundleError(
                f"bundle {self.path}: generator.onnx on {provider} differs from the reference pictures by {worst:.1f} "
                f"grey levels, expected at most {IMAGE_TOLERANCE}. The weights are not the tested ones: make the "
                "bundle again."
            )
        return worst

    def _arrays(self, name: str, shapes: Shapes) -> dict[str, NDArray[Any]]:
        return _FORMAT.arrays(self.path, name, shapes)


def _channels_and_windows(path: Path, manifest: Manifest) -> tuple[ChannelMap, WindowSpec]:
    part = "channel_map"
    try:
        channels = ChannelMap.from_dict(manifest.channel_map)
        part = "windows"
        windows = WindowSpec.from_dict(manifest.windows)
        whole = (windows.length, windows.stride, windows.first_start, windows.n_windows)
        if not all(isinstance(n, int) for n in whole):
            raise TypeError(f"{whole}, expected whole numbers of samples")
    except (B2GError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BundleError(
            f"bundle {path}: manifest.json: {part}: {str(error).rstrip('.')}. Make the bundle again."
        ) from None
    return channels, windows


def write_bundle(path: Path, manifest: dict[str, Any], files: Mapping[str, bytes]) -> str:
    """Write a bundle: all files, then the manifest with their hashes.

    Parameters
    ----------
    path : Path
        Directory; made if missing.
    manifest : dict
        The manifest's keys but ``schema_version`` and ``files``.
    files : mapping of name to contents
        All of FILES.

    Returns
    -------
    str
        The bundle's hash.

    Raises
    ------
    BundleError
        A file or a key is missing, or the directory cannot be written.
    """
    return _FORMAT.write(path, manifest, files, Manifest)
