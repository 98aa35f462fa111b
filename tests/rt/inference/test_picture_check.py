from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from b2g_rt.errors import PictureError
from b2g_rt.inference.generator import Generator
from b2g_rt.inference.picture_check import colour_fault, number_fault
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.service.models import load_models
from tests.faulty_generators import BYTES, FLOATS, write_overflowing_bundle
from tests.rt.inference.configured import config_for
from tests.tiny_bundle import N_LATENTS, write_tiny_bundle

CPU = ProviderSettings(request="cpu")


def latents(first: float) -> np.ndarray:
    w = np.random.default_rng(5).standard_normal(N_LATENTS).astype(np.float32)
    w[0] = first
    return w


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (BYTES, "the picture is black throughout"),
        (FLOATS, "768 of 768 values are NaN or infinite"),
    ],
)
def test_a_latent_that_overflows_is_refused_in_one_line_and_the_next_one_is_rendered(
    tmp_path, layout, says
):
    generator = Generator(write_overflowing_bundle(tmp_path / "bundle", layout), CPU)
    good = generator.render(latents(1.0))
    with pytest.raises(PictureError, match=says) as caught:
        generator.render(latents(-1.0))
    line = str(caught.value)
    assert "\n" not in line
    assert "generator.onnx on CPUExecutionProvider" in line
    assert "Lower inference.latent_gain" in line
    np.testing.assert_array_equal(generator.render(latents(1.0)), good)


def test_a_latent_of_nan_gives_no_picture(tmp_path):
    generator = Generator(write_overflowing_bundle(tmp_path / "bundle", FLOATS), CPU)
    with pytest.raises(PictureError, match="NaN"):
        generator.render(np.full(N_LATENTS, np.nan, np.float32))


@pytest.mark.parametrize("layout", [BYTES, FLOATS])
def test_reference_pictures_that_are_none_are_refused_at_load(tmp_path, layout):
    bundle = write_overflowing_bundle(tmp_path / "bundle", layout, at_load=True)
    with pytest.raises(PictureError, match="expected a picture"):
        Generator(bundle, CPU)


def test_known_stimuli_without_a_picture_are_left_out_and_said_once(tmp_path, caplog):
    some = write_tiny_bundle(tmp_path / "tiny").stimuli.latent.min(axis=0).argmin()
    bundle = write_overflowing_bundle(tmp_path / "bundle", BYTES, int(some))
    faulty = {
        name
        for name, latent in zip(bundle.stimuli.ids, bundle.stimuli.latent, strict=True)
        if latent[some] < 0
    }
    assert 0 < len(faulty) < len(bundle.stimuli.ids)
    models = load_models(config_for(bundle.path))
    assert set(models.stimuli) == set(bundle.stimuli.ids) - faulty
    assert models.baseline is not None
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith(f"{len(faulty)} pictures of known latents are not shown: ")
    assert "black throughout" in line


SIDES = st.integers(1, 40)


@given(height=SIDES, width=SIDES, data=st.data())
def test_one_pixel_that_differs_makes_a_picture(height, width, data):
    colour = data.draw(arrays(np.uint8, 3))
    pixels = np.broadcast_to(colour, (height, width, 3)).copy()
    assert colour_fault(pixels)
    if height * width > 1:
        row, col = divmod(data.draw(st.integers(1, height * width - 1)), width)
        pixels[row, col, data.draw(st.integers(0, 2))] ^= 1
        assert colour_fault(pixels) == ""


@given(data=st.data())
def test_any_value_that_is_not_finite_is_counted(data):
    image = np.random.default_rng(1).standard_normal((3, 9, 7)).astype(np.float32)
    assert number_fault(image) == ""
    where = data.draw(st.sets(st.integers(0, image.size - 1), min_size=1, max_size=20))
    for i in where:
        image.ravel()[i] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    assert number_fault(image).startswith(f"{len(where)} of {image.size} ")


def test_a_dark_face_is_a_picture(rng):
    dark = rng.integers(0, 2, (128, 128, 3)).astype(np.uint8)
    assert colour_fault(dark) == ""
    lonely = np.zeros((128, 128, 3), np.uint8)
    lonely[77, 31, 2] = 1
    assert colour_fault(lonely) == ""


def test_a_picture_of_huge_finite_numbers_is_no_fault():
    # They are clipped; summing them would overflow.
    assert number_fault(np.full((3, 4, 4), 3e38, np.float32)) == ""
