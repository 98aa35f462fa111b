"""Linear kernels of feature spaces that are too wide to be held: K = B B' summed over blocks of features.

Features are centred by their training mean before they are multiplied: were it done to the kernel alone, float32
would have rounded it to the size of the mean already. What rounding leaves is taken off the sum, in float64.
The next block is read while one is multiplied. A piece of work is FEATURES_PER_PIECE features; pieces are summed in
float64, in their order, whoever did them. Test stimuli come along in the same pass, so features are read once.
Knows nothing of responses or regularisation. Axes are (stimulus, feature), (stimulus, training stimulus).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError, EncodingError
from offline.encoding.array_library import Dtype, library_of
from offline.encoding.space_reading import check_finite
from offline.features.feature_space import FeatureSpace, Rows
from offline.scheduling.memory import size_text
from offline.scheduling.workers import Workers

Float64 = NDArray[np.float64]
Piece = tuple[NDArray[np.floating], NDArray[np.floating], float]

FEATURES_PER_PIECE = 16384
BLOCK_BYTES = 96 * 1024**2
"""Of one block as it is multiplied; larger ones are not faster."""
SMALLEST_BLOCK = 64
"""Features."""
STRIP = 512
"""Stimuli: what is done to a whole kernel is done to so many columns at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Products of features.

    Attributes
    ----------
    train : float64, axes (training stimulus, training stimulus)
        Symmetric; if centred, rows sum to 0.
    across : float64, axes (other stimulus, training stimulus)
    taken_off : float
        Sum of squares of what centring took off the training features; 0 if not centred.
    """

    train: Float64
    across: Float64
    taken_off: float = 0.0


def linear_kernels(
    space: FeatureSpace,
    train: Rows,
    other: Rows,
    *,
    centre: bool = True,
    dtype: Dtype = "float32",
    device: str = "cpu",
    workers: Workers | None = None,
    memory: int | None = None,
    block_features: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Kernels:
    """Return the kernel of training stimuli and that of others with them.

    Parameters
    ----------
    space : FeatureSpace
        Workers of a cluster are sent it: one in a file sends its path.
    train, other : int, axes (stimulus,)
        Rows of ``space``.
    centre : bool
        Whether features are taken minus their mean over ``train``.
    dtype : {'float32', 'float64'}
        Of the products within a piece.
    device : str
        See ``library_of``.
    workers : Workers, optional
        Without, one piece after the other on all processors.
    memory : int, optional
        Bytes that the work may take in each process.
    block_features : int, optional
        Features that are multiplied at once; by default what BLOCK_BYTES and ``memory`` allow. Changes rounding only.
    progress : callable, optional
        Called with 1 after each of ``n_pieces``.

    Raises
    ------
    EncodingError
        Features that are not finite, or so large that their products are not.
    ConfigError
        ``memory`` is too little for one piece with the smallest block.
    """
    workers = suited(workers, device)
    sizes = (len(train), len(other))
    slots = workers.slots_per_process if workers is not None else 1
    together, width = _fitting(sizes, dtype, memory, min(slots, n_pieces(space)), block_features)
    at_once = workers.n_slots if workers is not None and together >= slots else together
    work = _Work(space, train, other, centre, dtype, device, width)
    total = np.zeros((len(train), len(train)), order="F")
    across = np.zeros((len(other), len(train)))
    taken_off = 0.0
    for square, cross, mean_squares in _done(work, workers, at_once, progress):
        total += square
        across += cross
        taken_off += len(train) * mean_squares
    if not np.isfinite(total.trace()):
        raise EncodingError(
            f"features {space.name}: too large to be multiplied in {dtype}, expected moderate ones. Scale them."
        )
    _mirror(total)
    if centre:
        _centre(total, across)
    return Kernels(total, across, taken_off)


def across_kernel(
    space: FeatureSpace, train: Rows, other: Rows, *, centre: bool, dtype: Dtype = "float32"
) -> Float64:
    """Return the kernel of other stimuli with training stimuli, float64, axes (other stimulus, training stimulus).

    Notes
    -----
    As ``linear_kernels`` gives it, up to rounding, without the products of training stimuli.
    """
    width = _block((len(train), len(other)), dtype)
    work = _Work(space, train, other, centre, dtype, "cpu", width)
    found = np.zeros((len(other), len(train)))
    for block, _ in _blocks(work, slice(0, space.n_features)):
        found += block[len(train) :] @ block[: len(train)].T
    return found


def suited(workers: Workers | None, device: str) -> Workers | None:
    """Return workers, or none where they are threads that would share one GPU."""
    here = workers is not None and workers.here
    return None if here and not library_of(device).shares_processor else workers


def n_pieces(space: FeatureSpace) -> int:
    """Return into how many pieces of work a kernel is cut."""
    return -(-space.n_features // FEATURES_PER_PIECE)


def kernel_bytes(
    n_train: int, n_other: int, block_features: int, dtype: Dtype, together: int
) -> int:
    """Return how much memory kernels take at most while they are summed.

    Parameters
    ----------
    n_train, n_other : int
        Stimuli.
    block_features : int
    dtype : {'float32', 'float64'}
    together : int
        Pieces under way in one process.
    """
    item = np.dtype(dtype).itemsize
    products = n_train * (n_train + n_other)
    # One block is multiplied, one is read, and one of float32 is where that is made into float64.
    blocks = (2 * item + 4) * (n_train + n_other) * block_features
    return together * (2 * item * products + blocks) + 2 * 8 * products


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    space: FeatureSpace
    train: Rows
    other: Rows
    centre: bool
    dtype: Dtype
    device: str
    block_features: int


def _done(
    work: _Work, workers: Workers | None, at_once: int, progress: Callable[[int], None] | None
) -> Iterator[Piece]:
    n = work.space.n_features
    columns = [slice(i, min(i + FEATURES_PER_PIECE, n)) for i in range(0, n, FEATURES_PER_PIECE)]
    if workers is not None:
        yield from workers.run(_piece, columns, shared=work, at_once=at_once, progress=progress)
        return
    for one in columns:
        yield _piece(work, one)
        if progress:
            progress(1)


def _piece(work: _Work, columns: slice) -> Piece:
    """Return the products of some features, of the work's dtype; of training stimuli the upper triangle is meant."""
    sums = library_of(work.device).sums(len(work.train), len(work.other), work.dtype)
    taken_off = 0.0
    for block, mean_squares in _blocks(work, columns):
        sums.add(block)
        taken_off += mean_squares
    return *sums.totals(), taken_off


