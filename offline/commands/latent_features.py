"""Latents as feature files, from a stimulus set, an .npz file or the paper's pickle: ``features --latents``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import ConfigError
from offline.stages import Stage

if TYPE_CHECKING:
    from offline.features.store import FeatureFile


class Latents(StrEnum):
    """Which latents."""

    w = "w"
    z = "z"


def latent_features(
    sources: list[Path],
    names: list[Latents],
    out: Path,
    counted: bool,
    command: str,
    stage: Stage,
) -> FeatureFile:
    """Write z or w of stimuli as a feature file; ``counted``: with ids as responses count.

    Raises
    ------
    ConfigError
        More than one source, or z of a file that has only w.
    StimulusError, SessionError, FeatureError
        The source cannot be read, or has not what is asked for.
    """
    from offline.features.feature_space import ArrayFeatures
    from offline.features.latent_spaces import latents_of_set, write_feature_file
    from offline.recordings.formats.responses import counted_ids
    from offline.recordings.known_latents import latents_in_file
    from offline.stimuli.synthesis.stimulus_file import read_stimuli
    from offline.whole_files import file_sha256

    if len(sources) != 1:
        raise ConfigError("--latents: expected one stimulus set or file. Name the others apart.")
    (source,) = sources
    asked = list(dict.fromkeys(name.value for name in names))
    split, sha256 = None, None
    provenance: dict[str, Any] = {"network": "latents"}
    if source.is_dir():
        stimuli = read_stimuli(source)
        spaces = latents_of_set(stimuli, asked)
        if counted:
            ids = tuple(counted_ids(stimuli.ids, stimuli.split))
            spaces = [replace(space, ids=ids) for space in spaces]
        split, sha256 = stimuli.split, stimuli.sha256
        provenance["generator"] = stimuli.provenance["generator"]
        provenance["psi"] = stimuli.provenance["psi"]
    else:
        if asked != ["w"]:
            raise ConfigError(
                f"--latents z: {source} has one kind of latents, expected --latents w, or a stimulus set's directory."
            )
        listed, values = latents_in_file(source)
        spaces = [ArrayFeatures("w", tuple(listed), values)]
        provenance["file"] = {"name": source.name, "sha256": file_sha256(source)}
    return write_feature_file(
        out,
        spaces,
        split=split,
        sha256=sha256,
        provenance=provenance,
        command=command,
        stage=stage,
    )
