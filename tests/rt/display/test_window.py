from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter

from b2g_rt.contracts.messages import Flags, Ledger, Topic
from b2g_rt.display import freshness, theme
from b2g_rt.display.figures_table import count_rows, provider_name
from b2g_rt.display.freshness import Shown, Verdict
from b2g_rt.display.paint_clock import PaintClock
from b2g_rt.display.picture_view import PictureView, greyed
from b2g_rt.display.reconstruction_lines import age_text, identity_text
from b2g_rt.display.window import _GRID, DisplayWindow
from tests.fake_service import FakeService, draw_face


@pytest.fixture
def window(qtbot, fed):
    shown = DisplayWindow(fed.model.snapshot, fed.model.painted, lambda: None)
    qtbot.addWidget(shown)
    shown.show()
    qtbot.waitExposed(shown)
    return shown


def _pixels(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    flat = np.frombuffer(image.constBits(), np.uint8)
    rows = flat.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
    return rows.reshape(image.height(), image.width(), 3).astype(int)


def _colourful(pixels):
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())


def test_a_fresh_picture_is_in_colour_and_painted_where_it_belongs(window, fed):
    fed.status()
    fed.trial()
    painted = window.tick()
    assert painted.verdict.shown is Shown.FRESH
    pixels = _pixels(window.picture)
    face = fed.model.snapshot().picture.pixels.astype(int)
    step = pixels.shape[0] / face.shape[0]
    at = (np.arange(4, 124, 8) + 0.5) * step
    sampled = pixels[np.ix_(at.astype(int), at.astype(int))]
    assert np.abs(sampled - face[4:124:8, 4:124:8]).mean() < 4


def test_a_stale_picture_is_grey_and_says_how_old_it_is(window, fed):
    fed.service = FakeService(delay_s=2.0)
    fed.status()
    fed.trial()
    painted = window.tick()
    assert painted.verdict.shown is Shown.STALE
    upper = _pixels(window.picture)[:400]
    assert _colourful(upper) < 1
    assert window.picture._text.startswith("stale, 2.")


@pytest.mark.parametrize("state", ["waiting", "stalled"])
def test_a_picture_is_stale_as_soon_as_the_stream_does_not_run(window, fed, state):
    fed.trial()
    fed.status(state=state)
    assert window.tick().verdict.shown is Shown.STALE


def test_qt_cannot_repaint_a_picture_that_outlived_a_stall(qtbot):
    view = PictureView()
    qtbot.addWidget(view)
    view.resize(128, 128)
    view.set_scale(1.0)
    face = draw_face(np.full(6, 0.7))
    view.show_picture(face, valid_until_s=time.monotonic() + 60)
    assert _colourful(_pixels(view)) > 20
    view.show_picture(face, valid_until_s=time.monotonic() - 0.001)
    assert _colourful(_pixels(view)) < 15
    view.show_picture(face, valid_until_s=time.monotonic() + 60)
    assert _colourful(_pixels(view)) > 20


def test_before_the_first_message_the_window_waits(window):
    painted = window.tick()
    assert painted.state == "no contact yet"
    assert painted.sequence is None


def test_every_state_paints_without_a_warning(window, fed):
    fed.service = FakeService(speed=0.25, latent_gain=2.0)
    fed.status(mua=Ledger(1000, 900, 100, 3, 4), windows_dropped=2, generator_provider="X")
    fed.trial()
    onset_s = fed.begin()
    fed.frame(0, onset_s, Flags(gap=True, late=True, degraded=True))
    fed.frame(1, onset_s, Flags(skipped=True))
    fed.frame(2, onset_s, Flags(dropped=True))
    fed.take(Topic.ACTIVITY, fed.service.activity(0.1))
    for level in ("info", "warning", "error"):
        fed.take(Topic.EVENTS, fed.service.event(f"{level} " * 40, level))
    for size in ((1600, 900), (1280, 720), (640, 360), (900, 1200)):
        window.resize(*size)
        window.tick()
        assert _pixels(window).std() > 5
    fed.status(baseline=None, latency_decode_ms=None, stream="", host="", n_trials_expected=None)
    window.tick()
    window.grab()


