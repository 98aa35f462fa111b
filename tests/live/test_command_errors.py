"""A user's mistake is one line on stderr and exit code 2: real commands, real streams."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from b2g_rt.inference.providers import has_driver
from tests.live.outlets import MuaOutlet
from tests.rt.outputs.test_recorder import feed, open_recorder
from tests.tiny_bundle import write_tiny_bundle

pytestmark = pytest.mark.live

# Another service of this machine may hold the default ones.
FREE_PORTS = tuple(
    f"publish.{topic}_port=0" for topic in ("pictures", "events", "activity", "status")
)


def run(*arguments: object, timeout_s: float = 50.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "b2g_rt", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def the_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert len(lines) == 1, result.stderr
    return lines[0]


def serve(bundle: Path, name: str, *sets: str) -> subprocess.CompletedProcess[str]:
    pairs = [
        f"bundle={bundle}",
        f"streams.mua.name={name}",
        "streams.markers=null",
        "streams.wait=false",
        "streams.resolve_timeout_s=1.5",
        *sets,
    ]
    return run("serve", *as_options(*FREE_PORTS, *pairs))


def as_options(*pairs: str) -> list[str]:
    """Return --set options."""
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture
def name() -> str:
    return f"mua-{uuid.uuid4().hex[:8]}"


def test_an_unknown_stream_name_lists_what_is_there(bundle, name):
    outlet = MuaOutlet(f"other-{name}")
    line = the_line(serve(bundle, name))
    assert f"no LSL stream with name '{name}'" in line
    assert f"'other-{name}' (MUA) 192 x float32 at 1000 Hz" in line
    outlet.close()


def test_two_streams_of_one_name_are_told_apart(bundle, name):
    outlets = [MuaOutlet(name, source_id=f"amplifier-{i}") for i in range(2)]
    line = the_line(serve(bundle, name))
    assert "2 LSL streams" in line
    assert "amplifier-0" in line
    assert "amplifier-1" in line
    assert "streams.mua.source_id" in line
    for outlet in outlets:
        outlet.close()


def test_a_wrong_channel_count_names_both_numbers(bundle, name):
    outlet = MuaOutlet(name, n_columns=64)
    line = the_line(serve(bundle, name))
    assert "64" in line
    assert "192" in line
    outlet.close()


def test_a_wrong_rate_names_both_rates(bundle, name):
    outlet = MuaOutlet(name, rate_hz=500)
    line = the_line(serve(bundle, name))
    assert "500" in line
    assert "1000" in line
    outlet.close()


def test_a_missing_bundle_is_named():
    line = the_line(run("serve", "--set", "bundle=nowhere"))
    assert "bundle 'nowhere'" in line
    assert "simulated-faces" in line


def test_a_tampered_bundle_is_refused(tmp_path):
    path = write_tiny_bundle(tmp_path / "tiny").path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "decoder.onnx").write_bytes((path / "decoder.onnx").read_bytes() + b"\0")
    line = the_line(run("serve", "--set", f"bundle={path}"))
    assert "decoder.onnx has SHA-256" in line
    assert manifest["files"]["decoder.onnx"][:12] in line


def test_an_unknown_configuration_key_is_named(tmp_path):
    path = tmp_path / "live.yaml"
    path.write_text("service:\n  rings: 3\n")
    line = the_line(run("serve", "--config", path))
    assert f"{path}: service.rings: unknown key. Did you mean 'ring_s'?" in line


@pytest.mark.skipif(has_driver(), reason="a GPU driver is installed")
def test_asking_for_cuda_without_cuda_names_the_missing_library(bundle):
    line = the_line(
        run("serve", *as_options(*FREE_PORTS, f"bundle={bundle}", "inference.provider=cuda"))
    )
    assert "libcublasLt.so" in line
    assert "is missing" in line


def test_publishing_beyond_loopback_without_keys_is_refused(bundle):
    line = the_line(
        run("serve", *as_options(*FREE_PORTS, f"bundle={bundle}", "publish.host=0.0.0.0"))
    )
    assert "curve_keys" in line


def test_a_recording_is_never_overwritten(tmp_path, bundle):
    path = tmp_path / "session.h5"
    path.write_bytes(b"precious")
    line = the_line(
        run("serve", *as_options(*FREE_PORTS, f"bundle={bundle}", f"record.path={path}"))
    )
    assert str(path) in line
    assert path.read_bytes() == b"precious"


def test_a_file_that_is_no_session_is_refused(tmp_path):
    path = tmp_path / "session.h5"
    path.write_bytes(b"<html>")
    assert f"{path}:" in the_line(run("replay", path))


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "inf"])
def test_a_speed_that_is_no_speed_is_named(tmp_path, speed):
    assert f"--speed {speed}" in the_line(run("replay", tmp_path / "x.h5", f"--speed={speed}"))


@pytest.mark.parametrize("where", ["/proc/x/y.json", "folder"])
def test_endpoints_that_cannot_be_written_are_one_line(tmp_path, bundle, name, where):
    (tmp_path / "folder").mkdir()
    path = tmp_path / where
    sets = [f"bundle={bundle}", f"streams.mua.name={name}", f"publish.endpoints_file={path}"]
    line = the_line(run("serve", *as_options(*FREE_PORTS, *sets)))
    assert f"{path}: " in line
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--host", "''"),
        ("--host", "a b"),
        ("--paint-log", "/proc/x/y"),
        ("--screenshot", "/proc/x/y.png"),
        ("--screenshot", "/tmp"),
    ],
)
def test_a_display_that_cannot_do_what_it_is_asked_ends_at_once(arguments):
    line = the_line(run("display", *arguments, "--quit-after", "30", timeout_s=25.0))
    assert arguments[1] in line


def test_a_schema_that_cannot_be_written_is_one_line():
    assert "/nonexistent/x.json: " in the_line(run("schema", "/nonexistent/x.json"))


def test_a_recording_that_is_cut_short_is_refused_and_does_not_hang(tmp_path):
    with open_recorder(tmp_path / "whole.h5") as recorder:
        feed(recorder, 0, 2000)
    head = tmp_path / "head.h5"
    head.write_bytes((tmp_path / "whole.h5").read_bytes()[:5000])
    assert f"{head}: 5000 bytes, expected" in the_line(run("replay", head))
