"""Messages made up for tests, one function each."""

from __future__ import annotations

import numpy as np

from b2g_rt.contracts import messages as m


def picture(side: int = 16) -> np.ndarray:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], np.uint8(128)), axis=-1)


def frame(
    sequence: int = 0, *, n_latents: int = 8, image: bool = False, **changes
) -> m.FrameMessage:
    fields = {
        "version": m.VERSION,
        "sequence": sequence,
        "bundle": "b" * 64,
        "sample_start": 100 + 25 * sequence,
        "sample_stop": 200 + 25 * sequence,
        "window_start_s": 10.0 + 0.025 * sequence,
        "window_stop_s": 10.1 + 0.025 * sequence,
        "window_idx": sequence % 9,
        "n_windows": 9,
        "trial": sequence // 9,
        "stimulus": f"face-{sequence // 9}",
        "onset_s": 10.1,
        "n_lost": 0,
        "n_bad_channels": 0,
        "flags": m.Flags(),
        "stamps": m.Stamps(10.1, 10.101, 10.102, 10.103, 10.104, 10.105),
        "latent": np.arange(sequence, sequence + n_latents, dtype="<f4").tobytes(),
        "image": m.raw_image(picture()) if image else None,
        "cosine": 0.5,
    }
    return m.FrameMessage(**{**fields, **changes})


def dropped(sequence: int) -> m.FrameMessage:
    return frame(
        sequence,
        latent=None,
        trial=None,
        stimulus=None,
        onset_s=None,
        cosine=None,
        flags=m.Flags(gap=True, dropped=True),
        stamps=m.Stamps(10.1, 10.101, 10.102),
    )


def event(text: str = "gap of 412 samples", time_s: float = 12.5) -> m.EventMessage:
    return m.EventMessage(m.VERSION, "gap", "warning", text, time_s)


def stimulus(trial: int = 3) -> m.StimulusMessage:
    return m.StimulusMessage(m.VERSION, trial, f"face-{trial}", 11.25, m.raw_image(picture()))


def trial(number: int = 3) -> m.TrialMessage:
    return m.TrialMessage(m.VERSION, number, f"face-{number}", 35, 0.4, 0.3, 0.2, 0.8, 0.7, 4, 60)


def encoding(number: int = 3, n_channels: int = 4) -> m.EncodingMessage:
    values = np.arange(n_channels, dtype="<f4").tobytes()
    agreement = [m.Agreement("all", n_channels, 0.5, 0.1), m.Agreement("V1", 2, None, None)]
    return m.EncodingMessage(
        m.VERSION,
        number,
        f"face-{number}",
        34,
        "e" * 64,
        values,
        values,
        agreement,
        True,
        12,
        7,
        values,
    )


def activity(n_channels: int = 4) -> m.ActivityMessage:
    return m.ActivityMessage(m.VERSION, 10.2, 300, np.arange(n_channels, dtype="<f4").tobytes())


def status(note: str = "") -> m.StatusMessage:
    quantiles = m.Quantiles(1.0, 2.0, 3.0)
    return m.StatusMessage(
        version=m.VERSION,
        time_s=20.0,
        state="streaming",
        note=note,
        stream="mua",
        host="rig",
        rate_hz=1000.0,
        speed=1.0,
        simulated=True,
        bundle="b" * 64,
        bundle_name="made-up",
        provider="CPUExecutionProvider",
        generator_provider="CPUExecutionProvider",
        decoder_kind="ridge",
        n_trials=4,
        windows_due=36,
        windows_decoded=35,
        windows_skipped=1,
        windows_dropped=1,
        frames_rendered=30,
        frames_superseded=5,
        frames_per_s=20.0,
        latency_decode_ms=quantiles,
        latency_sample_to_latent_ms=quantiles,
        latency_sample_to_frame_ms=None,
        mua=m.Ledger(expected=10, received=8, lost=2),
        markers=m.Ledger(expected=4, received=4),
        layout=m.ChannelLayout(["V1", "IT"], [0, 1], [0, 7], [3, 4]),
        baseline=m.raw_image(picture(8)),
    )
