"""Published networks behind feature metrics, opened from weight files that are already here.

VGG16, AlexNet, Inception (torchvision), CLIP (open_clip), LPIPS and DISTS (torchmetrics). Nothing is downloaded: a
missing library or file is one line that says what to install or where the file belongs. For picture_scores.py, which
knows neither torch nor where weights lie.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SetupError
from offline.evaluation.image_metrics import Pictures, resized
from offline.evaluation.published_networks import NETWORKS, NetworkSpec
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import library_errors, read_tensors, reason

_PICTURES_AT_ONCE = 16


class FeatureNetwork:
    """A network whose layers are read; from ``open_network``."""

    def __init__(self, spec: NetworkSpec, model: Any, device: Any) -> None:
        self.spec = spec
        self._model, self._device = model, device

    def features(self, pictures: Pictures, layer: str) -> NDArray[np.float32]:
        """Return one layer's activations.

        Parameters
        ----------
        pictures : uint8, axes (picture, row, col, rgb)
        layer : str
            A key of ``spec.layers``.

        Returns
        -------
        float32, axes (picture, feature)
            All units of the layer: 3.2 MB a picture for VGG1, so read one layer at a time.
        """
        import torch

        found: list[NDArray[np.float32]] = []
        module = dict(self._model.named_modules())[self.spec.layers[layer]]
        hook = module.register_forward_hook(
            lambda _module, _args, output: found.append(output.float().flatten(1).cpu().numpy())
        )
        try:
            with torch.inference_mode():
                for batch in _batches(pictures, self.spec, self._device):
                    self._model(batch)
        finally:
            hook.remove()
        return np.concatenate(found)


class PictureDistance:
    """A learned distance between two pictures, 0 for equal ones; from ``open_distance``."""

    def __init__(
        self, spec: NetworkSpec, model: Any, device: Any, options: Mapping[str, Any]
    ) -> None:
        self.spec = spec
        self._model, self._device, self._options = model, device, options

    def distances(self, reconstructed: Pictures, shown: Pictures) -> NDArray[np.float64]:
        """Return the distance of each pair, float64, axes (picture,); lower is better."""
        import torch

        found = []
        pairs = zip(
            _batches(reconstructed, self.spec, self._device),
            _batches(shown, self.spec, self._device),
            strict=True,
        )
        with torch.inference_mode():
            for a, b in pairs:
                found.append(self._model(a, b, **self._options).double().flatten().cpu().numpy())
        return np.concatenate(found)


def weights_folder() -> Path:
    """Return where torchvision keeps downloaded weights; files put there by hand are found too."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def open_network(name: str, weights: Path | None = None, device: str = "cpu") -> FeatureNetwork:
    """Open a network whose layers are compared: vgg16, alexnet, inception, clip.

    Parameters
    ----------
    name : str
    weights : Path, optional
        Folder of weight files; ``weights_folder()`` by default.
    device : str
        auto, cpu or cuda.

    Raises
    ------
    ProviderError
        There is no such device.
    SetupError
        The library, or the file of weights, is not here, or does not fit the network.
    """
    spec, file = _at_hand(name, weights, distance=False)
    where = _device(device)
    return FeatureNetwork(spec, _load(spec, file).eval().requires_grad_(False).to(where), where)


def open_distance(name: str, weights: Path | None = None, device: str = "cpu") -> PictureDistance:
    """Open a learned distance: lpips, dists.

    Raises
    ------
    SetupError
        As ``open_network``.
    """
    spec, file = _at_hand(name, weights, distance=True)
    with _one_line(spec, file), _only_from(file.parent):
        # torchvision itself would execute what a file asks for: one that holds more than tensors is refused here.
        read_tensors(file)
        if spec.name == "lpips":
            lpip = importlib.import_module("torchmetrics.image.lpip")
            model = lpip.LearnedPerceptualImagePatchSimilarity(spec.model).net
            options = {"normalize": True}  # its input is 0..1, not -1..1
        else:
            model = importlib.import_module("torchmetrics.functional.image.dists").DISTSNetwork()
            options = {}
    where = _device(device)
    return PictureDistance(spec, model.eval().requires_grad_(False).to(where), where, options)


