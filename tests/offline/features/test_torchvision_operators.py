"""In fresh processes: what is imported first decides."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)


def run(code, **environment):
    """Run code with warnings as errors, as the tests do; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_torchvision_timm_open_clip_and_torchmetrics_import_beside_this_torch():
    found = run(
        "from offline.features.torchvision_operators import import_torchvision\n"
        "import_torchvision()\n"
        "import timm, open_clip, torchmetrics.image.lpip, torchvision, torch\n"
        "assert import_torchvision() is torchvision\n"
        "print(hasattr(torch.ops.torchvision, 'nms'), hasattr(torchvision.models, 'vgg16'))"
    )
    assert found == "True True"


@pytest.fixture
def packages(tmp_path):
    """A folder with a torchvision whose extension is a library that any torch loads, or none at all."""

    def make(extension):
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text("name = 'ours'\n")
        if extension == "loads":
            shutil.copy(_any_extension(), package / "_C.so")
        elif extension == "broken":
            (package / "_C.so").write_bytes(b"no library")
        return str(tmp_path)

    return make


def _any_extension():
    import msgspec

    (found,) = (
        path
        for path in Path(msgspec.__file__).parent.iterdir()
        if path.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extension", "declared"), [("loads", "False"), ("broken", "True"), ("none", "True")]
)
def test_operators_are_declared_only_where_the_extension_does_not_load(
    packages, extension, declared
):
    found = run(
        "from offline.features.torchvision_operators import import_torchvision\n"
        "import torch\n"
        "print(import_torchvision().name, *(hasattr(torch.ops.torchvision, n) for n in ('nms', 'qnms')))",
        PYTHONPATH=os.pathsep.join([packages(extension), os.getcwd()]),
    )
    assert found == f"ours {declared} {declared}"


def test_a_missing_torchvision_is_an_import_error_and_not_a_half_import(monkeypatch):
    from offline.features.torchvision_operators import import_torchvision

    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match="torchvision"):
        import_torchvision()
