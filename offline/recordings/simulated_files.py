"""A simulated set as files: any format, one file a day where a format is a stream, the truth beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from b2g_rt.errors import ConfigError
from offline.recordings.formats import blackrock_files
from offline.recordings.formats.blackrock_writer import write_blackrock
from offline.recordings.formats.brain2gan_writer import write_brain2gan
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.formats.tvsd_writer import (
    RESPONSES_FILE,
    TRIALS_FILE,
    write_tvsd_responses,
    write_tvsd_trials,
)
from offline.recordings.formats.xdf_writer import write_xdf
from offline.recordings.simulated_sessions import SimulatedSet
from offline.recordings.simulation_truth import write_truth
from offline.whole_files import write_whole

Progress = Callable[[int], None]
Stage = Callable[[str, int], Progress]

STREAMS = {
    "session": write_session_hdf5,
    "nwb": write_nwb,
    "xdf": write_xdf,
    "blackrock": write_blackrock,
}
BRAIN2GAN, TVSD = "brain2gan", "tvsd"
MATRICES = {
    BRAIN2GAN: (write_brain2gan,),
    TVSD: (write_tvsd_trials, write_tvsd_responses),
}
SUFFIXES = {
    "session": (".h5", ".hdf5"),
    "nwb": (".nwb",),
    "xdf": (".xdf",),
    "blackrock": blackrock_files.SIGNALS,
    BRAIN2GAN: (".mat",),
    TVSD: ("",),
}
"""Endings by format; TVSD is a directory."""

_WITHOUT_CHANNELS = ("xdf", "blackrock", BRAIN2GAN, TVSD)


def format_for(out: Path, format: str | None) -> str:
    """Return the format, as told or as the ending says.

    Raises
    ------
    ConfigError
        The ending is none of a format, or of another.
    """
    known = ", ".join(s for endings in SUFFIXES.values() for s in endings if s)
    suffix = out.suffix.lower()
    if format is None:
        fits = [name for name, endings in SUFFIXES.items() if suffix in endings]
        if not fits:
            raise ConfigError(
                f"{out}: ends in '{out.suffix}', expected {known}, or a directory (TVSD)."
            )
        return fits[0]
    if format != TVSD and suffix not in SUFFIXES[format]:
        endings = " or ".join(SUFFIXES[format])
        raise ConfigError(f"{out}: ends in '{out.suffix}', expected {endings} for {format}.")
    return format


def files_of(out: Path, format: str, n_days: int, monkey: str = "N") -> list[Path]:
    """Return the recordings that will be written; one a day where the format is a stream."""
    if format == TVSD:
        return [out / f"monkey{monkey}" / name for name in (TRIALS_FILE, RESPONSES_FILE)]
    if format == BRAIN2GAN or n_days == 1:
        return [out]
    return [out.with_name(f"{out.stem}-day{k}{out.suffix}") for k in range(1, n_days + 1)]


def truth_path(out: Path, format: str) -> Path:
    """Return where the truth goes."""
    return out / "truth.npz" if format == TVSD else out.with_name(f"{out.stem}-truth.npz")


def channels_path(out: Path, format: str) -> Path | None:
    """Return where the channel map goes, for formats that do not say which column is which electrode."""
    if format not in _WITHOUT_CHANNELS:
        return None
    return out / "channels.yaml" if format == TVSD else out.with_name(f"{out.stem}-channels.yaml")


def write_simulation(
    simulated: SimulatedSet, out: Path, format: str, stage: Stage, monkey: str = "N"
) -> list[Path]:
    """Write all files.

    Parameters
    ----------
    simulated : SimulatedSet
    out : Path
    format : str
        One of ``SUFFIXES``.
    stage : callable (what, steps) to a callable (steps done)
        Shows progress.
    monkey : str
        TVSD: whose layout the files claim.

    Returns
    -------
    list of Path
        What was written, recordings first.

    Raises
    ------
    SessionError
        A file cannot be written; those before it are whole.
    """
    files = files_of(out, format, len(simulated.days), monkey)
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    if format in STREAMS:
        for day, path in zip(simulated.days, files, strict=True):
            reader = simulated.reader(day, path)
            STREAMS[format](reader, path, stage(f"day {day.number}", reader.n_samples))
    else:
        writers = MATRICES[format]
        for write, path in zip(writers, files, strict=True):
            readers = [simulated.reader(day, path) for day in simulated.days]
            write(readers, path, stage(path.name, sum(r.n_samples for r in readers)))
    beside = [truth_path(out, format)]
    write_truth(simulated, beside[0])
    channels = channels_path(out, format)
    if channels is not None:
        import yaml

        text = yaml.safe_dump(simulated.macaque.channels.to_dict(), sort_keys=False)
        write_whole(channels, text.encode())
        beside.append(channels)
    return files + beside
