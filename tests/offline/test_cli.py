from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.bundle import FILES, ModelBundle, write_bundle
from b2g_rt.contracts.shipped_bundles import BUNDLES
from b2g_rt.simulation.session_writer import write_session
from offline.export.generator_onnx import OnnxGenerator, fixed_shapes
from offline.inputs import read_model


def test_fit_then_evaluate_a_recorded_session(
    run, small_session, next_day, generator_file, tmp_path
):
    out = tmp_path / "monday"
    code, text, err = run(
        "fit", small_session, "--generator", generator_file, "--kind", "fixed", "--out", out
    )
    assert (code, err) == (0, "")
    for line in (
        "decoder: reduced_rank",
        "scores: held-out stimuli",
        "reference outputs and files",
        "Held-out stimuli",
    ):
        assert line in text
    assert ModelBundle(out).manifest.training["command"].startswith("b2g-offline fit ")
    scores = tmp_path / "scores.json"
    code, text, err = run("evaluate", out, next_day, "--json", scores)
    assert (code, err) == (0, "")
    assert "chance .5" in text
    told = json.loads(scores.read_text())
    seen = told["scores_of_stimuli_seen_in_training"]["windows"][-1]
    last = told["scores"]["windows"][-1]
    assert last["n_trials"] + seen["n_trials"] == 40
    assert last["n_trials"] >= 20
    assert seen["n_trials"] >= 14
    assert "monday on tuesday.h5: stimuli that were not in training" in text
    assert "monday on tuesday.h5: STIMULI SEEN IN TRAINING, no held-out score" in text
    # Why they stand apart: what was learnt by heart looks good on another day too.
    assert seen["centred_cosine"]["mean"] > last["centred_cosine"]["high"]


def test_latents_may_come_from_a_file(run, small_session, generator_file, tmp_path):
    latents = tmp_path / "w.npz"
    w = np.random.default_rng(0).standard_normal((60, 512)).astype(np.float32)
    np.savez(latents, id=np.array([f"new-{i:03d}" for i in range(60)]), latent=w)
    out = tmp_path / "b"
    code, _, err = run(
        "fit",
        small_session,
        "--latents",
        latents,
        "--generator",
        generator_file,
        "--kind",
        "fixed",
        "--out",
        out,
    )
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(ModelBundle(out).stimuli.latent, w)


def test_json_alone_is_printed_on_request(run, small_bundles):
    code, text, _ = run("evaluate", small_bundles["per_window"], "--simulate", 10, "--json", "-")
    assert code == 0
    assert len(json.loads(text)["scores"]["windows"]) == 9


def test_a_bundle_gets_another_generator(run, small_bundles, generator_file, tmp_path):
    args = (
        "export-bundle",
        small_bundles["fixed"],
        "--generator",
        generator_file,
        "--out",
        tmp_path / "copy",
    )
    code, text, _ = run(*args)
    assert code == 0
    assert "written" in text
    assert ModelBundle(tmp_path / "copy").manifest.name == "copy"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("fit",), "expected either a session or --default"),
        (("fit", "{session}"), "no --out"),
        (("fit", "nowhere.h5", "--out", "b"), "No such file or directory, expected a recording"),
        (("fit", "{bad}", "--out", "b"), "expected one of b2g-session, brain2gan"),
        (("fit", "--default", "--out", "b"), "Add --kind"),
        (("fit", "{session}", "--latents", "{bad}", "--out", "b"), "expected an .npz file"),
        (("fit", "{session}", "--generator", "{bad}", "--out", "b"), "expected an ONNX file"),
        (
            ("fit", "{session}", "--generator", "{tiny}", "--marker-pattern", "(", "--out", "b"),
            "regular expression",
        ),
        (("fit", "{session}", "--out", "{bad}"), "expected one that can be made or written to"),
        (("fit", "{session}", "--out", "{bad}/b"), "is no directory"),
        (("fit", "{session}", "--out", "b", "--work", "{bad}"), "is no directory"),
        (("fit", "{session}", "--out", "/proc/b"), "cannot be written to"),
        (("fit", "--default", "--kind", "fixed", "--out", "{bad}"), "is no directory"),
        (("evaluate", "fixed", "{session}", "--json", "/nonexistent/x.json"), "no directory"),
        (("evaluate", "fixed", "{session}", "--json", "/proc/x.json"), "cannot be written to"),
        (("evaluate", "fixed", "{session}", "--json", "."), "is a directory"),
        (("export-generator", "procedural-faces", "--out", "{bad}/x"), "is no directory"),
        (("export-bundle", "x", "--generator", "{tiny}", "--out", "{bad}"), "is no directory"),
        (("evaluate", "nowhere", "{session}"), "no shipped bundle of that name (simulated-faces"),
        (("evaluate", "nowhere"), "expected either a session or --simulate"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    run, args, line, small_session, generator_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").write_bytes(b"neither this nor that")
    names = {"session": small_session, "bad": tmp_path / "bad", "tiny": generator_file}
    code, _, err = run(*(a.format(**names) for a in args))
    assert code == 2
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "tiny.onnx"]


