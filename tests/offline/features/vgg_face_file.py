"""A file laid out as the original VGG_FACE.t7, with numbers of a seed, and torch's own modules of the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.offline.features.torch7_file import Module, Storage, Tensor

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def module(name: str, **fields: Any) -> Module:
    """With what every module of Torch7 carries."""
    nothing = Tensor(None, (), ())
    return Module(
        name,
        {
            "_type": "torch.FloatTensor",
            "output": nothing,
            "gradInput": nothing,
            "train": False,
            **fields,
        },
    )


def vgg_face(seed: int = 0, *, flat: bool = True) -> Module:
    """The sequence; ``flat``: convolutions by matrix product, whose weights have two dimensions."""
    rng = np.random.default_rng(seed)
    modules, n_in = [], 3
    for outputs in BLOCKS:
        for n_out in outputs:
            weight = rng.standard_normal((n_out, n_in, 3, 3), np.float32) / np.float32(
                np.sqrt(4.5 * n_in)
            )
            # All numbers of a module lie in one storage, as after getParameters().
            storage = Storage(
                np.concatenate([weight.ravel(), rng.standard_normal(n_out, np.float32)])
            )
            shape = (n_out, n_in * 9) if flat else weight.shape
            strides = tuple(s // 4 for s in weight.reshape(shape).strides)
            modules.append(
                module(
                    "nn.SpatialConvolutionMM" if flat else "nn.SpatialConvolution",
                    nInputPlane=n_in,
                    nOutputPlane=n_out,
                    weight=Tensor(storage, shape, strides),
                    bias=Tensor(storage, (n_out,), (1,), weight.size),
                    kW=3,
                    kH=3,
                    dW=1,
                    dH=1,
                    **({"padding": 1} if flat else {"padW": 1, "padH": 1}),
                )
            )
            modules.append(module("nn.ReLU", threshold=0, val=0, inplace=True))
            n_in = n_out
        modules.append(
            module("nn.SpatialMaxPooling", kW=2, kH=2, dW=2, dH=2, padW=0, padH=0, ceil_mode=True)
        )
    # Numbers that would show if somebody read them.
    nan = np.full((5, 4), np.nan, np.float32)
    behind = [
        module("nn.View", size=Storage(np.array([25088], "i8")), numElements=25088),
        module("nn.Linear", weight=nan, bias=nan[:, 0]),
        module("nn.ReLU", threshold=0, val=0),
        module("nn.Dropout", p=0.5, noise=Tensor(None, (), ())),
        module("nn.SoftMax"),
    ]
    return module("nn.Sequential", modules=[*modules, *behind])


def as_torch(sequence: Module) -> list[nn.Sequential]:
    """The five blocks as torch's own modules, each ending in its pooling."""
    blocks: list[nn.Sequential] = []
    open_: list[nn.Module] = []
    for layer in sequence.fields["modules"]:
        fields = layer.fields
        if "Convolution" in layer.name:
            n_in, n_out = fields["nInputPlane"], fields["nOutputPlane"]
            convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
            values = torch.from_numpy(fields["weight"].storage.values)
            with torch.no_grad():
                convolution.weight.copy_(values[: n_out * n_in * 9].view(n_out, n_in, 3, 3))
                convolution.bias.copy_(values[n_out * n_in * 9 :])
            open_.append(convolution)
        elif layer.name == "nn.ReLU":
            open_.append(nn.ReLU())
        elif layer.name == "nn.SpatialMaxPooling":
            open_.append(nn.MaxPool2d(2, 2, ceil_mode=fields["ceil_mode"]))
            blocks.append(nn.Sequential(*open_))
            open_ = []
    return blocks
