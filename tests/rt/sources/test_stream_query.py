"""How a stream is asked for; nothing is looked up here."""

from __future__ import annotations

import pytest

from b2g_rt.errors import StreamError
from b2g_rt.sources.stream_query import StreamQuery


def test_only_what_is_given_is_asked_for():
    assert StreamQuery("mua").predicate() == "name='mua'"
    full = StreamQuery("mua", "MUA", "rig", "lab-3")
    assert full.predicate() == "name='mua' and type='MUA' and source_id='rig' and hostname='lab-3'"
    assert str(full) == "name 'mua', type 'MUA', source_id 'rig', host 'lab-3'"


def test_a_query_for_anything_matches_anything():
    assert StreamQuery("").predicate() == "true()"
    assert str(StreamQuery("")) == "any stream"


def test_quotes_in_names_cannot_change_the_question():
    assert StreamQuery("it's").predicate() == 'name="it\'s"'
    with pytest.raises(StreamError, match=r"streams\.mua\.name: .*expected at most one kind"):
        StreamQuery('it\'s "odd"').predicate()
