"""The encoding reproduction in small: the whole line from pictures to claims, resumed, written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.from_record import faces_macaque
from offline.encoding.layer_assignment import Recovery
from offline.export.source_hashes import source_hashes
from offline.reproduction.encoding_claims import encoding_claims
from offline.reproduction.encoding_experiment import SOURCES, reproduce_encoding
from offline.reproduction.encoding_null import ShuffledScores
from offline.reproduction.encoding_page import encoding_verdict, write_encoding_reproduction
from offline.reproduction.encoding_plan import NETWORKS, EncodingPlan
from offline.scheduling.resources import open_resources

RESULTS = Path(__file__).parents[3] / "benchmarks/results"
PLAN = EncodingPlan("faces", 60, 12, 2, 1, side=32, n_shuffles=2)


def _claims(share: float, uncorrected: float, several: int) -> dict[str, bool]:
    n = 1000
    recovered = {"all": Recovery(n, round(share * n), n)}
    found = np.zeros((1, 20), np.int64)
    found[0, :several] = 2
    shuffled = ShuffledScores(("VGG1",), np.full((1, 20), uncorrected), found)
    claims = encoding_claims("vgg16", recovered, shuffled, None)
    return {claim.name: claim.inside for claim in claims}


def test_claims_are_those_of_the_issue() -> None:
    assert all(_claims(0.90, 0.065, 1).values())
    assert _claims(0.89, 0.05, 0)["vgg16.recovered"] is False
    for share in (0.034, 0.066):
        assert _claims(1.0, share, 0)["vgg16.shuffled.VGG1.uncorrected"] is False
    assert _claims(1.0, 0.05, 2)["vgg16.shuffled.VGG1.bonferroni"] is False


def test_only_the_full_size_is_judged() -> None:
    assert EncodingPlan.sized(seed=7).is_judged
    assert not EncodingPlan.sized(1000).is_judged
    assert not PLAN.is_judged


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_line_runs_goes_on_and_is_written(tmp_path, no_stage) -> None:
    work = tmp_path / "work"
    network = NETWORKS[1]
    dead = tuple(range(16, 64))
    slots = [ArraySlot(k, roi, 64 * k, False, dead) for k, roi in enumerate(("V1", "V4", "IT"))]
    animal = faces_macaque(channels=ChannelMap(192, tuple(slots)))
    said = []

    def stage(what, total):
        said.append(what)
        return lambda done: None

    with open_resources(None, "2GiB", near=tmp_path / "out") as resources:
        found = reproduce_encoding(PLAN, work, no_stage, resources, (network,), animal)
        again = reproduce_encoding(PLAN, work, stage, resources, (network,), animal)
    assert any("0 to draw, 72 there" in what for what in said)
    assert not any("pictures to do" in what for what in said)
    assert json.dumps(again.to_dict()["networks"]) == json.dumps(found.to_dict()["networks"])
    one = found.networks[0]
    assert one.encoded.scores.spaces == (*network.levels, "w")
    assert one.encoded.time is not None
    assert set(one.macaque.drive.space) == {"Lite1", "Lite3", "Lite5", "w"}
    files = write_encoding_reproduction(tmp_path / "out", found, {"seconds": 1.0})
    assert {file.name for file in files} == {
        "reproduction.json",
        "report.html",
        "encoding.json",
    }
    told = json.loads(files[0].read_text(encoding="utf-8"))
    assert told["judged"] is False
    assert len(told["claims"]) == len(found.claims) == 1 + 2 * 6 + 2
    assert "not judged" in encoding_verdict(found)
    page = next(f for f in files if f.name == "report.html").read_text(encoding="utf-8")
    assert "Simulated" in page


def _record() -> dict[str, Any]:
    return json.loads((RESULTS / "reproduction-encoding.json").read_text(encoding="utf-8"))


def test_the_recorded_reproduction_is_of_this_animal_and_as_wanted() -> None:
    record = _record()
    # The MUA chain has no part in it: MUA itself is simulated, and its z units are those of trials.
    now, then = (
        {file: of for file, of in sources.items() if not file.startswith("b2g_rt/mua/")}
        for sources in (source_hashes(SOURCES), record["sources"])
    )
    changed = sorted(f for f in now.keys() | then.keys() if now.get(f) != then.get(f))
    assert not changed, (
        f"benchmarks/results/reproduction-encoding.json was made before these changed: {', '.join(changed)}. Make it "
        "again, in the same commit: .venv/bin/b2g-offline reproduce encoding --out DIR, then copy its "
        "reproduction.json."
    )
    assert record["plan"] == asdict(EncodingPlan.sized(seed=record["plan"]["seed"]))
    assert record["judged"]
    assert [claim["name"] for claim in record["claims"] if not claim["inside"]] == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_recorded_reproduction_is_found_again(tmp_path, no_stage) -> None:
    record = _record()
    plan = EncodingPlan.sized(seed=record["plan"]["seed"])
    with open_resources(None, "4GiB", near=tmp_path / "out") as resources:
        found = reproduce_encoding(plan, None, no_stage, resources)
    assert found.inside
    # Other processors round otherwise: some electrodes of 960 choose between spaces that are equally good.
    np.testing.assert_allclose(
        [claim.value for claim in found.claims],
        [claim["value"] for claim in record["claims"]],
        atol=0.01,
    )
