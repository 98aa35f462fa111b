from __future__ import annotations

import re

import numpy as np
import pytest

from offline.evaluation.report.encoding_bars import layer_bars
from offline.evaluation.report.encoding_distributions import r_distributions
from offline.evaluation.report.encoding_joint import rsa_matrix, variance_bars
from offline.evaluation.report.encoding_maps import OPACITY, electrode_opacity, layer_maps
from offline.evaluation.report.encoding_style import hierarchies_of, space_colours
from offline.evaluation.report.encoding_time import latency_maps, time_curves
from tests.made_encoding import SPACES, made_encoding

N_ARRAYS_KEPT = 3


@pytest.fixture(scope="module")
def made():
    return made_encoding()


@pytest.fixture(scope="module")
def contents(made):
    return made.contents()


def cells(svg):
    """Fill and opacity of every cell of the arrays, in the order they are drawn; legends and text are none."""
    edge = r"; stroke: #ffffff; stroke-width: 0\.6"
    style = re.compile(r'style="fill: ([#0-9a-z]+)(?:; fill-opacity: ([0-9.]+))?' + edge + '"')
    found = style.findall(svg.decode())
    return [(fill, 0.0 if fill == "none" else float(alpha or 1.0)) for fill, alpha in found]


def test_an_electrode_has_the_colour_of_its_best_space_and_the_opacity_of_its_significance(
    contents, made
):
    drawn = cells(layer_maps(contents))
    assert len(drawn) == 64 * N_ARRAYS_KEPT
    colours = space_colours(SPACES)
    opacity = electrode_opacity(contents)
    best = made.assignment.best
    # Arrays are drawn in the order of their ROIs, electrodes row by row; three of IT's are missing.
    channels = made.channels
    position = np.repeat([0, 64, 128], [64, 64, 61]) + 8 * channels.row + channels.col
    for channel, at in enumerate(position):
        fill, alpha = drawn[at]
        assert fill == colours[SPACES[best[channel]]].lower()
        assert alpha == pytest.approx(opacity[channel], abs=0.01)
    missing = np.setdiff1d(np.arange(192), position)
    assert [drawn[at][1] for at in missing] == [0.0] * 3


def test_opacity_says_what_the_tests_say(contents, made):
    opacity = electrode_opacity(contents)
    significant = made.assignment.significant
    assert (opacity[significant] == OPACITY["significant"]).all()
    own = made.assignment.best, np.arange(len(opacity))
    uncorrected = (made.scores.p[own] < 0.05) & (made.scores.r[own] > 0)
    np.testing.assert_array_equal(opacity == OPACITY["not"], ~uncorrected)
    assert (opacity == OPACITY["uncorrected"]).any()


def test_a_dead_array_and_a_missing_electrode_are_marked(contents):
    svg = layer_maps(contents).decode()
    assert "<!-- dead -->" in svg
    assert "<!-- array 1 -->" in svg
    assert "<!-- no electrode -->" in svg


def test_an_electrode_has_the_colour_of_its_latency(contents, made):
    drawn = cells(latency_maps(contents))
    stop = np.array(contents["time"]["latency"]["stop_ms"], float)
    fills: dict[float | None, set[tuple[str, float]]] = {}
    for channel, at in enumerate(8 * made.channels.row[:64] + made.channels.col[:64]):
        fills.setdefault(stop[channel] if np.isfinite(stop[channel]) else None, set()).add(
            drawn[at]
        )
    assert all(len(found) == 1 for found in fills.values())
    assert len(set.union(*fills.values())) == len(fills) > 2


def test_bars_are_as_high_as_shares(contents):
    svg = layer_bars(contents).decode()
    for roi in contents["assignment"]["rois"].values():
        assert f"{roi['n_significant']} of {roi['n_channels']} electrodes" in svg
        for count in roi["counts"]:
            assert not count or f"<!-- {count} -->" in svg
    bars = re.findall(
        r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nL [\d.]+ ([\d.]+) \nL [^"]*" clip-path="[^"]*" style="fill',
        svg,
    )
    heights = np.array(bars, float) @ [1.0, -1.0]
    assert len(heights) == 2 * 3 * len(SPACES)
    above = [share for roi in contents["assignment"]["rois"].values() for share in roi["shares"]]
    below = [
        roi["spaces"][space]["significant"]["bonferroni"]
        for roi in contents["rois"].values()
        for space in SPACES
    ]
    shares = np.array(above + below)
    np.testing.assert_allclose(heights / heights.max(), shares / shares.max(), atol=1e-4)


def test_spaces_that_differ_by_a_number_are_one_ramp_and_others_have_their_own_colours():
    spaces = ("VGG1", "VGG2", "VGG10", "CLIP", "w", "z", "Lite1")
    assert hierarchies_of(spaces) == [
        ("VGG1", "VGG2", "VGG10"),
        ("CLIP",),
        ("w",),
        ("z",),
        ("Lite1",),
    ]
    colours = space_colours(spaces)
    assert len(set(colours.values())) == len(spaces)
    assert colours["VGG1"] == "#440154"  # the dark end of viridis
    luminance = [int(colours[s][1:3], 16) + 2 * int(colours[s][3:5], 16) for s in spaces[:3]]
    assert luminance == sorted(luminance)
    many = space_colours([f"net{chr(97 + i)}" for i in range(12)])
    assert len(set(many.values())) == 12
    two = space_colours(["A1", "A2", "B1", "B2"])
    assert len(set(two.values())) == 4


def test_a_star_marks_what_is_significant_after_correction(contents):
    rsa = contents["rsa"]
    found = {roi: row["p_corrected"] for roi, row in rsa["rois"].items()}
    n_stars = sum(p < 0.05 for row in found.values() for p in row.values())
    assert (
        rsa_matrix(contents).count(b"*-->") + rsa_matrix(contents).count(b"* -->") == n_stars == 3
    )
    for roi, space in (("V1", "VGG1"), ("V4", "VGG3"), ("IT", "w")):
        p = rsa["rois"][roi]["p"][space]
        assert found[roi][space] == pytest.approx(9 * p)


def test_figures_of_one_roi_one_space_and_nothing_significant_are_drawn(contents):
    import copy

    told = copy.deepcopy(contents)
    n = len(told["electrodes"]["roi"])
    told["significance"]["least_r"] = None
    told["assignment"]["significant"] = [False] * n
    for roi in told["assignment"]["rois"].values():
        roi |= {"n_significant": 0, "counts": [0] * 6, "shares": [None] * 6}
    for roi in told["rois"].values():
        roi |= {"median_ceiling": None, "quartiles_ceiling": None}
    latency = told["time"]["latency"]
    latency["stop_ms"] = [None] * n
    none = {"n": 0, "median": None, "low": None, "high": None}
    latency["rois"] = {roi: dict.fromkeys(found, none) for roi, found in latency["rois"].items()}
    told["rsa"]["n_parts"] = 0
    for draw in (layer_bars, layer_maps, r_distributions, time_curves, latency_maps, rsa_matrix):
        assert draw(told).startswith(b"<?xml"), draw
    assert b"none is significant" in layer_bars(told)


def test_a_joint_model_of_negative_parts_is_drawn_below_zero(contents):
    import copy

    told = copy.deepcopy(contents)
    before = variance_bars(told)
    told["joint"]["rois"]["V4"]["shared"] = {"mean": -0.2, "low": -0.3, "high": -0.1}
    told["joint"]["rois"]["IT"] = None
    after = variance_bars(told).decode()
    assert "IT," in before.decode()
    assert "IT," not in after
    assert "−0.2" in after
