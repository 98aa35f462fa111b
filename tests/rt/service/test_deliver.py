from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.messages import VERSION, Flags, FrameMessage, Image, Stamps
from b2g_rt.service.deliver import DeliverStage, FinishedFrame, Outputs
from b2g_rt.service.progress import Progress


def frame(sequence: int, *, image: bool) -> FrameMessage:
    return FrameMessage(
        version=VERSION,
        sequence=sequence,
        bundle="b",
        sample_start=0,
        sample_stop=100,
        window_start_s=0.0,
        window_stop_s=0.1,
        window_idx=0,
        n_windows=9,
        trial=0,
        stimulus="face",
        onset_s=0.1,
        n_lost=0,
        n_bad_channels=0,
        flags=Flags(skipped=not image),
        stamps=Stamps(sample=0.0, received=0.0, due=0.0),
        image=Image("raw", 1, 1, b"abc") if image else None,
    )


@given(order=st.permutations(range(20)))
def test_frames_leave_in_the_order_of_their_windows_however_they_finish(order):
    seen: list[int] = []
    stage = DeliverStage(Outputs(), lambda: 1.0, Progress(), lambda m: seen.append(m.sequence))
    for sequence in order:
        stage.push(FinishedFrame(frame(sequence, image=sequence % 3 == 0)))
    assert seen == list(range(20))


def test_a_picture_does_not_wait_for_the_windows_before_it():
    progress = Progress()
    stage = DeliverStage(Outputs(), lambda: 1.0, progress)
    stage.push(FinishedFrame(frame(5, image=True)))
    assert progress.sample_to_frame.session().p50 > 0


def test_a_frame_that_cannot_be_delivered_does_not_hold_back_the_others():
    seen: list[int] = []
    stage = DeliverStage(Outputs(), lambda: 1.0, Progress(), lambda m: seen.append(m.sequence))
    stage.push(FinishedFrame(frame(1, image=False)))
    stage.push(FinishedFrame(frame(2, image=False)))
    stage.give_up(FinishedFrame(frame(0, image=True)))
    assert seen == [1, 2]
