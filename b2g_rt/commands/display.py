"""Start the display with the addresses and keys that the configuration gives."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.config import Config
from b2g_rt.contracts.endpoints import CurveClientKeys, Endpoints, read_endpoints
from b2g_rt.errors import ConfigError


def endpoints_of(config: Config, file: Path | None, host: str) -> Endpoints:
    """Return where the service publishes: from its file if there is one, else host and configured ports.

    Raises
    ------
    ConfigError
        The file cannot be read, or the configured ports are 0 (free ones), which only the file tells.
    """
    file = file or config.display.endpoints_file
    if file:
        return read_endpoints(file)
    ports = {
        name: getattr(config.publish, f"{name}_port")
        for name in ("pictures", "events", "activity", "status")
    }
    if 0 in ports.values():
        raise ConfigError(
            "publish: a port is 0 (a free one), so the display cannot know it. Give --endpoints FILE, the service's "
            "publish.endpoints_file."
        )
    return Endpoints(**{name: f"tcp://{host}:{port}" for name, port in ports.items()})


def client_keys(config: Config) -> CurveClientKeys | None:
    """Return the CURVE keys, or None when none are configured.

    Raises
    ------
    ConfigError
        Only one of the two is set, or a file is no key.
    """
    server, client = config.display.server_key, config.display.client_key
    if server is None and client is None:
        return None
    if server is None or client is None:
        missing = "server_key" if server is None else "client_key"
        raise ConfigError(
            f"display.{missing}: not set, expected both display.server_key and display.client_key."
        )
    from b2g_rt.outputs.curve import load_client_keys

    return load_client_keys(server, client)


def display(
    config: Config,
    endpoints: Path | None,
    host: str,
    screenshot: Path | None,
    paint_log: Path | None,
    quit_after_s: float | None,
    full_screen: bool,
) -> int:
    """Show until the window is closed; return the exit status."""
    from b2g_rt.display.app import run_display

    return run_display(
        endpoints_of(config, endpoints, host),
        screenshot=screenshot,
        quit_after_s=quit_after_s,
        curve=client_keys(config),
        stale_after_s=config.display.stale_after_s,
        paint_log=paint_log,
        full_screen=full_screen,
    )
