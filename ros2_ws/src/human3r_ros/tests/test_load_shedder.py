"""Overload: what is left out, in which order, and when it comes back."""

import math

import pytest
from human3r_ros.scene_outputs import GROUPS, LoadShedder

LIMIT_S = 0.5
MESHES, MAP, MASKS, DEPTH, SCENE = GROUPS


def feed(shedding, count, latency_s, wanted=GROUPS, limit_s=LIMIT_S):
    for _ in range(count):
        shedding.observe(latency_s, limit_s, wanted)
    return shedding.shed


def slow(shedding, count, **changes):
    return feed(shedding, count, 0.6, **changes)


def good(shedding, count, **changes):
    return feed(shedding, count, 0.4, **changes)


def test_one_more_group_is_left_out_after_ten_slow_frames_each_in_the_order_of_the_interface():
    shedding = LoadShedder()
    assert GROUPS == ("meshes", "map update", "masks and confidence", "depth", "scene cloud")
    for number in range(1, 6):
        assert slow(shedding, 9) == GROUPS[: number - 1]
        assert slow(shedding, 1) == GROUPS[:number]
    assert slow(shedding, 50) == GROUPS


def test_they_come_back_in_reverse_one_after_thirty_good_frames_each():
    shedding = LoadShedder()
    slow(shedding, 50)
    for number in reversed(range(5)):
        assert good(shedding, 29) == GROUPS[: number + 1]
        assert good(shedding, 1) == GROUPS[:number]
    assert good(shedding, 100) == ()


def test_a_frame_of_the_other_kind_starts_the_count_again():
    shedding = LoadShedder()
    for _ in range(5):
        slow(shedding, 9)
        assert good(shedding, 1) == ()
    slow(shedding, 10)
    for _ in range(3):
        good(shedding, 29)
        assert slow(shedding, 1) == (MESHES,)


def test_as_long_as_allowed_is_not_too_long():
    assert feed(LoadShedder(), 100, LIMIT_S) == ()


@pytest.mark.parametrize("wanted", [{DEPTH}, {DEPTH, SCENE}])
def test_what_nobody_wants_is_passed_over_both_ways(wanted):
    shedding = LoadShedder()
    assert slow(shedding, 10, wanted=wanted)[-1] == DEPTH
    assert good(shedding, 30, wanted=wanted) == (MESHES, MAP, MASKS)
    # Whoever begins to listen now gets it back in its turn.
    assert good(shedding, 30) == (MESHES, MAP)


def test_nothing_is_left_out_that_nobody_wants():
    assert slow(LoadShedder(), 100, wanted=()) == ()


def test_under_simulated_time_nothing_is_left_out_so_that_replays_are_alike():
    shedding = LoadShedder()
    assert feed(shedding, 100, math.nan) == ()
    slow(shedding, 10)
    assert feed(shedding, 30, math.nan) == ()


def test_zero_turns_it_off_and_gives_everything_back():
    shedding = LoadShedder()
    slow(shedding, 20)
    assert slow(shedding, 1, limit_s=0.0) == ()
    assert slow(shedding, 100, limit_s=0.0) == ()
