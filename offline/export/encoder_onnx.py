"""Fitted encoding models as one ONNX file and the directory that the service loads.

    inputs (1, input) float32  ->  response (1, channel) float32

    response = inputs[of its space] @ weights + intercept

Inputs of several spaces lie side by side; each electrode takes part in the product of its own space only, so
the file holds one column of one space per electrode, however many spaces there are. A wide space stays in its dual
form: its inputs are kernel rows, and its weights one number per training stimulus.
Knows no feature network and no file of features: what is known of stimuli comes in as numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.encoder import static_windows_ms, write_encoder_folder
from b2g_rt.contracts.verified_folder import npz_bytes
from b2g_rt.errors import BundleError
from offline.encoding.prediction import SpacePrediction
from offline.export.cpu_session import cpu_session
from offline.export.decoder_graph import Nodes, float_row
from offline.features.feature_space import FeatureSpace

# The bound for float32 against float64, relative to the SD of the responses.
PARITY_TOLERANCE = 1e-4
N_REFERENCE = 8
NO_SPACE = -1
"""Of an electrode that no space predicts."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedSpace:
    """A feature space's linear model: response = inputs @ weights + intercept.

    Attributes
    ----------
    name : str
    kind : {'features', 'kernel'}
        What its inputs are.
    weights : float32, axes (input, channel)
        Of all electrodes; those of other spaces are not looked at.
    intercept : float64, axes (channel,)
    inputs : float32, axes (stimulus, input)
        Of the stimuli that the service shall know.
    provenance : mapping
        Plain data: what inputs of further stimuli would need.
    """

    name: str
    kind: Literal["features", "kernel"]
    weights: NDArray[np.float32] = field(repr=False)
    intercept: NDArray[np.float64] = field(repr=False)
    inputs: NDArray[np.float32] = field(repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)


def fitted_space(
    prediction: SpacePrediction,
    space: FeatureSpace,
    stimulus_ids: Sequence[str],
    provenance: Mapping[str, Any],
    targets: slice | NDArray[np.intp] = slice(None),
) -> FittedSpace:
    """Return what encoding fitted to a space, with the inputs of the stimuli that the service shall know.

    Parameters
    ----------
    prediction : SpacePrediction
    space : FeatureSpace
        That it was fitted to.
    stimulus_ids : sequence of str, axes (stimulus,)
    provenance : mapping
        Plain data.
    targets : slice or int array
        Which of its targets are the electrodes' responses in their ROI's window, one per electrode; all by default.

    Raises
    ------
    EncodingError
        A stimulus has no features.
    """
    fitted = prediction.map
    inputs = fitted.inputs_of(space, stimulus_ids)
    weights = np.asarray(fitted.weights[:, targets], np.float64)
    if fitted.form == "kernel":
        # A training stimulus that came several times has the same kernel with everything: one input is enough.
        _, first, input_of = np.unique(fitted.train_ids, return_index=True, return_inverse=True)
        summed = np.zeros((len(first), weights.shape[1]))
        np.add.at(summed, input_of, weights)
        inputs, weights = inputs[:, first], summed
    return FittedSpace(
        prediction.space,
        fitted.form,
        weights.astype(np.float32),
        np.asarray(fitted.intercept[targets], np.float64),
        inputs,
        provenance,
    )


