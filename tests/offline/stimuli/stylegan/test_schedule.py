"""The schedule gives the originals' numbers: those of the golden files and of public training logs."""

from __future__ import annotations

import math

import pytest

from offline.stimuli.stylegan import filters
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from tests.offline.stimuli.golden_networks import NAMES, golden


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_every_layer_is_the_originals(name):
    one = golden(name)
    assert [layer["name"] for layer in one.meta["layers"]] == [x.name for x in one.spec.layers]
    for theirs, mine in zip(one.meta["layers"], one.spec.layers, strict=True):
        for key, value in theirs.items():
            found = getattr(mine, key)
            if key in ("in_size", "out_size"):
                assert value == [found, found], key
            elif key == "padding":
                assert tuple(value) == found
            elif isinstance(value, float):
                assert math.isclose(found, value, rel_tol=1e-12), (mine.name, key)
            else:
                assert found == value, (mine.name, key)
    for key in ("z_dim", "w_dim", "num_ws", "output_scale"):
        assert getattr(one.spec, key) == one.meta[key]
    assert one.spec.n_classes == one.meta["c_dim"]
    assert one.spec.resolution == one.meta["img_resolution"]


def test_the_names_are_those_of_a_public_training_log_of_a_128_px_r_network():
    # github.com/NVlabs/stylegan3, issue 40: channel base 65536, at most 1024.
    spec = stylegan3("r", Widths(128, 65536, 1024, conv_kernel=1, radial=True))
    assert [layer.name for layer in spec.layers][8:] == [
        "L8_84_1024",
        "L9_148_1024",
        "L10_148_912",
        "L11_148_683",
        "L12_148_512",
        "L13_128_512",
        "L14_128_3",
    ]


def test_parameters_and_buffers_are_as_many_as_in_a_public_log_of_a_512_px_r_network():
    # github.com/NVlabs/stylegan3, issue 229: "Total 16665594 5588".
    spec = stylegan3("r", Widths(512, 65536, 1024, conv_kernel=1, radial=True))
    n_parameters = spec.input.channels**2 + 4 * (spec.w_dim + 1)
    n_buffers = spec.w_dim + 3 * spec.input.channels + 9
    for layer in spec.layers:
        n_parameters += layer.out_channels * (layer.in_channels * layer.conv_kernel**2 + 1)
        n_parameters += layer.in_channels * (spec.w_dim + 1)
        taps = (filters.up_filter(layer), filters.down_filter(layer))
        n_buffers += 1 + sum(0 if t is None else t.size for t in taps)
    n_parameters += (spec.z_dim + spec.w_dim + 2) * spec.w_dim
    assert (n_parameters, n_buffers) == (16665594, 5588)
