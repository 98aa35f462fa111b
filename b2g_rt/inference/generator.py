"""Latents to pictures: the bundle's generator, one picture at a time, each checked to be one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import PictureError
from b2g_rt.inference.onnx_model import OnnxModel, SessionRecord
from b2g_rt.inference.picture_check import colour_fault, number_fault
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec


class Generator:
    """The bundle's generator, verified on the provider in use.

    Parameters
    ----------
    bundle : ModelBundle
    settings : ProviderSettings
    waiting : callable, optional
        Told every second what takes so long, in words.

    Raises
    ------
    BundleError
        Its pictures of the reference latents are not the reference pictures.
    PictureError
        They are no pictures at all.
    ProviderError
        The provider cannot be had.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        settings: ProviderSettings,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        image = bundle.manifest.image
        self._bytes = image.layout == "row_col_rgb_uint8"
        picture = (
            TensorSpec((1, image.height, image.width, 3), "uint8")
            if self._bytes
            else TensorSpec((1, 3, image.height, image.width))
        )
        self._model = OnnxModel(
            bundle.file("generator.onnx"),
            settings,
            {"w": TensorSpec((1, 1, bundle.manifest.n_latents))},
            {"image": picture},
            waiting,
        )
        self.worst_reference_error = bundle.check_generator(self.render, self.record.provider)

    @property
    def record(self) -> SessionRecord:
        """Provider asked and got, device, threads, batch, version."""
        return self._model.record

    def render(self, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Render one latent, float32, axes (latent,).

        Returns
        -------
        uint8, axes (row, col, rgb); float pictures become bytes as in StyleGAN3: x * 127.5 + 128, clipped, truncated.

        Raises
        ------
        PictureError
            NaN or infinite values, or one colour throughout.
        """
        image = self._model.run({"w": latent[None, None]})["image"][0]
        if self._bytes:
            pixels = np.asarray(image, np.uint8)
        else:
            self._refuse(number_fault(image))
            rows = np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8)
            pixels = np.asarray(rows.transpose(1, 2, 0))
        self._refuse(colour_fault(pixels))
        return pixels

    def _refuse(self, fault: str) -> None:
        if not fault:
            return
        export = " without --half" if self.record.precision == "float16" else " again"
        raise PictureError(
            f"{self._model.path} on {self.record.provider}: {fault}, expected a picture. "
            f"Lower inference.latent_gain, or export the generator{export}."
        )
