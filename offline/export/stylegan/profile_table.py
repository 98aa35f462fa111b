"""Counted costs, measured times and floors of a synthesis brought together, as a table and as plain data.

A GPU's floor is an estimate from its data sheet for the float16 file, and is always labelled so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from offline.export.stylegan.device_peaks import Gpu
from offline.export.stylegan.profile import PARTS, REST, Profile
from offline.stimuli.stylegan.costs import (
    Cost,
    LayerCost,
    Peaks,
    file_costs,
    floor_costs,
    floor_ms,
)
from offline.stimuli.stylegan.specification import GeneratorSpec

if TYPE_CHECKING:
    from rich.console import Console

    from offline.stages import Stage
    from offline.stimuli.stylegan.synthesis import Synthesis

_HALF, _SINGLE = 2, 4


@dataclass(frozen=True, slots=True)
class Row:
    """A layer, per picture.

    Attributes
    ----------
    name : str
    as_file : Cost
        As the ONNX file computes it, float32.
    floor : Cost
        As the floor counts it.
    floor_ms : float
        On this machine.
    ms : float or None
        Measured.
    parts_ms : dict
        Measured, by part.
    gpu_floor_ms : tuple of float
        Estimated, per GPU.
    """

    name: str
    as_file: Cost
    floor: Cost
    floor_ms: float
    ms: float | None
    parts_ms: dict[str, float]
    gpu_floor_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """All about one synthesis.

    Attributes
    ----------
    spec : GeneratorSpec
    threads, batch : int
    peaks : Peaks
        Of this machine, measured.
    gpus : tuple of Gpu
    rows : tuple of Row
        The input, then the layers.
    wall_ms : float or None
        Measured per picture, whole and without the profiler.
    rest_ms : float
        Measured nodes that belong to no layer.
    n_nodes, n_reorders : int
    """

    spec: GeneratorSpec
    threads: int
    batch: int
    peaks: Peaks
    gpus: tuple[Gpu, ...]
    rows: tuple[Row, ...]
    wall_ms: float | None
    rest_ms: float
    n_nodes: int
    n_reorders: int

    @property
    def floor_ms(self) -> float:
        """All layers' floors on this machine."""
        return sum(row.floor_ms for row in self.rows)


def profiled(
    synthesis: Synthesis,
    gpus: Sequence[Gpu],
    *,
    threads: int,
    batch: int,
    seconds: float | None,
    peaks: Peaks,
    stage: Stage,
) -> Figures:
    """Count and, unless ``seconds`` is None, export and measure."""
    spec = synthesis.spec
    profile = None
    if seconds is not None:
        profile = _measured(synthesis, threads, batch, seconds, stage)
    at_best = floor_costs(spec, _SINGLE, batch)
    halves = floor_costs(spec, _HALF, batch)
    rows = [
        _row(cost, best, half, peaks, gpus, profile, batch)
        for cost, best, half in zip(file_costs(spec, _SINGLE, batch), at_best, halves, strict=True)
    ]
    return Figures(
        spec=spec,
        threads=threads,
        batch=batch,
        peaks=peaks,
        gpus=tuple(gpus),
        rows=tuple(rows),
        wall_ms=profile.wall_ms / batch if profile else None,
        rest_ms=profile.of(REST) / batch if profile else 0.0,
        n_nodes=profile.n_nodes if profile else 0,
        n_reorders=profile.n_reorders if profile else 0,
    )


def as_dict(figures: Figures) -> dict[str, Any]:
    """Return plain data for JSON: milliseconds, operations and bytes per picture."""
    rows = [
        {
            **{k: v for k, v in asdict(row).items() if k != "gpu_floor_ms"},
            "gpu_floor_estimate_ms": list(row.gpu_floor_ms),
        }
        for row in figures.rows
    ]
    return {
        "generator": figures.spec.name,
        "resolution": figures.spec.resolution,
        "threads": figures.threads,
        "batch": figures.batch,
        "machine_peaks_measured": asdict(figures.peaks),
        "wall_ms": figures.wall_ms,
        "floor_ms": figures.floor_ms,
        "rest_ms": figures.rest_ms,
        "n_nodes": figures.n_nodes,
        "n_reorders": figures.n_reorders,
        "gpus_by_data_sheet": [asdict(gpu) for gpu in figures.gpus],
        "layers": rows,
    }


