"""Pictures and features of the encoding reproduction: the procedural faces, drawn, and what networks make of them.

By the same functions as ``b2g-offline synthesize`` and ``b2g-offline features``; both go on where they stopped.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.macaque import Macaque
from offline.features.extraction import NetworkOpener, extract
from offline.features.feature_space import ArrayFeatures, FeatureSpace
from offline.features.opening import open_network
from offline.features.pictures import find_pictures
from offline.features.store import FeatureFile
from offline.reproduction.encoding_plan import EncodingPlan, TunedNetwork
from offline.scheduling.resources import Resources
from offline.stages import Stage
from offline.stimuli.generators import procedural_faces
from offline.stimuli.synthesis.plans import NO_CLASS, NO_SEED, StimulusPlan
from offline.stimuli.synthesis.render import chosen_drawing
from offline.stimuli.synthesis.stimulus_set import digest_of_plan, make_set

BATCH = 8


def all_ids(plan: EncodingPlan) -> list[str]:
    """Return the ids of all pictures, training first."""
    return plan.ids("training") + plan.ids("test")


def all_latents(macaque: Macaque, plan: EncodingPlan) -> NDArray[np.float32]:
    """Return the latents of all pictures, training first, float32, axes (stimulus, latent)."""
    return np.concatenate([plan.latents(macaque, "training"), plan.latents(macaque, "test")])


def draw_pictures(macaque: Macaque, plan: EncodingPlan, folder: Path, stage: Stage) -> None:
    """Draw all pictures into a stimulus set; what is there already is kept."""
    ids, w = all_ids(plan), all_latents(macaque, plan)
    n = len(ids)
    drawn = StimulusPlan(
        kind="faces",
        psi=1.0,
        ids=tuple(ids),
        split=tuple(i.partition("/")[0] for i in ids),
        seed=np.full(n, NO_SEED, np.int64),
        seed_row=np.full(n, NO_SEED, np.int64),
        z=macaque.latents.whiten(w).astype(np.float32),
        class_id=np.full(n, NO_CLASS, np.int64),
        wnid=("",) * n,
        drawn_wnid=("",) * n,
    )
    make_set(
        drawn,
        w,
        procedural_faces(),
        folder,
        chosen_drawing("cpu", 1, None),
        settings={"stimuli": digest_of_plan(drawn, w)},
        provenance={
            "generator_given": "procedural-faces",
            "about": "stimuli of b2g-offline reproduce encoding",
            "seeds": {"plan": plan.seed},
        },
        begun=lambda missing, there: stage(f"pictures: {missing} to draw, {there} there", missing),
    )


def network_features(
    network: TunedNetwork,
    plan: EncodingPlan,
    pictures: Path,
    out: Path,
    resources: Resources,
    stage: Stage,
) -> FeatureFile:
    """Extract a network's levels from the pictures."""
    opener = NetworkOpener(
        partial(
            open_network,
            network.name,
            device="cpu",
            layers=network.levels,
            random_seed=plan.seed if network.random else None,
            side=plan.side,
        )
    )
    return extract(
        find_pictures([pictures]),
        opener,
        out,
        batch=BATCH,
        workers=resources.workers,
        memory=resources.memory,
        command="b2g-offline reproduce encoding",
        stage=stage,
    )


def spaces_of(
    features: FeatureFile, network: TunedNetwork, macaque: Macaque, plan: EncodingPlan
) -> list[FeatureSpace]:
    """Return the spaces that are compared: the network's levels, lowest first, and w."""
    levels: list[FeatureSpace] = [features.space(name) for name in network.levels]
    return [*levels, ArrayFeatures("w", tuple(all_ids(plan)), all_latents(macaque, plan))]
