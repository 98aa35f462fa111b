from __future__ import annotations

import json
import re

import numpy as np
import pytest

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.simulation.session_writer import write_session
from offline.evaluation.bundle_scores import simulated_session
from offline.evaluation.image_metrics import pixel_correlation
from offline.evaluation.metrics import cosines
from offline.export.generator_onnx import OnnxGenerator
from offline.inputs import find_bundle


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_report_says_what_evaluate_says_and_nothing_of_training_trials(
    run, monday, next_day, tmp_path
):
    out, scores = tmp_path / "report", tmp_path / "scores.json"
    args = ("evaluate", monday, next_day, "--json", scores)
    code, text, err = run(*args, "--report", out, "--pictures", 3, "--weights", tmp_path)
    assert (code, err) == (0, "")
    assert f"written: {out / 'report.html'}" in text
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json"]
    told, said = json.loads((out / "report.json").read_text()), json.loads(scores.read_text())
    assert told["bundle"]["hash"] == said["bundle"]
    assert told["single_trial"]["scores"] == said["scores"]
    last, window = told["single_trial"]["last_window"], said["scores"]["windows"][-1]
    for key in ("cosine", "centred_cosine"):
        assert {k: round(v, 4) for k, v in last[key].items()} == window[key]
    assert last["n_trials"] == window["n_trials"]
    n_seen = 40 - said["scores"]["windows"][-1]["n_trials"]
    assert n_seen > 0
    html = (out / "report.html").read_text(encoding="utf-8")
    assert f"{n_seen} of 40 trials show stimuli that were in training. They are left out" in html
    seen = set(ModelBundle(monday).manifest.training["stimuli"])
    drawn = told["pictures"]["parts"][0]
    assert drawn["n_pictures"] == 3
    assert not seen & set(drawn["stimuli"])
    # A fixed decoder is slid over the trial; where it was trained, the curve is the score.
    time = told["time"]
    assert (time["stop_ms"][0], time["stop_ms"][-1]) == (0.0, 300.0)
    trained = time["stop_ms"].index(175.0)
    assert round(time["cosine"]["value"][trained], 4) == window["cosine"]["mean"]
    assert told["temporal_generalisation"] is None
    # The report changes nothing that is printed or written otherwise.
    code, without, _ = run("evaluate", monday, next_day, "--json", tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == said
    table = text[text.index("monday on") : text.index("written")]
    assert table == without[without.index("monday on") : without.index("written")]


def test_a_session_of_training_stimuli_is_refused_in_one_line(run, monday, small_macaque, tmp_path):
    stimuli = ModelBundle(monday).stimuli
    trained = ModelBundle(monday).manifest.training["stimuli"][:5]
    w = np.stack([stimuli.latent[stimuli.position(s)] for s in trained])
    # The same pictures under other names: told by their latents.
    write_session(tmp_path / "again.h5", small_macaque, list("abcde"), w, [0, 1, 2, 3, 4] * 2, 81)
    code, text, err = run("evaluate", monday, tmp_path / "again.h5", "--report", tmp_path / "r")
    assert code == 2
    assert "10 of 10 trials show stimuli of the training (a, b, c, ...)" in err
    assert err.count("\n") == 1
    assert "cosine" not in text
    assert not (tmp_path / "r").exists()


def test_a_folder_that_cannot_be_written_is_said_before_the_work(run, monday, next_day, tmp_path):
    (tmp_path / "file").write_text("")
    code, text, err = run("evaluate", monday, next_day, "--report", tmp_path / "file")
    assert code == 2
    assert "--report" in err
    assert err.count("\n") == 1
    assert text == ""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_shipped_bundle_on_new_stimuli(run, no_stage, tmp_path):
    out = tmp_path / "report"
    args = ("evaluate", "simulated-faces", "--simulate", 24, "--report", out, "--pictures", 6)
    code, _, err = run(*args, "--weights", tmp_path)
    assert (code, err) == (0, "")
    told = json.loads((out / "report.json").read_text())
    bundle = find_bundle("simulated-faces")
    session = simulated_session(bundle, 24, 9000, no_stage)
    true, mean = session.known.latents, session.known.mean
    for k, value in enumerate(told["time"]["centred_cosine"]["value"]):
        found = cosines(session.decoded[:, k] - mean, true - mean).mean()
        assert value == pytest.approx(found, abs=1e-9)
    last = told["single_trial"]["last_window"]
    assert last["cosine"]["mean"] == pytest.approx(cosines(session.decoded[:, -1], true).mean())
    assert last["gain_test"]["p"] < 0.01
    generator = OnnxGenerator(bundle.file("generator.onnx").read_bytes(), 512)
    a, b = generator.render(session.decoded[:6, -1]), generator.render(true[:6])
    scores = {s["metric"]: s for s in told["pictures"]["parts"][0]["scores"]}
    wanted = pixel_correlation(a, b).values.mean()
    assert scores["PixCorr"]["score"]["mean"] == pytest.approx(wanted)
    assert wanted > scores["PixCorr"]["mean_latent"] + 0.1
    # V1 answers before IT does: with the window that ends at +50 ms.
    rois = told["time"]["rois"]
    assert rois["V1"]["value"][2] > rois["IT"]["value"][2] + 0.01
    html = (out / "report.html").read_text(encoding="utf-8")
    figures = re.findall(r'src="data:image/png;base64,', html)
    # dimensions, parameters, sheet, curves, ROI curves, strips, generalisation, ablation, effects
    assert len(figures) == html.count("src=") == 9
    for file in ("vgg16-397923af.pth", "inception_v3_google-0cc3c7bd.pth"):
        assert file in html
