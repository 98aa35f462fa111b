from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from b2g_rt.errors import StimulusError
from offline.stimuli.synthesis.vectors import linear, shifted, spherical, through

LATENTS = arrays(np.float32, 6, elements=st.floats(-8, 8, width=32))


def _apart(a, b):
    cosine = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
    return min(np.linalg.norm(a), np.linalg.norm(b)) > 0.1 and abs(cosine) < 0.999


@given(LATENTS, LATENTS, st.floats(0, 1))
def test_a_great_circle_keeps_to_the_lengths_and_to_the_plane_of_its_ends(a, b, t):
    if not _apart(a, b):
        return
    between = spherical(a, b, np.array([0.0, t, 1.0]))
    assert np.allclose(between[[0, 2]], [a, b], atol=1e-5)
    length = (1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b)
    assert np.linalg.norm(between[1]) == pytest.approx(length, rel=1e-5)
    plane, *_ = np.linalg.lstsq(np.stack([a, b], axis=1).astype(float), between[1], rcond=None)
    assert np.allclose(plane[0] * a + plane[1] * b, between[1], atol=1e-4)


def test_steps_on_a_great_circle_turn_by_the_same_angle():
    a, b = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    between = spherical(a, b, np.linspace(0, 1, 4))
    angle = np.degrees(np.arctan2(between[:, 1], between[:, 0]))
    assert np.allclose(angle, [0, 30, 60, 90])


def test_the_same_latent_twice_gives_a_way_that_stays():
    a = np.array([1.0, 2.0, 3.0], np.float32)
    assert np.allclose(spherical(a, a, np.linspace(0, 1, 3)), a)


@pytest.mark.parametrize(("b", "told"), [([-1, -2], "opposite directions"), ([0, 0], "length 0")])
def test_where_there_is_no_one_great_circle_it_is_refused(b, told):
    with pytest.raises(StimulusError, match=told):
        spherical(np.array([1.0, 2.0]), np.array(b, float), np.array([0.5]))


@given(st.lists(LATENTS, min_size=2, max_size=4), st.integers(2, 6))
def test_a_way_passes_its_stops_exactly(stops, n_steps):
    points, position = through(np.stack(stops), n_steps, "linear")
    assert len(points) == len(position) == (len(stops) - 1) * (n_steps - 1) + 1
    assert np.array_equal(points[:: n_steps - 1], np.stack(stops))
    assert np.array_equal(position[:: n_steps - 1], np.arange(len(stops)))


def test_the_middle_of_a_straight_line_is_the_mean():
    a, b = np.array([0.0, 2.0]), np.array([4.0, 4.0])
    assert linear(a, b, np.array([0.5])).tolist() == [[2.0, 3.0]]


@given(LATENTS, LATENTS, LATENTS)
def test_a_plus_b_minus_c(a, b, c):
    moved = shifted(a, b[None], c[None], np.array([0.0, 1.0, 2.0]))
    exact = [a + f * (b.astype(float) - c) for f in (0, 1, 2)]
    assert np.array_equal(moved, np.array(exact, np.float32))


def test_a_side_of_several_stimuli_is_their_mean_and_an_empty_one_is_zero():
    add = np.array([[1.0, 0.0], [3.0, 4.0]])
    moved = shifted(np.zeros(2), add, np.empty((0, 2)), np.array([1.0]))
    assert moved.tolist() == [[2.0, 2.0]]
