"""Record streams as they come, without decoding anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from b2g_rt.commands.live import lsl_source, stop_on_signals, use_lsl_config
from b2g_rt.commands.serve import tell_recorded
from b2g_rt.config import Config
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.messages import VERSION, EventMessage
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.outputs.recorder import Recorder
from b2g_rt.service.models import bundle_path, stream_channels


def record(config: Config, path: Path, seconds: float | None, console: Console) -> None:
    """Record until SIGINT, SIGTERM or ``seconds`` of samples; never overwrites a file.

    Raises
    ------
    B2GError
        No such stream, wrong channels, the file cannot be made.
    """
    use_lsl_config(config)
    bundle = ModelBundle(bundle_path(config.bundle))
    channels = stream_channels(config, bundle)
    rate_hz = bundle.windows.rate_hz
    wanted = None if seconds is None else round(seconds * rate_hz)
    with lsl_source(config, channels, rate_hz) as source, stop_on_signals() as stop:
        stream = source.connect()
        info = SessionInfo(
            rate_hz, bundle.manifest.unit, channels, stream.simulated, stream.speed, {}
        )
        with Recorder(
            path,
            info,
            channels.n_stream_channels,
            flush_s=config.record.flush_s,
            images="none",
            on_trouble=lambda level, text: console.print(f"{level}: {text}"),
        ) as recorder:
            console.print(f"recording '{config.streams.mua.name}' to {path}; stop with Ctrl-C")
            while not stop.is_set():
                chunk = source.read(0.2)
                for run in chunk.placed:
                    index = np.arange(run.index, run.stop, dtype=np.int64)
                    recorder.samples(run.rows, run.stamps, index)
                for marker in chunk.markers:
                    recorder.marker(marker.time_s, marker.text)
                for event in chunk.events:
                    console.print(f"{event.level}: {event.text}")
                    recorder.event(
                        EventMessage(
                            version=VERSION,
                            kind=event.kind,
                            level=event.level,
                            text=event.text,
                            time_s=event.time_s,
                        )
                    )
                if chunk.state == "ended":
                    break
                if wanted is not None and chunk.mua.received >= wanted:
                    break
        ledger = chunk.mua
        console.print(
            f"{ledger.received} of {ledger.expected} samples received, {ledger.lost} lost"
        )
        tell_recorded(recorder, console)
