"""The commands of b2g-offline, registered; each is a file of `offline/commands`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, NoReturn

import typer

from b2g_rt.errors import B2GError, SetupError
from offline.commands.console import console, errors
from offline.commands.convert import convert
from offline.commands.encode import encode
from offline.commands.evaluate import evaluate
from offline.commands.export_bundle import export_bundle
from offline.commands.export_generator import export_generator
from offline.commands.features import features
from offline.commands.fit import MAKE_DEFAULT, fit
from offline.commands.import_checkpoint import import_checkpoint
from offline.commands.inspect import inspect
from offline.commands.profile_generator import profile_generator
from offline.commands.project import project
from offline.commands.reproduce import reproduce
from offline.commands.simulate import simulate
from offline.commands.synthesize import app as synthesize
from offline.commands.train_generator import train_generator

__all__ = ["app", "console", "main"]

INTERRUPTED = 130
GENERATORS = "Generators"
STIMULI = "Stimuli"
RECORDINGS = "Recordings"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train what runs live: from a recorded session to the model bundle that b2g-rt loads.\n\n"
    "After a recording: [bold]b2g-offline fit recordings/monday.h5 --generator faces --out bundles/monday[/], "
    "then [bold]b2g-offline evaluate bundles/monday recordings/tuesday.h5[/], then "
    "[bold]b2g-rt serve --set bundle=bundles/monday[/]. Without a recording: the shipped bundle was made by "
    f"[bold]{MAKE_DEFAULT}[/].",
)
app.command()(fit)
app.command()(evaluate)
app.command()(encode)
app.command("export-bundle")(export_bundle)
app.command()(reproduce)
app.command(rich_help_panel=RECORDINGS)(inspect)
app.command(rich_help_panel=RECORDINGS)(convert)
app.command(rich_help_panel=RECORDINGS)(simulate)
app.add_typer(synthesize, name="synthesize", rich_help_panel=STIMULI)
app.command(rich_help_panel=STIMULI)(project)
app.command(rich_help_panel=STIMULI)(features)
app.command("import-checkpoint", rich_help_panel=GENERATORS)(import_checkpoint)
app.command("export-generator", rich_help_panel=GENERATORS)(export_generator)
app.command("profile-generator", rich_help_panel=GENERATORS)(profile_generator)
app.command("train-generator", rich_help_panel=GENERATORS)(train_generator)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


def _fail(error: B2GError) -> NoReturn:
    errors.print(f"error: {error}", markup=False)
    raise SystemExit(error.exit_code)


def _not_installed(error: ModuleNotFoundError) -> SetupError:
    package = (error.name or str(error)).partition(".")[0]
    if package in ("b2g_rt", "offline"):
        raise error
    return SetupError(
        f"b2g-offline: {package} is not installed, expected the packages for training. Install them with make "
        "setup-dev, or pip install -c constraints.txt -e '.[offline]'."
    )


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except B2GError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        _fail(_not_installed(error))
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code without a word.
        if leaving.code == INTERRUPTED:
            errors.print(
                "interrupted: the same command goes on from what was kept (of fit and reproduce with --work DIR)",
                markup=False,
            )
        raise


if __name__ == "__main__":
    main()
