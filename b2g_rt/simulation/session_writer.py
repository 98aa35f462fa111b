"""Writes a simulated session as a recorded one: the file that replay, training and the demo read.

For the commands that make the demo's session. The file appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.session import GrowingColumn, SessionInfo, TextColumn, write_header
from b2g_rt.errors import SessionError
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream

RATE_HZ = 1000.0
START_S = 10_000.0
"""Stamp of the first sample: an LSL clock counts from when its machine started."""

BLOCK_SAMPLES = 1000
"""Samples written at once."""


def write_session(
    path: Path,
    macaque: Macaque,
    stimulus_ids: Sequence[str],
    latents: NDArray[np.float32],
    order: Sequence[int],
    seed: int,
    *,
    protocol: Protocol | None = None,
    start_s: float = START_S,
    created: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Simulate a session and write it.

    Parameters
    ----------
    path : Path
        An existing file is replaced once the new one is whole.
    macaque : Macaque
    stimulus_ids : sequence of str
        Axes (stimulus,), each once.
    latents : float32, axes (stimulus, latent)
    order : sequence of int
        Position of the stimulus of each trial, in the order of presentation.
    seed : int
        Of the noise.
    protocol : Protocol, optional
        The paper's by default.
    start_s : float
        Stamp of the first sample, LSL clock, seconds.
    created : str, optional
        Wall clock for the header, ISO 8601; now by default.
    progress : callable (done, total) in samples, optional

    Raises
    ------
    SessionError
        The file cannot be written.
    ValueError
        Ids, latents and order do not fit together.
    """
    protocol = protocol or Protocol()
    _check(stimulus_ids, latents, order)
    stream = SimulatedStream(macaque, latents[np.asarray(order, np.int64)], protocol, seed)
    texts = [stimulus_ids[position].encode() for position in order]
    info = SessionInfo(
        rate_hz=RATE_HZ,
        unit="uV",
        channel_map=macaque.channels,
        simulated=True,
        speed=1.0,
        provenance=session_provenance(macaque, protocol, len(order), seed),
    )
    created = created or datetime.now(UTC).isoformat(timespec="seconds")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _reserve(part, _n_bytes(stream))
        _write(part, stream, info, texts, (stimulus_ids, latents), start_s, created, progress)
        os.replace(part, path)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or error}, expected room for {_n_bytes(stream) / 1e6:.0f} MB. "
            "Make room or choose another folder."
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()


def _write(
    part: Path,
    stream: SimulatedStream,
    info: SessionInfo,
    texts: list[bytes],
    stimuli: tuple[Sequence[str], NDArray[np.float32]],
    start_s: float,
    created: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    import h5py

    with h5py.File(part, "w", libver="latest") as file:
        write_header(file, info, created)
        mua = file.create_group("mua")
        data = GrowingColumn(mua, "data", "f4", (stream.n_columns,))
        time_s = GrowingColumn(mua, "time_s", "f8")
        index = GrowingColumn(mua, "index", "i8")
        for start, block in stream.blocks(BLOCK_SAMPLES):
            positions = np.arange(start, start + len(block), dtype=np.int64)
            data.append(block)
            time_s.append(start_s + positions / RATE_HZ)
            index.append(positions)
            if progress:
                progress(start + len(block), stream.n_samples)
        markers = file.create_group("markers")
        GrowingColumn(markers, "time_s", "f8").append(start_s + stream.onsets / RATE_HZ)
        TextColumn(markers, "text").append(texts)
        ids, latents = stimuli
        group = file.create_group("stimuli")
        group.create_dataset("id", data=np.array([i.encode() for i in ids], dtype=np.bytes_))
        group.create_dataset("latent", data=np.asarray(latents, np.float32))


def _check(ids: Sequence[str], latents: NDArray[np.float32], order: Sequence[int]) -> None:
    if len(set(ids)) != len(ids) or len(latents) != len(ids):
        raise ValueError(f"{len(set(ids))} different ids of {len(ids)}, {len(latents)} latents")
    if not order or not all(0 <= position < len(ids) for position in order):
        raise ValueError(f"order of {len(order)} trials, expected positions 0 to {len(ids) - 1}")


def session_provenance(
    macaque: Macaque, protocol: Protocol, n_trials: int, seed: int
) -> dict[str, Any]:
    """Return what a session file says about where its data come from; ``recorded_macaque`` reads it."""
    return {
        "simulated": True,
        "about": "simulated macaque: no animal was recorded",
        "n_trials": n_trials,
        "seeds": {
            "noise": seed,
            "macaque": macaque.spec.seed,
            "latents": macaque.latents.seed,
        },
        "macaque": macaque.spec.to_dict(),
        "protocol": asdict(protocol),
    }


def _reserve(part: Path, n_bytes: int) -> None:
    # HDF5 2.0 can crash the process after a write that finds the disk full, so ask beforehand.
    with part.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes)


def _n_bytes(stream: SimulatedStream) -> int:
    # Samples, stamps and indices; whole chunks and HDF5's own structures add less than the margin.
    return round(1.02 * stream.n_samples * (4 * stream.n_columns + 16)) + 2_000_000