def predict_responses(
    spaces: Sequence[FittedSpace], space_of: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Predict every known stimulus in numpy.

    Parameters
    ----------
    spaces : sequence of FittedSpace
    space_of : int, axes (channel,)
        Which space predicts an electrode; NO_SPACE: none, its response is 0.

    Returns
    -------
    float64, axes (stimulus, channel)
    """
    responses = np.zeros((len(spaces[0].inputs), len(space_of)))
    for position, space in enumerate(spaces):
        columns = np.flatnonzero(space_of == position)
        weights = space.weights[:, columns].astype(np.float64)
        responses[:, columns] = space.inputs.astype(np.float64) @ weights + space.intercept[columns]
    return responses


def encoder_onnx(spaces: Sequence[FittedSpace], space_of: NDArray[np.intp]) -> bytes:
    """Return the ONNX file of an encoder (opset 20, static shapes); parameters as ``predict_responses``."""
    graph = Nodes()
    parts: list[str] = []
    order: list[NDArray[np.intp]] = []
    start = 0
    intercept = np.zeros(len(space_of))
    for position, space in enumerate(spaces):
        stop = start + len(space.weights)
        columns = np.flatnonzero(space_of == position)
        if len(columns):
            rows = graph.columns("inputs", start, stop, f"inputs_{position}")
            weights = np.ascontiguousarray(space.weights[:, columns], np.float32)
            known = graph.constant(weights, f"weights_{position}")
            parts.append(graph.node("MatMul", [rows, known], f"moved_{position}"))
            order.append(columns)
            intercept[columns] = space.intercept[columns]
        start = stop
    none = np.flatnonzero(space_of == NO_SPACE)
    if len(none):
        parts.append(graph.constant(np.zeros((1, len(none)), np.float32), "unpredicted"))
        order.append(none)
    place = np.argsort(np.concatenate(order)).astype(np.int64)
    joined = graph.node("Concat", parts, "joined", axis=1)
    moved = graph.node("Gather", [joined, graph.constant(place, "place")], "moved", axis=1)
    bias = graph.constant(intercept[None].astype(np.float32), "intercept")
    graph.node("Add", [moved, bias], "response")
    names = ", ".join(space.name for space in spaces)
    return graph.file(
        "encoder",
        [float_row("inputs", start)],
        [float_row("response", len(space_of))],
        f"{len(space_of)} electrodes from {names}",
    )


class OnnxEncoder:
    """An encoder file on ONNX Runtime's CPU provider; one stimulus at a time, as it runs live."""

    def __init__(self, model: bytes) -> None:
        self._session = cpu_session(model)

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict responses, float32, axes (stimulus, channel), of inputs, float32, axes (stimulus, input)."""
        return np.concatenate(
            [self._session.run(["response"], {"inputs": row[None]})[0] for row in inputs]
        )


def check_encoder_parity(
    found: NDArray[np.float32], wanted: NDArray[np.float64], names: Sequence[str]
) -> float:
    """Compare ONNX Runtime with numpy, electrode by electrode.

    Parameters
    ----------
    found, wanted : axes (stimulus, channel)
    names : sequence of str, axes (stimulus,)
        For the message.

    Returns
    -------
    float
        Worst difference, in SDs of the responses.

    Raises
    ------
    BundleError
        It exceeds PARITY_TOLERANCE.
    """
    difference = np.abs(found - wanted) / (float(wanted.std()) or 1.0)
    stimulus, channel = (int(i) for i in np.unravel_index(difference.argmax(), wanted.shape))
    worst = float(difference.max())
    if not worst <= PARITY_TOLERANCE:
        raise BundleError(
            f"encoder.onnx: stimulus '{names[stimulus]}', electrode {channel} differs from numpy by {worst:.2g} SD, "
            f"expected at most {PARITY_TOLERANCE:g}. Inputs or weights are too large for float32: check the features."
        )
    return worst


def write_encoder(
    folder: Path,
    spaces: Sequence[FittedSpace],
    space_of: NDArray[np.intp],
    *,
    name: str,
    channels: ChannelMap,
    stimulus_ids: Sequence[str],
    training_ids: Collection[str],
    normalisation: Normalisation,
    held_out_r: NDArray[np.float64],
    noise_ceiling: NDArray[np.float64],
    training: Mapping[str, Any],
    simulated: bool,
    windows_ms: Mapping[str, tuple[float, float]] | None = None,
    sources: Mapping[str, str] | None = None,
) -> str:
    """Write the directory that ``b2g-rt serve --set encoder=DIR`` loads.

    Parameters
    ----------
    folder : Path
        Made if missing.
    spaces : sequence of FittedSpace
        With the inputs of the same stimuli.
    space_of : int, axes (channel,)
        Which of ``spaces`` predicts an electrode; NO_SPACE: none.
    name : str
    channels : ChannelMap
    stimulus_ids : sequence of str, axes (stimulus,)
        As markers name them.
    training_ids : collection of str
        Those of them that the weights were fitted to.
    normalisation : Normalisation
        How the responses became z units.
    held_out_r, noise_ceiling : float64, axes (channel,)
        NaN where they are not known.
    training : mapping
        Plain data: recordings, stimuli, regularisation, dates.
    simulated : bool
    windows_ms : mapping of ROI to (start, stop), optional
        Of the responses, ms after the onset; None: the paper's static windows.
    sources : mapping of path to SHA-256, optional

    Returns
    -------
    str
        The encoder's hash.

    Raises
    ------
    BundleError
        ONNX Runtime computes something else than numpy, or parts contradict each other.
    """
    _check_shapes(spaces, space_of, len(stimulus_ids))
    model = encoder_onnx(spaces, space_of)
    inputs = np.concatenate([np.asarray(s.inputs, np.float32) for s in spaces], axis=1)
    shown = np.linspace(0, len(inputs) - 1, min(N_REFERENCE, len(inputs))).astype(np.intp)
    found = OnnxEncoder(model).predict(inputs)
    check_encoder_parity(found, predict_responses(spaces, space_of), stimulus_ids)
    windows = static_windows_ms() if windows_ms is None else windows_ms
    manifest = {
        "name": name,
        "channel_map": channels.to_dict(),
        "windows": {
            roi: {"start_ms": start, "stop_ms": stop} for roi, (start, stop) in windows.items()
        },
        "unit": "z",
        "normalisation": normalisation.model_dump(),
        "n_inputs": inputs.shape[1],
        "spaces": [
            {
                "name": s.name,
                "kind": s.kind,
                "n_inputs": len(s.weights),
                "provenance": dict(s.provenance),
            }
            for s in spaces
        ],
        "electrode_space": [None if k == NO_SPACE else spaces[k].name for k in space_of],
        "held_out_r": _plain(held_out_r),
        "noise_ceiling": _plain(noise_ceiling),
        "training": dict(training),
        "simulated": simulated,
        "sources": dict(sources or {}),
    }
    files = {
        "encoder.onnx": model,
        "stimuli.npz": npz_bytes(
            id=np.array(list(stimulus_ids), np.str_),
            inputs=inputs,
            in_training=np.array([i in training_ids for i in stimulus_ids], bool),
        ),
        "reference.npz": npz_bytes(inputs=inputs[shown], response=found[shown]),
    }
    return write_encoder_folder(folder, manifest, files)


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _check_shapes(
    spaces: Sequence[FittedSpace], space_of: NDArray[np.intp], n_stimuli: int
) -> None:
    if not spaces or not n_stimuli:
        raise BundleError(
            f"encoder: {len(spaces)} spaces and {n_stimuli} stimuli, expected at least one of each."
        )
    if not ((space_of >= NO_SPACE) & (space_of < len(spaces))).all():
        raise BundleError(
            f"encoder: spaces {np.unique(space_of).tolist()} of electrodes, expected {NO_SPACE} to {len(spaces) - 1}."
        )
    for space in spaces:
        shapes = space.inputs.shape, space.weights.shape, space.intercept.shape
        n_inputs, n_channels = len(space.weights), len(space_of)
        if shapes != ((n_stimuli, n_inputs), (n_inputs, n_channels), (n_channels,)):
            raise BundleError(
                f"encoder: space '{space.name}': inputs, weights and intercept {shapes}, expected inputs of "
                f"{n_stimuli} stimuli, weights and intercepts of {n_channels} electrodes."
            )
