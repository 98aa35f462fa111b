"""Starts the processes of a benchmark and ends them; every one is ours and on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any

from b2g_rt.errors import SetupError

_END_S = 10.0


class Child:
    """One process; ``with`` ends it."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def result(self, timeout_s: float) -> dict[str, Any]:
        """Wait for its end and return the JSON line that it printed.

        Raises
        ------
        SetupError
            It printed nothing, or took too long.
        """
        try:
            output, _ = self._process.communicate(timeout=timeout_s)
            result: dict[str, Any] = json.loads(output.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            raise SetupError(
                f"bench: {self._name} gave no result within {timeout_s:.0f} s; its own lines stand above."
            ) from None
        return result

    def __enter__(self) -> Child:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        if self.running:
            self._process.terminate()
            try:
                self._process.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
