"""Every threshold of the diagnostics on both of its sides, with real numbers."""

import math
from dataclasses import replace

import pytest
from human3r_ros.diagnostics.facts import (
    ERROR,
    OK,
    WARN,
    DeviceFacts,
    Facts,
    InputFacts,
    LatestFrame,
)
from human3r_ros.diagnostics.frame_window import FrameRecord, FrameWindow, last_row
from human3r_ros.diagnostics.rules import judge
from human3r_ros.placement import PlacementState
from human3r_ros.scene_outputs import shed_text
from human3r_ros.worker import Counters

from human3r.config import Settings
from human3r.io.stream_rules import UNSEEN

NOW_S = 1000.0
PARTS = ["input", "inference", "people", "frames", "gpu", "outputs"]


def images(silent_s=0.05, publishers=("/camera",), unmatched=()):
    return InputFacts("/cam/image", publishers, "best effort here", unmatched, silent_s)


def place(conflict="", waiting=""):
    return PlacementState("odometry", "human3r_odom", "base", 1, conflict, waiting, 0.2)


def frames(rate_hz=10.0, span_s=9.9, outcome="processed", lost_per_frame=0, **changes):
    """Frames at a steady rate up to now."""
    count = int(span_s * rate_hz)
    records = []
    for number in range(count):
        lost = number * lost_per_frame
        records.append(
            FrameRecord(
                at_s=NOW_S - (count - 1 - number) / rate_hz,
                outcome=outcome,
                counters=Counters(
                    received=number + lost, processed=number, dropped_overwritten=lost
                ),
                **{"latency_s": 0.1, "stages_s": {"network": 0.08}, **changes},
            )
        )
    return records


def facts(**changes):
    values = {
        "now_s": NOW_S,
        "settings": Settings(),
        "state": "active",
        "active_s": 60.0,
        "records": frames(),
        "input": images(),
        "placement": place(),
        "device": DeviceFacts("cuda:0", "GPU", free=50 * 2**30, total=100 * 2**30),
        "latest": LatestFrame("640x480", "rgb8", "camera", True, tracked=2),
    }
    return Facts(**{**values, **changes})


def parts(**changes):
    return {part.name: part for part in judge(facts(**changes))}


def settings(**changes):
    return Settings().replace({name.replace("__", "."): value for name, value in changes.items()})


def test_a_node_that_is_well_says_so_in_every_part():
    found = judge(facts())
    assert [part.name for part in found] == PARTS
    assert [(part.level, part.message) for part in found] == [(OK, "OK")] * 6


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "configuring"])
def test_a_node_that_is_not_active_names_its_state_in_every_part(state):
    found = judge(Facts(now_s=NOW_S, settings=Settings(), state=state))
    assert [part.name for part in found] == PARTS
    assert all(part.level == OK and state in part.message for part in found)


def test_the_last_failure_is_an_error_until_the_node_is_active_again():
    reason = "weights.safetensors: no such file"
    idle = {"active_s": math.nan, "state": "unconfigured", "last_failure": reason, "records": ()}
    inference = parts(**idle)["inference"]
    assert (inference.level, inference.values["last_failure"]) == (ERROR, reason)
    assert reason in inference.message
    assert "unconfigured" in inference.message
    assert parts()["inference"].level == OK


# -- input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("silent_s", "level"), [(1.9, OK), (2.1, ERROR)])
def test_two_seconds_without_an_image_are_an_error(silent_s, level):
    assert parts(input=images(silent_s))["input"].level == level


def test_silence_names_the_publishers_or_that_there_are_none():
    message = parts(input=images(3.0))["input"].message
    assert "no image on /cam/image for 3.0 s" in message
    assert "/camera publishes it" in message
    assert "It has no publisher" in parts(input=images(3.0, ()))["input"].message


@pytest.mark.parametrize("outcome", ["rejected", "dropped_stale", "dropped_order"])
@pytest.mark.parametrize(("seconds", "level"), [(0.8, OK), (1.2, ERROR)])
def test_a_second_of_nothing_but_unusable_images_is_an_error(outcome, seconds, level):
    good = frames()[:-20]
    bad = frames(span_s=seconds + 0.1, outcome=outcome, message="encoding is mono16")
    found = parts(records=good + bad)["input"]
    assert found.level == level
    assert ("encoding is mono16" in found.message) == (level == ERROR)


@pytest.mark.parametrize("outcome", ["rejected", "dropped_stale", "dropped_order"])
def test_where_no_image_can_be_used_a_faster_machine_is_not_what_is_missing(outcome):
    records = frames(span_s=9.0, outcome=outcome, message="stamp is 0")
    assert parts(records=records)["inference"].level == OK
    assert "stamp is 0" in parts(records=records)["input"].message


