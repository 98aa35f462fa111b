"""Files of published weights: where they lie, what is in them, and one line when they are missing or others.

Nothing is ever downloaded: what is missing is named, with the place where it belongs and the command that fetches it.
Nothing in a file is executed.
"""

from __future__ import annotations

import logging
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from b2g_rt.errors import FeatureError
from offline.whole_files import file_sha256

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]


logger = logging.getLogger(__name__)

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights that is here.

    Attributes
    ----------
    network : str
        Whose it is said to be, for lines.
    path : Path
    expected : str
        What belongs there.
    """

    network: str
    path: Path
    expected: str

    def provenance(self) -> dict[str, Any]:
        """Return file name and SHA-256; its folder is no part of what features depend on."""
        with self.one_line():
            digest = file_sha256(self.path)
        # torch's own rule for the names of published files.
        said = re.search(r"-([0-9a-f]{8,})\.pth?$", self.path.name)
        if said and not digest.startswith(said[1]):
            logger.warning(
                "network '%s': %s: SHA-256 %s..., its name says %s: these are not the published weights",
                self.network,
                self.path,
                digest[: len(said[1])],
                said[1],
            )
        return {"file": self.path.name, "sha256": digest}

    def state(self) -> State:
        """Return the tensors by name, from safetensors or from what torch saved.

        Raises
        ------
        FeatureError
            The file is none, is cut, or holds what is no tensor.
        """
        with self.one_line():
            return read_tensors(self.path)

    def fill(self, model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
        """Give a network its weights, after comparing all names and shapes.

        Raises
        ------
        FeatureError
            They are another network's.
        """
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        # Files from before torch 0.4.1 do not count the batches that statistics are from; torch then writes 0.
        uncounted = {name for name in wanted if name.endswith(".num_batches_tracked")}
        if missing := [name for name in wanted if name not in found and name not in uncounted]:
            self._refuse(
                f"{len(missing)} of {len(wanted)} tensors are missing ({missing[0]} first)"
            )
        if more := [name for name in found if name not in wanted]:
            self._refuse(f"{len(more)} tensors are none of the network's ({more[0]} first)")
        for name, shape in found.items():
            if wanted[name] != shape:
                self._refuse(f"{name} has shape {shape}, not {wanted[name]}")
        # Nothing is copied, and what a file stores in half precision computes in single.
        model.load_state_dict(dict(state), assign=True)
        model.float()

    def _refuse(self, what: str) -> NoReturn:
        raise FeatureError(
            f"network '{self.network}': {self.path}: {what}, expected {self.expected}. Give the file of this network."
        )

    @contextmanager
    def one_line(self) -> Iterator[None]:
        """Turn whatever a library says of a broken or foreign file into one line."""
        with library_errors(self._refuse):
            yield


@contextmanager
def library_errors(refuse: Callable[[str], NoReturn]) -> Iterator[None]:
    """Hand over what a library says of a broken or foreign file; ``refuse`` raises what the user is to see."""
    try:
        yield
    except pickle.UnpicklingError:
        # torch's own words advise to execute the file.
        what = "cannot be loaded (holds more than tensors, or is no file of weights)"
    except (
        RuntimeError,
        OSError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        EOFError,
        AssertionError,
    ) as error:
        what = f"cannot be loaded ({reason(error)})"
    except Exception as error:
        # safetensors has an exception of its own that derives from Exception only.
        if type(error).__module__.partition(".")[0] not in {"safetensors_rust", "safetensors"}:
            raise
        what = f"is no safetensors file ({reason(error)})"
    else:
        return
    refuse(what)


def read_tensors(path: Path) -> State:
    """Return the tensors of a file by name, on the CPU: safetensors, or what torch saved, of weights alone.

    Raises whatever the libraries raise; see ``WeightFile.one_line``.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(str(path)))
    # Mapped into memory, what is not asked for is never read. Files from before torch 1.6 (the published VGG16 is one)
    # are no archives and cannot be mapped.
    mapped = zipfile.is_zipfile(path)
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"a {type(content).__name__} where tensors by name belong")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{name!r} is a {type(tensor).__name__}, not a tensor")
    return dict(content)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of weights as a library knows it, here or not.

    Attributes
    ----------
    name : str
        Its usual name.
    expected : str
        What it is.
    cached : Path, optional
        Where the library's cache has it; None where it has not.
    belongs : str
        Where the library looks for it, for the line that says it is missing.
    command : str
        Fetches it, to where it belongs.
    """

    name: str
    expected: str
    cached: Path | None
    belongs: str
    command: str

    def at_hand(self, network: str, given: Path | None) -> WeightFile:
        """Return the file that was given, or the one in the library's cache.

        Parameters
        ----------
        network : str
        given : Path, optional
            A file, or a folder that holds one of the usual name.

        Raises
        ------
        FeatureError
            It is not there.
        """
        path = self.cached if given is None else given / self.name if given.is_dir() else given
        if path is None or not path.is_file():
            raise FeatureError(
                f"network '{network}': no file {self.belongs if given is None else path}, expected {self.expected}. "
                f"Nothing is downloaded by itself: run {self.command}, or give the file with --weights."
            )
        return WeightFile(network, path, self.expected)


def torch_hub_file(url: str, expected: str) -> PublishedFile:
    """Return a file as torch keeps it for torchvision, and for some networks of timm."""
    from urllib.parse import urlparse

    import torch

    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    return PublishedFile(name, expected, path, str(path), f"curl -fL --create-dirs -o {path} {url}")


def hugging_face_file(repository: str, names: Sequence[str], expected: str) -> PublishedFile:
    """Return a file as Hugging Face's cache keeps it.

    Parameters
    ----------
    repository : str
        Owner and name.
    names : sequence of str
        What the file may be called, the best first.
    expected : str
    """
    from huggingface_hub import constants, try_to_load_from_cache

    cache = constants.HF_HUB_CACHE
    found = ((name, try_to_load_from_cache(repository, name, cache)) for name in names)
    # Besides a path the cache knows "there is no such file".
    name, path = next(((n, Path(f)) for n, f in found if isinstance(f, str)), (names[0], None))
    return PublishedFile(
        name,
        expected,
        path,
        f"{name} of {repository} in {cache}",
        f"hf download {repository} {name}",
    )


def reason(error: BaseException) -> str:
    """Return what an exception says, on one line that is not long, without its last dot."""
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    text = text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " ..."
    return (text or type(error).__name__).rstrip(".:")
