"""What `b2g-offline inspect --electrodes` says of electrodes, and the channel map it writes without bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from b2g_rt.contracts.channels import ChannelMap
    from offline.recordings.electrode_findings import ElectrodeFindings

LOOKS_AT_TEST = (
    "repetitions are of test stimuli: a selection by reliability has seen test responses, though not their latents "
    "(the paper's way; say so in a report)"
)


def check_target(path: Path | None) -> None:
    """Refuse a place for the channel map that is taken or cannot be written.

    Raises
    ------
    ConfigError
    """
    from offline.destinations import check_file

    check_file("--write-channels", path)
    if path is not None and path.exists():
        raise ConfigError(
            f"--write-channels {path}: is there already, expected a new file. Remove it, or name another."
        )


def lines(found: ElectrodeFindings, threshold: float | None) -> dict[str, Any]:
    """Return what was found for a person: a name and a line, or lines, each."""
    import numpy as np

    from offline.recordings.electrode_quality import RELIABILITY_THRESHOLD

    quality, channels = found.quality, found.channels
    told: dict[str, Any] = {"judged by": found.judged}
    for name, mask in (("dead", quality.dead), ("bursting", quality.bursting)):
        told[name] = [f"{int(mask.sum())} of {channels.n_channels}", *_places(channels, mask)]
    repeats = found.repeats
    if repeats is None:
        told["reliability"] = f"not known: {found.no_repeats}"
    else:
        at = RELIABILITY_THRESHOLD if threshold is None else threshold
        good = quality.good
        rois = [
            f"{roi} {np.mean(repeats.reliability[own] > at):.0%}"
            for roi in channels.rois()
            if len(own := np.intersect1d(channels.channels_of(roi), np.flatnonzero(good)))
        ]
        told["reliability"] = [
            f"mean {_mean(repeats.reliability[good]):.3f} between halves of the repetitions of {repeats.n_stimuli} "
            f"stimuli, shown {_span(repeats.n_repetitions)} times each",
            f"{found.share_reliable(at):.0%} of {int(good.sum())} good electrodes above {at:g} ({', '.join(rois)})",
        ]
        if repeats.of_test and threshold is not None:
            told["reliability"].append(LOOKS_AT_TEST)
        told["noise ceiling"] = (
            f"mean r {_mean(repeats.ceiling[good]):.3f} for single trials, "
            f"{_mean(repeats.ceiling_averaged[good]):.3f} for means over all repetitions"
        )
    return told


def data(found: ElectrodeFindings, threshold: float | None) -> dict[str, Any]:
    """Return what was found as plain data; lists over electrodes are in the order of ``column``."""
    from offline.recordings.electrode_quality import RELIABILITY_THRESHOLD

    at = RELIABILITY_THRESHOLD if threshold is None else threshold
    quality, channels, repeats = found.quality, found.channels, found.repeats
    told: dict[str, Any] = {
        "judged_by": found.judged,
        "n_dead": int(quality.dead.sum()),
        "n_bursting": int(quality.bursting.sum()),
        "column": channels.stream_idx.tolist(),
        "dead": quality.dead.tolist(),
        "bursting": quality.bursting.tolist(),
        "burst_share": _numbers(quality.burst_share),
        "missing_share": _numbers(quality.missing_share),
    }
    if repeats is None:
        return {**told, "reliability": None, "why_no_reliability": found.no_repeats}
    good = quality.good
    return {
        **told,
        "reliability": _numbers(repeats.reliability),
        "noise_ceiling": _numbers(repeats.ceiling),
        "noise_ceiling_averaged": _numbers(repeats.ceiling_averaged),
        "mean_reliability": _number(_mean(repeats.reliability[good])),
        "reliability_threshold": at,
        "share_reliable": found.share_reliable(at),
        "n_stimuli": repeats.n_stimuli,
        "n_repetitions": list(repeats.n_repetitions),
        "of_test_stimuli": repeats.of_test,
    }


def write_channels(
    found: ElectrodeFindings, threshold: float | None, path: Path, source: Path
) -> str:
    """Write the channel map of the good electrodes; return what to say.

    Raises
    ------
    ConfigError
        None would be left, or the file cannot be written.
    SessionError
        A threshold, but nothing was repeated.
    """
    import yaml

    from offline.recordings.electrode_quality import without_electrodes
    from offline.whole_files import write_whole

    kept = found.kept(threshold)
    n, n_kept = found.channels.n_channels, int(kept.sum())
    rule = "neither dead nor bursting"
    if threshold is not None:
        rule += f", reliability above {threshold:g}"
    if not n_kept:
        raise ConfigError(
            f"--write-channels {path}: none of {n} electrodes is {rule}, expected some. "
            + ("Lower --reliability." if found.quality.good.any() else "Check the recording.")
        )
    channels = without_electrodes(found.channels, ~kept)
    text = f"# {n_kept} of the {n} electrodes of {source.name}: {rule}. By b2g-offline inspect.\n"
    # Lists of dead electrodes in one line each.
    text += yaml.safe_dump(channels.to_dict(), sort_keys=False, default_flow_style=None, width=110)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"--write-channels {path}: {error.strerror}, expected a file that can be written. Check folder and room."
        ) from None
    return f"written: {path} ({n_kept} of {n} electrodes: {rule})"


def _places(channels: ChannelMap, mask: NDArray[Any]) -> list[str]:
    """Return the electrodes of a mask, a line an array."""
    import numpy as np

    from b2g_rt.contracts.channels import ARRAY_COLS

    electrode = channels.row * ARRAY_COLS + channels.col
    told = []
    for array in np.unique(channels.array[mask]).tolist():
        own = channels.array == array
        which = electrode[own & mask]
        roi = channels.roi[int(np.flatnonzero(own)[0])]
        named = "all" if len(which) == own.sum() else ", ".join(str(e) for e in which)
        told.append(f"{roi} array {array}: {named}")
    return told


def _span(counts: tuple[int, int]) -> str:
    return f"{counts[0]}" if counts[0] == counts[1] else f"{counts[0]} to {counts[1]}"


def _mean(values: NDArray[Any]) -> float:
    """Return the mean of what is finite; NaN of nothing."""
    import numpy as np

    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _number(value: float) -> float | None:
    """Return a figure as JSON knows it: what is not finite is null."""
    return round(value, 6) if value == value and abs(value) != float("inf") else None


def _numbers(values: NDArray[Any]) -> list[float | None]:
    return [_number(float(v)) for v in values]
