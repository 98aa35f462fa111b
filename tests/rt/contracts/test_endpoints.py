from __future__ import annotations

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
