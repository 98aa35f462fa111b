"""The service as the benchmarks run it: in this process, whose other threads only wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from b2g_rt.commands.live import Live, build
from b2g_rt.config import Config, load_config
from b2g_rt.contracts.messages import Message
from b2g_rt.service.models import load_models

_POLL_S = 0.05


@dataclass(slots=True)
class Meter:
    """Processor and wall time since it was started, seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def start(self) -> None:
        """Begin."""
        self.cpu_s, self.wall_s = -time.process_time(), -time.monotonic()

    def stop(self) -> float:
        """End; return the share of one core."""
        self.cpu_s += time.process_time()
        self.wall_s += time.monotonic()
        return self.cpu_s / self.wall_s


def bench_config(*sets: str) -> Config:
    """Return the configuration of the benchmarks: no pictures, free ports, everything else as by default."""
    free = [f"publish.{name}_port=0" for name in ("pictures", "events", "activity", "status")]
    return load_config(None, [*free, "inference.generator=false", *sets])


@contextmanager
def running(config: Config, on_message: Callable[[Message], None] | None = None) -> Iterator[Live]:
    """Yield a started service; it is ended cleanly."""
    live = build(config, load_models(config), on_message=on_message)
    live.service.start()
    try:
        yield live
    finally:
        live.service.request_stop()
        live.service.wait(30.0)


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until the condition holds; return whether it does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
