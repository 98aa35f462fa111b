"""A macaque of three arrays, a bundle fitted on it in seconds, commands run in this process: for all offline tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.from_record import faces_macaque
from b2g_rt.simulation.session_writer import write_session
from offline import cli
from offline.export.default_bundle import TrainingPlan, make_default_bundle
from offline.export.fit_plan import FitPlan
from offline.export.session_bundle import make_session_bundle
from offline.recordings.formats.opening import open_recording
from offline.recordings.known_latents import known_latents


def _no_stage(what, total):
    return lambda done: None


@pytest.fixture(scope="session")
def no_stage():
    """Progress that shows nothing."""
    return _no_stage


@pytest.fixture(scope="session")
def small_plan() -> TrainingPlan:
    return TrainingPlan(n_trials=240, trials_per_session=90, n_held_out=60, n_demo=12)


@pytest.fixture(scope="session")
def tiny_generator() -> bytes:
    """ONNX: a picture of 4 x 4 pixels whose colour follows the first three of 512 latents; static, uint8."""
    nodes = [
        helper.make_node("Slice", ["w", "first", "last", "axes"], ["three"]),
        helper.make_node("Sigmoid", ["three"], ["share"]),
        helper.make_node("Mul", ["share", "white"], ["level"]),
        helper.make_node("Unsqueeze", ["level", "row"], ["pixel"]),
        helper.make_node("Expand", ["pixel", "size"], ["picture"]),
        helper.make_node("Cast", ["picture"], ["image"], to=TensorProto.UINT8),
    ]
    constants = {
        "first": np.array([0]),
        "last": np.array([3]),
        "axes": np.array([2]),
        "white": np.array(255, np.float32),
        "row": np.array([1]),
        "size": np.array([1, 4, 4, 3]),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 1, 512])],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 4, 3])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def small_macaque():
    channels = ChannelMap(
        192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128))
    )
    return faces_macaque(channels=channels)


@pytest.fixture(scope="session")
def small_bundles(small_macaque, small_plan, tiny_generator, tmp_path_factory) -> dict[str, Path]:
    """One bundle per kind, 240 simulated trials."""
    folder = tmp_path_factory.mktemp("bundles")
    for kind in ("per_window", "fixed"):
        make_default_bundle(
            small_macaque,
            kind,
            tiny_generator,
            folder / kind,
            plan=small_plan,
            work=folder / "work",
            command="pytest",
            stage=_no_stage,
        )
    return {kind: folder / kind for kind in ("per_window", "fixed")}


@pytest.fixture(scope="session")
def small_session(small_macaque, tmp_path_factory) -> Path:
    """120 trials of 60 stimuli, two each."""
    path = tmp_path_factory.mktemp("sessions") / "small.h5"
    w = small_macaque.latents.draw(np.random.default_rng(77), 60)
    ids = [f"new-{i:03d}" for i in range(60)]
    write_session(path, small_macaque, ids, w, [i % 60 for i in range(120)], 78)
    return path


@pytest.fixture(scope="session")
def next_day(small_macaque, tmp_path_factory) -> Path:
    """40 trials: the first 20 stimuli of ``small_session`` again, and 20 new ones."""
    path = tmp_path_factory.mktemp("sessions") / "tuesday.h5"
    w = np.concatenate(
        [
            small_macaque.latents.draw(np.random.default_rng(77), 60)[:20],
            small_macaque.latents.draw(np.random.default_rng(79), 20),
        ]
    )
    ids = [f"new-{i:03d}" for i in range(20)] + [f"later-{i:03d}" for i in range(20)]
    write_session(path, small_macaque, ids, w, list(range(40)), 80)
    return path


@pytest.fixture(scope="session")
def monday(small_session, tiny_generator, tmp_path_factory) -> Path:
    """A bundle fitted on ``small_session``."""
    path = tmp_path_factory.mktemp("fitted") / "monday"
    with open_recording(small_session) as session:
        known = known_latents([session], None)
        plan = FitPlan(kind="fixed")
        make_session_bundle(
            [session], known, plan, tiny_generator, path, command="pytest", stage=_no_stage
        )
    return path


@pytest.fixture
def run(monkeypatch, capsys, request):
    """Run a b2g-offline command in this process; return (exit code, stdout, stderr).

    Lines are as wide as the test file's ``TERMINAL_WIDTH``, 100 by default.
    """

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["b2g-offline", *map(str, args)])
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code or 0
        else:
            code = 0
        out, err = capsys.readouterr()
        return code, out, err

    monkeypatch.setattr(cli.console, "_width", getattr(request.module, "TERMINAL_WIDTH", 100))
    return call


@pytest.fixture
def generator_file(tiny_generator, tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_generator)
    return path
