"""From the landmarks of an image's people to what a fit takes: its evidence, and where it begins.

It begins with rotations from the directions between landmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from human3r.people.fit.gauss_newton import (
    LEFT_HIP,
    NUM_JOINTS,
    RIGHT_HIP,
    SWAPPED,
    Bodies,
    Evidence,
    LandmarkBody,
)
from human3r.people.fit.prior import LandmarkPrior
from human3r.people.fit.rotations import matrices, ray_frames, smallest_turn
from human3r.people.landmarks import PersonLandmarks
from human3r.types import Intrinsics

_FACE = slice(0, 11)
_FACE_SHARE = 0.6
"""Weight of a landmark of the face: they err together."""
_LEAST_SEEN_IMAGE, _LEAST_SEEN_WORLD = 1e-4, 0.1
_IMAGE_POWER, _WORLD_POWER = 0.6, 0.5
"""How weights fall with a landmark's visibility: as its errors were seen to grow."""
_WORLD_WEIGHT = 0.4
"""World landmarks err together too, over the whole body."""
_LEVEL_UP = np.array([0.0, -1.0, 0.0])
_MIN_KNOWN = 8
_MAX_RAY = 10.0
_MAX_WORLD_M = 3.0

_TRUNK = (11, 12, 23, 24)
_LIMBS = (
    ((1, 23, 25), (2, 24, 26), (16, 11, 13), (17, 12, 14)),
    ((4, 25, 27), (5, 26, 28), (18, 13, 15), (19, 14, 16)),
)
"""(joint, landmark at it, at the limb's other end): thighs and upper arms, then the rest."""
_NEAREST_M, _FARTHEST_M = 0.4, 100.0


@dataclass(frozen=True)
class Observations:
    """Finite landmarks of people, the people on the first axis."""

    rows: np.ndarray
    """(people,) which of the given people these are; those with too few landmarks are left out."""
    pixels: np.ndarray
    """(people, 33, 2) source pixels."""
    world: np.ndarray
    """(people, 33, 3) metres, camera axes."""
    seen: np.ndarray
    """(people, 33) probability that a landmark is where it was predicted; 0: unknown."""
    sides_px: np.ndarray
    """(people,) of the regions."""

    def __len__(self) -> int:
        return len(self.rows)

    def other_way_round(self, is_turned: np.ndarray) -> "Observations":
        """The same people, some of them (people,) with left and right, near and far exchanged."""
        turned = other_way_round(self.pixels, self.world, self.seen)
        arrays = (self.pixels, self.world, self.seen)
        pixels, world, seen = (
            np.where(is_turned.reshape(-1, *[1] * (a.ndim - 1)), b, a)
            for a, b in zip(arrays, turned, strict=True)
        )
        return replace(self, pixels=pixels, world=world, seen=seen)


def observations(people: Sequence[PersonLandmarks]) -> Observations:
    """The usable landmarks of people; whatever is not finite counts as unknown."""
    if not people:
        empty = np.zeros((0, 33))
        return Observations(
            np.zeros(0, int), np.zeros((0, 33, 2)), np.zeros((0, 33, 3)), empty, np.zeros(0)
        )
    pixels = np.stack([one.pixels for one in people]).astype(np.float64)
    world = np.stack([one.world for one in people]).astype(np.float64)
    seen = np.stack([one.visibility * one.presence for one in people]).astype(np.float64)
    sides = np.array([one.region.side for one in people], np.float64)
    is_finite = np.isfinite(pixels).all(-1) & np.isfinite(world).all(-1) & np.isfinite(seen)
    seen = np.where(is_finite, np.clip(np.nan_to_num(seen), 0, 1), 0.0)
    pixels = np.where(is_finite[..., None], pixels, 0.0)
    world = np.clip(np.where(is_finite[..., None], world, 0.0), -_MAX_WORLD_M, _MAX_WORLD_M)
    usable = (is_finite.sum(1) >= _MIN_KNOWN) & np.isfinite(sides) & (sides > 0)
    usable &= is_finite[:, [LEFT_HIP, RIGHT_HIP]].all(1)
    rows = np.flatnonzero(usable)
    return Observations(rows, pixels[rows], world[rows], seen[rows], sides[rows])


