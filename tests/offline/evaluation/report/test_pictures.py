from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from offline.evaluation.image_metrics import pixel_correlation
from offline.evaluation.metrics import cosines
from offline.evaluation.published_networks import NETWORKS
from offline.evaluation.report.pictures import (
    draw_strips,
    draw_trials,
    drawn_first,
    open_networks,
    picture_scores,
)


def test_every_stimulus_is_drawn_once_before_any_is_drawn_twice(trials):
    idx = trials.known.true_idx
    chosen = drawn_first(trials, 20)
    assert sorted(idx[chosen[:16]]) == list(range(16))
    assert len(set(idx[chosen[16:]])) == 4
    first = [int(np.flatnonzero(idx == i)[0]) for i in range(16)]
    assert sorted(chosen[:16]) == sorted(first)
    assert (np.diff(chosen[:16]) > 0).all()
    assert len(drawn_first(trials, 500)) == 48


def test_trials_that_could_not_be_decoded_are_passed_over(trials):
    decoded = trials.decoded.copy()
    decoded[drawn_first(trials, 1)[0], -1] = np.nan
    chosen = drawn_first(replace(trials, decoded=decoded), 500)
    assert len(chosen) == 47
    assert np.isfinite(decoded[chosen, -1]).all()


def test_pictures_are_drawn_from_decoded_and_from_true_latents(trials, render, no_stage):
    drawn = draw_trials(trials, render, 10, no_stage)
    chosen = drawn_first(trials, 10)
    np.testing.assert_array_equal(drawn.reconstructed, render(trials.decoded[chosen, -1]))
    shown = drawn.stimuli[drawn.true_idx]
    np.testing.assert_array_equal(shown, render(trials.known.latents[chosen]))
    np.testing.assert_array_equal(drawn.mean_picture, render(trials.known.mean[None])[0])
    assert drawn.names == tuple(trials.stimuli[i] for i in chosen)


def test_strips_are_the_best_the_median_and_the_worst_trial(trials, render, no_stage):
    best, median, worst = draw_strips(trials, render, no_stage)
    mean = trials.known.mean
    all_ = cosines(trials.decoded[:, -1] - mean, trials.known.latents - mean)
    assert best.cosine[-1] == pytest.approx(all_.max())
    assert worst.cosine[-1] == pytest.approx(all_.min())
    assert median.cosine[-1] == pytest.approx(np.sort(all_)[::-1][24])
    assert best.windows.shape == (3, 16, 16, 3)
    # The first window's map is nothing: the mean latent's picture.
    np.testing.assert_array_equal(worst.windows[0], render(mean[None])[0])


class Distance:
    spec = SimpleNamespace(name="apart", preprocessing="as they are", layers={})

    def distances(self, reconstructed, shown):
        return np.abs(reconstructed.astype(float) - shown).mean(axis=(1, 2, 3))


def test_scores_of_pictures_say_how_they_were_made(trials, render, no_stage):
    drawn = draw_trials(trials, render, 8, no_stage)
    found = picture_scores(drawn, no_stage, [], [Distance()])
    scores = {s["metric"]: s for s in found["scores"]}
    wanted = pixel_correlation(drawn.reconstructed, drawn.stimuli[drawn.true_idx]).values
    assert scores["PixCorr"]["score"]["mean"] == pytest.approx(wanted.mean())
    assert "425 px" in scores["SSIM"]["preprocessing"]
    assert scores["APART"]["better"] == "lower"
    assert found["size_px"] == [16, 16]
    assert found["n_pictures"] == len(found["stimuli"]) == 8


def test_what_is_missing_is_told_with_its_file_and_where_it_belongs(tmp_path):
    networks, distances, missing = open_networks(tmp_path)
    assert (networks, distances) == ([], [])
    assert missing.keys() == NETWORKS.keys()
    for name, told in missing.items():
        assert name in told["why"]
        assert told["weights"] == NETWORKS[name].weights
        assert told["folder"] == str(tmp_path)
        assert told["why"].count("\n") == 0
