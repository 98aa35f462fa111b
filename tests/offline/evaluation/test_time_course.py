from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.windows import paper_windows, sliding_windows
from b2g_rt.errors import ConfigError
from offline.decoding.stepping import decode_trials
from offline.evaluation.metrics import cosines
from offline.evaluation.scores import KnownTrials, score
from offline.evaluation.time_course import TimeCurve, temporal_generalisation, time_curve

N_CHANNELS, N_LATENTS = 30, 12


class PerWindow:
    """A code that turns from window to window, and its decoders."""

    n_state = 0

    def __init__(self, encodings, mean):
        self.decodings = [np.linalg.pinv(e) for e in encodings]
        self.mean = mean

    def predict(self, features, window_idx):
        return (features @ self.decodings[window_idx] + self.mean).astype(np.float32)

    def step(self, features, window_idx, state):
        return self.predict(features, window_idx), state


@pytest.fixture
def world(rng):
    """60 trials of 30 stimuli: nothing in windows 0 and 1, then a code that changes at window 5."""
    mean = rng.standard_normal(N_LATENTS)
    pool = (mean + rng.standard_normal((30, N_LATENTS))).astype(np.float32)
    true_idx = np.repeat(np.arange(30), 2)
    early, late = rng.standard_normal((2, N_LATENTS, N_CHANNELS))
    encodings = [early] * 5 + [late] * 4
    strength = [0, 0, 0.3, 0.7, 0.9, 1, 1, 1, 1]
    centred = pool[true_idx] - mean
    features = np.stack(
        [
            s * centred @ e + 0.8 * rng.standard_normal((60, N_CHANNELS))
            for s, e in zip(strength, encodings, strict=True)
        ],
        axis=1,
    ).astype(np.float32)
    known = KnownTrials(pool, true_idx, mean.astype(np.float32))
    return PerWindow(encodings, mean), features, known


def test_the_curve_rises_with_the_code_and_stands_beside_the_mean_latent(world):
    decoder, features, known = world
    curve = time_curve(score(decode_trials(decoder, features), known), paper_windows())
    np.testing.assert_array_equal(curve.stop_ms, np.arange(0, 201, 25))
    assert (curve.low < curve.value).all()
    assert (curve.value < curve.high).all()
    assert (np.diff(curve.value[1:6]) > 0).all()
    assert curve.value[8] > curve.baseline[8] + 0.1
    centred = time_curve(
        score(decode_trials(decoder, features), known), paper_windows(), centred=True
    )
    np.testing.assert_array_equal(centred.baseline, 0.0)
    assert abs(centred.value[:2]).max() < 0.15
    json.dumps(curve.to_dict())


def test_the_papers_curve_gives_its_shares_of_the_final_gain():
    faces = np.array([0.478, 0.479, 0.498, 0.525, 0.541, 0.548, 0.550, 0.548, 0.549])
    flat = np.full(9, 0.478)
    curve = TimeCurve(np.arange(9.0), faces, faces, faces, flat, np.full(9, 100))
    np.testing.assert_allclose(curve.share_of_final_gain()[2:5], [0.28, 0.66, 0.89], atol=0.005)
    nothing = TimeCurve(np.arange(9.0), flat, flat, flat, flat, np.full(9, 100))
    np.testing.assert_array_equal(nothing.share_of_final_gain(), 0.0)


def test_the_diagonal_of_the_matrix_is_the_time_curve(world):
    decoder, features, known = world
    matrix = temporal_generalisation(decoder, 9, features, known)
    scores = score(decode_trials(decoder, features), known)
    np.testing.assert_allclose(np.diag(matrix.cosine), [w.cosine.mean for w in scores.windows])
    np.testing.assert_allclose(
        np.diag(matrix.centred_cosine), [w.centred_cosine.mean for w in scores.windows]
    )
    np.testing.assert_allclose(
        matrix.mean_latent_cosine, [w.mean_latent_cosine for w in scores.windows]
    )
    json.dumps(matrix.to_dict())


def test_each_entry_is_the_decoder_of_one_window_scored_at_another(world):
    decoder, features, known = world
    features[3, 6] = np.nan
    matrix = temporal_generalisation(decoder, 9, features, known)
    np.testing.assert_array_equal(matrix.n_trials, [60] * 6 + [59] + [60] * 2)
    for fit in (2, 7):
        for k in (2, 6):
            whole = np.isfinite(features[:, k]).all(axis=1)
            decoded = decoder.predict(features[whole, k], fit)
            wanted = cosines(decoded - known.mean, known.latents[whole] - known.mean).mean()
            assert matrix.centred_cosine[fit, k] == pytest.approx(wanted, abs=1e-6)


def test_a_code_that_changes_does_not_generalise_across_the_change(world):
    centred = temporal_generalisation(world[0], 9, *world[1:]).centred_cosine
    assert centred[5:, 5:].min() > 0.8
    assert abs(centred[5:, 3:5]).max() < 0.3
    assert abs(centred[:5, 5:]).max() < 0.3


def test_a_fixed_decoder_is_a_matrix_of_one_row(world):
    decoder, features, known = world
    matrix = temporal_generalisation(decoder, 1, features, known)
    assert matrix.cosine.shape == (1, 9)


def test_a_window_that_no_trial_has_is_nan_and_counted(world):
    decoder, features, known = world
    features[:, 4] = np.nan
    matrix = temporal_generalisation(decoder, 9, features, known)
    assert matrix.n_trials[4] == 0
    assert np.isnan(matrix.cosine[:, 4]).all()
    assert np.isfinite(np.delete(matrix.cosine, 4, axis=1)).all()


@pytest.mark.parametrize(
    ("spec", "n"), [(sliding_windows(), 1), (paper_windows(), 8)], ids=["free", "number"]
)
def test_free_windows_and_other_numbers_of_windows_have_no_curve(world, spec, n):
    _, _, known = world
    decoded = np.repeat(known.latents[:, None], n, axis=1)
    with pytest.raises(ConfigError, match=f"{n} windows scored"):
        time_curve(score(decoded, known), spec)
