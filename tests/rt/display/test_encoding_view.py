"""Predicted beside observed MUA: shown when an encoder speaks, and only then."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from PySide6.QtGui import QImage

from b2g_rt.contracts.messages import Agreement, Topic, floats_of
from b2g_rt.display import theme
from b2g_rt.display.array_maps import colours_of
from b2g_rt.display.encoding_view import encoding_rows, training_text, trials_text
from b2g_rt.display.window import _ENCODING_GRID, _GRID, DisplayWindow
from tests.fake_service import FakeService


@pytest.fixture
def window(qtbot, fed):
    shown = DisplayWindow(fed.model.snapshot, fed.model.painted, lambda: None)
    qtbot.addWidget(shown)
    shown.show()
    qtbot.waitExposed(shown)
    return shown


def trial(fed, **changes):
    fed.status()
    fed.trial()
    message = msgspec.structs.replace(fed.service.encoding(), **changes)
    fed.take(Topic.EVENTS, message)
    return message


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def test_without_an_encoder_the_window_is_as_it_was(window, fed):
    fed.status()
    fed.trial()
    window.tick()
    assert not any(getattr(window, name).isVisible() for name in _ENCODING_GRID)
    assert window.events.geometry().bottom() >= 0.97 * window.height()


def test_with_the_first_message_the_canvas_makes_room_below(window, fed):
    trial(fed)
    window.tick()
    views = {name: getattr(window, name).geometry() for name in (*_GRID, *_ENCODING_GRID)}
    assert all(getattr(window, name).isVisible() for name in _ENCODING_GRID)
    for name, place in views.items():
        assert window.rect().contains(place), name
        assert not any(place.intersects(p) for n, p in views.items() if n != name), name


@pytest.mark.parametrize("size", [(1600, 900), (1280, 720), (640, 360), (900, 1200)])
def test_maps_show_the_values_at_every_size(window, fed, size):
    message = trial(fed)
    window.resize(*size)
    window.tick()
    table = theme.diverging_table()
    for view, data in ((window.predicted, message.predicted), (window.observed, message.observed)):
        wanted = {tuple(c) for c in colours_of(floats_of(data, ""), table)[2:].tolist()}
        found = {tuple(c) for c in view._item.image.reshape(-1, 3).tolist()}
        assert len(wanted - found) == 0
        assert pixels(view).std() > 5
    assert pixels(window.encoding).std() > 5


def test_an_electrode_that_is_left_out_is_a_hole_in_both_maps(window, fed):
    message = trial(fed)
    hole = np.isnan(floats_of(message.observed, ""))
    assert hole.sum() == 10
    window.tick()
    index = window.predicted._index
    for view in (window.predicted, window.observed):
        for channel in np.flatnonzero(hole):
            at = view._item.image[index == 2 + channel]
            assert (at == theme.PLATE.getRgb()[:3]).all()


def test_the_table_has_a_row_for_all_electrodes_and_for_each_roi(fed):
    agreement = [Agreement("all", 950, 0.4321, 0.1), Agreement("V1", 440, None, -0.25)]
    trial(fed, agreement=agreement)
    rows = encoding_rows(fed.model.snapshot().encoding)
    assert rows == [("all  950", "0.43", "0.10"), ("V1  440", "–", "−0.25")]
    assert encoding_rows(None) == []


def test_electrodes_over_trials_are_told_when_there_are_enough(fed):
    trial(fed, n_trials=1, trial_r=None)
    assert trials_text(fed.model.snapshot().encoding) == "1 trial so far"
    r = np.array([0.2, np.nan, 0.4] + [np.nan] * 957, "<f4").tobytes()
    trial(fed, n_trials=31, trial_r=r)
    said = "over 31 trials: median electrode r 0.30"
    assert trials_text(fed.model.snapshot().encoding) == said
    nothing = np.full(960, np.nan, "<f4").tobytes()
    trial(fed, n_trials=32, trial_r=nothing)
    assert trials_text(fed.model.snapshot().encoding) == "32 trials so far"


def test_a_stimulus_of_the_training_is_told_from_a_new_one(fed):
    assert training_text(None) == ""
    trial(fed, in_training=True, n_trials=31, n_in_training=20)
    assert training_text(fed.model.snapshot().encoding) == "training stimulus (20 of 31 so far)"
    trial(fed, in_training=False, n_trials=32, n_in_training=20)
    said = "new stimulus (training: 20 of 32 so far)"
    assert training_text(fed.model.snapshot().encoding) == said


def test_another_channel_count_is_refused_by_name(fed):
    trial(fed, predicted=np.zeros(12, "<f4").tobytes())
    snapshot = fed.model.snapshot()
    assert snapshot.encoding is None
    assert "encoding: 12 channels, the status names 960" in snapshot.events[-1].text


def test_bytes_that_are_no_floats_are_refused_by_name(fed):
    trial(fed, trial_r=bytes(7))
    snapshot = fed.model.snapshot()
    assert snapshot.encoding is None
    assert "7 bytes" in snapshot.events[-1].text


def test_a_service_without_an_encoder_takes_the_place_away_again(window, fed):
    trial(fed)
    window.tick()
    fed.service = FakeService(seed=1)
    fed.status()
    fed.trial()
    window.tick()
    assert not window.predicted.isVisible()


def test_a_restarted_encoder_counts_from_zero(fed):
    trial(fed)
    trial(fed)
    newest = fed.model.snapshot().encoding
    assert newest is not None
    assert newest.message.trial == 1
    fed.service = FakeService(seed=1)
    again = trial(fed)
    newest = fed.model.snapshot().encoding
    assert newest is not None
    assert newest.message == again
