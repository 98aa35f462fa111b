"""Pictures per second of a generator, one at a time: a bundle's, or a bare ONNX file's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.errors import BundleError
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.onnx_file import read_facts
from b2g_rt.inference.onnx_model import OnnxModel, SessionRecord
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec

N_WARM_UP = 20
_N_LATENTS = 64

Render = Callable[[NDArray[np.float32]], object]


def picture_times(model: str, settings: ProviderSettings, n_pictures: int) -> dict[str, Any]:
    """Render latents around the mean (of a bare ONNX file: around 0) and time each run, copies included.

    Parameters
    ----------
    model : str
        A bundle, by name or directory, or an ONNX file (``w`` -> ``image``).
    settings : ProviderSettings
    n_pictures : int

    Returns
    -------
    dict
        ``threads``, ``provider``, ``precision``, ``cuda_graph``, ``first_ms`` (the first of the warm-up), ``ms``
        {p50, p99}, ``pictures_per_s`` (of the median).

    Raises
    ------
    BundleError, ProviderError
        The model cannot be opened.
    """
    render, mean, record = (
        _bare(Path(model), settings) if model.endswith(".onnx") else _of_bundle(model, settings)
    )
    rng = np.random.default_rng(1)
    latents = mean + rng.standard_normal((_N_LATENTS, len(mean))).astype(np.float32)
    times = []
    for i in range(N_WARM_UP + n_pictures):
        begun = time.perf_counter()
        render(latents[i % _N_LATENTS])
        times.append(time.perf_counter() - begun)
    ms = 1000 * np.array(times)
    p50, p99 = np.quantile(ms[N_WARM_UP:], [0.5, 0.99])
    return {
        "threads": settings.threads,
        "provider": record.provider,
        "precision": record.precision,
        "cuda_graph": record.cuda_graph,
        "first_ms": float(ms[0]),
        "ms": {"p50": float(p50), "p99": float(p99)},
        "pictures_per_s": float(1000 / p50),
    }


def _of_bundle(
    name: str, settings: ProviderSettings
) -> tuple[Render, NDArray[np.float32], SessionRecord]:
    bundle = ModelBundle(bundle_path(name))
    generator = Generator(bundle, settings)
    return generator.render, bundle.latent_mean, generator.record


def _bare(
    path: Path, settings: ProviderSettings
) -> tuple[Render, NDArray[np.float32], SessionRecord]:
    if not path.exists():
        raise BundleError(f"{path}: no such file, expected an ONNX generator. Check the path.")
    facts = read_facts(path)
    w, image = facts.inputs.get("w", ()), facts.outputs.get("image", ())
    if len(w) != 3 or len(image) != 4 or not isinstance(w[-1], int):
        raise BundleError(
            f"{path}: w {w}, image {image}, expected w (N, K, latent) and image (N, rgb, row, col) or "
            "(N, row, col, rgb). Export it with b2g-offline export-generator."
        )
    # Free dimensions are batch and the repetitions of w: one of each.
    w_shape = tuple(n if isinstance(n, int) else 1 for n in w)
    image_shape = tuple(n if isinstance(n, int) else 1 for n in image)
    dtype = "uint8" if image_shape[-1] == 3 else "float32"
    model = OnnxModel(
        path, settings, {"w": TensorSpec(w_shape)}, {"image": TensorSpec(image_shape, dtype)}
    )

    def render(latent: NDArray[np.float32]) -> object:
        return model.run({"w": np.broadcast_to(latent, w_shape)})

    return render, np.zeros(w_shape[-1], np.float32), model.record
