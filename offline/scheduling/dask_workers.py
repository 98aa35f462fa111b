"""The workers of a Dask cluster that is there already: `dask scheduler`, `dask worker ADDRESS`, or any other.

What every piece needs goes to each worker once. Scheduler and client hold no more than the items and results under
way. A piece whose worker ends is given to another one.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from b2g_rt.errors import SchedulerError, SetupError
from offline.scheduling.one_piece import do_piece_in_worker

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_S = 10.0
"""How long a scheduler may take to answer."""

WORKER_S = 30.0
"""How long to wait for a first worker, and for another one when all died."""

_ADDRESS = re.compile(r"((tcp|tls|ws|wss)://)?([^\s/:\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")

N_TRIES = 3
"""How often what was lost is sent again; how often a piece may end its worker, Dask's allowed-failures says."""


@contextmanager
def connected(address: str) -> Iterator[DaskWorkers]:
    """Connect to a scheduler, and leave it afterwards.

    Parameters
    ----------
    address : str
        ``tcp://host:8786``; without ``tcp://`` too.

    Raises
    ------
    SchedulerError
        Nothing answers within CONNECT_S, there is no worker within WORKER_S, or one runs other versions.
    SetupError
        Dask is not installed.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise SetupError(
            f"--scheduler {address}: dask is not installed, expected it for work on a cluster. Install it with "
            "pip install -c constraints.txt -e '.[offline,cluster]'."
        ) from None
    if not _ADDRESS.fullmatch(address):
        # Of such a one a client would be half made, and complain at the end.
        raise SchedulerError(
            f"--scheduler {address}: no address, expected that of a Dask scheduler. For example tcp://node1:8786."
        )
    # What it has to say of a lost connection is said by an exception.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False, name="b2g-offline")
    except OSError as error:
        raise SchedulerError(
            f"--scheduler {address}: {error}, expected a Dask scheduler that answers within {CONNECT_S:g} s. Start one "
            "with dask scheduler, or correct the address (tcp://host:8786)."
        ) from None
    with client:
        _wait_for_worker(client, address)
        _check_versions(client, address)
        yield DaskWorkers(client, address)


class DaskWorkers:
    """Workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Of a cluster that has workers; stays the caller's.
    address : str
        For messages.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address

    @property
    def here(self) -> bool:
        """False: workers are processes of their own."""
        return False

    @property
    def n_slots(self) -> int:
        """The threads of all workers."""
        return max(1, sum(self._client.nthreads().values()))

    @property
    def slots_per_process(self) -> int:
        """The threads of the worker that has most."""
        return max(self._client.nthreads().values(), default=1)

    def run(
        self,
        function: Callable[[Shared, Item], Result],
        items: Iterable[Item],
        *,
        shared: Shared,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Result]:
        """See ``Workers.run``; whoever stops (Ctrl-C) cancels what is under way."""
        from distributed.client import ClosedClientError

        n = max(1, at_once or self.n_slots)
        every = _Everywhere(self._client, self._address, shared)
        waiting: deque[_Piece] = deque()
        try:
            for item in items:
                waiting.append(self._sent(_Piece(item), function, every))
                del item
                if len(waiting) == n:
                    yield self._next(waiting, function, every, progress)
            while waiting:
                yield self._next(waiting, function, every, progress)
        except ClosedClientError:
            raise _gone(self._address) from None
        finally:
            if self._client.status == "running":
                self._client.cancel([piece.future for piece in waiting])

    def _sent(self, piece: _Piece, function: Callable[..., Any], every: _Everywhere) -> _Piece:
        import dask

        # An item in the task itself is kept by the scheduler until it is done: no worker's end loses it.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            piece.future = self._client.submit(
                do_piece_in_worker, function, every.future, piece.item, pure=False
            )
        piece.n_sent = every.n_sent
        return piece

    def _next(
        self,
        waiting: deque[_Piece],
        function: Callable[..., Any],
        every: _Everywhere,
        progress: Callable[[int], None] | None,
    ) -> Any:
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        piece = waiting[0]
        for _ in range(N_TRIES):
            try:
                result = piece.future.result()
            except KilledWorker:
                break
            except (CancelledError, CommClosedError):
                _wait_for_worker(self._client, self._address)
                if piece.n_sent == every.n_sent:
                    every.send()
                self._sent(piece, function, every)
                continue
            waiting.popleft()
            if progress:
                progress(1)
            return result
        raise SchedulerError(
            f"--scheduler {self._address}: one piece of work ended every worker that tried it, expected none to end. "
            "See their logs (most often: not enough memory; lower --memory, or raise dask worker --memory-limit)."
        )


@dataclass(slots=True)
class _Piece:
    item: Any
    future: Any = None
    n_sent: int = 0


class _Everywhere:
    """What every piece needs, on all workers there are when it is sent; lost only with the last of them."""

    def __init__(self, client: Any, address: str, value: Any) -> None:
        self._client, self._address, self._value = client, address, value
        self.n_sent = 0
        self.future: Any = None
        self.send()

    def send(self) -> None:
        # In a list: a plain list or dict would be sent element by element.
        for _ in range(N_TRIES):
            _wait_for_worker(self._client, self._address)
            try:
                self.future = self._client.scatter([self._value], broadcast=True, hash=False)[0]
            except (OSError, TimeoutError):
                # A worker ended meanwhile.
                continue
            self.n_sent += 1
            return
        raise SchedulerError(
            f"--scheduler {self._address}: {N_TRIES} workers ended while they were sent the data, expected none to. "
            "See their logs."
        )


def _wait_for_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_S)
    except TimeoutError:
        raise SchedulerError(
            f"--scheduler {address}: no worker within {WORKER_S:g} s, expected at least one. Start some with "
            f"dask worker {address}."
        ) from None
    except (OSError, RuntimeError, AttributeError):
        raise _gone(address) from None


def _gone(address: str) -> SchedulerError:
    return SchedulerError(
        f"--scheduler {address}: the scheduler is gone, expected it to stay. See its log, and start again."
    )


def _check_versions(client: Any, address: str) -> None:
    """Refuse workers that might compute something else."""
    import numpy as np

    import b2g_rt

    found = client.get_versions()["workers"]
    mine = {"python": _minor(sys.version), "numpy": np.__version__}
    for worker, said in found.items():
        theirs = {
            "python": _minor(said["host"]["python"]),
            "numpy": str(said["packages"].get("numpy")),
        }
        _compare(address, worker, mine, theirs)
    for worker, version in client.run(_b2g_rt_version()).items():
        _compare(address, worker, {"b2g_rt": b2g_rt.__version__}, {"b2g_rt": str(version)})


def _compare(address: str, worker: str, mine: dict[str, str], theirs: dict[str, str]) -> None:
    other = [name for name in mine if mine[name] != theirs[name]]
    if other:
        has = ", ".join(f"{name} {theirs[name]}" for name in other)
        wanted = ", ".join(f"{name} {mine[name]}" for name in other)
        raise SchedulerError(
            f"--scheduler {address}: worker {worker} has {has}, expected {wanted} as here. Install the same versions "
            "on all machines (pip install -c constraints.txt -e '.[offline,cluster]')."
        )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _b2g_rt_version() -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            import b2g_rt
            import offline.scheduling.one_piece  # noqa: F401
        except ImportError:
            return None
        return b2g_rt.__version__

    # Made in here, it is sent as code: a name of this module may be unknown there.
    return version
