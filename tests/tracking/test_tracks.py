import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.tracking.tracks import Tracker, TrackState, body_origin
from tests.tracking.people import FRAME_NS, SETTINGS, estimate_of, person_at, with_settings

NEW, OK, COASTING, LOST = TrackState


def run(frames, settings=SETTINGS, tracker=None, poses=None):
    """What the tracker says of each frame; a frame is a list of people."""
    tracker = tracker or Tracker()
    poses = poses or [np.eye(4)] * len(frames)
    return [
        tracker.update(estimate_of(people, i, pose), settings)
        for i, (people, pose) in enumerate(zip(frames, poses, strict=True))
    ]


def states(said, number=0):
    """The states of one number, frame by frame; None where nothing is said of it."""
    return [next((one.state for one in frame if one.number == number), None) for frame in said]


def walker(frame, track_id=0, speed=1.0, start=(0.0, 0.0, 4.0)):
    x, y, z = start
    return person_at([x + speed * frame * FRAME_NS * 1e-9, y, z], track_id)


# -- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm_frames", [1, 2, 4])
def test_who_is_seen_often_enough_in_a_row_is_confirmed(confirm_frames):
    said = run([[person_at([0, 0, 3])]] * 6, with_settings(confirm_frames=confirm_frames))
    assert states(said) == [NEW] * (confirm_frames - 1) + [OK] * (7 - confirm_frames)


def test_a_confirmed_person_coasts_and_is_lost_exactly_once():
    there = [[person_at([0, 0, 3])]] * 3
    said = run(there + [[]] * 12, with_settings(coast_s=0.5))
    assert states(said) == [NEW, OK, OK] + [COASTING] * 5 + [LOST] + [None] * 6


def test_who_was_never_confirmed_does_not_coast():
    said = run([[person_at([0, 0, 3])], [], [], [person_at([0, 0, 3], 0)]])
    assert states(said) == [NEW, LOST, None, None]
    # The network takes them for the same; the number is gone for good.
    assert states(said, 1) == [None, None, None, NEW]


def test_two_seconds_behind_a_pillar_are_survived_by_default():
    hidden = 20
    frames = [[walker(i)] for i in range(10)] + [[]] * hidden
    frames += [[walker(i)] for i in range(10 + hidden, 20 + hidden)]
    said = run(frames)
    assert states(said) == [NEW] + [OK] * 9 + [COASTING] * hidden + [OK] * 10
    for i, frame in enumerate(said):
        assert body_origin(frame[0].person) == pytest.approx([0.1 * i, 0, 4.0], abs=1e-4)


def test_coasting_ends_when_time_says_so_not_frames():
    tracker, settings = Tracker(), with_settings(coast_s=1.0)
    for i in range(3):
        tracker.update(estimate_of([person_at([0, 0, 3])], i), settings)
    assert tracker.update(estimate_of([], 12), settings)[0].state == COASTING
    assert tracker.update(estimate_of([], 13), settings)[0].state == LOST
    assert tracker.update(estimate_of([], 14), settings) == []


def test_who_was_out_of_sight_while_no_frame_came_goes_on():
    said = [
        tracker_said
        for tracker in [Tracker()]
        for i in (0, 1, 2, 900)
        for tracker_said in [tracker.update(estimate_of([person_at([0, 0, 3])], i), SETTINGS)]
    ]
    assert states(said) == [NEW, OK, OK, OK]
    assert said[-1][0].velocity_camera is None


def test_the_measured_come_first_in_the_order_of_the_estimate():
    people = [person_at([x, 0, 3], x) for x in (3, 1, 2)]
    said = run([people, people, [people[2], people[0]]])
    assert [one.person.track_id for one in said[1]] == [3, 1, 2]
    assert [(one.person.track_id, one.state) for one in said[2]] == [
        (2, OK),
        (3, OK),
        (1, COASTING),
    ]


def test_ages_and_stamps_count_what_was_seen():
    said = run([[], [person_at([0, 0, 3])], [person_at([0, 0, 3])], []])
    (last,) = said[3]
    stamps = [estimate_of([], i).stamp_ns for i in range(4)]
    assert (last.first_seen_ns, last.last_seen_ns, last.age_frames) == (stamps[1], stamps[2], 2)


# -- numbers -------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_network_until_somebody_was_lost():
    tracker = Tracker()
    said = tracker.update(
        estimate_of([person_at([0, 0, 3], 4), person_at([2, 0, 3], 7)], 0), SETTINGS
    )
    assert [one.number for one in said] == [4, 7]


def test_whoever_comes_back_after_being_lost_gets_a_new_number():
    there, gone = [[person_at([0, 0, 3])]] * 2, [[]] * 9
    said = run(there + gone + there, with_settings(coast_s=0.3))
    numbers = [[one.number for one in frame] for frame in said]
    assert numbers[:6] == [[0]] * 6
    assert numbers[6:11] == [[]] * 5
    assert numbers[11:] == [[1]] * 2


