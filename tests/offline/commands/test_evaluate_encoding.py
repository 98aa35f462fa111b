from __future__ import annotations

import json

import pytest

from offline.encoding.contents import encoding_contents
from offline.evaluation.report.encoding_report import AboutEncoding, write_encoding_report
from tests.made_encoding import made_encoding, three_arrays

TERMINAL_WIDTH = 400


@pytest.fixture(scope="module")
def encoded(small_macaque, tmp_path_factory):
    """Of the electrodes that the bundle decodes."""
    folder = tmp_path_factory.mktemp("encoded")
    made = made_encoding(small_macaque.channels)
    contents = encoding_contents(made.scores, made.assignment, time=made.time, n_resamples=20)
    write_encoding_report(folder, AboutEncoding("monday.h5", "0", notes=("Made up.",)), contents)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_encoding_becomes_a_section_of_the_decoders_report(
    run, monday, next_day, encoded, tmp_path
):
    out = tmp_path / "report"
    args = ("evaluate", monday, next_day, "--report", out, "--pictures", 3, "--weights", tmp_path)
    code, text, err = run(*args, "--encoding", encoded)
    assert (code, err) == (0, "")
    assert f"written: {out / 'report.html'}" in text
    told = json.loads((out / "report.json").read_text())
    wanted = json.loads((encoded / "encoding.json").read_text())
    assert told["encoding"] == wanted
    html = (out / "report.html").read_text(encoding="utf-8")
    assert html.index("Decoded latents") < html.index("which representation predicts each")
    assert '<p class="note">Made up.</p>' in html


def test_an_encoding_without_a_report_is_refused(run, monday, next_day, encoded):
    code, out, err = run("evaluate", monday, next_day, "--encoding", encoded)
    assert (code, out) == (2, "")
    assert "--encoding: no report to show it in" in err
    assert err.count("\n") == 1


def test_an_encoding_of_other_electrodes_is_refused_before_the_work(
    run, monday, next_day, tmp_path
):
    made = made_encoding(three_arrays())
    contents = encoding_contents(made.scores, made.assignment)
    write_encoding_report(tmp_path / "e", AboutEncoding("other.h5", "0"), contents)
    args = ("evaluate", monday, next_day, "--report", tmp_path / "r", "--encoding", tmp_path / "e")
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert "189 electrodes, not the 192 that the bundle decodes" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_a_folder_without_an_encoding_is_one_line(run, monday, next_day, tmp_path):
    args = ("evaluate", monday, next_day, "--report", tmp_path / "r", "--encoding", tmp_path)
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert "encoding.json: No such file" in err
    assert err.count("\n") == 1
