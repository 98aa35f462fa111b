"""Layer assignment finds what drives each electrode, and finds nothing in shuffled stimuli: rendered faces, small.

VGG16 with seeded random weights and EfficientNet-Lite0 with its real ones, both at 48 pixels. 500 training pictures
instead of 1500, so electrodes are less noisy than the calibrated animal's: q .6 instead of .35 to .40.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from b2g_rt.simulation.from_record import faces_macaque
from b2g_rt.simulation.macaque import Macaque
from offline.encoding.driven_macaque import DrivenMacaque, tuned_drive
from offline.encoding.every_space import Fitting, encode_spaces
from offline.encoding.layer_assignment import assign_layers, recovery
from offline.encoding.responses import EncodingResponses, trial_responses
from offline.encoding.scores import INFORMATIVE
from offline.features.feature_space import ArrayFeatures
from offline.features.opening import open_network
from offline.reproduction.encoding_null import shuffled_scores
from offline.reproduction.encoding_plan import NETWORKS
from offline.stimuli.devices import reproducible
from offline.stimuli.generators import procedural_faces
from offline.stimuli.synthesis.render import Drawing, draw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

N, N_TEST, REPEATS, SIDE, BATCH = 500, 100, 10, 48, 10
N_COMPONENTS = 120
Q = 0.6
IDS = tuple(f"picture/{k:04d}" for k in range(N + N_TEST))


@dataclass(frozen=True)
class _World:
    spaces: list[ArrayFeatures]
    macaque: DrivenMacaque
    responses: EncodingResponses


@cache
def _stimuli() -> tuple[np.ndarray, np.ndarray]:
    """Return latents, and pictures, uint8, axes (picture, row, col, rgb)."""
    w = faces_macaque().latents.draw(np.random.default_rng(3), N + N_TEST)
    faces, drawing = procedural_faces(), Drawing("cpu", BATCH, 1)
    # One thread of torch: several that wait for a busy processor take many times as long.
    with reproducible(1):
        drawn = [draw(faces, w[k : k + BATCH], drawing) for k in range(0, len(w), BATCH)]
    levels = np.clip(np.concatenate(drawn) * 127.5 + 128.0, 0, 255).astype(np.uint8)
    return w, levels.transpose(0, 2, 3, 1)


@cache
def _world(position: int) -> _World:
    network = NETWORKS[position]
    w, pictures = _stimuli()
    opened = open_network(
        network.name, device="cpu", random_seed=1 if network.random else None, side=SIDE
    )
    with reproducible(1):
        parts = [
            opened.features(list(pictures[k : k + BATCH])) for k in range(0, len(pictures), BATCH)
        ]
    spaces = [
        ArrayFeatures(name, IDS, np.concatenate([part[name] for part in parts]))
        for name in network.levels
    ]
    spaces.append(ArrayFeatures("w", IDS, w))
    calibrated = faces_macaque()
    rois = tuple(replace(roi, q_mean=Q) for roi in calibrated.spec.rois)
    animal = Macaque(replace(calibrated.spec, rois=rois), calibrated.channels, calibrated.latents)
    drive = tuned_drive(
        animal,
        IDS,
        w,
        network.tuning,
        {space.name: space for space in spaces},
        reference=IDS[:N],
        n_components=N_COMPONENTS,
    )
    macaque = DrivenMacaque(animal, drive)
    shown = np.concatenate([np.arange(N), np.tile(np.arange(N, N + N_TEST), REPEATS)])
    noise = np.random.default_rng(5).standard_normal((len(shown), animal.channels.n_channels))
    values = macaque.response(w)[shown] + np.sqrt(1.0 - macaque.truth().q) * noise
    responses = trial_responses(
        values.astype(np.float32),
        [IDS[k] for k in shown],
        np.arange(len(shown)) >= N,
        animal.channels,
        note="window means, as they are",
        where="test",
    )
    return _World(spaces, macaque, responses)


def _stage(what: str, total: int):  # noqa: ANN202
    return lambda done: None


@pytest.mark.parametrize("position", [0, 1], ids=[network.name for network in NETWORKS])
def test_layer_assignment_recovers_the_tuning_of_nine_in_ten(position: int) -> None:
    world = _world(position)
    encoded = encode_spaces(world.spaces, world.responses, Fitting(), _stage)
    informative = world.macaque.noise_ceiling(REPEATS) > INFORMATIVE
    found = recovery(assign_layers(encoded.scores), world.macaque.drive.space, informative)
    assert found.n_informative > 900
    assert found.share >= 0.9


@pytest.mark.parametrize("position", [0, 1], ids=[network.name for network in NETWORKS])
def test_shuffled_stimuli_are_significant_as_often_as_alpha_says(position: int) -> None:
    world = _world(position)
    found = shuffled_scores(world.spaces, world.responses, 20, 1, Fitting(), _stage)
    assert found.uncorrected.shape == (6, 20)
    for space in found.spaces:
        assert found.mean_uncorrected(space) == pytest.approx(0.05, abs=0.015)
        assert found.n_with_several(space) <= 1
