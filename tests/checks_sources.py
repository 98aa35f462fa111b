"""What every source must do, and the session to do it with: column 0 counts the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.messages import Ledger
from b2g_rt.contracts.session import (
    GrowingColumn,
    SessionFile,
    SessionInfo,
    TextColumn,
    write_header,
)
from b2g_rt.sources.chunk import Source, SourceEvent

RATE_HZ = 1000.0
CHANNELS = ChannelMap(64, (ArraySlot(array=0, roi="V1", first=0),))


def write_counter_session(
    path: Path,
    n: int = 3000,
    *,
    index: np.ndarray | None = None,
    stamps: np.ndarray | None = None,
    markers_at: tuple[float, ...] = (500.0, 1200.4, 2500.0),
    channels: ChannelMap = CHANNELS,
) -> SessionFile:
    """Write and open a session whose column 0 holds the index and whose markers lie at given positions."""
    import h5py

    index = np.arange(n) if index is None else index
    start_s = 10_000.0
    stamps = start_s + index / RATE_HZ if stamps is None else stamps
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((len(index), channels.n_stream_channels)).astype(np.float32)
    rows[:, 0] = index
    with h5py.File(path, "w", libver="latest") as file:
        info = SessionInfo(RATE_HZ, "uV", channels, True, 1.0, {"about": "counter"})
        write_header(file, info, "2026-01-01T00:00:00")
        mua = file.create_group("mua")
        GrowingColumn(mua, "data", "f4", (channels.n_stream_channels,)).append(rows)
        GrowingColumn(mua, "time_s", "f8").append(stamps)
        GrowingColumn(mua, "index", "i8").append(index)
        markers = file.create_group("markers")
        GrowingColumn(markers, "time_s", "f8").append(start_s + np.array(markers_at) / RATE_HZ)
        TextColumn(markers, "text").append([f"s{k}".encode() for k in range(len(markers_at))])
    return SessionFile(path)


@dataclass
class Collected:
    """All that a source handed out."""

    store: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    lost: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    stamps: list[np.ndarray] = field(default_factory=list)
    n_rows: int = 0
    kinds: set[str] = field(default_factory=set)
    markers: list[tuple[float, str]] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    events: list[SourceEvent] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    mua: Ledger = field(default_factory=Ledger)
    marker_ledger: Ledger = field(default_factory=Ledger)

    def kinds_of_events(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def counter(self) -> np.ndarray:
        """Column 0, NaN where lost."""
        return self.store[:, 0]


def collect(
    source: Source, until, deadline_s: float = 40.0, into: Collected | None = None
) -> Collected:
    """Read until ``until(collected)`` holds, checking every chunk on the way."""
    seen = into or Collected()
    end = time.monotonic() + deadline_s
    while not until(seen):
        assert time.monotonic() < end, f"deadline; {seen.mua}, {seen.events}, {seen.states[-1:]}"
        take(source, seen, 0.1)
    return seen


def take(source: Source, seen: Collected, timeout_s: float) -> None:
    chunk = source.read(timeout_s)
    for run in chunk.placed:
        rows = np.asarray(run.rows)
        assert rows.dtype == np.float32
        assert len(rows) == len(run.stamps) == len(run)
        seen.n_rows += len(run)
        seen.kinds.add(run.kind)
        seen.stamps.append(run.stamps)
        if run.kind == "new":
            if not len(seen.store):
                seen.store = np.empty((0, rows.shape[1]), np.float32)
            assert run.lost_start == len(seen.store)
            gap = np.full((run.n_lost, rows.shape[1]), np.nan, np.float32)
            seen.store = np.concatenate([seen.store, gap, rows])
            seen.lost = np.concatenate(
                [seen.lost, np.ones(run.n_lost, bool), np.zeros(len(rows), bool)]
            )
        elif run.kind == "late":
            assert seen.lost[run.index : run.stop].all()
            seen.store[run.index : run.stop] = rows
            seen.lost[run.index : run.stop] = False
    seen.markers += [(m.time_s, m.text) for m in chunk.markers]
    if source.clock.started:
        missing = seen.markers[len(seen.positions) :]
        seen.positions += [source.clock.position_of(time_s) for time_s, _ in missing]
    seen.events += chunk.events
    seen.states.append(chunk.state)
    seen.mua, seen.marker_ledger = chunk.mua, chunk.markers_ledger
    assert seen.mua.expected == seen.mua.received + seen.mua.lost
    assert seen.marker_ledger.expected == seen.marker_ledger.received + seen.marker_ledger.lost
    assert seen.mua.expected == len(seen.store)
    assert seen.mua.lost == int(seen.lost.sum())
    assert seen.mua.received + seen.mua.duplicated == seen.n_rows


def check_same_session(seen: Collected, session: SessionFile) -> None:
    """All samples of the session, at their indices, and all markers where they belong."""
    index = session.index() - session.index()[0]
    whole = np.full((int(index.max()) + 1, session.n_columns), np.nan, np.float32)
    whole[index] = session.mua(0, session.n_samples)
    np.testing.assert_array_equal(seen.store, whole)
    assert seen.mua.received == len(np.unique(index))
    assert seen.mua.lost == len(whole) - len(np.unique(index))
    assert [text for _, text in seen.markers] == [m.text for m in session.markers()]