def test_a_new_network_and_a_reset_give_new_numbers():
    tracker = Tracker()
    seen = lambda i: tracker.update(estimate_of([person_at([0, 0, 3], i % 2)], i), SETTINGS)  # noqa: E731
    assert [one.number for one in seen(0)] == [0]
    tracker.forget()
    assert [(one.number, one.state) for one in seen(1)] == [(1, NEW)]
    tracker.begin_network()
    assert [(one.number, one.state) for one in seen(2)] == [(2, NEW)]


def test_the_network_may_take_somebody_for_new_where_they_are_expected():
    frames = [[walker(i, track_id=3)] for i in range(8)] + [[]] * 6
    frames += [[walker(i, track_id=8)] for i in range(14, 20)]
    said = run(frames)
    assert states(said, 3) == [NEW] + [OK] * 7 + [COASTING] * 6 + [OK] * 6
    assert all(len(frame) == 1 for frame in said)


def test_somebody_new_elsewhere_is_somebody_else():
    frames = [[person_at([0, 0, 3], 0)]] * 5 + [[person_at([1.0, 0, 3], 1)]] * 2
    said = run(frames)
    assert [(one.number, one.state) for one in said[-1]] == [(1, OK), (0, COASTING)]


def test_somebody_new_beside_a_measured_person_is_somebody_else():
    both = [person_at([0, 0, 3], 0), person_at([0.1, 0, 3], 1)]
    said = run([both[:1]] * 4 + [both] * 2)
    assert [(one.number, one.state) for one in said[-1]] == [(0, OK), (1, OK)]


def test_two_who_reappear_go_to_the_nearer_prediction():
    places = ([0.0, 0, 3], [0.4, 0, 3])
    before = [person_at(place, i) for i, place in enumerate(places)]
    after = [person_at([0.45, 0, 3], 5), person_at([0.15, 0, 3], 6)]
    said = run([before] * 3 + [[]] * 2 + [after])
    assert [one.number for one in said[-1]] == [1, 0]


# -- motion --------------------------------------------------------------------------------------


def moving_camera(count):
    """A camera that turns and walks."""
    poses = []
    for i in range(count):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("yx", [0.05 * i, 0.02 * i]).as_matrix()
        pose[:3, 3] = [0.1 * i, 0.03 * i, -0.05 * i]
        poses.append(pose)
    return poses


def seen_from(pose, place_world, track_id=0):
    return person_at(pose[:3, :3].T @ (place_world - pose[:3, 3]), track_id)


def test_the_velocity_is_relative_to_the_world_along_the_cameras_axes():
    poses = moving_camera(20)
    velocity, start = np.array([0.8, 0.0, -0.5]), np.array([0.0, 0.2, 5.0])
    frames = [[seen_from(pose, start + 0.1 * i * velocity)] for i, pose in enumerate(poses)]
    said = run(frames, poses=poses)
    for frame, pose in zip(said[4:], poses[4:], strict=True):
        assert frame[0].velocity_camera == pytest.approx(pose[:3, :3].T @ velocity, abs=1e-5)


def test_who_stands_still_has_no_velocity_however_the_camera_moves():
    poses = moving_camera(20)
    place = np.array([0.0, 0.2, 5.0])
    said = run([[seen_from(pose, place)] for pose in poses], poses=poses)
    assert np.abs(said[-1][0].velocity_camera).max() < 1e-5


def test_coasting_goes_on_in_the_world_while_the_camera_moves():
    poses = moving_camera(20)
    velocity, start = np.array([0.8, 0.0, -0.5]), np.array([0.0, 0.2, 5.0])
    places = [start + 0.1 * i * velocity for i in range(20)]
    frames = [[seen_from(poses[i], places[i])] if i < 10 else [] for i in range(20)]
    said = run(frames, poses=poses)
    for i in range(10, 20):
        (one,) = said[i]
        expected = seen_from(poses[i], places[i])
        assert one.state == COASTING
        assert np.allclose(body_origin(one.person), body_origin(expected), atol=1e-4)
        assert one.velocity_camera == pytest.approx(poses[i][:3, :3].T @ velocity, abs=1e-5)


def test_a_velocity_needs_half_of_its_window():
    said = run([[walker(i)] for i in range(6)], with_settings(velocity_window_s=0.4))
    assert [frame[0].velocity_camera is not None for frame in said] == [False] * 2 + [True] * 4


def test_only_the_window_counts_for_the_velocity():
    frames = [[person_at([0, 0, 3])]] * 10 + [[walker(i)] for i in range(10)]
    said = run(frames, with_settings(velocity_window_s=0.4))
    assert said[-1][0].velocity_camera == pytest.approx([1.0, 0, 0], abs=1e-5)


def test_without_a_velocity_coasting_stays_where_the_person_was():
    said = run([[walker(0)], [walker(1)], [], []])
    assert said[-1][0].velocity_camera is None
    assert np.allclose(body_origin(said[-1][0].person), body_origin(walker(1)), atol=1e-5)


