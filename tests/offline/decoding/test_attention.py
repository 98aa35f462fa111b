from __future__ import annotations

import numpy as np
import pytest
import torch

from offline.decoding.attention_decoder import AttentionDecoder, silu
from offline.decoding.attention_training import (
    AttentionPlan,
    _Network,
    _Scale,
    train_attention,
)
from offline.decoding.stepping import decode_trials
from offline.regression.folds import folds_by_stimulus

N_TRIALS, N_WINDOWS, N_CHANNELS, N_LATENTS = 400, 3, 20, 12
PLAN = AttentionPlan(n_hidden=24, n_epochs=12, batch=64, rate=5e-3, dropout=0.1)


@pytest.fixture
def data(rng):
    """Window 0 knows nothing; the others see the latents through their own noise."""
    latents = 1.0 + rng.standard_normal((N_TRIALS, N_LATENTS)).astype(np.float32)
    tuning = rng.standard_normal((N_LATENTS, N_CHANNELS)) / N_LATENTS**0.5
    seen = np.array([0.0, 1.0, 1.0])[:, None] * ((latents - 1.0) @ tuning)[:, None]
    features = seen + rng.standard_normal((N_TRIALS, N_WINDOWS, N_CHANNELS))
    return features.astype(np.float32), latents


@pytest.fixture
def fold():
    return folds_by_stimulus([str(i) for i in range(N_TRIALS)])[0]


def test_it_learns_and_the_second_informative_window_adds_to_the_first(data, fold):
    features, latents = data
    found = train_attention(features, latents, fold, plan=PLAN)
    assert found.explained[0] < 0.03
    assert found.explained[1] > 0.15
    assert found.explained[2] > found.explained[1] + 0.03
    assert found.by_epoch[found.epoch - 1] == found.by_epoch.max()


def test_what_held_out_trials_are_said_to_explain_is_what_the_arrays_explain(data, fold):
    features, latents = data
    found = train_attention(features, latents, fold, plan=PLAN)
    decoded = decode_trials(found.decoder, features[fold.held_out])
    truth = latents[fold.held_out]
    total = np.square(truth - found.decoder.mean).sum()
    rest = np.square(decoded - truth[:, None]).sum(axis=(0, 2))
    np.testing.assert_allclose(1 - rest / total, found.explained, atol=1e-4)


def test_the_same_seed_gives_the_same_decoder(data, fold):
    plan = AttentionPlan(n_hidden=8, n_epochs=2, batch=64)
    features, latents = data
    first, again, other = (
        train_attention(features, latents, fold, plan=plan, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.decoder.readout, again.decoder.readout)
    assert (first.decoder.readout != other.decoder.readout).any()


def test_channels_that_are_not_read_change_nothing(data, fold, rng):
    features, latents = data
    plan = AttentionPlan(n_hidden=8, n_epochs=2, batch=64)
    read = np.arange(0, N_CHANNELS, 2)
    decoder = train_attention(features, latents, fold, plan=plan, channel_idx=read).decoder
    changed = features.copy()
    changed[:, :, 1::2] = rng.standard_normal(changed[:, :, 1::2].shape)
    np.testing.assert_array_equal(decode_trials(decoder, changed), decode_trials(decoder, features))


def test_trials_of_the_fold_that_is_held_out_are_not_learnt(data, fold):
    features, latents = data
    plan = AttentionPlan(n_hidden=8, n_epochs=1, batch=64)
    first = train_attention(features, latents, fold, plan=plan).decoder
    other = latents.copy()
    other[fold.held_out] += 1.0
    again = train_attention(features, other, fold, plan=plan).decoder
    np.testing.assert_array_equal(first.readout, again.readout)
    assert (first.slope != again.slope).any()


@pytest.fixture
def decoder(rng):
    def drawn(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return AttentionDecoder(
        embed=drawn(N_CHANNELS, 8),
        position=drawn(N_WINDOWS, 8),
        mix=drawn(8, 8),
        mix_bias=drawn(8),
        score=drawn(8),
        readout=drawn(8, N_LATENTS),
        readout_bias=drawn(N_LATENTS),
        slope=drawn(N_WINDOWS, N_LATENTS),
        mean=drawn(N_LATENTS),
    )


def test_running_sums_give_the_softmax_over_the_windows_so_far(decoder, rng):
    x = rng.standard_normal((5, N_WINDOWS, N_CHANNELS)).astype(np.float32)
    hidden = silu(silu(x @ decoder.embed + decoder.position) @ decoder.mix + decoder.mix_bias)
    score = 4.0 * np.tanh(hidden @ decoder.score)
    found = decode_trials(decoder, x)
    for k in range(N_WINDOWS):
        share = np.exp(score[:, : k + 1])
        share /= share.sum(axis=1, keepdims=True)
        pooled = np.einsum("tk,tkh->th", share, hidden[:, : k + 1])
        moved = pooled @ decoder.readout + decoder.readout_bias
        wanted = decoder.mean + decoder.slope[k] * moved
        np.testing.assert_allclose(found[:, k], wanted, rtol=1e-4, atol=1e-4)


def test_later_windows_change_nothing_that_was_decoded(decoder, rng):
    x = rng.standard_normal((5, N_WINDOWS, N_CHANNELS)).astype(np.float32)
    changed = x.copy()
    changed[:, -1] += 1.0
    np.testing.assert_array_equal(
        decode_trials(decoder, changed)[:, :-1], decode_trials(decoder, x)[:, :-1]
    )


@pytest.mark.parametrize("n_windows", [1, 3])
def test_the_arrays_compute_what_the_network_computes(n_windows, rng):
    x = rng.standard_normal((6, n_windows, N_CHANNELS)).astype(np.float32)
    latents = rng.standard_normal((50, N_LATENTS)).astype(np.float32)
    scale = _Scale.of(latents)
    network = _Network(N_CHANNELS, n_windows, N_LATENTS, PLAN, torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.score += torch.linspace(-1, 1, PLAN.n_hidden)
        network.position += 0.3
        network.readout_bias += 0.2
        wanted = network._output(torch.from_numpy(x)).numpy() * scale.sd + scale.mean
    decoder = network.arrays(np.arange(N_CHANNELS), N_CHANNELS, scale)
    assert decoder.n_state == (0 if n_windows == 1 else PLAN.n_hidden + 1)
    np.testing.assert_allclose(decode_trials(decoder, x), wanted, rtol=1e-4, atol=1e-4)


def test_silu_of_large_numbers_neither_overflows_nor_warns():
    np.testing.assert_allclose(silu(np.array([-1e4, 0.0, 1e4], np.float32)), [0, 0, 1e4])
