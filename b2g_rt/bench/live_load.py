"""Latency and load of the whole service beside bare receipt of the same stream in the same run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from b2g_rt.bench.children import Child
from b2g_rt.bench.measured_service import Meter, bench_config, running, wait_for
from b2g_rt.commands.live import Live
from b2g_rt.contracts.messages import FrameMessage, Message
from b2g_rt.errors import SetupError

FREE_RUNNING = "simulated-faces-fixed"
_SETTLE_SAMPLES = 2000


def stream_sets(channels: Path) -> tuple[str, ...]:
    """Return the settings for a stream of 1024 columns."""
    return (f"channels={channels}", "streams.markers.name=stimuli")


class Stages:
    """Listens to a service and keeps how long each stage took."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float]] = []

    def __call__(self, message: Message) -> None:
        """Take one message."""
        if isinstance(message, FrameMessage) and message.stamps.decoded is not None:
            stamps = message.stamps
            self._rows.append((stamps.due - stamps.received, message.stamps.decoded - stamps.due))

    def medians(self) -> dict[str, float]:
        """Return the median of pull to cut and of cut to latent, ms."""
        to_cut, to_latent = 1000 * np.median(np.array(self._rows), axis=0)
        return {"pull_to_cut": float(to_cut), "cut_to_latent": float(to_latent)}


def decode_latency(seconds: float, channels: Path) -> dict[str, Any]:
    """Free-running decoding: 1024 columns, 1 kHz, 10-sample chunks, a window every 25 ms.

    Returns
    -------
    dict
        ``decode_ms``, ``sample_to_latent_ms`` {p50, p99, max}, ``stages_ms`` (medians),
        ``decoder_alone_ms`` (median), ``cpu_share`` of one core (whole service without
        generator and display), ``windows`` {due, decoded, dropped}, ``samples`` and, of the peer, ``receipt_ms``,
        ``receipt_cpu_share``.
    """
    config = bench_config(f"bundle={FREE_RUNNING}", *stream_sets(channels))
    meter, stages = Meter(), Stages()
    with (
        Child("b2g_rt.bench.noise_outlet", "--seconds", seconds + 5, "--readers", 2) as outlet,
        Child("b2g_rt.bench.bare_receipt", "--seconds", seconds) as peer,
        running(config, stages) as live,
    ):
        progress = live.service.progress
        _flowing(live)
        meter.start()
        wanted = _SETTLE_SAMPLES + seconds * 1000
        wait_for(
            lambda: live.service.ledgers[0].received >= wanted or not outlet.running, seconds + 30
        )
        share = meter.stop()
        received = peer.result(30.0)
        ledger = live.service.ledgers[0]
        decode, to_latent = progress.decode.session(), progress.sample_to_latent.session()
        return {
            "seconds": seconds,
            "decode_ms": asdict(decode) if decode else None,
            "sample_to_latent_ms": asdict(to_latent) if to_latent else None,
            "stages_ms": stages.medians(),
            "decoder_alone_ms": _decoder_alone_ms(live),
            "cpu_share": share,
            "windows": {
                "due": progress.windows_due,
                "decoded": progress.windows_decoded,
                "dropped": progress.windows_dropped,
            },
            "samples": asdict(ledger),
            "receipt_ms": received["receipt_ms"],
            "receipt_cpu_share": received["cpu_share"],
            "provider": live.models.decoder.record.provider,
        }


def _decoder_alone_ms(live: Live) -> float:
    """Return the median time of the decoder by itself, back to back: the floor of cut to latent, ms."""
    decoder = live.models.decoder
    features = np.zeros(live.models.bundle.channels.n_channels, np.float32)
    state = np.zeros(decoder.n_state, np.float32)
    times = []
    for _ in range(500):
        begun = time.perf_counter()
        decoder.step(features, 0, state)
        times.append(time.perf_counter() - begun)
    return float(1000 * np.median(times))


def idle_load(seconds: float, channels: Path) -> dict[str, Any]:
    """Load of a started service without a stream, and with a stream but no trials (beside bare receipt).

    Returns
    -------
    dict
        ``no_stream_cpu_share``, ``no_trials_cpu_share``, ``receipt_cpu_share``.
    """
    config = bench_config(*stream_sets(channels))
    meter = Meter()
    with running(config) as live:
        # Loading and the first look for streams are not idling.
        wait_for(lambda: False, 2.0)
        meter.start()
        wait_for(lambda: False, seconds)
        no_stream = meter.stop()
        with (
            Child("b2g_rt.bench.noise_outlet", "--seconds", seconds + 8, "--readers", 2) as outlet,
            Child("b2g_rt.bench.bare_receipt", "--seconds", seconds) as peer,
        ):
            _flowing(live)
            meter.start()
            wanted = _SETTLE_SAMPLES + seconds * 1000
            wait_for(
                lambda: live.service.ledgers[0].received >= wanted or not outlet.running,
                seconds + 30,
            )
            no_trials = meter.stop()
            received = peer.result(30.0)
    return {
        "seconds": seconds,
        "no_stream_cpu_share": no_stream,
        "no_trials_cpu_share": no_trials,
        "receipt_cpu_share": received["cpu_share"],
    }


def _flowing(live: Live) -> None:
    if not wait_for(lambda: live.service.ledgers[0].received >= _SETTLE_SAMPLES, 60.0):
        raise SetupError("bench: no samples within 60 s. Run: b2g-rt doctor")
