"""Exact landmarks of posed bodies, as a perfect network would give them."""

from dataclasses import replace
from functools import cache

import numpy as np

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.people.fit.gauss_newton import LandmarkBody
from human3r.people.fit.prior import LandmarkPrior, read_prior
from human3r.people.fit.rotations import matrices, ray_frames
from human3r.people.landmarks import PersonLandmarks, Region
from human3r.types import Intrinsics

CAMERA = Intrinsics(500.0, 500.0, 319.5, 239.5, 640, 480)
FACING_CAMERA = np.diag([1.0, -1.0, -1.0])


@cache
def body_model():
    return load_body_model(default_body_path())


@cache
def plain_prior() -> LandmarkPrior:
    """The shipped prior for a network that does not take people for upright."""
    return replace(read_prior(), lean=np.zeros(2), lean_unknown_up=np.zeros(2))


@cache
def landmark_body() -> LandmarkBody:
    prior = plain_prior()
    return LandmarkBody(body_model(), prior.image_offsets_m, prior.world_offsets_m)


def pose(seed: int = 0, turn_rad: float = 0.3, spread: float = 1.0) -> np.ndarray:
    """(22, 3, 3): a likely pose, upright, facing about the camera and turned from there."""
    rng = np.random.default_rng(seed)
    prior = read_prior()
    vectors = prior.pose_mean + spread * np.linalg.solve(
        prior.pose_whitening, 0.7 * rng.standard_normal(63)
    )
    root = FACING_CAMERA @ matrices(np.array([0.0, turn_rad, 0.0]))
    return np.concatenate([root[None], matrices(vectors.reshape(21, 3))])


def landmarks_of(
    rotations: np.ndarray,
    place: np.ndarray,
    *,
    betas: np.ndarray | None = None,
    camera: Intrinsics = CAMERA,
    size: float = 1.0,
    seen: np.ndarray | None = None,
    track: int = 0,
    noise: float = 0.0,
    seed: int = 0,
) -> PersonLandmarks:
    """Of one body; noise in standard deviations of what the prior says about the network."""
    body, prior, rng = landmark_body(), plain_prior(), np.random.default_rng(seed)
    betas = shape() if betas is None else betas
    marks = body.pose(rotations[None], betas[None]).marks[0]
    points, in_world = marks[: body.num_marks] + place, marks[body.num_marks :]
    pixels, world = np.zeros((33, 2)), np.zeros((33, 3))
    used = body.used
    flat = points[:, :2] / points[:, 2:]
    pixels[used] = flat * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    side = 1.25 * 2 * np.abs(np.ptp(pixels[used], axis=0)).max() / 1.8
    hips = flat[body.hips].mean(0)
    view = ray_frames(np.array([*hips, 1.0]))
    world[used] = (in_world - in_world[body.hips].mean(0)) @ view / size
    pixels += noise * side * prior.pixel_sigmas[:, None] * rng.standard_normal((33, 2))
    world += noise * prior.world_sigmas_m * rng.standard_normal((33, 3))
    region = Region(pixels[[23, 24]].mean(0), float(side), 0.0)
    ones = np.ones(33) if seen is None else seen
    return PersonLandmarks(
        1.0, 1.0, pixels, np.zeros(33), ones, np.ones(33), world, region, region, None, track
    )


def shape(stature_m: float = 1.69) -> np.ndarray:
    """(10,) of the mean body with another stature."""
    return landmark_body().betas_of_stature(np.array([stature_m]), np.zeros((1, 10)))[0]
