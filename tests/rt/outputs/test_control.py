"""The control socket: answered, kept to this machine or behind keys, unharmed by whatever it is sent. Real sockets."""

from __future__ import annotations

import msgspec
import pytest
import zmq

from b2g_rt.contracts import control as c
from b2g_rt.contracts.messages import VERSION
from b2g_rt.errors import CommandError, MessageError, PublishError
from b2g_rt.outputs.control import ControlServer, send_command
from b2g_rt.outputs.curve import load_client_keys, make_keys

STATUS = c.CommandMessage(VERSION, "status")


def answer(command: c.CommandMessage) -> c.ReplyMessage:
    if command.action == "freeze":
        raise RuntimeError("the card is gone")
    return c.ReplyMessage(VERSION, True, f"did {command.action} {command.n_trials}", "learning", 7)


@pytest.fixture
def server():
    with ControlServer("127.0.0.1", 0) as server:
        server.start(answer)
        yield server


def raw(address: str, data: bytes) -> c.ReplyMessage:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        socket.send(data)
        assert socket.poll(10_000)
        return c.decode_reply(socket.recv())


@pytest.mark.parametrize("action", c.ACTIONS)
def test_every_command_comes_back_as_it_was_sent(action):
    for n_trials in (None, 50):
        command = c.CommandMessage(VERSION, action, n_trials)
        assert c.decode_command(c.encode_control(command)) == command


def test_the_commands_of_the_command_line_are_those_of_the_messages():
    from b2g_rt.cli import Action

    assert tuple(action.value for action in Action) == c.ACTIONS


def test_a_command_is_answered(server):
    reply = send_command(server.address, c.CommandMessage(VERSION, "rollback", 50))
    assert (reply.done, reply.text) == (True, "did rollback 50")
    assert (reply.adaptation, reply.n_trials_learnt) == ("learning", 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95pickle.",
        b"\x91" * 3000,
        msgspec.msgpack.encode({"type": "command", "version": VERSION, "action": "explode"}),
        msgspec.msgpack.encode({"type": "reply", "version": VERSION}),
    ],
    ids=["nothing", "pickle", "nested", "unknown action", "another message"],
)
def test_what_is_no_command_is_refused_in_one_line_and_the_next_one_answered(server, data):
    reply = raw(server.address, data)
    assert not reply.done
    assert "\n" not in reply.text
    assert send_command(server.address, STATUS).done


def test_the_next_version_is_refused_by_number(server):
    reply = raw(
        server.address, c.encode_control(msgspec.structs.replace(STATUS, version=VERSION + 1))
    )
    assert f"version {VERSION + 1}, this program reads version {VERSION}" in reply.text
    with pytest.raises(MessageError, match=f"version {VERSION + 1}"):
        c.decode_reply(
            c.encode_control(msgspec.structs.replace(answer(STATUS), version=VERSION + 1))
        )


def test_a_command_that_fails_is_said_and_the_next_one_answered(server, caplog):
    reply = send_command(server.address, c.CommandMessage(VERSION, "freeze"))
    assert (reply.done, reply.text) == (False, "the command failed; the service's log says why.")
    assert "the card is gone" in caplog.text
    assert send_command(server.address, STATUS).done


def test_nobody_there_is_one_line():
    with ControlServer("127.0.0.1", 0) as closed:
        address = closed.address
    with pytest.raises(CommandError, match="nobody answered") as caught:
        send_command(address, STATUS, timeout_s=0.2)
    assert "\n" not in str(caught.value)


def test_an_address_that_is_none_is_one_line():
    with pytest.raises(CommandError, match="such as tcp://"):
        send_command("tcp://nowhere", STATUS, timeout_s=0.2)


def test_beyond_loopback_without_keys_is_refused():
    with pytest.raises(PublishError, match=r"publish\.control_host.*b2g-rt keys"):
        ControlServer("0.0.0.0", 0)


def test_a_port_in_use_names_its_key(server):
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(PublishError, match=r"publish\.control_port.*in use"):
        ControlServer("127.0.0.1", port)


def test_with_keys_only_those_who_have_one_command(tmp_path):
    keys = tmp_path / "keys"
    mine = make_keys(keys, "operator")
    stranger = make_keys(tmp_path / "other", "stranger")
    with ControlServer("0.0.0.0", 0, curve_keys=keys) as server:
        server.start(answer)
        allowed = load_client_keys(keys / "server.key", mine)
        assert send_command(server.address, STATUS, curve=allowed).done
        refused = load_client_keys(keys / "server.key", stranger)
        for curve in (None, refused):
            with pytest.raises(CommandError, match="nobody answered"):
                send_command(server.address, STATUS, curve=curve, timeout_s=0.5)
        assert send_command(server.address, STATUS, curve=allowed).done
