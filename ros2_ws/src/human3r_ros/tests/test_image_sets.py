"""Images of several cameras as sets for one consumer, without a middleware."""

import struct
import threading
import time

import pytest
from human3r_ros.multi.image_sets import ImageSets
from human3r_ros.multi.settings import MultiSettings, camera_topics
from human3r_ros.worker import Arrival

from human3r.errors import ConfigError

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def image(at_ms, *, little=True, arrival_s=None):
    """The beginning of a serialised image: four bytes of CDR, then the stamp."""
    stamp_ns = START_NS + round(at_ms * MS)
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    begin = bytes([0, 1 if little else 0, 0, 0])
    data = begin + struct.pack("<iI" if little else ">iI", seconds, nanoseconds) + b"rest"
    return Arrival(data, stamp_ns + 10**9, time.monotonic() if arrival_s is None else arrival_s)


def make_sets(**changes):
    values = {"tolerance_ns": 20 * MS, "patience_s": 0.0, "silent_s": 60.0, **changes}
    return ImageSets({"left": 0, "right": 0}, **values)


def make_known_sets(**changes):
    """Both cameras have been heard, so that each is waited for; one image each is dealt with."""
    sets = make_sets(patience_s=60.0, **changes)
    for camera in sets.doors:
        sets.doors[camera].put(image(-1000))
    sets.take(0.0)
    return sets


def accounted(sets, camera, taken):
    """received == taken + every dropped_*, nothing waiting."""
    c = sets.doors[camera].counters()
    return c.received == taken + c.dropped_overwritten + c.dropped_stale


def test_images_of_one_moment_are_one_set():
    sets = make_known_sets()
    for number in range(3):
        sets.doors["left"].put(image(100 * number))
        sets.doors["right"].put(image(100 * number + 5, little=False))
        found = sets.take(0.0)
        assert found is not None
        assert sorted(found) == ["left", "right"]
        assert found["right"].stamp_ns - found["left"].stamp_ns == 5 * MS
    assert sets.take(0.0) is None
    assert accounted(sets, "left", 4)


def test_a_newer_complete_set_replaces_an_older_one_and_an_incomplete_one_does_not():
    sets = make_known_sets()
    for at_ms in (0, 100, 200):
        sets.doors["left"].put(image(at_ms))
        sets.doors["right"].put(image(at_ms))
    # The left camera is faster; its image at 240 goes alone when that at 280 comes.
    sets.doors["left"].put(image(240))
    sets.doors["left"].put(image(280))
    found = sets.take(0.0)
    assert found is not None
    assert {name: (item.stamp_ns - START_NS) // MS for name, item in found.items()} == {
        "left": 200,
        "right": 200,
    }
    assert sets.doors["left"].counters().dropped_overwritten == 3
    assert sets.doors["right"].counters().dropped_overwritten == 2


def test_a_camera_that_is_silent_is_not_waited_for():
    sets = make_sets(patience_s=60.0, silent_s=0.5)
    now_s = time.monotonic()
    sets.doors["left"].put(image(0, arrival_s=now_s - 2.0))
    sets.doors["right"].put(image(0, arrival_s=now_s - 2.0))
    assert sets.take(0.0)
    sets.doors["left"].put(image(2000, arrival_s=now_s))
    found = sets.take(0.0)
    assert found is not None
    assert list(found) == ["left"]


def test_a_late_camera_is_waited_for_and_then_no_more():
    sets = make_sets(patience_s=0.05)
    sets.doors["right"].put(image(0))
    assert sets.take(1.0)
    sets.doors["left"].put(image(100))
    began_s = time.monotonic()
    found = sets.take(10.0)
    assert found is not None
    assert list(found) == ["left"]
    assert time.monotonic() - began_s < 9.0
    sets.doors["right"].put(image(100))
    assert sets.take(0.0) is None
    assert sets.doors["right"].counters().dropped_stale == 1


def test_the_consumer_wakes_when_a_set_is_there():
    sets = make_known_sets()
    found = []
    waiting = threading.Thread(target=lambda: found.append(sets.take(30.0)))
    waiting.start()
    sets.doors["left"].put(image(100))
    sets.doors["right"].put(image(100))
    waiting.join(20.0)
    assert found
    assert sorted(found[0]) == ["left", "right"]
    sets.wake()
    assert sets.take(30.0) is None


def test_after_the_clock_was_set_back_older_images_count_again():
    sets = make_sets()
    sets.doors["left"].put(image(5000))
    assert sets.take(0.0)
    sets.doors["left"].put(image(6000))
    sets.forget_time()
    sets.doors["left"].put(image(0))
    found = sets.take(0.0)
    assert found is not None
    assert found["left"].stamp_ns == START_NS
    assert accounted(sets, "left", 2)


def test_cameras_that_never_meet_are_noticed():
    sets = make_known_sets()
    for number in range(5):
        sets.doors["left"].put(image(100 * number))
        sets.doors["right"].put(image(100 * number + 50))
    assert min(sets.alone.values()) >= 3
    for camera in sets.doors:
        sets.doors[camera].put(image(1000))
    assert set(sets.alone.values()) == {0}
    # One that is alone because the other is silent is not at odds with another.
    for number in range(5):
        sets.doors["left"].put(image(2000 + 100 * number))
    assert sets.alone["left"] <= 1


def test_a_message_that_is_cut_off_comes_through_and_is_reported_later():
    sets = make_sets()
    sets.doors["left"].put(Arrival(b"\x00\x01", START_NS))
    found = sets.take(0.0)
    assert found is not None
    assert found["left"].stamp_ns == START_NS


def test_names_and_topics_of_cameras():
    assert camera_topics("left, right=/cam1/image") == {
        "left": "left/image_raw",
        "right": "/cam1/image",
    }
    for wrong in ("2nd", "a b", "left,left", "a/b"):
        with pytest.raises(ConfigError, match="letters, digits"):
            camera_topics(wrong)


def test_cameras_take_the_pipeline_s_settings_and_know_where_up_is():
    given = MultiSettings().replace({"model.device": "cpu", "frames.world": "room"})
    settings = given.pipeline_settings()
    assert settings.model.device == "cpu"
    assert (settings.level.source, settings.frames.anchor) == ("tf", "room")
    with pytest.raises(ConfigError, match="newest"):
        given.replace({"input.policy": "every"}).pipeline_settings()
    # With cameras, what contradicts is refused when it is set, also while the node runs.
    with pytest.raises(ConfigError, match="min_range_m"):
        given.replace({"cameras": "left,right", "scene.min_range_m": 0.9, "scene.max_range_m": 0.5})
