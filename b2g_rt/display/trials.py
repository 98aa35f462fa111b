"""What the display knows of the trials: the one that is running, the last eight, the identification rate.

Fed by the topic ``events``, which loses nothing. Guarded by the model's lock; knows no sockets and no widgets.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from b2g_rt.contracts.messages import (
    EncodingMessage,
    FrameMessage,
    StimulusMessage,
    TrialMessage,
    floats_of,
    pixels_of,
)
from b2g_rt.display.snapshot import (
    Encoding,
    IdentificationPoint,
    Picture,
    Stimulus,
    TrialProgress,
    TrialRow,
    WindowMark,
)

N_STRIP = 8
# The marker's stamp and the onset on the fitted sample clock are the same event, not the same number.
_SAME_ONSET_S = 1.0
_N_HISTORY = 2000

OfTrials = FrameMessage | StimulusMessage | TrialMessage | EncodingMessage


def span_ms(frame: FrameMessage, onset_s: float, speed: float) -> tuple[float, float]:
    """Return the window's start and stop after onset, in milliseconds of the recording.

    Parameters
    ----------
    frame : FrameMessage
    onset_s : float
        Its trial's onset, LSL clock.
    speed : float
        Replayed seconds per second: a slowed replay's windows are as long as in the recording.
    """
    start_ms = 1000 * speed * (frame.window_start_s - onset_s)
    stop_ms = 1000 * speed * (frame.window_stop_s - onset_s)
    return _settled(start_ms), _settled(stop_ms)


def _settled(time_ms: float) -> float:
    # The onset lies up to half a sample beside the window's anchor, and the fitted clock moves a little:
    # windows stand on round numbers, and a label should not flicker between 99 and 101.
    step = 5 * round(time_ms / 5)
    return float(step if abs(step - time_ms) <= 1.5 else round(time_ms))


class Trials:
    """Newest state of the trials."""

    def __init__(self) -> None:
        self.progress: TrialProgress | None = None
        self.spans_ms: tuple[tuple[float, float] | None, ...] = ()
        self.strip: tuple[TrialRow, ...] = ()
        self.identification: tuple[IdentificationPoint, ...] = ()
        self.pool = 0
        self.encoding: Encoding | None = None
        self._rows: OrderedDict[int, TrialRow] = OrderedDict()
        self._history: deque[IdentificationPoint] = deque(maxlen=_N_HISTORY)
        self._sequence = -1
        self._stimulus_trial = -1
        self._scored_trial = -1
        self._encoded_trial = -1

    def is_of_another_run(self, message: OfTrials) -> bool:
        """Whether the message counts from the beginning again; then a new ``Trials`` must take it."""
        match message:
            case FrameMessage():
                return message.sequence <= self._sequence
            case StimulusMessage():
                return message.trial <= self._stimulus_trial
            case TrialMessage():
                return message.trial <= self._scored_trial
            case EncodingMessage():
                return message.trial <= self._encoded_trial

    def n_missing_before(self, frame: FrameMessage) -> int:
        """Return how many frames were lost between the last one and this one, on their way here."""
        return 0 if self._sequence < 0 else max(0, frame.sequence - self._sequence - 1)

    def take(self, message: OfTrials, speed: float) -> None:
        """Take a message of this run.

        Parameters
        ----------
        message
            From the topic ``events``.
        speed : float
            Replayed seconds per second: a slowed replay's windows are as long as in the recording.
        """
        match message:
            case StimulusMessage():
                self._take_stimulus(message)
            case FrameMessage():
                self._take_frame(message, speed)
            case TrialMessage():
                self._take_scores(message)
            case EncodingMessage():
                self._take_encoding(message)

    def painted(self, picture: Picture) -> None:
        """Keep the picture as its trial's final one, unless a later window's was painted."""
        frame = picture.frame
        row = None if frame.trial is None else self._rows.get(frame.trial)
        if row is None or (row.stimulus is not None and row.stimulus.name != frame.stimulus):
            return
        if row.picture is None or frame.window_idx > row.picture.frame.window_idx:
            self._put(replace(row, picture=picture))

    def stimulus_of(self, frame: FrameMessage) -> Stimulus | None:
        """Return the stimulus of the frame's trial, or None while unknown."""
        row = None if frame.trial is None else self._rows.get(frame.trial)
        if row is None or row.stimulus is None or row.stimulus.name != frame.stimulus:
            return None
        same = frame.onset_s is None or abs(frame.onset_s - row.stimulus.onset_s) < _SAME_ONSET_S
        return row.stimulus if same else None

    def _take_stimulus(self, message: StimulusMessage) -> None:
        pixels = None if message.image is None else pixels_of(message.image)
        self._stimulus_trial = message.trial
        stimulus = Stimulus(message.trial, message.stimulus, message.onset_s, pixels)
        row = self._rows.get(message.trial, TrialRow(message.trial, None, None, None))
        self._put(replace(row, stimulus=stimulus))
        if self.progress is None or self.progress.trial < message.trial:
            marks = (None,) * len(self.spans_ms)
            self.progress = TrialProgress(message.trial, message.stimulus, message.onset_s, marks)

    def _take_frame(self, frame: FrameMessage, speed: float) -> None:
        self._sequence = frame.sequence
        if (
            frame.trial is None
            or frame.onset_s is None
            or not 0 <= frame.window_idx < frame.n_windows
        ):
            return
        self._learn_span(frame, frame.onset_s, speed)
        before = self.progress
        if before is not None and before.trial > frame.trial:
            return
        marks: list[WindowMark | None] = [None] * frame.n_windows
        if before is not None and before.trial == frame.trial and len(before.marks) == len(marks):
            marks = list(before.marks)
        flags = frame.flags
        outcome = "dropped" if flags.dropped else "skipped" if flags.skipped else "decoded"
        marks[frame.window_idx] = WindowMark(outcome, flags.late)  # type: ignore[arg-type]
        self.progress = TrialProgress(
            frame.trial, frame.stimulus or "", frame.onset_s, tuple(marks)
        )
        if frame.trial not in self._rows:
            self._put(TrialRow(frame.trial, None, None, None))

    def _learn_span(self, frame: FrameMessage, onset_s: float, speed: float) -> None:
        spans: list[tuple[float, float] | None] = [None] * frame.n_windows
        if len(self.spans_ms) == frame.n_windows:
            spans = list(self.spans_ms)
        span = span_ms(frame, onset_s, speed)
        if spans[frame.window_idx] != span:
            spans[frame.window_idx] = span
            self.spans_ms = tuple(spans)

    def _take_scores(self, scores: TrialMessage) -> None:
        self._scored_trial = scores.trial
        row = self._rows.get(scores.trial, TrialRow(scores.trial, None, None, None))
        self._put(replace(row, scores=scores))
        self._history.append(IdentificationPoint(scores.n_trials, scores.two_way_mean))
        self.identification = tuple(self._history)
        self.pool = scores.pool

    def _take_encoding(self, message: EncodingMessage) -> None:
        self._encoded_trial = message.trial
        self.encoding = Encoding(
            message,
            floats_of(message.predicted, "predicted"),
            floats_of(message.observed, "observed"),
            None if message.trial_r is None else floats_of(message.trial_r, "trial_r"),
        )

    def _put(self, row: TrialRow) -> None:
        self._rows[row.trial] = row
        while len(self._rows) > N_STRIP + 4:
            self._rows.popitem(last=False)
        newest = max(self._rows)
        # A trial joins the strip when it is over: scored, or followed by another.
        over = [r for r in self._rows.values() if r.scores is not None or r.trial < newest]
        strip = tuple(sorted(over, key=lambda r: r.trial)[-N_STRIP:])
        if len(strip) != len(self.strip) or any(
            a is not b for a, b in zip(strip, self.strip, strict=True)
        ):
            self.strip = strip
