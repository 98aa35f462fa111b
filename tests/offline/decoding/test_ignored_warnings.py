from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from offline.decoding.ignored_warnings import ignored


def test_a_thread_that_leaves_does_not_bring_back_the_warnings_of_another():
    inside, left = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def first():
        with ignored(UserWarning):
            inside.wait()
        left.wait()

    def second():
        with ignored(UserWarning):
            inside.wait()
            left.wait()
            warnings.warn("nobody hears this", UserWarning, stacklevel=1)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result(timeout=20)
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
