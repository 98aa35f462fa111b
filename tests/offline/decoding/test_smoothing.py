from __future__ import annotations

import numpy as np
import pytest

from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import (
    SmoothedDecoder,
    Smoothing,
    choose_smoothing,
)
from offline.decoding.stepping import decode_trials
from offline.regression.folds import folds_by_stimulus

N_TRIALS, N_WINDOWS, N_LATENTS = 600, 5, 3
SLOPE = np.array([0.0, 0.3, 0.8, 1.0, 1.0])
NOISE = np.array([0.1, 0.7, 0.9, 1.0, 1.2])


@pytest.fixture
def folds():
    return folds_by_stimulus([str(i) for i in range(N_TRIALS)])


@pytest.fixture
def measured(rng):
    """Windows that measure the latent with known slopes and independent noise."""
    latents = 2.0 + rng.standard_normal((N_TRIALS, N_LATENTS))
    noise = rng.standard_normal((N_TRIALS, N_WINDOWS, N_LATENTS)) * NOISE[:, None]
    predicted = 2.0 + SLOPE[:, None] * (latents - 2.0)[:, None] + noise
    return predicted.astype(np.float32), latents.astype(np.float32)


def run(smoothing, predicted):
    state = np.zeros((len(predicted), smoothing.n_state), np.float32)
    found = []
    for k in range(predicted.shape[1]):
        latents, state = smoothing.step(predicted[:, k], min(k, len(smoothing.keep) - 1), state)
        found.append(latents)
    return np.stack(found, axis=1)


def test_a_kalman_filter_without_walk_is_the_best_guess_from_all_windows_so_far(measured, folds):
    predicted, latents = measured
    choice = choose_smoothing("kalman", predicted, latents, folds)
    assert choice.kind == "kalman"
    smoothed = run(choice.smoothing, predicted)
    for k in range(N_WINDOWS):
        # Bayes, from the true slopes and variances, prior variance 1.
        precision = 1.0 + (SLOPE[: k + 1] ** 2 / NOISE[: k + 1] ** 2).sum()
        weight = SLOPE[: k + 1] / NOISE[: k + 1] ** 2 / precision
        wanted = 2.0 + np.einsum("k,tkl->tl", weight, predicted[:, : k + 1] - 2.0)
        assert np.abs(smoothed[:, k] - wanted).mean() < 0.12
        error = np.square(smoothed[:, k] - latents).mean()
        assert error == pytest.approx(1.0 / precision, rel=0.15)


def test_an_exponential_is_the_recursion_it_says(measured, folds):
    predicted, latents = measured
    choice = choose_smoothing("exponential", predicted, latents, folds)
    assert choice.kind == "exponential"
    mean = latents.astype(np.float64).mean(0)
    d = np.zeros((N_TRIALS, N_LATENTS))
    for k in range(N_WINDOWS):
        d = (1 - choice.value) * d + choice.value * (predicted[:, k] - mean)
        np.testing.assert_allclose(run(choice.smoothing, predicted)[:, k], mean + d, atol=1e-5)


def test_the_best_kind_is_the_one_that_explains_most_of_held_out_trials(measured, folds):
    predicted, latents = measured
    choice = choose_smoothing("best", predicted, latents, folds)
    assert choice.kind == "kalman"
    assert choice.explained["kalman", choice.value] == max(choice.explained.values())
    assert choice.explained["kalman", choice.value] > choice.explained["none", 0.0] + 0.05


def test_what_was_promised_for_held_out_trials_holds_for_new_ones(measured, folds, rng):
    predicted, latents = measured
    choice = choose_smoothing("best", predicted[:300], latents[:300], folds_of(300))
    new, truth = predicted[300:], latents[300:]
    rest = np.square(run(choice.smoothing, new) - truth[:, None]).sum()
    total = N_WINDOWS * np.square(truth - truth.mean(0)).sum()
    assert 1 - rest / total == pytest.approx(choice.explained[choice.kind, choice.value], abs=0.06)


def folds_of(n):
    return folds_by_stimulus([str(i) for i in range(n)])


def test_windows_without_error_are_left_alone(measured, folds):
    _, latents = measured
    predicted = np.repeat(latents[:, None], N_WINDOWS, axis=1)
    predicted[:, 0] = latents.mean(0)
    choice = choose_smoothing("exponential", predicted, latents, folds)
    assert choice.kind == "none"
    assert choice.smoothing is None


