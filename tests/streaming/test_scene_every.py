"""Frames that pass without the scene network: people as ever, no depth, and a path all the same."""

import cv2
import numpy as np
import pytest
import torch

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.config import Settings
from human3r.errors import StreamOrderError
from human3r.io.frame_files import frame_arrays, people_arrays
from human3r.pipeline import Pipeline
from human3r.streaming.session import StreamSession
from human3r.types import Frame
from tests.people.pictures import PERSON

_QUICK = {"people.detector": "mediapipe"}
"""Which detector it is plays no part here."""


def _clip(count: int) -> list[Frame]:
    """A person who stands before a wall with a pattern, seen by a camera that turns a little."""
    noise = np.random.default_rng(2).integers(0, 255, (300, 480, 3), np.uint8)
    wide = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    wide[30:286, 120:376] = PERSON
    cuts = [wide[20:260, 40 + 2 * i : 360 + 2 * i].copy() for i in range(count)]
    return [Frame(image, 10**9 + i * 10**8) for i, image in enumerate(cuts)]


@pytest.fixture(scope="module")
def free_body():
    return load_body_model(default_body_path(), "cpu")


@pytest.fixture(scope="module")
def with_networks(small_network, free_body):
    """A pipeline that has every network: others share them."""
    sources = {"scene.source": "monocular", "people.source": "landmarks"}
    settings = Settings().replace(sources | _QUICK)
    pipeline = Pipeline(small_network, free_body, settings)
    yield pipeline
    pipeline.close()


@pytest.fixture(params=["network", "monocular"])
def pipeline(small_network, free_body, with_networks, request):
    made = []

    def make(**changes) -> Pipeline:
        settings = {
            "scene.source": request.param,
            "people.source": "landmarks",
            "odometry.source": "features",
            "camera.focal": "stream",
            "scene.every": 3,
            **_QUICK,
        }
        chosen = Settings().replace(settings | changes)
        made.append(Pipeline(small_network, free_body, chosen, beside=with_networks))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_people_come_with_every_frame_and_depth_with_its_turn(pipeline):
    made = pipeline()
    answers = [made.step(frame) for frame in _clip(7)]
    assert [one.has_scene for one in answers] == [True, False, False, True, False, False, True]
    assert [one.frame_index for one in answers] == list(range(7))
    for one in answers:
        assert one.depth.any() == one.confidence.any() == one.has_scene
        assert len(made.points(one).points) == 0 or one.has_scene
        by = "depth" if made.settings.scene.source == "monocular" else "network"
        assert (by in one.timings_s) == one.has_scene
        assert one.timings_s["fit"] > 0
        assert len(one.people) == 1
        assert one.person_probability.max() > 0.9
        assert one.intrinsics.fx > 0
        assert one.state_updated
    assert len({person.track_id for one in answers for person in one.people}) == 1
    depths = [one.people[0].body.head_camera[2] for one in answers]
    assert np.ptp(depths) < 0.1 * np.mean(depths)


def test_looking_ahead_takes_the_same_turns(pipeline):
    frames = _clip(6)
    plain, ahead = pipeline(), pipeline()
    want = [plain.step(frame) for frame in frames]
    got = [ahead.step(*pair) for pair in ahead.looking_ahead(frames)]
    for one, other in zip(got, want, strict=True):
        a = frame_arrays(one) | people_arrays(one.people)
        b = frame_arrays(other) | people_arrays(other.people)
        for name, value in a.items():
            assert np.array_equal(value, b[name], equal_nan=True), name


def test_people_are_looked_for_anew_after_a_reset_between_frames(pipeline):
    """Also where the next frame has been looked at already."""
    frames = _clip(6)
    plain, ahead = pipeline(), pipeline()

    def numbers(made, pairs):
        found = []
        for index, pair in enumerate(pairs):
            if index == 3:
                made.reset()
            found.append([one.track_id for one in made.step(*pair).people])
        return found

    want = numbers(plain, ((frame, None) for frame in frames))
    assert numbers(ahead, ahead.looking_ahead(frames)) == want
    assert want[2] != want[3]


