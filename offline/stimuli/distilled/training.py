"""The training loop: targets, loss, optimiser, moving average; stops and goes on at any step.

The schedule follows the share of the budget that is used up: of steps, where the result must be the same everywhere,
or of minutes. Minutes are active ones: a stopped process does not use them up. Must not know commands or files other
than its checkpoint.
"""

from __future__ import annotations

import ctypes
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from b2g_rt.errors import GeneratorError
from offline.stimuli.distilled import checkpoint
from offline.stimuli.distilled.checkpoint import TrainingState
from offline.stimuli.distilled.losses import distance, pooled
from offline.stimuli.distilled.optimiser import Orthogonal
from offline.stimuli.distilled.pictures import Renderer, parameters_of_step
from offline.stimuli.distilled.plan import Plan
from offline.stimuli.distilled.training_network import TrainingNetwork

log = logging.getLogger(__name__)

HISTORY_EVERY = 25
CHECKPOINT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: so many active minutes, or so many steps.

    Attributes
    ----------
    minutes : float or None
    steps : int or None
        One of the two.
    """

    minutes: float | None = None
    steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return the share that is used up, 1 at the end."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        if self.minutes is None:
            raise ValueError("Budget: neither minutes nor steps, expected one of them.")
        return min(seconds / (60.0 * self.minutes), 1.0)


class Training:
    """A training that begins, or goes on where its folder's checkpoint stands.

    Parameters
    ----------
    plan : Plan
    renderer : Renderer
    folder : Path
        Of the checkpoint.
    budget : Budget

    Raises
    ------
    CheckpointError
        See ``checkpoint.load``.
    """

    def __init__(self, plan: Plan, renderer: Renderer, folder: Path, budget: Budget) -> None:
        keep_memory()
        self.plan, self.renderer, self.folder, self.budget = plan, renderer, folder, budget
        self.network = TrainingNetwork(plan)
        self._optimiser = Orthogonal(self.network.parameters(), 0.0, plan.momentum, plan.betas)
        self.average = {
            name: value.detach().clone()
            for name, value in self.network.synthesis.named_parameters()
        }
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.history: list[tuple[int, float, int, float]] = []
        self._losses: list[float] = []
        self._phase_began = (0, 0)  # phase, step
        state = checkpoint.load(folder, plan.digest())
        if state is not None:
            self._restore(state)

    @property
    def progress(self) -> float:
        """Share of the budget that is used up."""
        return self.budget.progress(self.step, self.seconds)

    def run(
        self,
        done: Callable[[float], None] = lambda progress: None,
        watch: Callable[[Training], None] = lambda training: None,
    ) -> bool:
        """Train until the budget is used up.

        Parameters
        ----------
        done : callable
            Gets the progress after every step.
        watch : callable
            Gets the training after every checkpoint.

        Returns
        -------
        bool
            False: interrupted (Ctrl-C); the checkpoint is written, and the same call goes on.

        Raises
        ------
        GeneratorError
            The loss is no number any more.
        """
        saved = time.monotonic()
        with _interruptions() as interrupted:
            while self.progress < 1.0 and not interrupted.is_set():
                wall, busy = time.monotonic(), time.process_time()
                self._train_step()
                # While the process is stopped the wall clock runs and its own time does not.
                self.seconds += min(time.monotonic() - wall, time.process_time() - busy)
                done(self.progress)
                if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                    self.save()
                    watch(self)
                    saved = time.monotonic()
        self.save()
        return self.progress >= 1.0

    def save(self) -> None:
        """Write the checkpoint."""
        state = TrainingState(
            plan_digest=self.plan.digest(),
            step=self.step,
            images=self.images,
            seconds=self.seconds,
            network=self.network.state_dict(),
            average=self.average,
            optimiser=self._optimiser.state_dict(),
            history=self.history,
            losses=self._losses,
            phase_began=self._phase_began,
        )
        checkpoint.save(state, self.folder)

    def averaged(self) -> TrainingNetwork:
        """Return the network with the moving average of its weights: the result."""
        network = TrainingNetwork(self.plan)
        network.load_state_dict(self.network.state_dict())
        network.synthesis.load_state_dict({**self.network.synthesis.state_dict(), **self.average})
        return network.eval()

    def _restore(self, state: TrainingState) -> None:
        self.network.load_state_dict(state.network)
        self._optimiser.load_state_dict(state.optimiser)
        self.average = state.average
        self.step, self.images, self.seconds = state.step, state.images, state.seconds
        self.history, self._losses = state.history, state.losses
        self._phase_began = state.phase_began

    def _train_step(self) -> None:
        phase_idx, share = self.plan.phase_at(self.progress)
        phase = self.plan.phases[phase_idx]
        if phase_idx != self._phase_began[0]:
            self._phase_began = (phase_idx, self.step)
        first, last = phase.learning_rate
        rate = last + (first - last) * 0.5 * (1 + math.cos(math.pi * share))
        warmth = (self.step - self._phase_began[1] + 1) / self.plan.warm_up_steps
        for group in self._optimiser.param_groups:
            group["lr"] = rate * min(warmth, 1.0)

        parameters = parameters_of_step(self.plan, self.step, phase_idx, share)
        wanted = pooled(self.renderer.pictures(parameters), phase.rate).contiguous()
        self._optimiser.zero_grad(set_to_none=True)
        found = self.network(parameters, phase.rate)
        loss = distance(found, wanted, self.plan.losses, phase.energy)
        loss.backward()
        self._optimiser.step()
        self._follow()
        self.step += 1
        self.images += phase.batch
        self._note(loss, phase_idx)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; while the training is young it forgets faster."""
        decay = min(self.plan.average_decay, (1 + self.step) / (10 + self.step))
        mine = [value.detach() for value in self.network.synthesis.parameters()]
        torch._foreach_lerp_(list(self.average.values()), mine, 1.0 - decay)

    def _note(self, loss: Tensor, phase_idx: int) -> None:
        self._losses.append(loss.item())
        if not math.isfinite(self._losses[-1]):
            raise GeneratorError(
                f"training: loss {self._losses[-1]} at step {self.step}, expected a number. Report it with the "
                f"checkpoint in {self.folder}."
            )
        if self.step % HISTORY_EVERY == 0:
            mean = sum(self._losses) / len(self._losses)
            self.history.append((self.step, self.progress, phase_idx, mean))
            self._losses = []


def keep_memory() -> None:
    """Let the C library keep freed memory: asking the system for each large tensor again costs a third of the time."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        mmap_threshold, trim_threshold, top_pad = -3, -1, -2
        for option, value in (
            (mmap_threshold, 2**30),
            (trim_threshold, 2**31 - 1),
            (top_pad, 2**28),
        ):
            libc.mallopt(option, value)
    except (OSError, AttributeError):
        log.debug("no mallopt here: training is slower")


@contextmanager
def _interruptions() -> Iterator[threading.Event]:
    """Turn Ctrl-C into an event, so that a step is finished before the checkpoint is written."""
    happened = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield happened
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: happened.set()) for number in watched]
    try:
        yield happened
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
