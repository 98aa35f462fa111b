"""Official checkpoints: the golden networks come out of them; hostile ones are refused by name, and nothing runs."""

from __future__ import annotations

import collections
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.official import read_checkpoint
from offline.stimuli.stylegan.directory import load_generator, save_generator
from offline.stimuli.stylegan.published import same_numbers
from tests.offline.stimuli.checkpoints.official_layout import (
    EasyDict,
    Persistent,
    checkpoint,
    dumped,
    network,
)
from tests.offline.stimuli.checkpoints.tiny_network import alone, tiny, tiny_bytes, with_opcodes
from tests.offline.stimuli.golden_networks import (
    IMAGE_TOLERANCE,
    NAMES,
    golden,
)

# ---------------------------------------------------------------- what loads


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_network_comes_through_import_directory_and_load(name, read, canary, tmp_path):
    one = golden(name)
    found = read(dumped(checkpoint(one.spec, one.tensors, canary)), f"{name}.pkl")
    assert same_numbers(found.spec, one.spec) is None
    assert found.remarks == ()
    assert found.left == ("training_set_kwargs", "G", "D", "augment_pipe")
    save_generator(found.generator, tmp_path / "g", found.provenance)
    again = load_generator(tmp_path / "g")
    for key, tensor in one.tensors.items():
        assert torch.equal(again.state_dict()[key], tensor), key
    with torch.no_grad():
        w = again.mapping(one.z, one.classes, 0.7)
        image = again.synthesis(w[:1])
    expected = one.arrays["w_psi0.7"]
    np.testing.assert_allclose(w.numpy(), expected, atol=2e-5 * expected.std())
    expected = one.arrays["img_psi0.7"]
    assert np.abs(image.numpy() - expected[:1]).max() / expected.std() < IMAGE_TOLERANCE


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_every_protocol_of_python_3_loads(protocol, read, canary):
    spec, tensors = tiny()
    found = read(tiny_bytes(canary, protocol))
    assert same_numbers(found.spec, spec) is None
    assert all(torch.equal(found.generator.state_dict()[k], v) for k, v in tensors.items())


def test_protocol_2_calls_functions_for_bytes_and_sets_and_is_refused(read, canary):
    # No checkpoint of these projects is written so.
    with pytest.raises(CheckpointError, match="expected only what networks are made of"):
        read(tiny_bytes(canary, 2))


def test_a_file_with_the_averaged_generator_only_loads(read, canary):
    spec, tensors = tiny()
    found = read(dumped({"G_ema": network(spec, tensors, canary)}))
    assert found.left == ()
    assert found.class_names[""] == ("Generator", 6)


def test_an_ordered_dictionary_or_an_easydict_around_it_loads(read, canary):
    spec, tensors = tiny()
    net = network(spec, tensors, canary)
    for content in (collections.OrderedDict(G_ema=net), EasyDict(G_ema=net)):
        assert read(dumped(content)).spec.resolution == 16


def test_a_generator_without_a_dictionary_around_it_loads(read, canary):
    found = read(alone(canary))
    assert found.left == ()
    assert found.spec.num_ws == 7


def test_unknown_classes_beside_the_generator_load_and_are_named(read, canary):
    spec, tensors = tiny()

    class Projector:
        def __init__(self):
            self.weights = torch.randn(5)
            self.itself = self

    content = checkpoint(spec, tensors, canary)
    content["D"] = Projector()
    content["G"] = {3: ({None: [Projector()]}, {1, 2}, frozenset({"x"}), b"y" * 300, 2**70)}
    found = read(dumped(content, foreign={"timm.models.efficientnet": Projector}))
    assert found.foreign_names == ("timm.models.efficientnet.Projector",)
    assert found.spec.resolution == 16


