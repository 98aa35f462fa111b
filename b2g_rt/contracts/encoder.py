"""The encoder: predicts each electrode's response to a known stimulus; verified when it is loaded.

    encoder.json       everything but the numbers, and the SHA-256 of every other file
    encoder.onnx       inputs (1, input) float32 -> response (1, channel) float32, z units
    stimuli.npz        id (stimulus,), inputs (stimulus, input) float32: stimuli whose inputs are known; in_training
                       (stimulus,) bool: those that the encoder was fitted to
    reference.npz      inputs (n, input), response (n, channel) float32: inputs and the responses they must give

A response is the mean of an electrode's MUA over the window of its ROI. What goes in are the features of a
stimulus, or of a wide feature space its kernel row: one number per training stimulus. Inputs of several spaces lie side
by side, and each electrode is predicted from the space that fits it best, linearly. Running the reference inputs is the
caller's part (it knows the provider); comparing is done here. Knows nothing of ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ROIS, ChannelMap
from b2g_rt.contracts.verified_folder import FolderFormat, IndexModel
from b2g_rt.contracts.windows import sliding_windows, static_start
from b2g_rt.errors import B2GError, BundleError

SCHEMA_VERSION = 1
FILES = ("encoder.onnx", "stimuli.npz", "reference.npz")
RESPONSE_TOLERANCE = 1e-3
"""Of the reference responses' SD: other providers and CPUs round differently."""

_FORMAT = FolderFormat("encoder", "encoder.json", FILES, SCHEMA_VERSION, "b2g-offline encode")

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class ResponseWindow(IndexModel):
    """Over which time a response is the mean: [start, stop), ms after the onset."""

    start_ms: float
    stop_ms: float


class EncodedSpace(IndexModel):
    """A feature space.

    ``kind``: its inputs are features, or centred kernel rows against the training stimuli. ``provenance``: network,
    layer, weights, preprocessing: what inputs of further stimuli would need.
    """

    name: str
    kind: Literal["features", "kernel"]
    n_inputs: int = Field(ge=1)
    provenance: dict[str, Any] = {}


class EncoderManifest(IndexModel):
    """``encoder.json``; every key is required unless it has a default.

    ``windows`` by ROI; ``spaces`` in the order of their inputs; ``electrode_space``, ``held_out_r``, ``noise_ceiling``
    with the axes (channel,): the name of the space that predicts it (None: nothing does), Pearson's r on held-out
    stimuli, and the ceiling of what could be had (None where it is not known).
    """

    schema_version: int
    name: str
    channel_map: dict[str, Any]
    windows: dict[str, ResponseWindow]
    unit: Literal["z"]
    normalisation: Normalisation
    n_inputs: int = Field(ge=1)
    spaces: tuple[EncodedSpace, ...]
    electrode_space: tuple[str | None, ...]
    held_out_r: tuple[float | None, ...]
    noise_ceiling: tuple[float | None, ...]
    training: dict[str, Any]
    simulated: bool
    sources: dict[str, str] = {}
    files: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class KnownInputs:
    """Stimuli whose inputs are known.

    Attributes
    ----------
    ids : tuple of str, axes (stimulus,)
    inputs : float32, axes (stimulus, input)
    in_training : frozenset of str
        Those that the encoder was fitted to: it predicts them better than new ones.
    """

    ids: tuple[str, ...] = field(repr=False)
    inputs: NDArray[np.float32] = field(repr=False)
    in_training: frozenset[str] = field(repr=False)
    _position: dict[str, int] = field(repr=False)

    def of(self, stimulus: str) -> NDArray[np.float32] | None:
        """Return a stimulus's inputs, float32, axes (input,), or None."""
        position = self._position.get(stimulus)
        return None if position is None else self.inputs[position]


