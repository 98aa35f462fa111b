from __future__ import annotations

import dataclasses
import json

import pytest

from b2g_rt.contracts.endpoints import (
    CurveClientKeys,
    Endpoints,
    read_endpoints,
    write_endpoints,
)
from b2g_rt.errors import ConfigError

ENDPOINTS = Endpoints(*(f"tcp://127.0.0.1:{5571 + i}" for i in range(4)))


def test_what_the_service_writes_the_display_reads(tmp_path):
    path = tmp_path / "new" / "endpoints.json"
    write_endpoints(path, ENDPOINTS)
    assert read_endpoints(path) == ENDPOINTS
    assert list(path.parent.iterdir()) == [path], "the unfinished file was left behind"


@pytest.mark.parametrize("place", ["folder", "file/x.json", "/proc/x/y.json"])
def test_endpoints_that_cannot_be_written_are_one_line_and_leave_nothing_behind(tmp_path, place):
    inside = tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    (inside / "file").touch()
    before = sorted(p.name for p in inside.rglob("*"))
    with pytest.raises(ConfigError, match=r"Correct publish\.endpoints_file") as caught:
        write_endpoints(inside / place, ENDPOINTS)
    assert str(caught.value).startswith(f"{inside / place}: ")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in inside.rglob("*")) == before


def test_an_unfinished_endpoints_file_is_taken_away_when_it_cannot_be_put_in_place(
    tmp_path, monkeypatch
):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "replace", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_endpoints(tmp_path / "endpoints.json", ENDPOINTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "expected JSON"),
        ("[]", "expected the keys activity, events, pictures, status"),
        (json.dumps({"pictures": "tcp://127.0.0.1:1"}), "expected the keys"),
        (
            json.dumps({t: 5 for t in ("pictures", "events", "activity", "status")}),
            "such as tcp://",
        ),
    ],
    ids=["no json", "list", "missing topics", "numbers"],
)
def test_malformed_endpoints_are_one_clear_line(tmp_path, content, said):
    path = tmp_path / "endpoints.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_endpoints(path)
    assert "\n" not in str(caught.value)


def test_missing_endpoints_file_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json.*Start the service first"):
        read_endpoints(tmp_path / "none.json")


def test_secret_key_is_never_printed():
    keys = CurveClientKeys("a" * 40, "b" * 40, "s" * 40)
    assert "s" * 40 not in repr(keys)
    with pytest.raises(ConfigError, match="secret: 3 characters"):
        CurveClientKeys("a" * 40, "b" * 40, "sss")


def test_where_commands_are_taken_is_read_and_may_be_missing(tmp_path):
    path = tmp_path / "endpoints.json"
    with_control = dataclasses.replace(ENDPOINTS, control="tcp://127.0.0.1:5575")
    write_endpoints(path, with_control)
    assert read_endpoints(path) == with_control
    data = json.loads(path.read_text())
    del data["control"]
    path.write_text(json.dumps(data))
    assert read_endpoints(path) == ENDPOINTS
