"""A service that decodes nothing: publishes plausible messages on four real sockets, for the display's tests.

As a script it runs until it is killed: ``python fake_service.py ENDPOINTS.json --rate 40 ...``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import IO

import numpy as np
import zmq
from numpy.typing import NDArray

from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.contracts.endpoints import Endpoints, write_endpoints
from b2g_rt.contracts.messages import (
    VERSION,
    ActivityMessage,
    Agreement,
    ChannelLayout,
    EncodingMessage,
    EventMessage,
    Flags,
    FrameMessage,
    Image,
    Ledger,
    Message,
    Quantiles,
    Stamps,
    StatusMessage,
    StimulusMessage,
    Topic,
    TrialMessage,
    encode,
    jpeg_image,
)

N_WINDOWS = 9
SIDE = 128


def draw_face(look: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a drawn face, uint8, axes (row, col, rgb); ``look``: six numbers in 0..1."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE / 2.0) - 1.0
    skin, hair, wide, eyes, mouth, ground = (float(v) for v in look)

    def soft(inside: NDArray[np.float64], colour: tuple[float, float, float]) -> None:
        alpha = 1 / (1 + np.exp(np.clip(-inside * 40, -50, 50)))
        picture[:] = picture * (1 - alpha[..., None]) + np.array(colour) * alpha[..., None]

    picture = np.empty((SIDE, SIDE, 3))
    shade = 1 - 0.25 * (y + 1) / 2
    picture[:] = np.array([0.2 + 0.5 * ground, 0.35, 0.6 - 0.4 * ground]) * shade[..., None]
    radius = 0.5 + 0.12 * wide
    soft(
        1 - (x / (radius + 0.12)) ** 2 - ((y + 0.12) / 0.78) ** 2,
        (0.1 + 0.5 * hair, 0.08 + 0.3 * hair, 0.08),
    )
    soft(0.4 - (x / 0.5) ** 2 - ((y - 1.05) / 0.6) ** 2, (0.25, 0.28 + 0.2 * ground, 0.4))
    tone = (0.55 + 0.4 * skin, 0.38 + 0.38 * skin, 0.3 + 0.35 * skin)
    soft(1 - (x / radius) ** 2 - ((y - 0.05) / 0.66) ** 2, tone)
    for side in (-1, 1):
        soft(0.2 - ((x - side * 0.21) / 0.2) ** 2 - ((y + 0.06) / 0.13) ** 2, (0.97, 0.97, 0.97))
        soft(
            0.1 - ((x - side * 0.21) / 0.16) ** 2 - ((y + 0.06) / 0.16) ** 2,
            (0.1, 0.2 + 0.5 * eyes, 0.3),
        )
    soft(
        0.2 - (x / 0.4) ** 2 - ((y - 0.38 - 0.06 * mouth * x**2) / (0.06 + 0.08 * mouth)) ** 2,
        (0.7, 0.25, 0.28),
    )
    soft(0.1 - (x / 0.14) ** 2 - ((y - 0.15) / 0.3) ** 2, tuple(0.88 * c for c in tone))  # type: ignore[arg-type]
    light = 1 + 0.15 * x
    return np.clip(picture * light[..., None] * 255, 0, 255).astype(np.uint8)


def channel_layout() -> ChannelLayout:
    """Return the 960-electrode layout."""
    channels = brain2gan_channels(960)
    return ChannelLayout(
        list(channels.roi), channels.array.tolist(), channels.row.tolist(), channels.col.tolist()
    )


class FakeService:
    """Makes messages and, when bound, sends them; its clock is monotonic time plus ``clock_shift_s``."""

    def __init__(
        self,
        *,
        seed: int = 0,
        clock_shift_s: float = 0.0,
        speed: float = 1.0,
        n_trials_expected: int | None = 60,
        latent_gain: float = 1.0,
        delay_s: float = 0.035,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._shift_s = clock_shift_s
        self._speed = speed
        self._gain = latent_gain
        self._expected = n_trials_expected
        self._delay_s = delay_s
        self._layout = channel_layout()
        self._faces = [draw_face(look) for look in self._rng.random((40, 6))]
        self._mean_face = draw_face(np.full(6, 0.5))
        self._baseline: Image = jpeg_image(self._mean_face)
        self._two_way: list[float] = []
        self._cosines: list[float] = []
        self._n_encoded = 0
        self.sequence = 0
        self.trial = -1
        self.n_pictures = 0
        self._sockets: dict[Topic, zmq.Socket[bytes]] = {}
        self.context: zmq.Context[zmq.Socket[bytes]] | None = None

    def now(self) -> float:
        return time.monotonic() + self._shift_s

    def bind(
        self, addresses: Endpoints | None = None, keys: tuple[bytes, bytes] | None = None
    ) -> Endpoints:
        """Bind the four sockets, on free ports unless told; ``keys``: CURVE public and secret."""
        self.context = zmq.Context()
        bound = {}
        for topic in Topic:
            socket = self.context.socket(zmq.PUB)
            if keys is not None:
                socket.curve_server = True
                socket.curve_publickey, socket.curve_secretkey = keys
            if addresses is None:
                port = socket.bind_to_random_port("tcp://127.0.0.1")
                bound[topic.value] = f"tcp://127.0.0.1:{port}"
            else:
                bound[topic.value] = getattr(addresses, topic.value)
                socket.bind(bound[topic.value])
            self._sockets[topic] = socket
        return Endpoints(**bound)

    def close(self) -> None:
        if self.context is not None:
            for socket in self._sockets.values():
                socket.close(linger=0)
            self.context.term()
            self.context = None

    def send(self, topic: Topic, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else encode(message)
        self._sockets[topic].send(data)

    # ------------------------------------------------------------- messages

    def stimulus(self, onset_s: float) -> StimulusMessage:
        self.trial += 1
        image = jpeg_image(self._faces[self.trial % len(self._faces)])
        return StimulusMessage(VERSION, self.trial, self.stimulus_name(), onset_s, image)

    def stimulus_name(self) -> str:
        return f"face-{self.trial % len(self._faces):04d}"

    def frame(self, window_idx: int, onset_s: float, *, flags: Flags | None = None) -> FrameMessage:
        """Return the next frame with its picture; its last sample is ``delay_s`` old."""
        now = self.now()
        unit = 1 / self._speed
        start_s = onset_s + (-0.1 + 0.025 * window_idx) * unit
        frame = FrameMessage(
            VERSION,
            sequence=self.sequence,
            bundle="0" * 64,
            sample_start=0,
            sample_stop=100,
            window_start_s=start_s,
            window_stop_s=start_s + 0.1 * unit,
            window_idx=window_idx,
            n_windows=N_WINDOWS,
            trial=self.trial,
            stimulus=self.stimulus_name(),
            onset_s=onset_s,
            n_lost=0,
            n_bad_channels=0,
            flags=flags or Flags(),
            stamps=Stamps(now - self._delay_s, now - 0.03, now - 0.03, now - 0.02, now - 0.01, now),
            latent=np.zeros(512, "<f4").tobytes(),
            image=jpeg_image(self._decoded(window_idx)),
            cosine=0.5,
        )
        self.sequence += 1
        return frame

    def _decoded(self, window_idx: int) -> NDArray[np.uint8]:
        face = self._faces[self.trial % len(self._faces)]
        share = 0.1 + 0.65 * window_idx / (N_WINDOWS - 1)
        return (self._mean_face * (1 - share) + face * share).astype(np.uint8)

    def scores(self) -> TrialMessage:
        self._two_way.append(float(np.clip(self._rng.normal(0.74, 0.2), 0, 1)))
        cosine = float(self._rng.normal(0.57, 0.05))
        return TrialMessage(
            VERSION,
            trial=self.trial,
            stimulus=self.stimulus_name(),
            sequence=self.sequence - 1,
            cosine=cosine,
            mean_latent_cosine=cosine - float(self._rng.normal(0.07, 0.02)),
            centred_cosine=0.31,
            two_way=self._two_way[-1],
            two_way_mean=float(np.mean(self._two_way)),
            n_trials=len(self._two_way),
            pool=40,
        )

    def encoding(self) -> EncodingMessage:
        """Return a made-up prediction of the trial, and an observed response that it half explains."""
        roi = np.array(self._layout.roi)
        tuning = np.random.default_rng(self.trial + 100).normal(0.3, 1.0, len(roi))
        predicted = 0.6 * tuning
        observed = tuning + self._rng.normal(0, 0.8, len(roi))
        observed[::97] = np.nan
        self._n_encoded += 1
        known = np.isfinite(observed)
        agreement = []
        for name in ("all", "V1", "V4", "IT"):
            mine = known & ((roi == name) | (name == "all"))
            r = float(np.corrcoef(predicted[mine], observed[mine])[0, 1])
            agreement.append(Agreement(name, int(mine.sum()), r, 0.3 * r))
        trial_r = self._rng.uniform(-0.1, 0.7, len(roi)).astype("<f4").tobytes()
        return EncodingMessage(
            VERSION,
            trial=self.trial,
            stimulus=self.stimulus_name(),
            sequence=self.sequence - 1,
            encoder="e" * 64,
            predicted=np.where(known, predicted, np.nan).astype("<f4").tobytes(),
            observed=observed.astype("<f4").tobytes(),
            agreement=agreement,
            in_training=self.trial % 2 == 0,
            n_trials=self._n_encoded,
            n_in_training=self._n_encoded // 2,
            trial_r=trial_r if self._n_encoded >= 10 else None,
        )

    def activity(self, time_in_trial_s: float) -> ActivityMessage:
        roi = np.array(self._layout.roi)
        latency = {"V1": 0.035, "V4": 0.045, "IT": 0.06}
        drive = np.zeros(len(roi))
        tuning = np.random.default_rng(self.trial + 100).normal(0.3, 1.0, len(roi))
        for name, onset_s in latency.items():
            on = time_in_trial_s - onset_s
            drive[roi == name] = 0.0 if on < 0 or on > 0.4 else 1.0 if on < 0.08 else 0.6
        values = drive * tuning + self._rng.normal(0, 0.3, len(roi))
        return ActivityMessage(VERSION, self.now(), 0, values.astype("<f4").tobytes())

    def status(self, state: str = "streaming", note: str = "") -> StatusMessage:
        due = self.sequence
        received = 1000 * (due + 1)
        jitter = float(self._rng.normal(0, 0.4))
        return StatusMessage(
            VERSION,
            time_s=self.now(),
            state=state,  # type: ignore[arg-type]
            note=note,
            stream="b2g-mua",
            host="rig-1",
            rate_hz=1000.0,
            speed=self._speed,
            simulated=True,
            bundle="0" * 64,
            bundle_name="faces-1",
            provider="CPUExecutionProvider",
            generator_provider="CPUExecutionProvider",
            decoder_kind="per_window",
            n_trials=self.trial + 1,
            windows_due=due,
            windows_decoded=due,
            windows_skipped=due // 40,
            windows_dropped=0,
            frames_rendered=due - due // 40,
            frames_superseded=due // 40,
            frames_per_s=11.2 + jitter,
            latency_decode_ms=Quantiles(1.1, 2.4, 3.1),
            latency_sample_to_latent_ms=Quantiles(12.4, 18.9, 24.0),
            latency_sample_to_frame_ms=Quantiles(34.0 + jitter, 52.0, 71.0),
            mua=Ledger(received, received, 0, 0, 0),
            markers=Ledger(self.trial + 1, self.trial + 1),
            layout=self._layout,
            baseline=self._baseline,
            n_trials_expected=self._expected,
            latent_gain=self._gain,
        )

    def event(self, text: str, level: str = "warning", kind: str = "gap") -> EventMessage:
        return EventMessage(VERSION, kind, level, text, self.now())  # type: ignore[arg-type]

    def publish_frame(self, window_idx: int, onset_s: float) -> FrameMessage:
        """Send one frame as the service does: to EVENTS without its picture, to PICTURES with it."""
        import msgspec

        frame = self.frame(window_idx, onset_s)
        self.send(Topic.EVENTS, msgspec.structs.replace(frame, image=None))
        self.send(Topic.PICTURES, frame)
        self.n_pictures += 1
        return frame


def run(service: FakeService, args: argparse.Namespace, log: IO[str] | None) -> None:
    """Publish trials of nine windows for ever (or ``--trials``)."""
    period_s = 1 / args.rate
    per_trial = N_WINDOWS + round(args.pause_s / period_s)
    start_s = time.monotonic()
    onset_s = 0.0
    tick = 0
    while args.trials is None or tick < args.trials * per_trial:
        delay = start_s + tick * period_s - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        position = tick % per_trial
        if position == 0:
            onset_s = service.now()
            service.send(Topic.EVENTS, service.stimulus(onset_s))
        if position < N_WINDOWS:
            frame = service.publish_frame(position, onset_s)
            if log is not None:
                line = {
                    "sequence": frame.sequence,
                    "stamped_s": frame.stamps.published,
                    "sent_s": time.monotonic(),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
        if position == N_WINDOWS - 1:
            service.send(Topic.EVENTS, service.scores())
            if args.encoder:
                service.send(Topic.EVENTS, service.encoding())
        if tick % 2 == 0:
            service.send(Topic.ACTIVITY, service.activity(service.now() - onset_s))
        if tick % 8 == 0:
            service.send(Topic.STATUS, service.status())
        tick += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoints", type=Path)
    parser.add_argument("--bind", type=Path, help="endpoints to bind instead of free ports")
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--gain", type=float, default=1.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--encoder", action="store_true", help="predict each trial's MUA")
    args = parser.parse_args()
    service = FakeService(seed=args.seed, speed=args.speed, latent_gain=args.gain)
    from b2g_rt.contracts.endpoints import read_endpoints

    bound = service.bind(None if args.bind is None else read_endpoints(args.bind))
    write_endpoints(args.endpoints, bound)
    log = None if args.log is None else args.log.open("w", encoding="utf-8")
    try:
        run(service, args, log)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
