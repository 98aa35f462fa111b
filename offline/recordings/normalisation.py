"""z units for responses, trial by trial and day by day: as in the paper, which looks ahead, or causally.

For window means and recordings that hold nothing else (TVSD, the Brain2GAN matrices). Streams are normalised sample
by sample by the hall's ``Normaliser``; ``running_normalised`` is that same class with a trial as its block.
Axes are (trial, ..., channel): statistics belong to a channel, whatever windows lie between.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser

PAPER_NOTE = (
    "paper: z-scored with mean and SD of each day's test trials, those shown later included; looks ahead, so no live "
    "decoder reaches these figures"
)
RUNNING_NOTE = "running: z-scored with what was shown before on the same day; causal"

TIME_CONSTANT_TRIALS = 500.0
WEIGHT_TRIALS = 5.0


@dataclass(frozen=True, slots=True)
class NormalisedResponses:
    """Responses in z units.

    Attributes
    ----------
    values : float32, axes (trial, ..., channel)
    looks_ahead : bool
        Whether a trial's values depend on later trials.
    note : str
        How it was done, for reports.
    """

    values: NDArray[np.float32] = field(repr=False)
    looks_ahead: bool
    note: str


def paper_normalised(
    responses: NDArray[np.floating],
    days: Sequence[Hashable] | NDArray[np.generic],
    is_test: NDArray[np.bool_],
) -> NormalisedResponses:
    """Normalise as the paper did: with the test trials of the same day, before or after.

    Parameters
    ----------
    responses : float, axes (trial, ..., channel)
    days : axes (trial,)
        Which day a trial was recorded on; any labels, in any order.
    is_test : bool, axes (trial,)

    Returns
    -------
    NormalisedResponses
        ``looks_ahead`` is True. NaN stays NaN; a channel without variation on a day is 0 there.

    Raises
    ------
    SessionError
        A day without at least two test trials.

    Notes
    -----
    Source: Brain2GAN, doi 10.1371/journal.pcbi.1012058; the SD is that of the population (divided by n).
    """
    days = _checked(responses, days)
    if len(is_test) != len(responses):
        raise SessionError(
            f"normalisation: {len(is_test)} test marks for {len(responses)} trials, expected one per trial."
        )
    values = np.empty(responses.shape, np.float32)
    for day in dict.fromkeys(days):
        own = np.array([d == day for d in days], np.bool_)
        test = responses[own & is_test].astype(np.float64).reshape(-1, responses.shape[-1])
        n_test = int(np.count_nonzero(own & is_test))
        if n_test < 2:
            raise SessionError(
                f"normalisation: day {day} has {n_test} test trials, the paper's way needs at least 2. "
                "Use running normalisation, or leave the day out."
            )
        mean, sd = _moments(test)
        varies = sd > 0
        scale = np.where(varies, 1.0 / np.where(varies, sd, 1.0), 0.0)
        values[own] = (responses[own] - mean) * scale
    return NormalisedResponses(values, True, PAPER_NOTE)


def running_normalised(
    responses: NDArray[np.floating],
    days: Sequence[Hashable] | NDArray[np.generic],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    *,
    time_constant_trials: float = TIME_CONSTANT_TRIALS,
    weight_trials: float = WEIGHT_TRIALS,
) -> NormalisedResponses:
    """Normalise each trial with what came before it.

    Parameters
    ----------
    responses : float, axes (trial, ..., channel)
        In the order of presentation.
    days : axes (trial,)
        A change of the label begins a day.
    mean, sd : float64, axes (channel,)
        In force before the first trial: of the training recordings.
    time_constant_trials : float
    weight_trials : float
        For how many trials of a new day the statistics of the day before count.

    Returns
    -------
    NormalisedResponses
        ``looks_ahead`` is False: no value depends on a later trial, nor, within a trial, on its own.
    """
    days = _checked(responses, days)
    n_channels = responses.shape[-1]
    n_rows = max(1, int(np.prod(responses.shape[1:-1], dtype=np.int64)))
    # A trial is a block, its windows are the block's samples, and time is counted in trials.
    normaliser = Normaliser(
        Normalisation(
            kind="running", block_samples=n_rows, time_constant_s=float(time_constant_trials)
        ),
        mean,
        sd,
        rate_hz=float(n_rows),
    )
    values = np.empty((len(responses), n_rows, n_channels), np.float32)
    day: Hashable = None
    for trial, rows in enumerate(responses):
        if trial == 0 or days[trial] != day:
            day = days[trial]
            normaliser.start_day(weight_trials)
        values[trial] = normaliser.push(rows.reshape(n_rows, n_channels).astype(np.float32))
    return NormalisedResponses(values.reshape(responses.shape), False, RUNNING_NOTE)


def _checked(
    responses: NDArray[np.floating], days: Sequence[Hashable] | NDArray[np.generic]
) -> list[Hashable]:
    if responses.ndim < 2 or len(days) != len(responses):
        raise SessionError(
            f"normalisation: {len(days)} days for responses of shape {responses.shape}, expected (trial, ..., channel) "
            "and one day per trial."
        )
    return days.tolist() if isinstance(days, np.ndarray) else list(days)


def _moments(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and SD of what is finite, axes (channel,); 0 for a channel with nothing."""
    finite = np.isfinite(rows)
    n = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, rows, 0.0).sum(axis=0) / n
    squares = np.square(np.where(finite, rows - mean, 0.0)).sum(axis=0)
    return mean, np.sqrt(squares / n)
