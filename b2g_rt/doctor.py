"""What works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from b2g_rt.config import Config
from b2g_rt.errors import B2GError

if TYPE_CHECKING:
    from b2g_rt.inference.onnx_model import SessionRecord

Verdict = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``remedy`` is "" when there is nothing to do."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(config: Config) -> list[Finding]:
    """Check Python, packages, ONNX Runtime, GPU, providers, LSL, ZeroMQ, Qt, bundle and torch; never raises."""
    checks: tuple[tuple[str, Callable[[Config], Finding]], ...] = (
        ("Python", _python),
        ("onnxruntime package", _one_onnxruntime),
        ("GPU", _gpu),
        ("providers", _providers),
        ("LSL", _lsl),
        ("ZeroMQ", _zeromq),
        ("Qt", _qt),
        ("screen", _screen),
        ("bundle", _bundle),
        ("torch", _torch),
    )
    findings = []
    for what, check in checks:
        try:
            findings.append(check(config))
        except B2GError as error:
            findings.append(Finding(what, "fault", str(error)))
        except Exception as error:
            findings.append(
                Finding(
                    what, "fault", f"{type(error).__name__}: {error}", "Run 'make setup' again."
                )
            )
    return findings


def _python(_: Config) -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    return Finding("Python", "ok", found)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _one_onnxruntime(_: Config) -> Finding:
    gpu, cpu = _version("onnxruntime-gpu"), _version("onnxruntime")
    what = "onnxruntime package"
    if gpu and cpu:
        return Finding(
            what,
            "fault",
            f"onnxruntime {cpu} beside onnxruntime-gpu {gpu}: both write the same folder",
            "pip uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu.",
        )
    if not gpu and not cpu:
        return Finding(
            what, "fault", "neither onnxruntime-gpu nor onnxruntime", "Run 'make setup'."
        )
    return Finding(what, "ok", f"onnxruntime-gpu {gpu}" if gpu else f"onnxruntime {cpu} (no CUDA)")


def _gpu(config: Config) -> Finding:
    from b2g_rt.inference.gpu_devices import driver_cuda_version, gpu_devices

    devices, cuda = gpu_devices(), driver_cuda_version()
    if not devices:
        found = f"a driver for CUDA {cuda}, but no device" if cuda else "none that a driver knows"
        wanted = config.inference.provider in ("cuda", "tensorrt")
        remedy = "Install the NVIDIA driver (nvidia-smi must list the card); see docs/gpu.md."
        return Finding("GPU", "fault" if wanted else "ok", found, remedy if wanted else "")
    found = f"{'; '.join(map(str, devices))}; driver for CUDA {cuda}"
    if config.inference.device_id not in {device.number for device in devices}:
        return Finding(
            "GPU",
            "fault",
            found,
            f"inference.device_id={config.inference.device_id} is none of them: set another.",
        )
    return Finding("GPU", "ok", found)


def _providers(config: Config) -> Finding:
    from b2g_rt.inference.providers import (
        has_driver,
        how_to_install,
        missing_library,
        preload_gpu_libraries,
    )
    from b2g_rt.inference.tensorrt_engines import tensorrt_version

    request = config.inference.provider
    preload_gpu_libraries("tensorrt")
    missing = {kind: missing_library(kind) for kind in ("cuda", "tensorrt")}
    works = [kind for kind, reason in missing.items() if not reason] + ["cpu"]
    detail = "; ".join(f"{kind}: {reason}" for kind, reason in missing.items() if reason)
    version = "" if missing["tensorrt"] else f", TensorRT {tensorrt_version()}"
    found = f"usable: {', '.join(works)}{version}" + (f" ({detail})" if detail else "")
    if request in missing and missing[request]:
        return Finding(
            "providers",
            "fault",
            found,
            f"{how_to_install(request)}; or set inference.provider=cpu.",
        )
    if has_driver() and missing["cuda"]:
        return Finding(
            "providers", "note", found, f"A driver is installed: {how_to_install('cuda')}."
        )
    return Finding("providers", "ok", found)


def _lsl(config: Config) -> Finding:
    from b2g_rt.sources.lsl_clock import library_version
    from b2g_rt.sources.stream_query import list_streams

    streams = list_streams()
    setting = os.environ.get("LSLAPICFG") or "default settings"
    seen = "; ".join(map(str, streams)) or "no stream visible"
    names = [s.name for s in streams]
    wanted = config.streams.mua.name
    found = f"liblsl {library_version()}, {setting}; {seen}"
    if streams and wanted not in names:
        return Finding("LSL", "note", found, f"No stream '{wanted}': set streams.mua.name.")
    if not streams:
        return Finding(
            "LSL",
            "note",
            found,
            "Start the amplifier, or b2g-rt replay FILE; see docs/lsl.md for firewalls.",
        )
    return Finding("LSL", "ok", found)


def _zeromq(config: Config) -> Finding:
    import zmq

    found = f"libzmq {zmq.zmq_version()}, CURVE {'yes' if zmq.has('curve') else 'no'}"
    context = zmq.Context()
    try:
        for name in ("pictures", "events", "activity", "status"):
            port = getattr(config.publish, f"{name}_port")
            socket = context.socket(zmq.PUB)
            try:
                socket.bind(f"tcp://{config.publish.host}:{port or '*'}")
            except zmq.ZMQError as error:
                return Finding(
                    "ZeroMQ",
                    "note",
                    f"{found}; publish.{name}_port {port}: {error.strerror}",
                    "A service may be running; else set another port, or 0 for a free one.",
                )
            finally:
                socket.close(0)
    finally:
        context.destroy(0)
    return Finding("ZeroMQ", "ok", found)


def _qt(_: Config) -> Finding:
    try:
        from PySide6 import QtCore, QtGui

        del QtGui
    except ImportError as error:
        return Finding(
            "Qt",
            "fault",
            str(error),
            "apt-get install libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon0.",
        )
    return Finding("Qt", "ok", f"PySide6 with Qt {QtCore.qVersion()}")


def _screen(_: Config) -> Finding:
    screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if not screen:
        return Finding(
            "screen", "note", "none", "The demo runs headless; the display needs a screen."
        )
    return Finding("screen", "ok", screen)


def _bundle(config: Config) -> Finding:
    from b2g_rt.service.models import load_models

    models = load_models(config)
    bundle = models.bundle
    generator = _session_line(models.generator.record) if models.generator else "off"
    return Finding(
        "bundle",
        "ok",
        f"{bundle.manifest.name} ({bundle.manifest.decoder_kind}, {bundle.channels.n_channels} channels, "
        f"{bundle.hash[:12]}), verified; decoder on {_session_line(models.decoder.record)}, generator on {generator}",
    )


def _session_line(record: SessionRecord) -> str:
    graph = ", CUDA graph" if record.cuda_graph else ""
    return f"{record.provider} ({record.precision}{graph})"


def _torch(_: Config) -> Finding:
    version = _version("torch")
    if version is None:
        return Finding("torch", "ok", "not installed; only the offline wing needs it")
    return Finding("torch", "ok", f"{version} (offline wing only)")
