"""The paper's table beside ours, and every claim with its bounds, as rich tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from offline.reproduction.claims import Claim
from offline.reproduction.decoding import ALL, METHODS
from offline.reproduction.experiment import CONDITIONS, Reproduction
from offline.reproduction.responses import WINDOWS
from offline.reproduction.wording import NAMES, TITLES, bounds, number

_MARK = {True: "inside", False: "OUTSIDE"}


def print_reproduction(console: Console, found: Reproduction) -> None:
    """Print everything."""
    console.print(Group(roi_table(found), "", window_table(found), "", claim_table(found)))


def roi_table(found: Reproduction) -> Table:
    """Return cosines in the ROI windows: the paper's, then ours of each condition and method."""
    table = _table(f"Simulated {found.plan.stimuli}, w cosine in the ROI windows")
    _columns(table, found, "")
    for roi, paper in found.paper.rois.items():
        table.add_row(
            roi,
            number(paper),
            *(
                number(found.scores[condition].decoders[method][roi].roi_windows.cosine.mean)
                for condition in CONDITIONS
                for method in METHODS
            ),
        )
    means = [number(found.mean_latent(condition).mean) for condition in CONDITIONS for _ in METHODS]
    table.add_row("mean latent", number(found.paper.mean_latent), *means, style="dim")
    return table


def window_table(found: Reproduction) -> Table:
    """Return cosines over the nine windows, all electrodes."""
    table = _table("All electrodes, window by window")
    _columns(table, found, "ends at")
    curves = [
        found.scores[condition].decoders[method][ALL].curve
        for condition in CONDITIONS
        for method in METHODS
    ]
    for k in range(WINDOWS.n_windows):
        table.add_row(
            f"k={k} {curves[0].stop_ms[k]:+4.0f} ms",
            number(found.paper.windows[k]),
            *(number(float(curve.value[k])) for curve in curves),
        )
    return table


def claim_table(found: Reproduction) -> Table:
    """Return every claim: ours, the paper's, the bounds, and whether they are kept."""
    table = _table("What a reproduction must show")
    table.add_column("", no_wrap=False)
    for heading in ("ours", "paper", "wanted", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for claim in found.claims:
        table.add_row(claim.what, number(claim.value), _paper(claim), bounds(claim), _mark(claim))
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
    )


def _columns(table: Table, found: Reproduction, first: str) -> None:
    table.add_column(first, no_wrap=True)
    table.add_column("paper\nOLS", justify="right")
    for condition in CONDITIONS:
        for method in METHODS:
            table.add_column(f"{TITLES[condition]}\n{NAMES[method]}", justify="right")


def _paper(claim: Claim) -> str:
    return "" if claim.paper is None else number(claim.paper)


def _mark(claim: Claim) -> Text:
    return Text(_MARK[claim.inside], style="green" if claim.inside else "bold red")
