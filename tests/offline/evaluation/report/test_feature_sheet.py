from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from offline.evaluation.report.feature_sheet import SheetLevel, feature_sheet


def test_a_map_is_the_mean_over_channels(rng):
    values = rng.standard_normal((2, 3 * 4 * 5), np.float32)
    maps = SheetLevel("conv", (3, 4, 5), values).maps()
    np.testing.assert_allclose(maps, values.reshape(2, 3, 4, 5).mean(axis=1))


def test_features_without_rows_are_a_square_number_by_number(rng):
    values = rng.standard_normal((2, 7), np.float32)
    maps = SheetLevel("w", (7,), values).maps()
    assert maps.shape == (2, 3, 3)
    np.testing.assert_array_equal(maps.reshape(2, 9)[:, :7], values)
    assert np.isnan(maps.reshape(2, 9)[:, 7:]).all()


def test_a_sheet_shows_each_picture_once_beside_its_maps():
    red, blue = (np.full((20, 30, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    levels = [
        SheetLevel("constant", (1, 4, 4), np.ones((2, 16), np.float32)),
        SheetLevel("w", (10,), np.arange(20, dtype=np.float32).reshape(2, 10)),
    ]
    data = feature_sheet("two", ["a", "b"], [red, blue], levels, n_more=3)
    assert feature_sheet("two", ["a", "b"], [red, blue], levels, n_more=3) == data
    with Image.open(BytesIO(data)) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    rows_of = [
        np.flatnonzero((pixels == np.array(c)).all(axis=2).any(axis=1))
        for c in ((255, 0, 0), (0, 0, 255))
    ]
    assert len(rows_of[0]) > 50
    assert rows_of[0].max() < rows_of[1].min()
