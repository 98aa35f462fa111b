"""Record streams as they come, without decoding anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from b2g_rt.commands.live import lsl_source, stop_on_signals, use_lsl_config
from b2g_rt.commands.progress import ticker
from b2g_rt.commands.serve import tell_recorded
from b2g_rt.config import Config
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.messages import VERSION, EventMessage, Ledger
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.errors import StreamError
from b2g_rt.outputs.recorder import Recorder
from b2g_rt.outputs.session_writer import create_exclusively
from b2g_rt.service.models import stream_channels
from b2g_rt.sources.chunk import Chunk, Source, SourceEvent
from b2g_rt.sources.lsl_clock import lsl_clock

_READ_TIMEOUT_S = 0.2


def record(config: Config, path: Path, seconds: float | None, console: Console) -> None:
    """Record until SIGINT, SIGTERM or ``seconds`` of samples; never overwrites a file.

    Raises
    ------
    B2GError
        No such stream, wrong channels, the file cannot be made.
    KeyboardInterrupt
        SIGINT before anything is recorded.
    """
    use_lsl_config(config)
    bundle = ModelBundle(bundle_path(config.bundle))
    channels = stream_channels(config, bundle)
    rate_hz = bundle.windows.rate_hz
    _try_to_make(path)
    with lsl_source(config, channels, rate_hz) as source:
        stream = source.connect()
        info = SessionInfo(
            rate_hz, bundle.manifest.unit, channels, stream.simulated, stream.speed, {}
        )
        with (
            stop_on_signals() as stop,
            Recorder(
                path,
                info,
                channels.n_stream_channels,
                flush_s=config.record.flush_s,
                images="none",
                on_trouble=lambda level, text: _line(console, f"{level}: {text}"),
            ) as recorder,
        ):
            _line(console, f"recording '{config.streams.mua.name}' to {path}; stop with Ctrl-C")
            recording = _Recording(source, recorder, console)
            recording.run(stop, None if seconds is None else round(seconds * rate_hz))
        ledger = recording.ledger
        _line(
            console, f"{ledger.received} of {ledger.expected} samples received, {ledger.lost} lost"
        )
        tell_recorded(recorder, console)


class _Recording:
    """Moves what a source hands out into a recorder, and says what happens."""

    def __init__(self, source: Source, recorder: Recorder, console: Console) -> None:
        self._source = source
        self._recorder = recorder
        self._console = console
        self._now = lsl_clock()
        self._refused = ""
        self._n_markers = 0
        self.ledger = Ledger()

    def run(self, stop: threading.Event, wanted: int | None) -> None:
        """Loop until ``stop`` is set, ``wanted`` samples were received, or the source is exhausted."""
        with ticker(self._console) as tick:
            self._run(stop, wanted, tick)

    def _run(self, stop: threading.Event, wanted: int | None, tick: Callable[[str], None]) -> None:
        while not stop.is_set():
            try:
                chunk = self._source.read(_READ_TIMEOUT_S)
            except StreamError as error:
                # A stream that does not fit must not end a recording: the right one may still come.
                self._refuse(str(error))
                stop.wait(_READ_TIMEOUT_S)
                continue
            self._take(chunk)
            tick(
                f"{self.ledger.received} samples, {self.ledger.lost} lost; {self._n_markers} markers"
            )
            if chunk.state == "ended" or (wanted is not None and self.ledger.received >= wanted):
                return

    def _take(self, chunk: Chunk) -> None:
        for run in chunk.placed:
            index = np.arange(run.index, run.stop, dtype=np.int64)
            self._recorder.samples(run.rows, run.stamps, index)
        for marker in chunk.markers:
            self._recorder.marker(marker.time_s, marker.text)
        self._n_markers += len(chunk.markers)
        for event in chunk.events:
            self._tell(event)
        self.ledger = chunk.mua

    def _refuse(self, text: str) -> None:
        if text != self._refused:
            self._refused = text
            self._tell(SourceEvent("stream-refused", "error", text, self._now()))

    def _tell(self, event: SourceEvent) -> None:
        _line(self._console, f"{event.level}: {event.text}")
        self._recorder.event(
            EventMessage(
                version=VERSION,
                kind=event.kind,
                level=event.level,
                text=event.text,
                time_s=event.time_s,
            )
        )


def _try_to_make(path: Path) -> None:
    """Make the file and remove it again: a bad place must be known before a stream is waited for."""
    create_exclusively(path).close()
    path.unlink()


def _line(console: Console, text: str) -> None:
    """Print one line as it is: names of streams may hold square brackets."""
    console.print(text, markup=False, soft_wrap=True)