def test_a_good_image_among_the_bad_ones_is_no_error():
    records = frames(outcome="rejected")
    records[-3] = replace(records[-3], outcome="processed")
    assert parts(records=records)["input"].level == OK


def test_frames_left_out_by_the_rate_limit_neither_make_nor_break_a_row():
    assert parts(records=frames(outcome="dropped_rate"))["input"].level == OK
    mixed = [
        replace(r, outcome=("rejected", "dropped_rate")[i % 2]) for i, r in enumerate(frames())
    ]
    assert parts(records=mixed)["input"].level == ERROR


def test_an_image_without_stamp_is_an_error_at_once():
    records = frames()
    records[-2] = replace(records[-2], outcome="rejected", has_stamp=False, message="stamp is 0 ns")
    found = parts(records=records)["input"]
    assert (found.level, found.message) == (ERROR, "stamp is 0 ns")


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("stamp", WARN),
        ("focal", WARN),
        ("blank", WARN),
        ("clock", WARN),
        (("calibration", "distortion"), WARN),
        (("subscription", "/cam/image"), WARN),
        ("publishers", ERROR),
        ("something else", OK),
    ],
    ids=str,
)
def test_what_was_said_of_the_input_shows(kind, level):
    found = parts(notices=[(kind, "the text")])["input"]
    assert found.level == level
    assert (found.message == "the text") == (level != OK)


def test_a_publisher_that_cannot_match_is_a_warning():
    found = parts(input=images(unmatched=["nothing arrives from /camera"]))["input"]
    assert (found.level, found.message) == (WARN, "nothing arrives from /camera")


def test_the_worst_finding_decides_and_comes_first():
    found = parts(notices=[("focal", "f differs")], input=images(9.0))["input"]
    assert found.level == ERROR
    assert found.message.startswith("no image on")
    assert found.message.endswith(" | f differs")


# -- inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_hz", "level"), [(3.3, OK), (2.5, WARN)])
def test_a_rate_below_the_limit_is_a_warning(rate_hz, level):
    found = parts(records=frames(rate_hz))["inference"]
    assert found.level == level
    assert ("diagnostics.min_rate_hz is 3" in found.message) == (level == WARN)


def test_the_rate_is_not_judged_before_five_seconds_nor_without_images_nor_when_off():
    slow = {"records": frames(1.0)}
    assert parts(**slow)["inference"].level == WARN
    assert parts(**slow, active_s=4.0)["inference"].level == OK
    assert parts(**slow, input=images(3.0))["inference"].level == OK
    off = settings(diagnostics__min_rate_hz=0.0)
    assert parts(**slow, settings=off)["inference"].level == OK


def test_a_slow_camera_is_told_from_a_slow_network():
    assert "Only 1.0 images per second arrive" in parts(records=frames(1.0))["inference"].message
    # Of two images per second one is answered: a faster camera would not help.
    slow = parts(records=frames(1.0, lost_per_frame=1))["inference"].message
    assert "Use a smaller network" in slow
    assert "raise the camera's rate" not in slow
    message = parts(records=frames(1.0, lost_per_frame=9))["inference"].message
    assert "Use a smaller network" in message


@pytest.mark.parametrize(("latency_s", "level"), [(0.49, OK), (0.51, WARN)])
def test_latency_is_compared_in_seconds(latency_s, level):
    """Half a second is not 500 of anything else."""
    found = parts(records=frames(latency_s=latency_s))["inference"]
    assert found.level == level
    assert ("0.51 s from stamp to publication" in found.message) == (level == WARN)


def test_one_late_frame_is_no_warning_and_the_limit_can_be_switched_off():
    records = frames()
    records[-1] = replace(records[-1], latency_s=30.0)
    assert parts(records=records)["inference"].level == OK
    late = {"records": frames(latency_s=5.0)}
    off = settings(diagnostics__max_latency_s=0.0)
    assert parts(**late, settings=off)["inference"].level == OK


def test_unknown_latencies_are_not_judged():
    assert parts(records=frames(latency_s=math.nan))["inference"].level == OK


@pytest.mark.parametrize(("lost", "level"), [(1, OK), (2, WARN)])
def test_more_than_half_of_the_images_lost_is_a_warning(lost, level):
    found = parts(records=frames(lost_per_frame=lost))["inference"]
    assert found.level == level
    assert ("67% of the images" in found.message) == (level == WARN)


@pytest.mark.parametrize(("count", "level"), [(1, OK), (2, ERROR)])
def test_failures_in_a_row_are_an_error(count, level):
    records = frames()
    for index in range(-count, 0):
        records[index] = replace(records[index], outcome="failed", message="not finite")
    found = parts(records=records)["inference"]
    assert found.level == level
    assert ("2 frames failed in a row: not finite" in found.message) == (level == ERROR)