def test_trials_that_nobody_decoded_do_not_count(measured, folds):
    predicted, latents = measured
    some = predicted.copy()
    some[::3, 2] = np.nan
    choice = choose_smoothing("best", some, latents, folds)
    assert np.isfinite(choice.smoothing.gain).all()
    assert np.isfinite(list(choice.explained.values())).all()


def test_a_latent_that_never_changes_gives_its_mean(measured, folds):
    predicted, latents = measured
    latents[:, 1], predicted[:, :, 1] = 7.0, 7.0
    choice = choose_smoothing("kalman", predicted, latents, folds)
    np.testing.assert_allclose(run(choice.smoothing, predicted)[:, :, 1], 7.0)


def test_noise_that_windows_share_is_not_taken_for_news(measured, folds):
    _, latents = measured
    rng = np.random.default_rng(3)
    noise = np.empty((N_TRIALS, N_WINDOWS, N_LATENTS))
    noise[:, 0] = rng.standard_normal((N_TRIALS, N_LATENTS))
    for k in range(1, N_WINDOWS):
        new = rng.standard_normal((N_TRIALS, N_LATENTS))
        noise[:, k] = 0.9 * noise[:, k - 1] + np.sqrt(1 - 0.9**2) * new
    predicted = (latents[:, None] + noise).astype(np.float32)
    choice = choose_smoothing("kalman", predicted, latents, folds)
    assert choice.kind == "kalman"
    error = np.square(run(choice.smoothing, predicted) - latents[:, None]).mean(axis=(0, 2))
    # Best guess from all windows so far, of the true covariance.
    lag = np.abs(np.subtract.outer(np.arange(N_WINDOWS), np.arange(N_WINDOWS)))
    for k in range(N_WINDOWS):
        inverse = np.linalg.inv(0.9 ** lag[: k + 1, : k + 1])
        assert error[k] == pytest.approx(1 / (1 + inverse.sum()), rel=0.15)


def test_a_fixed_decoder_has_one_filter_for_all_positions_and_it_is_stationary(rng, folds):
    latents = rng.standard_normal((N_TRIALS, N_LATENTS)).astype(np.float32)
    noise = rng.standard_normal((N_TRIALS, 8, N_LATENTS)).astype(np.float32)
    choice = choose_smoothing("kalman", latents[:, None] + noise, latents, folds, fixed=True)
    assert choice.kind == "kalman"
    keep, gain = float(choice.smoothing.keep[0]), float(choice.smoothing.gain[0])
    assert len(choice.smoothing.keep) == len(choice.smoothing.gain) == 1
    assert keep == pytest.approx(1.0 - gain, abs=0.05)
    # Variances, of the latent: prior P = p + q, posterior p = (1 - gain) P, gain = P / (P + 1).
    prior = gain / (1.0 - gain)
    assert prior - (1.0 - gain) * prior == pytest.approx(choice.value, rel=0.2)


def linear(rng):
    return LinearDecoder(
        (0.3 * rng.standard_normal((4, 6, N_LATENTS))).astype(np.float16),
        None,
        rng.standard_normal((4, N_LATENTS)).astype(np.float32),
    )


def smoothed_decoder(rng):
    keep, gain, back = rng.uniform(0, 1, (3, 4)).astype(np.float32)
    mean = rng.standard_normal(N_LATENTS).astype(np.float32)
    return SmoothedDecoder(linear(rng), Smoothing(keep, gain, back, mean))


def test_later_windows_change_nothing_that_was_decoded(rng):
    decoder = smoothed_decoder(rng)
    features = rng.standard_normal((7, 4, 6)).astype(np.float32)
    whole = decode_trials(decoder, features)
    for k in range(4):
        changed = features.copy()
        changed[:, k:] += 1.0
        found = decode_trials(decoder, changed)
        np.testing.assert_array_equal(found[:, :k], whole[:, :k])
        assert (found[:, k] != whole[:, k]).any()


def test_a_missing_window_is_stepped_over(rng):
    decoder = smoothed_decoder(rng)
    features = rng.standard_normal((1, 4, 6)).astype(np.float32)
    gap = features.copy()
    gap[:, 1] = np.nan
    found = decode_trials(decoder, gap)
    assert np.isnan(found[0, 1]).all()
    state = np.zeros((1, 2 * N_LATENTS), np.float32)
    for k in (0, 2, 3):
        latent, state = decoder.step(features[:, k], k, state)
        np.testing.assert_array_equal(found[:, k], latent)


def test_what_remembers_cannot_be_smoothed_again(rng):
    decoder = smoothed_decoder(rng)
    with pytest.raises(ValueError, match="remembers 6 numbers"):
        SmoothedDecoder(decoder, decoder.smoothing)
