"""The main window: one grid for all views, and the tick that hands each of them its part of the newest state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QCloseEvent, QColor, QKeyEvent, QPalette, QPixmap, QResizeEvent
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.array_maps import ArrayMaps
from b2g_rt.display.encoding_view import EncodingView
from b2g_rt.display.event_lines import EventLines
from b2g_rt.display.figures_table import FiguresTable
from b2g_rt.display.freshness import STALL_S, Freshness, Shown, Verdict
from b2g_rt.display.identification_view import IdentificationView
from b2g_rt.display.picture_view import PictureView
from b2g_rt.display.reconstruction_lines import AgeLine, CaptionLine, IdentityLine
from b2g_rt.display.snapshot import ServiceState, Snapshot
from b2g_rt.display.status_bar import StatusBar
from b2g_rt.display.trial_strip import TrialStrip
from b2g_rt.display.trial_timeline import TrialTimeline

# (left, top, width, height) in design units.
_GRID = {
    "status_bar": (32, 18, 1536, 44),
    "age": (32, 74, 488, 50),
    "picture": (32, 124, 488, 488),
    "identity": (32, 618, 736, 30),
    "stimulus_caption": (540, 92, 228, 32),
    "stimulus": (540, 124, 228, 228),
    "baseline_caption": (540, 352, 228, 32),
    "baseline": (540, 384, 228, 228),
    "strip": (32, 666, 736, 218),
    "maps": (816, 84, 752, 272),
    "timeline": (816, 374, 752, 80),
    "figures": (816, 478, 388, 262),
    "identification": (1250, 478, 318, 246),
    "events": (816, 742, 752, 142),
}
# Below, once a message of an encoder has come: the canvas grows by theme.ENCODING_HEIGHT.
_ENCODING_GRID = {
    "predicted": (32, 900, 592, 232),
    "observed": (648, 900, 592, 232),
    "encoding": (1264, 900, 304, 232),
}


@dataclass(frozen=True, slots=True)
class Painted:
    """What one paint showed.

    Attributes
    ----------
    time_s : float
        Monotonic clock.
    state : ServiceState
        What the service is doing.
    sequence : int or None
        Of the picture on screen; None where none was shown.
    verdict : Verdict
    n_trials : int
        Trials whose scores this display has seen.
    trial_complete : bool
        The picture is its trial's last, and the strip shows it with its score.
    """

    time_s: float
    state: ServiceState
    sequence: int | None
    verdict: Verdict
    n_trials: int
    trial_complete: bool


def stale_text(verdict: Verdict) -> str:
    """Return what is written over a stale picture."""
    if verdict.age_s is None:
        return "stale"
    return f"stale, {verdict.age_s:.{1 if verdict.age_s < 10 else 0}f} s old"


class DisplayWindow(QWidget):
    """Shows snapshots.

    Parameters
    ----------
    snapshot : callable
        Returns the newest state.
    note_painted : callable
        Told which picture was on screen.
    on_screenshot : callable
        Called when the user asks for a screenshot.
    address : str
        Where the service is expected; shown while there is none.
    stale_after_s : float
        Age from which a picture is greyed.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        note_painted: Callable[..., None],
        on_screenshot: Callable[[], None],
        *,
        address: str = "",
        stale_after_s: float = 1.0,
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._note_painted = note_painted
        self._on_screenshot = on_screenshot
        self._freshness = Freshness(stale_after_s)
        self.on_painted: Callable[[Painted], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.setWindowTitle("b2g_rt")
        self.resize(theme.CANVAS_WIDTH, theme.CANVAS_HEIGHT)
        self.setMinimumSize(640, 360)
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Window, QColor(theme.BACKGROUND))
        self.setPalette(palette)
        self.setAutoFillBackground(True)
        self.status_bar = StatusBar(address, self)
        self.age = AgeLine(self)
        self.picture = PictureView(self)
        self.identity = IdentityLine(self)
        self.stimulus_caption = CaptionLine("Stimulus", self)
        self.stimulus = PictureView(self)
        self.baseline_caption = CaptionLine("Baseline", self)
        self.baseline = PictureView(self)
        self.timeline = TrialTimeline(self)
        self.strip = TrialStrip(self)
        self.maps = ArrayMaps(self)
        self.figures = FiguresTable(self)
        self.identification = IdentificationView(self)
        self.events = EventLines(self)
        self.predicted = ArrayMaps(self, caption="Predicted MUA")
        self.observed = ArrayMaps(self, caption="Observed MUA")
        self.encoding = EncodingView(self)
        self._has_encoding = True
        self._arrange(has_encoding=False)
        self.baseline_caption.show_name("mean latent")

    def tick(self) -> Painted:
        """Take the newest state and update the views that it changes; return what is shown."""
        snapshot, now_s = self._snapshot(), time.monotonic()
        self._freshness.tick(now_s)
        state = snapshot.service_state(now_s, self._freshness.awake_since_s)
        verdict = self._judge(snapshot, now_s, streaming=state in ("streaming", "stopping"))
        self._show_picture(snapshot, verdict, now_s)
        self._show_trial(snapshot, verdict, now_s)
        self.status_bar.show_status(snapshot.status, state)
        self.maps.show_activity(
            None if snapshot.status is None else snapshot.status.layout,
            snapshot.activity,
            live=state == "streaming",
        )
        self._show_encoding(snapshot)
        self.figures.show_status(snapshot.status, snapshot.n_foreign)
        self.strip.show_strip(snapshot.strip)
        self.identification.show_points(snapshot.identification, snapshot.pool)
        self.events.show_events(snapshot.events, now_s)
        shown = snapshot.picture if verdict.shown in (Shown.FRESH, Shown.STALE) else None
        if shown is not None:
            self._note_painted(shown)
        newest = snapshot.strip[-1] if snapshot.strip else None
        painted = Painted(
            time_s=now_s,
            state=state,
            sequence=None if shown is None else shown.frame.sequence,
            verdict=verdict,
            n_trials=len(snapshot.identification),
            trial_complete=newest is not None
            and shown is not None
            and newest.picture is shown
            and newest.scores is not None
            and shown.frame.window_idx == shown.frame.n_windows - 1,
        )
        if self.on_painted is not None:
            self.on_painted(painted)
        return painted

    def save(self, path: Path) -> None:
        """Write what is on screen as PNG; a reader sees the old file or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.picture.keep_valid(time.monotonic() + STALL_S)
        pixmap: QPixmap = self.grab()
        unfinished = path.with_name(f".{path.name}")
        if not pixmap.save(str(unfinished), "PNG"):
            raise OSError(f"{path}: Qt could not write the screenshot.")
        unfinished.replace(path)

    def _judge(self, snapshot: Snapshot, now_s: float, *, streaming: bool) -> Verdict:
        sample_s = published_s = None
        if snapshot.picture is not None and snapshot.offset_s is not None:
            stamps = snapshot.picture.frame.stamps
            sample_s = stamps.sample + snapshot.offset_s
            published_s = (stamps.published or stamps.sample) + snapshot.offset_s
        return self._freshness.judge(
            now_s,
            streaming=streaming,
            sample_s=sample_s,
            published_s=published_s,
            picture_period_s=snapshot.picture_period_s,
        )

    def _show_picture(self, snapshot: Snapshot, verdict: Verdict, now_s: float) -> None:
        valid_until_s = now_s + STALL_S
        self.age.show_verdict(verdict)
        speed = 1.0 if snapshot.status is None else snapshot.status.speed
        picture = snapshot.picture
        if picture is None or verdict.shown in (Shown.NOTHING, Shown.CATCHING_UP):
            text = "catching up" if verdict.shown is Shown.CATCHING_UP else "no picture yet"
            self.picture.show_picture(None, text=text)
            self.identity.show_frame(None, speed)
            return
        stale = verdict.shown is Shown.STALE
        text = stale_text(verdict) if stale else ""
        self.picture.show_picture(
            picture.pixels, grey=stale, text=text, valid_until_s=valid_until_s
        )
        self.identity.show_frame(picture.frame, speed)

    def _show_trial(self, snapshot: Snapshot, verdict: Verdict, now_s: float) -> None:
        stimulus, progress = snapshot.stimulus, snapshot.progress
        hidden = verdict.shown in (Shown.NOTHING, Shown.CATCHING_UP)
        pixels = None if stimulus is None or hidden else stimulus.pixels
        self.stimulus.show_picture(pixels, text="" if pixels is not None else "not known")
        self.stimulus_caption.show_name("" if stimulus is None or hidden else stimulus.name)
        self.baseline.show_picture(
            snapshot.baseline, text="" if snapshot.baseline is not None else "not known"
        )
        now_ms = shown_idx = None
        if progress is not None and snapshot.offset_s is not None and snapshot.status is not None:
            now_ms = 1000 * snapshot.status.speed * (now_s - snapshot.offset_s - progress.onset_s)
        if progress is not None and snapshot.picture is not None and not hidden:
            frame = snapshot.picture.frame
            shown_idx = frame.window_idx if frame.trial == progress.trial else None
        self.timeline.show_progress(progress, snapshot.spans_ms, shown_idx=shown_idx, now_ms=now_ms)

    def _show_encoding(self, snapshot: Snapshot) -> None:
        encoding = snapshot.encoding
        self._arrange(has_encoding=encoding is not None)
        if encoding is None:
            return
        layout = None if snapshot.status is None else snapshot.status.layout
        self.predicted.show_activity(layout, encoding.predicted, live=True)
        self.observed.show_activity(layout, encoding.observed, live=True)
        self.encoding.show_encoding(encoding)

    def _arrange(self, *, has_encoding: bool) -> None:
        """Give the views of an encoder their place, or none."""
        if has_encoding == self._has_encoding:
            return
        self._has_encoding = has_encoding
        for name in _ENCODING_GRID:
            getattr(self, name).setVisible(has_encoding)
        self._place()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Fit the canvas into the window."""
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        canvas_height = theme.CANVAS_HEIGHT + self._has_encoding * theme.ENCODING_HEIGHT
        scale = min(self.width() / theme.CANVAS_WIDTH, self.height() / canvas_height)
        left = (self.width() - scale * theme.CANVAS_WIDTH) / 2
        top = (self.height() - scale * canvas_height) / 2
        grid = _GRID | (_ENCODING_GRID if self._has_encoding else {})
        for name, (x, y, width, height) in grid.items():
            view = getattr(self, name)
            x0, y0 = round(left + x * scale), round(top + y * scale)
            x1, y1 = round(left + (x + width) * scale), round(top + (y + height) * scale)
            view.setGeometry(QRect(x0, y0, x1 - x0, y1 - y0))
            view.set_scale(scale)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """F: full screen. S: screenshot. Esc or Q: quit."""
        match event.key():
            case Qt.Key.Key_F:
                self.showNormal() if self.isFullScreen() else self.showFullScreen()
            case Qt.Key.Key_S:
                self._on_screenshot()
            case Qt.Key.Key_Escape | Qt.Key.Key_Q:
                self.close()
            case _:
                super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 (Qt's name)
        """Tell the application."""
        super().closeEvent(event)
        if self.on_closed is not None:
            self.on_closed()
