"""The directory that ``b2g-offline export-generator`` writes.

    mapping.onnx    z, class_id (with classes), psi  ->  w      see ``mapping_graph``
    synthesis.onnx  w  ->  image                                see ``model``
    manifest.json   what they are, made from what, how far from torch, and their SHA-256

It appears whole or not at all. Weights beyond what one ONNX file holds lie beside it in ``NAME.data``.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from b2g_rt.errors import ConfigError, GeneratorError
from offline.export.cpu_session import PROVIDER
from offline.export.stylegan.graph_writer import OPSET
from offline.export.stylegan.mapping_graph import mapping_model
from offline.export.stylegan.model import synthesis_model
from offline.export.stylegan.parity import Worst, compared
from offline.stages import Stage
from offline.stimuli.stylegan.synthesis import Synthesis
from offline.whole_files import file_sha256

if TYPE_CHECKING:
    from offline.stimuli.generators import PictureGenerator

SCHEMA_VERSION = 1
MAPPING, SYNTHESIS, MANIFEST = "mapping.onnx", "synthesis.onnx", "manifest.json"
FILES = {MAPPING, SYNTHESIS, MANIFEST, f"{MAPPING}.data", f"{SYNTHESIS}.data"}
# An ONNX file is one protobuf message, which holds less than 2 GiB.
MAX_FILE_BYTES = 1_900_000_000


def export_network(
    generator: PictureGenerator,
    out: Path,
    *,
    half: bool = False,
    uint8: bool = False,
    stage: Stage = lambda what, total: lambda done: None,
    name: str | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Write a generator as ONNX files and compare them with torch.

    Parameters
    ----------
    generator : PictureGenerator
        On the CPU.
    out : Path
        Made; an earlier export in it is replaced.
    half : bool
        Synthesis in float16; a network's only.
    uint8 : bool
        Pictures as bytes (N, row, col, rgb); those of the procedural faces always are.
    stage : Stage
    name : str, optional
        By default the generator's.
    command : str
        For the manifest.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    ConfigError
        ``out`` holds something else, or the combination is not to be had.
    GeneratorError
        ONNX Runtime draws other pictures than torch, or the files cannot be written.
    """
    network = isinstance(generator.synthesis, Synthesis)
    if half and not network:
        raise ConfigError(
            f"export-generator --half: {generator.name} is no network, expected one. Leave --half out."
        )
    uint8 = uint8 or not network
    _check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as around:
            folder = Path(around) / "new"
            folder.mkdir()
            _write_models(generator, folder, half=half, uint8=uint8, stage=stage)
            parity = compared(
                generator, folder / MAPPING, folder / SYNTHESIS, half=half, stage=stage
            )
            manifest = _manifest(generator, folder, parity, half=half, uint8=uint8)
            manifest["name"] = name or generator.name
            manifest["command"] = command
            text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
            (folder / MANIFEST).write_text(text, "utf-8")
            if out.exists():
                os.replace(out, Path(around) / "old")
            os.replace(folder, out)
    except OSError as error:
        raise GeneratorError(
            f"{out}: cannot be written ({error.strerror}), expected a directory that can. Make room, or choose another."
        ) from None
    told: dict[str, Any] = json.loads(text)
    return told


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, the same bytes each time; the weights of a very large one beside it."""
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > MAX_FILE_BYTES:
        onnx.save_model(model, str(path), save_as_external_data=True, location=f"{path.name}.data")
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))


def _check_out(out: Path) -> None:
    """Refuse to replace what is no earlier export."""
    if out.is_dir():
        strange = {file.name for file in out.iterdir()} - FILES
        if strange:
            raise ConfigError(
                f"--out {out}: holds {min(strange)}, expected a new directory or an earlier export."
            )


def _write_models(
    generator: PictureGenerator, folder: Path, *, half: bool, uint8: bool, stage: Stage
) -> None:
    done = stage("mapping", 1)
    save_model(mapping_model(generator.mapping), folder / MAPPING)
    done(1)
    if isinstance(generator.synthesis, Synthesis):
        done = stage("synthesis", 1)
        save_model(synthesis_model(generator.synthesis, half=half, uint8=uint8), folder / SYNTHESIS)
    else:
        done = stage("synthesis: export from torch, about half a minute", 1)
        _write_renderer(generator, folder / SYNTHESIS)
    done(1)


def _write_renderer(generator: PictureGenerator, path: Path) -> None:
    import torch.onnx  # noqa: F401 (its loggers take their levels when it is loaded)

    from offline.stimuli.faces.export_renderer import export_renderer
    from offline.stimuli.faces.face_renderer import FaceRenderer

    if not isinstance(generator.synthesis, FaceRenderer):
        raise GeneratorError(
            f"{generator.name}: {type(generator.synthesis).__name__}, expected a StyleGAN network or the procedural "
            "faces."
        )
    # torch tells of parts that are not installed and of its own deprecations: nothing a user could mend.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_renderer(generator.synthesis, path)


def _manifest(
    generator: PictureGenerator, folder: Path, parity: list[Worst], *, half: bool, uint8: bool
) -> dict[str, Any]:
    from offline.export.bundle_writing import versions

    files = sorted(file for file in folder.iterdir())
    return {
        "schema_version": SCHEMA_VERSION,
        "name": generator.name,
        "z_dim": generator.z_dim,
        "w_dim": generator.w_dim,
        "num_ws": generator.num_ws,
        "n_classes": generator.n_classes,
        "resolution": generator.resolution,
        "half": half,
        "image": "row_col_rgb_uint8" if uint8 else "rgb_row_col_float32",
        "opset": OPSET,
        "source": {
            "name": generator.name,
            "sha256": generator.digest,
            "spec": generator.spec.to_dict() if generator.spec else None,
        },
        "files": {
            file.name: {"n_bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in files
        },
        "parity": {"provider": PROVIDER, "worst": [worst.as_dict() for worst in parity]},
        "versions": versions(),
    }
