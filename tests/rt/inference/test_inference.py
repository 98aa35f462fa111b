from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from b2g_rt.contracts.bundle import FILES, ModelBundle, npz_bytes, write_bundle
from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference import bound_session, session_opening
from b2g_rt.inference.decoder import Decoder
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.onnx_model import OnnxModel
from b2g_rt.inference.providers import ProviderSettings, has_driver
from b2g_rt.inference.session_checks import TensorSpec, check_placement
from tests.tiny_bundle import N_LATENTS, SIZE, write_tiny_bundle

CPU = ProviderSettings(request="cpu")
INPUTS = {"features": TensorSpec((1, 192)), "window_idx": TensorSpec((1,), "int64")}
NOTHING = np.zeros(0, np.float32)
OUTPUTS = {"latent": TensorSpec((1, N_LATENTS))}


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return write_tiny_bundle(tmp_path / "tiny")


def test_the_decoder_answers_with_the_latent_of_its_window(bundle):
    decoder, reference = Decoder(bundle, CPU), bundle.reference()
    for features, k, latent in zip(
        reference.features, reference.window_idx, reference.latents, strict=True
    ):
        np.testing.assert_allclose(decoder.step(features, int(k), NOTHING)[0], latent, atol=1e-5)
    assert decoder.worst_reference_error < 1e-5


def test_two_inputs_give_two_answers_and_the_first_is_kept(bundle):
    decoder, features = Decoder(bundle, CPU), bundle.reference().features
    first = decoder.step(features[0], 0, NOTHING)[0]
    kept = first.copy()
    second = decoder.step(features[1], 0, NOTHING)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)


def test_decoding_is_the_same_bit_for_bit_at_each_call(bundle):
    features = bundle.reference().features[0]
    answers = {Decoder(bundle, CPU).step(features, 4, NOTHING)[0].tobytes() for _ in range(3)}
    assert len(answers) == 1


def remembering_onnx(n_channels: int) -> bytes:
    """ONNX: latent = state + the sum of the features, which is what is remembered too."""
    row = (1, N_LATENTS)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["features", "axis"], ["sum"], keepdims=1),
            helper.make_node("Cast", ["window_idx"], ["k"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["sum", "k"], ["moved"]),
            helper.make_node("Add", ["state", "moved"], ["latent"]),
            helper.make_node("Identity", ["latent"], ["next_state"]),
        ],
        "remembering",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, n_channels)),
            helper.make_tensor_value_info("window_idx", TensorProto.INT64, (1,)),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, row),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, row)
            for name in ("latent", "next_state")
        ],
        [onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def with_memory(bundle: ModelBundle, n_state: int) -> ModelBundle:
    """Rewrite the tiny bundle with a decoder that remembers; the manifest says so many numbers."""
    reference, n = bundle.reference(), bundle.channels.n_channels
    rows = {
        "features": np.ones((2, n), np.float32),
        "window_idx": np.array([0, 1]),
        "latents": np.repeat(np.array([[n], [2 * n + 1]], np.float32), N_LATENTS, axis=1),
        "trial": np.zeros(2, np.int64),
        "w": reference.w,
        "images": reference.images,
    }
    files = {name: bundle.file(name).read_bytes() for name in FILES}
    files |= {"decoder.onnx": remembering_onnx(n), "reference.npz": npz_bytes(**rows)}
    manifest = bundle.manifest.model_dump(exclude={"schema_version", "files"})
    write_bundle(bundle.path, manifest | {"decoder_state": n_state}, files)
    return ModelBundle(bundle.path)


def test_what_a_decoder_remembers_is_given_back_to_it(bundle):
    decoder = Decoder(with_memory(bundle, N_LATENTS), CPU)
    assert decoder.n_state == N_LATENTS
    features = np.ones(192, np.float32)
    latent, state = decoder.step(features, 0, np.zeros(N_LATENTS, np.float32))
    kept = state.copy()
    again, _ = decoder.step(features, 0, state)
    assert (latent[0], again[0]) == (192, 384)
    np.testing.assert_array_equal(state, kept)


@pytest.mark.parametrize("n_state", [0, 3])
def test_a_decoder_that_remembers_other_than_its_manifest_says_is_refused(bundle, n_state):
    with pytest.raises(BundleError, match="state"):
        Decoder(with_memory(bundle, n_state), CPU)


def test_the_record_says_what_is_really_used(bundle):
    record = Decoder(bundle, ProviderSettings(request="auto", threads=1)).record
    assert record.provider == ("CUDAExecutionProvider" if has_driver() else "CPUExecutionProvider")
    assert record.asked == "auto"
    assert record.batch == 1


def test_the_generator_gives_bytes_row_col_rgb(bundle):
    image = Generator(bundle, CPU).render(np.ones(N_LATENTS, np.float32))
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


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"<html>")
    with pytest.raises(BundleError, match="expected an ONNX model") as caught:
        OnnxModel(tmp_path / "x.onnx", CPU, {}, {})
    assert "\n" not in str(caught.value)


