"""TensorRT's engines: what can be seen of them without a GPU, and the rest where there is one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.errors import ProviderError
from b2g_rt.inference import bound_session, session_opening, tensorrt_engines
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.gpu_devices import GpuDevice
from b2g_rt.inference.providers import ProviderSettings, has_driver, provider_options
from b2g_rt.inference.tensorrt_engines import (
    engine_prefix,
    engines,
    forget_engines,
    tensorrt_library,
)
from b2g_rt.service.models import load_models
from tests.rt.inference.configured import config_for
from tests.tiny_bundle import write_tiny_bundle

H100 = GpuDevice(0, "NVIDIA H100 80GB HBM3", (9, 0), 81559)


@pytest.fixture
def rig(monkeypatch):
    """Let an H100 and TensorRT 10.16.1 be there."""
    monkeypatch.setattr(tensorrt_engines, "gpu_devices", lambda: (H100,))
    monkeypatch.setattr(tensorrt_engines, "tensorrt_version", lambda: "10.16.1")


def test_an_engine_is_named_after_all_that_it_depends_on(rig, monkeypatch):
    import onnxruntime

    path = Path("bundles/monday/generator.onnx")
    prefix = engine_prefix(path, "0123456789abcdef0123", 0, "float16")
    assert prefix == (
        f"0123456789abcdef-generator-ort{onnxruntime.__version__}-trt10.16.1-"
        "NVIDIA_H100_80GB_HBM3_sm90_80GiB-float16"
    )
    others = {
        engine_prefix(path, "0123456789abcdee0123", 0, "float16"),
        engine_prefix(path.with_name("decoder.onnx"), "0123456789abcdef0123", 0, "float16"),
        engine_prefix(path, "0123456789abcdef0123", 1, "float16"),
        engine_prefix(path, "0123456789abcdef0123", 0, "float32"),
    }
    monkeypatch.setattr(onnxruntime, "__version__", "1.99.0")
    others.add(engine_prefix(path, "0123456789abcdef0123", 0, "float16"))
    monkeypatch.setattr(tensorrt_engines, "tensorrt_version", lambda: "10.17.0")
    others.add(engine_prefix(path, "0123456789abcdef0123", 0, "float16"))
    assert len(others | {prefix}) == 7


def test_a_retrained_model_gets_another_engine_also_without_a_bundle(rig, tmp_path):
    a = write_tiny_bundle(tmp_path / "a").file("generator.onnx")
    b = write_tiny_bundle(tmp_path / "b", seed=2).file("generator.onnx")
    assert engine_prefix(a, "", 0, "float32") != engine_prefix(b, "", 0, "float32")


def test_engines_and_timings_are_kept_and_the_precision_is_the_file_s(tmp_path):
    settings = ProviderSettings(device_id=1, tensorrt_cache=tmp_path / "engines")
    (name, options), (beside, cuda) = provider_options("tensorrt", settings, engine_prefix="abc")
    assert (name, beside) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options == {
        "device_id": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path / "engines"),
        "trt_engine_cache_prefix": "abc",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(tmp_path / "engines"),
    }
    assert cuda["use_tf32"] == "0"
    assert (tmp_path / "engines").is_dir()


def test_the_library_that_onnx_runtime_links_is_found_in_its_file():
    assert tensorrt_library().startswith("libnvinfer.so.")


def test_only_this_model_s_engines_are_forgotten(tmp_path):
    for name in ("abc_1_sm90.engine", "abc_1_sm90.profile", "abcd_1_sm90.engine", "abc_1.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [f.name for f in engines(tmp_path, "abc")] == ["abc_1_sm90.engine", "abc_1_sm90.profile"]
    assert forget_engines(tmp_path, "abc") == 2
    assert forget_engines(tmp_path, "abc") == 0
    assert sorted(f.name for f in tmp_path.iterdir()) == ["abc_1.txt", "abcd_1_sm90.engine"]
    assert engines(tmp_path / "none", "abc") == []


@pytest.fixture
def tensorrt(rig, pretended_gpu, tmp_path):
    return ProviderSettings(
        request="tensorrt", tensorrt_cache=tmp_path / "engines", cache_key="k" * 64
    )


def engine_of(settings: ProviderSettings, path: Path) -> Path:
    """Write something where this model's engine would be."""
    settings.tensorrt_cache.mkdir()
    prefix = engine_prefix(path, settings.cache_key, 0, "float32")
    engine = settings.tensorrt_cache / f"{prefix}_graph_0_0_sm90.engine"
    engine.write_bytes(b"cut off")
    return engine


