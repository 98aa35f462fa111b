"""Which pictures a stimulus set holds: seeds, z, classes, file names. Nothing is drawn here.

The paper's two sets are ``faces_plan`` and ``images_plan`` (Dado et al. 2024, "Brain2GAN", methods and notebooks).
For the drawing and the stimulus file. Must not know torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.stimuli.synthesis.classes import Lookup, class_indices, imagenet

PSI = 0.7
NOISE_MODE = "const"
"""The argument that the paper's scripts passed. These networks have no noise inputs: it changes nothing."""

TEST_SEED, N_TEST_FACES = 7, 100
TRAINING_SEED, N_TRAINING_FACES = 6, 4000
N_PER_CLASS = 20
NO_CLASS = -1
NO_SEED = -1


@dataclass(frozen=True, slots=True, eq=False)
class StimulusPlan:
    """The pictures of a set, in the order in which they are drawn.

    Attributes
    ----------
    kind : str
        ``faces``, ``images``, ``interpolation`` or ``arithmetic``.
    psi : float
        Truncation.
    ids : tuple of str
        Of the stimuli: the picture's file without its suffix, for example ``training/0001``.
    split : tuple of str
        ``test`` or ``training``; of other kinds, what the pictures are.
    seed, seed_row : int64, axes (stimulus,)
        z is row ``seed_row`` of ``RandomState(seed)``; -1: there is no seed.
    z : float32, axes (stimulus, z_dim)
        NaN where w does not come from a z.
    class_id : int64, axes (stimulus,)
        What the generator is asked for; -1: it has no classes.
    wnid : tuple of str
        Class of the list, empty where there is none; with the paper's lookup not always the one that is drawn.
    drawn_wnid : tuple of str
        WordNet id of ``class_id``.
    """

    kind: Literal["faces", "images", "interpolation", "arithmetic"]
    psi: float
    ids: tuple[str, ...]
    split: tuple[str, ...]
    seed: NDArray[np.int64] = field(repr=False)
    seed_row: NDArray[np.int64] = field(repr=False)
    z: NDArray[np.float32] = field(repr=False)
    class_id: NDArray[np.int64] = field(repr=False)
    wnid: tuple[str, ...] = field(repr=False)
    drawn_wnid: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def files(self) -> tuple[str, ...]:
        """Picture files, relative to the set's directory."""
        return tuple(f"{i}.png" for i in self.ids)

    @property
    def is_class_mean(self) -> NDArray[np.bool_]:
        """Which pictures are drawn from their class's mean latent; axes (stimulus,)."""
        return np.isnan(self.z).any(axis=1) & (self.class_id != NO_CLASS)

    def limited(self, n: int | None) -> StimulusPlan:
        """Return the first ``n`` pictures of each split; None: all."""
        if n is None:
            return self
        seen: dict[str, int] = {}
        kept = []
        for i, split in enumerate(self.split):
            seen[split] = seen.get(split, 0) + 1
            if seen[split] <= n:
                kept.append(i)
        return replace(
            self,
            ids=tuple(self.ids[i] for i in kept),
            split=tuple(self.split[i] for i in kept),
            seed=self.seed[kept],
            seed_row=self.seed_row[kept],
            z=self.z[kept],
            class_id=self.class_id[kept],
            wnid=tuple(self.wnid[i] for i in kept),
            drawn_wnid=tuple(self.drawn_wnid[i] for i in kept),
        )


def seeded_z(seed: int, n: int, z_dim: int) -> NDArray[np.float32]:
    """Return the first ``n`` z of a seed, axes (stimulus, z_dim), as the original programs draw them.

    The legacy generator on purpose: NumPy keeps its stream unchanged for ever.
    """
    drawn = np.random.RandomState(seed).randn(n, z_dim)  # noqa: NPY002
    return drawn.astype(np.float32)


def faces_plan(z_dim: int, psi: float = PSI) -> StimulusPlan:
    """Return the paper's faces: 100 for the test, then 4000 for training."""
    seeds = np.repeat([TEST_SEED, TRAINING_SEED], [N_TEST_FACES, N_TRAINING_FACES])
    n = len(seeds)
    ids = [f"test/{i + 1:04d}" for i in range(N_TEST_FACES)]
    ids += [f"training/{i + 1:04d}" for i in range(N_TRAINING_FACES)]
    z = [seeded_z(TEST_SEED, N_TEST_FACES, z_dim), seeded_z(TRAINING_SEED, N_TRAINING_FACES, z_dim)]
    return StimulusPlan(
        kind="faces",
        psi=psi,
        ids=tuple(ids),
        split=tuple(i.partition("/")[0] for i in ids),
        seed=seeds.astype(np.int64),
        seed_row=np.concatenate([np.arange(N_TEST_FACES), np.arange(N_TRAINING_FACES)]),
        z=np.concatenate(z),
        class_id=np.full(n, NO_CLASS, np.int64),
        wnid=("",) * n,
        drawn_wnid=("",) * n,
    )


def images_plan(
    z_dim: int, wnids: tuple[str, ...], lookup: Lookup = "id", psi: float = PSI
) -> StimulusPlan:
    """Return the paper's natural images: the mean of each class for the test, then 20 of each class for training.

    Parameters
    ----------
    z_dim : int
    wnids : tuple of str
        Classes in the order of the pictures.
    lookup : {'id', 'paper'}
        See ``class_indices``.
    psi : float
        Truncation of the training pictures toward their class's mean.
    """
    indices = np.array(class_indices(wnids, lookup), np.int64)
    n_classes = len(wnids)
    n_training = n_classes * N_PER_CLASS
    # The notebooks number training pictures on from the test pictures: 0201 to 4200.
    ids = [f"test/{i + 1:04d}" for i in range(n_classes)]
    ids += [f"training/{n_classes + i + 1:04d}" for i in range(n_training)]
    of_training = np.repeat(np.arange(n_classes), N_PER_CLASS)
    class_of = np.concatenate([np.arange(n_classes), of_training])
    without_seed = np.full(n_classes, NO_SEED, np.int64)
    z = [np.full((n_classes, z_dim), np.nan, np.float32)]
    z += [seeded_z(int(class_idx), N_PER_CLASS, z_dim) for class_idx in indices]
    table = imagenet()
    return StimulusPlan(
        kind="images",
        psi=psi,
        ids=tuple(ids),
        split=tuple(i.partition("/")[0] for i in ids),
        seed=np.concatenate([without_seed, indices[of_training]]),
        seed_row=np.concatenate([without_seed, np.tile(np.arange(N_PER_CLASS), n_classes)]),
        z=np.concatenate(z),
        class_id=indices[class_of],
        wnid=tuple(wnids[i] for i in class_of),
        drawn_wnid=tuple(table.wnids[indices[i]] for i in class_of),
    )
