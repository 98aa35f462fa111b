"""How every figure of a report looks: quiet, light, readable by colour-blind eyes. Knows no data.

Colours are those of Okabe & Ito (2008, "Color universal design"), maps are cividis.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, RULE = "#22262b", "#767c85", "#d9dce1"
DECODED, AVERAGED, BASELINE = "#0072B2", "#D55E00", "#767c85"
ROI_COLOURS = {"V1": "#0072B2", "V4": "#E69F00", "IT": "#009E73"}
COLOUR_MAP = "cividis"
DPI = 144.0
PAGE_INCH = 9.2  # width of a figure that fills the page

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceef1",
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.dpi": DPI,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw and save inside this: matplotlib's settings are what they were afterwards."""
    import matplotlib

    with matplotlib.rc_context(rc=_STYLE):
        yield


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return a figure that no window or global state knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inch, height_inch), layout="constrained")


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file, sharp at any size; the same figure gives the same bytes."""
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "b2g_rt"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def bare(axes: Axes) -> None:
    """Take away all that is not a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
