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
        # Windows 1 and 4 of a trial overflow. The samples stop once at the first's end: nothing newer supersedes it.
        r.mua.push(401)
        r.markers.push("face-0000", r.mua.time_of(400))
        r.mua.push(25)
        r.seen.wait_for_frames(2)
        r.mua.push(225)
        for i in range(1, 4):
            r.trial(f"face-{i:04d}", 400 + 400 * i)
        r.seen.wait_for_frames(36)
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
