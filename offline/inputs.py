"""What a command is given by path or by name: bundles, generators, latents."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.errors import BundleError, ConfigError
from offline.stages import Stage

SYNTHESIS = "synthesis.onnx"

if TYPE_CHECKING:
    from b2g_rt.simulation.macaque import Macaque
    from offline.recordings.formats.reader import RecordingReader


def find_bundle(name: str) -> ModelBundle:
    """Return a bundle by the name of a shipped one or by path, found as the live service finds it.

    Raises
    ------
    BundleError
        Neither, or the bundle is not whole.
    """
    return ModelBundle(bundle_path(name))


def latents_for(
    bundle: ModelBundle, recording: RecordingReader, latents: Path | None
) -> dict[str, NDArray[np.float32]]:
    """Return the bundle's latents, and over them those of the recording or of a file."""
    from offline.recordings.known_latents import known_latents

    known = dict(zip(bundle.stimuli.ids, bundle.stimuli.latent, strict=True))
    if latents is not None or recording.stimuli() is not None:
        known.update(known_latents([recording], latents))
    return known


def generator_for(
    recording: RecordingReader, path: Path | None, n_latents: int, stage: Stage
) -> bytes:
    """Return the generator that was given, or the face renderer where the recording names its macaque.

    Raises
    ------
    ConfigError
        None was given, and the recording names no macaque: it was recorded, or replayed and recorded again.
    BundleError
        The file is no generator, or the macaque is another release's.
    """
    from b2g_rt.simulation.from_record import recorded_macaque
    from offline.export.generator_onnx import fixed_shapes

    if path is not None:
        return fixed_shapes(read_model(path), n_latents)
    provenance = recording.provenance()
    if not recording.info.simulated or "macaque" not in provenance:
        raise ConfigError(
            "fit: no --generator, expected an ONNX file that draws from w (1, 1, latent), or a directory of "
            "export-generator. For example --generator faces; that of the simulated faces: make one with "
            "b2g-offline export-generator procedural-faces --out faces."
        )
    where = f"session {recording.info.path}"
    return drawn_faces(recorded_macaque(provenance, recording.channels, where), stage)


def drawn_faces(macaque: Macaque, stage: Stage) -> bytes:
    """Return the ONNX file of the macaque's face renderer."""
    loaded = stage("generator: torch", 1)
    import torch.onnx  # noqa: F401 (its loggers take their levels when it is loaded)

    from offline.export.generator_onnx import face_generator

    loaded(1)
    # torch tells of parts that are not installed and of its own deprecations: nothing a user could mend.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return face_generator(macaque, stage)


def read_model(path: Path) -> bytes:
    """Return the bytes of an ONNX file, or of the generator in a directory that export-generator wrote.

    Raises
    ------
    BundleError
        It cannot be read.
    """
    if path.is_dir():
        path = path / SYNTHESIS
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}, expected an ONNX file. Check the path."
        ) from None
