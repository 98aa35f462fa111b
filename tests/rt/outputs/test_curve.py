"""CURVE: an allowed key gets the messages, everybody else nothing. Real sockets."""

from __future__ import annotations

import logging
import stat
import time

import pytest
import zmq

from b2g_rt.contracts.endpoints import CurveClientKeys
from b2g_rt.contracts.messages import Topic, decode
from b2g_rt.errors import PublishError
from b2g_rt.outputs.curve import load_client_keys, load_server_keys, make_keys
from b2g_rt.outputs.publisher import Publisher
from tests.rt.outputs import made_messages as made

FREE = dict.fromkeys(Topic, 0)


@pytest.fixture
def folder(tmp_path):
    make_keys(tmp_path / "keys", "display")
    return tmp_path / "keys"


def received(publisher: Publisher, topic: Topic, sub: zmq.Socket, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        publisher.publish(topic, made.event())
        if sub.poll(20):
            assert decode(sub.recv()) == made.event()
            return True
    return False


def own_keys(folder) -> CurveClientKeys:
    return load_client_keys(folder / "server.key", folder / "display.key_secret")


@pytest.mark.parametrize("topic", list(Topic))
def test_an_allowed_key_gets_every_topic(folder, subscribe, topic):
    with Publisher("127.0.0.1", FREE, curve_keys=folder) as publisher:
        sub = subscribe(getattr(publisher.endpoints, topic.value), keys=own_keys(folder))
        assert received(publisher, topic, sub, 10.0)


def test_strangers_get_nothing_while_the_allowed_one_does(folder, subscribe, caplog):
    keys = own_keys(folder)
    public, secret = (k.decode() for k in zmq.curve_keypair())
    other_server = zmq.curve_keypair()[0].decode()
    strangers = {
        "no keys": None,
        "unknown key": CurveClientKeys(keys.server_public, public, secret),
        "wrong server key": CurveClientKeys(other_server, keys.public, keys.secret),
    }
    with (
        caplog.at_level(logging.WARNING),
        Publisher("127.0.0.1", FREE, curve_keys=folder) as publisher,
    ):
        address = publisher.endpoints.events
        subs = {name: subscribe(address, keys=key) for name, key in strangers.items()}
        allowed = subscribe(address, keys=keys)
        assert received(publisher, Topic.EVENTS, allowed, 10.0)
        for name, sub in subs.items():
            assert not received(publisher, Topic.EVENTS, sub, 0.5), name
    assert public in caplog.text
    assert secret not in caplog.text


def test_a_key_added_to_the_folder_counts_without_a_restart(folder, subscribe):
    with Publisher("127.0.0.1", FREE, curve_keys=folder) as publisher:
        secret = make_keys(folder, "second")
        keys = load_client_keys(folder / "server.key", secret)
        sub = subscribe(publisher.endpoints.status, keys=keys)
        assert received(publisher, Topic.STATUS, sub, 10.0)


def test_all_interfaces_can_be_bound_with_keys_and_reached_on_loopback(folder, subscribe):
    with Publisher("0.0.0.0", FREE, curve_keys=folder) as publisher:
        assert publisher.endpoints.events.startswith("tcp://127.0.0.1:")
        sub = subscribe(publisher.endpoints.events, keys=own_keys(folder))
        assert received(publisher, Topic.EVENTS, sub, 10.0)


def test_secret_keys_are_readable_by_their_owner_only(folder):
    for name in ("server.key_secret", "display.key_secret"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_secret_key_that_others_can_read_is_refused(folder):
    (folder / "server.key_secret").chmod(0o644)
    with pytest.raises(PublishError, match="0644.*chmod 600"):
        load_server_keys(folder)


def test_keys_are_never_overwritten(folder):
    before = (folder / "server.key_secret").read_text()
    with pytest.raises(PublishError, match="never overwritten"):
        make_keys(folder, "display")
    make_keys(folder, "second")
    assert (folder / "server.key_secret").read_text() == before


@pytest.mark.parametrize("name", ["", "../x", "a b", "server"])
def test_a_key_name_that_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(PublishError, match="key name"):
        make_keys(tmp_path, name)


def test_missing_keys_are_one_line(tmp_path):
    with pytest.raises(PublishError, match=r"server\.key_secret.*b2g-rt keys") as error:
        Publisher("127.0.0.1", FREE, curve_keys=tmp_path)
    assert "\n" not in str(error.value)


def test_the_public_file_in_place_of_the_secret_one_is_refused(folder):
    with pytest.raises(PublishError, match="expected the secret one"):
        load_client_keys(folder / "server.key", folder / "clients" / "display.key")


def test_secrets_do_not_show_in_a_repr(folder):
    keys = load_server_keys(folder)
    assert keys.secret.decode() not in repr(keys)
