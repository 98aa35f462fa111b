"""One command run by itself, for the tests of commands."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from b2g_rt.errors import B2GError
from offline.commands import console as console_module


@pytest.fixture
def runner_of(monkeypatch):
    """Return how a command is run: a function of its arguments that gives (exit code, what it printed)."""

    def runner(command):
        app = typer.Typer()
        app.command()(command)
        monkeypatch.setattr(console_module.console, "_width", 100)

        def call(*args):
            result = CliRunner().invoke(app, [str(a) for a in args])
            if isinstance(result.exception, B2GError):
                return 2, str(result.exception)
            assert result.exception is None or isinstance(result.exception, SystemExit), result
            return result.exit_code, result.output

        return call

    return runner