def test_a_broken_engine_is_removed_and_built_again(bundle, tensorrt, monkeypatch, caplog):
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    engine = engine_of(tensorrt, bundle.file("generator.onnx"))
    really = session_opening._session

    def loading(*arguments, **more):
        if engine.exists():
            raise state.EPFail(f"TensorRT EP could not deserialize engine from cache: {engine}")
        return really(*arguments, **more)

    monkeypatch.setattr(session_opening, "_session", loading)
    Generator(bundle, tensorrt)
    assert not engine.exists()
    (line,) = [r.getMessage() for r in caplog.records]
    assert "engine is broken and is built again" in line


def test_an_engine_that_stays_broken_is_an_error(bundle, tensorrt, monkeypatch):
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    calls = []

    def loading(*arguments, **more):
        calls.append(1)
        raise state.EPFail("TensorRT EP could not deserialize engine from cache: elsewhere")

    monkeypatch.setattr(session_opening, "_session", loading)
    with pytest.raises(ProviderError, match="inference.provider 'tensorrt'"):
        Generator(bundle, tensorrt)
    assert len(calls) == 1


@pytest.fixture
def slow(monkeypatch):
    """Let opening a session last until the event."""
    go_on, really = threading.Event(), session_opening._session

    def opening(*arguments, **more):
        assert go_on.wait(20)
        return really(*arguments, **more)

    monkeypatch.setattr(session_opening, "_session", opening)
    monkeypatch.setattr(bound_session, "TELL_EVERY_S", 0.01)
    return go_on


def test_building_says_every_second_what_takes_so_long(bundle, tensorrt, slow):
    told: list[str] = []

    def waiting(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            slow.set()

    Generator(bundle, tensorrt, waiting)
    assert told[2].startswith("generator.onnx: TensorRT builds its engine (minutes; kept in ")
    assert told[2].endswith(" s so far")


def test_with_an_engine_in_the_cache_nothing_is_said_to_be_built(bundle, tensorrt, slow):
    engine_of(tensorrt, bundle.file("generator.onnx"))
    told: list[str] = []

    def waiting(text: str) -> None:
        told.append(text)
        slow.set()

    Generator(bundle, tensorrt, waiting)
    assert told[0].startswith("generator.onnx: being opened on tensorrt, ")


def test_with_nobody_to_tell_the_log_is(bundle, tensorrt, slow, monkeypatch, caplog):
    monkeypatch.setattr(bound_session, "LOG_EVERY_S", 0.02)
    really = bound_session.LOG.warning

    def warning(*arguments):
        really(*arguments)
        slow.set()

    monkeypatch.setattr(bound_session.LOG, "warning", warning)
    Generator(bundle, tensorrt)
    assert "TensorRT builds its engine" in caplog.records[0].getMessage()


def test_the_service_s_progress_carries_it(bundle, slow):
    told: list[tuple[str, int, int]] = []

    def advance(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if what.startswith("decoder.onnx: "):
            slow.set()

    load_models(config_for(bundle.path), advance)
    steps = [(done, total) for what, done, total in told if "being opened" in what]
    assert steps[0] == (1, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not has_driver(), reason="no GPU driver")
def test_an_engine_is_built_at_load_and_the_second_start_takes_it(bundle, tmp_path):
    settings = ProviderSettings(
        request="tensorrt", tensorrt_cache=tmp_path / "engines", cache_key=bundle.hash
    )
    first = Generator(bundle, settings)
    made = {f: f.stat().st_mtime_ns for f in settings.tensorrt_cache.glob("*.engine")}
    assert made
    second = Generator(bundle, settings)
    w = bundle.reference().w[0]
    np.testing.assert_array_equal(first.render(w), second.render(w))
    assert {f: f.stat().st_mtime_ns for f in settings.tensorrt_cache.glob("*.engine")} == made