# -- bounds and repeatability ----------------------------------------------------------------------


def test_no_more_are_remembered_than_may_be_seen():
    tracker, settings = Tracker(), with_settings(max_count=3, coast_s=5.0)
    lost = 0
    for i in range(60):
        # Every person is seen twice and never again.
        said = tracker.update(estimate_of([person_at([2.0 * (i // 2), 0, 3], i // 2)], i), settings)
        assert len([one for one in said if one.state != LOST]) <= 3
        lost += len([one for one in said if one.state == LOST])
        assert len(tracker._tracks) <= 3
    assert lost == 27


def test_when_room_is_short_the_longest_unseen_is_lost():
    people = [person_at([2.0 * i, 0, 3], i) for i in range(4)]
    settings = with_settings(max_count=3)
    said = run([people[:2]] * 2 + [people[1:2], people[1:3], people[2:4]], settings)
    assert states(said, 0) == [NEW, OK, COASTING, COASTING, LOST]
    assert states(said, 1) == [NEW, OK, OK, OK, COASTING]


def test_the_places_remembered_are_bounded():
    tracker, settings = Tracker(), with_settings(velocity_window_s=2.0)
    for i in range(300):
        tracker.update(estimate_of([person_at([0, 0, 3])], i), settings)
    (track,) = tracker._tracks.values()
    assert len(track.stamps_ns) == len(track.places_world) == 21


@st.composite
def streams(draw):
    """Frames of a few people who come, go, and are taken for others."""
    return [
        draw(st.lists(st.integers(0, 5), unique=True, max_size=3))
        for _ in range(draw(st.integers(1, 25)))
    ]


@settings(max_examples=60, deadline=None)
@given(streams(), st.sampled_from([0.0, 0.3, 5.0]), st.integers(1, 3))
def test_every_number_lives_one_life(ids_of_frames, coast_s, confirm_frames):
    chosen = with_settings(coast_s=coast_s, confirm_frames=confirm_frames, max_count=4)
    frames = [[person_at([2.0 * i, 0, 3], i) for i in ids] for ids in ids_of_frames]
    said = run(frames, chosen)
    highest = -1
    for ids, frame in zip(ids_of_frames, said, strict=True):
        numbers = [one.number for one in frame]
        assert len(set(numbers)) == len(numbers)
        assert [one.person.track_id for one in frame[: len(ids)]] == ids
        assert all(one.state in (NEW, OK) for one in frame[: len(ids)])
        assert all(one.state in (COASTING, LOST) for one in frame[len(ids) :])
        new = [number for number in numbers if number > highest]
        highest = max([highest, *new])
    for number in range(highest + 1):
        life = [state for state in states(said, number) if state is not None]
        gaps = [state is None for state in states(said, number)]
        if life:
            first, last = gaps.index(False), len(gaps) - 1 - gaps[::-1].index(False)
            assert not any(gaps[first : last + 1])
            assert LOST not in life[:-1]
            assert life[-1] == LOST or last == len(gaps) - 1
            # Confirmed once, confirmed for good.
            assert NEW not in life[life.index(OK) :] if OK in life else COASTING not in life


@settings(max_examples=30, deadline=None)
@given(streams(), st.sampled_from([0.3, 5.0]))
def test_numbers_are_assigned_beforehand_without_changing_the_story(ids_of_frames, coast_s):
    chosen = with_settings(coast_s=coast_s)
    told, plain = Tracker(), Tracker()
    for frame, ids in enumerate(ids_of_frames):
        estimate = estimate_of([person_at([0.3 * i, 0, 3], i) for i in ids], frame)
        foretold = told.assign(estimate, chosen)
        said = told.update(estimate, chosen)
        assert foretold == [one.number for one in said[: len(ids)]]
        again = plain.update(estimate, chosen)
        assert [(one.number, one.state) for one in again] == [(o.number, o.state) for o in said]


@settings(max_examples=20, deadline=None)
@given(streams())
def test_the_same_stream_is_told_the_same_way(ids_of_frames):
    frames = [[person_at([0.3 * i, 0, 3], i) for i in ids] for ids in ids_of_frames]
    once, again = (
        [
            [
                (one.number, one.state, one.person.joints_camera.tobytes(), one.age_frames)
                for one in frame
            ]
            for frame in run(frames)
        ]
        for _ in range(2)
    )
    assert once == again


def test_live_settings_take_effect_on_the_next_frame():
    tracker = Tracker()
    for i in range(3):
        tracker.update(estimate_of([person_at([0, 0, 3])], i), SETTINGS)
    assert tracker.update(estimate_of([], 3), SETTINGS)[0].state == COASTING
    short = dataclasses.replace(SETTINGS, coast_s=0.0)
    assert tracker.update(estimate_of([], 4), short)[0].state == LOST
