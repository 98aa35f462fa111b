"""The service at the rig: runs until it is told to stop, and says what it does."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from b2g_rt.commands.live import Live, build, lsl_source, stop_on_signals, use_lsl_config
from b2g_rt.commands.progress import loading, ticker
from b2g_rt.config import Config
from b2g_rt.contracts.messages import EventMessage, Message
from b2g_rt.outputs.recorder import Recorder


def serve(config: Config, console: Console) -> None:
    """Load, connect, decode, until SIGINT or SIGTERM.

    Raises
    ------
    B2GError
        What kept it from starting, or ended it.
    """
    use_lsl_config(config)
    models = loading(config, console)
    source = lsl_source(config, models.channels, models.bundle.windows.rate_hz)
    if not config.streams.wait:
        source.connect()
    live = build(config, models, source, _teller(console))
    with stop_on_signals() as stop:
        live.service.start()
        _announce(config, live, console)
        with ticker(console) as tick:
            while not live.service.wait(0.25):
                tick(_line(live))
                if stop.is_set():
                    live.service.request_stop()
        _conclude(live, console)


def _teller(console: Console) -> Callable[[Message], None]:
    """Return what prints good news: the log has the bad."""

    def tell(message: Message) -> None:
        if isinstance(message, EventMessage) and message.level == "info":
            console.print(message.text, markup=False, soft_wrap=True)

    return tell


def _announce(config: Config, live: Live, console: Console) -> None:
    bundle = live.models.bundle
    console.print(
        f"[bold]b2g_rt[/] decoding with bundle {bundle.manifest.name} ({bundle.hash[:12]}) "
        f"on {live.models.decoder.record.provider}; stop with Ctrl-C"
    )
    encoder = live.models.encoder
    if encoder:
        fitted = encoder.fitted
        console.print(
            f"predicting {int(fitted.predicted.sum())} electrodes with encoder {fitted.manifest.name} "
            f"({fitted.hash[:12]}), {len(fitted.stimuli.ids)} stimuli known"
        )
    if live.outputs.publisher:
        endpoints = live.outputs.publisher.endpoints
        console.print(f"pictures {endpoints.pictures}  events {endpoints.events}")
    if live.outputs.control:
        console.print(f"commands {live.outputs.control.address} (b2g-rt adapt)")
    if live.outputs.recorder:
        console.print(f"recording to {live.outputs.recorder.path}")
    console.print(f"waiting for LSL stream '{config.streams.mua.name}' ...")


def _line(live: Live) -> str:
    """Return where it stands, for a terminal's last line."""
    progress, (ledger, _) = live.service.progress, live.service.ledgers
    decode = progress.decode.recent()
    latency = f", decode p99 {decode.p99:.1f} ms" if decode else ""
    return (
        f"{ledger.received} samples, {ledger.lost} lost; {progress.n_trials} trials; "
        f"{progress.windows_decoded} of {progress.windows_due} windows{latency}"
    )


def _conclude(live: Live, console: Console) -> None:
    progress, (ledger, _) = live.service.progress, live.service.ledgers
    console.print(
        f"{progress.windows_due} windows due, {progress.windows_decoded} decoded, {progress.windows_dropped} dropped; "
        f"{ledger.received} of {ledger.expected} samples received, {ledger.lost} lost"
    )
    if progress.comparison.n_trials:
        console.print(
            f"online ridge: {progress.n_trials_learnt} trials learnt; {progress.comparison.line()}"
        )
    if live.models.encoder:
        console.print(
            f"encoder: {progress.n_trials_predicted} trials compared, {progress.n_trials_unpredicted} not"
        )
    if live.outputs.recorder:
        tell_recorded(live.outputs.recorder, console)


def tell_recorded(recorder: Recorder, console: Console) -> None:
    """Print what a closed recorder has written, and what it could not."""
    console.print(f"recorded {recorder.n_samples} samples to {recorder.path}")
    if recorder.n_refused:
        console.print(f"[red]{recorder.n_refused} samples were not recorded[/]")
    if recorder.failed:
        console.print(f"[red]the recording ended early: {recorder.failed}[/]")