def test_a_file_written_by_dills_way_of_storing_arrays_loads(read, canary):
    spec, tensors = tiny()

    class Array:
        """dill: ``_create_array(maker, its arguments, state, None)`` instead of a call and a state."""

        def __init__(self, array):
            self.array = array

        def __reduce__(self):
            maker, arguments, state = self.array.__reduce__()
            return _create_array, (maker, arguments, state, None)

    def _create_array(*_):
        raise AssertionError("executed")

    def by_dill(name, class_name, state):
        for key in ("size", "in_size", "out_size"):
            if key in state:
                state[key] = Array(state[key])

    _create_array.__qualname__ = "_create_array"
    raw = dumped(
        {"G_ema": network(spec, tensors, canary, modules=by_dill)},
        foreign={"dill._dill": _create_array},
    )
    assert b"_create_array" in raw
    assert same_numbers(read(raw).spec, spec) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_other_real_numbers_become_float32(dtype, read, canary):
    spec, tensors = tiny()
    other = {k: v.to(dtype) for k, v in tensors.items()}
    found = read(dumped({"G_ema": network(spec, other, canary)})).generator.state_dict()
    for key, tensor in other.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], tensor.float()), key


def test_views_and_transposed_weights_come_out_as_they_look(read, canary):
    spec, tensors = tiny()

    def strided(name, class_name, state):
        for key, value in state["_buffers"].items():
            # A view with an offset into a larger storage, and a transposed one.
            wide = torch.cat([torch.zeros(7), value.reshape(-1), torch.ones(3)])
            state["_buffers"][key] = wide[7 : 7 + value.numel()].view(value.shape)
        for key, value in state["_parameters"].items():
            if value.ndim == 2:
                turned = value.detach().t().contiguous().t()
                state["_parameters"][key] = torch.nn.Parameter(turned)

    found = read(dumped({"G_ema": network(spec, tensors, canary, modules=strided)}))
    for key, tensor in tensors.items():
        assert torch.equal(found.generator.state_dict()[key], tensor), key


def test_a_network_with_classes_by_a_linear_embedding_loads(read, canary):
    from offline.stimuli.stylegan.generator import Generator
    from offline.stimuli.stylegan.schedule import Widths, stylegan3

    spec = stylegan3("c", Widths(16, 64, 4, n_layers=5), z_dim=4, w_dim=4, n_classes=3)
    torch.manual_seed(0)
    mine = Generator(spec)
    found = read(dumped({"G_ema": network(spec, mine.state_dict(), canary)}))
    assert found.spec.mapping.embedding == "linear"
    z, classes = torch.randn(3, 4), torch.tensor([2, 0, 1])
    with torch.no_grad():
        assert torch.equal(found.generator(z, classes), mine(z, classes))


def test_an_average_stored_as_a_table_of_one_row_loads_without_classes(read, canary):
    spec, tensors = tiny()
    row = {**tensors, "mapping.w_avg": torch.arange(4.0).view(1, 4)}
    found = read(dumped({"G_ema": network(spec, row, canary)}))
    assert torch.equal(found.generator.mapping.w_avg, torch.arange(4.0))


def test_bytes_behind_the_end_are_not_read_and_told(read, canary):
    found = read(tiny_bytes(canary) + b"cos\nsystem\n")
    assert found.remarks == ("11 bytes behind the checkpoint's end were not read",)


def test_published_numbers_are_recognised(read, canary):
    from offline.stimuli.checkpoints.published_arithmetic import published_as
    from offline.stimuli.stylegan.published import published

    assert published_as(published("imagenet64")) == ["imagenet64"]
    assert "stylegan3-r-ffhq-1024x1024" in published_as(published("stylegan3-r-metfaces-1024x1024"))
    assert read(tiny_bytes(canary)).published == ()


# ---------------------------------------------------------------- the file's own numbers are used


def test_another_filter_and_padding_than_published_are_used_and_told(read, canary):
    spec, tensors = tiny()
    other = {**tensors, "synthesis.L1_36_4.up_filter": torch.arange(12.0) / 66}

    def shifted(name, class_name, state):
        if name == "synthesis.L2_36_4":
            state["padding"] = [state["padding"][0] + 1, state["padding"][1] - 1] * 2

    found = read(dumped({"G_ema": network(spec, other, canary, modules=shifted)}))
    assert len(found.remarks) == 2
    assert found.remarks[0].startswith("L2_36_4: padding (")
    assert found.remarks[1].startswith("L1_36_4: up_filter differs from the published design by ")
    layers = found.generator.synthesis.layers
    assert torch.equal(layers[1].up_filter, torch.arange(12.0) / 66)
    assert layers[2].spec.padding[0] == spec.layers[2].padding[0] + 1
    assert found.provenance["remarks"] == list(found.remarks)


