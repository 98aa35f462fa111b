"""The whole service on one page: which stage feeds which, over what kind of edge.

    source -> ingest -> decode -> render -> deliver -> ZeroMQ, LSL outlets, recorder
                 |         |                  ^
                 |         +---> encode ------+        (with an encoder only)
                 +---------+------------------+        (the recorder has its own thread and lossless queue)

Each stage is one thread. Nothing is lost on a lossless edge (a full one makes the sender wait, and LSL's own
buffer holds what the ingest stage has not pulled); of pictures the newest wins, and what it superseded goes on
as a frame flagged ``skipped``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

from b2g_rt.adaptation.state_file import beside, write_correction
from b2g_rt.config import Config
from b2g_rt.contracts.messages import VERSION, EventMessage, Ledger, Message
from b2g_rt.errors import B2GError, SessionError
from b2g_rt.service.adaptation import Adaptation
from b2g_rt.service.command_handler import CommandHandler
from b2g_rt.service.decode import Decoded, DecodeStage, WindowJob
from b2g_rt.service.deliver import (
    RECORDER,
    DecodedFrame,
    DeliverStage,
    Delivery,
    FinishedFrame,
    Outputs,
)
from b2g_rt.service.edges import Closed, Edge, LosslessQueue, NewestSlot
from b2g_rt.service.encoding import EncodingStage
from b2g_rt.service.failures import Failures
from b2g_rt.service.ingest import IngestStage
from b2g_rt.service.models import Models
from b2g_rt.service.open_outputs import close_outputs
from b2g_rt.service.progress import Progress
from b2g_rt.service.render import RenderStage, skipped
from b2g_rt.service.scoring import TrialScorer
from b2g_rt.service.trial_decoder import TrialDecoder
from b2g_rt.sources.chunk import Source

LOG = logging.getLogger(__name__)


def edges(config: Config) -> dict[tuple[str, str], Edge]:
    """Return every edge of the graph by (output, input)."""
    table = (
        Edge("ingest", "decode", config.service.decode_queue, "lossless"),
        Edge("decode", "render", 1, "newest"),
        Edge("ingest", "deliver", 4 * config.service.decode_queue, "lossless"),
        Edge("decode", "deliver", 4 * config.service.decode_queue, "lossless"),
        Edge("render", "deliver", 4 * config.service.decode_queue, "lossless"),
        Edge("decode", "encode", config.service.decode_queue, "lossless"),
        Edge("encode", "deliver", 4 * config.service.decode_queue, "lossless"),
    )
    return {(edge.output, edge.input): edge for edge in table}


class Service:
    """Runs the graph.

    Parameters
    ----------
    config : Config
    models : Models
        Bundle, decoder, generator and the pictures made at load.
    source : Source
        Connected or not; the ingest thread owns it from ``start`` on.
    outputs : Outputs
    now : callable
        The LSL clock, seconds.
    on_message : callable, optional
        Sees every message that leaves, in the deliver thread.
    """

    def __init__(
        self,
        config: Config,
        models: Models,
        source: Source,
        outputs: Outputs,
        now: Callable[[], float],
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.progress = Progress()
        self.failure: BaseException | None = None
        self._outputs = outputs
        self._now = now
        self._failures = Failures(self.progress, self._tell)
        self._stop = threading.Event()
        graph = edges(config)
        self._jobs: LosslessQueue[WindowJob] = LosslessQueue(graph["ingest", "decode"])
        # One queue serves all senders, so that everything leaves in one order.
        self._outbox: LosslessQueue[Delivery] = LosslessQueue(graph["decode", "deliver"])
        self._newest: NewestSlot[Decoded] = NewestSlot(graph["decode", "render"], self._superseded)
        self._ingest = IngestStage(
            config,
            models,
            source,
            outputs.recorder,
            now,
            self.progress,
            self._jobs.put,
            self._outbox.put,
        )
        bundle = models.bundle
        self._adaptation = Adaptation(bundle, config.adaptation, self.progress, self._tell)
        self._decode = DecodeStage(
            TrialDecoder(models.decoder.step, models.decoder.n_state, bundle.windows),
            TrialScorer(bundle.stimuli, bundle.latent_mean),
            bundle.hash,
            bundle.windows.n_windows if bundle.windows.anchor == "marker" else 1,
            now,
            self.progress,
            self._adaptation,
        )
        self.command = CommandHandler(self._adaptation, self._ingest, self.progress)
        self._save_to = beside(config.record.path) if config.record.path else None
        self._render = (
            RenderStage(
                models.generator.render,
                bundle.latent_mean,
                config.inference.latent_gain,
                config.publish.jpeg_quality,
                now,
                self.progress,
            )
            if models.generator
            else None
        )
        self._responses: LosslessQueue[WindowJob] = LosslessQueue(graph["decode", "encode"])
        self._encode = (
            EncodingStage(models.encoder, bundle, self.progress) if models.encoder else None
        )
        self._deliver = DeliverStage(outputs, now, self.progress, on_message)
        stages = {
            "ingest": self._run_ingest,
            "decode": self._run_decode,
            **({"encode": self._run_encode} if self._encode else {}),
            "render": self._run_render,
            "deliver": self._run_deliver,
        }
        self._threads = {
            name: threading.Thread(
                target=self._guard, args=(target,), name=f"b2g-{name}", daemon=True
            )
            for name, target in stages.items()
        }

    @property
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """What the source counted so far: MUA and markers."""
        return self._ingest.ledgers

    def tell_recorder_trouble(self, level: Literal["warning", "error"], text: str) -> None:
        """Publish what the recorder complains about; may be called from any thread."""
        self._tell(RECORDER, level, text)

    def start(self) -> None:
        """Start all stages, and answer commands."""
        if self._adaptation.starts_by_itself:
            self._adaptation.start("configuration")
        if self._outputs.control:
            self._outputs.control.start(self.command)
        for thread in self._threads.values():
            thread.start()

    def request_stop(self) -> None:
        """Ask the service to end: what has been received is still decoded, delivered and written."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; return whether it has come.

        Raises
        ------
        B2GError
            What ended the service, when it was not a request.
        """
        ended = self._threads["deliver"]
        ended.join(timeout_s)
        if ended.is_alive():
            return False
        for thread in self._threads.values():
            thread.join()
        self._save_learnt()
        close_outputs(self._outputs)
        if self.failure:
            raise self.failure
        return True

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except B2GError as error:
            self._fail(error)
        except Exception as error:
            LOG.exception("stage %s failed", threading.current_thread().name)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self._stop.set()

    def _run_ingest(self) -> None:
        try:
            self._ingest.run(self._stop)
        finally:
            self._jobs.close()

    def _run_decode(self) -> None:
        try:
            while True:
                # What there is to learn is learnt while no window is due.
                while not len(self._jobs) and self._adaptation.learn_next():
                    pass
                job = self._jobs.get()
                try:
                    decoded = self._decode.push(job)
                except Exception as error:
                    self._failures.contain("decode", error)
                    decoded = self._decode.failed(job)
                self._decoded(decoded)
                if self._encode and self._encode.needs(job):
                    self._responses.put(job)
        except Closed:
            pass
        finally:
            self._newest.close()
            self._responses.close()

    def _decoded(self, decoded: Decoded) -> None:
        if decoded.latent is None:
            self._outbox.put(FinishedFrame(decoded.frame))
        else:
            self._outbox.put(DecodedFrame(decoded.frame))
            if self._render:
                self._newest.put(decoded)
            else:
                self._superseded(decoded)
        for score in self._decode.scores(decoded):
            self._outbox.put(score)

    def _run_encode(self) -> None:
        try:
            while self._encode:
                job = self._responses.get()
                try:
                    messages = self._encode.push(job)
                except Exception as error:
                    self._failures.contain("encode", error)
                else:
                    for message in messages:
                        self._outbox.put(message)
        except Closed:
            pass

    def _superseded(self, decoded: Decoded) -> None:
        self.progress.windows_skipped += 1
        self._outbox.put(FinishedFrame(skipped(decoded)))

    def _run_render(self) -> None:
        try:
            while self._render:
                decoded = self._newest.get()
                try:
                    frame = self._render.push(decoded)
                except Exception as error:
                    self._failures.contain("render", error)
                    self._superseded(decoded)
                else:
                    self._outbox.put(FinishedFrame(frame))
        except Closed:
            pass
        finally:
            # Other stages send too: the outbox closes after the last of all.
            for name in ("decode", "encode"):
                if name in self._threads:
                    self._threads[name].join()
            self._outbox.close()

    def _run_deliver(self) -> None:
        try:
            while True:
                item = self._outbox.get()
                try:
                    self._deliver.push(item)
                except Exception as error:
                    self._failures.contain("deliver", error)
                    self._deliver.give_up(item)
        except Closed:
            pass

    def _save_learnt(self) -> None:
        """Leave what was learnt beside the recording; what cannot be saved keeps nothing from ending."""
        learnt = self._adaptation.learnt()
        if learnt is None or not learnt.n_trials or self._save_to is None:
            return
        try:
            write_correction(self._save_to, learnt.saved)
        except SessionError as error:
            LOG.error("%s", error)

    def _tell(self, kind: str, level: Literal["info", "warning", "error"], text: str) -> None:
        self._outbox.put(
            EventMessage(version=VERSION, kind=kind, level=level, text=text, time_s=self._now())
        )
