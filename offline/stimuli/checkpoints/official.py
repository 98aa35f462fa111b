"""Read an official checkpoint (.pkl) whole: G_ema as a generator, everything else left alone and named.

For the command and for programs. Executes nothing from the file; memory is bounded by the generator's own float32
weights, one tensor on the way, and a few hundred MB for hostile files (see `pickle_walk`). Writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch import Tensor

from b2g_rt.errors import CheckpointError, GeneratorError
from offline.stimuli.checkpoints.allowed_names import EASY_DICT, ORDERED_DICT, check_names, names_in
from offline.stimuli.checkpoints.bounded_reader import Budget
from offline.stimuli.checkpoints.file_kind import check_kind
from offline.stimuli.checkpoints.generator_numbers import generator_spec
from offline.stimuli.checkpoints.modules import Module, is_module, module_of
from offline.stimuli.checkpoints.nodes import Call, Global, Items, pairs_of, shown
from offline.stimuli.checkpoints.pickle_walk import PickleWalk
from offline.stimuli.checkpoints.plain_values import called, reading
from offline.stimuli.checkpoints.published_arithmetic import published_as
from offline.stimuli.checkpoints.tensors import StoredTensor, TensorFinder, read_float32
from offline.stimuli.stylegan import filters
from offline.stimuli.stylegan.directory import assembled, compare_shapes, expected_shapes
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.specification import GeneratorSpec
from offline.whole_files import stream_sha256

KEY = "G_ema"
_FILTER_TOLERANCE = (
    1e-4  # of a filter's largest tap: float32 and other versions of scipy round differently
)

Stage = Callable[[str, int], Callable[[int], None]]


def _silent(what: str, total: int) -> Callable[[int], None]:
    return lambda done: None


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A generator from a file, and what else the file told.

    Attributes
    ----------
    generator : Generator
        In eval mode, on the CPU, without gradients.
    class_names : dict of str to (str, int or None)
        Class and version of each module of G_ema, by module name; '' is G_ema itself.
    left : tuple of str
        Keys of the file that were not used.
    foreign_names : tuple of str
        Classes and functions that the rest of the file names and networks are not made of; never looked up.
    remarks : tuple of str
        What differs from the published arithmetic; the file's numbers are used.
    published : tuple of str
        Published networks that have the same numbers.
    provenance : dict
        Plain data: the file's name, size and SHA-256, and the above.
    """

    generator: Generator
    class_names: dict[str, tuple[str, int | None]]
    left: tuple[str, ...]
    foreign_names: tuple[str, ...]
    remarks: tuple[str, ...]
    published: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def spec(self) -> GeneratorSpec:
        """The generator's specification."""
        return self.generator.spec


MAX_TENSORS = 4096
MAX_NAME = 200


def read_checkpoint(path: Path, stage: Stage = _silent) -> Checkpoint:
    """Read a StyleGAN3 or StyleGAN-XL checkpoint.

    Parameters
    ----------
    path : Path
    stage : callable
        As of ``offline.stages``.

    Raises
    ------
    CheckpointError
        The file is none, is broken, is of another kind, or its G_ema names what networks are not made of.
    """
    size = check_kind(path)
    try:
        with path.open("rb") as file:
            return _read(file, path, size, stage)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}), expected a readable file."
        ) from None


def _read(file: IO[bytes], path: Path, size: int, stage: Stage) -> Checkpoint:
    where, budget = str(path), Budget()
    root, end = PickleWalk(file, 0, size, where, budget, stage("opcodes", size)).walk()
    chosen, left = _choose(root, where)
    check_names(chosen, KEY, where)
    network = module_of(chosen, KEY, where)
    stored = _stored_tensors(network, TensorFinder(file, budget), size, where)
    spec, remarks = generator_spec(network, stored, path.stem[:80], where, reading(file))
    generator = _generator(spec, stored, file, where, stage)
    remarks += _filter_remarks(generator)
    if end < size:
        remarks.append(f"{size - end} bytes behind the checkpoint's end were not read")
    file.seek(0)
    digest = stream_sha256(file, stage("SHA-256", size))
    names = {name: (module.class_name, module.version) for name, module in network.walk()}
    foreign = names_in([value for _, value in left], chosen)
    return Checkpoint(
        generator=generator,
        class_names=names,
        left=tuple(key for key, _ in left),
        foreign_names=tuple(foreign),
        remarks=tuple(remarks),
        published=tuple(published_as(spec)),
        provenance={
            "kind": "official checkpoint",
            "file": path.name,
            "n_bytes": size,
            "sha256": digest,
            "key": KEY,
            "class": network.class_name,
            "class_versions": sorted({v for _, v in names.values() if v is not None}),
            "keys_left": [key for key, _ in left],
            "remarks": list(remarks),
            "same_numbers_as": published_as(spec),
        },
    )


