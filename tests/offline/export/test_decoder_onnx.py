from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from b2g_rt.errors import BundleError
from offline.decoding.decoder import LinearDecoder
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
