"""What the service says about itself several times a second."""

from __future__ import annotations

from typing import Literal

from b2g_rt.config import Config
from b2g_rt.contracts.messages import VERSION, ChannelLayout, Ledger, StatusMessage
from b2g_rt.service.models import Models
from b2g_rt.service.progress import Progress
from b2g_rt.sources.chunk import Chunk, StreamDescription

RATE_OVER_S = 1.0


class StatusReporter:
    """Builds status messages and says when one is due.

    Parameters
    ----------
    config : Config
    models : Models
    progress : Progress
    """

    def __init__(self, config: Config, models: Models, progress: Progress) -> None:
        self._config = config
        self._models = models
        self._chunk: Chunk | None = None
        self._stream: StreamDescription | None = None
        self._note = f"looking for LSL stream '{config.streams.mua.name}'"
        self._progress = progress
        self._period_s = 1.0 / config.service.status_hz
        self._next = 0.0
        self._rate_from: tuple[float, int] | None = None
        self._rate = 0.0
        self._stopping = False
        channels = models.bundle.channels
        self._layout = ChannelLayout(
            roi=list(channels.roi),
            array=channels.array.tolist(),
            row=channels.row.tolist(),
            col=channels.col.tolist(),
        )

    def due(self, now: float) -> bool:
        """Whether it is time for a message."""
        if now < self._next:
            return False
        self._next = now + self._period_s
        return True

    def saw(self, chunk: Chunk, stream: StreamDescription | None) -> None:
        """Remember where the source stands; what it last said is the note while there is no stream."""
        self._chunk = chunk
        self._stream = stream or self._stream
        for event in chunk.events:
            self._note = event.text
        if chunk.state == "streaming":
            self._note = ""

    def refused(self, text: str) -> None:
        """Remember why a stream that is there is not used."""
        self._note = text

    @property
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """MUA and markers as last seen."""
        return (
            (self._chunk.mua, self._chunk.markers_ledger) if self._chunk else (Ledger(), Ledger())
        )

    def stopping(self) -> None:
        """Say 'stopping' from now on."""
        self._stopping = True

    def message(self, now: float) -> StatusMessage:
        """Return the message of this moment."""
        progress, models, stream = self._progress, self._models, self._stream
        manifest = models.bundle.manifest
        return StatusMessage(
            version=VERSION,
            time_s=now,
            state=self._state(),
            note=self._note,
            stream=self._config.streams.mua.name,
            host=stream.host if stream else "",
            rate_hz=models.bundle.windows.rate_hz,
            speed=stream.speed if stream else 1.0,
            simulated=manifest.simulated or bool(stream and stream.simulated),
            bundle=models.bundle.hash,
            bundle_name=manifest.name,
            provider=models.decoder.record.provider,
            generator_provider=models.generator.record.provider if models.generator else "off",
            decoder_kind=manifest.decoder_kind,
            n_trials=progress.n_trials,
            windows_due=progress.windows_due,
            windows_decoded=progress.windows_decoded,
            windows_skipped=progress.windows_skipped,
            windows_dropped=progress.windows_dropped,
            frames_rendered=progress.frames_rendered,
            frames_superseded=progress.windows_skipped,
            frames_per_s=self._frames_per_s(now),
            latency_decode_ms=progress.decode.recent(),
            latency_sample_to_latent_ms=progress.sample_to_latent.recent(),
            latency_sample_to_frame_ms=progress.sample_to_frame.recent(),
            mua=self.ledgers[0],
            markers=self.ledgers[1],
            layout=self._layout,
            baseline=models.baseline,
            n_trials_expected=stream.n_trials if stream else None,
            latent_gain=self._config.inference.latent_gain,
            n_other_markers=progress.n_other_markers,
            n_unknown_stimuli=progress.n_unknown_stimuli,
            n_markers_too_old=progress.n_markers_too_old,
            n_failures=progress.n_failures,
            adaptation=progress.adaptation,
            n_trials_learnt=progress.n_trials_learnt,
            encoder=models.encoder.fitted.hash if models.encoder else "",
            n_trials_predicted=progress.n_trials_predicted,
            n_trials_unpredicted=progress.n_trials_unpredicted,
        )

    def _state(self) -> Literal["waiting", "streaming", "stalled", "stopping"]:
        state = self._chunk.state if self._chunk else "waiting"
        return "stopping" if self._stopping or state == "ended" else state

    def _frames_per_s(self, now: float) -> float:
        frames = self._progress.frames_rendered
        if self._rate_from is None:
            self._rate_from = (now, frames)
        since, before = self._rate_from
        if now - since >= RATE_OVER_S:
            self._rate = (frames - before) / (now - since)
            self._rate_from = (now, frames)
        return self._rate
