"""What `b2g-offline simulate` writes plays through LSL: losses stay gaps, dead arrays stay dead."""

from __future__ import annotations

import threading
import uuid

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.session import SessionFile
from b2g_rt.simulation.days import DaySpec
from b2g_rt.simulation.disturbances import DisturbanceSpec
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.player import Player
from b2g_rt.sources.stream_query import StreamQuery
from offline.commands.console import console
from offline.recordings.simulated_files import write_simulation
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from offline.stages import stages
from tests.checks_sources import check_same_session, collect

pytestmark = pytest.mark.live

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))


@pytest.fixture
def second_day(tmp_path):
    plan = SessionPlan(
        n_train=4,
        n_test=2,
        n_repeats=2,
        n_days=2,
        day=DaySpec(dead_arrays=(1,), rotation=0.05),
        disturbances=DisturbanceSpec(losses_per_min=60, drift_sd=0.02, saturations_per_min=10),
        channels=CHANNELS,
        seed=3,
    )
    with stages(console, quiet=True) as stage:
        files = write_simulation(simulated_set(plan), tmp_path / "may.h5", "session", stage)
    with SessionFile(files[1]) as session:
        yield session


def test_a_simulated_day_with_losses_and_a_dead_array_arrives_as_it_is_in_the_file(second_day):
    index = second_day.index()
    n = int(index[-1] - index[0]) + 1
    assert n > len(index)
    name, stop = uuid.uuid4().hex[:8], threading.Event()
    player = Player(
        second_day, f"mua-{name}", f"markers-{name}", speed=4.0, chunk=(1, 40), linger_s=20.0
    )
    thread = threading.Thread(target=player.run, args=(stop,))
    thread.start()
    try:
        markers = StreamQuery(f"markers-{name}", key="streams.markers")
        with LslSource(StreamQuery(f"mua-{name}"), markers, CHANNELS, 1000.0) as source:
            source.connect()
            seen = collect(
                source,
                lambda seen: (
                    len(seen.store) == n and len(seen.positions) == len(second_day.markers())
                ),
            )
            described = source.description
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    check_same_session(seen, second_day)
    assert seen.mua.lost == n - len(index)
    assert described.simulated
    dead = CHANNELS.array == 1
    rows = second_day.mua(0, 500)
    assert rows[:, dead].std(axis=0).max() < 0.3 * np.median(rows[:, ~dead].std(axis=0))
