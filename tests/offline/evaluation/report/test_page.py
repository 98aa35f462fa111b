from __future__ import annotations

import json
import re

import numpy as np
import pytest

from b2g_rt.errors import ConfigError
from offline.evaluation.report.making import make_report
from offline.evaluation.report.page import number, plain_json, write_report
from offline.evaluation.scores import score

ABOUT = {
    "version": "0",
    "recording": "tuesday <b>.h5",
    "bundle": {
        "name": "monday",
        "hash": "0123456789abcdef",
        "decoder_kind": "per_window",
        "n_channels": 125,
        "n_latents": 12,
    },
    "notes": ["a note & more"],
}


@pytest.fixture(scope="module")
def report(trials, decoder, render, no_stage, tmp_path_factory):
    scores = score(trials.decoded, trials.known)
    folder = tmp_path_factory.mktemp("page")
    return make_report(
        folder / "new" / "report",
        ABOUT,
        trials,
        decoder,
        scores,
        render,
        no_stage,
        n_pictures=6,
        weights=folder,
    )


def test_the_page_holds_its_figures_and_asks_the_network_for_nothing(report):
    html = report[0].read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]{0,40})', html)
    # dimensions, two sheets, curves, ROI curves, strips, generalisation, ablation, effects, reliability
    assert len(sources) == 10
    assert all(s.startswith("data:image/png;base64,iVBOR") for s in sources)
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    for word in ("http:", "https:", "href", "<script", "@import", "url(", "<link", "nan", "None"):
        assert word not in text, word
    assert text.count("alt=") == 10


def test_names_are_shown_as_they_are_written(report):
    html = report[0].read_text(encoding="utf-8")
    assert "tuesday &lt;b&gt;.h5" in html
    assert "a note &amp; more" in html


def test_the_page_shows_the_numbers_of_the_json(report):
    html, told = report[0].read_text(encoding="utf-8"), json.loads(report[1].read_text())
    for section in ("single_trial", "averaged"):
        last = told[section]["last_window"]
        for key in ("cosine", "gain", "centred_cosine"):
            i = last[key]
            assert f"{i['mean']:.3f} <small>[{i['low']:.3f} {i['high']:.3f}]</small>" in html
    for part in told["pictures"]["parts"]:
        for found in part["scores"]:
            assert f"{found['score']['mean']:.3f} <small>" in html
            assert found["preprocessing"] in html
    for missing in told["pictures"]["missing"].values():
        assert missing["weights"] in html
    assert f"{told['repetitions']['rois']['IT']['oracle']:.3f}</td>" in html


def test_what_cannot_be_known_is_null_and_told_as_unknown():
    assert plain_json({"a": (np.nan, 1.0), "b": float("inf")}) == {"a": [None, 1.0], "b": None}
    assert number(None) == "unknown"
    assert number(-0.0001) == "0.000"
    assert number(-0.0006) == "-0.001"


def test_a_folder_that_cannot_be_made_is_one_line(report, tmp_path):
    told = json.loads(report[1].read_text())
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--report .*file.*expected a folder"):
        write_report(tmp_path / "file" / "x", told, {})


def test_a_page_of_responses_without_time_or_repetitions_says_so(report, tmp_path):
    told = json.loads(report[1].read_text())
    keys = ("averaged", "repetitions", "time", "temporal_generalisation")
    html, _ = write_report(tmp_path, told | dict.fromkeys(keys), {})
    text = html.read_text(encoding="utf-8")
    assert "Responses without a time axis" in text
    assert "No stimulus was shown twice" in text
    assert "averaged over repetitions</th>" not in text
