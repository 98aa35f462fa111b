"""LSL outlets: a client on real LSL receives latents and events as they were published."""

from __future__ import annotations

import json

import numpy as np
import pylsl
import pytest

from b2g_rt.contracts.messages import Flags, latent_of
from b2g_rt.outputs.lsl_outlets import EVENTS_TYPE, LATENTS_TYPE, EventOutlet, LatentOutlet
from tests.rt.outputs import made_messages as made

pytestmark = pytest.mark.live
DEADLINE_S = 10.0


def inlet_of(name: str) -> pylsl.StreamInlet:
    found = pylsl.resolve_byprop("name", name, minimum=1, timeout=DEADLINE_S)
    assert found, f"no stream {name}"
    inlet = pylsl.StreamInlet(found[0], recover=False)
    inlet.open_stream(timeout=DEADLINE_S)
    return inlet


def labels_of(inlet: pylsl.StreamInlet) -> list[str]:
    channel = inlet.info(timeout=DEADLINE_S).desc().child("channels").child("channel")
    labels = []
    while not channel.empty():
        labels.append(channel.child_value("label"))
        channel = channel.next_sibling("channel")
    return labels


@pytest.fixture
def latents():
    outlet = LatentOutlet("latents-under-test", 8, "b" * 64)
    inlet = inlet_of("latents-under-test")
    yield outlet, inlet
    inlet.close_stream()
    outlet.close()


@pytest.fixture
def events():
    outlet = EventOutlet("events-under-test")
    inlet = inlet_of("events-under-test")
    yield outlet, inlet
    inlet.close_stream()
    outlet.close()


def test_latents_arrive_with_identity_and_the_windows_end_as_stamp(latents):
    outlet, inlet = latents
    frame = made.frame(40, flags=Flags(late=True))
    outlet.push(frame)
    sample, time_s = inlet.pull_sample(timeout=DEADLINE_S)
    assert time_s == frame.window_stop_s
    np.testing.assert_array_equal(np.float32(sample[:8]), latent_of(frame))
    assert sample[8:] == [40, 4, 4, 2]


def test_a_dropped_frame_gives_no_latent_and_a_free_one_no_trial(latents):
    outlet, inlet = latents
    outlet.push(made.dropped(1))
    outlet.push(made.frame(2, trial=None))
    sample, _ = inlet.pull_sample(timeout=DEADLINE_S)
    assert sample[8:10] == [2, -1]


def test_the_latent_stream_describes_its_channels(latents):
    _, inlet = latents
    info = inlet.info(timeout=DEADLINE_S)
    assert info.type() == LATENTS_TYPE
    assert info.nominal_srate() == pylsl.IRREGULAR_RATE
    assert info.desc().child_value("bundle") == "b" * 64
    assert labels_of(inlet) == [
        *(f"latent {k}" for k in range(8)),
        "sequence",
        "trial",
        "window_idx",
        "flags",
    ]


def test_a_latent_of_another_length_is_the_callers_fault(latents):
    outlet, _ = latents
    with pytest.raises(ValueError, match="9 latents, the stream has 8"):
        outlet.push(made.frame(n_latents=9))


def test_a_hundred_latents_arrive_in_order(latents):
    outlet, inlet = latents
    for k in range(100):
        outlet.push(made.frame(k))
    received = [inlet.pull_sample(timeout=DEADLINE_S)[0][8] for _ in range(100)]
    assert received == list(range(100))


def test_events_arrive_as_json_with_their_own_time(events):
    outlet, inlet = events
    for message in (made.event(), made.stimulus(), made.frame(3, image=True)):
        outlet.push(message)
    received = [inlet.pull_sample(timeout=DEADLINE_S) for _ in range(3)]
    (gap, stimulus, frame) = (json.loads(sample[0]) for sample, _ in received)
    assert [time_s for _, time_s in received] == [12.5, 11.25, made.frame(3).window_stop_s]
    assert (gap["type"], gap["kind"], gap["level"]) == ("event", "gap", "warning")
    assert (stimulus["type"], stimulus["stimulus"]) == ("stimulus", "face-3")
    assert (frame["type"], frame["sequence"], frame["flags"]["dropped"]) == ("frame", 3, False)
    assert "latent" not in frame
    assert "image" not in frame
    assert "image" not in stimulus


def test_a_trials_result_is_stamped_now(events):
    outlet, inlet = events
    before = pylsl.local_clock()
    outlet.push(made.trial())
    sample, time_s = inlet.pull_sample(timeout=DEADLINE_S)
    assert before <= time_s <= pylsl.local_clock()
    assert json.loads(sample[0])["two_way"] == 0.8


def test_an_encoding_is_stamped_now_and_carries_no_arrays(events):
    outlet, inlet = events
    before = pylsl.local_clock()
    outlet.push(made.encoding())
    sample, time_s = inlet.pull_sample(timeout=DEADLINE_S)
    assert before <= time_s <= pylsl.local_clock()
    sent = json.loads(sample[0])
    assert (sent["type"], sent["agreement"][0]["roi"]) == ("encoding", "all")
    assert sent["agreement"][1]["r"] is None
    assert not {"predicted", "observed", "trial_r"} & sent.keys()


def test_a_value_that_is_no_number_is_null(events):
    outlet, inlet = events
    outlet.push(made.frame(1, cosine=float("nan")))
    sample, _ = inlet.pull_sample(timeout=DEADLINE_S)
    assert json.loads(sample[0])["cosine"] is None


def test_the_event_stream_is_of_its_own_type(events):
    _, inlet = events
    assert inlet.info(timeout=DEADLINE_S).type() == EVENTS_TYPE
    assert labels_of(inlet) == ["json"]


def test_a_closed_outlet_takes_no_more_and_closes_twice():
    outlet = LatentOutlet("latents-closed", 8)
    outlet.close()
    outlet.close()
    outlet.push(made.frame())
