from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from b2g_rt.errors import GeneratorError
from b2g_rt.simulation.from_record import faces_macaque
from offline.export.stylegan.mapping_graph import mapping_model
from offline.stimuli.generators import LinearMapping
from offline.stimuli.stylegan.mapping import FullyConnected, Mapping
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.specification import MappingSpec
from tests.offline.export.stylegan.golden_exports import session, worst_in_sd

SPECS = {
    "no classes": (0, MappingSpec(n_layers=3)),
    "linear embedding": (7, MappingSpec(embedding="linear")),
    "table": (7, MappingSpec(embedding="table", embedding_size=6)),
}


@pytest.mark.parametrize("psi", [1.0, 0.7, 0.0, -0.5])
@pytest.mark.parametrize(("n_classes", "spec"), SPECS.values(), ids=SPECS)
def test_w_is_torchs_at_every_psi(n_classes, spec, psi, rng):
    torch.manual_seed(1)
    whole = stylegan3(
        "m", Widths(16, 64, 8, n_layers=4), z_dim=9, n_classes=n_classes, w_dim=11, mapping=spec
    )
    mapping = Mapping(whole).eval().requires_grad_(False)
    mapping.w_avg.normal_()
    for module in mapping.modules():
        if isinstance(module, FullyConnected):
            nn.init.normal_(module.bias)
    z = rng.standard_normal((5, 9)).astype(np.float32)
    classes = rng.integers(max(n_classes, 1), size=5)
    wanted = mapping(torch.from_numpy(z), torch.from_numpy(classes), psi).numpy()
    feed = {"z": z, "psi": np.array(psi, np.float32)} | ({"class_id": classes} if n_classes else {})
    found = session(mapping_model(mapping)).run(None, feed)[0]
    assert worst_in_sd(found, wanted) < 1e-5
    assert (found == found[:, :1]).all()


def test_the_faces_mapping_is_linear_in_z_and_psi(rng):
    mapping = LinearMapping(faces_macaque().latents)
    z = rng.standard_normal((3, len(mapping.basis))).astype(np.float32)
    wanted = mapping(torch.from_numpy(z), psi=0.7).numpy()
    feed = {"z": z, "psi": np.array(0.7, np.float32)}
    assert worst_in_sd(session(mapping_model(mapping)).run(None, feed)[0], wanted) < 1e-5


def test_another_kind_of_mapping_is_refused():
    with pytest.raises(GeneratorError, match="Identity, expected that of a StyleGAN"):
        mapping_model(nn.Identity())
