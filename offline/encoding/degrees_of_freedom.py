"""The paper's grid of regularisation: effective degrees of freedom, evenly spaced from the rank to 1.

    df(lambda) = sum_i s_i / (s_i + lambda)                       s: eigenvalues of the kernel
    GCV(lambda) = sum_i ((y_i - yhat_i) / (1 - df(lambda) / n))^2

Every value of df has its own lambda; the notebooks' two lists were off by one against each other. The first, df =
rank, is lambda = 0. It is fitted, but can be chosen only where degrees of freedom are left: with as many as there
are stimuli every residual is 0, and 0 / 0 says nothing (the notebook leaves this value undefined too).
Knows nothing of stimuli, electrodes or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

N_VALUES = 5
_MAX_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Regularisation values.

    Attributes
    ----------
    df : float64, axes (value,)
        From the rank to 1.
    lambdas : float64, axes (value,)
        Of each df, ascending; the first is 0.
    rank : int
    """

    df: Float64
    lambdas: Float64
    rank: int


def degrees_of_freedom(eigenvalues: Float64, lam: float) -> float:
    """Return df(lambda); eigenvalues that are 0 count nothing."""
    kept = eigenvalues[eigenvalues > 0.0]
    return float((kept / (kept + lam)).sum())


def lambda_of(eigenvalues: Float64, df: float) -> float:
    """Return the lambda that has these degrees of freedom.

    Parameters
    ----------
    eigenvalues : float64, axes (component,)
        Not negative; those that are 0 count nothing.
    df : float
        More than 0, less than the number of eigenvalues above 0.

    Returns
    -------
    float
        To the last digits.

    Notes
    -----
    Newton's steps for log lambda, in which df falls everywhere and eigenvalues over many powers of ten do no harm. The
    solution is bracketed by those of two kernels whose eigenvalues are all the least, or whose sum is the bound
    s / lambda; a step that leaves the bracket is replaced by halving it.
    """
    s = eigenvalues[eigenvalues > 0.0]
    if not 0.0 < df < len(s):
        raise ValueError(f"{df:g} degrees of freedom, expected more than 0 and less than {len(s)}.")
    low = np.log(s.min() * (len(s) - df) / df)
    high = np.log(s.sum() / df)
    log_lambda = high
    for _ in range(_MAX_STEPS):
        lam = np.exp(log_lambda)
        share = s / (s + lam)
        over = float(share.sum()) - df
        if over > 0.0:
            low = log_lambda
        else:
            high = log_lambda
        slope = -float((share * (1.0 - share)).sum())
        step = log_lambda - over / slope if slope < 0.0 else np.inf
        if not low <= step <= high:
            step = 0.5 * (low + high)
        if abs(step - log_lambda) <= 4.0 * np.finfo(np.float64).eps * max(1.0, abs(step)):
            return float(np.exp(step))
        log_lambda = step
    return float(np.exp(log_lambda))


def grid(eigenvalues: Float64, rounding: float, n_values: int = N_VALUES) -> Grid:
    """Return the paper's values.

    Parameters
    ----------
    eigenvalues : float64, axes (component,)
        Of the kernel.
    rounding : float
        Eigenvalues up to this are taken for 0.
    n_values : int
        At least 2.

    Raises
    ------
    ValueError
        No eigenvalue is above ``rounding``.
    """
    s = eigenvalues[eigenvalues > rounding]
    if not len(s):
        raise ValueError("no eigenvalue above rounding, expected features that vary.")
    df = np.linspace(len(s), 1.0, n_values)
    # Of rank 1 all values are one: there is nothing between.
    lambdas = [0.0 if value >= len(s) else lambda_of(s, float(value)) for value in df]
    return Grid(df, np.array(lambdas), len(s))


def gcv_errors(
    grid: Grid, eigenvalues: Float64, squares: Float64, totals: Float64, n: int, free: int
) -> Float64:
    """Return the generalised cross-validation error, float64, axes (value, target); infinite where it says nothing.

    Parameters
    ----------
    grid : Grid
    eigenvalues : float64, axes (component,)
        0 where they are rounding.
    squares : float64, axes (component, target)
        (U'y)^2: what of each target's sum of squares lies along each eigenvector.
    totals : float64, axes (target,)
        The sum of squares.
    n : int
        Stimuli.
    free : int
        Of them, how many degrees of freedom are there to be had: n - 1 where a mean was taken off.
    """
    rest = np.maximum(totals - squares.sum(axis=0), 0.0)
    errors = np.full((len(grid.df), len(totals)), np.inf)
    for i, (df, lam) in enumerate(zip(grid.df, grid.lambdas, strict=True)):
        if df >= free - 1e-9:
            continue
        left = np.ones_like(eigenvalues)
        total = eigenvalues + lam
        used = total > 0.0
        left[used] = lam / total[used]
        errors[i] = (rest + (left**2) @ squares) / (1.0 - df / n) ** 2
    return errors