def test_rates_and_latencies_are_among_the_values():
    records = frames(20.0)
    records[-1] = replace(records[-1], latency_s=0.9, stages_s={"network": 0.7})
    values = parts(records=records)["inference"].values
    assert values["rate_hz"] == 20.0
    assert values["latency_p50_s"] == 0.1
    assert values["latency_max_s"] == 0.9
    assert values["network_max_s"] == 0.7
    assert values["bodies_p50_s"] == "unknown"


# -- people, frames, gpu, outputs ----------------------------------------------------------------


@pytest.mark.parametrize(("left_out", "level"), [(0, OK), (1, WARN)])
def test_more_people_than_allowed_is_a_warning_and_as_many_is_none(left_out, level):
    part = parts(latest=LatestFrame(tracked=20, left_out=left_out))["people"]
    assert part.level == level
    assert part.values["left_out"] == left_out
    assert ("21 people seen, people.max_count is 20" in part.message) == bool(left_out)


@pytest.mark.parametrize(
    ("gap_m", "level", "word"),
    [
        (0.45, OK, "OK"),
        (0.55, WARN, "0.55 m behind"),
        (-0.6, WARN, "0.60 m before"),
        (math.nan, OK, "OK"),
    ],
)
def test_bodies_away_from_the_surface_seen_are_a_warning(gap_m, level, word):
    found = parts(records=frames(agreement_m=gap_m))["people"]
    assert found.level == level
    assert word in found.message


def test_a_conflict_of_frames_is_an_error_and_waiting_a_warning():
    found = parts(placement=place("base already has parent odom"))["frames"]
    assert (found.level, found.message) == (ERROR, "base already has parent odom")
    found = parts(placement=place(waiting="no transform from a to b at 3.000 s"))["frames"]
    assert (found.level, found.message) == (WARN, "no transform from a to b at 3.000 s")
    assert found.values["broadcasts"] == "human3r_odom -> base"
    assert found.values["level_source"] == "camera"


@pytest.mark.parametrize(("free_gib", "level"), [(11, OK), (9, WARN)])
def test_nine_tenths_of_the_memory_are_the_limit(free_gib, level):
    device = DeviceFacts("cuda:0", "GPU", free=free_gib * 2**30, total=100 * 2**30)
    found = parts(device=device)["gpu"]
    assert found.level == level
    assert ("9216 MiB are free" in found.message) == (level == WARN)


def test_a_device_that_failed_is_an_error_in_every_state():
    text = "Tried to allocate 2.00 GiB; 1.20 GiB is free"
    for state in ({}, {"active_s": math.nan, "state": "unconfigured", "last_failure": text}):
        found = parts(device_trouble=text, **state)["gpu"]
        assert (found.level, found.message) == (ERROR, text)


def test_the_processor_is_named_where_there_is_no_gpu():
    found = parts(device=DeviceFacts("cpu", "EPYC"))["gpu"]
    assert (found.level, found.message) == (OK, "no GPU in use: the network runs on cpu")


def test_shed_outputs_are_a_warning_in_two_parts():
    records = frames()
    text = shed_text(["meshes"], Settings())
    records[-1] = replace(records[-1], outcome="degraded", message=text)
    found = parts(records=records)
    assert (found["outputs"].level, found["outputs"].message) == (WARN, text)
    assert found["inference"].level == WARN


def test_an_image_from_which_nothing_is_known_is_not_called_a_slow_machine():
    records = frames(outcome="degraded", message=UNSEEN["blank"])
    found = parts(records=records)
    assert (found["outputs"].level, found["inference"].level) == (OK, OK)


def test_outputs_say_who_listens_and_how_much():
    found = parts(outputs={"/human3r/points": (2, 480_000.4)})["outputs"]
    assert found.values == {"/human3r/points": "2 subscribers, 480000 B/s"}
    mismatch = parts(notices=[(("publisher", "/human3r/humans"), "no match")])["outputs"]
    assert (mismatch.level, mismatch.message) == (WARN, "no match")


# -- the window ----------------------------------------------------------------------------------


def test_the_window_forgets_after_ten_seconds_and_is_bounded():
    window = FrameWindow()
    for number in range(5000):
        window.add(FrameRecord(NOW_S + number * 0.01, "processed"))
    kept = window.records(now_s=NOW_S + 50.0)
    assert 900 < len(kept) <= 1001
    assert len(window.records(now_s=NOW_S)) <= 2048
    window.clear()
    assert window.records(now_s=NOW_S) == []


def test_a_row_ends_where_another_fate_begins():
    outcomes = ("rejected", "processed", "failed", "dropped_rate", "failed")
    records = [FrameRecord(float(at_s), outcome) for at_s, outcome in enumerate(outcomes)]
    row = last_row(records, frozenset(("failed",)))
    assert [record.at_s for record in row] == [2.0, 4.0]
    assert last_row(records, frozenset(("rejected",))) == []
