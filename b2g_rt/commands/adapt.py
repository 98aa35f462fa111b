"""Send one command to a running service, and say what came of it."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.commands.display import client_keys
from b2g_rt.config import Config, control_port
from b2g_rt.contracts.control import Action, CommandMessage
from b2g_rt.contracts.endpoints import read_endpoints
from b2g_rt.contracts.messages import VERSION
from b2g_rt.errors import CommandError, ConfigError


def adapt(
    config: Config, action: Action, n_trials: int | None, endpoints: Path | None, host: str
) -> str:
    """Send a command; return the service's answer, one line.

    Raises
    ------
    CommandError
        The service is not reached, or did not do it.
    ConfigError
        Where it takes commands is not known, or a key is missing.
    """
    if n_trials is not None and action != "rollback":
        raise ConfigError(f"adapt {action}: --trials belongs to rollback alone. Leave it out.")
    from b2g_rt.outputs.control import send_command

    reply = send_command(
        control_address(config, endpoints, host),
        CommandMessage(VERSION, action, n_trials),
        curve=client_keys(config),
    )
    if not reply.done:
        raise CommandError(f"adapt {reply.text}")
    return reply.text


def control_address(config: Config, file: Path | None, host: str) -> str:
    """Return where the service takes commands: from its endpoints file if there is one, else host and port.

    Raises
    ------
    ConfigError
        The file cannot be read or names none, or the configured port is 0 (a free one), which only the file tells.
    """
    file = file or config.publish.endpoints_file or config.display.endpoints_file
    if file:
        address = read_endpoints(file).control
        if not address:
            raise ConfigError(
                f"{file}: names no 'control' address, expected that of a service of this release. Start it again."
            )
        return address
    port = control_port(config.publish)
    if port == 0:
        raise ConfigError(
            "publish.control_port: 0 (a free one), so it cannot be known here. Give --endpoints FILE, the service's "
            "publish.endpoints_file."
        )
    return f"tcp://{host}:{port}"
