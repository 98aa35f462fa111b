"""What a stranger's device does to the whole service: random chunks, late markers, a gap, a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter

import numpy as np
import pytest

from b2g_rt.commands.live import build
from b2g_rt.config import load_config
from b2g_rt.contracts.session import SessionFile
from b2g_rt.service.models import load_models
from tests.live import stranger
from tests.live.test_service import Seen
from tests.tiny_bundle import write_tiny_bundle

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Run the service on the stranger once; return what left it, its ledgers, and its recording."""
    folder = tmp_path_factory.mktemp("stranger")
    name = uuid.uuid4().hex[:8]
    mua, markers, path = f"mua-{name}", f"markers-{name}", folder / "session.h5"
    config = load_config(
        None,
        [
            f"bundle={write_tiny_bundle(folder / 'tiny').path}",
            f"streams.mua.name={mua}",
            f"streams.markers.name={markers}",
            f"record.path={path}",
            "outlets.enabled=false",
            "publish.enabled=false",
        ],
    )
    process = subprocess.Popen(
        [sys.executable, stranger.__file__, mua, markers],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    seen = Seen()
    live = build(config, load_models(config), on_message=seen)
    live.service.start()
    try:
        sent = json.loads(process.stdout.readline())
        seen.wait_for_frames(9 * sent["n_markers"])
    finally:
        process.communicate("", timeout=20)
        live.service.request_stop()
        assert live.service.wait(30)
    return seen, live.service, sent, path


def test_every_due_window_gives_exactly_one_frame(session):
    seen, service, sent, _ = session
    counts = Counter((f.trial, f.window_idx) for f in seen.frames())
    assert set(counts) == {(t, k) for t in range(sent["n_markers"]) for k in range(9)}
    assert set(counts.values()) == {1}
    assert service.progress.windows_due == len(counts)
    assert service.progress.windows_due == (
        service.progress.windows_decoded + service.progress.windows_dropped
    )


def test_the_ledger_adds_up_and_knows_the_gap_and_the_restart(session):
    seen, service, sent, _ = session
    ledger = service.ledgers[0]
    assert ledger.expected == ledger.received + ledger.lost
    assert ledger.received <= sent["n_sent"]
    assert ledger.reconnects == 1
    assert len(seen.events("gap")) >= 2
    assert service.ledgers[1].received == sent["n_markers"]


def test_every_sample_lies_where_the_device_took_it(session):
    _, _, _, path = session
    with SessionFile(path) as file:
        counter = file.mua(0, file.n_samples)[:, 0].astype(int)
        index = file.index()
    offset = index - counter
    # Chunks are stamped when they are pushed: what a gap is long is known to the jitter of that.
    assert np.abs(offset - np.median(offset)).max() <= 25
    assert (np.diff(index) >= 1).all()


def test_the_frames_that_the_gap_touched_are_flagged_and_no_others(session):
    seen, _, _, path = session
    with SessionFile(path) as file:
        received = set(file.index().tolist())
    for frame in seen.frames():
        lost = sum(i not in received for i in range(frame.sample_start, frame.sample_stop))
        assert frame.n_lost == lost
        assert frame.flags.gap == (lost > 0)
    assert any(f.flags.gap for f in seen.frames())
    assert any(f.flags.late for f in seen.frames())


def test_the_recording_holds_every_frame(session):
    seen, _, _, path = session
    with SessionFile(path) as file:
        assert len(file.group("frames")["sequence"]) == len(seen.frames())
