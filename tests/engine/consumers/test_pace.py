"""Rate limit and replay: when the next message may leave."""

import random

from midge.engine.consumers.pace import Bucket, Replay

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_800_000_000 * SECOND


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    """1,000 bytes a second, a burst of 600, messages of 520: what nats-server was seen to do."""
    bucket, wall, left = Bucket(8_000, 600, START), START, []
    for _ in range(4):
        wall = bucket.due(520, wall)
        bucket.took(520, wall)
        left.append((wall - START) // MS)
    assert left == [0, 440, 960, 1480]


def test_asking_takes_nothing() -> None:
    bucket = Bucket(8_000, 600, START)
    assert bucket.due(600, START) == START
    assert bucket.due(600, START) == START
    bucket.took(600, START)
    assert bucket.due(1, START) == START + MS


def test_it_fills_no_further_than_to_the_burst() -> None:
    bucket = Bucket(8_000, 600, START)
    bucket.took(600, START)
    later = START + 3600 * SECOND
    assert bucket.due(600, later) == later
    bucket.took(600, later)
    assert bucket.due(600, later) == later + 600 * MS


def test_a_message_larger_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    bucket = Bucket(8_000, 600, START)
    bucket.took(100, START)
    due = bucket.due(1_000, START)
    assert due == START + 100 * MS
    bucket.took(1_000, due)
    assert bucket.due(1, due) == due + 401 * MS


def test_a_clock_that_is_turned_back_costs_one_full_bucket_at_most() -> None:
    bucket = Bucket(8_000, 600, START)
    bucket.took(600, START)
    earlier = START - 3600 * SECOND
    assert bucket.due(600, earlier) == earlier + 1_200 * MS


def test_less_than_a_byte_a_second_goes_on_too() -> None:
    bucket = Bucket(1, 10, START)
    bucket.took(10, START)
    assert bucket.due(1, START) == START + 8 * SECOND


def test_over_any_time_no_more_leaves_than_rate_and_burst_allow() -> None:
    dice = random.Random(9)
    for _ in range(50):
        bits, burst = dice.randrange(8, 1_000_000), dice.randrange(1, 10_000)
        bucket, wall, total = Bucket(bits, burst, START), START, 0
        for _ in range(200):
            size = dice.randrange(1, burst + 1)
            wall = bucket.due(size, wall + dice.choice((0, 0, MS, SECOND)))
            bucket.took(size, wall)
            total += size
            assert total * 8 * SECOND <= (wall - START) * bits + burst * 8 * SECOND + 200 * bits


def test_replay_keeps_the_gaps() -> None:
    replay = Replay(9)
    stored = [5_000 * SECOND, 5_003 * SECOND, 5_003 * SECOND + MS]
    assert replay.due(stored[0], START) == START
    replay.took(stored[0], START)
    assert replay.due(stored[1], START) == START + 3 * SECOND
    assert replay.due(stored[1], START + 4 * SECOND) == START + 4 * SECOND
    replay.took(stored[1], START + 4 * SECOND)
    assert replay.due(stored[2], START + 4 * SECOND) == START + 4 * SECOND  # too short to be kept


def test_replay_does_not_wait_for_what_is_delivered_again() -> None:
    replay = Replay(9)
    replay.took(5_000 * SECOND, START)
    assert replay.due(4_000 * SECOND, START) == START


def test_replay_ends_behind_what_was_there_when_it_began() -> None:
    replay = Replay(9)
    assert not replay.is_over(9)
    assert replay.is_over(10)
