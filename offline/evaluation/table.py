"""Scores as rich tables: every figure beside its baseline or its chance level."""

from __future__ import annotations

from rich import box
from rich.columns import Columns
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from b2g_rt.contracts.windows import WindowSpec
from offline.evaluation.bundle_scores import SessionScores
from offline.evaluation.metrics import Interval
from offline.evaluation.scores import Scores

_NEW = "stimuli that were not in training"
_SEEN = "STIMULI SEEN IN TRAINING, no held-out score"


def scores_table(scores: Scores, spec: WindowSpec) -> Table:
    """Return one row per window."""
    table = Table(
        caption=_caption(scores),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0),
    )
    for heading in (
        "window, ms\n",
        "trials\n",
        "cosine\n",
        "mean\nlatent",
        "centred cosine\nchance 0",
        f"two-way of {scores.pool}\nchance .5",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for window in scores.windows:
        table.add_row(
            _extent(spec, window.window_idx),
            str(window.n_trials),
            _number(window.cosine.mean),
            _number(window.mean_latent_cosine),
            _interval(window.centred_cosine),
            _interval(window.two_way),
            style="bold" if window is scores.last else "",
        )
    return table


def parameter_table(scores: Scores) -> Columns | str:
    """Return Pearson's r of each picture parameter, last window."""
    if not scores.parameters:
        return "Picture parameters: not known for these stimuli."
    cells = [f"{name} {r:+.2f}" for name, r in scores.parameters.items()]
    return Columns(cells, equal=True, column_first=True, padding=(0, 2))


def print_scores(console: Console, scores: Scores, spec: WindowSpec, title: str) -> None:
    """Print everything; the title as it is, in one line, however long: it names files."""
    console.print(Text(title, style="italic"), soft_wrap=True)
    parts: list[Table | Columns | str] = [scores_table(scores, spec)]
    if scores.parameters:
        parts.append("\nPicture parameters, decoded against true, Pearson's r over trials:")
        parts.append(parameter_table(scores))
    console.print(Group(*parts))


def print_session_scores(
    console: Console, scores: SessionScores, spec: WindowSpec, title: str
) -> None:
    """Print the scores of new stimuli, and apart from them those of stimuli that were in training."""
    if scores.unseen:
        what = "" if scores.named else " (the bundle does not tell which stimuli it was trained on)"
        print_scores(
            console, scores.unseen, spec, f"{title}: {_NEW if scores.named else 'stimuli'}{what}"
        )
    else:
        console.print(Text(f"{title}: no trial of {_NEW}, so no held-out score."), soft_wrap=True)
    if scores.seen:
        console.print()
        print_scores(console, scores.seen, spec, f"{title}: {_SEEN}")


def _caption(scores: Scores) -> str:
    last = scores.last
    gain = last.cosine.mean - last.mean_latent_cosine
    return (
        "Single trials, causal; in brackets the 95 % bootstrap interval over stimuli.\n"
        f"Last window: cosine {gain:+.3f} against the mean latent."
    )


def _interval(interval: Interval) -> str:
    return f"{_number(interval.mean)} [{_number(interval.low)} {_number(interval.high)}]"


def _number(value: float) -> str:
    """Write a share or cosine in four characters."""
    text = f"{value:.3f}".replace("0.", ".", 1)
    return text if abs(value) < 0.9995 else f"{value:.2f}"


def _extent(spec: WindowSpec, window_idx: int) -> str:
    if spec.anchor == "free":
        return "ROI windows"
    start = spec.start_of(window_idx) * 1000.0 / spec.rate_hz
    return f"k={window_idx} {start:4.0f} to {start + spec.length * 1000.0 / spec.rate_hz:3.0f}"
