"""trials.gif: stimulus beside reconstruction, window by window, for trials chosen by rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from b2g_rt.contracts.messages import Image, pixels_of
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.demo.collect import TrialRecord

SIDE = 224
MARGIN = 16
CAPTION = 46
FRAME_MS = 320
HOLD_MS = 1600
_BACKGROUND = (16, 18, 22)
_TEXT = (232, 234, 237)
_QUIET = (140, 146, 156)


def trials_gif(path: Path, chosen: list[tuple[str, TrialRecord]], spec: WindowSpec) -> None:
    """Write the animation; one frame per window position, slowed down, the last one held.

    Parameters
    ----------
    path : Path
    chosen : list of (label, trial)
    spec : WindowSpec
        For the time captions, ms after onset.
    """
    frames = [_frame(chosen, k, spec) for k in range(spec.n_windows)]
    durations = [FRAME_MS] * (len(frames) - 1) + [HOLD_MS]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False
    )


def _frame(
    chosen: list[tuple[str, TrialRecord]], window_idx: int, spec: WindowSpec
) -> Pillow.Image:
    panel = 2 * SIDE + 3 * MARGIN
    sheet = Pillow.new(
        "RGB", (panel * len(chosen) + MARGIN, SIDE + 2 * MARGIN + 2 * CAPTION), _BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    stop_ms = 1000.0 * (spec.start_of(window_idx) + spec.length) / spec.rate_hz
    for place, (label, trial) in enumerate(chosen):
        left, top = MARGIN + place * panel, MARGIN + CAPTION
        score = f"cosine {trial.score.cosine:.2f}" if trial.score else ""
        draw.text((left, MARGIN), f"{label}   {trial.stimulus}   {score}", _TEXT, large)
        sheet.paste(_square(trial.stimulus_picture), (left, top))
        sheet.paste(_square(_picture(trial, window_idx)), (left + SIDE + MARGIN, top))
        draw.text((left, top + SIDE + 8), "stimulus (simulated)", _QUIET, small)
        draw.text(
            (left + SIDE + MARGIN, top + SIDE + 8),
            f"decoded, {window_idx + 1} of {spec.n_windows}, to {stop_ms:+.0f} ms",
            _QUIET,
            small,
        )
    # Dithering needs a palette that is there already, hence twice.
    return sheet.quantize(palette=sheet.quantize(256), dither=Pillow.Dither.FLOYDSTEINBERG)


def _picture(trial: TrialRecord, window_idx: int) -> Image | None:
    """Return what was on screen at this window: its picture, or the one before where it was skipped."""
    shown = [k for k in trial.pictures if k <= window_idx]
    return trial.pictures[max(shown)] if shown else None


def final_picture(trial: TrialRecord) -> Image | None:
    """Return the picture of the trial's last shown window."""
    return trial.pictures[max(trial.pictures)] if trial.pictures else None


def _square(image: Image | None) -> Pillow.Image:
    if image is None:
        return Pillow.new("RGB", (SIDE, SIDE), (32, 35, 41))
    return Pillow.fromarray(pixels_of(image)).resize((SIDE, SIDE), Pillow.Resampling.BICUBIC)


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels, axes (row, col, rgb), as a PNG file."""
    import io

    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
