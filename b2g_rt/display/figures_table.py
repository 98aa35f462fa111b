"""The figures: latency, rates, windows, samples and the provider that really computes, in aligned columns."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QWidget

from b2g_rt.contracts.messages import Quantiles, StatusMessage
from b2g_rt.display import theme
from b2g_rt.display.panel import Panel

_ROW = 25.0
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Figure:
    """A labelled row; ``alarm`` colours the values that should be zero and are not."""

    label: str
    values: tuple[str, ...]
    alarm: tuple[bool, ...] = ()


def latency_rows(status: StatusMessage | None) -> list[Figure]:
    """Return median and 99 % point of each latency, in milliseconds."""

    def row(label: str, quantiles: Quantiles | None) -> Figure:
        if quantiles is None:
            return Figure(label, (_NOTHING, _NOTHING))
        return Figure(label, (_ms(quantiles.p50), _ms(quantiles.p99)))

    if status is None:
        return [row(name, None) for name in ("sample to picture", "sample to latent", "decode")]
    return [
        row("sample to picture", status.latency_sample_to_frame_ms),
        row("sample to latent", status.latency_sample_to_latent_ms),
        row("decode", status.latency_decode_ms),
    ]


def count_rows(status: StatusMessage | None, n_foreign: int) -> list[tuple[Figure, Figure]]:
    """Return rows of two labelled figures each: windows at the left, samples at the right."""
    if status is None:
        blank = (
            ("decoded", "received"),
            ("skipped", "lost"),
            ("dropped", "late"),
            ("pictures", "duplicated"),
        )
        return [(Figure(a, (_NOTHING,)), Figure(b, (_NOTHING,))) for a, b in blank]
    mua = status.mua
    decoded = f"{status.windows_decoded} / {status.windows_due}"
    foreign = [] if not n_foreign else [(Figure("", ("",)), _zero("unreadable", n_foreign))]
    return [
        (Figure("decoded", (decoded,)), Figure("received", (f"{mua.received:,}",))),
        (Figure("skipped", (f"{status.windows_skipped}",)), _zero("lost", mua.lost)),
        (_zero("dropped", status.windows_dropped), _zero("late", mua.late)),
        (
            Figure("pictures", (f"{status.frames_per_s:.1f} / s",)),
            _zero("duplicated", mua.duplicated),
        ),
        *foreign,
    ]


def provider_name(provider: str) -> str:
    """Return ONNX Runtime's provider as people say it."""
    name = provider.removesuffix("ExecutionProvider")
    return {"Tensorrt": "TensorRT"}.get(name, name) or _NOTHING


class FiguresTable(Panel):
    """Latency above, counts below, provider last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._status: StatusMessage | None = None
        self._n_foreign = 0

    def show_status(self, status: StatusMessage | None, n_foreign: int) -> None:
        """Show the figures; ``n_foreign``: messages that could not be read."""
        if status is not self._status or n_foreign != self._n_foreign:
            self._status, self._n_foreign = status, n_foreign
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the rows."""
        width = box.width()
        heads = QRectF(0, 0, width, 16)
        theme.put_caption(painter, heads, "Latency, ms")
        columns = (width - 86, width)
        for right, head in zip(columns, ("median", "99 %"), strict=True):
            cell = QRectF(right - 86, 0, 86, 16)
            theme.put_text(
                painter, cell, head, size=theme.SMALL, colour=theme.TEXT_DIM, align=theme.RIGHT
            )
        y = 24.0
        for figure in latency_rows(self._status):
            theme.put_text(painter, QRectF(0, y, width, _ROW), figure.label, colour=theme.TEXT_DIM)
            for right, value in zip(columns, figure.values, strict=True):
                cell = QRectF(right - 86, y, 86, _ROW)
                theme.put_text(painter, cell, value, align=theme.RIGHT, bold=True)
            y += _ROW
        self._paint_counts(painter, y + 13, width)

    def _paint_counts(self, painter: QPainter, top: float, width: float) -> None:
        half = (width - 28) / 2
        theme.put_caption(painter, QRectF(0, top, half, 16), "Windows")
        theme.put_caption(painter, QRectF(half + 28, top, half, 16), "Samples")
        y = top + 24
        for left, right in count_rows(self._status, self._n_foreign):
            _paint_pair(painter, QRectF(0, y, half, _ROW), left)
            _paint_pair(painter, QRectF(half + 28, y, half, _ROW), right)
            y += _ROW


def _paint_pair(painter: QPainter, box: QRectF, figure: Figure) -> None:
    theme.put_text(painter, box, figure.label, colour=theme.TEXT_DIM)
    colour: QColor = theme.AMBER if any(figure.alarm) else theme.TEXT
    theme.put_text(painter, box, figure.values[0], colour=colour, align=theme.RIGHT, bold=True)


def _zero(label: str, count: int) -> Figure:
    return Figure(label, (f"{count:,}",), (count > 0,))


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