def test_another_schedule_than_published_is_told(read, canary):
    def other(name, class_name, state):
        if name == "synthesis.L1_36_4":
            state["out_half_width"] *= 1.25

    spec, tensors = tiny()
    found = read(dumped({"G_ema": network(spec, tensors, canary, modules=other)}))
    assert found.remarks[0].startswith("L1_36_4: out_half_width")


# ---------------------------------------------------------------- what does not fit


def _setting(where, key, value):
    def change(name, class_name, state):
        if name == where:
            state[key] = value

    return change


def _removing(where, group, key):
    def change(name, class_name, state):
        if name == where:
            (state if group is None else state[group]).pop(key)

    return change


def _tensor(where, group, key, value):
    def change(name, class_name, state):
        if name == where:
            state[group][key] = value

    return change


L0 = "synthesis.L0_36_4"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_setting(L0, "in_channels", 10**9), "in_channels: 1000000000, expected 1 to 4096"),
        (_setting(L0, "in_channels", 2**80), "in_channels: inf, expected a finite number"),
        (_setting(L0, "in_channels", 3.5), "in_channels: 3.5, expected a whole number"),
        (_setting(L0, "in_channels", "4"), "in_channels: '4', expected a number"),
        (_setting(L0, "in_channels", None), "in_channels: None, expected a number"),
        (_setting(L0, "in_channels", 5), "expected 4 and 36 from the layer before"),
        (_setting(L0, "in_size", [36, 20]), "expected as many rows as columns"),
        (_setting(L0, "in_size", []), "in_size: "),
        (_setting(L0, "in_size", np.array(["a"])), "dtype of numbers"),
        (_setting(L0, "in_size", np.array([1, 2, 3])), "in_size"),
        (_setting(L0, "in_size", np.zeros(10**5)), "expected at most 4096 bytes"),
        (_setting(L0, "out_cutoff", float("nan")), "out_cutoff: nan, expected a finite number"),
        (_setting(L0, "is_torgb", 2), "is_torgb: 2, expected True or False"),
        (_setting(L0, "padding", [1, 2, 3]), "padding: 3 numbers, expected 4"),
        (_setting(L0, "padding", [[1], [2]]), "a list in a list"),
        (_setting(L0, "padding", [9, 8, 8, 9]), "the same padding of rows and columns"),
        (_setting(L0, "down_radial", False), "down_filter: (12, 12), expected (12,)"),
        (_setting(L0, "up_taps", 24), "up_filter: (12,), expected (24,)"),
        (_removing(L0, None, "conv_clamp"), "conv_clamp: missing, expected as in StyleGAN3"),
        (_removing(L0, None, "_buffers"), "_buffers: None, expected a dictionary"),
        (_removing(L0, "_buffers", "magnitude_ema"), f"{L0}.magnitude_ema is missing"),
        (_removing(L0, "_modules", "affine"), "no module affine"),
        (_tensor(L0, "_buffers", "extra", torch.zeros(1)), "extra': not expected"),
        (_tensor(L0, "_buffers", "magnitude_ema", torch.tensor(0.0)), "a positive number"),
        (_tensor(L0, "_buffers", "magnitude_ema", torch.tensor(float("nan"))), "not finite"),
        (_tensor(L0, "_buffers", "magnitude_ema", torch.tensor(1)), "torch.LongStorage"),
        (_tensor(L0, "_buffers", "magnitude_ema", torch.ones(1)), "(1,), expected ()"),
        (_tensor(L0, "_buffers", "magnitude_ema", 3.0), "magnitude_ema: 3.0, expected a tensor"),
        (_tensor(L0, "_buffers", "magnitude_ema", torch.zeros(1).expand(10**9)), "(1000000000,)"),
        (_tensor(L0, "_buffers", "up_filter", torch.zeros(10**4)[::999]), "a dense tensor"),
        (_setting("synthesis", "layer_names", ["L0_36_4"]), "1 names for 6 layers"),
        (_setting("synthesis", "layer_names", 3), "expected the layers' names"),
        (_setting("mapping.fc0", "bias_gain", 0.02), "mapping.fc"),
        (_setting("mapping.fc0", "activation", "relu"), "'relu', expected lrelu"),
        (_setting(f"{L0}.affine", "weight_gain", 1.0), "weight_gain: 1.0, expected 0.5"),
        (_setting("mapping", "c_dim", 3), "c_dim: 3, expected 0 classes"),
        (_setting("mapping", "num_layers", 10**9), "no module fc"),
        (_setting("", "num_ws", 9), "num_ws: 9, expected 7 for its layers"),
        (_setting("", "img_resolution", 32), "32 samples at the end"),
        (_setting("", "c_dim", 3), "expected 3 classes"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_the_modules_name(change, line, read, canary):
    spec, tensors = tiny()
    raw = dumped({"G_ema": network(spec, tensors, canary, modules=change)})
    with pytest.raises(CheckpointError) as caught:
        read(raw)
    assert line in str(caught.value)
    assert "net.pkl: " in str(caught.value)
    assert "\n" not in str(caught.value)


def _class(where, class_name):
    spec, tensors = tiny()

    def build(canary):
        net = network(spec, tensors, canary)
        part = net
        for name in filter(None, where.split(".")):
            part = part.state["_modules"][name]
        part.class_name = class_name
        return net

    return build


@pytest.mark.parametrize(
    ("where", "class_name", "line"),
    [
        ("", "Discriminator", "a Discriminator, expected a Generator or SuperresGenerator"),
        ("mapping", "Other", "a Other, expected a MappingNetwork"),
        ("synthesis", "SynthesisBlock", "expected a SynthesisNetwork"),
        ("synthesis.L0_36_4", "ToRGBLayer", "expected a SynthesisLayer"),
        ("synthesis.L0_36_4.affine", "Linear", "expected a FullyConnectedLayer"),
        ("mapping.fc1", "Linear", "expected a FullyConnectedLayer"),
    ],
)
def test_classes_that_compute_something_else_are_refused(where, class_name, line, read, canary):
    with pytest.raises(CheckpointError, match=line):
        read(dumped({"G_ema": _class(where, class_name)(canary)}))


def test_a_stylegan2_network_is_called_so(read, canary):
    spec, tensors = tiny()
    net = network(spec, tensors, canary)
    blocks = net.state["_modules"]["synthesis"].state["_modules"]
    blocks["b4"] = blocks.pop("input")
    with pytest.raises(CheckpointError, match="a StyleGAN2 generator"):
        read(dumped({"G_ema": net}))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"g_ema": 1, "d": 2}, r"no G_ema among its keys \(g_ema, d\)"),
        ({}, r"no G_ema among its keys \(none\)"),
        ({"G_ema": None}, "G_ema: None, expected a module"),
        ({"G_ema": 3}, "G_ema: 3, expected a module"),
        ({"G_ema": {"state": 1}}, "expected a module"),
        ([1, 2], "a list, expected a dictionary with G_ema"),
        (None, "a nonetype, expected a dictionary"),
        ({"G_ema": Persistent("Generator", None, "")}, "expected a dictionary"),  # type: ignore[arg-type]
        ({"G_ema": torch.nn.Linear(2, 2)}, "a Linear, expected a Generator"),
        ({"G_ema": torch.nn.Linear(2, 2).state_dict()}, "expected a module"),
    ],
)
def test_other_contents_are_told(content, line, read):
    with pytest.raises(CheckpointError, match=line):
        read(dumped(content))


