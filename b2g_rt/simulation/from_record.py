"""The same simulated macaque again, from what a bundle or a session wrote down about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from b2g_rt.contracts.channels import ChannelMap, brain2gan_channels
from b2g_rt.errors import BundleError
from b2g_rt.simulation.latent_space import FACE_LATENT_SEED, IMAGE_LATENT_SEED
from b2g_rt.simulation.macaque import Macaque, MacaqueSpec
from b2g_rt.simulation.presets import PRESETS
from b2g_rt.simulation.protocol import Protocol

MACAQUE_SEED = 1


def faces_macaque(
    macaque_seed: int = MACAQUE_SEED,
    latent_seed: int = FACE_LATENT_SEED,
    channels: ChannelMap | None = None,
) -> Macaque:
    """Return the macaque that looks at faces, 960 electrodes unless told otherwise."""
    return preset_macaque("faces", macaque_seed, latent_seed, channels)


def images_macaque(
    macaque_seed: int = MACAQUE_SEED,
    latent_seed: int = IMAGE_LATENT_SEED,
    channels: ChannelMap | None = None,
) -> Macaque:
    """Return the macaque that looks at natural images, 960 electrodes unless told otherwise."""
    return preset_macaque("images", macaque_seed, latent_seed, channels)


def preset_macaque(
    name: str,
    macaque_seed: int = MACAQUE_SEED,
    latent_seed: int | None = None,
    channels: ChannelMap | None = None,
) -> Macaque:
    """Return the macaque of one of ``PRESETS``; KeyError for another name."""
    preset = PRESETS[name]
    latents = preset.latents(preset.latent_seed if latent_seed is None else latent_seed)
    return Macaque(preset.spec(macaque_seed), channels or brain2gan_channels(), latents)


def macaque_record(macaque: Macaque) -> dict[str, Any]:
    """Return what ``recorded_macaque`` needs to make the same animal again; plain data for provenance."""
    return {
        "seeds": {"macaque": macaque.spec.seed, "latents": macaque.latents.seed},
        "macaque": macaque.spec.to_dict(),
        "protocol": asdict(Protocol()),
    }


def recorded_macaque(record: dict[str, Any], channels: ChannelMap, where: str) -> Macaque:
    """Return the macaque of a bundle's training record or of a session's provenance.

    Parameters
    ----------
    record : dict
        With ``seeds`` (macaque, latents) and ``macaque``.
    channels : ChannelMap
    where : str
        For the error's line.

    Raises
    ------
    BundleError
        There is none, or this release simulates another one from the same seed.
    """
    seeds = record.get("seeds", {})
    if "macaque" not in seeds or "latents" not in seeds:
        raise BundleError(
            f"{where}: says nothing of a simulated macaque, expected its seeds. Only bundles that were fitted on the "
            "simulator can be demonstrated with it."
        )
    try:
        spec = MacaqueSpec.from_dict(record["macaque"])
        macaque = preset_macaque(
            spec.preset, int(seeds["macaque"]), int(seeds["latents"]), channels
        )
        same = macaque.spec == spec
    except (KeyError, TypeError, ValueError):
        same = False
    if not same:
        raise BundleError(
            f"{where}: made with another simulated macaque than this release's presets ({', '.join(PRESETS)}). Make it "
            "again."
        )
    return macaque