def test_the_session_of_the_fit_is_refused_under_any_name(run, monday, small_session, tmp_path):
    copy = tmp_path / "tuesday.h5"
    shutil.copy(small_session, copy)
    code, _, err = run("evaluate", monday, copy)
    assert code == 2
    assert "was fitted on this very session" in err
    assert err.count("\n") == 1


def test_where_all_stimuli_were_in_training_there_is_no_headline(
    run, monday, small_macaque, tmp_path
):
    trained = ModelBundle(monday).manifest.training["stimuli"][:5]
    stimuli = ModelBundle(monday).stimuli
    w = np.stack([stimuli.latent[stimuli.position(s)] for s in trained])
    # The same pictures under other names: told by their latents.
    write_session(tmp_path / "again.h5", small_macaque, list("abcde"), w, [0, 1, 2, 3, 4] * 2, 81)
    code, text, _ = run("evaluate", monday, tmp_path / "again.h5")
    assert code == 0
    assert "no trial of stimuli that were not in training, so no held-out score" in text
    assert "STIMULI SEEN IN TRAINING" in text
    code, text, _ = run("evaluate", monday, tmp_path / "again.h5", "--json", "-")
    assert json.loads(text)["scores"] is None


def test_a_bundle_that_does_not_name_its_training_stimuli_says_so(run, monday, next_day, tmp_path):
    manifest = json.loads((monday / "manifest.json").read_text())
    del manifest["training"]["stimuli"], manifest["schema_version"], manifest["files"]
    write_bundle(tmp_path / "b", manifest, {f: (monday / f).read_bytes() for f in FILES})
    _, text, _ = run("evaluate", tmp_path / "b", next_day)
    assert "does not tell which stimuli it was trained on" in text
    assert "not in training" not in text


def test_a_seed_that_draws_the_training_stimuli_is_refused(run, small_bundles, small_plan):
    code, _, err = run(
        "evaluate", small_bundles["fixed"], "--simulate", 10, "--seed", small_plan.stimulus_seed
    )
    assert code == 2
    assert "draws stimuli that bundle" in err


def test_a_recording_of_a_simulated_stream_asks_for_the_generator(run, small_session, tmp_path):
    # As `b2g-rt record` and `b2g-rt serve` write it: simulated, and not a word of the macaque.
    for position, provenance in enumerate(({}, {"bundle": "0" * 64, "bundle_name": "x"})):
        path = tmp_path / f"{position}.h5"
        shutil.copy(small_session, path)
        with h5py.File(path, "r+") as file:
            file.attrs["provenance"] = json.dumps(provenance)
        code, _, err = run("fit", path, "--out", tmp_path / "b")
        assert code == 2
        assert "no --generator" in err
        assert "b2g-offline export-generator procedural-faces --out faces" in err
        assert err.count("\n") == 1