class FittedEncoder:
    """An encoder whose every file was verified against ``encoder.json``.

    Parameters
    ----------
    path : Path
        The directory.

    Attributes
    ----------
    manifest : EncoderManifest
    hash : str
        SHA-256 of ``encoder.json``: it identifies the encoder.
    channels : ChannelMap
    predicted : bool, axes (channel,)
        Electrodes that a space predicts.
    stimuli : KnownInputs

    Raises
    ------
    BundleError
        Missing directory or file; another schema version; a file that is not the one that was written; contents that
        contradict ``encoder.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        raw = _FORMAT.read(path, _FORMAT.index)
        self.hash = hashlib.sha256(raw).hexdigest()
        self.manifest = _FORMAT.parse(path, raw, EncoderManifest)
        _FORMAT.verify(path, self.manifest.files)
        self.channels = _checked_channels(path, self.manifest)
        self.predicted: NDArray[np.bool_] = np.array(
            [space is not None for space in self.manifest.electrode_space]
        )
        self.stimuli = _known_inputs(path, self.manifest.n_inputs)

    def file(self, name: str) -> Path:
        """Return the path of one of the encoder's files."""
        return self.path / name

    def check(self, predict: Predict, provider: str) -> float:
        """Run the reference inputs and compare.

        Parameters
        ----------
        predict : callable
            inputs (input,) -> response (channel,), float32.
        provider : str
            For the message.

        Returns
        -------
        float
            Worst difference, in SDs of the reference responses.

        Raises
        ------
        BundleError
            It exceeds RESPONSE_TOLERANCE: these are not the weights that were tested.
        """
        reference = _FORMAT.arrays(
            self.path,
            "reference.npz",
            {
                "inputs": (None, self.manifest.n_inputs),
                "response": (None, self.channels.n_channels),
            },
        )
        wanted = reference["response"].astype(np.float32)
        inputs = reference["inputs"].astype(np.float32)
        if len(inputs) != len(wanted) or not len(wanted):
            raise BundleError(
                f"encoder {self.path}: reference.npz: {len(inputs)} inputs and {len(wanted)} responses, expected as "
                "many of each. Make the encoder again."
            )
        scale = float(wanted.std()) or 1.0
        found = np.stack([predict(row) for row in inputs])
        worst = float(np.abs(found - wanted).max()) / scale
        # A NaN is worse than any number.
        if not worst <= RESPONSE_TOLERANCE:
            raise BundleError(
                f"encoder {self.path}: encoder.onnx on {provider} differs from the reference responses by "
                f"{worst:.3g} SD, expected at most {RESPONSE_TOLERANCE:g}. The weights are not the tested ones: make "
                "the encoder again."
            )
        return worst


def _known_inputs(path: Path, n_inputs: int) -> KnownInputs:
    known = _FORMAT.arrays(
        path, "stimuli.npz", {"id": (None,), "inputs": (None, n_inputs), "in_training": (None,)}
    )
    ids = tuple(str(i) for i in known["id"])
    rows, fitted = known["inputs"], known["in_training"]
    if not len(ids) == len(rows) == len(fitted):
        raise BundleError(
            f"encoder {path}: stimuli.npz: {len(ids)} ids, {len(rows)} rows of inputs and {len(fitted)} of "
            "in_training, expected as many of each. Make the encoder again."
        )
    in_training = frozenset(name for name, mine in zip(ids, fitted, strict=True) if mine)
    position = {name: row for row, name in enumerate(ids)}
    return KnownInputs(ids, rows.astype(np.float32), in_training, position)


def static_windows_ms() -> dict[str, tuple[float, float]]:
    """Return the paper's static window of each ROI, ms after the onset: V1 25-125, V4 50-150, IT 75-175."""
    spec = sliding_windows(1000.0)
    starts = {roi: static_start(spec) - spec.lag_of(roi) for roi in ROIS}
    return {roi: (float(start), float(start + spec.length)) for roi, start in starts.items()}


def write_encoder_folder(
    path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]
) -> str:
    """Write an encoder: all files, then ``encoder.json`` with their hashes.

    Parameters
    ----------
    path : Path
        Directory; made if missing.
    manifest : mapping
        The keys of ``EncoderManifest`` but ``schema_version`` and ``files``.
    files : mapping of name to contents
        All of FILES.

    Returns
    -------
    str
        The encoder's hash.

    Raises
    ------
    BundleError
        A file or a key is missing, keys contradict each other, or the directory cannot be written.
    """
    return _FORMAT.write(
        path, manifest, files, EncoderManifest, lambda parsed: _checked_channels(path, parsed)
    )


def _checked_channels(path: Path, manifest: EncoderManifest) -> ChannelMap:
    def wrong(found: str) -> BundleError:
        return BundleError(f"encoder {path}: encoder.json: {found}. Make the encoder again.")

    try:
        channels = ChannelMap.from_dict(manifest.channel_map)
    except (B2GError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise wrong(f"channel_map: {str(error).rstrip('.')}") from None
    for name in ("electrode_space", "held_out_r", "noise_ceiling"):
        n = len(getattr(manifest, name))
        if n != channels.n_channels:
            raise wrong(f"{name}: {n} entries, expected {channels.n_channels}, one per electrode")
    names = [space.name for space in manifest.spaces]
    if len(set(names)) != len(names) or not names:
        raise wrong(f"spaces: {', '.join(names) or 'none'}, expected names that differ")
    total = sum(space.n_inputs for space in manifest.spaces)
    if total != manifest.n_inputs:
        raise wrong(f"n_inputs: {manifest.n_inputs}, expected the {total} of its spaces")
    unknown = sorted({space for space in manifest.electrode_space if space} - set(names))
    if unknown:
        raise wrong(f"electrode_space: '{unknown[0]}', expected one of {', '.join(names)}")
    for roi in sorted(set(channels.roi)):
        window = manifest.windows.get(roi)
        if window is None:
            raise wrong(f"windows: none for {roi}, expected one for each ROI of the channel map")
        if not (
            math.isfinite(window.start_ms)
            and math.isfinite(window.stop_ms)
            and window.start_ms < window.stop_ms
        ):
            raise wrong(
                f"windows.{roi}: {window.start_ms:g} to {window.stop_ms:g} ms, expected a start before its stop"
            )
    return channels
