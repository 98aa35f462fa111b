"""An encoding model drives the simulated macaque."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import EncodingError
from b2g_rt.simulation.days import DaySpec
from b2g_rt.simulation.from_record import faces_macaque
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream
from offline.encoding.driven_macaque import (
    DrivenMacaque,
    DrivenMacaqueOnDay,
    predicted_drive,
    tuned_drive,
    whitened_components,
)
from offline.encoding.encode import encode_space
from offline.features.feature_space import ArrayFeatures

N = 80
IDS = tuple(f"training/{k:04d}" for k in range(1, N + 1))
TUNING = {"V1": ("low",), "V4": ("high",), "IT": ("high", "w")}


@pytest.fixture(scope="module")
def animal() -> Macaque:
    return faces_macaque(channels=_few_channels())


@pytest.fixture(scope="module")
def latents(animal: Macaque) -> np.ndarray:
    return animal.latents.draw(np.random.default_rng(1), N)


@pytest.fixture(scope="module")
def spaces() -> dict[str, ArrayFeatures]:
    rng = np.random.default_rng(2)
    return {
        name: ArrayFeatures(name, IDS, (rng.standard_normal((N, n)) ** 2).astype(np.float32))
        for name, n in (("low", 30), ("high", 500))
    }


@pytest.fixture(scope="module")
def driven(animal: Macaque, latents: np.ndarray, spaces: dict[str, ArrayFeatures]) -> DrivenMacaque:
    return DrivenMacaque(animal, tuned_drive(animal, IDS, latents, TUNING, spaces, n_components=20))


def _few_channels() -> ChannelMap:
    dead = tuple(range(16, 64))
    rois = enumerate(("V1", "V4", "IT"))
    return ChannelMap(192, tuple(ArraySlot(k, roi, 64 * k, False, dead) for k, roi in rois))


def test_every_electrode_is_driven_by_a_space_of_its_roi(driven: DrivenMacaque) -> None:
    space = np.array(driven.drive.space)
    for roi, names in TUNING.items():
        own = space[driven.channels.channels_of(roi)]
        assert {n: int((own == n).sum()) for n in names} == {n: 16 // len(names) for n in names}


def test_a_drive_is_linear_in_its_space_and_in_no_other(
    driven: DrivenMacaque, spaces: dict[str, ArrayFeatures]
) -> None:
    own = np.array(driven.drive.space) == "low"
    x = np.column_stack([np.ones(N), spaces["low"].values.astype(np.float64)])
    fitted = x @ np.linalg.lstsq(x, driven.drive.values, rcond=None)[0]
    rest = np.square(driven.drive.values - fitted).mean(axis=0)
    assert rest[own].max() < 1e-6
    assert rest[~own].min() > 0.2


def test_drives_have_mean_0_and_variance_1(driven: DrivenMacaque) -> None:
    np.testing.assert_allclose(driven.drive.values.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(driven.drive.values.std(axis=0), 1.0, atol=1e-9)


def test_electrodes_of_w_keep_the_animals_own_tuning(
    driven: DrivenMacaque, animal: Macaque, latents: np.ndarray
) -> None:
    own = np.flatnonzero(np.array(driven.drive.space) == "w")
    drive = animal.latents.whiten(latents) @ animal.truth().tuning[own].T
    np.testing.assert_allclose(
        driven.drive.values[:, own], (drive - drive.mean(axis=0)) / drive.std(axis=0), atol=1e-9
    )


def test_the_response_is_evoked_plus_the_drive_scaled_by_q(
    driven: DrivenMacaque, latents: np.ndarray
) -> None:
    truth = driven.truth()
    order = [5, 3, 3]
    wanted = truth.evoked + np.sqrt(truth.q) * driven.drive.values[order]
    np.testing.assert_allclose(driven.response(latents[order]), wanted, atol=1e-12)


def test_with_a_share_the_rest_is_the_calibrated_animals_waves(
    driven: DrivenMacaque, animal: Macaque, latents: np.ndarray
) -> None:
    none = DrivenMacaque(animal, driven.drive, share=0.0).response(latents)
    some = DrivenMacaque(animal, driven.drive, share=0.36).response(latents)
    evoked = driven.truth().evoked
    wanted = 0.6 * (driven.response(latents) - evoked) + 0.8 * (none - evoked)
    np.testing.assert_allclose(some - evoked, wanted, atol=1e-9)
    linear = Macaque(animal.spec, animal.channels, animal.latents)
    linear._truth = replace(animal.truth(), f=np.zeros(animal.channels.n_channels))
    np.testing.assert_allclose(none, linear.response(latents), atol=1e-9)


def test_a_latent_of_no_known_stimulus_is_refused_in_a_line(
    driven: DrivenMacaque, latents: np.ndarray
) -> None:
    with pytest.raises(EncodingError, match="none of its 80 stimuli"):
        driven.response(latents[:2] + 1)


def test_two_stimuli_with_one_latent_are_refused(
    driven: DrivenMacaque, animal: Macaque, latents: np.ndarray
) -> None:
    twice = replace(driven.drive, latents=np.repeat(latents[:40], 2, axis=0))
    with pytest.raises(EncodingError, match="40 different latents"):
        DrivenMacaque(animal, twice)


def test_another_animals_drive_is_refused(driven: DrivenMacaque) -> None:
    with pytest.raises(EncodingError, match=r"drive \(80, 48\)"):
        DrivenMacaque(faces_macaque(), driven.drive)


def test_streams_carry_the_drive(driven: DrivenMacaque, latents: np.ndarray) -> None:
    rows = np.tile(np.arange(N), 6)
    stream = SimulatedStream(driven, latents[rows], Protocol(), 3)
    samples = np.concatenate([block for _, block in stream.blocks(5000)])
    columns = driven.channels.stream_idx
    means = np.stack([samples[o + 75 : o + 125, columns].mean(axis=0) for o in stream.onsets])
    mean = means.reshape(6, N, -1).mean(axis=0)
    r = [np.corrcoef(mean[:, c], driven.drive.values[:, c])[0, 1] for c in range(len(columns))]
    q = driven.truth().q
    assert np.median(np.array(r)[q > 0.3]) > 0.7


def test_the_noise_ceiling_is_what_repeats_leave_of_noise(driven: DrivenMacaque) -> None:
    q = driven.truth().q
    np.testing.assert_allclose(driven.noise_ceiling(), np.sqrt(q))
    np.testing.assert_allclose(driven.noise_ceiling(20) ** 2, q / (q + (1 - q) / 20))


def test_a_day_scales_the_driven_response_and_dead_electrodes_have_none(
    driven: DrivenMacaque, latents: np.ndarray
) -> None:
    day = DrivenMacaqueOnDay(driven, DaySpec(gain_sd=0.2, dead_share=0.2, seed=4), 2)
    gain = np.where(day.day.dead, 0.0, day.day.gain)
    assert day.day.dead.any()
    np.testing.assert_allclose(day.response(latents), driven.response(latents) * gain)


def test_a_day_that_turns_the_tuning_is_refused(driven: DrivenMacaque, animal: Macaque) -> None:
    with pytest.raises(EncodingError, match="--rotation"):
        DrivenMacaqueOnDay(driven, DaySpec(rotation=0.1), 1)
    with pytest.raises(EncodingError, match="features drive"):
        DrivenMacaqueOnDay(animal, DaySpec(), 1)


def test_an_roi_without_a_space_and_a_space_without_features_are_named(
    animal: Macaque, latents: np.ndarray, spaces: dict[str, ArrayFeatures]
) -> None:
    with pytest.raises(EncodingError, match="no feature space for IT"):
        tuned_drive(animal, IDS, latents, {"V1": ("low",), "V4": ("low",)}, spaces)
    with pytest.raises(EncodingError, match="no features VGG9"):
        tuned_drive(animal, IDS, latents, {**TUNING, "V1": ("VGG9",)}, spaces)
    short = {"low": replace(spaces["low"], ids=tuple(f"other/{i}" for i in IDS))}
    with pytest.raises(EncodingError, match="training/0001"):
        tuned_drive(animal, IDS, latents, {roi: ("low",) for roi in TUNING}, short)


def test_whitened_components_are_uncorrelated_with_variance_1(
    spaces: dict[str, ArrayFeatures],
) -> None:
    known = IDS[:60]
    scores = whitened_components(spaces["high"], IDS, known, 12)
    assert scores.shape == (N, 12)
    np.testing.assert_allclose(scores[:60].T @ scores[:60] / 60, np.eye(12), atol=1e-4)


def test_a_space_gives_no_more_components_than_it_has(spaces: dict[str, ArrayFeatures]) -> None:
    few = ArrayFeatures("few", IDS, spaces["low"].values[:, :4])
    assert whitened_components(few, IDS, IDS, 50).shape == (N, 4)
    with pytest.raises(EncodingError, match="the same for all"):
        whitened_components(ArrayFeatures("no", IDS, np.ones((N, 4), np.float32)), IDS, IDS, 5)


def test_a_fitted_encoder_drives_what_it_predicts_and_nothing_else(
    animal: Macaque, latents: np.ndarray, spaces: dict[str, ArrayFeatures]
) -> None:
    y = np.random.default_rng(5).standard_normal((60, animal.channels.n_channels))
    found = encode_space(spaces["low"], IDS[:60], IDS[60:], y, lam=1.0).map
    predicted = found.predict(found.inputs_of(spaces["low"], IDS))
    predicted[:, 0] = 3.0
    names = ["low"] * animal.channels.n_channels
    drive = predicted_drive(IDS, latents, names, predicted)
    macaque = DrivenMacaque(animal, drive)
    assert drive.space[0] == ""
    assert macaque.truth().q[0] == 0
    assert np.ptp(macaque.response(latents)[:, 0]) == 0
    r = [np.corrcoef(macaque.response(latents)[:, c], predicted[:, c])[0, 1] for c in range(1, 48)]
    np.testing.assert_allclose(r, 1.0, atol=1e-6)
