from __future__ import annotations

import pytest
import torch

from tests.offline.stimuli.golden_networks import IMAGE_TOLERANCE, NAMES, golden
from tests.offline.stimuli.stylegan.straightforward import VARIANTS, StraightforwardGenerator


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_reference_of_the_benchmark_draws_the_golden_pictures(name, variant):
    one = golden(name)
    network = StraightforwardGenerator(one.spec, variant).eval()
    network.load_state_dict(one.tensors)
    for w, image in (("w_psi1.0", "img_psi1.0"), ("wplus", "img_wplus")):
        with torch.inference_mode():
            drawn = network.synthesis(torch.from_numpy(one.arrays[w]))
        assert one.error(drawn, image) < IMAGE_TOLERANCE
