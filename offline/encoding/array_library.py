"""Where kernels are worked on: NumPy with its BLAS on the CPU, or torch on a GPU (or the CPU), behind one face.

Both kinds of array know @, slices, .T and arithmetic, so the code that uses them is the same; what differs is here.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Dtype = Literal["float32", "float64"]
Float64 = NDArray[np.float64]

# Rows of a kernel that torch adds to at once: wide enough for a GPU, and half a strip of work in vain for each.
STRIP = 1024


class KernelSums(Protocol):
    """B B' and T B', summed over blocks of features; B: training stimuli, T: others."""

    def add(self, block: NDArray[np.floating]) -> None:
        """Add a block, axes (training stimulus then other stimulus, feature), C order, of the sums' dtype."""

    def totals(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return B B' (upper triangle only is meant) and T B', axes (.., training stimulus)."""


class ArrayLibrary(Protocol):
    """What the kernel room asks of NumPy or torch."""

    @property
    def shares_processor(self) -> bool:
        """Whether it computes on the processors of this machine, so that pieces side by side are faster."""

    def array(self, values: Any, dtype: Dtype) -> Any:
        """Return an array of this library, of NumPy's or one of its own."""

    def numpy(self, values: Any) -> NDArray[Any]:
        """Return a NumPy array."""

    def eigh(self, symmetric: Any) -> tuple[Any, Any]:
        """Return eigenvalues, ascending, and eigenvectors, axes (row, component)."""

    def solved(self, positive: Any, right: Any) -> Any:
        """Return positive^-1 right by Cholesky; ``positive`` may be overwritten.

        Raises
        ------
        numpy.linalg.LinAlgError
            It is not positive definite.
        """

    def sums(self, n_train: int, n_other: int, dtype: Dtype) -> KernelSums:
        """Return sums that are 0."""


def library_of(device: str) -> ArrayLibrary:
    """Return the library of a device.

    Parameters
    ----------
    device : str
        ``cpu``: NumPy and SciPy; ``cuda`` or ``cuda:1``: torch there; ``torch``: torch on the CPU; ``auto``: CUDA where
        there is a device, else ``cpu``.

    Raises
    ------
    ProviderError
        There is no such device.
    """
    if device == "cpu":
        return _NumPy()
    from offline.stimuli.devices import device_named

    found = device_named("cpu" if device == "torch" else device)
    if device == "auto" and found.type == "cpu":
        return _NumPy()
    return _Torch(found)


class _NumPy:
    shares_processor = True

    def array(self, values: Any, dtype: Dtype) -> Any:
        return np.asarray(values, dtype)

    def numpy(self, values: Any) -> NDArray[Any]:
        return np.asarray(values)

    def eigh(self, symmetric: Any) -> tuple[Any, Any]:
        values, vectors = np.linalg.eigh(symmetric)
        return values, vectors

    def solved(self, positive: Any, right: Any) -> Any:
        from scipy.linalg import cho_factor, cho_solve

        # LAPACK's order of a symmetric array in C's order is its transpose: nothing is copied.
        factor = cho_factor(positive.T, lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, right, check_finite=False)

    def sums(self, n_train: int, n_other: int, dtype: Dtype) -> KernelSums:
        return _BlasSums(n_train, n_other, dtype)


class _BlasSums:
    """By ?syrk, which does half the work of a product, into the same memory every time."""

    def __init__(self, n_train: int, n_other: int, dtype: Dtype) -> None:
        from scipy.linalg.blas import get_blas_funcs

        self._square = np.zeros((n_train, n_train), dtype, order="F")
        self._across = np.zeros((n_train, n_other), dtype, order="F")
        self._syrk, self._gemm = get_blas_funcs(("syrk", "gemm"), (self._square,))

    def add(self, block: NDArray[np.floating]) -> None:
        n = len(self._square)
        # In Fortran's order: features are rows, and nothing is copied.
        train, other = block[:n].T, block[n:].T
        self._square = self._syrk(
            1.0, train, beta=1.0, c=self._square, trans=1, lower=0, overwrite_c=1
        )
        if other.shape[1]:
            self._across = self._gemm(
                1.0, train, other, beta=1.0, c=self._across, trans_a=1, overwrite_c=1
            )

    def totals(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        return self._square, self._across.T


class _Torch:
    def __init__(self, device: Any) -> None:
        self._device = device

    @property
    def shares_processor(self) -> bool:
        return bool(self._device.type == "cpu")

    def array(self, values: Any, dtype: Dtype) -> Any:
        import torch

        ours = isinstance(values, torch.Tensor)
        held = values if ours else torch.from_numpy(np.ascontiguousarray(values))
        return held.to(self._device, getattr(torch, dtype))

    def numpy(self, values: Any) -> NDArray[Any]:
        return np.asarray(values.cpu().numpy())

    def eigh(self, symmetric: Any) -> tuple[Any, Any]:
        import torch

        values, vectors = torch.linalg.eigh(symmetric)
        return values, vectors

    def solved(self, positive: Any, right: Any) -> Any:
        import torch

        factor, failed = torch.linalg.cholesky_ex(positive)
        if int(failed):
            raise np.linalg.LinAlgError(f"leading minor {int(failed)} is not positive definite")
        return torch.cholesky_solve(right, factor)

    def sums(self, n_train: int, n_other: int, dtype: Dtype) -> KernelSums:
        return _TorchSums(self, n_train, n_other, dtype)


class _TorchSums:
    """By strips of the upper triangle: torch has no symmetric product."""

    def __init__(self, library: _Torch, n_train: int, n_other: int, dtype: Dtype) -> None:
        self._library, self._dtype = library, dtype
        self._square = library.array(np.zeros((n_train, n_train), dtype), dtype)
        self._across = library.array(np.zeros((n_other, n_train), dtype), dtype)

    def add(self, block: NDArray[np.floating]) -> None:
        held = self._library.array(block, self._dtype)
        n = len(self._square)
        for start in range(0, n, STRIP):
            rows = slice(start, min(start + STRIP, n))
            self._square[rows, start:].addmm_(held[rows], held[start:n].T)
        if len(self._across):
            self._across.addmm_(held[n:], held[:n].T)

    def totals(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        return self._library.numpy(self._square), self._library.numpy(self._across)
