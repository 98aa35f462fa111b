"""Puts a live service together from a configuration; used by serve, demo and the benchmarks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from b2g_rt.config import Config, StreamConfig
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.messages import Message
from b2g_rt.errors import ConfigError
from b2g_rt.service.deliver import Outputs
from b2g_rt.service.graph import Service
from b2g_rt.service.models import Models
from b2g_rt.service.open_outputs import close_outputs, open_outputs
from b2g_rt.sources.chunk import Source
from b2g_rt.sources.lsl_clock import lsl_clock
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.stream_query import StreamQuery


@dataclass(frozen=True, slots=True)
class Live:
    """A service and what it was made of; not started."""

    service: Service
    source: Source
    models: Models
    outputs: Outputs


def use_lsl_config(config: Config) -> None:
    """Point liblsl to the configured file; must come before liblsl is loaded.

    Raises
    ------
    ConfigError
        The file does not exist.
    """
    path = config.streams.lsl_config
    if path is None:
        return
    if not path.exists():
        raise ConfigError(
            f"streams.lsl_config: {path} does not exist, expected a liblsl configuration."
        )
    os.environ["LSLAPICFG"] = str(path.resolve())


def lsl_source(config: Config, channels: ChannelMap, rate_hz: float) -> LslSource:
    """Return an LSL source for the configured streams, not connected."""
    streams = config.streams
    return LslSource(
        _query(streams.mua, "streams.mua"),
        _query(streams.markers, "streams.markers") if streams.markers else None,
        channels,
        rate_hz,
        resolve_timeout_s=streams.resolve_timeout_s,
        stale_after_s=streams.stale_after_s,
        gap_threshold_s=streams.gap_threshold_ms / 1000 if streams.gap_threshold_ms else None,
    )


def _query(stream: StreamConfig, key: str) -> StreamQuery:
    return StreamQuery(stream.name, stream.type, stream.source_id, stream.host, key)


def build(
    config: Config,
    models: Models,
    source: Source | None = None,
    on_message: Callable[[Message], None] | None = None,
) -> Live:
    """Open the outputs and wire the service; nothing runs yet."""
    service: Service | None = None

    def trouble(level: Literal["warning", "error"], text: str) -> None:
        if service:
            service.tell_recorder_trouble(level, text)

    outputs = open_outputs(config, models, trouble)
    if source is None:
        source = lsl_source(config, models.channels, models.bundle.windows.rate_hz)
    try:
        service = Service(config, models, source, outputs, lsl_clock(), on_message)
    except BaseException:
        close_outputs(outputs)
        raise
    return Live(service, source, models, outputs)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set; the old handlers come back at the end."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            # The second Ctrl-C is meant: do not make the user wait for a queue that does not empty.
            raise KeyboardInterrupt
        stop.set()

    # SIGHUP: the terminal was closed; children must not outlive it.
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {s: signal.signal(s, ask) for s in asked}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
