"""Landmarks of an image's people as the evidence a fit takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from human3r.people.fit.facing import other_way_round
from human3r.people.fit.gauss_newton import Evidence
from human3r.people.fit.landmark_body import LEFT_HIP, NUM_JOINTS, RIGHT_HIP, LandmarkBody
from human3r.people.fit.prior import LandmarkPrior
from human3r.people.fit.rotations import matrices, ray_frames
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


def expecting(given: Evidence, rotations: np.ndarray, weights: np.ndarray) -> Evidence:
    """The same with poses (people, 22, 3, 3) to expect, weights (people, 22) 1/rad."""
    return replace(given, rotations=rotations, rotation_weights=weights)
