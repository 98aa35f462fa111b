"""Every kind of decoder: fitted, exported, run live on a replayed session; report and live summary say the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.bench.children import Child
from b2g_rt.bench.equality import Decoded, compare, decoded_in_one_go
from b2g_rt.bench.measured_service import bench_config, running, wait_for
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.messages import FrameMessage, Message, latent_of
from b2g_rt.contracts.session import SessionFile
from b2g_rt.demo.collect import Collector
from b2g_rt.demo.summary import summarize
from b2g_rt.service.models import load_models
from offline.evaluation.bundle_scores import score_decoded
from offline.evaluation.decoded_session import decoded_session
from offline.export.fit_plan import FitPlan
from offline.export.session_bundle import make_session_bundle
from offline.recordings.formats.opening import open_recording
from offline.recordings.known_latents import known_latents
from tests import decoded_world as world

pytestmark = [pytest.mark.live, pytest.mark.slow]
N_TRIALS, N_NEW = 12, 6
BOUND = 1e-4

PLANS = {
    "ols": FitPlan(method="ols"),
    "ridge": FitPlan(method="ridge"),
    "reduced rank": FitPlan(method="reduced_rank"),
    "pls": FitPlan(method="pls"),
    "attention": FitPlan(method="attention"),
    "ridge, exponential": FitPlan(method="ridge", smoothing="exponential"),
    "ridge, kalman": FitPlan(method="ridge", smoothing="kalman"),
    "ols, V1 and V4": FitPlan(method="ols", rois=("V1", "V4")),
    "ols, two days": FitPlan(method="ols", split="day"),
    "fixed ols": FitPlan("fixed", "ols"),
    "fixed ridge": FitPlan("fixed", "ridge"),
    "fixed reduced rank": FitPlan("fixed", "reduced_rank"),
    "fixed pls": FitPlan("fixed", "pls"),
    "fixed attention": FitPlan("fixed", "attention"),
    "fixed ridge, exponential": FitPlan("fixed", "ridge", smoothing="exponential"),
    "fixed ridge, kalman": FitPlan("fixed", "ridge", smoothing="kalman"),
}
REMEMBER = {
    "attention",
    "ridge, exponential",
    "ridge, kalman",
    "fixed ridge, exponential",
    "fixed ridge, kalman",
}


def no_stage(what, total):
    return lambda done: None


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """50 training stimuli; 6 that were not trained on; each is shown again and again, so that memory is of use."""
    folder = tmp_path_factory.mktemp("sessions")
    old, new = world.draw("old", 50, 1), world.draw("new", N_NEW, 2)
    more = world.draw("more", 60, 5)
    return (
        world.write(folder / "monday.h5", old, [s for s in old for _ in range(3)], 3),
        world.write(folder / "tuesday.h5", new, [s for s in new for _ in range(2)], 4),
        world.write(folder / "sunday.h5", more, list(more), 6),
    )


def fitted(plan: FitPlan, sessions: tuple[Path, Path, Path], out: Path) -> ModelBundle:
    with ExitStack() as opened:
        monday, tuesday, sunday = (opened.enter_context(open_recording(s)) for s in sessions)
        days = [sunday, monday] if plan.split == "day" else [monday]
        make_session_bundle(
            days,
            known_latents(days, None),
            plan,
            world.GENERATOR,
            out,
            command="pytest",
            stage=no_stage,
            live_stimuli=known_latents([tuesday], None),
        )
    return ModelBundle(out)


class Live:
    """A session replayed through LSL into the service, and what left it."""

    def __init__(self, bundle: ModelBundle, session: Path, n_windows: int) -> None:
        self.collector = Collector(100)
        self.frames: Decoded = {}
        config = bench_config(f"bundle={bundle.path}", "outlets.enabled=false")
        replay = ("replay", session, "--speed", "max", "--random-chunks", 33, "--quiet")
        with running(config, self._see) as live, Child("b2g_rt", *replay) as player:
            wait_for(lambda: len(self.frames) >= n_windows or not player.running, 60.0)
            wait_for(lambda: len(self.frames) >= n_windows, 5.0)
            service = live.service
            self.summary = summarize(
                service.progress, live.models, *service.ledgers, self.collector
            )

    def _see(self, message: Message) -> None:
        self.collector.see(message)
        if isinstance(message, FrameMessage) and (latent := latent_of(message)) is not None:
            free = message.trial is None
            key = (-1, message.sample_start) if free else (message.trial, message.window_idx)
            self.frames[key] = (message.sample_start, message.sample_stop, latent)


@pytest.mark.parametrize("name", PLANS)
def test_live_and_offline_latents_are_equal_and_the_report_says_what_the_live_summary_says(
    name, sessions, tmp_path
):
    plan, tuesday = PLANS[name], sessions[1]
    bundle = fitted(plan, sessions, tmp_path / "bundle")
    assert (bundle.manifest.decoder_state > 0) == (name in REMEMBER)
    assert (bundle.manifest.normalisation.kind == "running") == (plan.split == "day")
    models = load_models(bench_config(f"bundle={bundle.path}"))
    with SessionFile(tuesday) as file:
        offline = decoded_in_one_go(file, models)
    live = Live(bundle, tuesday, len(offline))
    same = compare(offline, live.frames)
    assert same["bit_identical"] == same["windows"] == len(offline)

    with open_recording(tuesday) as recording:
        known = known_latents([recording], None)
        session = decoded_session(bundle, recording, known, no_stage)
    report = score_decoded(bundle, session, no_stage).unseen
    assert report is not None
    assert report.last.n_trials == N_TRIALS
    assert report.last.centred_cosine.mean > 0.05
    told = live.summary
    assert told["two_way"]["n_trials"] == N_TRIALS
    seen = {
        "cosine": told["cosine"]["decoded"],
        "centred_cosine": told["cosine"]["decoded_centred"],
        "two_way": told["two_way"]["rate"],
    }
    for trial, onset in enumerate(world.onsets(N_TRIALS)):
        for k in range(bundle.n_windows):
            key = (trial, k) if plan.kind == "per_window" else (-1, int(onset) + 75)
            np.testing.assert_array_equal(session.decoded[trial, k], live.frames[key][2])
    said = report.to_dict()["windows"][-1]
    for what, value in seen.items():
        assert said[what]["mean"] == pytest.approx(value, abs=BOUND)
    assert said["mean_latent_cosine"] == pytest.approx(told["cosine"]["mean_latent"], abs=BOUND)
