"""Encoding tests: many small decompositions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offline.scheduling.one_piece import one_blas_thread


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Limit BLAS: of small matrices its threads only wait for one another, on a busy machine for minutes."""
    with one_blas_thread():
        yield
