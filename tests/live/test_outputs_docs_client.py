"""docs/messages.md: its client runs as printed, and its tables are the messages of today."""

from __future__ import annotations

import re
import select
import subprocess
import sys
import time
import types
import typing
from typing import IO, Any, cast

import msgspec
import numpy as np
import pytest

from b2g_rt.contracts import messages as m
from b2g_rt.contracts.endpoints import write_endpoints
from b2g_rt.contracts.messages import Topic
from b2g_rt.outputs.publisher import EVENTS_QUEUE, Publisher
from tests.rt.outputs import made_messages as made

DEADLINE_S = 20.0
STRUCTS: dict[str, Any] = {
    "frame": m.FrameMessage,
    "flags": m.Flags,
    "stamps": m.Stamps,
    "image": m.Image,
    "stimulus": m.StimulusMessage,
    "trial": m.TrialMessage,
    "encoding": m.EncodingMessage,
    "agreement": m.Agreement,
    "event": m.EventMessage,
    "activity": m.ActivityMessage,
    "status": m.StatusMessage,
    "quantiles": m.Quantiles,
    "ledger": m.Ledger,
    "layout": m.ChannelLayout,
}
NAMES = {m.Image: "image", m.Flags: "flags", m.Stamps: "stamps", m.Quantiles: "quantiles"}
NAMES |= {m.Ledger: "ledger", m.ChannelLayout: "layout", m.Agreement: "agreement"}
PLAIN = {int: "int", float: "float", str: "str", bytes: "bin", bool: "bool", type(None): "nil"}


@pytest.fixture(scope="module")
def page(request):
    return (request.config.rootpath / "docs" / "messages.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(page):
    return found(r"<!-- client.*?-->\n```python\n(.*?)```", page)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.DOTALL | re.MULTILINE)
    assert match, pattern
    return match[1]


def words(kind) -> str:
    """A field's type as the page writes it."""
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in NAMES:
        return f"map {NAMES[kind]}"
    if typing.get_origin(kind) is typing.Literal:
        return "str"
    if typing.get_origin(kind) is list:
        return f"array of {words(typing.get_args(kind)[0])}"
    assert isinstance(kind, types.UnionType), kind
    return " or ".join(words(part) for part in typing.get_args(kind))


@pytest.mark.parametrize("name", STRUCTS)
def test_a_table_of_the_page_is_the_message_of_today(page, name):
    section = found(rf"^### {name}\n(.*?)(?=^##|\Z)", page)
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE)
    fields = msgspec.structs.fields(STRUCTS[name])
    assert rows == [(f.name, words(f.type)) for f in fields]


def test_the_page_describes_this_version(page):
    assert f"It describes version {m.VERSION}." in page
    assert f"{EVENTS_QUEUE:,}".replace(",", " ") in page
    assert f"1 to {m.MAX_IMAGE_SIDE}" in page


def test_the_client_is_short_and_needs_three_packages(client):
    assert len(client.strip().splitlines()) <= 30
    imported = set(re.findall(r"^import (\w+)", client, re.MULTILINE))
    assert imported == {"json", "sys", "msgpack", "numpy", "zmq"}


def run_client(script: str, tmp_path, message) -> str:
    """Run the page's client against a real publisher until it prints; return line and errors."""
    with Publisher("127.0.0.1", dict.fromkeys(Topic, 0)) as publisher:
        write_endpoints(tmp_path / "endpoints.json", publisher.endpoints)
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "endpoints.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline:
                publisher.publish(Topic.PICTURES, message)
                pipes = [cast(IO[str], child.stdout), cast(IO[str], child.stderr)]
                ready, _, _ = select.select(pipes, [], [], 0.05)
                if ready:
                    return ready[0].readline()
        finally:
            child.kill()
            child.communicate()
    raise AssertionError("the client printed nothing")


@pytest.mark.live
def test_the_pages_client_receives_a_frame_and_decodes_latent_and_picture(client, tmp_path):
    frame = made.frame(7, image=True)
    line = run_client(client, tmp_path, frame)
    corner = made.picture()[0, -1]
    assert line.strip() == f"7 face-0 {np.array([7, 8, 9], np.float32)} {corner}"


@pytest.mark.live
def test_the_pages_client_refuses_the_next_version(client, tmp_path):
    frame = msgspec.structs.replace(made.frame(7, image=True), version=m.VERSION + 1)
    assert run_client(client, tmp_path, frame).strip() == (
        f"frame of version {m.VERSION + 1}, this client reads frames of version {m.VERSION}"
    )
