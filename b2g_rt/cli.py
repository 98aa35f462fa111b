"""The commands of b2g-rt. Thin: parse, call, print; the only place that configures logging."""

from __future__ import annotations

import enum
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from b2g_rt import __version__
from b2g_rt.errors import B2GError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From electrode to picture while it happens: MUA in through LSL, decoded by ONNX Runtime, shown live.\n\n"
    "Start with [bold]b2g-rt demo[/]: a simulated session, end to end. At the rig: [bold]b2g-rt doctor[/], then "
    "[bold]b2g-rt serve[/] and, on any screen, [bold]b2g-rt display[/].",
)
console = Console()
INTERRUPTED = 130
errors = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration (YAML); see configs/live.yaml.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override one key: --set streams.mua.name=rig1. Repeatable."),
]


class Provider(enum.Enum):
    """Execution providers, for the help text."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


def _version(show: bool) -> None:
    if show:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No window: one pass, then a report in --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for screenshot, animation and summary.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Replayed seconds per second; 0.25 is slow motion.")
    ] = 1.0,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the simulated session.")] = 64,
    recordings: Annotated[Path, typer.Option(help="Where the simulated session is kept.")] = Path(
        "recordings"
    ),
    set_: SetOption = None,
) -> None:
    """Run the main job on simulated data: LSL in, reconstructions out, in one minute.

    Example: b2g-rt demo --headless --out demo-out
    """
    from b2g_rt.commands.replay import parse_speed
    from b2g_rt.demo.run import DemoOptions, run_demo

    parse_speed(str(speed))
    run_demo(DemoOptions(out, headless, speed, trials, recordings, tuple(set_ or ())), console)


@app.command()
def serve(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Decode a live stream: the service at the rig.

    Example: b2g-rt serve -c configs/live.yaml --set record.path=recordings/today.h5
    """
    from b2g_rt.commands.serve import serve as run
    from b2g_rt.config import load_config

    run(load_config(config, set_), console)


@app.command()
def display(
    config: ConfigOption = None,
    set_: SetOption = None,
    endpoints: Annotated[
        Path | None, typer.Option(help="Addresses written by the service (publish.endpoints_file).")
    ] = None,
    host: Annotated[str, typer.Option(help="Computer that the service runs on.")] = "127.0.0.1",
    screenshot: Annotated[
        Path | None, typer.Option(help="Save a PNG while it runs and at the end.")
    ] = None,
    full_screen: Annotated[
        bool, typer.Option("--full-screen", help="Begin in full screen.")
    ] = False,
    paint_log: Annotated[
        Path | None,
        typer.Option(help="One JSON line per paint: what was shown, and how old it was."),
    ] = None,
    quit_after: Annotated[
        float | None, typer.Option(help="End by itself after so many seconds.")
    ] = None,
) -> None:
    """Show what a service publishes; finds it again when it comes back.

    Example: b2g-rt display --host rig1 --set display.server_key=server.key --set display.client_key=me.key_secret
    """
    from b2g_rt.commands.display import display as run
    from b2g_rt.config import load_config

    raise typer.Exit(
        run(
            load_config(config, set_),
            endpoints,
            host,
            screenshot,
            paint_log,
            quit_after,
            full_screen,
        )
    )


class Action(enum.Enum):
    """Commands to a running service, for the help text."""

    STATUS = "status"
    START = "start"
    FREEZE = "freeze"
    RESUME = "resume"
    ROLLBACK = "rollback"
    NEW_DAY = "new-day"


@app.command()
def adapt(
    action: Annotated[
        Action,
        typer.Argument(
            help="start, freeze, resume or rollback the online ridge; new-day: running normalisation starts a day."
        ),
    ] = Action.STATUS,
    trials: Annotated[
        int | None,
        typer.Option(min=0, help="Of rollback: how far; default to the bundle's decoder."),
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    endpoints: Annotated[
        Path | None, typer.Option(help="Addresses written by the service (publish.endpoints_file).")
    ] = None,
    host: Annotated[str, typer.Option(help="Computer that the service runs on.")] = "127.0.0.1",
) -> None:
    """Tell a running service what to learn: start, freeze or roll back the online ridge, begin a day.

    Example: b2g-rt adapt rollback --trials 50
    """
    from b2g_rt.commands.adapt import adapt as run
    from b2g_rt.config import load_config

    console.print(
        run(load_config(config, set_), action.value, trials, endpoints, host),
        markup=False,
        soft_wrap=True,
    )


@app.command()
def replay(
    session: Annotated[Path, typer.Argument(help="Recorded session (HDF5).")],
    name: Annotated[str, typer.Option(help="Name of the MUA stream.")] = "mua",
    markers: Annotated[str, typer.Option(help="Name of the marker stream.")] = "stimuli",
    speed: Annotated[str, typer.Option(help="Replayed seconds per second, or max.")] = "1",
    chunk: Annotated[int, typer.Option(min=1, help="Samples per chunk.")] = 10,
    random_chunks: Annotated[
        int, typer.Option(min=0, help="Chunks of 1 to this many samples at random; 0: --chunk.")
    ] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
) -> None:
    """Play a recorded session through real LSL outlets.

    Example: b2g-rt replay recordings/today.h5 --speed 0.25
    """
    from b2g_rt.commands.replay import parse_speed
    from b2g_rt.commands.replay import replay as run

    sizes = (1, random_chunks) if random_chunks else (chunk, chunk)
    run(session, name, markers, parse_speed(speed), sizes, loop=loop, quiet=quiet, console=console)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Session file to write (HDF5).")],
    bundle: Annotated[
        str, typer.Option(help="Bundle whose stimuli are shown.")
    ] = "simulated-faces",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials; default one per stimulus.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the noise: another recording of the same animal.")
    ] = 7001,
    columns: Annotated[
        int, typer.Option(help="Stream columns: 960, or 1024 with the broken array.")
    ] = 960,
) -> None:
    """Write a simulated session: ground truth known, no animal involved.

    Example: b2g-rt simulate recordings/simulated.h5 --trials 128
    """
    from b2g_rt.commands.progress import bar
    from b2g_rt.commands.simulate import simulate_session
    from b2g_rt.contracts.bundle import ModelBundle
    from b2g_rt.contracts.channels import brain2gan_channels
    from b2g_rt.contracts.shipped_bundles import bundle_path
    from b2g_rt.errors import SessionError

    if out.exists():
        raise SessionError(f"{out}: is there already, expected a new file. Choose another name.")
    with bar(console, "samples") as advance:
        simulate_session(
            ModelBundle(bundle_path(bundle)),
            out,
            n_trials=trials,
            seed=seed,
            channels=brain2gan_channels(columns),
            progress=advance,
        )
    console.print(f"written: {out}")


