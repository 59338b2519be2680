"""Errors of published poses, the covariance model that fits them, and how coverage is reported."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from human3r_lab.evaluation.covariance_fit import (
    ONE_SIGMA,
    added_stddev,
    fit_covariance,
    quantile_regression,
)
from human3r_lab.evaluation.covariance_samples import pose_errors_of
from human3r_lab.evaluation.matched_frame import match_frame
from human3r_lab.evaluation.measures import numbers
from human3r_lab.evaluation.pose_errors import PoseError, PoseErrors
from human3r_lab.evaluation.runner import evaluate
from human3r_lab.evaluation.truth import FreeBodyScheme
from scipy.spatial.transform import Rotation

from human3r.config import Settings
from human3r.errors import InputError
from human3r.model.default import default_weights_path
from human3r.model.weights_file import sha256_of
from human3r.tracking.covariance_file import covariance_path, find_covariance, write_covariance
from human3r.tracking.uncertainty import ERRORS, Circumstances, CovarianceModel, SpreadModel
from tests.evaluation.small_world import (
    Told,
    ToldPipeline,
    ToldSequence,
    estimate,
    free_body,
    walk,
)

TRUE_MODEL = CovarianceModel(
    seen=SpreadModel(
        np.log([0.2, 0.03, 0.4, 0.1]),
        np.array([[0.5, -1, 1, 1], [0, 0, 1, 0], [0, -1, 0, 2], [-0.5, 0, 0, 0]], float),
    ),
    seen_without_hidden=SpreadModel(np.zeros(4), np.zeros((4, 4))),
    bounds=np.array([[-9.0, 9], [0, 1], [0, 1], [0, 1]]),
    growth=np.array([[0.3, 1.0], [0.1, 0.5], [0.3, 1.0], [0.0, 1.0]]),
)


@pytest.fixture(scope="module")
def truths():
    return walk(10)


@pytest.fixture(scope="module")
def scheme():
    return FreeBodyScheme(free_body())


def frames_of(truths, scheme, told=None, hidden_from=1000):
    """Frames as matched; nobody is found from one frame on."""
    for number, truth in enumerate(truths):
        estimated = estimate(truth, told, number)
        if number >= hidden_from:
            estimated = dataclasses.replace(estimated, people=())
        yield match_frame(scheme.true_view(truth), estimated, scheme)


def errors_of(frames):
    errors = PoseErrors(free_body(), Settings())
    return [errors.of(frame) for frame in frames]


def test_the_error_is_true_minus_estimated(truths, scheme):
    found = errors_of(frames_of(truths, scheme, Told(head_shift_m=(0.05, 0, 0.1))))
    assert [len(frame) for frame in found] == [2] * len(truths)
    for error in [error for frame in found for error in frame]:
        assert error.place_m == pytest.approx([-0.05, 0, -0.1], abs=1e-5)
        assert error.turn_rad == pytest.approx([0, 0, 0], abs=1e-5)
        assert error.circumstances.unseen_s == 0
        assert error.circumstances.score == 0.9
        distance_m = np.linalg.norm(error.origin_camera)
        assert error.circumstances.distance_m == pytest.approx(distance_m)
        parts = error.parts()
        place_m = distance_m * np.concatenate([parts["along"], parts["across"]])
        assert np.linalg.norm(place_m) == pytest.approx(np.hypot(0.05, 0.1), abs=1e-5)
        assert parts["along"][0] == pytest.approx(
            error.place_m @ error.origin_camera / distance_m**2
        )


def test_a_turned_body_is_off_about_its_long_axis(truths, scheme):
    (frame,) = frames_of(truths[:1], scheme)
    turn = Rotation.from_rotvec([0, 0.3, 0]).as_matrix()
    people = frame.view.people
    turned = dataclasses.replace(people, root_rotations=people.root_rotations @ turn)
    view = dataclasses.replace(frame.view, people=turned)
    ((error, _),) = errors_of([dataclasses.replace(frame, view=view)])
    assert error.parts()["turn"] == pytest.approx([0.3], abs=1e-5)
    assert error.parts()["tilt"] == pytest.approx([0, 0], abs=1e-5)


def test_who_is_out_of_sight_is_compared_with_the_person_last_matched(truths, scheme):
    found = errors_of(frames_of(truths, scheme, hidden_from=6))
    for number, frame in enumerate(found[6:], 1):
        assert len(frame) == 2
        for error in frame:
            assert error.circumstances.unseen_s == pytest.approx(0.1 * number)
            # They walk straight on, as predicted.
            assert np.abs(error.place_m).max() < 0.02


def test_nothing_is_compared_where_the_truth_has_no_orientation(truths, scheme):
    (frame,) = frames_of(truths[:1], scheme)
    people = dataclasses.replace(frame.view.people, root_rotations=None)
    view = dataclasses.replace(frame.view, people=people)
    assert errors_of([dataclasses.replace(frame, view=view)]) == [[]]
    assert errors_of([dataclasses.replace(frame, estimate=None)]) == [[]]


# -- the fit ---------------------------------------------------------------------------------------


def drawn(model, count, seed, unseen=False):
    """Errors as the model has them, normally distributed."""
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(count):
        around = Circumstances(
            rng.uniform(1, 8),
            rng.uniform(0.2, 0.9),
            rng.uniform(0, 0.6),
            rng.uniform(0, 0.6),
            rng.uniform(0.01, 2.5) if unseen else 0.0,
        )
        ray, up = Rotation.random(random_state=rng).as_matrix()[:2]
        origin = around.distance_m * ray
        covariance = model.covariance(around, origin, up)
        error = rng.multivariate_normal(np.zeros(6), covariance)
        errors.append(PoseError(around, origin, up, error[:3], error[3:]))
    return errors


def test_quantile_regression_finds_the_line_that_was_drawn():
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 3, (6000, 2))
    values = 1.0 + features @ [0.5, -0.2] + rng.uniform(0, 1, 6000)
    constant, weights = quantile_regression(features, values, 0.7, [(None, None)] * 2)
    assert constant == pytest.approx(1.7, abs=0.05)
    assert weights == pytest.approx([0.5, -0.2], abs=0.03)
    below = (values <= constant + features @ weights).mean()
    assert below == pytest.approx(0.7, abs=1e-3)


def test_a_weight_keeps_the_sign_it_must_have():
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 3, (500, 1))
    values = -0.5 * features[:, 0] + rng.uniform(0, 1, 500)
    _, weights = quantile_regression(features, values, 0.5, [(0.0, None)])
    assert weights == pytest.approx([0.0], abs=1e-9)


def test_what_absence_adds_is_added_in_quadrature():
    rng = np.random.default_rng(0)
    measured = rng.uniform(0.1, 0.5, 4000)
    errors = np.hypot(measured, 0.4)[:, None] * rng.standard_normal((4000, 2))
    assert added_stddev(errors, measured) == pytest.approx(0.4, rel=0.1)
    assert added_stddev(0.1 * errors, measured) == 0.0


@pytest.fixture(scope="module")
def fitted():
    return fit_covariance(drawn(TRUE_MODEL, 1500, 0), drawn(TRUE_MODEL, 1500, 1, unseen=True))


@cache
def new_errors(unseen):
    return drawn(TRUE_MODEL, 1500, 2, unseen)


@pytest.mark.parametrize("unseen", [False, True])
def test_two_thirds_of_new_errors_lie_inside_one_sigma(fitted, unseen):
    errors = [error.in_stddev(error.modelled(fitted)) for error in new_errors(unseen)]
    for name in ERRORS:
        sizes = np.abs(np.concatenate([error[name] for error in errors]))
        assert (sizes <= 1).mean() == pytest.approx(ONE_SIGMA, abs=0.05), name
        assert (sizes <= 2).mean() == pytest.approx(0.954, abs=0.025), name


def test_it_holds_near_and_far_alike(fitted):
    for far in (False, True):
        errors = [
            error.in_stddev(error.modelled(fitted))["along"]
            for error in new_errors(False)
            if (error.circumstances.distance_m > 4.5) == far
        ]
        assert (np.abs(errors) <= 1).mean() == pytest.approx(ONE_SIGMA, abs=0.06)


def test_too_few_errors_say_nothing():
    with pytest.raises(InputError, match="99 people were found"):
        fit_covariance(drawn(TRUE_MODEL, 99, 0), [])


def test_people_are_taken_away_on_purpose(truths, scheme):
    pipeline = ToldPipeline(truths)
    seen, unseen = pose_errors_of(ToldSequence("walk", truths), pipeline, scheme)
    assert len(seen) == 2 * len(truths)
    # One made-up occlusion, from the seventh frame to the tenth.
    times_s = [round(error.circumstances.unseen_s, 3) for error in unseen]
    assert times_s == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4]


# -- the report ------------------------------------------------------------------------------------


def coverage(truths, tmp_path, along, told, *, other_weights=False):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    constants = np.log([along, 0.01, 0.01, 0.01])
    spread = SpreadModel(constants, np.zeros((4, 4)))
    bounds, growth = np.tile([0.0, 1.0], (4, 1)), np.tile([0.0, 1.0], (4, 1))
    model = CovarianceModel(spread, spread, bounds, growth)
    digest = "other" if other_weights else sha256_of(weights)
    write_covariance(covariance_path(weights), model, digest, {})
    pipeline = ToldPipeline(truths, told)
    pipeline.settings = pipeline.settings.replace({"model.weights": str(weights)})
    scheme = FreeBodyScheme(pipeline.body_model)
    return numbers(evaluate([ToldSequence("walk", truths)], pipeline, scheme).results)


@pytest.mark.parametrize(
    ("along", "shares"), [(0.2, (1.0, 1.0)), (0.032, (0.0, 1.0)), (0.005, (0.0, 0.0))]
)
def test_the_report_says_how_many_errors_lie_inside(truths, tmp_path, along, shares):
    # People stand 3 to 5 m away, each too far by 4.5 % of it.
    found = coverage(truths[:3], tmp_path, along, Told(scale=1.045))
    assert (found["along_within_sigma"], found["along_within_2_sigma"]) == shares
    assert found["across_within_sigma"] == found["rotation_within_sigma"] == 1.0
    assert found["unseen_within_sigma"] is None


def test_a_covariance_that_a_person_brings_is_judged_and_not_the_networks(truths, tmp_path):
    """Bodies fitted to landmarks come with their own; the network's own is 0.2 along the ray."""
    off = Told(scale=1.045)
    honest = dataclasses.replace(off, stddev_m=0.25)
    too_sure = dataclasses.replace(off, stddev_m=0.06)
    for told, share in ((honest, 1.0), (too_sure, 0.0)):
        assert coverage(truths[:3], tmp_path, 0.2, told)["along_within_sigma"] == share
        without = coverage(truths[:3], tmp_path, 0.2, told, other_weights=True)
        assert without["along_within_sigma"] == share, "needs no model of the network"


def test_without_a_model_of_these_weights_there_is_no_coverage(truths, tmp_path):
    found = coverage(truths[:2], tmp_path, 0.1, None, other_weights=True)
    assert found["along_within_sigma"] is None


def test_the_weights_that_come_along_are_calibrated():
    # After new weights: tools/calibrate_covariance.py.
    assert find_covariance(default_weights_path(), sha256_of) is not None
