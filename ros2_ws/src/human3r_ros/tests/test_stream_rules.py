import pytest

from human3r.config import Settings
from human3r.io import stream_rules
from human3r.io.stream_rules import StreamRules, StreamShape

S = 1_000_000_000
T0 = 1000 * S


def shape(**changes):
    values = {"width_px": 64, "height_px": 48, "family": "colour", "frame_id": "cam"}
    return StreamShape(**{**values, "focal_px": None, **changes})


def rules_after(stamp_ns=T0, arrival_s=10.0, **changes):
    rules = StreamRules()
    rules.accept(stamp_ns, arrival_s, shape(**changes))
    return rules


def judge(rules, stamp_ns, frame_id="cam", arrival_s=11.0, now_ns=None, **settings):
    values = {name.replace("__", "."): value for name, value in settings.items()}
    return rules.judge(stamp_ns, frame_id, arrival_s, now_ns, Settings().replace(values))


@pytest.mark.parametrize(
    ("dt_s", "outcome", "reset"),
    [
        (0.1, "processed", stream_rules.RESET_NONE),
        (0.0, "dropped_order", stream_rules.RESET_NONE),
        (-0.1, "dropped_order", stream_rules.RESET_NONE),
        (-0.5, "dropped_order", stream_rules.RESET_NONE),
        (-0.6, "processed", stream_rules.RESET_TIME_JUMP),
        (-900.0, "processed", stream_rules.RESET_TIME_JUMP),
        (3600.0, "processed", stream_rules.RESET_NONE),
    ],
)
def test_the_time_table(dt_s, outcome, reset):
    verdict = judge(rules_after(), T0 + int(dt_s * S))
    assert (verdict.outcome, verdict.reset) == (outcome, reset)


def test_a_long_pause_resets_only_when_asked():
    assert judge(rules_after(), T0 + 5 * S).reset == stream_rules.RESET_NONE
    verdict = judge(rules_after(), T0 + 5 * S, session__gap_reset_s=2.0)
    assert (verdict.outcome, verdict.reset) == ("processed", stream_rules.RESET_GAP)


def test_a_zero_stamp_is_rejected_with_the_way_out():
    verdict = judge(StreamRules(), 0)
    assert verdict.outcome == "rejected"
    assert "input.stamp" in verdict.message


def test_an_old_image_is_stale_unless_time_is_simulated():
    rules = StreamRules()
    assert judge(rules, T0, now_ns=T0 + 2 * S).outcome == "dropped_stale"
    assert judge(rules, T0, now_ns=T0 + 2 * S, input__max_age_s=0.0).outcome == "processed"
    assert judge(rules, T0, now_ns=None).outcome == "processed"


def test_what_helps_against_old_stamps_depends_on_how_old_they_are():
    late = judge(StreamRules(), T0, now_ns=T0 + 2 * S).message
    uptime = judge(StreamRules(), 100 * S, now_ns=T0).message
    assert "Reduce the load" in late
    assert "Reduce the load" not in uptime
    assert "not of this node's clock" in uptime
    assert "set input.stamp to receive" in uptime


def test_a_driver_that_gives_many_images_one_stamp_is_told_what_helps():
    verdict = judge(rules_after(T0), T0)
    assert verdict.outcome == "dropped_order"
    assert "that of the last accepted image" in verdict.message
    assert "set input.stamp to receive" in verdict.message


