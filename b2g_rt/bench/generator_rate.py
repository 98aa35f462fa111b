"""Pictures per second of a bundle's generator, one at a time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.providers import ProviderSettings

N_WARM_UP = 20


def picture_times(bundle: str, threads: int, n_pictures: int) -> dict[str, Any]:
    """Render latents around the mean.

    Returns
    -------
    dict
        ``threads``, ``provider``, ``ms`` {p50, p99}, ``pictures_per_s`` (of the median).
    """
    loaded = ModelBundle(bundle_path(bundle))
    generator = Generator(loaded, ProviderSettings(request="cpu", threads=threads))
    rng = np.random.default_rng(1)
    latents = loaded.latent_mean + rng.standard_normal((64, loaded.manifest.n_latents)).astype(
        np.float32
    )
    times = []
    for i in range(N_WARM_UP + n_pictures):
        begun = time.perf_counter()
        generator.render(latents[i % len(latents)])
        times.append(time.perf_counter() - begun)
    ms = 1000 * np.array(times[N_WARM_UP:])
    return {
        "threads": threads,
        "provider": generator.record.provider,
        "ms": {"p50": float(np.quantile(ms, 0.5)), "p99": float(np.quantile(ms, 0.99))},
        "pictures_per_s": float(1000 / np.quantile(ms, 0.5)),
    }
