"""What is found of electrodes: the simulator's faults and nothing else; reliability as computed directly."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import SessionError
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.disturbances import DisturbanceSpec, DisturbedStream
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.raw_voltage import RawVoltage, VoltageSpec
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.electrode_findings import electrode_findings
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.simulated_reader import SimulatedReader
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from tests.offline.recordings.formats.written_files import mat73

SMALL = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
FAULTS = SessionPlan(
    n_train=10,
    n_test=12,
    n_repeats=4,
    day=DaySpec(gain_sd=0.0, offset_sd=0.0, dead_share=0.06),
    disturbances=DisturbanceSpec(bursting_share=0.05, bursts_per_min=20),
    channels=SMALL,
)
HERE = Path("simulated.h5")


def dead_on(day):
    assert isinstance(day.macaque, MacaqueOnDay)
    return day.macaque.day.dead


def bursting_samples(stream):
    """Return how many samples of each column are in bursts."""
    found = np.zeros(192, np.int64)
    for event in stream.events:
        if event.kind == "burst":
            found[event.first] += event.stop - event.start
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A day with dead and bursting electrodes on disk, and which they are."""
    simulated = simulated_set(FAULTS)
    day = simulated.days[0]
    path = tmp_path_factory.mktemp("faults") / "monday.h5"
    write_session_hdf5(simulated.reader(day, path), path)
    dead = dead_on(day)
    return path, dead, (bursting_samples(day.stream) > 0) & ~dead


def test_dead_and_bursting_electrodes_are_the_simulators(session, no_stage):
    path, dead, bursting = session
    with open_recording(path) as reader:
        found = electrode_findings(reader, no_stage)
    assert dead.sum() > 5
    assert bursting.sum() > 5
    np.testing.assert_array_equal(found.quality.dead, dead)
    np.testing.assert_array_equal(found.quality.bursting, bursting)
    np.testing.assert_array_equal(found.kept(), ~(dead | bursting))
    assert found.repeats is not None
    np.testing.assert_array_equal(
        found.kept(0.3), ~(dead | bursting) & (found.repeats.reliability > 0.3)
    )
    assert found.judged == f"{reader.n_samples} samples at 1000 Hz"


def test_reliability_is_that_of_window_means_of_test_stimuli(session, no_stage):
    path, dead, _ = session
    with open_recording(path) as reader:
        found = electrode_findings(reader, no_stage).repeats
        whole, trials = reader.read(0, reader.n_samples), reader.trials()
    assert found is not None
    assert (found.n_stimuli, found.n_repetitions, found.of_test) == (12, (4, 4), True)
    lag = {"V1": 25, "V4": 50, "IT": 75}
    means: dict[str, list[np.ndarray]] = {
        stimulus: [] for stimulus in trials.stimulus if stimulus.startswith("test")
    }
    for stimulus, onset in zip(trials.stimulus, trials.onset_idx.tolist(), strict=True):
        if stimulus in means:
            cut = [
                whole[onset + lag[roi] : onset + lag[roi] + 100, own]
                .astype(np.float64)
                .mean(axis=0)
                for roi in ("V1", "V4", "IT")
                for own in [SMALL.channels_of(roi)]
            ]
            means[stimulus].append(np.concatenate(cut))
    values = np.array([means[s] for s in sorted(means)])  # (stimulus, repetition, channel)
    halves = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    r = np.array(
        [
            [
                np.corrcoef(values[:, a, k].mean(axis=1), values[:, b, k].mean(axis=1))[0, 1]
                for k in range(192)
            ]
            for a, b in halves
        ]
    )
    # A hundred random splits are these three, about as often each.
    assert (found.reliability >= r.min(axis=0) - 1e-4).all()
    assert (found.reliability <= r.max(axis=0) + 1e-4).all()
    np.testing.assert_allclose(found.reliability, r.mean(axis=0), atol=0.15)
    assert found.reliability[~dead].mean() > 0.4 > 0.2 > found.reliability[dead].mean()
    assert (found.ceiling_averaged >= found.ceiling).all()


