"""From pictures to a feature file: piece by piece, so that neither an interruption nor the workers change a bit.

A piece is what shares a shard: whole batches, always the same ones, each computed by one thread of the processor
(the last bits of sums depend on how many share them). Pieces are done by workers; those of a cluster get the pictures'
bytes and need no common disk, only the weights. Knows networks by their protocol alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError, FeatureError
from offline.features.content import piece_digest
from offline.features.network import FeatureNetwork
from offline.features.pictures import StimulusPicture, decoded, file_bytes
from offline.features.sole_writer import sole_writer
from offline.features.store import FeatureFile, open_features
from offline.features.store_writing import SpaceLayout, StoreWriter, stimuli_per_piece, time_text
from offline.scheduling.fewer_at_once import FewerAtOnce
from offline.scheduling.memory import size_text
from offline.scheduling.workers import Workers
from offline.stages import Stage
from offline.stimuli.devices import reproducible, set_reproducible

ACTIVATION_BYTES = 48 << 20
"""What one picture of a batch takes inside a network, roughly: VGG16 and ViT-L/14@336 were seen to take 37 MiB."""
DECODED_BYTES = 8 << 20
"""What one picture of a batch takes on its way to a GPU, roughly."""

Values = dict[str, NDArray[np.float32]]


class NetworkOpener:
    """A network that is opened once in each process that needs it: what travels is how to open it.

    Parameters
    ----------
    open_ : callable
        Returns the network; can be pickled.
    """

    def __init__(self, open_: Callable[[], FeatureNetwork]) -> None:
        self._open = open_
        self._lock = threading.Lock()
        self._network: FeatureNetwork | None = None

    def __getstate__(self) -> Callable[[], FeatureNetwork]:
        return self._open

    def __setstate__(self, open_: Callable[[], FeatureNetwork]) -> None:
        self.__init__(open_)  # type: ignore[misc]

    def network(self) -> FeatureNetwork:
        """Return the network; whoever comes first opens it."""
        with self._lock:
            if self._network is None:
                self._network = self._open()
            return self._network


def extract(
    pictures: Sequence[StimulusPicture],
    opener: NetworkOpener,
    out: Path,
    *,
    batch: int,
    device: str = "cpu",
    workers: Workers,
    memory: int | None = None,
    command: str = "",
    stage: Stage,
) -> FeatureFile:
    """Compute the features of pictures into a feature file, or go on with one.

    Parameters
    ----------
    pictures : sequence of StimulusPicture
    opener : NetworkOpener
    out : Path
        Of the feature file.
    batch : int
        Pictures at a time; the last bits of features may depend on it.
    device : {'cpu', 'cuda'}
        Where the network is opened; so do they on this.
    workers : Workers
    memory : int, optional
        Bytes that the work may take in each process, roughly; fewer pieces are done at once.
    command : str
        As it was typed, for the file.
    stage : Stage
        Progress.

    Returns
    -------
    FeatureFile

    Raises
    ------
    FeatureError, StimulusError
        A picture cannot be read, ``out`` holds something else or features of other settings, another run writes it,
        the disk is full, a network gives what is no number, or a worker's network is another one.
    ConfigError
        One piece at a time takes more than ``memory``.
    """
    network = opener.network()
    layouts = [SpaceLayout(name, tuple(network.shape(name))) for name in network.layers]
    size = stimuli_per_piece(layouts, batch)
    at_once = _at_once(workers, layouts, size, batch, device, memory)
    writer = StoreWriter.begin(
        out,
        layouts,
        size,
        stimuli={
            "id": [picture.id for picture in pictures],
            "split": [picture.split for picture in pictures],
            "sha256": [picture.sha256 for picture in pictures],
        },
        provenance={
            "network": network.name,
            "batch": batch,
            "device": device,
            **network.provenance,
        },
        run={"started": time_text(), "command": command},
    )
    with sole_writer(out):
        digests = writer.kept(stage)
        missing = [k for k in range(writer.n_pieces) if k not in digests]
        if missing:
            shared = _Shared(
                opener, batch, dict(network.provenance), writer if workers.here else None
            )
            n_missing = sum(len(writer.rows(k)) for k in missing)
            there = f", {len(pictures) - n_missing} are there" if digests else ""
            shown = stage(f"{network.name}: {n_missing} pictures to do{there}", n_missing)
            items = (_item(k, [pictures[row] for row in writer.rows(k)]) for k in missing)
            with reproducible(1):
                for done in FewerAtOnce(workers, at_once).run(_piece, items, shared=shared):
                    if done.values is not None:
                        writer.write(done.piece, done.values)
                    digests[done.piece] = done.digests
                    shown(len(writer.rows(done.piece)))
        writer.finish(digests, {"finished": time_text()})
    return open_features(out)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every piece needs; ``writer``: where the work is done in this process, pieces are written side by side."""

    opener: NetworkOpener
    batch: int
    provenance: dict[str, Any]
    writer: StoreWriter | None


