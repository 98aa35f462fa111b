from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from b2g_rt.errors import BundleError
from offline.decoding.attention_decoder import AttentionDecoder
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.decoding.stepping import decode_trials
from offline.export.decoder_onnx import (
    OnnxDecoder,
    check_decoder_parity,
    decoder_onnx,
)


@pytest.fixture
def decoder(rng):
    return LinearDecoder(
        down=(0.1 * rng.standard_normal((9, 64, 5))).astype(np.float16),
        up=rng.standard_normal((9, 5, 16)).astype(np.float16),
        bias=rng.standard_normal((9, 16)).astype(np.float32),
    )


@pytest.fixture
def features(rng):
    return rng.standard_normal((10, 9, 64)).astype(np.float32)


def test_onnx_runtime_computes_what_numpy_computes_with_these_very_weights(decoder, features):
    assert check_decoder_parity(decoder_onnx(decoder), decoder, features).worst < 1e-6


def test_parity_names_the_element_that_differs(decoder, features):
    bias = decoder.bias.copy()
    bias[4, 7] += 1e-3
    other = dataclasses.replace(decoder, bias=bias)
    with pytest.raises(BundleError, match="window 4, latent 7 differs"):
        check_decoder_parity(decoder_onnx(other), decoder, features)


def test_the_file_has_the_shapes_of_the_contract_and_half_size_weights(decoder):
    model = decoder_onnx(decoder)
    graph = onnx.load_from_string(model).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.output)
    }
    assert shapes == {"features": [1, 64], "window_idx": [1], "latent": [1, 16]}
    assert len(model) < 2 * (decoder.down.size + decoder.up.size) + 4 * decoder.bias.size + 4000


def test_no_trials_give_no_latents(decoder):
    assert OnnxDecoder(decoder_onnx(decoder)).predict(np.empty((0, 64), np.float32), 0).shape == (
        0,
        16,
    )


@pytest.fixture
def smoothed(decoder, rng):
    keep, gain, back = rng.uniform(0, 1, (3, 9)).astype(np.float32)
    mean = rng.standard_normal(16, np.float32)
    return SmoothedDecoder(decoder, Smoothing(keep, gain, back, mean))


@pytest.fixture
def attention(rng):
    def drawn(*shape):
        return (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)

    return AttentionDecoder(
        embed=drawn(64, 12),
        position=drawn(9, 12),
        mix=drawn(12, 12),
        mix_bias=drawn(12),
        score=drawn(12),
        readout=drawn(12, 16),
        readout_bias=drawn(16),
        slope=drawn(9, 16),
        mean=drawn(16),
    )


def test_a_decoder_of_full_rank_has_one_product_and_the_same_answers(decoder, features, rng):
    full = LinearDecoder(rng.standard_normal((9, 64, 16)).astype(np.float16), None, decoder.bias)
    model = decoder_onnx(full)
    check_decoder_parity(model, full, features)
    assert [n.op_type for n in onnx.load_from_string(model).graph.node].count("MatMul") == 1


@pytest.mark.parametrize("kind", ["smoothed", "attention"])
def test_a_decoder_that_remembers_gives_what_it_remembers_back(kind, features, request):
    decoder = request.getfixturevalue(kind)
    model = decoder_onnx(decoder)
    check_decoder_parity(model, decoder, features)
    graph = onnx.load_from_string(model).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.output)
    }
    assert shapes["state"] == shapes["next_state"] == [1, decoder.n_state]
    assert OnnxDecoder(model).n_state == decoder.n_state


@pytest.mark.parametrize("kind", ["smoothed", "attention"])
def test_a_file_steps_over_missing_windows_as_the_arrays_do(kind, features, request):
    decoder = request.getfixturevalue(kind)
    features[2, 4], features[5, 0], features[7] = np.nan, np.nan, np.nan
    found = decode_trials(OnnxDecoder(decoder_onnx(decoder)), features)
    wanted = decode_trials(decoder, features)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.isnan(found).all(axis=2).sum() == 1 + 1 + 9


def test_a_decoder_that_remembers_does_not_decode_windows_out_of_order(smoothed, features):
    with pytest.raises(TypeError, match="remembers 32 numbers from window to window"):
        OnnxDecoder(decoder_onnx(smoothed)).predict(features[:, 0], 0)


def test_attention_over_one_window_remembers_nothing(attention, features):
    one = dataclasses.replace(attention, position=attention.position[:1])
    model = decoder_onnx(one)
    assert OnnxDecoder(model).n_state == 0
    check_decoder_parity(model, one, features[:, :1])
