"""A generator as a directory: plain numbers and plain tensors, nothing that could be executed.

    generator.json          specification, where the weights come from, size and SHA-256 of the other file
    generator.safetensors   all weights and buffers, float32, under the checkpoints' names

For whoever makes generators (import, training) and whoever opens them. Files from outside are data: sizes are
bounded before memory is taken, every name and shape is compared before a weight is used. Knows nothing of
checkpoints in other formats.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.bounds import check_bounds
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.specification import GeneratorSpec, check_chain
from offline.whole_files import file_sha256

SCHEMA_VERSION = 1
NUMBERS = "generator.json"
WEIGHTS = "generator.safetensors"
MAX_NUMBERS_BYTES = 4 << 20
MAX_HEADER_BYTES = 4 << 20  # of the safetensors file: names and shapes


def save_generator(generator: Generator, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write a generator; an interruption leaves the one that was there, or one that is refused.

    Parameters
    ----------
    generator : Generator
    folder : Path
        Made if it is not there. A generator in it is replaced.
    provenance : mapping
        Where the weights come from; plain data for JSON.

    Raises
    ------
    GeneratorError
        The folder cannot be written to.
    """
    from safetensors.torch import save_file

    tensors = {name: _plain(tensor) for name, tensor in generator.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as inside:
            weights = Path(inside) / WEIGHTS
            save_file(tensors, weights)
            numbers = {
                "schema_version": SCHEMA_VERSION,
                "generator": generator.spec.to_dict(),
                "weights": {
                    "file": WEIGHTS,
                    "n_bytes": weights.stat().st_size,
                    "sha256": file_sha256(weights),
                },
                "provenance": dict(provenance),
            }
            told = Path(inside) / NUMBERS
            told.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", "utf-8")
            # safetensors makes files that only their owner may read.
            weights.chmod(told.stat().st_mode & 0o777)
            os.replace(weights, folder / WEIGHTS)
            os.replace(told, folder / NUMBERS)
    except OSError as error:
        raise GeneratorError(
            f"{folder}: cannot be written to ({error.strerror}), expected a directory that can."
        ) from None


def load_generator(folder: Path) -> Generator:
    """Read what ``save_generator`` wrote.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Generator
        On the CPU, in eval mode, its parameters without gradients.

    Raises
    ------
    GeneratorError
        A file is missing, too large, not the one that was written or of another schema version; a tensor is missing,
        too much, or of another shape or type.
    """
    numbers, spec = _numbers(folder)
    path = folder / WEIGHTS
    _check_weights(path, numbers.get("weights"), spec)
    return assembled(spec, _tensors(path, spec), str(path))


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return what was told when the generator was saved.

    Raises
    ------
    GeneratorError
        As ``load_generator``.
    """
    provenance = _numbers(folder)[0].get("provenance")
    return provenance if isinstance(provenance, dict) else {}


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights, as told when the generator was saved.

    Raises
    ------
    GeneratorError
        As ``load_generator``.
    """
    told = _numbers(folder)[0].get("weights")
    return str(told.get("sha256")) if isinstance(told, dict) else ""


def assembled(spec: GeneratorSpec, tensors: Mapping[str, Tensor], where: str) -> Generator:
    """Return a generator that uses ``tensors`` as they are, without a copy.

    Parameters
    ----------
    spec : GeneratorSpec
    tensors : mapping of str to Tensor, float32
        Under the names of its state dict.
    where : str
        Opens the error's line.

    Raises
    ------
    GeneratorError
        Naming the first tensor that is missing, too much, or of another shape or type.
    """
    generator = _empty(spec, where)
    compare_shapes(_shapes(generator), {n: tuple(t.shape) for n, t in tensors.items()}, where)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            found = str(tensor.dtype).removeprefix("torch.")
            raise GeneratorError(f"{where}: {name}: {found}, expected float32. Import again.")
    generator.load_state_dict(dict(tensors), assign=True)
    return generator.eval().requires_grad_(False)


def expected_shapes(spec: GeneratorSpec, where: str) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight and buffer of a network, without making it.

    Raises
    ------
    GeneratorError
        Numbers that no generator has, or that do not fit each other.
    """
    return _shapes(_empty(spec, where))


def compare_shapes(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Refuse names and shapes that are not exactly the expected ones.

    Raises
    ------
    GeneratorError
        Naming the first that differs.
    """
    counts = f"{len(found)} tensors found, {len(expected)} expected"
    for name, shape in expected.items():
        if name not in found:
            raise GeneratorError(f"{where}: {name} is missing, expected {shape}; {counts}.")
        if found[name] != shape:
            raise GeneratorError(
                f"{where}: {name}: {found[name]}, expected {shape}. Weights and specification belong to different "
                "networks."
            )
    for name in found:
        if name not in expected:
            raise GeneratorError(f"{where}: {name[:80]!r}: not expected; {counts}.")


def _plain(tensor: Tensor) -> Tensor:
    # Clones of what is no plain block of its own: views of one storage would be refused.
    plain = tensor.detach().to("cpu", torch.float32).contiguous()
    whole = plain.untyped_storage().nbytes() == plain.numel() * plain.element_size()
    return plain if whole else plain.clone()


def _shapes(generator: Generator) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}


