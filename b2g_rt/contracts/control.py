"""Commands to a running service, and its replies: one msgpack map each, versioned as the messages are.

Not among ``messages.Message``: who reads what the service publishes need not know them. Never pickle.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from b2g_rt.contracts.messages import AdaptationState, VersionedMessage, decode_as

Action = Literal["status", "start", "freeze", "resume", "rollback", "new-day"]
ACTIONS: tuple[Action, ...] = get_args(Action)


class CommandMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="command"):
    """What is wanted.

    ``status``: nothing, only the reply. ``start``: the online ridge learns from now on. ``freeze``: it learns nothing
    more, what it learnt is kept. ``resume``: it goes on. ``rollback``: back by ``n_trials`` at least (None: to the
    bundle's decoder), and frozen. ``new-day``: running normalisation starts a day with the next sample.
    """

    action: Action
    n_trials: int | None = None


class ReplyMessage(VersionedMessage, frozen=True, forbid_unknown_fields=True, tag="reply"):
    """What came of it: ``text`` is one line for people, ``done`` whether the command was carried out.

    ``adaptation``, ``n_trials_learnt``: how the online ridge stands now, as in ``StatusMessage``.
    """

    done: bool
    text: str
    adaptation: AdaptationState
    n_trials_learnt: int


_ENCODER = msgspec.msgpack.Encoder()
_COMMANDS = msgspec.msgpack.Decoder(CommandMessage)
_REPLIES = msgspec.msgpack.Decoder(ReplyMessage)


def encode_control(message: CommandMessage | ReplyMessage) -> bytes:
    """Return the message as one msgpack map."""
    return _ENCODER.encode(message)


def decode_command(data: bytes) -> CommandMessage:
    """Read a command; MessageError as ``messages.decode``."""
    return decode_as(_COMMANDS, data)


def decode_reply(data: bytes) -> ReplyMessage:
    """Read a reply; MessageError as ``messages.decode``."""
    return decode_as(_REPLIES, data)
