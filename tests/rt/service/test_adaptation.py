"""What can be refined and what cannot, and what happens when learning goes wrong. The rest is in tests/live."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.config import AdaptationConfig
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.windows import DueWindow, Trial, WindowFeatures, sliding_windows
from b2g_rt.errors import CommandError, ConfigError
from b2g_rt.service.adaptable import prior_of, stimuli_marked_test, why_not_adaptable
from b2g_rt.service.adaptation import Adaptation
from b2g_rt.service.progress import Progress
from tests.tiny_bundle import CHANNELS, N_LATENTS, write_tiny_bundle

CONFIG = AdaptationConfig(prior_trials=20)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


class Bench:
    """An adaptation without a service around it."""

    def __init__(self, bundle: ModelBundle, config: AdaptationConfig = CONFIG) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.progress = Progress()
        self.adaptation = Adaptation(
            bundle, config, self.progress, lambda *what: self.said.append(what)
        )
        self._rng = np.random.default_rng(1)
        self.trial = 0

    def show(
        self, stimulus: str = "face-0001", n_windows: int = 9, n_lost: int = 0, n_bad: int = 0
    ) -> list:
        corrected = []
        trial = Trial(self.trial, stimulus, 0.0, 400 * self.trial)
        for k in range(n_windows):
            values = self._rng.standard_normal(CHANNELS.n_channels).astype(np.float32)
            window = DueWindow(k, 0, 100, trial, late=False)
            seen = WindowFeatures(values, n_lost, n_bad)
            latent = self._rng.standard_normal(N_LATENTS).astype(np.float32)
            corrected.append(self.adaptation.correct(latent, window, seen))
        self.trial += 1
        return corrected


def test_a_decoder_per_window_without_memory_can_be_refined(bundle):
    assert why_not_adaptable(bundle) == ""


def test_one_decoder_for_all_windows_cannot(tmp_path):
    fixed = write_tiny_bundle(tmp_path / "fixed", windows=sliding_windows(), decoder_kind="fixed")
    assert "expected one per window" in why_not_adaptable(fixed)
    with pytest.raises(CommandError, match="start: bundle 'tiny'"):
        Bench(fixed).adaptation.start("test")


def test_a_decoder_that_remembers_cannot(bundle, monkeypatch):
    remembering = bundle.manifest.model_copy(update={"decoder_state": 16})
    monkeypatch.setattr(bundle, "manifest", remembering)
    assert "remembers earlier windows" in why_not_adaptable(bundle)
    with pytest.raises(ConfigError, match=r"adaptation\.online_ridge"):
        Bench(bundle, CONFIG.model_copy(update={"online_ridge": True}))


def test_the_prior_is_in_trials_of_features_as_large_as_the_bundle_s(bundle):
    mean_square = float(np.square(bundle.reference().features.astype(np.float64)).mean())
    assert prior_of(bundle, 300.0) == pytest.approx(300 * mean_square)


def test_stimuli_are_marked_test_by_bundle_list_and_pattern(bundle, monkeypatch):
    training = {"test_stimuli": ["face-0000"]}
    monkeypatch.setattr(
        bundle, "manifest", bundle.manifest.model_copy(update={"training": training})
    )
    config = AdaptationConfig(test_stimuli=["face-0003"], test_pattern=r"face-001\d")
    assert stimuli_marked_test(bundle, config) == {
        "face-0000",
        "face-0003",
        "face-0010",
        "face-0011",
    }


def test_off_the_latent_passes_untouched_and_every_command_but_start_is_refused(bundle):
    bench = Bench(bundle)
    corrected = bench.show()
    assert all(c.unadapted is None and not c.adapted for c in corrected)
    for command in (bench.adaptation.freeze, bench.adaptation.resume):
        with pytest.raises(CommandError, match="the online ridge is off"):
            command("test")
    with pytest.raises(CommandError, match="the online ridge is off"):
        bench.adaptation.roll_back(None, "test")


@pytest.mark.parametrize("error", [FloatingPointError("P is ruined"), ValueError("not finite")])
def test_learning_that_goes_wrong_goes_back_to_the_bundle_and_says_so(bundle, error, monkeypatch):
    bench = Bench(bundle)
    bench.adaptation.start("test")
    for _ in range(4):
        bench.show()
    learner = bench.adaptation._learner

    def failing(features, residual):
        raise error

    monkeypatch.setattr(learner._ridges[3], "learn", failing)
    for corrected in bench.show():
        assert corrected.latent.shape == (N_LATENTS,)
    while bench.adaptation.learn_next():
        pass
    assert bench.progress.adaptation == "frozen"
    assert bench.progress.n_trials_learnt == 0
    (trouble,) = [text for _, level, text in bench.said if level == "error"]
    assert str(error) in trouble
    assert "back to the bundle's decoder" in trouble
    after = bench.show()
    assert all(c.latent is c.unadapted and not c.adapted for c in after)


def test_a_latent_that_is_not_finite_is_not_learnt(bundle):
    bench = Bench(bundle)
    bench.adaptation.start("test")
    trial = Trial(0, "face-0001", 0.0, 0)
    for k in range(9):
        window = DueWindow(k, 0, 100, trial, late=False)
        values = np.ones(CHANNELS.n_channels, np.float32)
        latent = np.full(N_LATENTS, np.nan if k == 4 else 0.5, np.float32)
        bench.adaptation.correct(latent, window, WindowFeatures(values, 0, 0))
    learnt = bench.adaptation.learnt()
    assert learnt.saved.n_learnt.tolist() == [1] * 4 + [0] + [1] * 4


def test_a_trial_whose_last_window_has_no_latent_is_learnt_all_the_same(bundle):
    bench = Bench(bundle)
    bench.adaptation.start("test")
    bench.show(n_windows=8)
    assert bench.progress.n_trials_learnt == 0
    bench.adaptation.missed(DueWindow(8, 0, 100, Trial(0, "face-0001", 0.0, 0), late=False))
    assert bench.progress.n_trials_learnt == 1


@pytest.mark.parametrize("fault", ["n_lost", "n_bad"])
def test_windows_with_a_fault_are_not_learnt(bundle, fault):
    bench = Bench(bundle)
    bench.adaptation.start("test")
    bench.show(n_lost=int(fault == "n_lost"), n_bad=int(fault == "n_bad"))
    assert bench.progress.n_trials_learnt == 0


def test_every_checkpoint_is_said(bundle):
    bench = Bench(bundle, CONFIG.model_copy(update={"checkpoint_trials": 2}))
    bench.adaptation.start("test")
    for _ in range(5):
        bench.show()
    said = [text for kind, _, text in bench.said if kind == "adaptation"]
    assert said[1:] == ["online ridge: 2 trials learnt", "online ridge: 4 trials learnt"]
    assert "rolled back to 0, 2, 4" in bench.adaptation.status()