def _empty(spec: GeneratorSpec, where: str) -> Generator:
    """Return a generator without memory for its weights."""
    check_bounds(spec, where)
    check_chain(spec, where)
    with torch.device("meta"):
        return Generator(spec)


def _numbers(folder: Path) -> tuple[dict[str, Any], GeneratorSpec]:
    path = folder / NUMBERS
    try:
        if path.stat().st_size > MAX_NUMBERS_BYTES:
            raise GeneratorError(
                f"{path}: {path.stat().st_size} bytes, expected at most {MAX_NUMBERS_BYTES}."
            )
        numbers = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise GeneratorError(
            f"{folder}: no {NUMBERS}, expected the directory of a generator. Make one: b2g-offline import-checkpoint "
            "FILE --out DIR."
        ) from None
    except OSError as error:
        raise GeneratorError(
            f"{path}: cannot be read ({error.strerror}), expected a readable file."
        ) from None
    except (ValueError, RecursionError) as error:
        raise GeneratorError(f"{path}: no JSON ({error!s:.80}). Import again.") from None
    found = numbers.get("schema_version") if isinstance(numbers, dict) else None
    if found != SCHEMA_VERSION:
        raise GeneratorError(
            f"{path}: schema_version {found!r:.20}, expected {SCHEMA_VERSION}. Import again, or use the version of "
            "b2g_rt that wrote it."
        )
    spec = GeneratorSpec.from_dict(numbers.get("generator"), f"{path}: generator")
    check_bounds(spec, str(path))
    return numbers, spec


def _check_weights(path: Path, told: Any, spec: GeneratorSpec) -> None:
    if not isinstance(told, dict) or set(told) != {"file", "n_bytes", "sha256"}:
        raise GeneratorError(
            f"{path.parent / NUMBERS}: weights: {told!r:.60}, expected file, n_bytes and sha256."
        )
    try:
        found = path.stat().st_size
    except OSError:
        raise GeneratorError(
            f"{path}: missing, expected the weights beside {NUMBERS}. Copy both files, or import again."
        ) from None
    # A hostile size in both files: what the specification needs is the bound.
    needed = 4 * sum(math.prod(shape) for shape in expected_shapes(spec, str(path)).values())
    if found != told["n_bytes"] or not needed <= found <= needed + MAX_HEADER_BYTES:
        raise GeneratorError(
            f"{path}: {found} bytes, expected {told['n_bytes']!r:.20} ({needed} of weights). The file is incomplete or "
            "another one: copy both files, or import again."
        )
    digest = file_sha256(path)
    if digest != told["sha256"]:
        raise GeneratorError(
            f"{path}: SHA-256 {digest[:12]}, expected {told['sha256']!s:.12}. The file was changed, or its writing "
            "was interrupted: copy both files, or import again."
        )


def _tensors(path: Path, spec: GeneratorSpec) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    expected = expected_shapes(spec, str(path))
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            # Clones: the file may be replaced while the generator is in use.
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            compare_shapes(expected, found, str(path))
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError) as error:
        raise GeneratorError(
            f"{path}: no safetensors file ({error!s:.80}). Import again."
        ) from None
    return tensors
