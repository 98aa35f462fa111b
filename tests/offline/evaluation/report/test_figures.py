from __future__ import annotations

import io

import matplotlib
import numpy as np
from PIL import Image

from offline.evaluation.report.array_maps import array_grids, array_maps
from offline.evaluation.report.figure_style import figure_style, new_figure
from offline.evaluation.report.figures import generalisation
from offline.evaluation.report.making import number_figures
from offline.evaluation.report.picture_sheets import SIDE, sheet, strips
from offline.evaluation.report.pictures import draw_strips, draw_trials


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def holds(canvas, picture):
    """Whether the canvas shows the picture, at the sheet's size, somewhere."""
    small = np.asarray(
        Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.int16
    )
    rows, cols, _ = canvas.shape
    middle = canvas[SIDE // 2 :, SIDE // 2 :].astype(np.int16)
    hits = (np.abs(middle - small[SIDE // 2, SIDE // 2]) <= 1).all(axis=2)
    for y, x in np.argwhere(hits):
        if y + SIDE <= rows and x + SIDE <= cols:
            found = canvas[y : y + SIDE, x : x + SIDE].astype(np.int16)
            if (np.abs(found - small) <= 1).all():
                return True
    return False


def test_an_electrode_stands_at_its_row_and_column_and_a_dead_one_is_missing(channels):
    values = np.arange(channels.n_channels, dtype=float)
    grids = array_grids(values, channels)
    assert list(grids) == ["V1", "IT"]
    np.testing.assert_array_equal(grids["V1"][3], np.arange(64.0).reshape(8, 8))
    it = grids["IT"][5]
    assert np.isnan(it[[0, 1, 7], [0, 1, 7]]).all()
    assert np.isfinite(it).sum() == 61
    assert it[0, 1] == 64.0  # the first that is kept
    for channel in (70, 100, 124):
        assert it[channels.row[channel], channels.col[channel]] == values[channel]


def test_a_map_of_nothing_but_unknown_values_is_drawn(channels):
    assert pixels(array_maps([None] * channels.n_channels, channels, "unknown")).std() > 0


def test_every_figure_is_drawn_twice_alike(contents, channels):
    figures = number_figures(contents, channels)
    names = {"dimensions", "curves", "roi_curves", "generalisation", "ablation", "effects"}
    assert figures.keys() == names | {"reliability"}
    for name, figure in figures.items():
        assert pixels(figure.png).std() > 5, name
        assert figure.alt
        assert 200 < figure.width <= 1000
    again = number_figures(contents, channels)
    assert {k: f.png for k, f in again.items()} == {k: f.png for k, f in figures.items()}


def test_what_is_not_known_is_not_drawn(contents, channels):
    keys = ("averaged", "repetitions", "time", "temporal_generalisation", "roi_ablation")
    figures = number_figures(contents | dict.fromkeys(keys), channels)
    assert figures.keys() == {"dimensions", "effects"}


def test_a_brighter_cell_is_a_higher_value():
    values = np.full((3, 3), 0.1)
    values[2, 1] = 0.4  # fitted at the last window, decoded at the middle one
    shown = pixels(
        generalisation({"centred_cosine": values.tolist(), "stop_ms": [0.0, 50.0, 100.0]})
    )
    highest = np.array(matplotlib.colormaps["cividis"](1.0)[:3]) * 255
    area = (np.abs(shown[:, : shown.shape[1] * 3 // 4] - highest) < 3).all(axis=2)
    rows, cols = np.nonzero(area)
    assert area.sum() > 5000
    # Low windows at the bottom: the last fitted window is the top row, the middle column the middle.
    assert rows.max() < shown.shape[0] * 0.4
    assert shown.shape[1] * 0.25 < cols.mean() < shown.shape[1] * 0.55


def test_a_sheet_holds_each_picture_and_the_mean_latents(trials, render, no_stage):
    drawn = draw_trials(trials, render, 5, no_stage)
    canvas = pixels(sheet(drawn, n_across=3))
    for i in range(5):
        assert holds(canvas, drawn.reconstructed[i])
        assert holds(canvas, drawn.stimuli[drawn.true_idx[i]])
    assert holds(canvas, drawn.mean_picture)
    assert not holds(canvas, 255 - drawn.mean_picture)


def test_strips_hold_every_window(trials, render, no_stage):
    drawn = draw_strips(trials, render, no_stage)
    canvas = pixels(strips(drawn, [50.0, 100.0, 150.0]))
    for strip in drawn:
        for picture in (strip.stimulus, *strip.windows):
            assert holds(canvas, picture)


def test_drawing_leaves_matplotlibs_settings_alone():
    before = dict(matplotlib.rcParams)
    with figure_style():
        new_figure(1, 1)
    assert dict(matplotlib.rcParams) == before
