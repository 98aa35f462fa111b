from __future__ import annotations

import json
import re

import numpy as np
import pytest

from offline.encoding.contents import CONTENTS_FILE, Fitted, encoding_contents
from offline.encoding.contents_file import read_contents
from offline.evaluation.report.encoding_report import (
    AboutEncoding,
    encoding_figures,
    write_encoding_report,
)
from offline.evaluation.report.making import make_report
from offline.evaluation.report.page import page as html
from offline.evaluation.scores import score
from tests.made_encoding import SPACES, made_encoding
from tests.offline.evaluation.report.test_page import ABOUT

FORBIDDEN = ("http:", "https:", "href", "<script", "@import", "url(", "<link", "nan", "None")
FIGURES = {
    "layer_bars",
    "layer_maps",
    "r_distributions",
    "rsa_matrix",
    "variance_bars",
    "time_curves",
    "latency_curves",
    "latency_maps",
}


@pytest.fixture(scope="module")
def made():
    return made_encoding()


@pytest.fixture(scope="module")
def contents(made):
    fitted = Fitted(
        "cross_validation",
        400,
        dict.fromkeys(SPACES, 512),
        network={"VGG1": "VGG16 <x>", "VGG2": "VGG16 <x>", "w": "StyleGAN3"},
        window_ms={"V1": (25.0, 125.0)},
        fewest=20,
        most=20,
    )
    return made.contents(fitted=fitted)


@pytest.fixture(scope="module")
def written(contents, tmp_path_factory):
    about = AboutEncoding("monday <b>.h5", "0", lines=("VGG16 & w.",), notes=("Simulated.",))
    return write_encoding_report(tmp_path_factory.mktemp("page") / "new", about, contents)


def shown(path):
    """The page's text without its figures, white space as a reader sees it."""
    html = path.read_text(encoding="utf-8")
    return " ".join(re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", html).split())


def test_the_encoding_page_asks_the_network_for_nothing(written):
    sources = re.findall(r'src="([^"]{0,30})', written[0].read_text(encoding="utf-8"))
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    text = shown(written[0])
    for word in FORBIDDEN:
        assert word not in text, word
    assert text.count("alt=") == len(FIGURES)
    assert "monday &lt;b&gt;.h5" in text
    assert "VGG16 &amp; w." in text
    assert "VGG1, VGG2: VGG16 &lt;x&gt;; w: StyleGAN3." in text


def test_the_json_beside_the_page_can_be_read_back(written, contents):
    assert written[1].name == CONTENTS_FILE
    told = read_contents(written[1].parent)
    assert told["r"] == contents["r"]
    assert told["about"]["notes"] == ["Simulated."]


def test_the_encoding_pages_numbers_are_the_jsons(written):
    text, told = shown(written[0]), json.loads(written[1].read_text())
    for roi in told["rois"].values():
        for v in roi["spaces"].values():
            assert f"{v['mean_r']:.3f} <small>[{v['low']:.3f} {v['high']:.3f}]</small>" in text
            assert f"{v['median_normalised_r']:.3f} <small>n = {v['n_normalised']}" in text
            assert f"<td>{100 * v['significant']['bonferroni']:.0f} %</td>" in text
    latencies = text[text.index("half of maximum</th>") :]
    for name, roi in told["time"]["latency"]["rois"].items():
        first, half = roi["stop_ms"], roi["half_maximum_ms"]
        row = latencies[latencies.index(f"<tr><td>{name}</td><td>{first['n']}</td>") :]
        row = row[: row.index("</tr>")]
        for found in (first, half):
            assert (
                f"{found['median']:z.0f} <small>[{found['low']:z.0f} {found['high']:z.0f}]" in row
            )
    for name, roi in told["assignment"]["rois"].items():
        best = SPACES[int(np.argmax(roi["counts"]))]
        assert f"<b>{name}: {best}</b>" in text
        assert f"best for {100 * max(roi['shares']):.0f} % of {roi['n_significant']} sign" in text
    for roi in told["joint"]["rois"].values():
        assert f"<td>{roi['joint']['mean']:.3f} <small>" in text


def test_every_figure_has_a_caption_with_its_test_and_correction(written):
    text = shown(written[0])
    figures = re.split(r"<img ", text)[1:]
    assert len(figures) == len(FIGURES)
    for figure in figures:
        assert '<p class="quiet">' in figure[: figure.index("</p>") + 4] or "<table>" in figure
    assert "two-sided t test" in text
    assert "p multiplied by 6 (the best of 6 was chosen), then Bonferroni over electrodes" in text
    assert "Bonferroni over 9 windows" in text
    assert "reference only" in text
    assert "100 test stimuli" in text


def test_the_papers_figures_stand_only_beside_spaces_of_the_same_name(made, tmp_path):
    told = encoding_contents(made.scores, made.assignment)
    others = [f"Lite{i}" for i in range(1, 7)]
    told |= {"spaces": others}
    told["rois"] = {
        roi: found | {"spaces": dict(zip(others, found["spaces"].values(), strict=True))}
        for roi, found in told["rois"].items()
    }
    page, file = write_encoding_report(tmp_path, AboutEncoding("x", "0"), told)
    assert "reference only" not in shown(page)
    assert json.loads(file.read_text())["published"] is None


def test_a_page_without_time_or_joint_model_says_so(made, tmp_path):
    told = encoding_contents(made.scores, made.assignment)
    page, _ = write_encoding_report(tmp_path, AboutEncoding("x", "0"), told)
    text = shown(page)
    assert "no responses window by window" in text
    assert text.count("<img ") == 3
    for word in FORBIDDEN:
        assert word not in text, word


def test_every_encoding_figure_is_drawn_twice_alike_and_fits_the_page(contents, written):
    html = written[0].read_text(encoding="utf-8")
    figures = encoding_figures(contents)
    assert figures.keys() == FIGURES
    for name, figure in figures.items():
        assert 200 < figure.width <= 1000, name
        assert f'src="{figure.uri}" alt="{figure.alt}"' in html, name


def test_a_decoders_report_ends_with_the_encoding_section(
    written, trials, decoder, render, no_stage, tmp_path
):
    encoding = read_contents(written[1])
    scores = score(trials.decoded, trials.known)
    page, file = make_report(
        tmp_path,
        ABOUT,
        trials,
        decoder,
        scores,
        render,
        no_stage,
        n_pictures=2,
        weights=tmp_path,
        encoding=encoding,
    )
    told = json.loads(file.read_text())
    assert told["encoding"]["r"] == encoding["r"]
    both, alone = shown(page), shown(written[0])
    # One and the same section: from its first caption to the end.
    start = '<p class="quiet">VGG1, VGG2'
    assert both[both.index(start) :] == alone[alone.index(start) :]
    assert "<p>VGG16 &amp; w.</p>" in both
    assert '<p class="note">Simulated.</p>' in both
    del told["encoding"]
    without = " ".join(html(told, {}).split())
    assert "which representation predicts each electrode" not in without
    assert without.count("<h2>") == both.count("<h2>") - alone.count("<h2>")