def _blocks(work: _Work, columns: slice) -> Iterator[tuple[NDArray[np.floating], float]]:
    """Yield features in blocks, axes (training stimulus then other stimulus, feature); the next is being read.

    Beside each: the sum of squares of the mean that was taken off.
    """
    rows = np.concatenate([work.train, work.other])
    starts = range(columns.start, columns.stop, work.block_features)
    parts = [slice(i, min(i + work.block_features, columns.stop)) for i in starts]
    with ThreadPoolExecutor(1, thread_name_prefix="features") as reader:
        coming = reader.submit(_block_of, work, rows, parts[0])
        for following in [*parts[1:], None]:
            found = coming.result()
            if following is not None:
                coming = reader.submit(_block_of, work, rows, following)
            yield found


def _block_of(work: _Work, rows: Rows, columns: slice) -> tuple[NDArray[np.floating], float]:
    block = np.ascontiguousarray(work.space.block(rows, columns), work.dtype)
    if work.centre and not block.flags.owndata:
        # A view of what the space keeps must not be changed.
        block = block.copy()
    n = len(work.train)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _mean(block[:n])
        suspicious = not np.isfinite(mean).all() or not np.isfinite(block[n:].sum())
    if suspicious:
        check_finite(work.space, rows, columns.start, block)
    if not work.centre:
        return block, 0.0
    block -= mean
    # A mean of float32 is as far off as its own rounding; that of what is left is not.
    block -= _mean(block[:n])
    return block, float(np.square(mean, dtype=np.float64).sum())


def _mean(block: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean over stimuli, axes (feature,).

    Not by BLAS: its idle threads keep waiting on the processors that multiply the block before this one.
    """
    return np.asarray(np.add.reduce(block, axis=0) / block.dtype.type(len(block)))


def _mirror(square: Float64) -> None:
    """Copy the upper triangle into the lower one."""
    n = len(square)
    for start in range(0, n, STRIP):
        stop = min(start + STRIP, n)
        corner = square[start:stop, start:stop]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
        square[stop:, start:stop] = square[start:stop, stop:].T


def _centre(square: Float64, across: Float64) -> None:
    """Take off what rounding left of the means."""
    column = square.mean(axis=0)
    across -= across.mean(axis=1, keepdims=True)
    across -= column - column.mean()
    # So that it stays symmetric to the last bit.
    half = column - 0.5 * column.mean()
    for start in range(0, len(square), STRIP):
        square[:, start : start + STRIP] -= half[:, None] + half[start : start + STRIP]


def _block(sizes: tuple[int, int], dtype: Dtype) -> int:
    """Return as many features as BLOCK_BYTES hold, a power of 2: chunks of files are such, too."""
    fitting = BLOCK_BYTES // (np.dtype(dtype).itemsize * sum(sizes))
    return min(FEATURES_PER_PIECE, 1 << (max(SMALLEST_BLOCK, fitting).bit_length() - 1))


def _fitting(
    sizes: tuple[int, int], dtype: Dtype, memory: int | None, together: int, wanted: int | None
) -> tuple[int, int]:
    """Return pieces under way in a process and features of a block that ``memory`` allows."""
    largest = wanted or _block(sizes, dtype)
    if memory is None:
        return together, largest
    for n in range(together, 0, -1):
        block = largest
        while True:
            if kernel_bytes(*sizes, block, dtype, n) <= memory:
                return n, block
            # Fewer pieces at once, rather than tiny blocks.
            if wanted or block <= (SMALLEST_BLOCK if n == 1 else 8 * SMALLEST_BLOCK):
                break
            block //= 2
    needed = kernel_bytes(*sizes, wanted or SMALLEST_BLOCK, dtype, 1)
    raise ConfigError(
        f"encoding: the kernel of {sizes[0]} training and {sizes[1]} other stimuli takes {size_text(needed)}, "
        f"{size_text(memory)} of --memory are left for it. Give more, or fit fewer stimuli."
    )
