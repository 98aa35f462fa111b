"""Days of running normalisation in the service: with the stream, on command; offline follows bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.bundle import ModelBundle, Normalisation
from b2g_rt.contracts.recorded_frames import read_day_starts
from b2g_rt.contracts.session import SessionFile
from offline.evaluation.decoded_session import bundle_decoder, decode_recording
from offline.evaluation.held_out import FeatureChain
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.trials import recorded_trials
from tests.live.test_adaptation import N_WINDOWS, Again, published, show, tell
from tests.live.test_service import Rig, rig

pytestmark = pytest.mark.live


def test_a_day_starts_with_the_stream_and_when_told_and_offline_follows(tmp_path):
    sets = ("normalisation=running", "inference.generator=false", "service.ring_s=5")
    with rig(tmp_path, *sets, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, *(f"face-{i:04d}" for i in range(4)))
        n_before = r.mua.sent
        assert tell(r, "new-day").done
        r.mua.push(500)
        # A gap: lost samples count for the blocks that normalisation learns from.
        r.mua.skip(30)
        show_with_gap(r, *(f"face-{i:04d}" for i in range(4, 9)), n_lost=30)
    with SessionFile(tmp_path / "s.h5") as session:
        starts = read_day_starts(session)
    assert starts[0] == 0
    assert len(starts) == 2
    assert starts[1] >= n_before - 40
    assert [e.sample for e in r.seen.events("day-start")] == starts
    again = Again(tmp_path / "s.h5", r.live.models, "running")
    for trial in range(9):
        assert published(r, trial).tobytes() == again.unadapted[trial].tobytes(), trial
    assert evaluated(tmp_path / "s.h5", r.live.models.bundle).tobytes() == again.unadapted.tobytes()


def evaluated(path: Path, bundle: ModelBundle) -> np.ndarray:
    """Decode as `evaluate` does, with a bundle that follows the day; axes (trial, window, latent)."""
    chain = replace(FeatureChain.of_bundle(bundle), normalisation=Normalisation(kind="running"))
    with open_recording(path, ReaderOptions(gaps=GapPolicy("segment"))) as recording:
        onsets = np.array(recorded_trials(recording).onset_idx)
        return decode_recording(bundle_decoder(bundle), chain, recording, onsets)[2]


def show_with_gap(r: Rig, *stimuli: str, n_lost: int) -> None:
    n = len(r.seen.frames())
    for i, stimulus in enumerate(stimuli):
        r.trial(stimulus, r.mua.sent + 200)
        r.seen.wait_for_frames(n + N_WINDOWS * (i + 1))
    r.seen.wait(lambda: r.live.service.ledgers[0].received == r.mua.sent - n_lost)


@pytest.mark.parametrize(
    ("sets", "n_starts"),
    [(("normalisation=frozen",), 0), (("normalisation=running", "adaptation.day_start=none"), 0)],
    ids=["frozen", "none"],
)
def test_no_day_starts_where_none_is_wanted(tmp_path, sets, n_starts):
    with rig(tmp_path, *sets, "inference.generator=false") as r:
        show(r, "face-0000")
        assert len(r.seen.events("day-start")) == n_starts
        frozen = sets[0].endswith("frozen")
        assert tell(r, "new-day").done is not frozen
