"""Inputs of a stimulus to predicted responses: the encoder, one stimulus at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.encoder import FittedEncoder
from b2g_rt.inference.onnx_model import OnnxModel, SessionRecord
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec


class Encoder:
    """An encoder, verified on the provider in use.

    Parameters
    ----------
    fitted : FittedEncoder
    settings : ProviderSettings
    waiting : callable, optional
        Told every second what takes so long, in words.

    Raises
    ------
    BundleError
        Its answers to the reference inputs are not the reference responses.
    ProviderError
        The provider cannot be had.
    """

    def __init__(
        self,
        fitted: FittedEncoder,
        settings: ProviderSettings,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.fitted = fitted
        self._model = OnnxModel(
            fitted.file("encoder.onnx"),
            settings,
            {"inputs": TensorSpec((1, fitted.manifest.n_inputs))},
            {"response": TensorSpec((1, fitted.channels.n_channels))},
            waiting,
        )
        self.worst_reference_error = fitted.check(self._run, self.record.provider)
        known = fitted.stimuli.inputs
        # The model is linear: the mean of all predictions is the prediction of the mean.
        self.mean_response = self.predict(known.mean(axis=0, dtype=np.float64).astype(np.float32))

    @property
    def record(self) -> SessionRecord:
        """Provider asked and got, device, threads, batch, version."""
        return self._model.record

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict a response.

        Parameters
        ----------
        inputs : float32, axes (input,)

        Returns
        -------
        float32, axes (channel,), z units; NaN for electrodes that no space predicts
        """
        response = self._run(inputs)
        response[~self.fitted.predicted] = np.nan
        return response

    def response_to(self, stimulus: str) -> NDArray[np.float32] | None:
        """Predict the response to a stimulus, see ``predict``; None for one that the encoder does not know."""
        inputs = self.fitted.stimuli.of(stimulus)
        return None if inputs is None else self.predict(inputs)

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        response: NDArray[np.float32] = self._model.run({"inputs": inputs[None]})["response"][0]
        return response
