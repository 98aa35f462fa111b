"""Windows to latents in the service, trial by trial: holds what a decoder remembers from window to window.

The seam between the decode stage and whatever decodes: the stage knows ``DecodesWindows`` only, so anything that
satisfies it may stand around ``TrialDecoder`` (``Service`` in graph.py builds it) and look at features, window,
trial and latent on their way. It is called in the decode thread alone, once for every window that has features, in
the order in which windows close; whatever it remembers changes nowhere else.

The rule is that of offline/decoding/stepping.py: nothing is remembered before a trial's first window, and a window
without features (it never comes here) changes nothing. Trials overlap, and late windows of an old trial may come
after the first ones of a new one, so each has its own state. A free-running decoder has one state for the stream,
and begins anew where windows were lost for longer than a window lasts (``begins_anew``).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import DecoderStep
from b2g_rt.contracts.windows import DueWindow, WindowSpec, begins_anew

MAX_TRIALS = 256
"""Trials whose state is held; windows of so many never interleave."""

Float32 = NDArray[np.float32]


class DecodesWindows(Protocol):
    """What the decode stage needs."""

    def decode(self, features: Float32, window: DueWindow) -> Float32:
        """Decode one window.

        Parameters
        ----------
        features : float32, axes (channel,), z units
        window : DueWindow
            Which window of which trial (``window.trial`` is None when free running).

        Returns
        -------
        float32, axes (latent,)
        """


class TrialDecoder:
    """The bundle's decoder, and what it remembers of each open trial.

    Parameters
    ----------
    step : callable
        (features (channel,), window_idx, state (number,)) -> (latent (latent,), state (number,)), float32; see
        ``Decoder.step``.
    n_state : int
        Numbers that it remembers; 0: none.
    spec : WindowSpec
    """

    def __init__(self, step: DecoderStep, n_state: int, spec: WindowSpec) -> None:
        self._step = step
        self._blank = np.zeros(n_state, np.float32)
        self._last_idx = spec.n_windows - 1 if spec.anchor == "marker" else None
        self._spec = spec
        # By trial; None is the free-running stream. With the state: where its last window started.
        self._states: OrderedDict[int | None, tuple[int, Float32]] = OrderedDict()

    @property
    def n_held(self) -> int:
        """Trials whose state is held."""
        return len(self._states)

    def decode(self, features: Float32, window: DueWindow) -> Float32:
        """Decode one window; see ``DecodesWindows``."""
        if not len(self._blank):
            return self._step(features, window.window_idx, self._blank)[0]
        trial = window.trial.trial if window.trial else None
        latent, state = self._step(features, window.window_idx, self._before(trial, window.start))
        self._keep(trial, window, state)
        return latent

    def _before(self, trial: int | None, start: int) -> Float32:
        last_start, state = self._states.get(trial, (start, self._blank))
        paused = trial is None and begins_anew(self._spec, last_start, start)
        return self._blank if paused else state

    def _keep(self, trial: int | None, window: DueWindow, state: Float32) -> None:
        if window.window_idx == self._last_idx:
            self._states.pop(trial, None)
            return
        self._states[trial] = (window.start, state)
        self._states.move_to_end(trial)
        while len(self._states) > MAX_TRIALS:
            self._states.popitem(last=False)
