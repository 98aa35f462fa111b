"""The table of published networks: what is known of them, and what is not claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.published import NETWORKS, published, same_numbers


@pytest.mark.parametrize(
    ("name", "z_dim", "n_classes", "num_ws", "kernel", "radial"),
    [
        ("stylegan3-t-ffhq-1024x1024", 512, 0, 16, 3, False),
        ("stylegan3-r-ffhq-1024x1024", 512, 0, 16, 1, True),
        ("imagenet512", 64, 1000, 37, 1, True),
    ],
)
def test_the_networks_of_the_facts(name, z_dim, n_classes, num_ws, kernel, radial):
    spec = published(name)
    assert (spec.z_dim, spec.n_classes, spec.w_dim, spec.num_ws) == (z_dim, n_classes, 512, num_ws)
    assert spec.layers[0].conv_kernel == kernel
    for layer in spec.layers[:-1]:
        assert layer.down_radial == (radial and not layer.is_critically_sampled)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_tells_the_pictures_size(name):
    size = int(name.rsplit("x", 1)[-1]) if "x" in name else int(name.removeprefix("imagenet"))
    assert published(name).resolution == size
    assert published(name).layers[-1].name.endswith(f"_{size}_3")


def test_what_is_not_verified_is_marked():
    assert all(bool(n.unverified) == name.startswith("imagenet") for name, n in NETWORKS.items())
    assert all(n.page.startswith("https://github.com/") for n in NETWORKS.values())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(GeneratorError, match=r"published network x: none.*stylegan3-t-ffhq-1024"):
        published("x")


def test_numbers_are_compared_field_by_field():
    spec = published("stylegan3-t-ffhq-1024x1024")
    assert same_numbers(spec, replace(spec, name="other")) is None
    assert same_numbers(spec, published("stylegan3-t-ffhqu-1024x1024")) is None
    told = same_numbers(spec, replace(spec, output_scale=0.5))
    assert told == "output_scale: 0.25 and 0.5"
    layer = replace(spec.layers[1], padding=(1, 1, 1, 1))
    other = replace(spec, layers=(spec.layers[0], layer, *spec.layers[2:]))
    assert "L1_36_512: padding" in (same_numbers(spec, other) or "")
    # The last bits of a power depend on the library.
    layer = replace(spec.layers[1], in_cutoff=spec.layers[1].in_cutoff * (1 + 1e-15))
    other = replace(spec, layers=(spec.layers[0], layer, *spec.layers[2:]))
    assert same_numbers(spec, other) is None