def test_text_is_really_rendered(qapp):
    def inked(text):
        image = QImage(200, 40, QImage.Format.Format_RGB888)
        image.fill(theme.BACKGROUND)
        with QPainter(image) as painter:
            theme.put_text(painter, QRectF(0, 0, 200, 40), text)
        return np.frombuffer(image.constBits(), np.uint8).copy()

    # Without fonts Qt paints nothing, or the same empty box for each letter.
    assert inked("aaaa").max() > 150
    assert (inked("aaaa") != inked("eeee")).any()


@pytest.mark.parametrize("size", [(1600, 900), (1280, 720), (2560, 1440), (1200, 1000)])
def test_views_keep_the_grid_at_every_size(window, size):
    window.resize(*size)
    scale = min(size[0] / 1600, size[1] / 900)
    for name, (_, _, width, height) in _GRID.items():
        view = getattr(window, name)
        assert abs(view.width() - width * scale) <= 1
        assert abs(view.height() - height * scale) <= 1
        assert view.geometry().right() < size[0]
        assert view.geometry().bottom() < size[1]


def test_grid_cells_do_not_overlap():
    cells = list(_GRID.items())
    for i, (name, (x, y, w, h)) in enumerate(cells):
        for other, (u, v, p, q) in cells[i + 1 :]:
            apart = x + w <= u or u + p <= x or y + h <= v or v + q <= y
            assert apart, f"{name} overlaps {other}"


def test_a_trial_is_complete_when_the_strip_shows_its_last_picture(window, fed):
    fed.status()
    onset_s = fed.begin()
    for window_idx in range(9):
        fed.frame(window_idx, onset_s)
        window.tick()
    assert not window.tick().trial_complete
    fed.take(Topic.EVENTS, fed.service.scores())
    window.tick()
    assert window.tick().trial_complete


def test_keys(qtbot, fed, tmp_path):
    asked, closed = [], []
    window = DisplayWindow(fed.model.snapshot, fed.model.painted, lambda: asked.append(1))
    qtbot.addWidget(window)
    window.on_closed = lambda: closed.append(1)
    window.show()
    qtbot.keyClick(window, Qt.Key.Key_S)
    qtbot.keyClick(window, Qt.Key.Key_F)
    assert window.isFullScreen()
    qtbot.keyClick(window, Qt.Key.Key_F)
    assert not window.isFullScreen()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert (asked, closed) == ([1], [1])


def test_a_thousand_requests_from_another_thread_are_few_paints(qtbot):
    paints = []
    clock = PaintClock(lambda: paints.append((time.monotonic(), threading.get_ident())))

    def ask():
        for _ in range(1000):
            clock.request()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: bool(paints), timeout=5000)
    clock.stop()
    assert len(paints) == 1
    assert paints[0][1] == threading.get_ident()


def test_ages_and_identities_read_well(fed):
    assert age_text(Verdict(Shown.FRESH, 0.0432)) == ("43", "ms")
    assert age_text(Verdict(Shown.STALE, 3.21)) == ("3.2", "s")
    assert age_text(Verdict(Shown.STALE, 312.0)) == ("312", "s")
    assert age_text(Verdict(Shown.NOTHING, None)) == ("–", "ms")
    fed.begin()
    frame = fed.service.frame(8, 0.0)
    assert identity_text(frame, (100, 200)) == (
        "trial 1   face-0000",
        "window 9 of 9,  +100 to +200 ms",
    )
    assert identity_text(frame, (-100, 0))[1] == "window 9 of 9,  −100 to 0 ms"


def test_lost_and_dropped_are_alarms_only_above_zero(fed):
    quiet = count_rows(fed.service.status(), 0)
    assert not any(any(f.alarm) for row in quiet for f in row)
    rows = count_rows(fed.service.status(), 4)
    assert rows[-1][1].label == "unreadable"
    assert any(rows[-1][1].alarm)


def test_provider_is_named_as_people_say_it():
    assert provider_name("CUDAExecutionProvider") == "CUDA"
    assert provider_name("TensorrtExecutionProvider") == "TensorRT"


def test_greyed_keeps_no_colour():
    grey = greyed(draw_face(np.full(6, 0.3)))
    assert (grey == grey[:, :, :1]).all()


def test_stall_threshold_is_longer_than_the_slow_beat():
    assert freshness.STALL_S > 0.1
