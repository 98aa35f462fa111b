from __future__ import annotations

import math

import pytest

from offline.reproduction.claims import COSINES, SHARES, Claim, claims
from offline.reproduction.published import PUBLISHED

# The first test that asks for it runs the whole experiment, in small.
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("value", "low", "high", "inside"),
    [
        (0.55, 0.52, 0.58, True),
        (0.52, 0.52, 0.58, True),
        (0.58, 0.52, 0.58, True),
        (0.519, 0.52, 0.58, False),
        (0.581, 0.52, 0.58, False),
        (-0.04, -math.inf, 0.0, True),
        (0.01, -math.inf, 0.0, False),
        (0.03, 0.03, math.inf, True),
        (0.029, 0.03, math.inf, False),
        (math.nan, -math.inf, math.inf, False),
    ],
)
def test_a_figure_is_inside_its_bounds_or_not(value, low, high, inside):
    claim = Claim("name", "what", value, low, high)
    assert claim.inside is inside
    assert claim.to_dict()["inside"] is inside


def test_a_missing_bound_is_null_in_json():
    assert Claim("name", "what", 0.1, low=0.03).to_dict() == {
        "name": "name",
        "what": "what",
        "value": 0.1,
        "low": 0.03,
        "high": None,
        "paper": None,
        "inside": True,
    }


FACES = {
    "averaged.ols.all": (0.52, 0.58),
    "averaged.ols.V1": (0.47, 0.53),
    "averaged.ols.V4": (0.47, 0.53),
    "averaged.ols.IT": (0.49, 0.55),
    "averaged.ols.before_onset": (-0.02, 0.02),
    "averaged.ols.share.2": (0.10, 0.35),
    "averaged.ols.share.3": (0.50, 0.70),
    "averaged.ols.share.4": (0.80, math.inf),
    "single_trial.ols.gain": (-math.inf, 0.0),
    "single_trial.ridge.gain": (0.03, math.inf),
}
IMAGES = {
    "averaged.ols.all": (0.78, 0.82),
    "averaged.ols.V1": (0.715, 0.755),
    "averaged.ols.V4": (0.74, 0.78),
    "averaged.ols.IT": (0.75, 0.79),
    "averaged.ols.before_onset": (-0.02, 0.02),
    "averaged.ols.share.2": (0.10, 0.35),
    "averaged.ols.share.3": (0.50, 0.70),
    "averaged.ols.share.4": (0.80, math.inf),
    "single_trial.ridge.over_ols": (0.01, math.inf),
}


@pytest.mark.parametrize(("stimuli", "wanted"), [("faces", FACES), ("images", IMAGES)])
def test_the_bounds_are_those_that_were_promised(stimuli, wanted, found):
    bounds = {c.name: (round(c.low, 9), round(c.high, 9)) for c in claims(stimuli, found.scores)}
    assert bounds == wanted


def test_claims_hold_the_figures_of_their_own_decoders(found):
    by_name = {claim.name: claim.value for claim in found.claims}
    ols, single = found.scores["averaged"].decoders["ols"], found.scores["single_trial"].decoders
    for roi in COSINES["faces"][1]:
        assert by_name[f"averaged.ols.{roi}"] == ols[roi].roi_windows.cosine.mean
    first = ols["all"].windows.windows[0]
    assert by_name["averaged.ols.before_onset"] == pytest.approx(
        first.cosine.mean - first.mean_latent_cosine
    )
    values = [w.cosine.mean for w in ols["all"].windows.windows]
    for k in SHARES:
        share = (values[k] - values[0]) / (values[-1] - values[0])
        assert by_name[f"averaged.ols.share.{k}"] == pytest.approx(share)
    for method in ("ols", "ridge"):
        one = single[method]["all"].roi_windows
        gain = one.cosine.mean - one.mean_latent_cosine.mean
        assert by_name[f"single_trial.{method}.gain"] == pytest.approx(gain)


def test_the_papers_own_figures_would_be_inside():
    for stimuli, (within, middles) in COSINES.items():
        paper = PUBLISHED[stimuli]
        for roi, middle in middles.items():
            assert abs(paper.rois[roi] - middle) <= within
        assert abs(paper.windows[0] - paper.mean_latent) <= 0.02
        for k, (low, high) in SHARES.items():
            assert low <= paper.share_of_final_gain[k] <= high + 1e-9
