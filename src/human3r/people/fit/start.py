"""Where a fit begins: rotations from the directions between landmarks."""

import numpy as np

from human3r.people.fit.gauss_newton import Bodies, Evidence
from human3r.people.fit.landmark_body import LandmarkBody
from human3r.people.fit.prior import LandmarkPrior
from human3r.people.fit.rotations import matrices, smallest_turn

_TRUNK = (11, 12, 23, 24)
_LIMBS = (
    ((1, 23, 25), (2, 24, 26), (16, 11, 13), (17, 12, 14)),
    ((4, 25, 27), (5, 26, 28), (18, 13, 15), (19, 14, 16)),
)
"""(joint, landmark at it, at the limb's other end): thighs and upper arms, then the rest."""
_NEAREST_M, _FARTHEST_M = 0.4, 100.0


def starting_bodies(body: LandmarkBody, prior: LandmarkPrior, given: Evidence) -> Bodies:
    """Bodies of the expected shapes that look about like the evidence."""
    world = (given.camera_from_view[:, None] @ given.world[..., None])[..., 0]
    rotations = starting_rotations(body, world, given.betas, prior.pose_mean)
    marks = body.pose(rotations, given.betas).marks[:, : body.num_marks]
    places = starting_places(marks, given.rays, given.ray_weights)
    return Bodies(rotations, places, given.betas, np.ones(len(places)))


def starting_rotations(
    body: LandmarkBody, world: np.ndarray, betas: np.ndarray, pose_mean: np.ndarray
) -> np.ndarray:
    """(people, 22, 3, 3) rotations that point trunk and limbs where landmarks do.

    The trunk turns by the least-squares rotation of shoulders and hips, limbs by the smallest turn;
    everything else is as in the mean pose.

    Args:
        body: of the fit.
        world: (people, marks, 3) metres, camera axes.
        betas: (people, 10).
        pose_mean: (63,) rotation vectors of the joints after the root.

    Source: Kabsch 1976, "A solution for the best rotation to relate two sets of vectors".
    """
    row = {int(landmark): i for i, landmark in enumerate(body.used)}
    people = len(world)
    rotations = np.tile(np.eye(3), (people, 22, 1, 1))
    rotations[:, 1:] = matrices(pose_mean.reshape(21, 3))
    trunk = [row[i] for i in _TRUNK]
    points = body.pose(rotations, betas).marks[:, body.num_marks :]
    rotations[:, 0] = _best_rotation(points[:, trunk], world[:, trunk])
    for limbs in _LIMBS:
        known = [limb for limb in limbs if limb[1] in row and limb[2] in row]
        if not known:
            continue
        joints = np.array([joint for joint, _, _ in known])
        near, far = (np.array([row[limb[k]] for limb in known]) for k in (1, 2))
        posed = body.pose(rotations, betas)
        points = posed.marks[:, body.num_marks :]
        have = _unit(points[:, far] - points[:, near])
        want = _unit(world[:, far] - world[:, near])
        parents = posed.rotations[:, body.parents[joints]]
        turned = smallest_turn(have, want) @ posed.rotations[:, joints]
        rotations[:, joints] = parents.swapaxes(-1, -2) @ turned
    return rotations


def starting_places(marks: np.ndarray, rays: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(people, 3) metres: shifts that bring points nearest to their rays, by least squares.

    Args:
        marks: (people, marks, 3) metres.
        rays: (people, marks, 2) directions at depth 1.
        weights: (people, marks), at least 0.
    """
    people = len(marks)
    share = weights / np.maximum(weights.max(1, keepdims=True), 1e-12)
    rows = np.zeros((*marks.shape[:2], 2, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    wanted = rays * marks[..., 2:] - marks[..., :2]
    a = (rows * share[..., None, None]).reshape(people, -1, 3)
    b = (wanted * share[..., None]).reshape(people, -1, 1)
    normal = a.swapaxes(1, 2) @ a + 1e-9 * np.eye(3)
    places = np.linalg.solve(normal, a.swapaxes(1, 2) @ b)[..., 0]
    places[:, 2] = np.clip(places[:, 2], _NEAREST_M, _FARTHEST_M)
    return places


def _best_rotation(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    have, want = (points - points.mean(1, keepdims=True) for points in (have, want))
    u, _, vt = np.linalg.svd(want.swapaxes(1, 2) @ have)
    signs = np.ones((len(have), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (u * signs[:, None]) @ vt


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)