def missing_networks(weights: Path | None = None) -> dict[str, str]:
    """Return what stands in the way of each network that cannot be opened, one line each."""
    missing = {}
    for name, spec in NETWORKS.items():
        try:
            _at_hand(name, weights, distance=not spec.layers)
        except SetupError as error:
            missing[name] = str(error)
    return missing


def _at_hand(name: str, weights: Path | None, distance: bool) -> tuple[NetworkSpec, Path]:
    """Return the specification and its file, or say in one line what is missing."""
    names = [n for n, spec in NETWORKS.items() if distance is not bool(spec.layers)]
    if name not in names:
        raise SetupError(f"feature metric '{name}': unknown, expected one of {', '.join(names)}.")
    spec = NETWORKS[name]
    needed = dict.fromkeys(("torchvision", *spec.modules))
    for module in needed:
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"feature metric '{name}': {module} is not installed, expected it. Run "
                f"pip install {spec.packages}."
            )
    file = (weights or weights_folder()) / spec.weights
    if not file.is_file():
        raise SetupError(
            f"feature metric '{name}': no file {file}, expected {spec.origin}. Put it there."
        )
    # Only now: importing all of them takes seconds.
    for module in needed:
        try:
            import_torchvision() if module == "torchvision" else importlib.import_module(module)
        except (ImportError, RuntimeError, OSError) as error:
            raise SetupError(
                f"feature metric '{name}': {module} cannot be imported ({reason(error)}), expected a release "
                "built for this torch. Install the one that belongs to it."
            ) from None
    return spec, file


def _load(spec: NetworkSpec, file: Path) -> Any:
    import torch

    with _one_line(spec, file):
        # Of files that can be mapped into memory the fully connected layers, nine tenths, are never read.
        state = read_tensors(file)
        # On "meta" no random weights are drawn that would only be replaced.
        if spec.name == "clip":
            open_clip = importlib.import_module("open_clip")
            model = open_clip.create_model(spec.model, pretrained=None, device="meta")
            model.load_state_dict(state, assign=True)
            return model.visual
        models = import_torchvision().models
        with torch.device("meta"):
            if spec.name == "inception":
                # What torchvision sets where it loads these weights itself.
                model = models.inception_v3(weights=None, transform_input=True, init_weights=False)
            else:
                model = getattr(models, spec.model)(weights=None).features
                state = {
                    name.removeprefix("features."): tensor
                    for name, tensor in state.items()
                    if name.startswith("features.")
                }
        model.load_state_dict(state, assign=True)
        return model


@contextmanager
def _one_line(spec: NetworkSpec, file: Path) -> Iterator[None]:
    """Turn whatever a library says of a broken or foreign file into one line."""

    def refuse(what: str) -> NoReturn:
        raise SetupError(
            f"feature metric '{spec.name}': {file} {what}, expected {spec.origin}. Replace the file."
        )

    with library_errors(refuse):
        yield


@contextmanager
def _only_from(folder: Path) -> Iterator[None]:
    """Let torchvision find its files in a folder of any name while a library builds its network."""
    import torch

    usual = torch.hub.get_dir()
    with tempfile.TemporaryDirectory(prefix="b2g-weights-") as hub:
        (Path(hub) / "checkpoints").symlink_to(folder.resolve(), target_is_directory=True)
        torch.hub.set_dir(hub)
        try:
            yield
        finally:
            torch.hub.set_dir(usual)


def _batches(pictures: Pictures, spec: NetworkSpec, device: Any) -> Iterator[Any]:
    """Yield preprocessed pictures, float32, axes (picture, rgb, row, col)."""
    import torch

    mean, sd = np.array(spec.mean, np.float32), np.array(spec.sd, np.float32)
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        x = (resized(pictures[start : start + _PICTURES_AT_ONCE], spec.side) - mean) / sd
        yield torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(device)


def _device(name: str) -> Any:
    from offline.stimuli.devices import device_named

    return device_named(name)
