"""The lines around the reconstruction: its age above, which window it is below."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from b2g_rt.contracts.messages import FrameMessage
from b2g_rt.display import theme
from b2g_rt.display.freshness import Shown, Verdict
from b2g_rt.display.panel import Panel
from b2g_rt.display.trials import span_ms


def age_text(verdict: Verdict) -> tuple[str, str]:
    """Return the age as number and unit: milliseconds while fresh, seconds when stale."""
    if verdict.age_s is None:
        return "–", "ms"
    if verdict.shown is Shown.FRESH or verdict.age_s < 1:
        return f"{1000 * verdict.age_s:.0f}", "ms"
    return (f"{verdict.age_s:.1f}" if verdict.age_s < 100 else f"{verdict.age_s:.0f}"), "s"


class AgeLine(Panel):
    """Caption and age: from the window's last sample to this paint."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._verdict = Verdict(Shown.NOTHING, None)
        self._painted = ("", "")

    def show_verdict(self, verdict: Verdict) -> None:
        """Show how old the picture is."""
        text = age_text(verdict)
        if text != self._painted or verdict.shown is not self._verdict.shown:
            self._verdict, self._painted = verdict, text
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the caption at the left, the age at the right."""
        base = QRectF(0, box.height() - 26, box.width(), 20)
        theme.put_caption(painter, base, "Reconstruction")
        number, unit = age_text(self._verdict)
        stale = self._verdict.shown is Shown.STALE
        known = self._verdict.age_s is not None
        colour = theme.AMBER if stale else theme.TEXT if known else theme.TEXT_FAINT
        unit_width = theme.text_width(unit, theme.LARGE) + 8
        theme.put_text(
            painter,
            QRectF(box.width() - unit_width, box.height() - 32, unit_width, 28),
            unit,
            size=theme.LARGE,
            colour=theme.AMBER if stale else theme.TEXT_DIM,
            align=theme.RIGHT,
        )
        theme.put_text(
            painter,
            QRectF(0, box.height() - 44, box.width() - unit_width - 2, 42),
            number,
            size=theme.HUGE,
            colour=colour,
            align=theme.RIGHT,
            bold=True,
        )
        taken = theme.text_width(number, theme.HUGE, bold=True) + unit_width + 12
        theme.put_caption(
            painter, QRectF(0, base.top(), box.width() - taken, 20), "Age", align=theme.RIGHT
        )


def identity_text(frame: FrameMessage, span: tuple[float, float] | None) -> tuple[str, str]:
    """Return which trial and stimulus, and which window, a picture belongs to."""
    window = f"window {frame.window_idx + 1} of {frame.n_windows}"
    if frame.trial is None or span is None:
        return ("free running" if frame.trial is None else f"trial {frame.trial + 1}"), window
    start, stop = (f"{edge:+.0f}".replace("-", "−") if edge else "0" for edge in span)
    return f"trial {frame.trial + 1}   {frame.stimulus or ''}", f"{window},  {start} to {stop} ms"


class IdentityLine(Panel):
    """Trial, stimulus, window and flags of the picture on screen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._frame: FrameMessage | None = None
        self._span_ms: tuple[float, float] | None = None

    def show_frame(self, frame: FrameMessage | None, speed: float) -> None:
        """Show whose picture this is; ``speed``: replayed seconds per second."""
        if frame is self._frame:
            return
        self._frame, self._span_ms = frame, None
        if frame is not None and frame.onset_s is not None:
            self._span_ms = span_ms(frame, frame.onset_s, speed)
        self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint trial and window at the left, badges at the right."""
        if self._frame is None:
            return
        trial, window = identity_text(self._frame, self._span_ms)
        line = QRectF(0, 4, box.width(), 22)
        x = box.width()
        for badge in reversed(self._badges()):
            x -= theme.badge_width(badge)
            theme.put_badge(painter, x, line.center().y(), badge, colour=theme.AMBER)
            x -= 6
        line.setRight(x - 8)
        taken = theme.put_text(painter, line, trial, bold=True) + 18
        theme.put_text(painter, line.adjusted(taken, 0, 0, 0), window, colour=theme.TEXT_DIM)

    def _badges(self) -> list[str]:
        if self._frame is None:
            return []
        flags = self._frame.flags
        named = (("GAP", flags.gap), ("LATE", flags.late), ("DEGRADED", flags.degraded))
        return [name for name, is_set in named if is_set]


class CaptionLine(Panel):
    """A caption, and a name at its right."""

    def __init__(self, caption: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption = caption
        self._name = ""

    def show_name(self, name: str) -> None:
        """Show what the picture below is called."""
        if name != self._name:
            self._name = name
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the caption at the left, the name at the right."""
        line = QRectF(0, box.height() - 26, box.width(), 20)
        width = theme.put_caption(painter, line, self._caption)
        rest = QRectF(width + 10, line.top(), box.width() - width - 10, 20)
        theme.put_text(
            painter, rest, self._name, size=theme.SMALL, colour=theme.TEXT, align=theme.RIGHT
        )
