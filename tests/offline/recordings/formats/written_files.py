"""Small recordings of every format, written as the programs at the rig write them, with what must be read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from b2g_rt.contracts.channels import ArraySlot, ChannelMap, brain2gan_channels
from b2g_rt.contracts.session import GrowingColumn, SessionInfo, TextColumn, write_header
from offline.recordings.formats.blackrock_writer import NsxFile, write_nev
from offline.recordings.formats.brain2gan_writer import latents_path, write_latents
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.mat_writer import mat_file, put
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.tvsd_electrodes import tvsd_channels
from offline.recordings.formats.tvsd_writer import MAPPING_FILE, write_mapping
from offline.recordings.formats.xdf_writer import (
    boundary,
    clock_offset,
    file_header,
    footer,
    sample_chunk,
    stream_header,
    text_chunk,
)

SMALL = ChannelMap(
    192,
    (
        ArraySlot(0, "V1", 0, dead_electrodes=(3, 17)),
        ArraySlot(1, "V4", 64, dead=True),
        ArraySlot(2, "IT", 128),
    ),
)
RATE_HZ = 1000.0
N = 1200
GAP_AT, GAP = 700, 25
START_S = 5000.0
SEGMENT = GapPolicy("segment")
ONSETS = (100, 500, 900)
STIMULI = ("face-1", "face-2", "face-1")


@dataclass(frozen=True)
class Written:
    """A file, how to open it, and what must come out."""

    path: Path
    format: str
    options: ReaderOptions
    channels: ChannelMap
    values: NDArray[np.float32]  # axes (sample, column)
    index: NDArray[np.int64]
    stimulus: tuple[str, ...]
    onset_idx: NDArray[np.int64]
    unit: str
    rate_hz: float | None
    split: tuple[str, ...] | None = None
    day: tuple[int, ...] | None = None
    n_lost: int = 0
    files: tuple[Path, ...] = field(default=())


def values(n: int = N, n_columns: int = 192, seed: int = 3) -> NDArray[np.float32]:
    """Noise on an offset, column-dependent; multiples of 1/4, so that int16 files hold it exactly."""
    rng = np.random.default_rng(seed)
    noise = np.round(rng.normal(0, 40, (n, n_columns)) * 4) / 4
    return (noise + np.arange(n_columns)).astype(np.float32)


def index_with_gap(n: int = N) -> NDArray[np.int64]:
    index = np.arange(n, dtype=np.int64)
    index[GAP_AT:] += GAP
    return index


def continuous(path: Path, name: str, options: ReaderOptions, **more: Any) -> Written:
    given: dict[str, Any] = {
        "values": values(),
        "index": index_with_gap(),
        "stimulus": STIMULI,
        "onset_idx": np.array(ONSETS, np.int64),
        "unit": "uV",
        "rate_hz": RATE_HZ,
        "n_lost": GAP,
        "files": (path,),
        **more,
    }
    return Written(path, name, options, SMALL, **given)


# ------------------------------------------------------------ our own HDF5


def session(folder: Path) -> Written:
    path = folder / "session.h5"
    index = index_with_gap()
    with h5py.File(path, "w", libver="latest") as file:
        info = SessionInfo(RATE_HZ, "uV", SMALL, True, 1.0, {"about": "test"})
        write_header(file, info, "2026-11-25T04:00:00+00:00")
        mua = file.create_group("mua")
        GrowingColumn(mua, "data", "f4", (192,)).append(values())
        GrowingColumn(mua, "time_s", "f8").append(START_S + index / RATE_HZ)
        GrowingColumn(mua, "index", "i8").append(index)
        markers = file.create_group("markers")
        GrowingColumn(markers, "time_s", "f8").append(START_S + np.array(ONSETS) / RATE_HZ)
        TextColumn(markers, "text").append([s.encode() for s in STIMULI])
    return continuous(path, "b2g-session", ReaderOptions(gaps=SEGMENT))


# ------------------------------------------------------------ MATLAB 7.3


def mat73(path: Path, arrays: dict[str, NDArray[Any]], **dataset: Any) -> Path:
    """Write arrays as MATLAB 7.3 does, with the axes that h5py sees."""
    with mat_file(path) as file:
        for name, array in arrays.items():
            put(file, name, array, **dataset)
    return path


def brain2gan(folder: Path) -> Written:
    path = folder / "StyleGAN3_MUA.mat"
    train, test = values(14, 1024, 1), values(5, 1024, 2)
    mat73(path, {"train_MUA": train, "test_MUA": test})
    rng = np.random.default_rng(5)
    latents = {
        "train": rng.normal(size=(14, 512)).astype(np.float32),
        "test": rng.normal(size=(5, 512)).astype(np.float32),
    }
    write_latents(latents_path(path), latents["train"], latents["test"])
    ids = [f"training/{i:04d}" for i in range(1, 15)] + [f"test/{i:04d}" for i in range(1, 6)]
    return Written(
        path,
        "brain2gan",
        ReaderOptions(),
        brain2gan_channels(1024),
        np.concatenate([train, test]),
        np.arange(19),
        tuple(ids),
        np.arange(19),
        "z",
        None,
        ("train",) * 14 + ("test",) * 5,
        files=(path,),
    )


def tvsd_responses(folder: Path) -> Written:
    folder = folder / "monkeyN"
    folder.mkdir()
    train, test = values(11, 1024, 1), values(4, 1024, 2)
    rng = np.random.default_rng(5)
    arrays: dict[str, NDArray[Any]] = {
        "train_MUA": train.astype(np.float64),
        "test_MUA": test.astype(np.float64),
        "test_MUA_reps": rng.normal(size=(3, 4, 1024)),
        "reliab": rng.normal(size=(3, 1024)),
        "oracle": rng.normal(size=(1024, 1)),
    }
    path = mat73(folder / "THINGS_normMUA.mat", arrays)
    ids = [f"training/{i:04d}" for i in range(1, 12)] + [f"test/{i:04d}" for i in range(1, 5)]
    return Written(
        path,
        "tvsd-responses",
        ReaderOptions(),
        tvsd_channels("N"),
        np.concatenate([train, test]),
        np.arange(15),
        tuple(ids),
        np.arange(15),
        "z",
        None,
        ("train",) * 11 + ("test",) * 4,
        files=(path,),
    )


def tvsd_trials(folder: Path, monkey: str = "N", n_columns_of_table: int = 7) -> Written:
    """Six trials; test image 2 comes three times, its 'rep' column says nonsense."""
    folder = folder / f"monkey{monkey}"
    folder.mkdir()
    n_trials = 6
    train = np.array([5, 0, 0, 9, 0, 7])
    test = np.array([0, 2, 2, 0, 2, 0])
    day = np.array([1, 1, 1, 2, 2, 3])
    rng = np.random.default_rng(7)
    nonsense = rng.permutation(30)[:n_trials]
    rows = [np.arange(1, 7), train, test, nonsense, nonsense[::-1], np.ones(n_trials), day]
    if n_columns_of_table == 6:
        del rows[5]
    order = rng.permutation(1024)
    unscrambled = values(300 * n_trials, 1024)
    scrambled = np.empty_like(unscrambled)
    scrambled[:, order] = unscrambled
    arrays: dict[str, NDArray[Any]] = {
        "ALLMUA": scrambled.reshape(n_trials, 300, 1024).transpose(1, 0, 2).copy(),
        "ALLMAT": np.array(rows, np.float64),
        "tb": np.arange(-100, 200, dtype=np.float64)[:, None],
    }
    path = mat73(folder / "THINGS_MUA_trials.mat", arrays)
    mapping: dict[str, Any] = {"mapping": (order + 1).astype(np.float64)[None, :]}
    if monkey == "N":
        savemat(folder / MAPPING_FILE, mapping)
    else:
        logs = folder / "_logs"
        logs.mkdir()
        write_mapping(logs / MAPPING_FILE, order)
    stimulus = ("training/0005", "test/0002", "test/0002", "training/0009", "test/0002")
    row = np.arange(300 * n_trials)
    return Written(
        path,
        "tvsd-trials",
        ReaderOptions(),
        tvsd_channels(monkey),
        unscrambled,
        row + row // 300 * 300,
        (*stimulus, "training/0007"),
        np.arange(n_trials) * 600 + 100,
        "uV",
        1000.0,
        ("train", "test", "test", "train", "test", "train"),
        tuple(day.tolist()),
        files=(path,),
    )


def tvsd_trials_f(folder: Path) -> Written:
    return tvsd_trials(folder, "F", 6)


# ------------------------------------------------------------ NWB, as others write it


def nwb(folder: Path) -> Written:
    """Stamps with a gap, float32 in volts, electrodes and trials tables, by pynwb itself."""
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ecephys import ElectricalSeries

    file = NWBFile("test", "id-1", datetime(2026, 11, 25, tzinfo=UTC))
    device = file.create_device(name="amplifier")
    for name in ("array", "row", "col", "dead"):
        file.add_electrode_column(name=name, description=name)
    kept = set(SMALL.stream_idx.tolist())
    groups = [
        file.create_electrode_group(f"a{s.array}", "array", s.roi, device) for s in SMALL.slots
    ]
    for column in range(192):
        slot, electrode = SMALL.slots[column // 64], column % 64
        file.add_electrode(
            location=slot.roi,
            group=groups[column // 64],
            array=slot.array,
            row=electrode // 8,
            col=electrode % 8,
            dead=column not in kept,
        )
    region = file.create_electrode_table_region(list(range(192)), "all")
    series = ElectricalSeries(
        name="activity",
        data=values(),
        electrodes=region,
        timestamps=index_with_gap() / RATE_HZ,
        conversion=1e-6,
    )
    file.add_acquisition(series)
    file.add_trial_column("stimulus", "id")
    for onset, stimulus in zip(ONSETS, STIMULI, strict=True):
        file.add_trial(
            start_time=onset / RATE_HZ, stop_time=onset / RATE_HZ + 0.2, stimulus=stimulus
        )
    path = folder / "others.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return continuous(path, "nwb", ReaderOptions(gaps=SEGMENT))


# ------------------------------------------------------------ XDF, as LabRecorder writes it

UNIT = "<channels><channel><label>a</label><unit>uV</unit></channel></channels>"


def xdf_bytes(
    stamps: NDArray[np.float64],
    rows: NDArray[np.float32],
    onset_s: list[float],
    *,
    per_chunk: int = 40,
    footers: bool = True,
    offset_s: float = 0.0,
    stamped: Literal["all", "first"] = "all",
    texts: tuple[str, ...] = STIMULI,
) -> bytes:
    """Write a MUA stream on the sender's clock, ``offset_s`` behind the recorder's, and its markers."""
    parts = [
        file_header(),
        stream_header(1, "mua", "MUA", rows.shape[1], RATE_HZ, "float32", UNIT),
        stream_header(2, "stimuli", "Markers", 1, 0, "string"),
        boundary(),
    ]
    for k, start in enumerate(range(0, len(rows), per_chunk)):
        part = slice(start, start + per_chunk)
        parts.append(sample_chunk(1, stamps[part] - offset_s, rows[part], stamped))
        if k % 5 == 0:
            parts.append(clock_offset(1, float(stamps[start]) - offset_s, offset_s))
            parts.append(clock_offset(2, float(stamps[start]), 0.0))
    parts.append(text_chunk(2, onset_s, texts))
    parts.append(boundary())
    if footers:
        parts.append(footer(1, float(stamps[0]), float(stamps[-1]), len(stamps)))
        parts.append(footer(2, onset_s[0], onset_s[-1], len(onset_s)))
    return b"".join(parts)


def xdf(folder: Path) -> Written:
    path = folder / "lab.xdf"
    stamps = START_S + index_with_gap() / RATE_HZ
    onset_s = [START_S + o / RATE_HZ for o in ONSETS]
    path.write_bytes(xdf_bytes(stamps, values(), onset_s, offset_s=12.5))
    return continuous(path, "xdf", ReaderOptions(channels=SMALL, gaps=SEGMENT))


# ------------------------------------------------------------ Blackrock

PERIOD = 30
BEGUN = 6000
BEGAN = datetime(2026, 11, 25, 4, tzinfo=UTC)


def nsx(path: Path, rows: NDArray[np.float32], blocks: list[tuple[int, int, int]]) -> Path:
    """Write NSx 2.3; blocks: (stamp at 30 kHz, first row, row behind the last)."""
    with path.open("wb") as file:
        made = NsxFile(file, [f"e{k + 1}" for k in range(rows.shape[1])], RATE_HZ, BEGAN)
        for stamp, start, stop in blocks:
            made.block(stamp, stop - start, [rows[start:stop]])
    return path


def nev(path: Path, stamps: list[int], codes: list[int]) -> Path:
    with path.open("wb") as file:
        write_nev(file, list(zip(stamps, codes, strict=True)), BEGAN)
    return path


def blackrock(folder: Path) -> Written:
    path = folder / "rig.ns2"
    blocks = [
        (BEGUN, 0, GAP_AT),
        (BEGUN + (GAP_AT + GAP) * PERIOD, GAP_AT, N),
    ]
    nsx(path, values(), blocks)
    codes = [11, 12, 11]
    nev(folder / "rig.nev", [BEGUN + o * PERIOD for o in ONSETS], codes)
    return continuous(
        path,
        "blackrock",
        ReaderOptions(channels=SMALL, gaps=SEGMENT),
        stimulus=tuple(str(c) for c in codes),
        files=(path, folder / "rig.nev"),
    )


WRITERS = {
    "session": session,
    "brain2gan": brain2gan,
    "tvsd-responses": tvsd_responses,
    "tvsd-trials-N": tvsd_trials,
    "tvsd-trials-F": tvsd_trials_f,
    "nwb": nwb,
    "xdf": xdf,
    "blackrock": blackrock,
}
