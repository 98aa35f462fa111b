from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.messages import ChannelLayout
from b2g_rt.display import theme
from b2g_rt.display.array_maps import (
    _CAPTION_HEIGHT,
    _TITLE_HEIGHT,
    ArrayMaps,
    colours_of,
    place_arrays,
)
from tests.fake_service import channel_layout


def test_arrays_stand_in_rows_of_eight_grouped_by_roi():
    places = {p.array: p for p in place_arrays(channel_layout())}
    by_roi: dict[str, list[tuple[int, int]]] = {}
    for place in places.values():
        by_roi.setdefault(place.roi, []).append((place.row, place.col))
    assert by_roi["V1"] == [(0, col) for col in range(7)]
    assert by_roi["V4"] == [(1, col) for col in range(4)]
    assert by_roi["IT"] == [(1, col) for col in range(4, 8)]


def test_an_roi_of_more_than_eight_arrays_goes_on_in_the_next_row():
    n_arrays = 10
    layout = ChannelLayout(["V1"] * n_arrays, list(range(n_arrays)), [0] * n_arrays, [0] * n_arrays)
    assert [(p.row, p.col) for p in place_arrays(layout)][-2:] == [(1, 0), (1, 1)]


def test_colours_clip_at_two_z_and_nan_is_a_hole():
    table = theme.diverging_table()
    palette = colours_of(np.array([-9, 9, np.nan, -2, 2], np.float32), table)[2:]
    np.testing.assert_array_equal(palette[[0, 1]], table[[0, -1]])
    np.testing.assert_array_equal(palette[[3, 4]], table[[0, -1]])
    assert tuple(palette[2]) == theme.PLATE.getRgb()[:3]


def test_each_electrode_lights_up_at_its_own_place(qtbot):
    layout = channel_layout()
    maps = ArrayMaps()
    qtbot.addWidget(maps)
    maps.resize(746, 272)
    maps.set_scale(1.0)
    dark = np.zeros(960, np.float32)
    maps.show_activity(layout, dark, live=True)
    rest = maps._item.image.copy()
    seen = set()
    for channel in (0, 7, 63, 64, 447, 448, 959):
        values = dark.copy()
        values[channel] = 2
        maps.show_activity(layout, values, live=True)
        changed = np.argwhere((maps._item.image != rest).any(axis=2))
        assert len(changed) > 40, "an electrode is many pixels"
        top, left = changed.min(axis=0)
        seen.add((int(top), int(left)))
        height, width = changed.max(axis=0) - (top, left) + 1
        assert height == width
    assert len(seen) == 7
    pitch, array_pitch = maps._pitch, maps._array_pitch
    assert {(0, 0), (0, 7 * pitch), (7 * pitch, 7 * pitch), (0, array_pitch)} <= seen


def test_without_a_stream_all_electrodes_are_dark(qtbot):
    layout = channel_layout()
    maps = ArrayMaps()
    qtbot.addWidget(maps)
    maps.resize(746, 272)
    maps.set_scale(1.0)
    maps.show_activity(layout, np.full(960, 2, np.float32), live=False)
    assert maps._item.image.max() <= max(theme.PLATE.getRgb()[:3])


@pytest.mark.parametrize("width", range(320, 1500, 97))
def test_all_arrays_fit_at_every_width(qtbot, width):
    maps = ArrayMaps()
    qtbot.addWidget(maps)
    maps.resize(width, round(width * 272 / 752))
    maps.set_scale(width / 752)
    maps.show_activity(channel_layout(), np.zeros(960, np.float32), live=True)
    height, wide, _ = maps._item.image.shape
    top = round((_CAPTION_HEIGHT + _TITLE_HEIGHT) * width / 752)
    assert wide <= maps.width()
    assert top + height <= maps.height() + 1