def _choose(root: Any, where: str) -> tuple[Any, list[tuple[str, Any]]]:
    """Return G_ema's node, and the rest by key. A file may be the generator itself."""
    if is_module(root):
        return root, []
    entries = called(root, ORDERED_DICT, EASY_DICT)
    flat = root.flat_pairs if isinstance(root, Items) else entries.flat_pairs if entries else None
    if flat is None:
        raise CheckpointError(
            f"{where}: {_told(root)}, expected a dictionary with {KEY}, or a generator."
        )
    found = {shown(key): value for key, value in pairs_of(flat) if isinstance(key, str)}
    if KEY not in found:
        keys = shown(", ".join(found) or "none", 120)
        raise CheckpointError(
            f"{where}: no {KEY} among its keys ({keys}), expected the averaged generator of an official checkpoint."
        )
    return found[KEY], [(key, value) for key, value in found.items() if key != KEY]


def _told(root: Any) -> str:
    parts = root if isinstance(root, (tuple, list)) else [root]
    functions = [part.function for part in parts if isinstance(part, Call)]
    paths = [f.path for f in [*functions, root] if isinstance(f, Global)]
    if any(path.startswith("dnnlib.tflib.") for path in paths):
        return "a TensorFlow network (StyleGAN or StyleGAN2 of 2019)"
    return f"a {shown(paths[0])}" if paths else f"a {type(root).__name__.lower()}"


def _stored_tensors(
    network: Module, finder: TensorFinder, size: int, where: str
) -> dict[str, StoredTensor]:
    """Return tensors by name; a file of ``size`` bytes cannot hold more numbers than half of them."""
    found: dict[str, StoredTensor] = {}
    numbers = 0
    for prefix, module in network.walk():
        for key, node in module.tensors.items():
            name = f"{prefix}.{key}" if prefix else key
            if len(found) == MAX_TENSORS or len(name) > MAX_NAME:
                raise CheckpointError(
                    f"{where}: {KEY}: {len(found)} tensors and more, the next {shown(name)}, expected at most "
                    f"{MAX_TENSORS} with names of at most {MAX_NAME} characters. It is no official checkpoint."
                )
            found[name] = finder.find(node, f"{where}: {KEY}.{shown(name)}")
            numbers += found[name].n
            if 2 * numbers > size:
                raise CheckpointError(
                    f"{where}: {KEY}: more numbers than {size} bytes can hold, expected every tensor to have its own. "
                    "It is no official checkpoint."
                )
    return found


def _generator(
    spec: GeneratorSpec, stored: dict[str, StoredTensor], file: IO[bytes], where: str, stage: Stage
) -> Generator:
    """Read every tensor that the specification needs, after all names and shapes were compared."""
    try:
        expected = expected_shapes(spec, where)
        if spec.n_classes == 0 and stored.get("mapping.w_avg") is not None:
            stored = {**stored, "mapping.w_avg": _row(stored["mapping.w_avg"])}
        compare_shapes(expected, {n: t.shape for n, t in stored.items()}, f"{where}: {KEY}")
        done = stage("weights", sum(t.n for t in stored.values()))
        tensors: dict[str, Tensor] = {}
        for name, tensor in stored.items():
            tensors[name] = read_float32(file, tensor)
            done(tensor.n)
        generator = assembled(spec, tensors, f"{where}: {KEY}")
    except CheckpointError:
        raise
    except GeneratorError as error:
        raise CheckpointError(str(error)) from None
    for layer in generator.synthesis.layers:
        if not layer.magnitude_ema > 0:
            raise CheckpointError(
                f"{where}: {KEY}.synthesis.{layer.spec.name}.magnitude_ema: {layer.magnitude_ema.item():g}, expected "
                "a positive number. The file is damaged."
            )
    return generator


def _row(tensor: StoredTensor) -> StoredTensor:
    """Without classes an average may be stored as a table of one row."""
    if len(tensor.shape) != 2 or tensor.shape[0] != 1:
        return tensor
    return StoredTensor(
        tensor.storage, tensor.offset, tensor.shape[1:], tensor.strides[1:], tensor.where
    )


def _filter_remarks(generator: Generator) -> list[str]:
    """Compare the file's filters, which are used, with the design."""
    remarks = []
    for layer in generator.synthesis.layers:
        for key, design in (("up_filter", filters.up_filter), ("down_filter", filters.down_filter)):
            found = getattr(layer, key)
            expected = None
            # A cutoff beyond what can be designed: the file's filter stands, unchecked.
            with suppress(ValueError):
                expected = design(layer.spec)
            if found is None:
                continue
            if expected is None:
                remarks.append(f"{layer.spec.name}: {key} cannot be designed from its cutoff")
                continue
            error = float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())
            if not error <= _FILTER_TOLERANCE:
                remarks.append(
                    f"{layer.spec.name}: {key} differs from the published design by {error:.2g} of its largest tap"
                )
    return remarks