def test_a_tensorflow_network_is_called_so(read):
    class Network:
        pass

    raw = dumped((Network(), Network()), foreign={"dnnlib.tflib.network": Network})
    with pytest.raises(CheckpointError, match="a TensorFlow network"):
        read(raw)


def test_modules_that_hold_themselves_or_each_other_without_end_are_refused(read, canary):
    spec, tensors = tiny()
    content = {"G_ema": network(spec, tensors, canary)}
    mapping = content["G_ema"].state["_modules"]["mapping"]
    # `__reduce__` cannot describe a cycle: a state shared by two modules is the nearest thing.
    deep = mapping
    for _ in range(40):
        state = {**mapping.state, "_modules": collections.OrderedDict(a=deep, b=deep, c=deep)}
        deep = Persistent("MappingNetwork", state, "")
    content["G_ema"].state["_modules"]["mapping"] = deep
    with pytest.raises(CheckpointError, match="nested too deep or too many"):
        read(dumped(content))


# ---------------------------------------------------------------- hostile files


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _payloads(canary) -> dict[str, tuple[bytes, str]]:
    """Opcodes that would make the canary, or get near it, and what the refusal names."""
    path = _text(str(canary))
    arguments = b"(" + path + _text("w") + b"t"
    inner = b"\x80\x02cbuiltins\nopen\n" + arguments + b"R."
    return {
        "call": (b"cbuiltins\nopen\n" + arguments + b"R", "builtins.open"),
        "stack name": (
            _text("builtins") + _text("open") + b"\x93" + arguments + b"R",
            "builtins.open",
        ),
        "old object": (b"(cbuiltins\nopen\n" + path + _text("w") + b"o", "builtins.open"),
        "old instance": (b"(" + path + _text("w") + b"ibuiltins\nopen\n", "builtins.open"),
        "eval": (
            b"cbuiltins\neval\n" + _text(f"open({str(canary)!r}, 'w')") + b"\x85R",
            "builtins.eval",
        ),
        "exec": (
            b"cbuiltins\nexec\n" + _text(f"open({str(canary)!r}, 'w')") + b"\x85R",
            "builtins.exec",
        ),
        "system": (b"cposix\nsystem\n" + _text(f"touch {canary}") + b"\x85R", "posix.system"),
        "attribute chain": (
            b"cbuiltins\ngetattr\n(cbuiltins\nopen\n"
            + _text("__call__")
            + b"tR"
            + arguments
            + b"R",
            "builtins.getattr",
        ),
        "dotted name": (
            _text("io") + _text("open.__call__") + b"\x93" + arguments + b"R",
            "io.open.__call__",
        ),
        "nested pickle": (
            b"c_pickle\nloads\n" + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R",
            "_pickle.loads",
        ),
        "in a hook": (
            b"ccollections\nOrderedDict\n)R(K\x00cbuiltins\nopen\n" + arguments + b"Ru",
            "builtins.open",
        ),
        "as a key": (b"}(cbuiltins\nopen\n" + arguments + b"RNu", "builtins.open"),
        "in a set": (b"\x8f(cbuiltins\nopen\n" + arguments + b"R\x90", "builtins.open"),
        "as a state": (
            b"ccollections\nOrderedDict\n)R}(X\x01\x00\x00\x00acbuiltins\nopen\n"
            + arguments
            + b"Rub",
            "builtins.open",
        ),
    }


