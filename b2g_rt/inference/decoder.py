"""Window features to latents: the bundle's decoder, one window at a time, live and offline alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

    Attributes
    ----------
    n_state : int
        Numbers that it remembers from window to window; 0: none.

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
        self.n_state = bundle.manifest.decoder_state
        inputs = {"features": TensorSpec((1, n_channels)), "window_idx": TensorSpec((1,), "int64")}
        outputs = {"latent": TensorSpec((1, n_latents))}
        if self.n_state:
            inputs["state"] = outputs["next_state"] = TensorSpec((1, self.n_state))
        self._model = OnnxModel(
            bundle.file("decoder.onnx"),
            settings,
            inputs,
            outputs,
            waiting,
        )
        self._per_window = bundle.manifest.decoder_kind == "per_window"
        self._window_idx = np.zeros(1, np.int64)
        self.worst_reference_error = bundle.check_decoder(self.step, self.record.provider)

    @property
    def record(self) -> SessionRecord:
        """Provider asked and got, device, threads, batch, version."""
        return self._model.record

    def step(
        self, features: NDArray[np.float32], window_idx: int, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode one window; what is remembered is the caller's to keep, see ``TrialDecoder``.

        Parameters
        ----------
        features : float32, axes (channel,), z units
        window_idx : int
            Position in the trial; ignored by a ``fixed`` decoder.
        state : float32, axes (number,)
            What it gave after the trial's last window, else 0.

        Returns
        -------
        latent : float32, axes (latent,)
        state : float32, axes (number,)
        """
        self._window_idx[0] = window_idx if self._per_window else 0
        inputs: dict[str, NDArray[Any]] = {
            "features": features[None],
            "window_idx": self._window_idx,
        }
        if self.n_state:
            inputs["state"] = state[None]
        out = self._model.run(inputs)
        latent: NDArray[np.float32] = out["latent"][0]
        return latent, out["next_state"][0] if self.n_state else state
