"""The encoder's ONNX file: it computes what numpy computes, each electrode from its own space only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.contracts.encoder import FittedEncoder
from b2g_rt.errors import BundleError
from offline.encoding.encode import encode_space
from offline.export.encoder_onnx import (
    NO_SPACE,
    FittedSpace,
    OnnxEncoder,
    encoder_onnx,
    fitted_space,
    predict_responses,
    write_encoder,
)
from offline.features.feature_space import ArrayFeatures
from tests.tiny_bundle import CHANNELS, N_STIMULI
from tests.tiny_encoder import tiny_space_of, tiny_spaces, write_tiny_encoder

N = 24


def inputs_of(spaces):
    return np.concatenate([s.inputs for s in spaces], axis=1)


@pytest.mark.parametrize(
    "space_of",
    [
        np.arange(N) % 2,
        np.zeros(N, int),
        np.ones(N, int),
        np.arange(N) % 3 - 1,
        np.full(N, NO_SPACE),
    ],
    ids=["both", "only the first", "only the second", "some without", "none"],
)
def test_the_file_computes_what_numpy_computes(space_of):
    spaces = tiny_spaces(N)
    found = OnnxEncoder(encoder_onnx(spaces, space_of)).predict(inputs_of(spaces))
    wanted = predict_responses(spaces, space_of)
    assert found.shape == (N_STIMULI, N)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_numpy_is_the_formula_written_out():
    spaces, space_of = tiny_spaces(N), np.arange(N) % 2
    wanted = predict_responses(spaces, space_of)
    for channel in (0, 1, 17):
        space = spaces[space_of[channel]]
        for stimulus in (0, 5):
            by_hand = sum(
                float(x) * float(w)
                for x, w in zip(space.inputs[stimulus], space.weights[:, channel], strict=True)
            )
            assert wanted[stimulus, channel] == pytest.approx(by_hand + space.intercept[channel])


def test_an_electrode_does_not_move_with_another_space():
    spaces, space_of = tiny_spaces(N), np.arange(N) % 2
    session = OnnxEncoder(encoder_onnx(spaces, space_of))
    inputs = inputs_of(spaces)
    before = session.predict(inputs)
    inputs[:, 16:] += 1
    after = session.predict(inputs)
    np.testing.assert_array_equal(before[:, space_of == 0], after[:, space_of == 0])
    assert (before[:, space_of == 1] != after[:, space_of == 1]).all()


def test_the_file_holds_one_column_of_one_space_per_electrode():
    n_train, n_channels = 50, 60
    rng = np.random.default_rng(0)
    spaces = [
        FittedSpace(
            f"VGG{k}",
            "kernel",
            rng.standard_normal((n_train, n_channels)).astype(np.float32),
            np.zeros(n_channels),
            rng.standard_normal((4, n_train)).astype(np.float32),
        )
        for k in range(5)
    ]
    model = onnx.load_from_string(encoder_onnx(spaces, np.arange(n_channels) % 5))
    held = sum(
        int(np.prod(i.dims))
        for i in model.graph.initializer
        if i.data_type == onnx.TensorProto.FLOAT
    )
    assert held == n_train * n_channels + n_channels


def test_an_encoder_that_float32_cannot_hold_is_not_written(tmp_path):
    spaces = tiny_spaces(CHANNELS.n_channels)
    # Predictions of size one out of terms of size a hundred million that cancel.
    rows = spaces[1].inputs.copy()
    rows[:, 0], rows[:, 1] = 1e8, 1e8
    weights = spaces[1].weights.copy()
    weights[1] = -weights[0]
    torn = [spaces[0], replace(spaces[1], inputs=rows, weights=weights)]
    with pytest.raises(BundleError, match="differs from numpy by .* too large for float32"):
        write(tmp_path / "encoder", torn)
    assert not (tmp_path / "encoder").exists()


def write(folder, spaces, **changes):
    n = CHANNELS.n_channels
    arguments = {
        "space_of": tiny_space_of(n),
        "name": "x",
        "channels": CHANNELS,
        "stimulus_ids": [f"face-{i:04d}" for i in range(N_STIMULI)],
        "training_ids": (),
        "normalisation": Normalisation(),
        "held_out_r": np.zeros(n),
        "noise_ceiling": np.zeros(n),
        "training": {},
        "simulated": True,
    }
    return write_encoder(folder, spaces, **{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"stimulus_ids": ["a"]}, "space 'w': inputs, weights and intercept"),
        ({"stimulus_ids": []}, "2 spaces and 0 stimuli"),
        ({"space_of": np.full(192, 2)}, "spaces .2. of electrodes, expected -1 to 1"),
        ({"channels": brain2gan_channels(960)}, "electrode_space: 192 entries, expected 960"),
        ({"windows_ms": {"V1": (0, 100)}}, "windows: none for IT"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(tmp_path, changes, line):
    with pytest.raises(BundleError, match=line):
        write(tmp_path / "encoder", tiny_spaces(CHANNELS.n_channels), **changes)
    assert not (tmp_path / "encoder").exists()


def test_what_encoding_fitted_is_what_the_service_will_predict(tmp_path):
    rng = np.random.default_rng(3)
    ids = tuple(f"face-{i:04d}" for i in range(90))
    # Features as a layer gives them: many, not negative, of any size.
    wide = np.maximum(rng.standard_normal((90, 3000)), 0).astype(np.float32) * 1000
    narrow = rng.standard_normal((90, 12)).astype(np.float32)
    spaces = [ArrayFeatures("VGG1", ids, wide), ArrayFeatures("w", ids, narrow)]
    n = CHANNELS.n_channels
    # Each training stimulus twice, each with its own response.
    train, test = ids[:30] * 2, ids[60:]
    responses = (narrow[list(range(30)) * 2] @ rng.standard_normal((12, 2 * n))).astype(np.float32)
    responses += rng.standard_normal(responses.shape).astype(np.float32)
    # Two windows of each electrode: the service's is the second one.
    mine = np.arange(n, 2 * n)
    predictions = [
        encode_space(spaces[0], train, test, responses, form="kernel"),
        encode_space(spaces[1], train, test, responses, form="features"),
    ]
    fitted = [
        fitted_space(p, s, test, {"layer": s.name}, mine)
        for p, s in zip(predictions, spaces, strict=True)
    ]
    assert [(f.kind, len(f.weights)) for f in fitted] == [("kernel", 30), ("features", 12)]
    space_of = np.arange(n) % 2
    write(
        tmp_path / "encoder", fitted, space_of=space_of, stimulus_ids=test, training_ids=ids[50:70]
    )
    encoder = FittedEncoder(tmp_path / "encoder")
    assert encoder.stimuli.in_training == set(ids[60:70])
    assert encoder.manifest.spaces[0].provenance == {"layer": "VGG1"}
    session = OnnxEncoder(encoder.file("encoder.onnx").read_bytes())
    found = session.predict(encoder.stimuli.inputs)
    for position, prediction in enumerate(predictions):
        columns = space_of == position
        wanted = prediction.predicted[:, mine][:, columns]
        np.testing.assert_allclose(found[:, columns], wanted, atol=1e-4 * wanted.std())


def test_the_reference_holds_what_the_file_gives(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    session = OnnxEncoder(encoder.file("encoder.onnx").read_bytes())
    assert encoder.check(lambda x: session.predict(x[None])[0], "CPU") == 0
    assert FittedEncoder(encoder.path).hash == encoder.hash