_UNRUN = {
    "new with keywords": (b"cos\nPopen\n)}\x92", "os.Popen"),
    "a bare name": (b"cos\nsystem\n", "os.system"),
    "an extension": (b"\x82\x07", "copyreg extension.7"),
    "a reference": (b"X\x01\x00\x00\x00xQ", "outside the file"),
    "a text as function": (b"X\x01\x00\x00\x00x)R", "calls what is no name"),
    "behind torch.nn": (
        b"ctorch.nn.modules.module\nos.system\n",
        "torch.nn.modules.module.os.system",
    ),
    "a function of torch.nn": (
        b"ctorch.nn.modules.utils\n_single\n",
        "torch.nn.modules.utils._single",
    ),
    "torch.nn called": (b"ctorch.nn.modules.linear\nLinear\nK\x02K\x02\x86R", "calls torch.nn"),
    "torch.load": (b"ctorch\nload\nX\x01\x00\x00\x00x\x85R", "torch.load"),
    "torch.hub": (b"ctorch.hub\nload\nX\x01\x00\x00\x00x\x85R", "torch.hub.load"),
    "a result called": (b"ccollections\nOrderedDict\n)R)R", "collections.OrderedDict"),
    "an odd name": (b"cos\n\x1b[31msystem\n", r"os.?[31msystem"),
}


@pytest.mark.parametrize("kind", [*_payloads("x"), *_UNRUN])
def test_a_hostile_payload_in_the_generator_is_refused_by_name_and_nothing_runs(kind, read, canary):
    opcodes, name = {**_payloads(canary), **_UNRUN}[kind]
    with pytest.raises(CheckpointError) as caught:
        read(with_opcodes(opcodes, canary))
    assert name in str(caught.value)
    assert "G_ema.hole" in str(caught.value)
    assert "Nothing was executed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", [*_payloads("x"), *_UNRUN])
def test_the_same_payload_in_the_discriminator_loads_and_nothing_runs(kind, read, canary):
    opcodes, name = {**_payloads(canary), **_UNRUN}[kind]
    spec, tensors = tiny()
    found = read(with_opcodes(opcodes, canary, inside="D"))
    assert same_numbers(found.spec, spec) is None
    assert all(torch.equal(found.generator.state_dict()[k], v) for k, v in tensors.items())
    if kind not in ("a reference", "a text as function", "a result called", "torch.nn called"):
        assert any(name in n for n in found.foreign_names)


