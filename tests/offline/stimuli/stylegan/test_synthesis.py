"""w to pictures: the originals' pictures, one batch or many, one w or one per layer."""

from __future__ import annotations

import pytest
import torch

from tests.offline.stimuli.golden_networks import (
    IMAGE_TOLERANCE,
    NAMES,
    golden,
    golden_drawing,
    golden_generator,
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rows", "expected"),
    [("w_psi1.0", "img_psi1.0"), ("w_psi0.7", "img_psi0.7"), ("wplus", "img_wplus")],
)
def test_pictures_are_the_originals(name, rows, expected):
    image = golden_drawing(name, rows)
    assert image.dtype == torch.float32
    assert golden(name).error(image, expected) < IMAGE_TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_does_not_depend_on_the_rest_of_its_batch(name):
    w = torch.from_numpy(golden(name).arrays["w_psi0.7"])
    whole = golden_drawing(name, "w_psi0.7")
    with torch.no_grad():
        alone = golden_generator(name).synthesis(w[2:3])
    assert ((alone - whole[2:3]).abs().max() / whole.std()) < IMAGE_TOLERANCE


def test_one_row_of_w_serves_all_layers():
    w = torch.from_numpy(golden("sg3t").arrays["w_psi0.7"])
    with torch.no_grad():
        image = golden_generator("sg3t").synthesis(w[:, :1])
    assert torch.equal(image, golden_drawing("sg3t", "w_psi0.7"))


def test_another_number_of_rows_is_refused():
    with pytest.raises(ValueError, match="2 rows, expected 1 or 16"):
        golden_generator("sg3t").synthesis(torch.zeros(1, 2, 512))


def test_a_shift_in_the_transform_moves_the_input_by_that_much():
    # sin(2 pi f . (p + d)): a shift by one sample moves every column by one, however w turns the waves.
    synthesis = golden_generator("sg3t").synthesis
    w = torch.from_numpy(golden("sg3t").arrays["w_psi1.0"][:2, 0])
    kept = synthesis.input.transform.clone()
    try:
        with torch.no_grad():
            still = synthesis.input(w)
            # The golden transform turns and scales as well: one sample in the picture is this much before it.
            step = synthesis.input.transform[:2, 0] / synthesis.input.spec.sampling_rate
            synthesis.input.transform[:2, 2] += step
            shifted = synthesis.input(w)
    finally:
        synthesis.input.transform.copy_(kept)
    torch.testing.assert_close(shifted[..., :-1], still[..., 1:], atol=1e-4, rtol=0)
