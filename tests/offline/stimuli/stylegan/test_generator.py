"""Both halves together, and the bytes of a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offline.stimuli.stylegan.generator import to_uint8
from tests.offline.stimuli.golden_networks import (
    IMAGE_TOLERANCE,
    NAMES,
    golden,
    golden_generator,
)


@pytest.mark.parametrize("name", NAMES)
def test_z_to_picture_is_the_originals(name):
    one = golden(name)
    classes = None if one.classes is None else one.classes[1:2]
    with torch.no_grad():
        image = golden_generator(name)(one.z[1:2], classes, 0.7)
    expected = one.arrays["img_psi0.7"]
    assert abs(image.numpy() - expected[1:2]).max() / expected.std() < IMAGE_TOLERANCE


def test_weights_and_buffers_have_the_checkpoints_names():
    for name in NAMES:
        found = golden_generator(name).state_dict()
        assert {k: v.shape for k, v in found.items()} == {
            k: v.shape for k, v in golden(name).tensors.items()
        }


def test_bytes_are_truncated_and_clipped():
    levels = torch.tensor([-2.0, -1.0, -0.999, 0.0, 0.9999, 1.0, 5.0])
    image = levels.view(1, 1, 1, 7).expand(1, 3, 2, 7)
    found = to_uint8(image)
    assert found.shape == (1, 2, 7, 3)
    assert found.is_contiguous()
    expected = np.clip(levels.numpy() * np.float32(127.5) + 128, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(found[0, 1, :, 2], expected)
    assert list(expected) == [0, 0, 0, 128, 255, 255, 255]
