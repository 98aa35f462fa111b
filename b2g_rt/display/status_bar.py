"""The bar at the top: state of the stream, what must not be overlooked, and which model runs on what."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QWidget

from b2g_rt.contracts.messages import StatusMessage
from b2g_rt.display import theme
from b2g_rt.display.figures_table import provider_name
from b2g_rt.display.panel import Panel
from b2g_rt.display.snapshot import ServiceState

_STATES: dict[ServiceState, tuple[str, QColor]] = {
    "no contact yet": ("waiting for service", theme.TEXT_FAINT),
    "gone": ("no service", theme.RED),
    "waiting": ("waiting for stream", theme.AMBER),
    "streaming": ("streaming", theme.GOOD),
    "stalled": ("stream stalled", theme.AMBER),
    "stopping": ("stopping", theme.TEXT_DIM),
}


class StatusBar(Panel):
    """State at the left, badges in the middle, model at the right.

    Parameters
    ----------
    address : str
        Where the service is expected; shown while there is none.
    """

    def __init__(self, address: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._address = address
        self._status: StatusMessage | None = None
        self._state: ServiceState = "no contact yet"

    def show_status(self, status: StatusMessage | None, state: ServiceState) -> None:
        """Show the newest status; ``state`` also knows whether the service still speaks."""
        if status is not self._status or state != self._state:
            self._status, self._state = status, state
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the bar."""
        middle = box.height() / 2
        name, colour = _STATES[self._state]
        theme.put_dot(painter, QPointF(9, middle), 8, colour)
        line = QRectF(30, 0, 420, box.height())
        width = theme.put_text(painter, line, name, size=theme.LARGE, bold=True)
        right_width = self._paint_model(painter, box)
        x = line.left() + width + 16
        note = self._note()
        badges = self._badges()
        room = box.width() - right_width - 24 - x
        room -= sum(theme.badge_width(text, size=size) + 12 for text, _, size, _ in badges)
        if note and room > 60:
            x += (
                theme.put_text(
                    painter, QRectF(x, 2, room, box.height()), note, colour=theme.TEXT_DIM
                )
                + 16
            )
        for text, badge_colour, size, filled in badges:
            x += 12 + theme.put_badge(
                painter, x, middle, text, colour=badge_colour, size=size, filled=filled
            )

    def _note(self) -> str:
        status = self._status
        if status is None or self._state in ("no contact yet", "gone"):
            return self._address
        if status.note and self._state != "streaming":
            return status.note
        return f"{status.stream} @ {status.host}" if status.host else status.stream

    def _badges(self) -> list[tuple[str, QColor, float, bool]]:
        status = self._status
        if status is None:
            return []
        badges = []
        if status.speed != 1:
            badges.append((f"REPLAY {status.speed:g}×", theme.AMBER, 17.0, True))
        if status.simulated:
            badges.append(("SIMULATED BRAIN AND FACES", theme.ACCENT, theme.SMALL, False))
        if status.latent_gain != 1:
            badges.append((f"LATENTS × {status.latent_gain:g}", theme.AMBER, theme.SMALL, False))
        return badges

    def _paint_model(self, painter: QPainter, box: QRectF) -> float:
        status = self._status
        if status is None:
            return 0.0
        decoder, generator = (
            provider_name(status.provider),
            provider_name(status.generator_provider),
        )
        provider = decoder if decoder == generator else f"{decoder}, generator {generator}"
        expected = status.n_trials_expected
        trials = f"trial {status.n_trials}" + ("" if expected is None else f" of {expected}")
        taken = theme.put_text(painter, box, trials, size=theme.LARGE, bold=True, align=theme.RIGHT)
        model = f"{status.bundle_name}  ·  {status.decoder_kind}  ·  {provider}"
        rest = QRectF(box.width() * 0.55, 2, box.width() * 0.45 - taken - 24, box.height())
        return (
            taken
            + 24
            + theme.put_text(painter, rest, model, colour=theme.TEXT_DIM, align=theme.RIGHT)
        )
