from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from b2g_rt.contracts.bundle import ModelBundle
from offline import cli
from offline.export.generator_onnx import OnnxGenerator, fixed_shapes


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; return (exit code, stdout, stderr)."""

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

    monkeypatch.setattr(cli.console, "_width", 100)
    return call


@pytest.fixture
def generator_file(tiny_generator, tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_generator)
    return path


def test_fit_then_evaluate_a_recorded_session(run, small_session, generator_file, tmp_path):
    out = tmp_path / "monday"
    code, text, err = run(
        "fit", small_session, "--generator", generator_file, "--kind", "fixed", "--out", out
    )
    assert (code, err) == (0, "")
    assert "Held-out stimuli" in text
    assert ModelBundle(out).manifest.training["command"].startswith("b2g-offline fit ")
    scores = tmp_path / "scores.json"
    code, text, err = run("evaluate", out, small_session, "--json", scores)
    assert (code, err) == (0, "")
    assert "chance .5" in text
    last = json.loads(scores.read_text())["scores"]["windows"][-1]
    assert last["n_trials"] == 120
    assert last["cosine"]["mean"] > last["mean_latent_cosine"]


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
        "export",
        "bundle",
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
        (("fit", "nowhere.h5", "--out", "b"), "no such file"),
        (("fit", "{bad}", "--out", "b"), "expected an HDF5 file"),
        (("fit", "--default", "--out", "b"), "Add --kind"),
        (("fit", "{session}", "--latents", "{bad}", "--out", "b"), "expected an .npz file"),
        (("fit", "{session}", "--generator", "{bad}", "--out", "b"), "expected an ONNX file"),
        (
            ("fit", "{session}", "--generator", "{tiny}", "--marker-pattern", "(", "--out", "b"),
            "regular expression",
        ),
        (("evaluate", "nowhere", "{session}"), "the directory is missing"),
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
    assert not (tmp_path / "b").exists()


def test_another_animals_session_is_refused(run, small_bundles, tmp_path):
    from b2g_rt.contracts.channels import ArraySlot, ChannelMap
    from b2g_rt.simulation.from_record import faces_macaque
    from b2g_rt.simulation.session_writer import write_session

    macaque = faces_macaque(channels=ChannelMap(64, (ArraySlot(0, "V1", 0),)))
    w = macaque.latents.draw(np.random.default_rng(0), 2)
    write_session(tmp_path / "other.h5", macaque, ["a", "b"], w, [0, 1], 1)
    code, _, err = run("evaluate", small_bundles["fixed"], tmp_path / "other.h5")
    assert code == 2
    assert "64 electrodes (V1), the bundle was trained on other 192" in err


def test_help_loads_neither_torch_nor_onnx_runtime():
    code = (
        "import sys; sys.argv = ['b2g-offline', 'fit', '--help']\n"
        "from offline import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--default" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_face_renderer_is_exported_as_a_generator(run, tmp_path):
    path = tmp_path / "faces.onnx"
    code, text, _ = run("export", "generator", "--out", path)
    assert code == 0
    assert "written" in text
    generator = OnnxGenerator(fixed_shapes(path.read_bytes(), 512), 512)
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
