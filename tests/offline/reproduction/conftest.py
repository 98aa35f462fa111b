"""The paper's experiment in small: three arrays, some hundred trials, seconds."""

from __future__ import annotations

import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from offline.reproduction.experiment import Reproduction, reproduce
from offline.reproduction.plan import ReproductionPlan
from offline.reproduction.responses import Responses, simulated_responses


@pytest.fixture(scope="session")
def macaque() -> Macaque:
    """Three arrays, and a quarter of the latents: fits are as many, and each is quick."""
    slots = tuple(ArraySlot(i, roi, 64 * i) for i, roi in enumerate(("V1", "V4", "IT")))
    return Macaque(faces_spec(), ChannelMap(192, slots), face_latents(n_latents=128))


@pytest.fixture(scope="session")
def plan() -> ReproductionPlan:
    return ReproductionPlan(
        "faces", n_training=160, n_test=12, n_repeats=4, seed=3, trials_per_session=60
    )


@pytest.fixture(scope="session")
def responses(macaque, plan, no_stage) -> Responses:
    return simulated_responses(macaque, plan, None, no_stage)


@pytest.fixture(scope="session")
def found(macaque, plan, no_stage) -> Reproduction:
    return reproduce(macaque, plan, None, no_stage)