def other_way_round(
    pixels: np.ndarray, world: np.ndarray, *per_landmark: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Landmarks with left and right, and in the world near and far, exchanged.

    Args:
        pixels: (..., 33, 2).
        world: (..., 33, 3) metres about the hips; the depth axis is the last one.
        per_landmark: further arrays (..., 33), such as visibility.
    """
    order = list(SWAPPED)
    mirrored = world[..., order, :] * np.array([1.0, 1.0, -1.0])
    return pixels[..., order, :], mirrored, *(values[..., order] for values in per_landmark)


def evidence(
    body: LandmarkBody,
    prior: LandmarkPrior,
    seen: Observations,
    camera: Intrinsics,
    betas: np.ndarray,
    up_camera: np.ndarray | None = None,
) -> Evidence:
    """What the fit takes, with nothing expected of the pose but the prior.

    World landmarks come from a picture of the region alone: their axes are those of a camera that
    looks straight at the person.

    Args:
        body: of the fit.
        prior: how far landmarks are to be trusted.
        seen: the landmarks.
        camera: of the source image.
        betas: (people, 10) the shapes to expect.
        up_camera: (3,) unit vector against gravity, camera frame, where that is known.
    """
    focal = np.array([camera.fx, camera.fy])
    rays = (seen.pixels - [camera.cx, camera.cy]) / focal
    rays = np.clip(rays, -_MAX_RAY, _MAX_RAY)
    hips = rays[:, [LEFT_HIP, RIGHT_HIP]].mean(1)
    people, used = len(seen), body.used
    camera_from_view = ray_frames(np.concatenate([hips, np.ones((people, 1))], 1))
    sigmas = prior.pixel_sigmas * seen.sides_px[:, None] / camera.fx
    is_known = seen.seen > 0
    image = is_known * np.maximum(seen.seen, _LEAST_SEEN_IMAGE) ** _IMAGE_POWER / sigmas
    world = is_known * np.maximum(seen.seen, _LEAST_SEEN_WORLD) ** _WORLD_POWER * _WORLD_WEIGHT
    image[:, _FACE] *= _FACE_SHARE
    world[:, _FACE] *= _FACE_SHARE
    return Evidence(
        rays=rays[:, used],
        ray_weights=image[:, used],
        world=_straightened(seen.world[:, used], camera_from_view, prior, up_camera),
        world_weights=(world[..., None] / prior.world_sigmas_m)[:, used],
        camera_from_view=camera_from_view,
        betas=betas,
        rotations=np.tile(np.eye(3), (people, NUM_JOINTS, 1, 1)),
        rotation_weights=np.zeros((people, NUM_JOINTS)),
    )


def expecting(given: Evidence, rotations: np.ndarray, weights: np.ndarray) -> Evidence:
    """The same with poses (people, 22, 3, 3) to expect, weights (people, 22) 1/rad."""
    return replace(given, rotations=rotations, rotation_weights=weights)


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


def _straightened(
    world: np.ndarray,
    camera_from_view: np.ndarray,
    prior: LandmarkPrior,
    up_camera: np.ndarray | None,
) -> np.ndarray:
    """World landmarks (people, marks, 3) with the network's wrong lean undone."""
    constant, slope = prior.lean_unknown_up if up_camera is None else prior.lean
    up = _LEVEL_UP if up_camera is None else up_camera
    deep = np.clip(up @ camera_from_view[:, :, 2].T, -1, 1)
    turns = np.zeros((len(world), 3))
    turns[:, 0] = constant + slope * np.arcsin(deep)
    return world @ matrices(turns).swapaxes(1, 2)


def _best_rotation(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    have, want = (points - points.mean(1, keepdims=True) for points in (have, want))
    u, _, vt = np.linalg.svd(want.swapaxes(1, 2) @ have)
    signs = np.ones((len(have), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (u * signs[:, None]) @ vt


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)
