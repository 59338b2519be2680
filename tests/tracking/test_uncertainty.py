"""Covariances from circumstances: shape, growth, and what is said when nothing is known."""

import dataclasses
import json
import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.tracking.covariance_file import (
    covariance_path,
    find_covariance,
    read_covariance,
    write_covariance,
)
from human3r.tracking.tracks import Tracker, TrackState
from human3r.tracking.uncertainty import (
    ERRORS,
    FEATURES,
    Circumstances,
    CovarianceModel,
    PoseUncertainty,
    SpreadModel,
    share_outside,
)
from human3r.types import ImageGeometry, Visibility
from tests.tracking.people import CAMERA, SETTINGS, estimate_of, person_at

SEEN = SpreadModel(
    np.log([0.1, 0.02, 0.3, 0.05]),
    np.array([[0.5, 0, 1, 1], [0, 0, 1, 1], [0, -1, 0, 2], [0, 0, 0, 0]], float),
)
MODEL = CovarianceModel(
    seen=SEEN,
    seen_without_hidden=SpreadModel(SEEN.constants + 0.1, SEEN.weights * [1, 1, 1, 0]),
    bounds=np.array([[0.0, 2.0], [0.1, 0.9], [0.0, 0.5], [0.0, 0.8]]),
    growth=np.array([[0.2, 1.0], [0.1, 1.0], [0.3, 0.5], [0.0, 1.0]]),
)
PLAIN = Circumstances(distance_m=3.0, score=0.5, cut=0.0, hidden=0.0)


def unit(seed):
    return Rotation.random(random_state=seed).as_matrix()[:, 0]


circumstances = st.builds(
    Circumstances,
    distance_m=st.floats(0.0, 1e3),
    score=st.floats(0, 1),
    cut=st.floats(0, 1),
    hidden=st.floats(0, 1) | st.just(float("nan")),
    unseen_s=st.floats(0, 1e6),
)


@given(circumstances, st.integers(0, 10**6))
def test_every_covariance_is_one_and_finite(around, seed):
    covariance = MODEL.covariance(around, 3 * unit(seed), unit(seed + 1))
    assert np.isfinite(covariance).all()
    assert np.array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert not covariance[:3, 3:].any()


@given(st.floats(0, 10), st.floats(0, 10), st.sampled_from(["unseen_s", "cut", "hidden"]))
def test_it_never_shrinks_while_somebody_is_seen_less(a, b, name):
    less, more = (
        MODEL.stddev(dataclasses.replace(PLAIN, **{name: value})) for value in sorted((a, b))
    )
    assert (more >= less - 1e-12).all()


def test_the_ray_and_the_long_axis_are_its_main_axes():
    origin, up = 3 * unit(1), unit(2)
    covariance = MODEL.covariance(PLAIN, origin, up)
    along, across, turn, tilt = MODEL.stddev(PLAIN)
    ray = origin / 3
    aside = np.cross(ray, up) / np.linalg.norm(np.cross(ray, up))
    for block, axis, one, other in (
        (covariance[:3, :3], ray, 3 * along, 3 * across),
        (covariance[3:, 3:], up, turn, tilt),
    ):
        assert axis @ block @ axis == pytest.approx(one**2)
        assert aside @ block @ aside == pytest.approx(other**2)
        assert np.allclose(block @ axis, one**2 * axis)


def test_worked_numbers_of_a_standard_deviation():
    # along: 0.1 * exp(0.5 ln 3 + 0.5 cut + 0.2 hidden), then 0.2 per second in quadrature.
    seen = dataclasses.replace(PLAIN, cut=0.5, hidden=0.2)
    expected = 0.1 * np.sqrt(3) * np.exp(0.7)
    assert MODEL.stddev(seen)[0] == pytest.approx(expected)
    unseen = dataclasses.replace(seen, unseen_s=2.0)
    assert MODEL.stddev(unseen)[0] == pytest.approx(np.hypot(expected, 0.4))
    assert MODEL.stddev(unseen)[2] == pytest.approx(
        np.hypot(MODEL.stddev(seen)[2], 0.3 * np.sqrt(2))
    )


def test_without_visibility_the_other_numbers_hold():
    unknown = dataclasses.replace(PLAIN, hidden=float("nan"))
    assert np.allclose(MODEL.stddev(unknown), MODEL.stddev(PLAIN) * np.exp(0.1))


def test_beyond_what_was_measured_the_nearest_circumstances_count():
    far, farther = (dataclasses.replace(PLAIN, distance_m=m) for m in (np.exp(2.0), 1e4))
    assert np.array_equal(MODEL.stddev(far), MODEL.stddev(farther))


# -- in a stream -----------------------------------------------------------------------------------


def frame(people, number, **changes):
    size = ImageGeometry(320, 240, 2, 2, 0, 0, 2, 2)
    return estimate_of(people, number, geometry=size, calibrated=CAMERA, **changes)


def told(frames, visibility=None, model=MODEL, **changes):
    """States and covariances (6, 6) frame by frame."""
    tracker, uncertainty, found = Tracker(), PoseUncertainty(model), []
    for number, people in enumerate(frames):
        estimate = frame(people, number, **changes)
        tracked = tracker.update(estimate, SETTINGS)
        tracked = [dataclasses.replace(one, visibility=visibility) for one in tracked]
        covariances = uncertainty.covariances(tracked, estimate)
        found.append(
            [
                (one.state, None if covariance is None else covariance.reshape(6, 6))
                for one, covariance in zip(tracked, covariances, strict=True)
            ]
        )
    return found


