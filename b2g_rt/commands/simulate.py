"""Write a simulated session: the bundle's stimuli, shown to the macaque that the bundle was fitted on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import BundleError
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.session_writer import write_session

DEMO_SEED = 7000


def simulate_session(
    bundle: ModelBundle,
    path: Path,
    *,
    n_trials: int | None = None,
    seed: int = DEMO_SEED,
    channels: ChannelMap | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Simulate and write a session file.

    Parameters
    ----------
    bundle : ModelBundle
        Its stimuli are shown; one trial each, in order, and over again for more.
    path : Path
    n_trials : int, optional
        By default one per stimulus.
    seed : int
        Of the noise: another seed is another recording of the same animal.
    channels : ChannelMap, optional
        Of the stream; the bundle's by default.
    progress : callable (done, total) in samples, optional

    Raises
    ------
    BundleError
        The bundle knows no stimuli, or was not fitted on this release's simulator.
    SessionError
        The file cannot be written.
    """
    stimuli = bundle.stimuli
    if not stimuli.ids:
        raise BundleError(f"bundle {bundle.path}: holds no stimuli, expected some to show.")
    macaque = recorded_macaque(
        bundle.manifest.training, channels or bundle.channels, f"bundle {bundle.path}"
    )
    order = np.arange(n_trials or len(stimuli.ids)) % len(stimuli.ids)
    write_session(
        path, macaque, stimuli.ids, stimuli.latent, order.tolist(), seed, progress=progress
    )


def demo_session_path(bundle: ModelBundle, folder: Path, n_trials: int) -> Path:
    """Return where the demo's session for this very bundle lies."""
    return folder / f"demo-{bundle.hash[:12]}-{n_trials}-trials-seed-{DEMO_SEED}.h5"
