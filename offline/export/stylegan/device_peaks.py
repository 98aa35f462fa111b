"""What devices can do at most: data sheets of some GPUs, and this machine as measured. For the profiler's floors.

The GPUs' numbers are the maker's peaks, dense (without sparsity) and at boost clock; what a program reaches is less.
They give a lower bound on the time, an estimate, never a measurement. Must not know networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from b2g_rt.errors import ConfigError
from offline.stimuli.stylegan.costs import Peaks

_MATRIX = 1024
_COPIED_BYTES = 128 * 2**20
_REPEATS = 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by its data sheet.

    Attributes
    ----------
    name : str
    peaks : Peaks
        Matrix products: tensor cores, float16 with sums in float32. Filters: ordinary cores, float32. Memory.
    source : str
        Where the numbers stand.
    """

    name: str
    peaks: Peaks
    source: str


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("H100", Peaks(989e3, 67e3, 3350), "NVIDIA H100 data sheet, SXM"),
        Gpu("A100", Peaks(312e3, 19.5e3, 2039), "NVIDIA A100 data sheet, SXM 80 GB"),
        Gpu("L40S", Peaks(362e3, 91.6e3, 864), "NVIDIA L40S data sheet"),
        Gpu("RTX 4090", Peaks(165e3, 82.6e3, 1008), "NVIDIA Ada GPU architecture, appendix A"),
        Gpu("RTX 3090", Peaks(71e3, 35.6e3, 936), "NVIDIA GA102 GPU architecture, appendix A"),
        Gpu("T4", Peaks(65e3, 8.1e3, 320), "NVIDIA T4 data sheet"),
    )
}


def gpu_named(text: str) -> Gpu:
    """Return a GPU by name, or one made of ``TFLOPS,GB/s``.

    Raises
    ------
    ConfigError
        Neither.
    """
    known = {name.lower().replace(" ", ""): gpu for name, gpu in GPUS.items()}
    found = known.get(text.lower().replace(" ", ""))
    if found is not None:
        return found
    numbers = text.split(",")
    try:
        tflops, gb_per_s = map(float, numbers)
    except ValueError:
        tflops = gb_per_s = 0.0
    if tflops <= 0 or gb_per_s <= 0 or not np.isfinite([tflops, gb_per_s]).all():
        raise ConfigError(
            f"--gpu {text}: unknown, expected {', '.join(GPUS)}, or its TFLOPS and GB/s with a comma between, as in "
            "--gpu 165,1008."
        )
    peaks = Peaks(1e3 * tflops, 1e3 * tflops, gb_per_s)
    return Gpu(f"{tflops:g} TFLOPS, {gb_per_s:g} GB/s", peaks, "given")


def machine_peaks(threads: int) -> Peaks:
    """Measure this machine: ``sgemm_gflop_per_s``, and a copy of 128 MB (read and written).

    The best of 30; takes about a second.
    """
    import torch

    gflop_per_s = sgemm_gflop_per_s(threads)
    with _threads(threads):
        source = torch.ones(_COPIED_BYTES // 4)
        goal = torch.empty_like(source)
        copy_s = _best(lambda: goal.copy_(source))
    return Peaks(gflop_per_s, gflop_per_s, 2 * _COPIED_BYTES / copy_s / 1e9)


def sgemm_gflop_per_s(threads: int) -> float:
    """Return what torch reaches on this machine with a float32 product of 1024 x 1024 matrices (the best of 30)."""
    import torch

    with _threads(threads):
        a = torch.ones(_MATRIX, _MATRIX)
        product = torch.empty_like(a)
        product_s = _best(lambda: torch.mm(a, a, out=product))
    return 2 * _MATRIX**3 / product_s / 1e9


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)
