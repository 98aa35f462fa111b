from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import ConfigError
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.decoding.stepping import Decodes
from offline.evaluation.decoded_windows import decode_mua
from offline.evaluation.evaluation_memory import EvaluationSize, bounded, plan_evaluation
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.report.contents import report_contents
from offline.evaluation.report.held_out_trials import HeldOutTrials, ReportedDecoder, SlidTrials
from offline.evaluation.scores import KnownTrials, score
from offline.evaluation.slid_windows import slid_windows
from offline.evaluation.trained_stimuli import TrainedStimuli
from offline.recordings.features_file import FeaturesFile
from offline.recordings.mua_source import MuaTrials
from offline.recordings.recording import BLOCK_SAMPLES, Block
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.resources import Resources

GIB = 1024**3
MARKED = WindowSpec(1000.0, 100, 50, "marker", first_start=-50, n_windows=3)
FREE = WindowSpec(1000.0, 100, 25, "free")


class Noise:
    """A recording of noise that is made while it is read."""

    def __init__(self, n_arrays, n_samples):
        slots = tuple(ArraySlot(i, ("V1", "IT")[i % 2], 64 * i) for i in range(n_arrays))
        self.channels = ChannelMap(64 * n_arrays, slots)
        self.n_samples = n_samples

    def blocks(self, n_samples=BLOCK_SAMPLES):
        rng = np.random.default_rng(8)
        for start in range(0, self.n_samples, n_samples):
            n = min(n_samples, self.n_samples - start)
            values = rng.standard_normal((n, self.channels.n_channels), np.float32)
            yield Block(np.arange(start, start + n), values)


def world_of(n_trials, n_arrays, n_latents, n_stimuli, *, spec, smoothed):
    recording = Noise(n_arrays, 400 * n_trials + 500)
    onsets = 200 + 400 * np.arange(n_trials)
    mua = MuaTrials(recording, onsets, 0, recording.n_samples)
    n_channels = recording.channels.n_channels
    chain = FeatureChain(
        recording.channels, spec, np.zeros(n_channels), np.ones(n_channels), Normalisation()
    )
    rng = np.random.default_rng(9)
    n_maps = 1 if spec.anchor == "free" else spec.n_windows
    down = rng.standard_normal((n_maps, n_channels, n_latents)).astype(np.float16)
    linear = LinearDecoder(down, None, np.zeros((n_maps, n_latents), np.float32))
    decoder: Decodes = linear
    if smoothed:
        half = np.full(n_maps, 0.5, np.float32)
        smoothing = Smoothing(half, half, 0 * half, np.zeros(n_latents, np.float32))
        decoder = SmoothedDecoder(linear, smoothing)
    pool = rng.standard_normal((n_stimuli, n_latents)).astype(np.float32)
    true_idx = (np.arange(n_trials) % n_stimuli).astype(np.int64)
    return mua, chain, decoder, KnownTrials(pool, true_idx, np.zeros(n_latents, np.float32))


def evaluated(mua, chain, decoder, known, resources, no_stage, *, reported):
    """Decode and score as the command does, without files around it."""
    features, decoded = decode_mua(decoder, chain, mua, resources=resources)
    free = chain.windows.anchor == "free"
    slid = slid_windows(decoder, chain, mua, resources=resources) if reported and free else None
    scores = score(decoded, known)
    if not reported:
        return features, scores.to_dict()
    names = tuple(f"face-{i:03d}" for i in known.true_idx)
    trials = HeldOutTrials(names, features, decoded, known)
    every = np.arange(len(names))
    over_time = None
    if slid is not None:
        all_windows = HeldOutTrials(names, slid.features, slid.decoded, known)
        over_time = SlidTrials(all_windows.chosen(every), slid.windows)
    seen = TrainedStimuli(frozenset({"trained"}), 9 + known.pool[:1], known.mean)
    reading = ReportedDecoder(decoder, free, chain.channels, chain.windows, seen, resources.workers)
    chosen = trials.chosen(every)
    repeated = chosen.repeated()
    averaged = repeated.averaged(reading.decode)
    return features, report_contents(chosen, averaged, reading, scores, no_stage, over_time)


def peak_of(function):
    gc.collect()
    tracemalloc.start()
    try:
        found = function()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


MANY_TRIALS = (400, 1, 20, 50)
MANY_CHANNELS = (60, 12, 12, 30)
MANY_LATENTS = (60, 1, 900, 30)
MANY_STIMULI = (400, 1, 20, 200)


@pytest.fixture(scope="module", autouse=True)
def _imported(no_stage, tmp_path_factory):
    """Modules that are imported on the way belong to the program itself."""
    resources = Resources(LocalWorkers(2), GIB, tmp_path_factory.mktemp("scratch"))
    mua, chain, decoder, known = world_of(20, 1, 5, 10, spec=MARKED, smoothed=False)
    evaluated(mua, chain, decoder, known, resources, no_stage, reported=True)


