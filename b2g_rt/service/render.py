"""The render stage: the newest latent becomes a picture, which keeps the identity of its window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from b2g_rt.contracts.messages import FrameMessage, Image, jpeg_image, raw_image
from b2g_rt.service.decode import Decoded
from b2g_rt.service.progress import Progress

Render = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


class RenderStage:
    """Turns one decoded frame into a frame with its picture.

    Parameters
    ----------
    render : callable
        Latent (latent,), float32 -> pixels (row, col, rgb), uint8.
    latent_mean : float32, axes (latent,)
    gain : float
        Latents are stretched from the mean by this before rendering; the latent in the frame stays as decoded.
    jpeg_quality : int
        0 for raw pixels.
    now : callable
        The LSL clock, seconds.
    progress : Progress
    """

    def __init__(
        self,
        render: Render,
        latent_mean: NDArray[np.float32],
        gain: float,
        jpeg_quality: int,
        now: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._render = render
        self._mean = latent_mean
        self._gain = np.float32(gain)
        self._quality = jpeg_quality
        self._now = now
        self._progress = progress

    def push(self, decoded: Decoded) -> FrameMessage:
        """Render one decoded window."""
        if decoded.latent is None:
            return decoded.frame
        latent = decoded.latent
        if self._gain != 1:
            latent = self._mean + self._gain * (latent - self._mean)
        image = self.picture(latent)
        self._progress.frames_rendered += 1
        frame = decoded.frame
        return replace(frame, image=image, stamps=replace(frame.stamps, rendered=self._now()))

    def picture(self, latent: NDArray[np.float32]) -> Image:
        """Render a latent, axes (latent,), as it travels in messages."""
        pixels = self._render(latent)
        return jpeg_image(pixels, self._quality) if self._quality else raw_image(pixels)


def skipped(decoded: Decoded) -> FrameMessage:
    """Return the frame of a window whose picture was superseded by a newer one."""
    frame = decoded.frame
    return replace(frame, flags=replace(frame.flags, skipped=True))
