from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import ConfigError
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import PRESETS, faces_spec
from offline.cli import app

FILES = ("reproduction.html", "reproduction.json", "reproduction.png")


def small_macaque(name):
    """Three arrays and a quarter of the latents: what the command does, in seconds."""
    slots = tuple(ArraySlot(i, roi, 64 * i) for i, roi in enumerate(("V1", "V4", "IT")))
    return Macaque(faces_spec(), ChannelMap(192, slots), face_latents(n_latents=128))


@pytest.fixture
def run(monkeypatch):
    """Run the command on a small animal that is shown little; return its exit code and output."""
    monkeypatch.setattr("b2g_rt.simulation.from_record.preset_macaque", small_macaque)
    small = {
        name: replace(preset, n_train=80, n_test=8, n_repeats=2) for name, preset in PRESETS.items()
    }
    monkeypatch.setattr("offline.reproduction.plan.PRESETS", small)
    # The command's own name would be pytest's otherwise.
    monkeypatch.setattr("sys.argv", ["b2g-offline", "reproduce", "faces"])

    def call(*args):
        result = CliRunner().invoke(app, ["reproduce", *map(str, args)])
        return result.exit_code, result.output

    return call


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_figures_outside_their_tolerance_are_exit_code_1_after_everything_is_written(run, tmp_path):
    work, records = tmp_path / "work", []
    for out in (tmp_path / "first", tmp_path / "again"):
        code, text = run("faces", "--out", out, "--trials", 80, "--work", work)
        assert code == 1
        assert "OUTSIDE what is wanted" in text
        assert sorted(p.name for p in out.iterdir()) == sorted(FILES)
        record = json.loads((out / "reproduction.json").read_text())
        assert (record["judged"], record["inside"]) == (True, False)
        of_run = record.pop("run")
        assert of_run["command"] == "b2g-offline reproduce faces"
        assert of_run["peak_memory_mb"] > 0
        records.append(record)
    assert records[0] == records[1]
    kept = sorted(path.name.rsplit("-", 1)[0] for path in work.iterdir())
    assert kept == ["responses-test-0", "responses-training-0"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_other_sizes_than_the_papers_are_not_judged(run, tmp_path):
    code, text = run("images", "--out", tmp_path, "--trials", 60, "--seed", 2)
    assert code == 0
    assert "not judged" in text
    record = json.loads((tmp_path / "reproduction.json").read_text())
    assert (record["stimuli"], record["judged"]) == ("images", False)
    assert (record["plan"]["n_training"], record["plan"]["seed"]) == (60, 2)


def test_what_cannot_be_done_is_said_before_the_work(run, tmp_path):
    code, text = run("sounds", "--out", tmp_path)
    assert code == 2
    assert "'sounds' is not one of" in text
    code, text = run("faces", "--out", tmp_path, "--trials", 10)
    assert code == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        CliRunner().invoke(
            app, ["reproduce", "faces", "--out", str(tmp_path / "file")], catch_exceptions=False
        )
