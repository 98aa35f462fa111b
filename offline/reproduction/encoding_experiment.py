"""The whole encoding line on the simulator: pictures, features, a driven animal, models, statistics, claims.

For each network an animal is tuned to its levels, V1 to the first, V4 to the third, IT to the fifth and to w; which
electrode is tuned to what is known, and layer assignment has to find it. Everything depends on the plan alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.contracts.encoder import static_windows_ms
from b2g_rt.simulation.from_record import faces_macaque
from b2g_rt.simulation.macaque import Macaque
from offline.encoding.contents import Fitted, encoding_contents
from offline.encoding.driven_macaque import N_COMPONENTS, Drive, DrivenMacaque, tuned_drive
from offline.encoding.every_space import EncodedSpaces, Fitting, encode_spaces, rsa_scores
from offline.encoding.latencies import Latencies, latencies
from offline.encoding.layer_assignment import LayerAssignment, Recovery, assign_layers, recovery
from offline.encoding.responses import EncodingResponses, trial_responses
from offline.encoding.rsa import RsaScores
from offline.encoding.scores import INFORMATIVE
from offline.export.bundle_writing import versions
from offline.export.source_hashes import BRAIN, PICTURES, source_hashes
from offline.features.feature_space import FeatureSpace
from offline.features.store import FeatureFile
from offline.recordings.normalisation import paper_normalised
from offline.reproduction.claims import Claim
from offline.reproduction.encoding_claims import encoding_claims
from offline.reproduction.encoding_features import (
    all_ids,
    all_latents,
    draw_pictures,
    network_features,
    spaces_of,
)
from offline.reproduction.encoding_null import ShuffledScores, shuffled_scores
from offline.reproduction.encoding_plan import NETWORKS, EncodingPlan, TunedNetwork
from offline.reproduction.responses import Responses, simulated_responses
from offline.scheduling.resources import Resources
from offline.stages import Stage

VERSION = 1
"""Of reproduction.json."""
SOURCES = (*BRAIN, *PICTURES, "offline/encoding/driven_macaque.py")
"""What the animal, its stimuli and its tuning depend on."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkEncoding:
    """What was found of the animal that one network drives.

    Attributes
    ----------
    network : TunedNetwork
    macaque : DrivenMacaque
    encoded : EncodedSpaces
    assignment : LayerAssignment
    recovered : dict of 'all' and each ROI to Recovery
    shuffled : ShuffledScores
    latency : Latencies or None
    rsa : RsaScores
    contents : dict
        For the report.
    features : dict
        Attributes of the feature file.
    """

    network: TunedNetwork
    macaque: DrivenMacaque
    encoded: EncodedSpaces
    assignment: LayerAssignment
    recovered: dict[str, Recovery]
    shuffled: ShuffledScores
    latency: Latencies | None
    rsa: RsaScores
    contents: dict[str, Any]
    features: dict[str, Any]

    @property
    def claims(self) -> list[Claim]:
        """Every claim, with our figures in it."""
        return encoding_claims(self.network.name, self.recovered, self.shuffled, self.latency)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; single electrodes are in the report's own file."""
        scores = self.encoded.scores
        space = np.array(self.macaque.drive.space)
        mean_r = {
            tuned: {
                name: float(scores.r[i, space == tuned].mean())
                for i, name in enumerate(scores.spaces)
            }
            for tuned in dict.fromkeys(self.macaque.drive.space)
        }
        return {
            "about": self.network.about,
            "tuning": {roi: list(names) for roi, names in self.network.tuning.items()},
            "recovered": {roi: found.to_dict() for roi, found in self.recovered.items()},
            "mean_r_by_tuning": mean_r,
            "shuffled": self.shuffled.to_dict(),
            "latency": None if self.latency is None else self.latency.to_dict()["rois"],
            "features": {
                key: value for key, value in self.features.items() if key not in ("stimuli", "run")
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class EncodingReproduction:
    """The whole experiment."""

    plan: EncodingPlan
    networks: tuple[NetworkEncoding, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim of every network."""
        return tuple(claim for one in self.networks for claim in one.claims)

    @property
    def inside(self) -> bool:
        """Whether every claim holds."""
        return all(claim.inside for claim in self.claims)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "version": VERSION,
            "about": "encoding on a simulated macaque that feature spaces drive: no animal was recorded",
            "inside": self.inside,
            "judged": self.plan.is_judged,
            "claims": [claim.to_dict() for claim in self.claims],
            "plan": asdict(self.plan),
            "n_components": N_COMPONENTS,
            "networks": {one.network.name: one.to_dict() for one in self.networks},
            "versions": versions(),
            "sources": source_hashes(SOURCES),
        }


def reproduce_encoding(
    plan: EncodingPlan,
    work: Path | None,
    stage: Stage,
    resources: Resources,
    networks: tuple[TunedNetwork, ...] = NETWORKS,
    animal: Macaque | None = None,
) -> EncodingReproduction:
    """Draw, extract, simulate, fit and score.

    Parameters
    ----------
    plan : EncodingPlan
    work : Path or None
        Where pictures, features and simulated sessions are kept for a run that goes on after this one.
    stage : Stage
        Progress.
    resources : Resources
    networks : tuple of TunedNetwork
        The first is encoded window by window, too.
    animal : Macaque, optional
        The one that is driven; by default the calibrated one that looks at faces.
    """
    folder = resources.scratch if work is None else work / _work_name(plan)
    folder.mkdir(parents=True, exist_ok=True)
    animal = animal or faces_macaque()
    pictures = folder / "pictures"
    draw_pictures(animal, plan, pictures, stage)
    found = []
    for position, network in enumerate(networks):
        features = network_features(
            network, plan, pictures, folder / f"{network.name}.zarr", resources, stage
        )
        spaces = spaces_of(features, network, animal, plan)
        drive = tuned_drive(
            animal,
            all_ids(plan),
            all_latents(animal, plan),
            network.tuning,
            {space.name: space for space in spaces},
            reference=plan.ids("training"),
            seed=plan.seed,
        )
        macaque = DrivenMacaque(animal, drive)
        driven = replace(plan, drive=drive_digest(drive))
        simulated = simulated_responses(macaque, driven, work, stage, resources.workers)
        responses = encoding_responses_of(simulated, macaque, plan, over_time=position == 0)
        del simulated
        found.append(
            _network_encoding(network, macaque, plan, features, spaces, responses, resources, stage)
        )
    return EncodingReproduction(plan, tuple(found))


def encoding_responses_of(
    simulated: Responses, macaque: DrivenMacaque, plan: EncodingPlan, *, over_time: bool
) -> EncodingResponses:
    """Return simulated responses as encoding takes them, in the paper's z units."""
    values = np.concatenate([simulated.training, simulated.test])
    test_ids = plan.ids("test")
    stimulus = plan.ids("training") + [test_ids[k] for k in plan.shown("test")]
    is_test = np.arange(len(values)) >= plan.n_training
    z = paper_normalised(values, [1] * len(values), is_test)
    found = trial_responses(
        z.values, stimulus, is_test, macaque.channels, note=z.note, where="reproduce encoding"
    )
    return found if over_time else replace(found, over_time=None)


def drive_digest(drive: Drive) -> str:
    """Return what simulated responses depend on besides the animal: a SHA-256 of what drives it."""
    hashed = hashlib.sha256(repr((drive.ids, drive.space)).encode())
    # Rounded: kernels' last bits depend on how many threads sum them.
    hashed.update(np.round(drive.values, 4).astype(np.float32).tobytes())
    return hashed.hexdigest()


def _network_encoding(
    network: TunedNetwork,
    macaque: DrivenMacaque,
    plan: EncodingPlan,
    features: FeatureFile,
    spaces: list[FeatureSpace],
    responses: EncodingResponses,
    resources: Resources,
    stage: Stage,
) -> NetworkEncoding:
    fitting = Fitting(workers=resources.workers, memory=resources.memory)
    encoded = encode_spaces(spaces, responses, fitting, stage)
    assignment = assign_layers(encoded.scores)
    informative = macaque.noise_ceiling(plan.n_repeats) > INFORMATIVE
    channels = macaque.channels
    recovered = {
        "all": recovery(assignment, macaque.drive.space, informative),
        **{
            roi: recovery(assignment, macaque.drive.space, informative, channels.channels_of(roi))
            for roi in channels.rois()
        },
    }
    shuffled = shuffled_scores(spaces, responses, plan.n_shuffles, plan.seed, fitting, stage)
    rsa = rsa_scores(spaces, responses, fitting, stage)
    latency = None
    if encoded.time is not None:
        latency = latencies(encoded.time, best=assignment.best, among=assignment.significant)
    contents = encoding_contents(
        encoded.scores,
        assignment,
        fitted=Fitted(
            rule=fitting.rule,
            n_train=len(responses.train_ids),
            n_features={space.name: space.n_features for space in spaces},
            network={name: f"{network.about}, {plan.side} px" for name in network.levels},
            window_ms=static_windows_ms(),
            fewest=responses.repeats[0],
            most=responses.repeats[1],
        ),
        time=encoded.time,
        rsa=rsa,
        recovered={roi: recovered[roi] for roi in channels.rois()},
        seed=plan.seed,
    )
    return NetworkEncoding(
        network, macaque, encoded, assignment, recovered, shuffled, latency, rsa, contents,
        features.attributes,
    )  # fmt: skip


def _work_name(plan: EncodingPlan) -> str:
    return f"encoding-{plan.n_training}-{plan.n_test}-side{plan.side}-seed{plan.seed}"
