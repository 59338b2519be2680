"""Scale of the scene from bodies that are metric already."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.config import Settings
from human3r.scale import MetricScale, check_without_node
from human3r.scale.people_scale import PeopleScale, person_votes
from human3r.scale.sources import Middle, combined
from human3r.types import BodyParameters, PersonEstimate
from tests.scale.streams import CAMERA, HEIGHT, WIDTH, estimate, pose

POSE = pose()
SECOND = 10
"""Frames."""


def body(track_id, z_m, column=WIDTH // 2):
    """A flat person of 0.5 x 1.7 m, facing the camera, its middle in a column of the image."""
    x = (column - CAMERA.cx) / CAMERA.fx * z_m + np.linspace(-0.25, 0.25, 40)
    y = np.linspace(-0.85, 0.85, 120)
    grid = np.stack(np.meshgrid(x, y, [z_m]), -1).reshape(-1, 3).astype(np.float32)
    parameters = BodyParameters(
        np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        np.zeros(10, np.float32),
        np.zeros(10, np.float32),
        grid[0],
    )
    return PersonEstimate(track_id, 0.9, np.zeros(2, np.float32), parameters, grid[:55], grid)


def scene(number, people, unit, errors=None):
    """The room and flat people in it, in a unit of ``unit`` metres; bodies in metres.

    Args:
        number: of the frame.
        people: those there are.
        unit: metres per unit of the scene.
        errors: per person by how much its body is too far, as a factor; none by default.
    """
    raw = estimate(number, POSE, POSE, unit)
    depth, probability = raw.depth.copy(), np.zeros((HEIGHT, WIDTH), np.float32)
    for person in people:
        x, y, z = person.vertices_camera.T
        columns = np.rint(CAMERA.fx * x / z + CAMERA.cx).astype(int)
        rows = np.rint(CAMERA.fy * y / z + CAMERA.cy).astype(int)
        inside = (columns >= 0) & (columns < WIDTH) & (rows >= 0) & (rows < HEIGHT)
        depth[rows[inside], columns[inside]] = z[inside] / unit
        probability[rows[inside], columns[inside]] = 1
    rays = raw.points_camera / raw.depth[..., None]
    fitted = people
    if errors is not None:
        fitted = [
            dataclasses.replace(p, vertices_camera=p.vertices_camera * np.float32(e))
            for p, e in zip(people, errors, strict=True)
        ]
    return dataclasses.replace(
        raw,
        points_camera=(rays * depth[..., None]).astype(np.float32),
        person_probability=probability,
        people=tuple(fitted),
    )


@given(z_m=st.floats(1.5, 4.0), unit=st.floats(0.4, 2.5), column=st.integers(25, 55))
@settings(max_examples=25, deadline=None)
def test_one_person_tells_the_scenes_unit(z_m, unit, column):
    votes = person_votes(scene(0, [body(7, z_m, column)], unit))
    assert votes[7] == pytest.approx(np.log(unit), abs=0.01)


def test_who_stands_in_front_is_not_compared_with_who_stands_behind():
    far, near = body(1, 4.0, 40), body(2, 2.0, 44)
    raw = scene(0, [far, near], 1.0)
    assert person_votes(raw)[2] == pytest.approx(0, abs=0.01)
    assert person_votes(raw).get(1, 0.0) == pytest.approx(0, abs=0.01)


def test_where_no_person_is_seen_there_is_no_vote():
    raw = scene(0, [body(1, 2.0)], 1.3)
    hidden = dataclasses.replace(raw, person_probability=np.zeros_like(raw.person_probability))
    assert person_votes(hidden) == {}
    assert person_votes(dataclasses.replace(raw, people=())) == {}


def test_frames_make_one_person_firm_only_up_to_what_a_body_is_off_by():
    scale = PeopleScale()
    guesses = [scale.update(scene(n, [body(1, 3.0)], 1.25)) for n in range(3 * SECOND)]
    assert np.isnan(guesses[0].value)
    assert not guesses[-1].trouble
    assert guesses[-1].value == pytest.approx(1.25, rel=0.01)
    assert 0.06 < guesses[-1].relative_stddev < 0.08


def test_missing_people_are_said_only_when_there_was_time_to_see_some():
    measured, missed = PeopleScale(), PeopleScale()
    for number in range(14):
        assert measured.update(scene(number, [body(0, 3.0)], 2.0)).trouble == "", number
        assert missed.update(scene(number, [], 2.0)).trouble == "", number
    assert "no person was compared" in missed.update(scene(14, [], 2.0)).trouble
    assert measured.update(scene(14, [], 2.0)).trouble == ""
    missed.forget()
    assert missed.update(scene(15, [], 2.0)).trouble == ""


def test_more_people_are_firmer_than_one_and_a_liar_is_outvoted():
    people = [body(k, 2.5, 14 + 13 * k) for k in range(5)]
    errors = [1.0, 1.03, 0.97, 1.0, 1.6]
    scale = PeopleScale()
    for number in range(SECOND):
        guess = scale.update(scene(number, people, 0.8, errors))
    assert guess.value == pytest.approx(0.8, rel=0.06)
    honest = PeopleScale()
    for number in range(SECOND):
        sure = honest.update(scene(number, people[:4], 0.8, errors[:4]))
    assert sure.relative_stddev < 0.04
    # Somebody who contradicts the others makes nobody surer.
    assert guess.relative_stddev > sure.relative_stddev


def test_people_who_left_long_ago_are_forgotten():
    scale = PeopleScale()
    for number in range(SECOND):
        scale.update(scene(number, [body(1, 3.0)], 1.25))
    assert scale.update(scene(50 * SECOND, [], 1.25)).trouble
    scale.forget()
    assert scale.update(scene(51 * SECOND, [], 1.25)).samples == 0


@given(
    st.lists(
        st.tuples(st.floats(-0.5, 0.5), st.floats(0.02, 0.3)).map(lambda pair: Middle(*pair)),
        min_size=1,
        max_size=8,
    )
)
def test_a_combination_lies_within_what_it_combines(tracks):
    middle = combined(tracks)
    values = [track.value for track in tracks]
    assert min(values) - 1e-9 <= middle.value <= max(values) + 1e-9
    assert middle.stddev > 0
    if len(tracks) == 1:
        assert middle.stddev == pytest.approx(tracks[0].stddev)


def test_people_are_compared_with_a_frames_scene_once(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "human3r.scale.people_scale.person_votes", lambda raw: compared.append(raw) or {7: 0.2}
    )
    scale = MetricScale(Settings().replace({"scale.mode": "people"}))
    raw = scene(0, [body(7, 3.0)], 1.2)
    scale.apply(raw)
    assert scale.votes_of(raw) == {7: 0.2}
    assert compared == [raw]


@pytest.mark.parametrize("mode", ["people", "fixed"])
def test_votes_are_those_of_the_frame_whatever_the_scale_is_measured_with(mode):
    scale = MetricScale(Settings().replace({"scale.mode": mode}))
    for number, unit in enumerate((1.25, 0.8)):
        raw = scene(number, [body(7, 3.0)], unit)
        scale.apply(raw)
        assert scale.votes_of(raw)[7] == pytest.approx(np.log(unit), abs=0.01)
    without = dataclasses.replace(raw, has_scene=False, points_camera=0 * raw.points_camera)
    scale.apply(without)
    assert scale.votes_of(without) == {}


def test_the_scene_takes_the_peoples_metres_and_people_keep_theirs():
    scale = MetricScale(Settings().replace({"scale.mode": "people"}))
    person = body(1, 3.0)
    for number in range(120):
        raw = scene(number, [person], 1.15)
        made = scale.apply(raw)
    assert scale.report().value == pytest.approx(1.15, rel=0.02)
    assert np.allclose(made.points_camera, scale.value * raw.points_camera, rtol=1e-5)
    assert np.array_equal(made.people[0].vertices_camera, person.vertices_camera)
    on_person = made.person_probability > 0
    assert np.median(made.depth[on_person]) == pytest.approx(3.0, rel=0.02)
    assert made.scale == scale.value
    assert made.body_scale == 1.0
    check_without_node(Settings().replace({"scale.mode": "people"}))
