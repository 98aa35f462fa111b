"""Window features to latents: the bundle's decoder, one window at a time, live and offline alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.inference.onnx_model import OnnxModel, SessionRecord
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec


class Decoder:
    """The bundle's decoder, verified on the provider in use.

    Parameters
    ----------
    bundle : ModelBundle
    settings : ProviderSettings
    waiting : callable, optional
        Told every second what takes so long, in words.

    Raises
    ------
    BundleError
        Its answers to the reference features are not the reference latents.
    ProviderError
        The provider cannot be had.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        settings: ProviderSettings,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        n_channels, n_latents = bundle.channels.n_channels, bundle.manifest.n_latents
        self._model = OnnxModel(
            bundle.file("decoder.onnx"),
            settings,
            {"features": TensorSpec((1, n_channels)), "window_idx": TensorSpec((1,), "int64")},
            {"latent": TensorSpec((1, n_latents))},
            waiting,
        )
        self._per_window = bundle.manifest.decoder_kind == "per_window"
        self._window_idx = np.zeros(1, np.int64)
        self.worst_reference_error = bundle.check_decoder(self.decode, self.record.provider)

    @property
    def record(self) -> SessionRecord:
        """Provider asked and got, device, threads, batch, version."""
        return self._model.record

    def decode(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Decode one window.

        Parameters
        ----------
        features : float32, axes (channel,), z units
        window_idx : int
            Position in the trial; ignored by a ``fixed`` decoder.

        Returns
        -------
        float32, axes (latent,)
        """
        self._window_idx[0] = window_idx if self._per_window else 0
        out = self._model.run({"features": features[None], "window_idx": self._window_idx})
        latent: NDArray[np.float32] = out["latent"][0]
        return latent
