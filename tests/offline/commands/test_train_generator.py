from __future__ import annotations

import os
import signal

import pytest
import torch
import typer
from typer.testing import CliRunner

from b2g_rt.errors import CheckpointError, ConfigError
from offline.commands.train_generator import train_generator
from offline.stimuli.distilled import checkpoint, pictures, plan, result, training
from offline.stimuli.generators import open_generator

app = typer.Typer()
app.command()(train_generator)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices: on a busy machine torch's threads would wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small(monkeypatch, tiny_training):
    """The command with a tiny plan and a renderer that takes no time: the loop, the files and the words are real."""
    tiny, blobs = tiny_training
    monkeypatch.setattr(plan, "Plan", lambda: tiny)
    monkeypatch.setattr(pictures, "OnnxRenderer", lambda path: blobs)
    # Its pictures of 32 pixels are not those that the shipped network is compared with.
    monkeypatch.setattr(result, "compared", lambda generator: [])


@pytest.fixture
def tiny_training():
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    path = Path(__file__).parents[1] / "stimuli" / "distilled" / "conftest.py"
    found = spec_from_file_location("tiny_training", path)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module.TINY, module.Blobs()


def _run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_one_command_trains_and_writes_a_generator_that_opens_by_its_directory(small, tmp_path):
    out = tmp_path / "faces"
    done = _run("--out", out, "--minutes", 0.02)
    assert done.exit_code == 0, done.output
    assert f"written: {out}" in done.output
    generator = open_generator(out)
    assert (generator.resolution, generator.w_dim, generator.num_ws) == (32, 512, 8)
    assert (tmp_path / "faces-work" / checkpoint.FILE).exists()


def test_interrupted_it_keeps_the_checkpoint_and_the_same_command_goes_on(
    small, tmp_path, monkeypatch
):
    out, work = tmp_path / "faces", tmp_path / "work"
    step = training.Training._train_step

    def interrupted(self):
        step(self)
        if self.step % 3 == 0:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(training.Training, "_train_step", interrupted)
        # More minutes than three steps take on any machine.
        stopped, again = (_run("--out", out, "--work", work, "--minutes", 600) for _ in range(2))
    assert (stopped.exit_code, again.exit_code) == (130, 130)
    assert "stopped after step 3" in stopped.output
    assert "goes on after step 3" in again.output
    assert "stopped after step 6" in again.output
    assert not out.exists()
    done = _run("--out", out, "--work", work, "--minutes", 0.05)
    assert done.exit_code == 0, done.output
    assert "goes on after step 6" in done.output
    assert f"written: {out}" in done.output


def test_a_work_folder_of_something_else_is_refused(small, tmp_path):
    (tmp_path / checkpoint.FILE).write_text("not a checkpoint")
    done = _run("--out", tmp_path / "faces", "--work", tmp_path)
    assert isinstance(done.exception, CheckpointError)
    assert "expected the checkpoint of a training" in str(done.exception)


def test_without_out_and_sheets_there_is_nothing_to_do():
    done = _run()
    assert isinstance(done.exception, ConfigError)
    assert "--out nor --sheets" in str(done.exception)