def test_a_model_of_other_shapes_is_refused(bundle):
    inputs = {**INPUTS, "features": TensorSpec((1, 960))}
    with pytest.raises(BundleError, match=r"'features': shape \[1, 192\], expected \(1, 960\)"):
        OnnxModel(bundle.file("decoder.onnx"), CPU, inputs, OUTPUTS)


def test_a_model_with_another_input_is_refused(bundle):
    with pytest.raises(BundleError, match="input 'features': not expected"):
        OnnxModel(bundle.file("decoder.onnx"), CPU, {"x": TensorSpec((1, 192))}, OUTPUTS)


def changed(bundle: ModelBundle, change: Any) -> Path:
    """Write the bundle's decoder with something changed."""
    model = onnx.load(bundle.file("decoder.onnx"))
    change(model)
    path = bundle.path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def without_window_idx(model: Any) -> None:
    for node in model.graph.node:
        node.input[:] = ["zero" if name == "window_idx" else name for name in node.input]
    del model.graph.input[1]
    model.graph.initializer.append(helper.make_tensor("zero", TensorProto.INT64, [1], [0]))


def with_int64_features(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    model.graph.node.insert(0, helper.make_node("Cast", ["features"], ["f"], to=TensorProto.FLOAT))
    for node in list(model.graph.node)[1:]:
        node.input[:] = ["f" if name == "features" else name for name in node.input]


def with_a_future_ir(model: Any) -> None:
    model.ir_version = 99


def with_a_future_opset(model: Any) -> None:
    model.opset_import[0].version = 99


def that_cannot_run(model: Any) -> None:
    """Gather beyond the weights: only a run tells."""
    model.graph.initializer.append(helper.make_tensor("far", TensorProto.INT64, [1], [10**6]))
    model.graph.node.insert(0, helper.make_node("Add", ["window_idx", "far"], ["k"]))
    for node in list(model.graph.node)[1:]:
        node.input[:] = ["k" if name == "window_idx" else name for name in node.input]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_window_idx, "input 'window_idx': missing, expected features, window_idx"),
        (with_int64_features, r"input 'features': tensor\(int64\), expected tensor\(float\)"),
        (with_a_future_ir, "Unsupported model IR version: 99"),
        (with_a_future_opset, "Opset 99 is under development"),
        (that_cannot_run, "expected an ONNX model that onnxruntime .* runs"),
    ],
)
@pytest.mark.parametrize("request_", ["cpu", "auto"])
def test_a_model_that_cannot_be_used_is_refused_in_one_line(bundle, change, says, request_):
    path = changed(bundle, change)
    with pytest.raises(BundleError, match=says) as caught:
        OnnxModel(path, ProviderSettings(request=request_), INPUTS, OUTPUTS)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Fail", "RuntimeException", "EPFail", "NotImplemented", "InvalidArgument"]
)
def test_auto_falls_back_to_the_cpu_whatever_a_gpu_raises(
    bundle, monkeypatch, caplog, pretended_gpu, name
):
    # Its session fails as that of a full card does, all else is real.
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    really = bound_session._buffers

    def full_card(specs, kind, device_id):
        if kind == "cuda":
            raise getattr(state, name)("CUDA failure 2: out of memory")
        return really(specs, "cpu", 0)

    monkeypatch.setattr(bound_session, "_buffers", full_card)
    monkeypatch.setattr("b2g_rt.inference.onnx_model.candidates", lambda request: ("cuda", "cpu"))
    model = OnnxModel(bundle.file("decoder.onnx"), ProviderSettings(), INPUTS, OUTPUTS)
    assert model.record.provider == "CPUExecutionProvider"
    (warning,) = [r.message for r in caplog.records]
    assert warning.startswith("inference.provider 'cuda': ")
    assert "\n" not in warning


