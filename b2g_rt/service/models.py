"""What the service loads before it starts: bundle, decoder, generator, encoder, and the pictures that never change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.config import Config, read_yaml_mapping
from b2g_rt.contracts.bundle import ModelBundle, Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.encoder import FittedEncoder
from b2g_rt.contracts.messages import Image, jpeg_image
from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.errors import BundleError, ChannelMapError, PictureError
from b2g_rt.inference.decoder import Decoder
from b2g_rt.inference.encoder import Encoder
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.providers import ORT_NAMES, ProviderSettings
from b2g_rt.service.observed_responses import windows_of_encoder

LOG = logging.getLogger(__name__)

MAX_STIMULUS_PICTURES = 1000
_JPEG_QUALITY = 92

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded, verified on the provider in use, and warm."""

    bundle: ModelBundle
    channels: ChannelMap
    decoder: Decoder
    generator: Generator | None
    baseline: Image | None
    stimuli: dict[str, Image] = field(default_factory=dict, repr=False)
    encoder: Encoder | None = None


def provider_settings(config: Config, threads: int, cache_key: str) -> ProviderSettings:
    """Return the settings of one session."""
    inference = config.inference
    return ProviderSettings(
        request=inference.provider,
        device_id=inference.device_id,
        threads=threads,
        gpu_mem_limit_mb=inference.gpu_mem_limit_mb,
        tensorrt_cache=inference.tensorrt_cache,
        cache_key=cache_key,
        cuda_graph=inference.cuda_graph,
    )


def stream_channels(config: Config, bundle: ModelBundle) -> ChannelMap:
    """Return the channel map of the stream, which must keep the bundle's electrodes in their order.

    Raises
    ------
    ConfigError, ChannelMapError
        The file cannot be read, or keeps other electrodes than the bundle was trained on.
    """
    if config.channels is None:
        return bundle.channels
    channels = ChannelMap.from_dict(read_yaml_mapping(config.channels))
    if not channels.same_electrodes(bundle.channels):
        raise ChannelMapError(
            f"{config.channels}: keeps {channels.n_channels} electrodes, bundle '{bundle.manifest.name}' was trained "
            f"on {bundle.channels.n_channels} (same arrays, ROIs and order needed). Correct 'dead' and 'array', or fit "
            "a bundle for these electrodes."
        )
    return channels


def load_encoder(
    config: Config, bundle: ModelBundle, waiting: Callable[[str], None] | None = None
) -> Encoder | None:
    """Load the encoder that is configured, on the decoder's provider; None without one.

    Raises
    ------
    BundleError, ProviderError
        It cannot be read, runs nowhere, or was fitted on other electrodes or windows than the bundle's.
    """
    if config.encoder is None:
        return None
    fitted = FittedEncoder(config.encoder)
    if not fitted.channels.same_electrodes(bundle.channels):
        raise BundleError(
            f"encoder {fitted.path}: fitted on {fitted.channels.n_channels} electrodes, bundle "
            f"'{bundle.manifest.name}' has {bundle.channels.n_channels} (same arrays, ROIs and order needed). Fit one "
            "on these electrodes."
        )
    windows_of_encoder(fitted, bundle)
    kinds = fitted.manifest.normalisation.kind, normalisation_of(config, bundle).kind
    if kinds[0] != kinds[1]:
        LOG.warning(
            "encoder %s: fitted on MUA of %s normalisation, %s is in force: amplitudes may differ",
            fitted.path,
            *kinds,
        )
    settings = provider_settings(config, config.inference.decoder_threads, fitted.hash)
    return Encoder(fitted, settings, waiting)


def normalisation_of(config: Config, bundle: ModelBundle) -> Normalisation:
    """Return the normalisation in force: the bundle's, or the kind that the configuration sets."""
    manifest = bundle.manifest.normalisation
    if config.normalisation == "bundle":
        return manifest
    return manifest.model_copy(update={"kind": config.normalisation})


def load_models(config: Config, advance: Advance | None = None) -> Models:
    """Load everything; ``advance(what, done, total)`` is called as it goes, and every second of a long step.

    Raises
    ------
    BundleError, ProviderError, PictureError, ConfigError, ChannelMapError
        See there; nothing is running yet.
    """
    tell = advance or (lambda what, done, total: None)
    tell("bundle", 0, 3)
    bundle = ModelBundle(bundle_path(config.bundle))
    if not bundle.manifest.live:
        raise BundleError(
            f"bundle {bundle.path}: fitted on responses in z units, expected a recording with its channels' mean and "
            "SD, by which a live stream is normalised. Fit one on a recording; this one is for b2g-offline evaluate."
        )
    channels = stream_channels(config, bundle)
    tell("decoder", 1, 3)
    inference = config.inference
    decoder = Decoder(
        bundle,
        provider_settings(config, inference.decoder_threads, bundle.hash),
        _waiting(advance, 1),
    )
    if inference.cuda_graph and decoder.record.provider == ORT_NAMES["cpu"]:
        LOG.warning("inference.cuda_graph: no effect on the CPU")
    encoder = load_encoder(config, bundle, _waiting(advance, 2))
    if not inference.generator:
        return Models(bundle, channels, decoder, None, None, encoder=encoder)
    tell("generator", 2, 3)
    generator = Generator(
        bundle,
        provider_settings(config, inference.generator_threads, bundle.hash),
        _waiting(advance, 2),
    )
    baseline, stimuli = _pictures(bundle, generator, tell)
    return Models(bundle, channels, decoder, generator, baseline, stimuli, encoder)


def _waiting(advance: Advance | None, done: int) -> Callable[[str], None] | None:
    # Without anybody to tell, the session itself writes into the log.
    return (lambda what: advance(what, done, 3)) if advance else None


def _pictures(
    bundle: ModelBundle, generator: Generator, tell: Advance
) -> tuple[Image | None, dict[str, Image]]:
    """Render the mean latent and the known stimuli; what is no picture is left out, and said once."""
    faults: list[str] = []

    def picture(latent: NDArray[np.float32]) -> Image | None:
        try:
            return jpeg_image(generator.render(latent), _JPEG_QUALITY)
        except PictureError as error:
            faults.append(str(error))
            return None

    baseline = picture(bundle.latent_mean)
    stimuli: dict[str, Image] = {}
    total = len(bundle.stimuli.ids)
    if total > MAX_STIMULUS_PICTURES:
        LOG.warning(
            "bundle %s: %d stimuli, their pictures are not shown (limit %d)",
            bundle.manifest.name,
            total,
            MAX_STIMULUS_PICTURES,
        )
    else:
        for done, (stimulus, latent) in enumerate(
            zip(bundle.stimuli.ids, bundle.stimuli.latent, strict=True)
        ):
            tell("stimulus pictures", done, total)
            image = picture(latent)
            if image:
                stimuli[stimulus] = image
    if faults:
        LOG.warning("%d pictures of known latents are not shown: %s", len(faults), faults[0])
    return baseline, stimuli
