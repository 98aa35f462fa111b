"""The figures as a table for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def table(results: dict[str, Any]) -> Table:
    """Return one row per figure: what, value, and the goal or peer beside it."""
    rows = Table(box=None, padding=(0, 3, 0, 0))
    rows.add_column("what")
    rows.add_column("measured", justify="right")
    rows.add_column("beside it")
    for case, add in (
        ("live", _live),
        ("idle", _idle),
        ("pauses", _pauses),
        ("equality", _equality),
        ("generator", _generator),
        ("components", _components),
    ):
        if case in results:
            for row in add(results[case]):
                rows.add_row(*row)
    return rows


def _live(r: dict[str, Any]) -> list[tuple[str, str, str]]:
    decode, latent, receipt = r["decode_ms"], r["sample_to_latent_ms"], r["receipt_ms"]
    windows, samples = r["windows"], r["samples"]
    return [
        ("decode, p50 / p99 / max", _ms(decode), "p99 under 5 ms wanted"),
        (
            "of that, median: pull to window cut / cut to latent",
            f"{r['stages_ms']['pull_to_cut']:.2f} / {r['stages_ms']['cut_to_latent']:.2f} ms",
            f"floor of the second: the decoder alone, {r['decoder_alone_ms']:.2f} ms",
        ),
        (
            "sample to latent, p50 / p99 / max",
            _ms(latent),
            f"bare pylsl receipt, same stream and run: {_ms(receipt)}",
        ),
        (
            "whole service, share of a core",
            f"{r['cpu_share']:.1%}",
            f"under 30 % wanted; bare receipt {r['receipt_cpu_share']:.1%}",
        ),
        (
            "windows due / decoded / dropped",
            f"{windows['due']} / {windows['decoded']} / {windows['dropped']}",
            f"{samples['lost']} of {samples['expected']} samples lost",
        ),
    ]


def _idle(r: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("service without a stream", f"{r['no_stream_cpu_share']:.1%}", "at most 3 % wanted"),
        (
            "stream on, no trials",
            f"{r['no_trials_cpu_share']:.1%}",
            f"bare receipt {r['receipt_cpu_share']:.1%}, at most 5 points more wanted",
        ),
    ]


def _pauses(r: dict[str, Any]) -> list[tuple[str, str, str]]:
    first, steady = r["first_ms"], r["steady_ms"]
    return [
        (
            f"first window after {r['n_pauses']} pauses of {r['pause_s']:.0f} s, median / max",
            f"{first['median']:.2f} / {first['max']:.2f} ms",
            f"steady p50 / p99 {steady['p50']:.2f} / {steady['p99']:.2f} ms; median at most 2 x p99 wanted",
        )
    ]


def _equality(r: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            f"offline = replayed {name.replace('_', ' ')}",
            f"{r[name]['bit_identical']} of {r[name]['windows']} bit-identical",
            f"same samples {r[name]['same_samples']}, largest difference {r[name]['largest_difference']:.2g}",
        )
        for name in ("real_time", "top_speed")
    ]


def _generator(r: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (
            f"pictures per second, {one['threads']} thread{'s' if one['threads'] > 1 else ''}",
            f"{one['pictures_per_s']:.0f}",
            f"{one['ms']['p50']:.1f} ms, p99 {one['ms']['p99']:.1f} ms, {one['provider']}, {one['precision']}"
            + (", CUDA graph" if one["cuda_graph"] else ""),
        )
        for one in r
    ]


def _components(r: dict[str, Any]) -> list[tuple[str, str, str]]:
    waits = r["recorder_hand_over_ms"]
    return [
        (
            "sample clock alone, share of a core",
            f"{r['clock_cpu_share']:.2%}",
            "1 kHz, 10-sample chunks",
        ),
        (
            "recorder alone, share of a core",
            f"{r['recorder_cpu_share']:.1%}",
            f"hand-over p50 / max {waits['p50']:.2f} / {waits['max']:.2f} ms; {r['recorder_refused']} samples refused",
        ),
    ]


def _ms(q: dict[str, float] | None) -> str:
    return f"{q['p50']:.2f} / {q['p99']:.2f} / {q['max']:.2f} ms" if q else "none"