def test_pythons_own_unpickler_runs_these_payloads(canary, tmp_path):
    # Otherwise the tests above would prove nothing.
    for number, (kind, (opcodes, _)) in enumerate(_payloads(canary).items()):
        (tmp_path / f"{number:02d}.pkl").write_bytes(b"\x80\x04" + opcodes + b".")
        assert kind
    code = (
        "import pathlib, pickle, sys\n"
        "canary = pathlib.Path(sys.argv[1])\n"
        "for path in sorted(canary.parent.glob('*.pkl')):\n"
        "    try: pickle.loads(path.read_bytes())\n"
        "    except Exception: pass\n"
        "    print(int(canary.exists()), end='')\n"
        "    canary.unlink(missing_ok=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(canary)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "1" * len(_payloads(canary))


def _bytes(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


def _long_bytes(raw: bytes) -> Iterator[bytes]:
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name == "BINBYTES":
            assert isinstance(argument, bytes)
            yield argument


def test_a_hostile_archive_inside_a_tensor_is_refused_by_name(read, canary):
    spec, tensors = tiny()
    evil = b"\x80\x02cbuiltins\nopen\n(" + _text(str(canary)) + _text("w") + b"tR."
    raw = dumped({"G_ema": network(spec, tensors, canary)}, 3)
    payload = next(p for p in _long_bytes(raw) if p[:2] == b"\x80\x02")
    # Same length, so that nothing else moves.
    hostile = evil + payload[len(evil) :]
    with pytest.raises(CheckpointError, match=r"its archive calls builtins\.open"):
        read(raw.replace(_bytes(payload), _bytes(hostile), 1))


def test_the_source_text_beside_each_module_stays_in_the_file(read, canary):
    raw = tiny_bytes(canary)
    assert b"write('executed')" in raw
    assert read(raw).class_names["mapping"] == ("MappingNetwork", 6)


# ---------------------------------------------------------------- tensors in zip archives


def _zipped(tensor, tmp_path, compress=False) -> bytes:
    path = tmp_path / "storage.pt"
    torch.save(tensor.storage(), path)
    if compress:
        with zipfile.ZipFile(path) as archive:
            members = [(i.filename, archive.read(i)) for i in archive.infolist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("compress", [False, True])
def test_a_tensor_in_a_zip_archive_is_read_in_place_and_a_compressed_one_refused(
    compress, read, canary, tmp_path
):
    spec, tensors = tiny()
    mark = torch.full((4,), 0.125)
    other = {**tensors, "mapping.w_avg": mark}
    raw = dumped({"G_ema": network(spec, other, canary)}, 3)
    legacy = next(p for p in _long_bytes(raw) if p.endswith(mark.numpy().tobytes()))
    raw = raw.replace(_bytes(legacy), _bytes(_zipped(mark, tmp_path, compress)), 1)
    if compress:
        with pytest.raises(CheckpointError, match="compressed or large archive"):
            read(raw)
        return
    found = read(raw)
    assert torch.equal(found.generator.mapping.w_avg, mark)
    assert torch.equal(found.generator.mapping.fc0.weight, tensors["mapping.fc0.weight"])


def test_protocol_5_buffers_and_pickle_itself_agree_on_what_is_a_checkpoint(read, canary, tmp_path):
    # The reader and Python's unpickler (with the stand-ins) see the same weights.
    from tests.offline.stimuli.checkpoints import official_layout

    raw = tiny_bytes(canary, 5)
    kept = official_layout._reconstruct_persistent_obj
    try:
        official_layout._reconstruct_persistent_obj = lambda meta: meta
        with official_layout.stand_ins():
            theirs = pickle.loads(raw)["G_ema"]
    finally:
        official_layout._reconstruct_persistent_obj = kept
    mine = read(raw).generator
    fc0 = theirs["state"]["_modules"]["mapping"]["state"]["_modules"]["fc0"]["state"]
    assert torch.equal(fc0["_parameters"]["weight"].data, mine.mapping.fc0.weight)
    assert not canary.exists()


def test_the_error_of_a_file_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "nowhere.pkl")