@pytest.mark.parametrize("in_file", [False, True], ids=["held", "file"])
@pytest.mark.parametrize(
    ("shape", "spec", "smoothed", "reported"),
    [
        (MANY_TRIALS, MARKED, False, False),
        (MANY_CHANNELS, MARKED, True, False),
        (MANY_LATENTS, MARKED, False, False),
        (MANY_STIMULI, FREE, True, False),
        (MANY_CHANNELS, FREE, True, False),
        (MANY_TRIALS, MARKED, False, True),
        (MANY_CHANNELS, MARKED, True, True),
        (MANY_LATENTS, MARKED, False, True),
        (MANY_CHANNELS, FREE, False, True),
        (MANY_STIMULI, FREE, False, True),
    ],
)
def test_an_evaluation_takes_no_more_than_its_figure_and_more_than_a_tenth(
    shape, spec, smoothed, reported, in_file, no_stage, tmp_path, monkeypatch
):
    if in_file:
        monkeypatch.setattr(Resources, "held_features", 0)
    mua, chain, decoder, known = world_of(*shape, spec=spec, smoothed=smoothed)
    resources = Resources(LocalWorkers(2), GIB, tmp_path)
    size = EvaluationSize.of(decoder, chain, known, reported=reported)
    figure = plan_evaluation(size, resources)
    assert figure.in_file == in_file
    taken, (features, _) = peak_of(
        lambda: evaluated(mua, chain, decoder, known, resources, no_stage, reported=reported)
    )
    assert isinstance(features, FeaturesFile) == in_file
    assert figure.here / 10 < taken <= figure.here


class Cluster:
    """The size of one: 3 processes of 2 threads."""

    here = False
    n_slots = 6
    slots_per_process = 2

    def run(self, *args, **kwargs):
        raise NotImplementedError


LARGE = EvaluationSize(4000, 9, 960, 512, 0, 1000)


def test_features_that_are_too_many_count_no_longer(tmp_path):
    def planned(n_bytes, workers=None):
        return plan_evaluation(LARGE, Resources(workers or LocalWorkers(2), n_bytes, tmp_path))

    held, in_file = planned(4 * GIB), planned(GIB // 2)
    assert (held.in_file, in_file.in_file) == (False, True)
    n_bytes = 4 * 4000 * 9 * 960
    assert held.here - in_file.here == pytest.approx(n_bytes, rel=0.05)
    assert in_file.here < GIB // 2
    assert "(2 pieces at once, features in a file)" in in_file.line()
    assert "worker" not in in_file.line()
    there = planned(4 * GIB, Cluster())
    assert 0 < there.each_worker < held.here
    assert "in each worker" in there.line()


def test_a_report_takes_more(tmp_path):
    resources = Resources(LocalWorkers(2), 4 * GIB, tmp_path)
    reported = replace(LARGE, reported=True)
    assert plan_evaluation(reported, resources).here > plan_evaluation(LARGE, resources).here


def test_too_little_memory_is_one_clear_line_with_what_is_needed(tmp_path):
    resources = Resources(LocalWorkers(2), 10 * 1024**2, tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"evaluate: 4000 trials, 1000 stimuli, .* take \S+ MiB, --memory is 10 MiB. Give more\.",
    ):
        bounded(LARGE, resources, lambda line, total: pytest.fail(line))
    with pytest.raises(ConfigError, match="leave out --report"):
        plan_evaluation(replace(LARGE, reported=True), resources)


def test_the_figure_is_said_where_there_is_a_bound(tmp_path):
    said = []

    def stage(line, total):
        said.append(line)
        return lambda done: None

    assert bounded(LARGE, None, stage) is None
    assert not said
    resources = Resources(LocalWorkers(2), 4 * GIB, tmp_path)
    assert bounded(LARGE, resources, stage).workers.n_slots == 2
    assert said == [plan_evaluation(LARGE, resources).line()]


def test_many_processors_do_fewer_pieces_at_once_rather_than_take_more(tmp_path, monkeypatch):
    reported = replace(LARGE, reported=True)
    resources = Resources(LocalWorkers(64), 2 * GIB, tmp_path)
    plan = plan_evaluation(reported, resources)
    assert 1 < plan.at_once < 64
    assert plan.here <= 2 * GIB
    assert (
        bounded(reported, resources, lambda line, total: lambda n: None).workers.n_slots
        == plan.at_once
    )
    monkeypatch.setattr(Cluster, "slots_per_process", 32)
    monkeypatch.setattr(Cluster, "n_slots", 64)
    there = plan_evaluation(reported, Resources(Cluster(), 2 * GIB, tmp_path))
    # All of them may come to one worker.
    assert 1 < there.at_once < 32
    assert max(there.here, there.each_worker) <= 2 * GIB
