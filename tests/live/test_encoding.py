"""Predicted beside observed MUA: over real LSL, what the service publishes is what is calculated afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
import zmq

from b2g_rt.contracts import messages as m
from b2g_rt.contracts.messages import EncodingMessage, Message, floats_of
from b2g_rt.contracts.recorded_frames import read_events
from b2g_rt.contracts.session import SessionFile
from b2g_rt.contracts.windows import static_start
from tests.live.test_serve_process import serving, stream, wait_for_rows
from tests.live.test_service import Rig, Seen, rig
from tests.tiny_bundle import CHANNELS, N_STIMULI, write_tiny_bundle
from tests.tiny_encoder import tiny_responses, write_tiny_encoder

pytestmark = pytest.mark.live
N = CHANNELS.n_channels
ROI = np.array(CHANNELS.roi)
START_MS = {"V1": 25, "V4": 50, "IT": 75}
N_TRIALS = 12


def encodings(seen: Seen) -> list[EncodingMessage]:
    return [message for message in seen.messages if isinstance(message, EncodingMessage)]


def run_trials(r: Rig, stimuli: list[str]) -> list[int]:
    """Show stimuli every 400 ms; return their onsets in samples."""
    onsets = [400 + 400 * i for i in range(len(stimuli))]
    for stimulus, onset in zip(stimuli, onsets, strict=True):
        r.trial(stimulus, onset)
    return onsets


def z_of(path: Path) -> np.ndarray:
    """Return a recorded session's MUA in the tiny bundle's z units (mean 10, SD 2), float64."""
    with SessionFile(path) as session:
        assert session.index().tolist() == list(range(session.n_samples))
        return (session.mua(0, session.n_samples).astype(np.float64) - 10) / 2


def response(z: np.ndarray, starts: dict[str, int]) -> np.ndarray:
    """Return each electrode's mean over the 100 samples that begin where its ROI's window does."""
    means = {roi: z[start : start + 100].mean(axis=0) for roi, start in starts.items()}
    return np.array([means[roi][channel] for channel, roi in enumerate(ROI)])


def check(message: EncodingMessage, observed: np.ndarray, tolerance: float = 1e-5) -> None:
    """Compare a message with the offline calculation of the same trial."""
    predicted = tiny_responses(N)
    mine = predicted[int(message.stimulus.removeprefix("face-"))]
    known = np.isfinite(mine)
    np.testing.assert_allclose(floats_of(message.predicted, ""), mine, atol=1e-5)
    found = floats_of(message.observed, "")
    # Column 0 of the test's outlet counts samples: thousands, in float32.
    scale = np.maximum(1, np.abs(observed))
    np.testing.assert_array_less((np.abs(found - observed) / scale)[known], tolerance)
    assert np.isnan(found[~known]).all()
    for agreement in message.agreement:
        members = known & ((agreement.roi == ROI) | (agreement.roi == "all"))
        r = np.corrcoef(mine[members], observed[members])[0, 1]
        of_mean = np.corrcoef(predicted.mean(axis=0)[members], observed[members])[0, 1]
        assert agreement.n_electrodes == members.sum()
        assert agreement.r == pytest.approx(r, abs=1e-4)
        assert agreement.mean_response_r == pytest.approx(of_mean, abs=1e-4)


def test_what_is_published_is_what_is_calculated_from_the_recording(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    path = tmp_path / "session.h5"
    stimuli = [f"face-{i % N_STIMULI:04d}" for i in range(N_TRIALS)]
    with rig(tmp_path, f"encoder={encoder.path}", f"record.path={path}") as r:
        onsets = run_trials(r, stimuli)
        r.seen.wait(lambda: len(encodings(r.seen)) == N_TRIALS)
        r.seen.wait_for_frames(9 * N_TRIALS)
        progress = r.live.service.progress
    messages, z = encodings(r.seen), z_of(path)
    observed = np.stack(
        [response(z, {roi: onset + ms for roi, ms in START_MS.items()}) for onset in onsets]
    )
    frames = {(f.trial, f.window_idx): f.sequence for f in r.seen.frames()}
    for i, message in enumerate(messages):
        assert (message.trial, message.stimulus, message.n_trials) == (i, stimuli[i], i + 1)
        assert message.encoder == encoder.hash
        assert message.sequence == frames[i, 7]
        check(message, observed[i])
    assert [message.trial_r is None for message in messages] == [True] * 9 + [False] * 3
    over_trials = floats_of(messages[-1].trial_r or b"", "")
    predicted = tiny_responses(N)
    for channel in (1, 70, 150):
        r_by_hand = np.corrcoef(predicted[:N_TRIALS, channel], observed[:, channel])[0, 1]
        assert over_trials[channel] == pytest.approx(r_by_hand, abs=1e-4)
    assert (progress.n_trials_predicted, progress.n_trials_unpredicted) == (N_TRIALS, 0)
    with SessionFile(path) as session:
        told = [e for e in read_events(session) if e["type"] == "encoding"]
        assert session.info.provenance["encoder"] == encoder.hash
    assert [e["agreement"][0]["r"] for e in told] == [x.agreement[0].r for x in messages]
    assert not {"predicted", "observed", "trial_r"} & told[0].keys()


def test_free_running_the_static_window_is_compared(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    path = tmp_path / "session.h5"
    with rig(tmp_path, f"encoder={encoder.path}", f"record.path={path}", free_running=True) as r:
        spec = r.live.models.bundle.windows
        onsets = run_trials(r, ["face-0001", "nobody", "face-0004"])
        r.mua.push(200)
        r.seen.wait(lambda: len(encodings(r.seen)) == 2)
        r.seen.wait(lambda: r.live.service.progress.n_trials_unpredicted == 1)
    messages, z = encodings(r.seen), z_of(path)
    assert [message.trial for message in messages] == [0, 2]
    for message in messages:
        earliest = onsets[message.trial] + static_start(spec)
        start = next(s for s in range(spec.max_lag, len(z), spec.stride) if s >= earliest)
        check(message, response(z, {roi: start - spec.lag_of(roi) for roi in START_MS}))


def test_a_subscriber_gets_it_and_the_status_names_the_encoder(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    with rig(tmp_path, f"encoder={encoder.path}") as r:
        publisher = r.live.outputs.publisher
        assert publisher is not None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        events, status = context.socket(zmq.SUB), context.socket(zmq.SUB)
        try:
            for socket, address in (
                (events, publisher.endpoints.events),
                (status, publisher.endpoints.status),
            ):
                socket.setsockopt(zmq.SUBSCRIBE, b"")
                socket.setsockopt(zmq.RCVTIMEO, 20_000)
                socket.connect(address)
            # Whoever gets a status has joined; the other socket joined before it.
            assert isinstance(m.decode(status.recv()), m.StatusMessage)
            r.trial("face-0001", 400)
            message: Message = m.decode(events.recv())
            while not isinstance(message, EncodingMessage):
                message = m.decode(events.recv())
            newest = m.decode(status.recv())
            while isinstance(newest, m.StatusMessage) and not newest.n_trials_predicted:
                newest = m.decode(status.recv())
        finally:
            events.close(0)
            status.close(0)
            context.term()
    assert message == encodings(r.seen)[0]
    assert isinstance(newest, m.StatusMessage)
    assert (newest.encoder, newest.n_trials_predicted) == (encoder.hash, 1)


def test_a_failure_of_the_comparison_is_said_and_decoding_goes_on(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    with rig(tmp_path, f"encoder={encoder.path}") as r:
        stage = r.live.service._encode
        assert stage is not None
        healthy, calls = stage.push, []

        def failing(job):
            calls.append(job)
            if len(calls) == 3:
                raise RuntimeError("the card is gone")
            return healthy(job)

        stage.push = failing  # type: ignore[method-assign]
        run_trials(r, ["face-0001", "face-0002"])
        r.seen.wait_for_frames(18)
        r.seen.wait(lambda: len(encodings(r.seen)) == 1)
    assert all(f.latent is not None for f in r.seen.frames())
    (event,) = r.seen.events("stage-failed")
    assert "encode: RuntimeError: the card is gone. The trial is not compared" in event.text


def test_serve_says_what_it_predicts_and_compared(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    name = uuid.uuid4().hex[:8]
    with serving(tmp_path, name, f"encoder={encoder.path}") as process:
        mua, _markers = stream(name, 3)
        wait_for_rows(tmp_path / "session.h5", mua.sent)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    said = " ".join(output.split())
    assert f"predicting 189 electrodes with encoder tiny encoder ({encoder.hash[:12]})" in said
    assert "encoder: 3 trials compared, 0 not" in said


def test_an_encoder_that_is_not_there_is_one_line(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle").path
    sets = [f"bundle={bundle}", f"encoder={tmp_path / 'none'}"]
    command = [sys.executable, "-m", "b2g_rt", "serve", *(p for s in sets for p in ("--set", s))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    said = " ".join((ended.stdout + ended.stderr).split())
    assert "the directory is missing, expected encoder.json, encoder.onnx" in said
    assert "make one with b2g-offline encode" in said
    assert "Traceback" not in said


def test_without_an_encoder_nothing_of_it_runs_or_is_sent(tmp_path):
    with rig(tmp_path) as r:
        names = {thread.name for thread in threading.enumerate()}
        r.trial("face-0001", 400)
        r.seen.wait_for_frames(9)
    assert {"b2g-decode", "b2g-deliver"} <= names
    assert "b2g-encode" not in names
    assert encodings(r.seen) == []
