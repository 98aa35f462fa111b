from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.errors import ChannelMapError, ConfigError, SessionError
from offline.decoding import attention_training
from offline.decoding.fitting import Method, channels_of_rois, fit
from offline.decoding.smoothing import SmoothedDecoder
from offline.decoding.stepping import decode_trials
from offline.export.decoder_onnx import check_decoder_parity, decoder_onnx
from offline.regression.folds import folds_by_day, folds_by_stimulus

N_TRIALS, N_WINDOWS, N_CHANNELS, N_LATENTS = 240, 3, 16, 8
METHODS = get_args(Method)
LINEAR = [m for m in METHODS if m != "attention"]


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    plan = attention_training.AttentionPlan(
        n_hidden=16, n_epochs=15, batch=48, rate=1e-2, dropout=0.1
    )
    monkeypatch.setattr(attention_training, "AttentionPlan", lambda: plan)


@pytest.fixture
def data(rng):
    latents = 1.0 + rng.standard_normal((N_TRIALS, N_LATENTS)).astype(np.float32)
    tuning = rng.standard_normal((N_LATENTS, N_CHANNELS)) / 2.0
    seen = np.array([0.0, 0.7, 1.0])[:, None] * ((latents - 1.0) @ tuning)[:, None]
    features = seen + rng.standard_normal((N_TRIALS, N_WINDOWS, N_CHANNELS)) + 0.5
    return features.astype(np.float32), latents


@pytest.fixture
def folds():
    return folds_by_stimulus([str(i) for i in range(N_TRIALS)])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_is_exported_and_runs_the_same_in_onnx_runtime(method, data, folds):
    features, latents = data
    fitted = fit(method, features, latents, folds)
    assert fitted.windows[0]["explained"] < 0.1 < fitted.windows[2]["explained"]
    check_decoder_parity(decoder_onnx(fitted.decoder), fitted.decoder, features[:4])


@pytest.mark.parametrize("smoothing", ["exponential", "kalman", "best"])
@pytest.mark.parametrize("method", LINEAR)
def test_every_linear_method_smoothed_runs_the_same_in_onnx_runtime(method, smoothing, data, folds):
    features, latents = data
    fitted = fit(method, features, latents, folds, smoothing=smoothing)
    assert fitted.smoothing["explained"] >= fitted.smoothing["explained_without"]
    check_decoder_parity(decoder_onnx(fitted.decoder), fitted.decoder, features[:4])


def test_smoothing_helps_where_windows_have_noise_of_their_own(data, folds):
    features, latents = data
    fitted = fit("ridge", features, latents, folds, smoothing="kalman")
    assert isinstance(fitted.decoder, SmoothedDecoder)
    assert fitted.smoothing["explained"] > fitted.smoothing["explained_without"] + 0.005


@pytest.mark.parametrize("method", METHODS)
def test_a_decoder_of_some_channels_takes_all_and_reads_those(method, data, folds, rng):
    features, latents = data
    read = np.arange(0, N_CHANNELS, 2)
    decoder = fit(method, features, latents, folds, channel_idx=read).decoder
    changed = features.copy()
    changed[:, :, 1::2] = rng.standard_normal(changed[:, :, 1::2].shape)
    found = decode_trials(decoder, features)
    np.testing.assert_array_equal(decode_trials(decoder, changed), found)
    assert np.abs(found[:, 2] - found[:, 2].mean(0)).max() > 0.1


@pytest.mark.parametrize("method", LINEAR)
def test_a_decoder_of_some_channels_is_the_decoder_of_these_channels_alone(method, data, folds):
    features, latents = data
    read = np.arange(5)
    some = decode_trials(fit(method, features, latents, folds, channel_idx=read).decoder, features)
    alone = np.ascontiguousarray(features[:, :, :5])
    found = decode_trials(fit(method, alone, latents, folds).decoder, alone)
    np.testing.assert_allclose(some, found, atol=1e-5)


@pytest.mark.parametrize("method", LINEAR)
def test_a_fixed_decoder_is_smoothed_over_positions_of_its_window(method, data, folds):
    features, latents = data
    sliding = np.concatenate([features[:, 1:], features[:, 1:] * 0.5], axis=1)
    fitted = fit(method, features[:, 2:], latents, folds, smoothing="kalman", sliding=sliding)
    assert isinstance(fitted.decoder, SmoothedDecoder)
    assert fitted.decoder.smoothing.keep.shape == (1,)
    assert decode_trials(fitted.decoder, sliding, fixed=True).shape == (N_TRIALS, 4, N_LATENTS)
    check_decoder_parity(decoder_onnx(fitted.decoder), fitted.decoder, features[:4, 2:])


def test_a_fixed_decoder_cannot_be_smoothed_without_positions(data, folds):
    with pytest.raises(ConfigError, match="expected features at successive positions"):
        fit("ridge", data[0][:, :1], data[1], folds, smoothing="best")


def test_two_days_are_too_few_to_smooth_a_fixed_decoder(data):
    features, latents = data
    folds = folds_by_day([str(i) for i in range(N_TRIALS)], [0, 1] * (N_TRIALS // 2))
    fit("ridge", features[:, 2:], latents, folds)
    with pytest.raises(SessionError, match="2 folds leave nothing to hold out"):
        fit("ridge", features[:, 2:], latents, folds, smoothing="best", sliding=features)


def test_attention_is_not_smoothed(data, folds):
    features, latents = data
    with pytest.raises(ConfigError, match="it pools windows itself"):
        fit("attention", features, latents, folds, smoothing="kalman")


def test_an_unknown_method_is_named_with_the_known_ones(data, folds):
    features, latents = data
    with pytest.raises(ConfigError, match="'lasso', expected one of ols, ridge"):
        fit("lasso", features, latents, folds)  # type: ignore[arg-type]


def test_trials_with_missing_windows_are_refused_and_counted(data, folds):
    features, latents = data
    features[7, 1], features[30] = np.nan, np.nan
    with pytest.raises(SessionError, match="2 of 240 trials are not finite .the first is 7."):
        fit("ridge", features, latents, folds)


def test_rois_become_channel_positions_and_absent_ones_are_named():
    channels = brain2gan_channels()
    found = channels_of_rois(channels, ["IT", "V1"])
    np.testing.assert_array_equal(found, [*range(448), *range(704, 960)])
    with pytest.raises(ChannelMapError, match="ROI 'V2' has no channel, expected some of V1, V4"):
        channels_of_rois(channels, ["V2"])
