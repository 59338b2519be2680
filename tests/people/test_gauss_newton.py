"""The fit: its derivatives, what it finds, and what it makes of nonsense."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.people.fit.gauss_newton import (
    NUM_UNKNOWN,
    Bodies,
    Evidence,
    FitSettings,
    _moved,
    fit,
    normal_equations,
)
from human3r.people.fit.observations import evidence, observations, starting_bodies
from human3r.people.fit.rotations import matrices, vector_slopes, vectors
from tests.people.posed_landmarks import (
    CAMERA,
    body_model,
    landmark_body,
    landmarks_of,
    plain_prior,
    pose,
    shape,
)

PLACE = np.array([0.3, 0.1, 3.5])


def some_problem(seed: int) -> tuple[Evidence, Bodies]:
    rng = np.random.default_rng(seed)
    people, marks = 2, landmark_body().num_marks
    bodies = Bodies(
        matrices(0.5 * rng.standard_normal((people, 22, 3))),
        rng.uniform([-1, -1, 2], [1, 1, 6], (people, 3)),
        0.3 * rng.standard_normal((people, 10)),
        rng.uniform(0.8, 1.2, people),
    )
    given_ = Evidence(
        0.2 * rng.standard_normal((people, marks, 2)),
        rng.uniform(0, 30, (people, marks)),
        0.4 * rng.standard_normal((people, marks, 3)),
        rng.uniform(0, 20, (people, marks, 3)),
        matrices(0.4 * rng.standard_normal((people, 3))),
        0.2 * rng.standard_normal((people, 10)),
        matrices(0.4 * rng.standard_normal((people, 22, 3))),
        rng.uniform(0, 3, (people, 22)),
    )
    return given_, bodies


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 10_000))
def test_the_gradient_is_the_slope_of_the_cost(seed):
    problem, bodies = some_problem(seed)

    def cost(step: np.ndarray) -> np.ndarray:
        moved = _moved(bodies, step)
        return normal_equations(landmark_body(), plain_prior(), problem, moved, FitSettings()).cost

    found = normal_equations(landmark_body(), plain_prior(), problem, bodies, FitSettings())
    steps = 1e-5 * np.eye(NUM_UNKNOWN)
    slopes = [(cost(np.tile(s, (2, 1))) - cost(np.tile(-s, (2, 1)))) / 2e-5 for s in steps]
    np.testing.assert_allclose(2 * found.gradient.T, slopes, rtol=1e-4, atol=2e-2)


@given(st.lists(st.floats(-2.5, 2.5), min_size=3, max_size=3))
def test_vector_slopes_are_those_of_the_logarithm(numbers):
    v = np.array(numbers)
    if np.linalg.norm(v) > 2.9:
        v *= 2.9 / np.linalg.norm(v)
    steps = 1e-6 * np.eye(3)
    slopes = [
        (vectors(matrices(v) @ matrices(s)) - vectors(matrices(v) @ matrices(-s))) for s in steps
    ]
    np.testing.assert_allclose(vector_slopes(v), np.array(slopes).T / 2e-6, atol=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3))
def test_vectors_give_back_any_rotation_even_of_half_a_turn(numbers):
    rotation = matrices(np.array(numbers))
    np.testing.assert_allclose(matrices(vectors(rotation)), rotation, atol=1e-7)


def test_the_fits_joints_are_those_of_the_body_model():
    body = landmark_body()
    rotations, betas = np.stack([pose(1), pose(2, 2.0)]), np.stack([shape(1.5), shape(1.9)])
    betas[:, 1:] = 0.4
    posed = body.pose(rotations, betas)
    every = np.tile(np.eye(3), (2, 53, 1, 1))
    every[:, :22] = rotations
    tensors = (every, betas, np.zeros((2, 10)), posed.joints[:, 15])
    mesh = body_model()(*(torch.from_numpy(a.astype(np.float32)) for a in tensors))
    np.testing.assert_allclose(mesh.joints[:, :22], posed.joints, atol=1e-4)


@pytest.mark.parametrize("turn_rad", [0.2, 1.5, 3.0])
def test_exact_landmarks_give_back_the_body(turn_rad):
    body, weak = landmark_body(), FitSettings(steps=25, pose_weight=0.02, size_sigma=10.0)
    rotations = pose(3, turn_rad)
    exact = landmarks_of(rotations, PLACE, size=1.3)
    problem = evidence(body, plain_prior(), observations([exact]), CAMERA, shape()[None])
    found = fit(body, plain_prior(), problem, starting_bodies(body, plain_prior(), problem), weak)
    np.testing.assert_allclose(found.bodies.places[0], PLACE, atol=0.01)
    joints = body.pose(found.bodies.rotations, found.bodies.betas).joints[0]
    wanted = body.pose(rotations[None], shape()[None]).joints[0]
    np.testing.assert_allclose(joints, wanted, atol=0.01)
    assert found.bodies.sizes[0] == pytest.approx(1.3, rel=0.01)


def test_nobody_ends_worse_than_they_began():
    problem, bodies = some_problem(5)
    before = normal_equations(landmark_body(), plain_prior(), problem, bodies, FitSettings())
    after = fit(landmark_body(), plain_prior(), problem, bodies, FitSettings())
    assert (after.equations.cost <= before.cost).all()


def test_people_do_not_influence_each_other():
    problem, bodies = some_problem(6)

    def first(one):
        return type(one)(*(getattr(one, f.name)[:1] for f in fields(one)))

    both = fit(landmark_body(), plain_prior(), problem, bodies, FitSettings())
    alone = fit(landmark_body(), plain_prior(), first(problem), first(bodies), FitSettings())
    np.testing.assert_allclose(both.bodies.rotations[:1], alone.bodies.rotations, atol=1e-9)