def test_export_bundle_takes_the_name_of_a_shipped_bundle(
    run, generator_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # A folder of that name does not hide the shipped bundle: b2g-rt serve would not take it either.
    (tmp_path / "simulated-faces-fixed").mkdir()
    args = ("simulated-faces-fixed", "--generator", generator_file, "--out", "copy")
    assert run("export-bundle", *args)[0] == 0
    shipped = ModelBundle(BUNDLES / "simulated-faces-fixed").manifest
    assert (
        ModelBundle(tmp_path / "copy").manifest.files["decoder.onnx"]
        == (shipped.files["decoder.onnx"])
    )
    code, _, err = run("evaluate", "./simulated-faces-fixed", "--simulate", 2)
    assert code == 2
    assert "manifest.json is missing" in err


def test_a_path_with_brackets_is_printed_as_it_is(run, monday, generator_file, tmp_path):
    out = tmp_path / "[bold]x[red]" / ("long-" * 30 + "name")
    code, text, _ = run("export-bundle", monday, "--generator", generator_file, "--out", out)
    assert code == 0
    line = next(line for line in text.splitlines() if line.startswith("written"))
    assert str(out) in line
    assert line.endswith(")")


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxslim"])
def test_without_the_training_packages_one_line_says_what_to_install(
    package, small_session, generator_file, tmp_path
):
    args = ["export-generator", "procedural-faces", "--out", str(tmp_path / "x")]
    if package != "torch":
        args = ["fit", str(small_session), "--generator", str(generator_file)]
        args += ["--out", str(tmp_path / "b")]
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"sys.argv = ['b2g-offline', *{args!r}]\n"
        "from offline import cli\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: b2g-offline: {package} is not installed")
    assert "pip install -c constraints.txt -e '.[offline]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_animals_session_is_refused(run, small_bundles, tmp_path):
    from b2g_rt.contracts.channels import ArraySlot, ChannelMap
    from b2g_rt.simulation.from_record import faces_macaque

    macaque = faces_macaque(channels=ChannelMap(64, (ArraySlot(0, "V1", 0),)))
    w = macaque.latents.draw(np.random.default_rng(0), 2)
    write_session(tmp_path / "other.h5", macaque, ["a", "b"], w, [0, 1], 1)
    code, _, err = run("evaluate", small_bundles["fixed"], tmp_path / "other.h5")
    assert code == 2
    assert "64 electrodes (V1), the bundle was trained on other 192" in err


_ALL_HELP = """
import sys, typer
from offline import cli

def paths(command, path=()):
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, (*path, name))

every = list(paths(typer.main.get_command(cli.app)))
for path in every:
    sys.argv = ["b2g-offline", *path, "--help"]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, path
heavy = {"torch", "onnx", "onnxruntime", "h5py", "matplotlib", "numba", "scipy"}
print(len(every), sorted(heavy & set(sys.modules)))
"""


def test_help_of_every_command_loads_neither_torch_nor_onnx_runtime():
    done = subprocess.run(
        [sys.executable, "-c", _ALL_HELP], capture_output=True, text=True, timeout=60, check=True
    )
    n_commands, heavy = done.stdout.splitlines()[-1].split(" ", 1)
    assert heavy == "[]"
    assert int(n_commands) > 10
    assert "--default" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_face_renderer_is_exported_as_a_generator(run, tmp_path):
    code, text, _ = run("export-generator", "procedural-faces", "--out", tmp_path / "faces")
    assert code == 0
    assert "written" in text
    generator = OnnxGenerator(fixed_shapes(read_model(tmp_path / "faces"), 512), 512)
    assert (generator.image.height, generator.image.width) == (128, 128)


def test_ctrl_c_ends_with_one_line():
    command = [
        sys.executable,
        "-m",
        "offline.cli",
        "evaluate",
        "simulated-faces",
        "--simulate",
        "20000",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while "features" not in process.stdout.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.startswith("interrupted")
    assert err.count("\n") == 1
