"""The main job as a user runs it: one command, headless, and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(150)]
N_TRIALS = 12


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [
            *(sys.executable, "-m", "b2g_rt", "demo", "--trials", str(N_TRIALS)),
            *("--out", str(folder / "out"), "--recordings", str(folder / "recordings")),
        ],
        capture_output=True,
        text=True,
        timeout=140,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "simulated" in result.stdout
    return folder / "out"


@pytest.fixture(scope="module")
def summary(out):
    return json.loads((out / "summary.json").read_text())


def test_every_window_is_decoded_and_no_sample_is_lost(summary):
    windows, samples = summary["windows"], summary["samples"]
    assert windows["due"] == windows["decoded"] == 9 * N_TRIALS
    assert windows["dropped"] == 0
    assert summary["frames"]["rendered"] + windows["skipped"] == windows["decoded"]
    assert samples["received"] == samples["expected"]
    assert (samples["lost"], samples["duplicated"], samples["late"]) == (0, 0, 0)


def test_the_summary_names_latencies_cosines_and_provider(summary):
    for stage in ("decode", "sample_to_latent", "sample_to_frame"):
        quantiles = summary["latency_ms"][stage]
        assert 0 < quantiles["p50"] <= quantiles["p99"] <= quantiles["max"]
    assert summary["cosine"]["decoded"] > summary["cosine"]["mean_latent"]
    assert summary["cosine"]["decoded_centred"] > 0
    assert summary["provider"].endswith("ExecutionProvider")
    assert "simulated" in summary["note"]


def n_colours(picture: Image.Image) -> int:
    """Return how many colours a picture has."""
    colours = picture.convert("RGB").getcolors(1 << 22)
    assert colours is not None
    return len(colours)


def test_the_animation_has_a_picture_for_every_window(out):
    with Image.open(out / "trials.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 9
        assert n_colours(animation) > 50


def test_the_page_holds_best_median_and_worst_trial_by_rank(out, summary):
    page = (out / "summary.html").read_text()
    for label in ("best", "median", "worst"):
        assert f"{label} of {N_TRIALS}" in page
    assert page.count('<img src="data:image/') >= 2 * N_TRIALS
    assert summary["note"] in page
    assert "http" not in page


def test_the_screenshot_shows_something(out):
    with Image.open(out / "screenshot.png") as picture:
        assert picture.size == (1600, 900)
        assert n_colours(picture) > 2000