@app.command()
def record(
    out: Annotated[Path, typer.Argument(help="Session file to write (HDF5); must not exist.")],
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so much; default: Ctrl-C.")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Record MUA and markers without decoding.

    Example: b2g-rt record recordings/today.h5 -c configs/live.yaml
    """
    from b2g_rt.commands.record import record as run
    from b2g_rt.config import load_config

    run(load_config(config, set_), out, seconds, console)


@app.command()
def repair(
    session: Annotated[Path, typer.Argument(help="Session file whose writer was killed.")],
) -> None:
    """Copy a session file that was not closed into a clean one."""
    from b2g_rt.outputs.session_repair import repair as run

    console.print(f"{session}: copied to {run(session)}")


@app.command()
def doctor(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Check Python, providers, LSL, ZeroMQ, Qt and the bundle, and say what to do."""
    from rich.markup import escape
    from rich.table import Table

    from b2g_rt.commands.live import use_lsl_config
    from b2g_rt.config import load_config
    from b2g_rt.doctor import examine

    settings = load_config(config, set_)
    use_lsl_config(settings)
    findings = examine(settings)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]fault[/]"}
    for finding in findings:
        # A remedy may hold brackets: pip install '.[cuda]'.
        remedy = f"\n[bold]{escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(marks[finding.verdict], finding.what, escape(finding.found) + remedy)
    console.print(table)
    if any(f.verdict == "fault" for f in findings):
        raise typer.Exit(1)


@app.command()
def bench(
    cases: Annotated[
        list[str] | None,
        typer.Argument(help="live, idle, pauses, equality, generator, components; default all."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=5, help="Measured seconds of the live case.")
    ] = 60.0,
    pauses: Annotated[int, typer.Option(min=1, help="Pauses of 5 s of the pauses case.")] = 20,
    model: Annotated[
        str, typer.Option(help="Of the generator case: a bundle, or an ONNX file (w -> image).")
    ] = "simulated-faces",
    provider: Annotated[Provider, typer.Option(help="Of the generator case.")] = Provider.CPU,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="Of the generator case.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    recordings: Annotated[Path, typer.Option(help="Where the simulated session is kept.")] = Path(
        "recordings"
    ),
) -> None:
    """Measure latency and load of this machine, beside bare receipt of the same stream.

    Example: b2g-rt bench live --seconds 60

    Example: b2g-rt bench generator --model synthesis.onnx --provider cuda
    """
    import json

    from b2g_rt.bench.run import GeneratorCase, run_cases
    from b2g_rt.bench.table import table

    quiet = Console(stderr=True, quiet=json_)
    results = run_cases(
        cases or [],
        seconds,
        pauses,
        recordings,
        lambda case: quiet.print(f"measuring {case} ..."),
        GeneratorCase(model, provider.value, cuda_graph),
    )
    if json_:
        typer.echo(json.dumps(results, indent=1))
    else:
        console.print(table(results))


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="Folder to make; keep it secret.")],
    client: Annotated[str, typer.Option(help="Name of the first client.")] = "display",
) -> None:
    """Make CURVE keys for a service that is reached from other computers."""
    from b2g_rt.outputs.curve import make_keys

    console.print(f"written: {make_keys(folder, client)}")


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="File; default: print it.")] = None,
) -> None:
    """Export the JSON schema of the configuration, for editors."""
    from b2g_rt.config import schema_json
    from b2g_rt.errors import ConfigError

    if out is None:
        typer.echo(schema_json(), nl=False)
        return
    try:
        out.write_text(schema_json(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{out}: {error.strerror}, expected a file that can be written. Check the path."
        ) from None


def _fail(error: B2GError) -> NoReturn:
    errors.print(f"[red]error:[/] {_plain(str(error))}")
    raise SystemExit(error.exit_code)


def _plain(text: str) -> str:
    # rich would read [..] as markup: file names and shapes may hold brackets.
    return text.replace("[", r"\[")


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except B2GError as error:
        _fail(error)
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code without a word.
        if leaving.code == INTERRUPTED:
            errors.print("interrupted")
        raise
