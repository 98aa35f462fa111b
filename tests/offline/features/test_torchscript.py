from __future__ import annotations

import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from b2g_rt.errors import FeatureError
from offline.features.torchscript import is_torchscript, read_torchscript


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("steps", torch.tensor([3, 4]))
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.ModuleDict({"out": nn.Linear(4, 5).half()})

    def forward(self, x):
        return self.layers(x).mean((2, 3)).half() * self.scale.half(), self.head["out"].weight.T


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "network.pt"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Network().eval(), torch.zeros(1, 3, 8, 8)), path)
    return path


@pytest.fixture(scope="module")
def expected():
    torch.manual_seed(0)
    return Network().state_dict()


def test_parameters_and_buffers_are_named_as_in_a_state_dict(archive, expected):
    found = read_torchscript(archive)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_only_programs_are_archives_of_this_kind(archive, tmp_path):
    assert is_torchscript(archive)
    weights = tmp_path / "weights.pt"
    torch.save(nn.Linear(2, 2).state_dict(), weights)
    text = tmp_path / "text.pt"
    text.write_text("no archive")
    for other in (weights, text, tmp_path / "none.pt", tmp_path):
        assert not is_torchscript(other)
    with pytest.raises(FeatureError, match="no program"):
        read_torchscript(weights)
    with pytest.raises(FeatureError, match="expected a whole TorchScript archive"):
        read_torchscript(text)


def rewritten(archive, path, change, method=None):
    """Copy an archive entry by entry; ``change`` returns the new bytes, or None to leave the entry out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data, method or zipfile.ZIP_STORED)
    return path


def test_an_archive_written_by_another_program_reads_the_same(archive, tmp_path, expected):
    # Without torch's alignment.
    found = read_torchscript(rewritten(archive, tmp_path / "a.pt", lambda name, data: data))
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_nothing_in_the_pickle_is_executed(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = pickle.dumps(Trap(), 2)
    path = rewritten(
        archive, tmp_path / "trap.pt", lambda n, d: raw if n.endswith("/data.pkl") else d
    )
    assert read_torchscript(path) == {}
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("what", ["missing", "short", "packed", "pickle", "cut"])
def test_damaged_archives_are_refused_in_one_line(archive, tmp_path, what):
    path = tmp_path / "damaged.pt"
    if what == "cut":
        path.write_bytes(archive.read_bytes()[:2000])
    else:
        changes = {
            "missing": lambda n, d: None if n.endswith("data/2") else d,
            "short": lambda n, d: d[:-8] if n.endswith("data/2") else d,
            "packed": lambda n, d: d,
            "pickle": lambda n, d: d[:50] if n.endswith("/data.pkl") else d,
        }
        rewritten(archive, path, changes[what], zipfile.ZIP_DEFLATED if what == "packed" else None)
    with pytest.raises(FeatureError) as caught:
        read_torchscript(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_are_refused_or_change_numbers_only(archive, tmp_path, rng):
    raw = archive.read_bytes()
    path = tmp_path / "flipped.pt"
    for _ in range(300):
        data = bytearray(raw)
        for position in rng.integers(0, len(raw), 3):
            data[position] = rng.integers(0, 256)
        path.write_bytes(data)
        if not is_torchscript(path):
            continue
        try:
            found = read_torchscript(path)
        except FeatureError:
            continue
        assert sum(t.numel() * t.element_size() for t in found.values()) <= len(raw)
        for tensor in found.values():
            # Every number is read; a flipped exponent may make one that no sum can hold.
            assert len(np.asarray(tensor.float()).tobytes()) == 4 * tensor.numel()


def test_a_tensor_beyond_its_storage_is_refused(archive, tmp_path):
    def larger(name, data):
        # The convolution's first axis, 4 in its shape, becomes 100.
        return (
            data.replace(b"K\x04K\x03K\x03K\x03", b"KdK\x03K\x03K\x03")
            if name.endswith("/data.pkl")
            else data
        )

    with pytest.raises(FeatureError, match=r"shape \(100, 3, 3, 3\) over 432 bytes"):
        read_torchscript(rewritten(archive, tmp_path / "larger.pt", larger))
