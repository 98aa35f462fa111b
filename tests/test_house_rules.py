"""Rules of the house that no linter knows: names of files, pins, what may stand in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CODE = sorted(
    path
    for room in ("b2g_rt", "offline", "tests", "benchmarks")
    for path in (ROOT / room).rglob("*.py")
)
# Where a noun of the field exists, these say nothing (facts/style.md).
_EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


def _pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "constraints.txt holds plain name==version lines"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [
        Requirement(text)
        for text in [*project["dependencies"], *(text for name in extras for text in extras[name])]
    ]


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_every_requirement_is_a_lower_bound_with_a_pin_above_it(requirement: Requirement) -> None:
    pin = _pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
    assert requirement.specifier.contains(pin), f"{requirement} is not met by the pin {pin}"
    # A bound below, and single releases that are known to be broken; never a bound above.
    assert {spec.operator for spec in requirement.specifier} - {"!="} == {">="}


def test_pins_hold_on_every_machine() -> None:
    local = [f"{name}=={pin}" for name, pin in _pins().items() if pin.local or pin.is_prerelease]
    assert local == [], "a local or preliminary version cannot be had elsewhere"
    assert "pip" in _pins(), "make upgrades pip to the pinned version"
    assert "onnxruntime" not in _pins(), "onnxruntime and onnxruntime-gpu write the same folder"


def test_no_file_is_named_after_nothing() -> None:
    assert [str(path.relative_to(ROOT)) for path in CODE if path.stem in _EMPTY_NAMES] == []
