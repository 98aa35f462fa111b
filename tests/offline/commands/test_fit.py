"""`b2g-offline fit` and `evaluate`, as typed, on recordings of several formats."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from b2g_rt.contracts.bundle import ModelBundle
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.xdf_writer import write_xdf
from tests import decoded_world as world
from tests.tiny_bundle import CHANNELS

TERMINAL_WIDTH = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Monday as NWB, Tuesday (new stimuli) as XDF and HDF5, a channel map, a generator, latents as .npz."""
    folder = tmp_path_factory.mktemp("days")
    old, new = world.draw("old", 60, 1), world.draw("new", 20, 2)
    monday = world.write(folder / "monday.h5", old, list(old), 3)
    tuesday = world.write(folder / "tuesday.h5", new, list(new), 4)
    with open_recording(monday) as reader:
        write_nwb(reader, folder / "monday.nwb")
    with open_recording(tuesday) as reader:
        write_xdf(reader, folder / "tuesday.xdf")
    (folder / "channels.yaml").write_text(yaml.safe_dump(CHANNELS.to_dict()))
    (folder / "generator.onnx").write_bytes(world.GENERATOR)
    for name, stimuli in (("old", old), ("new", new)):
        np.savez(
            folder / f"{name}.npz", id=np.array(list(stimuli)), latent=np.stack([*stimuli.values()])
        )
    return folder


def fit(run, folder, out, *options):
    return run(
        "fit",
        folder / "monday.nwb",
        "--generator",
        folder / "generator.onnx",
        "--out",
        out,
        *options,
    )


def test_a_smoothed_ridge_is_fitted_on_nwb_and_evaluated_on_xdf(run, folder, tmp_path):
    out = tmp_path / "b"
    code, text, err = fit(
        run,
        folder,
        out,
        *("--decoder", "ridge", "--smoothing", "kalman", "--rois", "V1,V4"),
        *("--latent-groups", "all", "--live-stimuli", folder / "new.npz"),
    )
    assert (code, err) == (0, "")
    assert "smoothing: kalman" in text
    bundle = ModelBundle(out)
    assert bundle.stimuli.ids == tuple(f"new-{i:03d}" for i in range(20))
    training = bundle.manifest.training
    assert (training["method"], training["latent_groups"]) == ("ridge", "all")
    assert training["rois"] == ["V1", "V4"]
    assert bundle.manifest.decoder_state > 0
    scores = {}
    for name in ("tuesday.h5", "tuesday.xdf"):
        code, text, err = run(
            *("evaluate", out, folder / name, "--json", "-"),
            *("--channels", folder / "channels.yaml", "--latents", folder / "new.npz"),
        )
        assert code == 0
        scores[name] = json.loads(text)["scores"]
    assert scores["tuesday.h5"] == scores["tuesday.xdf"]
    assert scores["tuesday.h5"]["windows"][-1]["n_trials"] == 20


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--rois", "V1,MT"), "ROI 'MT' has no channel, expected some of"),
        (("--rois", ","), "--rois ',': names none"),
        (("--split", "day"), "trials of 1 day, expected at least 2"),
        (("--decoder", "pls", "--latent-groups", "all"), "expected ridge, which alone"),
        (("--decoder", "attention", "--smoothing", "best"), "it pools windows itself"),
        (("--live-stimuli", "{folder}/channels.yaml"), "expected an .npz file with id"),
        (("--format", "mp3"), "format 'mp3', expected one of b2g-session"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(run, folder, tmp_path, options, line):
    given = [option.format(folder=folder) for option in options]
    code, out, err = fit(run, folder, tmp_path / "b", *given)
    assert code == 2
    assert line in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "b" / "manifest.json").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--decoder", "ols"),
        ("--smoothing", "best"),
        ("--rois", "V1"),
        ("--split", "day"),
        ("--latent-groups", "all"),
        ("--live-stimuli", "new.npz"),
    ],
)
def test_the_shipped_bundles_leave_no_choice(run, tmp_path, option):
    code, _, err = run("fit", "--default", "--kind", "fixed", "--out", tmp_path, *option)
    assert code == 2
    assert f"fit --default: {option[0]}, expected none" in err


def test_a_recording_that_does_not_say_which_column_is_which_electrode_asks_for_a_map(
    run, folder, tmp_path
):
    code, _, err = run(
        *("fit", folder / "tuesday.xdf", "--generator", folder / "generator.onnx"),
        *("--latents", folder / "new.npz", "--out", tmp_path / "b"),
    )
    assert code == 2
    assert "Give it with --channels FILE.yaml" in err
