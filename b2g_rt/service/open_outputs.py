"""Opens what the configuration asks for: sockets, outlets, recorder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from b2g_rt.adaptation.state_file import beside
from b2g_rt.config import Config, control_port
from b2g_rt.contracts.endpoints import write_endpoints
from b2g_rt.contracts.messages import Topic
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.errors import B2GError, SessionError
from b2g_rt.service.deliver import Outputs
from b2g_rt.service.models import Models, normalisation_of

LOG = logging.getLogger(__name__)

Trouble = Callable[[Literal["warning", "error"], str], None]


def session_info(models: Models, provenance: dict[str, object]) -> SessionInfo:
    """Return the header of a recording made with these models."""
    manifest = models.bundle.manifest
    return SessionInfo(
        rate_hz=models.bundle.windows.rate_hz,
        unit=manifest.unit,
        channel_map=models.channels,
        simulated=manifest.simulated,
        speed=1.0,
        provenance={
            "bundle": models.bundle.hash,
            "bundle_name": manifest.name,
            "decoder": models.decoder.record.as_dict(),
            "generator": models.generator.record.as_dict() if models.generator else None,
            "encoder": models.encoder.fitted.hash if models.encoder else None,
            **provenance,
        },
    )


def open_outputs(config: Config, models: Models, on_trouble: Trouble | None = None) -> Outputs:
    """Open sockets, outlets and the recorder, in that order; what was opened is closed when a later one fails.

    Raises
    ------
    PublishError, SessionError, ConfigError
        See the outputs.
    """
    outputs = Outputs()
    try:
        _open(config, models, outputs, on_trouble)
    except BaseException:
        close_outputs(outputs)
        raise
    return outputs


def _open(
    config: Config,
    models: Models,
    outputs: Outputs,
    on_trouble: Trouble | None,
) -> None:
    publish = config.publish
    if publish.enabled:
        from b2g_rt.outputs.publisher import Publisher

        ports = {topic: getattr(publish, f"{topic.value}_port") for topic in Topic}
        outputs.publisher = Publisher(publish.host, ports, curve_keys=publish.curve_keys)
        from b2g_rt.outputs.control import ControlServer

        outputs.control = ControlServer(
            publish.control_host, control_port(publish), curve_keys=publish.curve_keys
        )
        if publish.endpoints_file:
            endpoints = replace(outputs.publisher.endpoints, control=outputs.control.address)
            write_endpoints(publish.endpoints_file, endpoints)
    if config.outlets.enabled:
        from b2g_rt.outputs.lsl_outlets import EventOutlet, LatentOutlet

        outputs.latents = LatentOutlet(
            config.outlets.latents, models.bundle.manifest.n_latents, models.bundle.hash
        )
        outputs.events = EventOutlet(config.outlets.events)
    if config.record.path:
        from b2g_rt.outputs.recorder import Recorder

        learnt = beside(config.record.path)
        if learnt.exists():
            raise SessionError(
                f"{learnt}: is there already, and what this session learns would have no place. "
                "Record to another file, or move it."
            )
        stimuli = models.bundle.stimuli
        outputs.recorder = Recorder(
            config.record.path,
            session_info(
                models,
                {
                    "normalisation": normalisation_of(config, models.bundle).model_dump(),
                    "adaptation": config.adaptation.model_dump(mode="json"),
                },
            ),
            models.channels.n_stream_channels,
            flush_s=config.record.flush_s,
            images=config.record.images,
            n_latents=models.bundle.manifest.n_latents,
            stimuli=(list(stimuli.ids), stimuli.latent),
            on_trouble=on_trouble,
        )


def close_outputs(outputs: Outputs) -> None:
    """Close everything; what was handed to the recorder is written first. One that fails keeps no other open."""
    for output in (
        outputs.control,
        outputs.recorder,
        outputs.publisher,
        outputs.latents,
        outputs.events,
    ):
        try:
            if output:
                output.close()
        except B2GError as error:
            LOG.error("%s", error)
