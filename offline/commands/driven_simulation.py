"""The animal of ``simulate --tuning`` and ``simulate --encoder``: feature spaces, or a fitted encoder, drive it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import ConfigError

if TYPE_CHECKING:
    from b2g_rt.simulation.macaque import Macaque
    from offline.encoding.driven_macaque import Drive
    from offline.features.feature_space import FeatureSpace
    from offline.recordings.simulated_sessions import OtherAnimal, SessionPlan

_EXAMPLE = "V1=vgg.zarr:VGG1,V4=vgg.zarr:VGG3,IT=w"


def driven_animal(
    plan: SessionPlan, tuning: str | None, encoder: Path | None, stimuli: Path | None
) -> OtherAnimal:
    """Return the animal, and the stimuli of a set that it is shown.

    Parameters
    ----------
    plan : SessionPlan
        Its first so many stimuli of each split are shown.
    tuning : str, optional
        Feature space of each ROI, see ``read_tuning``.
    encoder : Path, optional
        Directory of a fitted encoder; one of both.
    stimuli : Path, optional
        Directory of the stimulus set that was shown to the networks.

    Raises
    ------
    ConfigError
        Both or neither, no set, or fewer stimuli than wanted.
    EncodingError, FeatureError, StimulusError, BundleError
        See ``tuned_drive``, ``open_features``, ``read_stimuli`` and ``FittedEncoder``.
    """
    import numpy as np

    from b2g_rt.simulation.from_record import preset_macaque
    from offline.encoding.driven_macaque import DrivenMacaque, DrivenMacaqueOnDay
    from offline.recordings.simulated_sessions import OtherAnimal
    from offline.stimuli.synthesis.stimulus_file import read_stimuli

    if (tuning is None) == (encoder is None):
        raise ConfigError(
            "simulate: --tuning and --encoder, expected one of them. Leave the other out."
        )
    if stimuli is None:
        raise ConfigError(
            "simulate: no --stimuli, expected the stimulus set that features were made of: its latents are shown. "
            "Give the directory that b2g-offline synthesize wrote."
        )
    known = read_stimuli(stimuli)
    rows = []
    for split, n in (("training", plan.n_train), ("test", plan.n_test)):
        own = [k for k, name in enumerate(known.split) if name == split]
        if len(own) < n:
            raise ConfigError(
                f"{stimuli}: {len(own)} {split} stimuli, expected {n}. Ask for fewer with --trials or --test-stimuli, "
                "or draw more."
            )
        rows += own[:n]
    ids, latents = [known.ids[k] for k in rows], known.w[rows]
    animal = preset_macaque(plan.preset, plan.macaque_seed, channels=plan.channels)
    if latents.shape[1] != animal.latents.n_latents:
        raise ConfigError(
            f"{stimuli}: w of {latents.shape[1]} numbers, expected {animal.latents.n_latents} as the animal's."
        )
    told: dict[str, Any] = {"stimuli": str(stimuli)}
    if tuning is not None:
        drive = _tuned(animal, ids, latents, tuning, plan)
        told["tuning"] = tuning
    else:
        assert encoder is not None
        drive, told["encoder"] = _encoded(animal, ids, latents, encoder)
    macaque = DrivenMacaque(animal, drive)
    truth = {"space": np.array(drive.space), "drive": drive.values.astype(np.float32)}
    return OtherAnimal(macaque, (ids, latents), DrivenMacaqueOnDay, {"driven": told}, truth)


def read_tuning(text: str) -> dict[str, list[tuple[Path | None, str]]]:
    """Return file and space of each ROI: ``V1=FILE:SPACE,V4=FILE:SPACE,IT=w``; an ROI may come several times.

    Raises
    ------
    ConfigError
        It is not written like that.
    """
    found: dict[str, list[tuple[Path | None, str]]] = {}
    for part in text.split(","):
        roi, equals, where = part.strip().partition("=")
        file, _, space = where.rpartition(":")
        if not (roi and equals and space):
            raise ConfigError(f"--tuning {part}: expected ROI=FILE:SPACE. For example {_EXAMPLE}.")
        if not file and space != "w":
            raise ConfigError(
                f"--tuning {part}: no feature file, expected ROI=FILE:SPACE, or ROI=w for the animal's own tuning. "
                f"For example {_EXAMPLE}."
            )
        found.setdefault(roi, []).append((Path(file) if file else None, space))
    return found


def _tuned(animal: Macaque, ids: list[str], latents: Any, text: str, plan: SessionPlan) -> Drive:
    from offline.encoding.driven_macaque import tuned_drive
    from offline.features.store import open_features

    tuning = read_tuning(text)
    unknown = [roi for roi in tuning if roi not in animal.channels.rois()]
    if unknown:
        raise ConfigError(
            f"--tuning {unknown[0]}: no such ROI, expected {', '.join(animal.channels.rois())}."
        )
    spaces: dict[str, FeatureSpace] = {}
    paths: dict[str, Path] = {}
    for path, name in (one for several in tuning.values() for one in several):
        if path is None:
            continue
        if paths.setdefault(name, path) != path:
            raise ConfigError(
                f"--tuning: {name} of {paths[name]} and of {path}, expected one file for each space."
            )
        spaces[name] = open_features(path).space(name)
    return tuned_drive(
        animal,
        ids,
        latents,
        {roi: [name for _, name in several] for roi, several in tuning.items()},
        spaces,
        reference=ids[: plan.n_train] or None,
        seed=plan.seed,
    )


def _encoded(animal: Macaque, ids: list[str], latents: Any, folder: Path) -> tuple[Drive, str]:
    import numpy as np

    from b2g_rt.contracts.encoder import FittedEncoder
    from offline.encoding.driven_macaque import predicted_drive
    from offline.export.encoder_onnx import OnnxEncoder

    encoder = FittedEncoder(folder)
    if encoder.channels.to_dict() != animal.channels.to_dict():
        raise ConfigError(
            f"--encoder {folder}: other electrodes than the animal's, expected the same. Give its --channels."
        )
    known = [encoder.stimuli.of(stimulus) for stimulus in ids]
    missing = [i for i, inputs in zip(ids, known, strict=True) if inputs is None]
    if missing:
        raise ConfigError(
            f"--encoder {folder}: does not know {len(missing)} of {len(ids)} stimuli (the first is {missing[0]}), "
            "expected all that are shown. Show those it was fitted and tested on."
        )
    predicted = OnnxEncoder(encoder.file("encoder.onnx").read_bytes()).predict(
        np.stack([inputs for inputs in known if inputs is not None])
    )
    space = [name or "" for name in encoder.manifest.electrode_space]
    return predicted_drive(ids, latents, space, predicted), encoder.hash
