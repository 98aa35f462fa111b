from __future__ import annotations

import io
import json
from dataclasses import replace

import jsonschema
import pytest
from rich.console import Console

from b2g_rt.errors import ConfigError
from offline.reproduction.claims import Claim
from offline.reproduction.page import HTML_FILE, JSON_FILE, PNG_FILE, write_reproduction
from offline.reproduction.published import PUBLISHED
from offline.reproduction.tables import print_reproduction
from offline.reproduction.wording import verdict

# The first test that asks for it runs the whole experiment, in small.
pytestmark = pytest.mark.timeout(240)

RUN = {"command": "b2g-offline reproduce faces", "seconds": 1.0, "peak_memory_mb": 2.0}

_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_INTERVAL = {
    "type": "object",
    "required": ["mean", "low", "high"],
    "additionalProperties": _NUMBER,
}


def _all_of(names, value):
    return {
        "type": "object",
        "required": list(names),
        "additionalProperties": False,
        "properties": dict.fromkeys(names, value),
    }


_WINDOW = {
    "type": "object",
    "required": ["window_idx", "n_trials", "cosine", "mean_latent_cosine", "centred_cosine"],
    "properties": {"cosine": _INTERVAL, "centred_cosine": _INTERVAL, "two_way": _INTERVAL},
}
_IDENTIFICATION = {
    "type": "object",
    "required": ["task", "pool", "chance", "score"],
    "properties": {"pool": {"type": "integer"}, "chance": _SHARE, "score": _INTERVAL},
}
_DECODER = {
    "type": "object",
    "required": ["roi_windows", "windows", "share_of_final_gain", "stop_ms", "chosen"],
    "properties": {
        "roi_windows": {
            "type": "object",
            "required": ["cosine", "centred_cosine", "mean_latent_cosine", "gain"],
            "properties": {
                "cosine": _INTERVAL,
                "centred_cosine": _INTERVAL,
                "mean_latent_cosine": _INTERVAL,
                "identification": {"type": "array", "minItems": 1, "items": _IDENTIFICATION},
            },
        },
        "windows": {"type": "array", "minItems": 9, "maxItems": 9, "items": _WINDOW},
        "share_of_final_gain": {"type": "array", "minItems": 9, "maxItems": 9},
    },
}
_CONDITION = {
    "type": "object",
    "required": ["normalisation", "looks_ahead", "n_trials", "ols", "ridge"],
    "properties": {
        "looks_ahead": {"type": "boolean"},
        "ols": _all_of(("all", "V1", "V4", "IT"), _DECODER),
        "ridge": _all_of(("all", "V1", "V4", "IT"), _DECODER),
    },
}
_CLAIM = {
    "type": "object",
    "required": ["name", "what", "value", "low", "high", "paper", "inside"],
    "properties": {"value": _NUMBER, "inside": {"type": "boolean"}},
}
SCHEMA = {
    "type": "object",
    "required": [
        "version",
        "stimuli",
        "inside",
        "judged",
        "claims",
        "paper",
        "mean_latent",
        "averaged",
        "single_trial",
        "plan",
        "seeds",
        "macaque",
        "sources",
        "run",
    ],
    "properties": {
        "version": {"const": 1},
        "claims": {"type": "array", "minItems": 9, "items": _CLAIM},
        "mean_latent": _all_of(("averaged", "single_trial"), _INTERVAL),
        "averaged": _CONDITION,
        "single_trial": _CONDITION,
    },
}


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "not" / "there" / "yet"
    written = write_reproduction(folder, found, RUN)
    assert [path.name for path in written] == [JSON_FILE, PNG_FILE, HTML_FILE]
    return folder


def test_the_json_has_every_figure_beside_baseline_and_chance(folder, found):
    record = json.loads((folder / JSON_FILE).read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["averaged"]["looks_ahead"]
    assert not record["single_trial"]["looks_ahead"]
    assert record["run"] == RUN
    assert record["paper"]["windows"] == list(PUBLISHED["faces"].windows)
    two_way = record["single_trial"]["ridge"]["all"]["roi_windows"]["identification"][0]
    assert (two_way["task"], two_way["pool"], two_way["chance"]) == ("2-way", 12, 0.5)
    assert [c["value"] for c in record["claims"]] == [c.value for c in found.claims]


def test_all_but_the_record_of_the_run_is_the_same_again(folder, found, tmp_path):
    write_reproduction(tmp_path, found, {**RUN, "seconds": 9.0})
    old, new = (json.loads((f / JSON_FILE).read_text()) for f in (folder, tmp_path))
    assert old.pop("run") != new.pop("run")
    assert old == new
    assert (folder / PNG_FILE).read_bytes() == (tmp_path / PNG_FILE).read_bytes()


def test_the_page_asks_the_network_for_nothing_and_marks_what_is_outside(folder, found):
    html = (folder / HTML_FILE).read_text()
    assert "data:image/png;base64," in html
    assert 'src="http' not in html
    assert "<link" not in html
    assert "<script" not in html
    assert html.count(">OUTSIDE<") == sum(not claim.inside for claim in found.claims)
    assert html.count(">inside<") == sum(claim.inside for claim in found.claims)
    for claim in found.claims:
        assert f"{claim.value:.3f}" in html
    assert (folder / PNG_FILE).read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_the_papers_table_beside_ours(found):
    console = Console(width=110, record=True, file=io.StringIO())
    print_reproduction(console, found)
    lines = console.export_text().splitlines()
    row = next(line for line in lines if line.startswith("all "))
    ours = found.scores["averaged"].decoders["ols"]["all"].roi_windows.cosine.mean
    assert row.split()[1:3] == ["0.550", f"{ours:.3f}"]
    assert any(line.startswith("k=8") and "+200 ms" in line for line in lines)
    marks = [line.split()[-1] for line in lines if line.endswith(("inside", "OUTSIDE"))]
    assert marks == ["inside" if claim.inside else "OUTSIDE" for claim in found.claims]


def test_the_verdict_counts_what_is_outside():
    good, bad = Claim("a", "a", 0.5, 0.4, 0.6), Claim("b", "b", 0.7, 0.4, 0.6)
    assert verdict((good, good), judged=True) == "All 2 figures are as wanted."
    assert verdict((good, bad), judged=True).startswith("1 of 2 figures are OUTSIDE")
    assert "not judged" in verdict((good, bad), judged=False)


def test_one_figure_outside_is_enough(found):
    good, bad = Claim("a", "a", 0.5, 0.4, 0.6), Claim("b", "b", 0.7, 0.4, 0.6)
    assert replace(found, claims=(good, good)).inside
    assert not replace(found, claims=(good, bad)).inside


def test_a_folder_that_cannot_be_made_is_one_line(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out .*file.*Choose another"):
        write_reproduction(tmp_path / "file", found, RUN)