def test_a_hidden_person_becomes_less_sure_until_seen_again():
    there = [person_at([0, 0, 3])]
    said = told([there] * 4 + [[]] * 20 + [there])
    assert {state for ((state, _),) in said[4:24]} == {TrackState.COASTING}
    volumes = [np.linalg.det(covariance) for ((_, covariance),) in said]
    assert all(b > a for a, b in pairwise(volumes[3:24]))
    assert volumes[24] == pytest.approx(volumes[3])


def test_who_is_cut_off_when_last_seen_stays_so_while_out_of_sight():
    cut = person_at([-2.6, 0, 3])
    assert share_outside(cut, CAMERA) > 0.9
    (whole,), (other,) = (told([[one]] * 2)[-1] for one in (person_at([0, 0, 3]), cut))
    assert np.linalg.det(other[1][:3, :3]) > np.linalg.det(whole[1][:3, :3])
    said = told([[cut]] * 3 + [[]])
    assert said[-1][0][1].trace() > said[-2][0][1].trace()


def test_hidden_joints_make_it_larger():
    clear, half = np.ones(60, np.float32), np.ones(60, np.float32)
    half[:11] = 0.0
    there = [person_at([0, 0, 3])]
    ((seen,),) = told([there], Visibility(clear, 0.0))
    ((hidden,),) = told([there], Visibility(half, 0.0))
    assert hidden[1][2, 2] == pytest.approx(seen[1][2, 2] * np.exp(2 * 0.5), rel=1e-5)


def test_lengths_scale_with_the_estimate_and_angles_do_not():
    ((one,),) = told([[person_at([0, 0, 3])]])
    ((twice,),) = told([[person_at([0, 0, 6])]], scale=2.0)
    assert np.allclose(twice[1][:3, :3], 4 * one[1][:3, :3])
    assert np.allclose(twice[1][3:, 3:], one[1][3:, 3:])


def test_without_a_model_everything_is_unknown():
    said = told([[person_at([0, 0, 3])]] * 3 + [[]], model=None)
    assert [covariance for ((_, covariance),) in said] == [None] * 4


def test_memory_holds_those_of_the_last_frame_only():
    tracker, uncertainty = Tracker(), PoseUncertainty(MODEL)
    for number in range(100):
        estimate = frame([person_at([2.0 * number, 0, 3], number)], number)
        uncertainty.covariances(tracker.update(estimate, SETTINGS), estimate)
    assert len(uncertainty._last) <= SETTINGS.max_count


# -- the file --------------------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path) -> Path:
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    write_covariance(covariance_path(weights), MODEL, "abc", {"data": "made up"})
    return weights


def test_a_model_is_read_as_it_was_written(beside):
    assert covariance_path(beside).name == "net.covariance.json"
    model = find_covariance(beside, lambda path: "abc")
    for name in ("bounds", "growth"):
        assert np.array_equal(getattr(model, name), getattr(MODEL, name))
    for name in ("seen", "seen_without_hidden"):
        assert np.array_equal(getattr(model, name).weights, getattr(MODEL, name).weights)
        assert np.array_equal(getattr(model, name).constants, getattr(MODEL, name).constants)


def test_other_weights_have_no_model_and_say_so(beside, caplog):
    assert find_covariance(beside, lambda path: "abd") is None
    assert "belongs to weights with SHA-256 abc" in caplog.text
    caplog.clear()
    assert find_covariance(beside.with_name("other.safetensors"), lambda path: "abc") is None
    assert find_covariance("", lambda path: "abc") is None
    assert not caplog.records


def _without(content, name):
    return {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: _without(content, "growth"),
        lambda content: content | {"format": "another"},
        lambda content: content | {"bounds": {name: [0] for name in FEATURES}},
        lambda content: content | {"growth": {name: ["x", 1] for name in ERRORS}},
        lambda content: content | {"seen": 3},
        lambda content: [content],
        lambda content: {"format": content["format"] + " " * 200_000},
    ],
)
def test_a_damaged_file_is_a_warning_and_no_model(beside, spoil, caplog):
    path = covariance_path(beside)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(spoil(content)))
    with caplog.at_level(logging.WARNING):
        assert find_covariance(beside, lambda path: "abc") is None
    assert "tools/calibrate_covariance.py" in caplog.text


def test_numbers_that_are_not_finite_are_damage(beside):
    path = covariance_path(beside)
    content = json.loads(path.read_text())
    content["growth"]["along"][0] = float("inf")
    path.write_text(json.dumps(content))
    assert find_covariance(beside, lambda path: "abc") is None
    content["growth"]["along"][0] = 1e300
    path.write_text(json.dumps(content))
    model, _ = read_covariance(path)
    unseen = dataclasses.replace(PLAIN, unseen_s=2.0)
    assert np.isfinite(
        model.covariance(unseen, np.array([0, 0, 3.0]), np.array([0, -1.0, 0]))
    ).all()
