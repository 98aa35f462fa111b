"""A specification survives JSON, and one that contradicts itself is refused by the field's name."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.bounds import MAX_BYTES, check_bounds
from offline.stimuli.stylegan.directory import expected_shapes
from offline.stimuli.stylegan.published import NETWORKS, published
from offline.stimuli.stylegan.specification import GeneratorSpec, check_chain
from tests.offline.stimuli.golden_networks import NAMES, golden_spec


@pytest.mark.parametrize("name", NAMES)
def test_a_specification_survives_json(name):
    spec = golden_spec(name)
    again = GeneratorSpec.from_dict(json.loads(json.dumps(spec.to_dict())), "x")
    assert again == spec
    assert hash(again) == hash(spec)


@pytest.mark.parametrize("name", [*NAMES, *NETWORKS])
def test_a_schedules_network_keeps_the_bounds_and_its_layers_fit_each_other(name):
    spec = golden_spec(name) if name in NAMES else published(name)
    check_bounds(spec, name)
    check_chain(spec, name)
    assert spec.num_ws == len(spec.layers) + 1


def _changed(change):
    data = json.loads(json.dumps(golden_spec("sg3t").to_dict()))
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda d: d.update(schema_version=2), "schema_version 2, expected 1"),
        (lambda d: d.pop("z_dim"), "key 'z_dim' missing"),
        (lambda d: d.update(extra=1), "key 'extra' not expected"),
        (lambda d: d.update(z_dim="512"), "z_dim: '512', expected int"),
        (lambda d: d.update(z_dim=True), "z_dim: True, expected int"),
        (lambda d: d.update(layers=[]), "expected a list of layers"),
        (lambda d: d["layers"][3].pop("padding"), "layers[3]: key 'padding' missing"),
        (lambda d: d["layers"][3].update(padding=[1, 2]), "layers[3]: padding"),
        (lambda d: d["layers"][3].update(in_size=44), "L3_36_32: input of"),
        (lambda d: d["layers"][3].update(padding=[9, 12, 9, 12]), "its padding"),
        (lambda d: d["layers"].pop(), "expected a ToRGB layer"),
        (lambda d: d.update(mapping=3), "mapping: int, expected an object"),
    ],
)
def test_a_wrong_specification_is_refused_with_the_fields_name(change, line):
    with pytest.raises(GeneratorError) as caught:
        GeneratorSpec.from_dict(_changed(change), "file.json")
    assert str(caught.value).startswith("file.json: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 3, [], {}, "x"])
def test_what_is_no_specification_at_all_is_refused(data):
    with pytest.raises(GeneratorError, match="schema_version"):
        GeneratorSpec.from_dict(data, "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("z_dim", 0),
        ("w_dim", 10**9),
        ("w_dim", 10**400),
        ("n_classes", -1),
        ("resolution", 10**6),
        ("output_scale", float("nan")),
        ("output_scale", float("inf")),
    ],
)
def test_numbers_that_no_generator_has_are_refused(field, value):
    with pytest.raises(GeneratorError, match=f"x: {field}: .*expected"):
        check_bounds(replace(golden_spec("sg3t"), **{field: value}), "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_channels", 10**8),
        ("up_taps", 10**7),
        ("down_taps", 0),
        ("up_factor", 10**5),
        ("padding", (10**7, 0, 10**7, 0)),
        ("padding", (9, 8, 8, 9)),
        ("conv_kernel", 99),
        ("out_cutoff", float("nan")),
        ("in_cutoff", 16.0),
        ("out_cutoff", 1e5),
        ("in_half_width", 625.0),
        ("conv_clamp", -1.0),
        ("name", "L0"),
        ("name", "weight"),
        ("name", "L0_36_32.weight"),
    ],
)
def test_layers_that_would_take_all_memory_are_refused(field, value):
    spec = golden_spec("sg3t")
    layer = replace(spec.layers[2], **{field: value})
    with pytest.raises(GeneratorError, match="expected"):
        check_bounds(replace(spec, layers=(*spec.layers[:2], layer, *spec.layers[3:])), "x")


_odd_numbers = st.one_of(
    st.integers(-(10**12), 10**12),
    st.integers(-3, 70),
    st.floats(),
    st.floats(1e-7, 100),
    st.booleans(),
    st.none(),
    st.text(max_size=4),
    st.lists(st.integers(-40, 40), min_size=4, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_number_is_refused_or_gives_a_network(data):
    told = json.loads(json.dumps(golden_spec("sg3r").to_dict()))
    place = data.draw(st.sampled_from([told, told["mapping"], told["input"], told["layers"][4]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_odd_numbers)
    try:
        spec = GeneratorSpec.from_dict(told, "x")
        shapes = expected_shapes(spec, "x")
    except GeneratorError as error:
        line = str(error)
    else:
        line = "x: "
        assert sum(map(math.prod, shapes.values())) < MAX_BYTES
    assert line.startswith("x: ")
    assert "\n" not in line


@pytest.mark.parametrize("what", ["up_factor", "down_factor", "up_taps", "down_taps"])
def test_a_factor_or_filter_of_nothing_is_refused(what):
    told = json.loads(json.dumps(golden_spec("sg3r").to_dict()))
    told["layers"][4][what] = 0
    with pytest.raises(GeneratorError, match="expected 1 or more"):
        GeneratorSpec.from_dict(told, "x")


def test_two_layers_of_one_name_are_refused():
    spec = golden_spec("sg3t")
    with pytest.raises(GeneratorError, match="two layers are called L0_36_32"):
        check_bounds(replace(spec, layers=(spec.layers[0], *spec.layers)), "x")


def test_a_network_that_is_too_large_as_a_whole_is_refused():
    spec = golden_spec("sg3t")
    wide = [replace(x, in_channels=4096, out_channels=4096) for x in spec.layers]
    with pytest.raises(GeneratorError, match="GiB"):
        check_bounds(replace(spec, layers=tuple(wide)), "x")
