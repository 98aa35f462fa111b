from __future__ import annotations

import pytest

from b2g_rt.errors import ConfigError
from offline.scheduling.memory import parse_size, size_text


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("2GiB", 2 * 1024**3),
        ("2G", 2 * 1024**3),
        ("1.5 gb", 1_500_000_000),
        ("300 MB", 300_000_000),
        ("64MiB", 64 * 1024**2),
        ("512kb", 512_000),
        ("1048576", 1024**2),
        ("1 TiB", 1024**4),
    ],
)
def test_sizes_are_read_with_their_units(text, n_bytes):
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "0GiB", "-1GiB", "2 apples", "GiB", "1e3"])
def test_what_is_no_size_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="expected an amount of memory. For example 2GiB."):
        parse_size(text)


def test_sizes_are_written_for_people():
    assert size_text(812 * 1024**2) == "812 MiB"
    assert size_text(3 * 1024**3 // 2) == "1.5 GiB"
    assert size_text(10) == "1 MiB"
