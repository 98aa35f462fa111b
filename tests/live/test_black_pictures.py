"""A generator that overflows for some windows, in a whole service."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.faulty_generators import BYTES, write_overflowing_bundle
from tests.live.test_service import latent, rig

pytestmark = pytest.mark.live


def test_a_window_whose_picture_is_black_is_flagged_and_counted_and_the_session_goes_on(
    tmp_path, caplog
):
    bundle = write_overflowing_bundle(tmp_path / "overflowing", BYTES)
    with caplog.at_level(logging.ERROR), rig(tmp_path, f"bundle={bundle.path}") as r:
        for i in range(4):
            r.trial(f"face-{i:04d}", 400 + 400 * i)
        r.seen.wait(lambda: len(r.seen.frames()) >= 36)
        progress = r.live.service.progress
    frames = r.seen.frames()
    negative = {f.sequence for f in frames if latent(f)[0] < 0}
    shown = {f.sequence for f in frames if f.image is not None}
    skipped = {f.sequence for f in frames if f.flags.skipped}
    assert negative
    assert shown
    assert not negative & shown
    assert negative <= skipped
    # Some may have been superseded before they were rendered.
    assert 0 < progress.n_failures <= len(negative)
    assert all(np.frombuffer(f.image.data, np.uint8).any() for f in frames if f.image)
    (event,) = r.seen.events("stage-failed")
    assert "the picture is black throughout, expected a picture" in event.text
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "black throughout" in record.getMessage()
    assert record.exc_info is None
