"""The golden networks in ONNX Runtime, each exported and opened once per process."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from offline.export.cpu_session import cpu_session
from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.mapping_graph import mapping_model
from offline.export.stylegan.model import synthesis_model
from offline.stimuli.generators import PictureGenerator
from offline.stimuli.stylegan.generator import Generator
from tests.offline.stimuli.golden_networks import golden_generator


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return cpu_session(model.SerializeToString())


@cache
def synthesis_proto(
    name: str,
    *,
    half: bool = False,
    uint8: bool = False,
    formulation: Formulation | None = None,
) -> onnx.ModelProto:
    return synthesis_model(
        golden_generator(name).synthesis, half=half, uint8=uint8, formulation=formulation
    )


@cache
def synthesis_session(
    name: str,
    *,
    half: bool = False,
    uint8: bool = False,
    formulation: Formulation | None = None,
) -> onnxruntime.InferenceSession:
    return session(synthesis_proto(name, half=half, uint8=uint8, formulation=formulation))


@cache
def mapping_session(name: str) -> onnxruntime.InferenceSession:
    return session(mapping_model(golden_generator(name).mapping))


def draw(runtime: onnxruntime.InferenceSession, w: NDArray[np.float32]) -> NDArray[np.generic]:
    return np.asarray(runtime.run(None, {"w": w})[0])


def worst_in_sd(found: NDArray[np.generic], wanted: NDArray[np.generic]) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max() / wanted.std())


def picture_generator(network: Generator, name: str = "test") -> PictureGenerator:
    spec = network.spec
    return PictureGenerator(
        name=name,
        mapping=network.mapping,
        synthesis=network.synthesis,
        z_dim=spec.z_dim,
        w_dim=spec.w_dim,
        num_ws=spec.num_ws,
        n_classes=spec.n_classes,
        resolution=spec.resolution,
        w_avg=torch.as_tensor(network.mapping.w_avg),
        spec=spec,
        digest="0" * 64,
    )
