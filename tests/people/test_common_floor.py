"""Statures from each other, of people whose feet are on one floor."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.people.fit.fitter import BodyFitter
from human3r.people.fit.stature import ADULTS, LogStature, statures_on_common_floor
from tests.people.posed_landmarks import (
    CAMERA,
    body_model,
    landmark_body,
    landmarks_of,
    plain_prior,
    pose,
    shape,
)

ASSUMED_M = 1.69
UP = np.array([0.0, -1.0, 0.0])
PLACES_M = np.array([[-1.0, 3.0], [1.0, 4.0], [0.0, 5.0], [1.5, 6.0]])
"""To the right and ahead."""


def feet_of(statures_m, *, height_m=1.3, turn=None, places_m=PLACES_M):
    """Feet of people on the floor, as bodies of 1.69 m that look the same have them."""
    count = len(statures_m)
    feet = np.stack([places_m[:count, 0], np.full(count, height_m), places_m[:count, 1]], 1)
    feet *= (ASSUMED_M / np.array(statures_m))[:, None]
    return feet if turn is None else feet @ turn.T


def ask(feet, up=UP, known=None, seen=None):
    count = len(feet)
    return statures_on_common_floor(
        feet,
        np.ones(count, bool) if seen is None else np.array(seen),
        np.full(count, ASSUMED_M),
        [ADULTS] * count if known is None else known,
        up,
    )


@pytest.mark.parametrize("child", [0, 1, 2])
def test_a_child_among_adults_is_told_by_its_feet_and_the_adults_stay(child):
    statures = [1.69, 1.75, 1.65]
    statures[child] = 1.1
    found = ask(feet_of(statures))
    assert math.exp(found[child].mean) == pytest.approx(1.1, rel=0.12)
    for person in {0, 1, 2} - {child}:
        assert math.exp(found[person].mean) == pytest.approx(statures[person], rel=0.2)
        assert found[person].sigma > 0.08, "the others disagree"


@settings(max_examples=30, deadline=None)
@given(
    statures=st.lists(st.floats(1.1, 2.0), min_size=2, max_size=4),
    angles=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-3, 3)),
)
def test_neither_the_order_of_people_nor_the_cameras_axes_matter(statures, angles):
    turn = Rotation.from_euler("xzy", angles).as_matrix()
    plain = ask(feet_of(statures))
    turned = ask(feet_of(statures, turn=turn)[::-1], turn @ UP)
    assert {len(statures) - 1 - person for person in turned} == plain.keys()
    for person, value in plain.items():
        other = turned[len(statures) - 1 - person]
        assert (other.mean, other.sigma) == pytest.approx((value.mean, value.sigma), rel=1e-6)


def test_what_is_known_of_the_others_counts_as_much_as_it_is_known():
    feet = feet_of([1.85, 1.69, 1.69])
    known = [ADULTS, LogStature.of(1.69, 0.01), LogStature.of(1.69, 0.01)]
    vague, sharp = ask(feet)[0], ask(feet, known=known)[0]
    assert sharp.sigma < vague.sigma
    assert math.exp(sharp.mean) == pytest.approx(1.85, rel=0.02)


def test_the_answer_does_not_repeat_what_was_known_of_the_person():
    feet = feet_of([1.85, 1.69, 1.69])
    sharp = [LogStature.of(1.69, 0.05), ADULTS, ADULTS]
    loose = [LogStature.of(1.69, 0.08), ADULTS, ADULTS]
    assert ask(feet, known=sharp)[0].mean > math.log(1.74)
    assert ask(feet, known=sharp)[0].mean == pytest.approx(ask(feet, known=loose)[0].mean, abs=0.02)


def test_one_person_feet_out_of_sight_and_feet_at_the_horizon_say_nothing():
    feet = feet_of([1.69, 1.2])
    assert ask(feet[:1]) == {}
    assert ask(feet, seen=[True, False]) == {}
    assert ask(feet_of([1.69, 1.2], height_m=0.1)) == {}
    assert ask(-feet) == {}, "above the camera"
    assert ask(feet[:0]) == {}


def test_a_stream_believes_in_a_child_when_feet_and_scene_agree():
    statures = {0: 1.72, 1: 1.66, 2: 1.08}
    places = {0: (-1.2, 4.0), 1: (1.2, 4.5), 2: (0.0, 3.6)}
    lowest = {
        person: landmark_body().pose(pose(person)[None], shape(metres)[None]).marks[0][:, 1].max()
        for person, metres in statures.items()
    }
    people = [
        landmarks_of(
            pose(person),
            np.array([places[person][0], 1.4 - lowest[person], places[person][1]]),
            betas=shape(metres),
            size=metres / 1.69,
            track=person,
        )
        for person, metres in statures.items()
    ]
    found = {}
    for name, up, scene_is_known in (
        ("both", UP, True),
        ("feet", UP, False),
        ("scene", None, True),
    ):
        fitter = BodyFitter(body_model(), plain_prior())
        for frame in range(3):
            last = fitter.update(frame * 10**8, people, CAMERA, up_camera=up)
            if scene_is_known:
                true = {person.track_id: statures[person.row] for person in last}
                votes = {p.track_id: math.log(p.stature_m / true[p.track_id]) for p in last}
                fitter.compare(votes, 0.09, "scene")
        found[name] = [person.stature_m for person in last]
    assert found["both"][2] < 1.2
    assert min(found["both"][:2]) > 1.55
    # Either alone is wrong too often to make a child of an adult.
    assert min(found["feet"]) > 1.55
    assert min(found["scene"]) > 1.55
