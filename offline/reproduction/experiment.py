"""The whole line: simulate, fit, evaluate, compare. Everything it gives depends on animal and plan alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from b2g_rt.simulation.from_record import macaque_record
from b2g_rt.simulation.macaque import Macaque
from offline.evaluation.metrics import Interval
from offline.export.bundle_writing import versions
from offline.export.source_hashes import BRAIN, source_hashes
from offline.reproduction.claims import Claim, claims
from offline.reproduction.decoding import ALL, METHODS, Condition, ConditionScores, score_condition
from offline.reproduction.plan import ReproductionPlan
from offline.reproduction.published import PUBLISHED, PublishedScores
from offline.reproduction.responses import ROI_WINDOWS, WINDOWS, simulated_responses
from offline.scheduling.resources import Resources
from offline.stages import Stage

VERSION = 1
"""Of reproduction.json."""

CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True, slots=True, eq=False)
class Reproduction:
    """The paper's experiment on the simulated animal.

    Attributes
    ----------
    macaque : Macaque
    plan : ReproductionPlan
    scores : dict of condition to ConditionScores
    claims : tuple of Claim
    """

    macaque: Macaque
    plan: ReproductionPlan
    scores: dict[Condition, ConditionScores]
    claims: tuple[Claim, ...]

    @property
    def paper(self) -> PublishedScores:
        """The paper's figures of the same experiment."""
        return PUBLISHED[self.plan.stimuli]

    @property
    def inside(self) -> bool:
        """Whether every claim holds."""
        return all(claim.inside for claim in self.claims)

    def mean_latent(self, condition: Condition) -> Interval:
        """Return the mean latent's cosine in a condition: what any decoder has to beat."""
        return self.scores[condition].decoders[METHODS[0]][ALL].roi_windows.mean_latent_cosine

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "version": VERSION,
            "about": "the paper's decoding experiment on a simulated macaque: no animal was recorded",
            "stimuli": self.plan.stimuli,
            "inside": self.inside,
            "judged": self.plan.is_the_papers,
            "claims": [claim.to_dict() for claim in self.claims],
            "paper": self.paper.to_dict(),
            "mean_latent": {
                condition: asdict(self.mean_latent(condition)) for condition in CONDITIONS
            },
            **{condition: scores.to_dict() for condition, scores in self.scores.items()},
            "plan": asdict(self.plan),
            **macaque_record(self.macaque),
            "windows": WINDOWS.to_dict(),
            "roi_windows": ROI_WINDOWS.to_dict(),
            "n_channels": {
                roi: len(self.macaque.channels.channels_of(roi))
                for roi in self.macaque.channels.rois()
            },
            "sources": source_hashes(BRAIN),
            "versions": versions(),
        }


def reproduce(
    macaque: Macaque,
    plan: ReproductionPlan,
    work: Path | None,
    stage: Stage,
    resources: Resources | None = None,
) -> Reproduction:
    """Simulate, fit and evaluate.

    Parameters
    ----------
    macaque : Macaque
        With electrodes in V1, V4 and IT.
    plan : ReproductionPlan
    work : Path or None
        Where simulated sessions are kept for a run that goes on after this one.
    stage : Stage
        Progress.
    resources : Resources, optional
        Workers, and the memory that a fit may take beside the responses; threads by default.
    """
    workers = resources.workers if resources else None
    responses = simulated_responses(macaque, plan, work, stage, workers)
    training_w, test_w = plan.latents(macaque, "training"), plan.latents(macaque, "test")
    scores = {
        condition: score_condition(
            condition, responses, macaque.channels, plan, training_w, test_w, stage, resources
        )
        for condition in CONDITIONS
    }
    return Reproduction(macaque, plan, scores, claims(plan.stimuli, scores))
