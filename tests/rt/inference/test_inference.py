from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference.decoder import Decoder
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.onnx_model import OnnxModel
from b2g_rt.inference.providers import ProviderSettings, has_driver, provider_options
from tests.tiny_bundle import N_LATENTS, SIZE, write_tiny_bundle

CPU = ProviderSettings(request="cpu")


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return write_tiny_bundle(tmp_path / "tiny")


def test_the_decoder_answers_with_the_latent_of_its_window(bundle):
    decoder, reference = Decoder(bundle, CPU), bundle.reference()
    for features, k, latent in zip(
        reference.features, reference.window_idx, reference.latents, strict=True
    ):
        np.testing.assert_allclose(decoder.decode(features, int(k)), latent, atol=1e-5)
    assert decoder.worst_reference_error < 1e-5


def test_two_inputs_give_two_answers_and_the_first_is_kept(bundle):
    decoder, features = Decoder(bundle, CPU), bundle.reference().features
    first = decoder.decode(features[0], 0)
    kept = first.copy()
    second = decoder.decode(features[1], 0)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)


def test_decoding_is_the_same_bit_for_bit_at_each_call(bundle):
    features = bundle.reference().features[0]
    answers = {Decoder(bundle, CPU).decode(features, 4).tobytes() for _ in range(3)}
    assert len(answers) == 1


def test_the_record_says_what_is_really_used(bundle):
    record = Decoder(bundle, ProviderSettings(request="auto", threads=1)).record
    assert record.provider == ("CUDAExecutionProvider" if has_driver() else "CPUExecutionProvider")
    assert record.asked == "auto"
    assert record.batch == 1


def test_the_generator_gives_bytes_row_col_rgb(bundle):
    image = Generator(bundle, CPU).render(np.zeros(N_LATENTS, np.float32))
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8


def test_swapped_weights_of_the_same_shape_are_refused(tmp_path, bundle):
    other = write_tiny_bundle(tmp_path / "other", seed=2)
    (bundle.path / "decoder.onnx").write_bytes(other.file("decoder.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"decoder.onnx on CPUExecutionProvider differs"):
        Decoder(bundle, CPU)
    (bundle.path / "generator.onnx").write_bytes(other.file("generator.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"generator.onnx on CPUExecutionProvider differs"):
        Generator(bundle, CPU)


@pytest.mark.skipif(has_driver(), reason="a GPU driver is installed")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_missing_is_an_error_of_one_line_that_names_the_library(
    bundle, provider
):
    with pytest.raises(ProviderError) as caught:
        Decoder(bundle, ProviderSettings(request=provider, tensorrt_cache=bundle.path / "cache"))
    line = str(caught.value)
    assert "\n" not in line
    assert ".so" in line
    assert "is missing" in line
    assert "pip install" in line


@pytest.mark.gpu
@pytest.mark.skipif(not has_driver(), reason="no GPU driver")
def test_cuda_gives_the_reference_latents(bundle):
    decoder = Decoder(bundle, ProviderSettings(request="cuda"))
    assert decoder.record.provider == "CUDAExecutionProvider"


def test_tensorrt_engines_are_cached_by_bundle_version_and_device(tmp_path):
    options = provider_options(
        "tensorrt", ProviderSettings(device_id=1, tensorrt_cache=tmp_path, cache_key="abc123")
    )
    prefix = options[0][1]["trt_engine_cache_prefix"]
    assert prefix.startswith("abc123-ort")
    assert prefix.endswith("gpu1-fp32")


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"<html>")
    with pytest.raises(BundleError, match="expected an ONNX model") as caught:
        OnnxModel(tmp_path / "x.onnx", CPU, {})
    assert "\n" not in str(caught.value)


def test_a_model_of_other_shapes_is_refused(bundle):
    with pytest.raises(BundleError, match=r"'features': shape \[1, 192\], expected \(1, 960\)"):
        OnnxModel(
            bundle.file("decoder.onnx"),
            CPU,
            {"features": (1, 960), "window_idx": (1,), "latent": (1, 16)},
        )


def test_a_model_with_another_input_is_refused(tmp_path, bundle):
    model = onnx.load(bundle.file("decoder.onnx"))
    with pytest.raises(BundleError, match="'features': not expected"):
        OnnxModel(bundle.file("decoder.onnx"), CPU, {"x": (1, 192)})
    assert model.graph.input[0].name == "features"


def test_idle_threads_of_a_session_do_not_spin(bundle):
    options = Decoder(bundle, CPU)._model._session.get_session_options()
    for pool in ("intra_op", "inter_op"):
        assert options.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"