def test_gain_and_offset_of_a_day_do_not_touch_reliability(session, no_stage, tmp_path, rng):
    found = []
    for name, gain, offset in (("a", np.ones(192), np.zeros(192)), ("b", *rng.random((2, 192)))):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(session[0].read_bytes())
        with h5py.File(path, "r+") as file:
            onsets = file["trials/onset_idx"][:]
            second = np.arange(len(onsets)) >= len(onsets) // 2
            file["trials/day"][:] = np.where(second, 2, 1)
            start = int(onsets[second][0]) - 100
            data = file["mua/data"]
            data[start:] = (data[start:] * (0.2 + 5 * gain) + 300 * offset).astype("f4")
        with open_recording(path) as reader:
            repeats = electrode_findings(reader, no_stage).repeats
        assert repeats is not None
        found.append(repeats.reliability)
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)


def test_of_voltage_the_live_chains_mua_is_judged(no_stage):
    simulated = simulated_set(FAULTS)
    day = simulated.days[0]
    w = simulated.macaque.latents.draw(np.random.default_rng(4), 4)
    spec = DisturbanceSpec(bursting_share=0.05, bursts_per_min=60, burst_uv=4000)
    mua = DisturbedStream(SimulatedStream(day.macaque, w, Protocol(), 5), spec, 6, 1000.0)
    voltage = DisturbedStream(RawVoltage(mua, VoltageSpec(), 7), DisturbanceSpec(), 8, 30_000.0)
    shown = type(day.shown)(tuple("abcd"), ("",) * 4)
    ids = list("abcd")
    reader = SimulatedReader(HERE, voltage, 30_000.0, SMALL, shown, (ids, w), {}, 1)
    found = electrode_findings(reader, no_stage)
    dead, in_bursts = dead_on(day), bursting_samples(mua)
    assert found.judged == f"{reader.n_samples // 30} samples at 1000 Hz, causal MUA of the voltage"
    never, long = in_bursts == 0, in_bursts >= 100
    assert (long & ~dead).sum() > 3
    assert not found.quality.good[long].any()
    np.testing.assert_array_equal(found.quality.dead[never], dead[never])
    assert not found.quality.bursting[never].any()
    assert found.repeats is None
    assert found.no_repeats == "0 stimuli were shown more than once, reliability takes 10"
    with pytest.raises(SessionError, match=r"reliability above 0\.3: 0 stimuli were shown"):
        found.kept(0.3)


def responses(path, rng, **arrays):
    signal = rng.standard_normal((14, 1024))
    repeated = signal + rng.standard_normal((6, 14, 1024))
    train = rng.standard_normal((30, 1024))
    repeated[:, :, 5] = train[:, 5] = 0.0
    # A selective neuron: no burst.
    train[3, 7] = 40.0
    found = {"train_MUA": train, "test_MUA": repeated.mean(axis=0), "test_MUA_reps": repeated}
    folder = path / "monkeyN"
    folder.mkdir()
    return mat73(folder / "THINGS_normMUA.mat", {**found, **arrays}), repeated


def test_responses_with_repetitions_are_judged_by_these(no_stage, tmp_path, rng):
    path, repeated = responses(tmp_path, rng)
    with open_recording(path) as reader:
        found = electrode_findings(reader, no_stage)
        channels = reader.channels
    assert np.flatnonzero(found.quality.dead).tolist() == np.flatnonzero(channels.stream_idx == 5)
    assert not found.quality.bursting.any()
    assert found.repeats is not None
    assert (found.repeats.n_stimuli, found.repeats.n_repetitions) == (14, (6, 6))
    kept = repeated[:, :, channels.stream_idx]
    between = kept.mean(axis=0).var(axis=0, ddof=1)
    noise = kept.var(axis=0, ddof=1).mean(axis=0)
    q = np.maximum(between - noise / 6, 0) / np.maximum(
        np.maximum(between - noise / 6, 0) + noise, 1e-9
    )
    np.testing.assert_allclose(found.repeats.ceiling, np.sqrt(q), atol=1e-5)
    good = found.quality.good
    assert np.isnan(found.repeats.reliability[~good]).all()
    # Halves of three repetitions at a signal to noise of one: r = 1 / (1 + 1/3).
    assert found.repeats.reliability[good].mean() == pytest.approx(0.75, abs=0.02)
    assert found.kept(0.3)[~good].sum() == 0


def test_responses_without_repetitions_say_so(no_stage, tmp_path, rng):
    path, _ = responses(tmp_path, rng)
    with h5py.File(path, "r+") as file:
        file["oracle"] = np.zeros((1, 1024))
        del file["test_MUA_reps"]
    with open_recording(path) as reader:
        found = electrode_findings(reader, no_stage)
    assert found.repeats is None
    assert found.no_repeats == "the file keeps no repetitions (test_MUA_reps)"
    assert found.share_reliable() == 0.0
