"""Read a module's numbers by name; whatever is missing or of another kind is refused with the module's path.

Knows modules and plain values, nothing of generators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.modules import Module
from offline.stimuli.checkpoints.nodes import shown
from offline.stimuli.checkpoints.plain_values import (
    Read,
    as_array,
    as_bool,
    as_float,
    as_int,
    as_text,
    mismatch,
)


@dataclass(frozen=True, slots=True)
class ModuleNumbers:
    """One module's numbers.

    Attributes
    ----------
    module : Module
    file : str
        Opens the errors' lines, before the module's path.
    read : callable
        Gives the bytes of small blobs.
    """

    module: Module
    file: str
    read: Read

    def where(self, key: str) -> str:
        """Return how a number is called in messages."""
        return f"{self.file}: {shown(self.module.path)}.{key}"

    def node(self, key: str) -> Any:
        """Return a number's node."""
        if key not in self.module.numbers:
            raise CheckpointError(
                f"{self.where(key)}: missing, expected as in StyleGAN3. The file holds a network of another kind."
            )
        return self.module.numbers[key]

    def whole(self, key: str) -> int:
        """Return a whole number."""
        return as_int(self.node(key), self.where(key), self.read)

    def real(self, key: str) -> float:
        """Return a finite number."""
        return as_float(self.node(key), self.where(key), self.read)

    def truth(self, key: str) -> bool:
        """Return a truth value."""
        return as_bool(self.node(key), self.where(key), self.read)

    def text(self, key: str) -> str:
        """Return a short text."""
        return as_text(self.node(key), self.where(key))

    def wholes(self, key: str, n: int) -> tuple[int, ...]:
        """Return ``n`` whole numbers."""
        values = as_array(self.node(key), self.where(key), self.read).reshape(-1)
        if values.size != n:
            raise mismatch(f"{values.size} numbers", f"{n}", self.where(key))
        return tuple(as_int(value.item(), self.where(key), self.read) for value in values)

    def square(self, key: str) -> int:
        """Return rows and columns, which are the same."""
        values = as_array(self.node(key), self.where(key), self.read).reshape(-1)
        if values.size not in (1, 2) or values[0] != values[-1]:
            raise mismatch(f"{values.tolist()!s:.40}", "as many rows as columns", self.where(key))
        return as_int(values[0].item(), self.where(key), self.read)

    def below(self, name: str) -> ModuleNumbers:
        """Return the numbers of a module below."""
        if name not in self.module.modules:
            raise CheckpointError(
                f"{self.file}: {shown(self.module.path)}: no module {name}, expected as in StyleGAN3."
            )
        return ModuleNumbers(self.module.modules[name], self.file, self.read)