def print_profile(console: Console, figures: Figures) -> None:
    """Print the table, and under it what its numbers mean."""
    from rich.table import Table

    measured = figures.wall_ms is not None
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("layer", no_wrap=True)
    heads = ["GFLOP", "MB"]
    if measured:
        heads += ["ms", *PARTS, "GFLOP/s"]
    heads += ["floor GFLOP", "floor ms"] + (["x floor"] if measured else [])
    for head in [*heads, *(f"{gpu.name} est. ms" for gpu in figures.gpus)]:
        table.add_column(head, justify="right")
    for row in figures.rows:
        table.add_row(*_cells(row, measured))
    table.add_section()
    table.add_row(*_cells(_total(figures), measured), style="bold")
    console.print(table)
    for line in _notes(figures):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _measured(
    synthesis: Synthesis, threads: int, batch: int, seconds: float, stage: Stage
) -> Profile:
    import numpy as np

    from offline.export.stylegan.model import synthesis_model
    from offline.export.stylegan.profile import profile_synthesis

    spec = synthesis.spec
    stage("writing its ONNX file", 1)
    model = synthesis_model(synthesis).SerializeToString()
    stage("measuring", 1)
    w = np.random.default_rng(0).standard_normal((batch, 1, spec.w_dim)).astype(np.float32)
    names = [layer.name for layer in spec.layers]
    return profile_synthesis(model, names, w, threads=threads, seconds=seconds)


def _row(
    cost: LayerCost,
    best: LayerCost,
    half: LayerCost,
    peaks: Peaks,
    gpus: Sequence[Gpu],
    profile: Profile | None,
    batch: int,
) -> Row:
    parts = {part: profile.of(cost.name, part) / batch for part in PARTS} if profile else {}
    return Row(
        name=cost.name,
        as_file=cost.total,
        floor=best.total,
        floor_ms=floor_ms(best, peaks),
        ms=profile.of(cost.name) / batch if profile else None,
        parts_ms=parts,
        gpu_floor_ms=tuple(floor_ms(half, gpu.peaks) for gpu in gpus),
    )


def _total(figures: Figures) -> Row:
    rows = figures.rows
    return Row(
        name="all",
        as_file=sum((row.as_file for row in rows), Cost()),
        floor=sum((row.floor for row in rows), Cost()),
        floor_ms=figures.floor_ms,
        ms=figures.wall_ms,
        parts_ms={part: sum(row.parts_ms.get(part, 0.0) for row in rows) for part in PARTS},
        gpu_floor_ms=tuple(
            sum(row.gpu_floor_ms[i] for row in rows) for i in range(len(figures.gpus))
        ),
    )


def _cells(row: Row, measured: bool) -> list[str]:
    cells = [row.name, f"{row.as_file.flop / 1e9:.3f}", f"{row.as_file.bytes / 1e6:.1f}"]
    if measured and row.ms is not None:
        cells.append(f"{row.ms:.2f}")
        cells += [f"{row.parts_ms[part]:.2f}" if row.parts_ms[part] else "" for part in PARTS]
        cells.append(f"{row.as_file.flop / row.ms / 1e6:.0f}" if row.ms else "")
    cells += [f"{row.floor.flop / 1e9:.3f}", f"{row.floor_ms:.2f}"]
    if measured and row.ms is not None:
        cells.append(f"{row.ms / row.floor_ms:.1f}" if row.floor_ms else "")
    return [*cells, *(f"{ms:.4f}" for ms in row.gpu_floor_ms)]


def _notes(figures: Figures) -> list[str]:
    peaks = figures.peaks
    notes = [
        f"{figures.spec.name}, {figures.spec.resolution} px, float32, batch {figures.batch}, per picture. GFLOP, MB: "
        "as the ONNX file computes it, every operator reading and writing memory.",
        f"Floor: filters separable (radial ones to 1e-4), a layer in one pass over memory, at this machine's measured "
        f"peaks with {figures.threads} threads: {peaks.gflop_per_s:.0f} GFLOP/s (SGEMM), {peaks.gb_per_s:.0f} GB/s "
        "(copy).",
    ]
    if figures.wall_ms is not None:
        nodes = sum(row.ms or 0.0 for row in figures.rows) + figures.rest_ms
        notes.append(
            f"Measured: {figures.wall_ms:.2f} ms per picture (median; {1000 / figures.wall_ms:.0f} per second) in ONNX "
            f"Runtime's CPU provider. Layers and parts with its profiler running, which adds its own time: "
            f"{nodes:.2f} ms together, {figures.rest_ms:.2f} of them in no layer; {figures.n_nodes} nodes, "
            f"{figures.n_reorders} of them only change the layout. The leaky ReLU runs within 'up', the clamp is "
            "'activation'."
        )
    for gpu, total in zip(figures.gpus, _total(figures).gpu_floor_ms, strict=True):
        notes.append(
            f"{gpu.name}: an estimate, not a measurement: no faster than {total:.3f} ms per picture in float16 by its "
            f"peaks ({gpu.source}): {gpu.peaks.gflop_per_s / 1e3:.0f} TFLOP/s in products, "
            f"{gpu.peaks.filter_gflop_per_s / 1e3:.0f} in filters, {gpu.peaks.gb_per_s:.0f} GB/s."
        )
    return notes
