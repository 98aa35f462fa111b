"""The service learns while it runs: real LSL, real decoder, real commands.

What it published is computed again from its own recording: features by the offline functions, latents by the bundle's
decoder, corrections by the hall's learner; all must agree to the last bit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from b2g_rt.adaptation.state_file import read_correction
from b2g_rt.adaptation.trial_learner import LearnerSettings, TrialLearner
from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.control import Action, CommandMessage, ReplyMessage
from b2g_rt.contracts.messages import VERSION, FrameMessage
from b2g_rt.contracts.recorded_frames import read_day_starts
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import ConfigError, SessionError
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.service.adaptable import prior_of
from b2g_rt.service.models import Models
from offline.recordings.features import window_features
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from tests.live.test_service import Rig, latent, rig

pytestmark = pytest.mark.live
N_WINDOWS = 9
ON = ("adaptation.online_ridge=on", "adaptation.prior_trials=20", "inference.generator=false")


def show(r: Rig, *stimuli: str) -> None:
    """Send one trial each, and wait until all are decoded."""
    n = len(r.seen.frames())
    for i, stimulus in enumerate(stimuli):
        r.trial(stimulus, r.mua.sent + 200)
        r.seen.wait_for_frames(n + N_WINDOWS * (i + 1))
    r.seen.wait(lambda: r.live.service.ledgers[0].received == r.mua.sent)


def tell(r: Rig, action: Action, n_trials: int | None = None) -> ReplyMessage:
    return r.live.service.command(CommandMessage(VERSION, action, n_trials))


def by_place(r: Rig) -> dict[tuple[int, int], FrameMessage]:
    return {(f.trial or 0, f.window_idx): f for f in r.seen.frames()}


class Again:
    """The session once more, offline, from its recording."""

    def __init__(self, path: Path, models: Models, normalisation: str = "frozen") -> None:
        bundle = models.bundle
        with SessionFile(path) as session:
            first_s = session.time_s()[0]
            markers = list(session.markers())
            normaliser = Normaliser(
                Normalisation.model_validate({"kind": normalisation}),
                bundle.channel_mean,
                bundle.channel_sd,
                1000.0,
                day_starts=read_day_starts(session),
            )
            onsets = np.array([round((m.time_s - first_s) * 1000) for m in markers])
        with open_recording(path, ReaderOptions(gaps=GapPolicy("segment"))) as recording:
            self.features = window_features(
                recording.blocks(), onsets, bundle.windows, bundle.channels, normaliser
            )
        self.stimuli = [m.text for m in markers]
        self.models = models
        state = np.zeros(0, np.float32)
        self.unadapted = np.stack(
            [
                np.stack([models.decoder.step(x, k, state)[0] for k, x in enumerate(trial)])
                for trial in self.features
            ]
        )
        self.learner = TrialLearner(
            N_WINDOWS,
            bundle.channels.n_channels,
            bundle.manifest.n_latents,
            LearnerSettings(prior=prior_of(bundle, 20.0)),
        )

    def adapted(self, trial: int, *, learn: bool = True) -> np.ndarray:
        """Predict a trial, then learn it."""
        stimuli = self.models.bundle.stimuli
        out = []
        for k, x in enumerate(self.features[trial]):
            alone = self.unadapted[trial, k]
            added = self.learner.predict(x, k)
            out.append(alone if added is None else alone + added)
            position = stimuli.position(self.stimuli[trial])
            if learn and position is not None:
                self.learner.hold(trial, k, x, stimuli.latent[position] - alone)
        self.learner.end_trial(trial)
        return np.stack(out)


def published(r: Rig, trial: int) -> np.ndarray:
    frames = by_place(r)
    return np.stack([latent(frames[trial, k]) for k in range(N_WINDOWS)])


def test_nothing_is_learnt_unless_it_is_switched_on(tmp_path):
    with rig(tmp_path, "inference.generator=false", f"record.path={tmp_path / 's.h5'}") as r:
        show(r, "face-0000", "face-0001", "face-0002")
        assert "off" in tell(r, "status").text
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in range(3):
        assert published(r, trial).tobytes() == again.unadapted[trial].tobytes()
    assert not any(f.flags.adapted for f in r.seen.frames())
    assert all(t.unadapted_cosine is None for t in r.seen.trials())
    assert r.live.service.progress.comparison.n_trials == 0
    assert not (tmp_path / "s.adaptation.npz").exists()


def test_every_trial_is_decoded_before_it_is_learnt_and_offline_gives_the_same_bits(tmp_path):
    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, *(f"face-{i % 12:04d}" for i in range(14)))
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in range(14):
        assert published(r, trial).tobytes() == again.adapted(trial).tobytes(), trial
    frames = by_place(r)
    # The first has nothing to stand on, and what it taught is trusted once the second has agreed.
    assert not any(frames[t, k].flags.adapted for t in range(2) for k in range(N_WINDOWS))
    assert all(frames[t, k].flags.adapted for t in range(2, 14) for k in range(N_WINDOWS))
    assert published(r, 5).tobytes() != again.unadapted[5].tobytes()


def test_figures_with_and_without_what_was_learnt_stand_side_by_side(tmp_path):
    from b2g_rt.service.scoring import TrialScorer

    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, *(f"face-{i:04d}" for i in range(6)))
    again = Again(tmp_path / "s.h5", r.live.models)
    bundle = r.live.models.bundle
    scorer = TrialScorer(bundle.stimuli, bundle.latent_mean)
    for trial in r.seen.trials():
        alone = scorer.score(again.unadapted[trial.trial, 8], trial.stimulus)
        adapted = scorer.score(published(r, trial.trial)[8], trial.stimulus)
        assert (trial.unadapted_cosine, trial.unadapted_two_way) == (alone.cosine, alone.two_way)
        assert trial.unadapted_centred_cosine == alone.centred_cosine
        assert (trial.cosine, trial.two_way) == (adapted.cosine, adapted.two_way)
    trials, comparison = r.seen.trials(), r.live.service.progress.comparison
    assert comparison.n_trials == len(trials) == 6
    for sums, prefix in ((comparison.adapted, ""), (comparison.unadapted, "unadapted_")):
        mean = {n: sum(getattr(t, prefix + n) for t in trials) / 6 for n in sums}
        assert sums == pytest.approx(mean, abs=1e-12)
    assert comparison.adapted != comparison.unadapted


def test_frozen_it_changes_no_more_and_resumed_it_goes_on(tmp_path):
    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, "face-0000", "face-0001", "face-0002")
        assert "frozen" in tell(r, "freeze").text
        show(r, "face-0003", "face-0004")
        assert tell(r, "status").n_trials_learnt == 3
        tell(r, "resume")
        show(r, "face-0005", "face-0006")
        assert tell(r, "status").n_trials_learnt == 5
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in range(7):
        expected = again.adapted(trial, learn=trial not in (3, 4))
        assert published(r, trial).tobytes() == expected.tobytes(), trial
    said = [e.text for e in r.seen.events("adaptation")]
    assert [t.split()[2] for t in said] == ["started", "frozen", "learning"]


def test_rolled_back_the_latents_are_the_bundle_s_again_bit_for_bit(tmp_path):
    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, "face-0000", "face-0001", "face-0002")
        reply = tell(r, "rollback")
        assert (reply.done, reply.adaptation, reply.n_trials_learnt) == (True, "frozen", 0)
        show(r, "face-0003", "face-0004")
    again = Again(tmp_path / "s.h5", r.live.models)
    assert published(r, 2).tobytes() != again.unadapted[2].tobytes()
    for trial in (3, 4):
        assert published(r, trial).tobytes() == again.unadapted[trial].tobytes()
        assert not any(by_place(r)[trial, k].flags.adapted for k in range(N_WINDOWS))


def test_rolled_back_by_trials_it_stands_where_it_stood_then(tmp_path):
    sets = ("adaptation.checkpoint_trials=2", f"record.path={tmp_path / 's.h5'}")
    with rig(tmp_path, *ON, *sets) as r:
        show(r, *(f"face-{i:04d}" for i in range(5)))
        assert "from 5 trials learnt to 2 trials learnt" in tell(r, "rollback", 2).text
        show(r, "face-0005", "face-0006")
        tell(r, "resume")
        show(r, "face-0007", "face-0008")
        assert not tell(r, "rollback", 99).done
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in (0, 1):
        again.adapted(trial)
    for trial in (5, 6):
        expected = again.adapted(trial, learn=False)
        assert published(r, trial).tobytes() == expected.tobytes()
    for trial in (7, 8):
        assert published(r, trial).tobytes() == again.adapted(trial).tobytes()


@pytest.mark.parametrize(
    "marked",
    ["adaptation.test_stimuli=[face-0001, face-0002]", "adaptation.test_pattern=face-000[12]"],
    ids=["list", "pattern"],
)
def test_a_stimulus_marked_test_is_never_learnt(tmp_path, marked):
    with rig(tmp_path, *ON, marked, f"record.path={tmp_path / 's.h5'}") as r:
        show(
            r,
            "face-0001",
            "face-0002",
            "face-0000",
            "face-0001",
            "face-0003",
            "face-0002",
            "nobody",
        )
        assert tell(r, "status").n_trials_learnt == 2
    again = Again(tmp_path / "s.h5", r.live.models)
    learnt = {2, 4}
    for trial in range(7):
        expected = again.adapted(trial, learn=trial in learnt)
        assert published(r, trial).tobytes() == expected.tobytes(), trial
    frames = by_place(r)
    # Decoded with what the others taught, and not before they had.
    assert [frames[t, 8].flags.adapted for t in range(7)] == [False] * 5 + [True] * 2


def test_windows_that_lost_samples_or_electrodes_are_not_learnt(tmp_path):
    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, "face-0000")
        onset = r.mua.sent + 200
        # A gap in windows 0 to 2 of this trial.
        r.mua.push(150)
        r.mua.skip(12)
        r.mua.push(onset + 1 - r.mua.sent)
        r.markers.push("face-0001", r.mua.time_of(onset))
        r.mua.push(300)
        r.seen.wait_for_frames(2 * N_WINDOWS)
        # An electrode that is NaN throughout the next one.
        rows = r.mua.rows(600)
        rows[:, 77] = np.nan
        onset = r.mua.sent + 300
        r.mua.push(600, rows)
        r.markers.push("face-0002", r.mua.time_of(onset))
        r.seen.wait_for_frames(3 * N_WINDOWS)
        r.seen.wait(lambda: r.live.service.ledgers[0].received == r.mua.sent - 12)
        assert r.seen.frames()[-1].flags.degraded
    saved = read_correction(tmp_path / "s.adaptation.npz")
    assert saved.n_learnt.tolist() == [1] * 3 + [2] * 6
    assert saved.provenance["n_trials"] == 2
    assert saved.provenance["bundle"] == r.live.models.bundle.hash


def test_what_was_learnt_is_left_beside_the_recording(tmp_path):
    with rig(tmp_path, *ON, f"record.path={tmp_path / 's.h5'}") as r:
        show(r, *(f"face-{i:04d}" for i in range(4)))
    saved = read_correction(tmp_path / "s.adaptation.npz")
    with SessionFile(tmp_path / "s.h5") as session:
        provenance = session.info.provenance
    assert provenance["adaptation"] == saved.provenance["settings"]
    assert provenance["adaptation"]["online_ridge"]
    assert provenance["normalisation"]["kind"] == "frozen"
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in range(4):
        again.adapted(trial)
    correction, n_learnt = again.learner.corrections()
    assert saved.correction.tobytes() == correction.tobytes()
    assert saved.n_learnt.tolist() == n_learnt.tolist() == [4] * N_WINDOWS


def test_where_what_is_learnt_would_have_no_place_nothing_starts(tmp_path):
    (tmp_path / "s.adaptation.npz").write_bytes(b"of yesterday")
    record = f"record.path={tmp_path / 's.h5'}"
    with (
        pytest.raises(SessionError, match=r"s\.adaptation\.npz.*there already"),
        rig(tmp_path, record),
    ):
        pass
    assert (tmp_path / "s.adaptation.npz").read_bytes() == b"of yesterday"
    assert not (tmp_path / "s.h5").exists()


def test_switched_on_late_it_learns_from_then_on(tmp_path):
    with rig(tmp_path, *ON[1:], f"record.path={tmp_path / 's.h5'}") as r:
        show(r, "face-0000", "face-0001")
        assert tell(r, "start").done
        assert not tell(r, "start").done
        show(r, "face-0002", "face-0003")
    again = Again(tmp_path / "s.h5", r.live.models)
    for trial in range(4):
        expected = again.adapted(trial, learn=trial >= 2)
        assert published(r, trial).tobytes() == expected.tobytes(), trial
    assert [t.unadapted_cosine is None for t in r.seen.trials()] == [True, True, False, False]


def test_a_decoder_of_another_kind_is_refused_in_one_line(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"adaptation\.online_ridge.*one per window") as caught,
        rig(tmp_path, "adaptation.online_ridge=on", free_running=True),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_pattern_that_is_none_is_refused_in_one_line(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"test_pattern"),
        rig(tmp_path, "adaptation.test_pattern=("),
    ):
        pass