@pytest.mark.skipif(has_driver(), reason="a GPU driver is installed")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_missing_leaves_stdout_and_stderr_alone(bundle, provider, capfd):
    settings = ProviderSettings(request=provider, tensorrt_cache=bundle.path / "cache")
    with pytest.raises(ProviderError):
        OnnxModel(bundle.file("decoder.onnx"), settings, INPUTS, OUTPUTS)
    assert capfd.readouterr() == ("", "")


def test_tf32_is_off_before_tensorrt_opens_its_first_session(bundle, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    seen = []

    def opened(path, settings, providers, free_dimensions, *, forbid_cpu):
        seen.append(os.environ["NVIDIA_TF32_OVERRIDE"])
        raise RuntimeError("no GPU")

    monkeypatch.setattr(session_opening, "_session", opened)
    settings = ProviderSettings(request="tensorrt", tensorrt_cache=bundle.path / "cache")
    with pytest.raises(ProviderError):
        OnnxModel(bundle.file("decoder.onnx"), settings, INPUTS, OUTPUTS)
    assert seen == ["0"]


def test_an_engine_cache_that_cannot_be_made_is_named(bundle):
    settings = ProviderSettings(request="tensorrt", tensorrt_cache=Path("/proc/x/cache"))
    with pytest.raises(ProviderError, match=r"inference\.tensorrt_cache: /proc/x/cache: "):
        OnnxModel(bundle.file("decoder.onnx"), settings, INPUTS, OUTPUTS)


def test_the_record_counts_the_nodes_of_each_provider(bundle):
    record = Decoder(bundle, CPU).record
    n_nodes = len(onnx.load(bundle.file("decoder.onnx")).graph.node)
    assert record.nodes == {"CPUExecutionProvider": n_nodes}
    assert record.as_dict()["nodes"] == record.nodes


def test_nodes_left_to_the_cpu_are_told_and_a_gpu_without_any_is_refused(caplog):
    path = Path("decoder.onnx")
    check_placement(path, "cuda", {"CUDAExecutionProvider": 6})
    check_placement(path, "cpu", {"CPUExecutionProvider": 6})
    assert caplog.records == []
    check_placement(path, "cuda", {"CUDAExecutionProvider": 4, "CPUExecutionProvider": 2})
    assert caplog.records[-1].message == "decoder.onnx: 2 of 6 nodes run on the CPU"
    check_placement(path, "tensorrt", {})
    assert "some may run on the CPU" in caplog.records[-1].message
    with pytest.raises(ProviderError, match=r"runs no node of decoder.onnx \(CUDAExecution"):
        check_placement(path, "tensorrt", {"CUDAExecutionProvider": 6})


def test_idle_threads_of_a_session_do_not_spin(bundle):
    options = Decoder(bundle, CPU)._model._session.get_session_options()
    for pool in ("intra_op", "inter_op"):
        assert options.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"
