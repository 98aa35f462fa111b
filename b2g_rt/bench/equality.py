"""One session decoded three ways: offline in one go, replayed in real time, replayed as fast as possible.

Identical windows and latents are the claim; it is bit for bit where provider, device, threads, batch and
ONNX Runtime version agree, as they do here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.bench.children import Child
from b2g_rt.bench.measured_service import bench_config, running, wait_for
from b2g_rt.contracts.messages import FrameMessage, Message, latent_of
from b2g_rt.contracts.samples import SampleArray
from b2g_rt.contracts.session import SessionFile
from b2g_rt.contracts.windows import Trial, WindowCutter, WindowScheduler, onset_index
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.service.models import Models, load_models
from b2g_rt.service.trial_decoder import TrialDecoder

# (trial, window_idx), free running (-1, first sample) -> (first sample, sample after the last, latent)
Decoded = dict[tuple[int, int], tuple[int, int, NDArray[np.float32]]]


def decoded_in_one_go(session: SessionFile, models: Models) -> Decoded:
    """Decode a whole recording at once: normalise it all, cut every window, decode one after the other.

    Parameters
    ----------
    session : SessionFile
        Without gaps.
    models : Models
    """
    bundle = models.bundle
    decoder = TrialDecoder(models.decoder.step, models.decoder.n_state, bundle.windows)
    spec = bundle.windows
    raw = models.channels.pick(session.mua(0, session.n_samples))
    normaliser = Normaliser(
        bundle.manifest.normalisation,
        bundle.channel_mean,
        bundle.channel_sd,
        spec.rate_hz,
        day_starts=(0,),
    )
    store = SampleArray(normaliser.push(raw))
    cutter = WindowCutter(spec, bundle.channels)
    scheduler = WindowScheduler(spec)
    first_s = session.time_s()[0]
    for i, marker in enumerate(session.markers()):
        onset = onset_index((marker.time_s - first_s) * spec.rate_hz)
        scheduler.add_trial(Trial(i, marker.text, marker.time_s, onset), 0)
    decoded: Decoded = {}
    for window in scheduler.due(session.n_samples):
        features = cutter.cut(store, window.start).values
        assert features is not None
        key = (window.trial.trial, window.window_idx) if window.trial else (-1, window.start)
        decoded[key] = (window.start, window.stop, decoder.decode(features, window))
    return decoded


def decoded_by_the_service(
    session: Path, speed: str, n_windows: int, timeout_s: float, *sets: str
) -> Decoded:
    """Replay a recording through LSL in chunks of 1 to 33 samples and collect what the service decodes."""
    decoded: Decoded = {}

    def see(message: Message) -> None:
        if isinstance(message, FrameMessage):
            latent = latent_of(message)
            if latent is not None:
                trial, k = message.trial, message.window_idx
                key = (-1, message.sample_start) if trial is None else (trial, k)
                decoded[key] = (message.sample_start, message.sample_stop, latent)

    with (
        running(bench_config(*sets), see),
        Child(
            "b2g_rt", "replay", session, "--speed", speed, "--random-chunks", 33, "--quiet"
        ) as player,
    ):
        wait_for(lambda: len(decoded) >= n_windows or not player.running, timeout_s)
        wait_for(lambda: len(decoded) >= n_windows, 5.0)
    return decoded


def compare(a: Decoded, b: Decoded) -> dict[str, Any]:
    """Return how two ways differ: windows in one only, other sample ranges, latents (largest difference)."""
    both = a.keys() & b.keys()
    same_range = [key for key in both if a[key][:2] == b[key][:2]]
    differences = [float(np.abs(a[key][2] - b[key][2]).max()) for key in both]
    identical = sum(a[key][2].tobytes() == b[key][2].tobytes() for key in both)
    return {
        "windows": len(a.keys() | b.keys()),
        "in_one_only": len(a.keys() ^ b.keys()),
        "same_samples": len(same_range),
        "bit_identical": identical,
        "largest_difference": max(differences, default=0.0),
    }


def three_ways(session: Path, *sets: str) -> dict[str, Any]:
    """Decode one session three ways and compare each replay with the offline result."""
    models = load_models(bench_config(*sets))
    with SessionFile(session) as file:
        offline = decoded_in_one_go(file, models)
        seconds = file.n_samples / file.info.rate_hz
    real_time = decoded_by_the_service(session, "1", len(offline), seconds + 60, *sets)
    top_speed = decoded_by_the_service(session, "max", len(offline), seconds + 60, *sets)
    return {
        "session": str(session),
        "decoder": models.decoder.record.as_dict(),
        "real_time": compare(offline, real_time),
        "top_speed": compare(offline, top_speed),
    }
