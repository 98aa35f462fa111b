"""CUDA graphs: what is decided about them, here; that two inputs give two pictures, on a GPU where there is one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.errors import ProviderError
from b2g_rt.inference import onnx_model
from b2g_rt.inference.bound_session import BoundSession
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.onnx_model import OnnxModel, first_that_works
from b2g_rt.inference.providers import ProviderSettings, has_driver, provider_options
from b2g_rt.inference.session_checks import TensorSpec, check_answers_differ, check_placement
from b2g_rt.inference.session_opening import explained
from b2g_rt.service.models import load_models
from tests.rt.inference.configured import config_for
from tests.tiny_bundle import N_LATENTS, SIZE, generator_onnx

INPUTS = {"w": TensorSpec((1, 1, N_LATENTS))}
OUTPUTS = {"image": TensorSpec((1, SIZE, SIZE, 3), "uint8")}
GRAPH = ProviderSettings(request="cuda", cuda_graph=True)

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has_driver(), reason="no GPU driver"),
]
PROVIDERS = [
    pytest.param("cpu", False, id="cpu"),
    pytest.param("cuda", False, id="cuda", marks=needs_gpu),
    pytest.param("cuda", True, id="cuda-graph", marks=needs_gpu),
    pytest.param("tensorrt", False, id="tensorrt", marks=needs_gpu),
    pytest.param("tensorrt", True, id="tensorrt-graph", marks=needs_gpu),
]


def latent(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 1, N_LATENTS)).astype(np.float32)


@pytest.mark.parametrize(("kind", "capture"), PROVIDERS)
def test_two_inputs_give_two_pictures(bundle, tmp_path, kind, capture):
    settings = ProviderSettings(request=kind, tensorrt_cache=tmp_path / "engines")
    path = bundle.file("generator.onnx")
    session = BoundSession(path, settings, kind, INPUTS, OUTPUTS, capture=capture)
    first, second = (session.run({"w": latent(seed)})["image"] for seed in (1, 2))
    assert (first != second).mean() > 0.5
    np.testing.assert_array_equal(session.run({"w": latent(1)})["image"], first)
    if kind != "cpu":
        cpu = BoundSession(path, settings, "cpu", INPUTS, OUTPUTS)
        difference = cpu.run({"w": latent(2)})["image"].astype(int) - second
        assert np.abs(difference).max() <= 1


def test_a_graph_lives_on_the_thread_that_captured_it_whoever_calls(
    bundle, pretended_gpu, monkeypatch
):
    # ONNX Runtime keeps a captured graph for each calling thread; loading and rendering are two.
    threads, really = [], BoundSession._run

    def watched(self, inputs):
        threads.append(threading.current_thread().name)
        return really(self, inputs)

    monkeypatch.setattr(BoundSession, "_run", watched)
    session = BoundSession(bundle.file("generator.onnx"), GRAPH, "cuda", INPUTS, OUTPUTS)
    caller = threading.Thread(target=session.run, args=({"w": latent(1)},), name="render")
    caller.start()
    caller.join()
    session.run({"w": latent(2)})
    assert len(threads) == 3
    assert set(threads) == {"b2g-cuda-generator"}


def test_on_the_cpu_a_run_is_in_the_caller_s_thread(bundle, monkeypatch):
    threads, really = [], BoundSession._run
    session = BoundSession(bundle.file("generator.onnx"), GRAPH, "cpu", INPUTS, OUTPUTS)

    def watched(self, inputs):
        threads.append(threading.get_ident())
        return really(self, inputs)

    monkeypatch.setattr(BoundSession, "_run", watched)
    session.run({"w": latent(1)})
    assert threads == [threading.get_ident()]


@pytest.fixture
def stuck(tmp_path):
    """A model that gives one picture for ever, as a graph does that was captured from other buffers."""
    path = tmp_path / "stuck.onnx"
    path.write_bytes(generator_onnx(np.zeros((N_LATENTS, SIZE * SIZE * 3), np.float32)))
    return path


def test_a_session_that_gives_its_first_picture_for_ever_is_refused(bundle, stuck):
    session = BoundSession(bundle.file("generator.onnx"), GRAPH, "cpu", INPUTS, OUTPUTS)
    check_answers_differ(Path("generator.onnx"), session.run, INPUTS)
    session = BoundSession(stuck, GRAPH, "cpu", INPUTS, OUTPUTS)
    with pytest.raises(ProviderError, match="two inputs give one output") as caught:
        check_answers_differ(stuck, session.run, INPUTS)
    assert str(caught.value).startswith(f"inference.cuda_graph: {stuck}: ")


def test_a_graph_needs_every_node_on_the_gpu():
    path, cuda, cpu = Path("decoder.onnx"), "CUDAExecutionProvider", "CPUExecutionProvider"
    check_placement(path, "cuda", {cuda: 6}, capture=True)
    with pytest.raises(ProviderError, match="2 of 6 nodes run elsewhere, expected all nodes on"):
        check_placement(path, "cuda", {cuda: 4, cpu: 2}, capture=True)
    with pytest.raises(ProviderError, match="1 of 5 nodes"):
        check_placement(path, "tensorrt", {"TensorrtExecutionProvider": 4, cuda: 1}, capture=True)
    with pytest.raises(ProviderError, match="not told"):
        check_placement(path, "cuda", {}, capture=True)


def decided(settings, refused):
    """Return what was decided, and what was asked for on the way."""
    asked: list[tuple[str, bool]] = []

    def opened(kind, capture):
        asked.append((kind, capture))
        if (kind, capture) in refused:
            raise ProviderError(f"{kind}, {capture}: refused.")
        return kind

    return first_that_works(Path("generator.onnx"), settings, opened), asked


def test_a_graph_is_taken_where_it_can_be_had(caplog):
    assert decided(GRAPH, []) == (("cuda", True), [("cuda", True)])
    without = ProviderSettings(request="cuda")
    assert decided(without, []) == (("cuda", False), [("cuda", False)])
    assert caplog.records == []


def test_a_graph_that_cannot_be_had_costs_one_line_not_the_session(caplog):
    assert decided(GRAPH, [("cuda", True)]) == (
        ("cuda", False),
        [("cuda", True), ("cuda", False)],
    )
    (line,) = [r.getMessage() for r in caplog.records]
    assert line == "generator.onnx: runs without a CUDA graph. cuda, True: refused."


def test_without_the_gpu_nothing_is_said_of_its_graph(monkeypatch, caplog):
    monkeypatch.setattr(onnx_model, "candidates", lambda request: ("cuda", "cpu"))
    auto = ProviderSettings(request="auto", cuda_graph=True)
    assert decided(auto, [("cuda", True), ("cuda", False)]) == (
        ("cpu", False),
        [("cuda", True), ("cuda", False), ("cpu", False)],
    )
    assert [r.getMessage() for r in caplog.records] == ["cuda, False: refused."]


def test_a_gpu_that_was_asked_for_and_cannot_be_had_is_an_error_with_or_without_a_graph():
    with pytest.raises(ProviderError, match="cuda, False: refused"):
        decided(GRAPH, [("cuda", True), ("cuda", False)])


def test_a_graph_is_compared_before_it_is_trusted_and_opened_anew_without(
    stuck, pretended_gpu, caplog
):
    # The GPU is pretended; that the answers are compared, and only those of a graph, is not.
    model = OnnxModel(stuck, GRAPH, INPUTS, OUTPUTS)
    assert not model.record.cuda_graph
    assert pretended_gpu.captures == [True, False]
    (line,) = [r.getMessage() for r in caplog.records]
    assert "runs without a CUDA graph. inference.cuda_graph: " in line
    assert "\n" not in line


@pytest.mark.parametrize(("capture", "blamed"), [(True, "cuda_graph: "), (False, "provider 'cuda")])
def test_what_onnx_runtime_says_of_a_capture_is_about_the_graph_not_the_provider(capture, blamed):
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    with (
        pytest.raises(ProviderError) as caught,
        explained(Path("generator.onnx"), "cuda", capture=capture),
    ):
        raise state.RuntimeException("CUDA failure 900: not permitted when capturing")
    assert str(caught.value).startswith(f"inference.{blamed}")
    assert ("not permitted when capturing" in str(caught.value)) or not capture


@pytest.mark.gpu
@pytest.mark.skipif(not has_driver(), reason="no GPU driver")
def test_the_record_says_that_a_graph_is_used(bundle):
    assert Generator(bundle, GRAPH).record.as_dict()["cuda_graph"] is True


def test_each_provider_has_its_own_option_for_graphs(tmp_path):
    settings = ProviderSettings(tensorrt_cache=tmp_path)
    for capture in (False, True):
        ((_, cuda),) = provider_options("cuda", settings, capture=capture)
        (_, tensorrt), (_, beside) = provider_options("tensorrt", settings, capture=capture)
        assert cuda.get("enable_cuda_graph", "0") == str(int(capture))
        assert tensorrt.get("trt_cuda_graph_enable", "0") == str(int(capture))
        assert "enable_cuda_graph" not in beside
    assert provider_options("cpu", settings, capture=True) == ["CPUExecutionProvider"]


def test_a_graph_on_the_cpu_is_said_to_have_no_effect(bundle, caplog):
    models = load_models(config_for(bundle.path, "inference.cuda_graph=true"))
    assert not models.decoder.record.cuda_graph
    assert [r.getMessage() for r in caplog.records] == [
        "inference.cuda_graph: no effect on the CPU"
    ]
