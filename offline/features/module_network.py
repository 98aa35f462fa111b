"""A torch network whose layers are read by the names of its modules.

What all networks of this room share: hooks, device, batches, shapes. Knows neither where weights lie nor how pictures
become input.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import FeatureError
from offline.features.network import Picture
from offline.features.preprocessing import Preprocessing
from offline.features.weight_files import reason
from offline.stimuli.devices import device_named

if TYPE_CHECKING:
    import torch

    Change = Callable[[torch.Tensor], torch.Tensor]

_one_on_the_gpu = threading.Lock()


class ModuleNetwork:
    """A ``FeatureNetwork`` of a torch module.

    Parameters
    ----------
    name : str
        As the user asked for it.
    model : torch.nn.Module
        Its weights in place.
    layers : dict of layer name to module name, or to the module's name and what is done to its output
        The module "" is the whole network.
    preprocessing : Preprocessing
    weights : dict
        Where they come from, for the provenance.
    device : str
        auto, cpu or cuda.
    libraries : sequence of str
        What pip calls the libraries that features depend on, besides torch and Pillow.
    unfit_left_out : bool
        Layers that give no tensor of each picture are left out, unless none would be left; otherwise they are an error.

    Raises
    ------
    FeatureError
        There is no such module, it does not run, or returns no tensor of pictures; the picture's size does not fit.
    ProviderError
        There is no such device.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        layers: Mapping[str, str | tuple[str, Change]],
        preprocessing: Preprocessing,
        weights: Mapping[str, Any],
        device: str = "auto",
        libraries: Sequence[str] = ("torchvision",),
        unfit_left_out: bool = False,
    ) -> None:
        self.name = name
        self.preprocessing = preprocessing
        self._device = device_named(device)
        self._model = model.eval().requires_grad_(False).to(self._device)
        # Of each thread: several may run the same network.
        self._running = threading.local()
        told = {}
        for layer, read in layers.items():
            module, change = (read, None) if isinstance(read, str) else read
            told[layer] = module if change is None else f"{module}, {change.__name__}"
            self._hook(layer, module, change)
        self._shapes = self._probe(list(layers), unfit_left_out)
        # In the order of processing, whatever order they were named in.
        self.layers = tuple(self._shapes)
        self._provenance = {
            "weights": dict(weights),
            "preprocessing": dict(preprocessing.description),
            "layers": {layer: told[layer] for layer in self.layers},
            "versions": {name: version(name) for name in ("torch", *libraries, "pillow")},
        }

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See ``FeatureNetwork``."""
        return self._provenance

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._device

    def shape(self, layer: str) -> tuple[int, ...]:
        """See ``FeatureNetwork``."""
        return self._shapes[layer]

    def features(self, pictures: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """See ``FeatureNetwork``."""
        found = self._run(pictures)
        return {layer: found[layer].reshape(len(pictures), -1) for layer in self.layers}

    def _hook(self, layer: str, module: str, change: Change | None) -> None:
        import torch

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            found: dict[str, Any] | None = getattr(self._running, "found", None)
            if found is None:
                return
            if not isinstance(output, torch.Tensor):
                found[layer] = type(output).__name__
                return
            if change is not None:
                output = change(output)
            # Copied at once: what follows may work in place, as many a ReLU does.
            kept = output.detach().to("cpu", torch.float32, copy=True)
            found[layer] = np.ascontiguousarray(kept.numpy())

        modules = dict(self._model.named_modules())
        if module not in modules:
            raise FeatureError(
                _no_such_layer(self.name, module, [name for name in modules if name])
            )
        modules[module].register_forward_hook(keep)

    def _run(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """Return what each layer gave: float32, axes (picture, ...), or the name of the type that it gave instead."""
        import torch

        batch = self.preprocessing.batch(pictures)
        found: dict[str, Any] = {}
        self._running.found = found
        try:
            with torch.inference_mode(), full_precision(self._device):
                self._model(batch.to(self._device))
        finally:
            self._running.found = None
        return found

    def _probe(self, layers: Sequence[str], unfit_left_out: bool) -> dict[str, tuple[int, ...]]:
        """Run two black pictures, so that what has no axis of pictures shows; return each layer's shape."""
        try:
            found = self._run([np.zeros((64, 64, 3), np.uint8)] * 2)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise FeatureError(
                f"network '{self.name}': it does not run on pictures of its input's size ({reason(error)}), expected "
                "it. Give another --side, or none."
            ) from None
        unfit = {layer: _unfit(found.get(layer)) for layer in layers}
        fit = {layer: value for layer, value in found.items() if not unfit[layer]}
        if fit and unfit_left_out:
            return {layer: value.shape[1:] for layer, value in fit.items()}
        for layer, what in unfit.items():
            if what:
                raise FeatureError(
                    f"network '{self.name}': layer '{layer}': {what}, expected one tensor with an axis of pictures. "
                    "Name another layer, such as the block around it or one inside it."
                )
        return {layer: value.shape[1:] for layer, value in fit.items()}


def _unfit(value: Any) -> str:
    """Say why what a layer gave for two pictures is no feature of each; nothing where it is."""
    if value is None:
        return "it is not run when features are computed"
    if isinstance(value, str):
        return f"it returns a {value}"
    if value.ndim < 2 or len(value) != 2:
        return f"for two pictures it returns shape {value.shape}"
    return ""


def _no_such_layer(network: str, layer: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(layer, names, 5, 0.5)
    # Parts of a name are asked for too: "conv1" where there is only layer1.0.conv1.
    near += [name for name in names if layer in name and name not in near][: 5 - len(near)]
    near = near or [name for name in names if "." not in name][:12]
    return (
        f"network '{network}': no layer '{layer}', expected one of its {len(names)} modules. Did you mean "
        f"{', '.join(near)}?"
    )


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Yield with the same algorithms every time and all bits of float32, which CUDA's convolutions drop by default."""
    import torch

    if device.type != "cuda":
        yield
        return
    with _one_on_the_gpu:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before


def among(network: str, asked: Iterable[str] | None, known: Sequence[str]) -> list[str]:
    """Return which of a network's layers are asked for, in the network's order; all by default.

    Raises
    ------
    FeatureError
        It has no such layer.
    """
    asked = list(known if asked is None else asked)
    for layer in asked:
        if layer not in known:
            raise FeatureError(
                f"network '{network}': no layer '{layer}', expected some of {', '.join(known)}. Name those."
            )
    return [layer for layer in known if layer in asked]


def check_known(network: str, library: str, architecture: str, known: Sequence[str]) -> None:
    """Refuse an architecture that a library does not have.

    Raises
    ------
    FeatureError
        Names those that are alike.
    """
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 5, 0.5) or known[:5]
        raise FeatureError(
            f"network '{network}': {library} has none of that name, expected one of its {len(known)}. Did you mean "
            f"{', '.join(near)}?"
        )
