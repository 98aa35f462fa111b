"""What every test stands on: Qt without a screen, LSL without neighbours, seeded chance.

Runs in each pytest-xdist worker before any test module is imported, so before liblsl or Qt load.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.sources.lsl_settings import use_private_lsl

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# One folder per worker: each gets a session id of its own, so workers never see each other.
_lsl_dir = Path(tempfile.mkdtemp(prefix="b2g-lsl-"))
atexit.register(shutil.rmtree, _lsl_dir, ignore_errors=True)
use_private_lsl(_lsl_dir)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same at every run, different for each test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
