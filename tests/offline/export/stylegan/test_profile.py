from __future__ import annotations

import numpy as np
import pytest
import torch

from b2g_rt.errors import ConfigError
from offline.export.stylegan.device_peaks import GPUS, gpu_named, machine_peaks
from offline.export.stylegan.model import synthesis_model
from offline.export.stylegan.profile import PARTS, attributed, profile_synthesis
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.synthesis import Synthesis

LAYERS = {"L0_8_4", "L1_8_3"}


def test_a_node_goes_to_the_layer_and_part_that_its_name_says():
    nodes = [
        ("input/Sin.3", "Sin", 1.0),
        ("L0_8_4/affine.1", "MatMul", 2.0),
        ("L0_8_4/mix.4", "MatMul", 3.0),
        ("L0_8_4/bias.5", "Add", 4.0),
        ("L0_8_4/up_row0.6_nchwc", "Conv", 5.0),
        ("L0_8_4/LeakyRelu.7_nchwc", "Conv", 6.0),
        ("L0_8_4/Clip.8_nchwc", "Conv", 7.0),
        ("L0_8_4/down00.9_nchwc", "Conv", 8.0),
    ]
    assert list(attributed(nodes, LAYERS)) == [
        (("input", ""), 1.0),
        (("L0_8_4", "style"), 2.0),
        (("L0_8_4", "mixing"), 3.0),
        (("L0_8_4", "mixing"), 4.0),
        (("L0_8_4", "up"), 5.0),
        (("L0_8_4", "up"), 6.0),
        (("L0_8_4", "activation"), 7.0),
        (("L0_8_4", "down"), 8.0),
    ]


def test_a_reorder_goes_to_the_layer_that_needs_it():
    nodes = [
        ("L0_8_4/down00.9_nchwc", "Conv", 1.0),
        ("ReorderOutput_token_7", "ReorderOutput", 2.0),
        ("L1_8_3/mix.4", "MatMul", 3.0),
        ("ReorderInput", "ReorderInput", 4.0),
        ("L1_8_3/up_row0.6_nchwc", "Conv", 5.0),
    ]
    found = list(attributed(nodes, LAYERS))
    assert found[1] == (("L0_8_4", "layout"), 2.0)
    assert found[3] == (("L1_8_3", "layout"), 4.0)


def test_nothing_is_lost_when_no_name_says_anything():
    assert list(attributed([("image", "Identity", 2.0)], LAYERS)) == [(("rest", ""), 2.0)]


def test_a_profile_finds_every_part_of_every_layer():
    torch.manual_seed(0)
    spec = stylegan3("x", Widths(16, 256, 16, n_layers=4, conv_kernel=1, radial=True), w_dim=16)
    model = synthesis_model(Synthesis(spec).eval()).SerializeToString()
    names = [layer.name for layer in spec.layers]
    w = np.ones((1, 1, 16), np.float32)
    profile = profile_synthesis(model, names, w, threads=1, seconds=0.0)
    for layer in spec.layers[:-1]:
        assert all(profile.of(layer.name, part) > 0 for part in ("style", "mixing", "up", "down"))
    assert profile.of("input") > 0
    assert profile.of(spec.layers[-1].name, "up") == 0  # ToRGB
    assert profile.wall_ms > 0
    by_part = sum(profile.of(name, part) for name in names for part in PARTS)
    assert by_part + profile.of("input") + profile.of("rest") == pytest.approx(profile.nodes_ms)
    assert profile.n_nodes > 50


def test_this_machine_has_peaks():
    peaks = machine_peaks(1)
    assert peaks.gflop_per_s == peaks.filter_gflop_per_s > 0
    assert peaks.gb_per_s > 0


@pytest.mark.parametrize("name", GPUS)
def test_a_gpu_is_found_by_name_however_it_is_spelt(name):
    assert gpu_named(name.lower().replace(" ", "")) is GPUS[name]


def test_a_gpu_may_be_given_by_its_numbers():
    peaks = gpu_named("165,1008").peaks
    assert (peaks.gflop_per_s, peaks.filter_gflop_per_s, peaks.gb_per_s) == (165e3, 165e3, 1008)


@pytest.mark.parametrize("text", ["H1000", "165", "165;1008", "-1,5", "nan,5", "1,2,3", ""])
def test_an_unknown_gpu_is_refused_with_those_that_are_known(text):
    with pytest.raises(ConfigError, match="RTX 4090"):
        gpu_named(text)