@pytest.mark.parametrize("pipeline", ["monocular"], indirect=True)
def test_without_need_the_recurrent_network_does_not_run(pipeline):
    made = pipeline(**{"scene.every": 1, "camera.estimate_every": 3})
    answers = [made.step(frame) for frame in _clip(15)]
    assert all(one.has_scene and one.depth.any() for one in answers)
    assert not any("network" in one.timings_s for one in answers)
    estimated = [index for index, one in enumerate(answers) if "focal" in one.timings_s]
    assert estimated == [*range(10), 12]
    assert [i for i, one in enumerate(answers) if one.estimated_focal_px > 0] == estimated
    assert answers[0].intrinsics.fx == answers[0].estimated_focal_px
    assert len({one.intrinsics.fx for one in answers[10:12]}) == 1
    every = pipeline(**{"scene.every": 1, "camera.focal": "frame"})
    assert all("network" in every.step(frame).timings_s for frame in _clip(12))


def test_warming_up_leaves_no_trace(pipeline):
    plain, warm = pipeline(), pipeline()
    warm.warm_up(320, 240)
    for frame in _clip(2):
        one, other = plain.step(frame), warm.step(frame)
        assert (one.session, one.frame_index) == (other.session, other.frame_index)
        a = frame_arrays(one) | people_arrays(one.people)
        b = frame_arrays(other) | people_arrays(other.people)
        for name, value in a.items():
            assert np.array_equal(value, b[name], equal_nan=True), name


@pytest.mark.parametrize("ahead", [False, True])
def test_a_session_begins_with_a_scene(pipeline, ahead):
    frames = _clip(6)
    frames[2] = Frame(frames[2].image, frames[2].stamp_ns, begins_session=True)
    made = pipeline()
    pairs = made.looking_ahead(frames) if ahead else ((frame, None) for frame in frames)
    found = [made.step(*pair).has_scene for pair in pairs]
    assert found == [True, False, True, False, False, True]
    # And one that somebody asks for, whatever was prepared already.
    prepared = made.session.prepare(_clip(7)[6], with_network=False)
    made.reset()
    assert made.step(_clip(7)[6], prepared).has_scene


def test_turns_may_change_while_running(pipeline):
    frames, made = _clip(6), pipeline()
    found = [made.step(frame).has_scene for frame in frames[:3]]
    made.apply(made.settings.replace({"scene.every": 1}))
    found += [made.step(frame).has_scene for frame in frames[3:]]
    assert found == [True, False, False, True, True, True]


def test_the_networks_own_people_need_every_frame(pipeline):
    made = pipeline(**{"people.source": "network"})
    assert all(made.step(frame).has_scene for frame in _clip(3))


def _session(network, **settings) -> StreamSession:
    return StreamSession(network, None, Settings().replace(settings), with_people=False)


def test_a_passed_frame_counts_and_changes_nothing_else(small_network):
    frames = _clip(4)
    passing, short = _session(small_network), _session(small_network)
    first = passing.push(frames[0])
    passed = passing.push(frames[1], with_network=False)
    assert (passed.frame_index, passing.frame_index) == (1, 2)
    with pytest.raises(StreamOrderError):
        passing.push(frames[1])
    with pytest.raises(StreamOrderError):
        passing.push(frames[0], with_network=False)
    got = passing.push(frames[2])
    short.push(frames[0])
    want = short.push(frames[2])
    assert np.array_equal(got.points_camera, want.points_camera)
    assert np.array_equal(passed.world_from_camera, first.world_from_camera)
    assert torch.equal(passing.recurrent.tokens, short.recurrent.tokens)
    # The small image is the one the network would have had.
    assert np.array_equal(passed.image, _session(small_network).push(frames[1]).image)


def test_a_reset_waits_for_the_next_scene(small_network):
    session = _session(small_network, **{"session.reset_interval": 2})
    turns = [True, False, False, True, True]
    found = [
        session.push(frame, with_network=turn) for frame, turn in zip(_clip(5), turns, strict=True)
    ]
    assert [(one.session, one.frame_index) for one in found] == [
        *((0, 0), (0, 1), (0, 2), (0, 3)),
        (1, 0),
    ]
