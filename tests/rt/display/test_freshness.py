from __future__ import annotations

from b2g_rt.display.freshness import CATCH_UP_S, Freshness, Shown

PERIOD_S = 0.025


def _judge(freshness, now_s, published_s, *, streaming=True, delay_s=0.03):
    freshness.tick(now_s)
    return freshness.judge(
        now_s,
        streaming=streaming,
        sample_s=None if published_s is None else published_s - delay_s,
        published_s=published_s,
        picture_period_s=PERIOD_S,
    )


def test_a_new_picture_is_fresh_and_its_age_counts_from_the_sample():
    verdict = _judge(Freshness(), 10.0, 9.99)
    assert verdict.shown is Shown.FRESH
    assert round(1000 * verdict.age_s) == 40


def test_without_a_picture_nothing_is_shown():
    assert _judge(Freshness(), 10.0, None).shown is Shown.NOTHING


def test_a_picture_older_than_a_second_is_stale():
    freshness = Freshness(stale_after_s=1.0)
    for i in range(15):
        verdict = _judge(freshness, 10.0 + 0.1 * i, 10.0)
    assert verdict.shown is Shown.STALE


def test_a_picture_is_stale_at_once_when_the_stream_does_not_run():
    assert _judge(Freshness(), 10.0, 9.99, streaming=False).shown is Shown.STALE


def test_after_a_stall_old_pictures_are_not_shown_until_a_new_one_arrives():
    freshness = Freshness()
    assert _judge(freshness, 10.0, 9.99).shown is Shown.FRESH
    assert _judge(freshness, 15.0, 10.02).shown is Shown.CATCHING_UP
    assert _judge(freshness, 15.01, 13.5).shown is Shown.CATCHING_UP
    verdict = _judge(freshness, 15.02, 15.01)
    assert verdict.shown is Shown.FRESH
    assert _judge(freshness, 15.05, 15.01).shown is Shown.FRESH


def test_after_a_stall_between_trials_the_old_picture_comes_back_with_its_true_age():
    freshness = Freshness()
    _judge(freshness, 10.0, 9.99)
    assert _judge(freshness, 15.0, 9.99).shown is Shown.CATCHING_UP
    now_s = 15.0
    while now_s < 15.0 + CATCH_UP_S:
        verdict = _judge(freshness, now_s, 9.99)
        now_s += 0.1
    verdict = _judge(freshness, now_s, 9.99)
    assert verdict.shown is Shown.STALE
    assert verdict.age_s > 5


def test_a_gui_that_was_blocked_while_messages_came_in_shows_the_newest_at_once():
    freshness = Freshness()
    _judge(freshness, 10.0, 9.99)
    assert _judge(freshness, 15.0, 14.99).shown is Shown.FRESH
