from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from offline.commands import pace


@pytest.fixture
def out():
    return StringIO()


def test_without_a_terminal_a_line_tells_how_many_how_fast_and_how_long_still(out, monkeypatch):
    monkeypatch.setattr(pace, "SAY_EVERY_S", 0.0)
    with pace.pace(Console(file=out), "pictures", 10) as done:
        done(1)
        done(4)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  5 of 10 pictures, ")
    assert lines[1].endswith(" s left")


def test_quick_work_says_nothing_without_a_terminal(out):
    with pace.pace(Console(file=out), "pictures", 10) as done:
        done(10)
    assert out.getvalue() == ""


def test_on_a_terminal_there_is_a_bar(out):
    with pace.pace(Console(file=out, force_terminal=True, width=100), "pictures", 10) as done:
        done(10)
    assert "10/10" in out.getvalue()


@pytest.mark.parametrize(("seconds", "told"), [(12, "12 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_told_in_the_unit_that_suits(seconds, told):
    assert pace._duration(seconds) == told


def test_an_error_within_is_passed_on(out):
    with pytest.raises(KeyboardInterrupt), pace.pace(Console(file=out), "pictures", 10):
        raise KeyboardInterrupt