def test_a_stamp_ahead_of_the_clock_is_processed_with_a_warning():
    verdict = judge(StreamRules(), T0 + 3 * S, now_ns=T0)
    assert verdict.outcome == "processed"
    assert "3.000 s ahead" in verdict.message
    assert judge(StreamRules(), T0 + S // 2, now_ns=T0).message == ""


def test_the_rate_limit_tolerates_the_jitter_of_a_camera_at_that_rate():
    rules = rules_after()
    assert judge(rules, T0 + 50_000_000, input__max_rate_hz=10.0).outcome == "dropped_rate"
    assert judge(rules, T0 + 99_000_000, input__max_rate_hz=10.0).outcome == "processed"


def test_a_second_camera_is_rejected_until_the_first_is_silent_for_two_seconds():
    rules = rules_after(arrival_s=10.0)
    verdict = judge(rules, T0 + S, frame_id="other", arrival_s=11.0)
    assert verdict.outcome == "rejected"
    assert "'cam'" in verdict.message
    assert "'other'" in verdict.message
    assert judge(rules, T0 + 3 * S, frame_id="other", arrival_s=12.5).outcome == "processed"


@pytest.mark.parametrize("frame_id", ["/cam", "a b", "x" * 129, "a\nb", "ä"])
def test_frame_names_that_could_harm_are_rejected(frame_id):
    assert judge(StreamRules(), T0, frame_id=frame_id).outcome == "rejected"


@pytest.mark.parametrize(
    "changes",
    [
        {"width_px": 32},
        {"height_px": 32},
        {"family": "mono"},
        {"frame_id": "other"},
        {"focal_px": (60.0, 50.0, 32.0, 24.0)},
    ],
)
def test_another_kind_of_image_begins_a_session(changes):
    rules = rules_after(focal_px=(50.0, 50.0, 32.0, 24.0))
    now = shape(**{"focal_px": (50.0, 50.0, 32.0, 24.0), **changes})
    assert rules.accept(T0 + S, 12.0, now) == stream_rules.RESET_STREAM_CHANGED


def test_a_calibration_that_arrives_late_changes_nothing():
    rules = rules_after()
    late = shape(focal_px=(50.0, 50.0, 32.0, 24.0))
    assert rules.accept(T0 + S, 12.0, late) == stream_rules.RESET_NONE


def test_after_a_clock_jump_any_stamp_follows():
    rules = rules_after()
    rules.forget_time()
    assert judge(rules, S).reset == stream_rules.RESET_NONE


def test_warnings_about_time_name_both_stamps():
    ahead = judge(rules_after(), T0 + 30 * S, now_ns=T0 + S // 2)
    assert ahead.outcome == "processed"
    assert "stamp 1030.000 is 29.500 s ahead of this node's clock at 1000.500" in ahead.message
    back = judge(rules_after(T0 + 30 * S), T0 + S)
    assert "jumped back by 29.000 s, from 1030.000 to 1001.000" in back.message


def test_a_stamp_a_minute_ahead_is_rejected_and_leaves_the_stream_alone():
    rules = rules_after()
    assert judge(rules, T0 + 60 * S, now_ns=T0).outcome == "processed"
    verdict = judge(rules, (2**31 - 1) * S, now_ns=T0)
    assert verdict.outcome == "rejected"
    assert "2147483647.000" in verdict.message
    assert "1000.000" in verdict.message
    following = judge(rules, T0 + S, now_ns=T0 + S)
    assert (following.outcome, following.reset) == ("processed", stream_rules.RESET_NONE)
    assert judge(rules, (2**31 - 1) * S, now_ns=None).outcome == "processed"


@pytest.mark.parametrize("stamp_ns", [-S, 0, 2**31 * S, 2**31 * S + 5])
def test_a_time_that_no_header_can_carry_is_rejected(stamp_ns):
    verdict = judge(StreamRules(), stamp_ns)
    assert verdict.outcome == "rejected"
    assert "input.stamp" in verdict.message


def test_after_one_stamp_ahead_of_the_clock_the_next_right_one_does_not_wait():
    """Whether the clock went back is known from the clock; a slow stream has no successor soon."""
    rules = rules_after(T0 + 5 * S)
    verdict = judge(rules, T0 + S // 10, now_ns=T0 + S // 10)
    assert (verdict.outcome, verdict.reset) == ("processed", stream_rules.RESET_TIME_JUMP)
    assert not verdict.is_leap
    # Without a clock, or where the clock agrees with both, the successor decides.
    assert judge(rules, T0 + S // 10).is_leap
    assert judge(rules_after(T0), T0 - 8 * S // 10, now_ns=T0).is_leap