@dataclass(frozen=True, slots=True)
class _Item:
    piece: int
    pictures: tuple[tuple[StimulusPicture, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Done:
    piece: int
    digests: dict[str, str]
    values: Values | None


def _item(piece: int, pictures: Sequence[StimulusPicture]) -> _Item:
    return _Item(piece, tuple((picture, file_bytes(picture)) for picture in pictures))


def _piece(shared: _Shared, item: _Item) -> _Done:
    set_reproducible(1)
    network = shared.opener.network()
    _check_same(network, shared.provenance)
    values = {
        name: np.empty((len(item.pictures), math.prod(network.shape(name))), np.float32)
        for name in network.layers
    }
    for start in range(0, len(item.pictures), shared.batch):
        some = item.pictures[start : start + shared.batch]
        found = network.features([decoded(picture, data) for picture, data in some])
        for name in network.layers:
            _check_finite(found[name], name, network.name, [picture for picture, _ in some])
            values[name][start : start + len(some)] = found[name]
    digests = {name: piece_digest(rows) for name, rows in values.items()}
    if shared.writer is None:
        return _Done(item.piece, digests, values)
    shared.writer.write(item.piece, values)
    return _Done(item.piece, digests, None)


def _check_same(network: FeatureNetwork, expected: Mapping[str, Any]) -> None:
    """Refuse a worker whose network is not the one that the file's provenance tells of."""
    for key, found in network.provenance.items():
        if expected.get(key) != found:
            raise FeatureError(
                f"{network.name}: a worker has {key} {found}, expected {expected.get(key)} as here. Give all workers "
                "the same weights, versions and device."
            )


def _check_finite(
    values: NDArray[np.float32],
    layer: str,
    network: str,
    pictures: Sequence[StimulusPicture],
) -> None:
    if not (finite := np.isfinite(values).all(axis=1)).all():
        bad = pictures[int(np.argmin(finite))]
        raise FeatureError(
            f"{bad.path}: {network} gives values in {layer} that are no numbers, expected features. Check the weights."
        )


def _at_once(
    workers: Workers,
    layouts: Sequence[SpaceLayout],
    size: int,
    batch: int,
    device: str,
    memory: int | None,
) -> int:
    """Return how many pieces may be under way; see ``FewerAtOnce``."""
    if memory is None:
        return workers.n_slots
    values = 4 * size * sum(layout.n_features for layout in layouts)
    # Where it is done: its values, what is being compressed or sent of them, and the network's own. Here: results.
    within = ACTIVATION_BYTES if device == "cpu" else DECODED_BYTES
    each, here = 2 * values + batch * within, 2 * values
    n = memory // each
    if not workers.here:
        n = workers.n_slots if n >= workers.slots_per_process else n
        n = min(n, memory // here)
    if n < 1:
        raise ConfigError(
            f"features: {batch} pictures at a time take about {size_text(each)}, --memory gives {size_text(memory)}. "
            "Give more, or a smaller --batch."
        )
    return n
