"""How figures, bounds, methods and conditions are written, in a terminal and on a page alike."""

from __future__ import annotations

import math

from offline.reproduction.claims import Claim
from offline.reproduction.decoding import Condition, Method

NAMES: dict[Method, str] = {"ols": "OLS", "ridge": "ridge"}
TITLES: dict[Condition, str] = {"averaged": "averaged", "single_trial": "single trial"}


def number(value: float) -> str:
    """Write a cosine, a difference of two or a share."""
    return f"{value:.3f}"


def bounds(claim: Claim) -> str:
    """Write what is wanted: both bounds, or the one that there is."""
    if math.isinf(claim.low):
        return f"below {number(claim.high)}"
    if math.isinf(claim.high):
        return f"at least {number(claim.low)}"
    return f"{number(claim.low)} to {number(claim.high)}"


def verdict(claims: tuple[Claim, ...], judged: bool) -> str:
    """Say in one line whether all is as wanted."""
    n_outside = sum(not claim.inside for claim in claims)
    if not judged:
        return (
            f"{len(claims) - n_outside} of {len(claims)} figures are as wanted of the paper's sizes; this run "
            "has others, so it is not judged."
        )
    if n_outside:
        return f"{n_outside} of {len(claims)} figures are OUTSIDE what is wanted."
    return f"All {len(claims)} figures are as wanted."
