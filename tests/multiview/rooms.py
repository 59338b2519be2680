"""Made-up rooms: people with known bodies, seen by several noisy cameras."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model, skeleton
from human3r.body.default import default_body_path
from human3r.body.kinematics import posed_joints, skeleton_rotations
from human3r.geometry import invert, transform_points
from human3r.multiview.view import ViewPeople, ray_covariance, view_from_tracked
from human3r.types import BodyParameters, PersonEstimate, TrackedPerson, TrackState

FOCAL_PX = 600.0
FRAME_NS = 100_000_000
IN_FRONT = Rotation.from_euler("x", -90, degrees=True).as_matrix()
"""Takes a camera that looks along y (z up) to its optical axes."""


@cache
def body_model():
    return load_body_model(default_body_path(), torch.device("cpu"))


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what a camera says."""

    pixels: float = 3.0
    depth_share: float = 0.06
    pose_rad: float = 0.09
    camera_rad: float = 0.0
    camera_m: float = 0.0


def camera_at(angle_rad: float, distance_m: float = 6.0, height_m: float = 1.5) -> np.ndarray:
    """(4, 4) world_from_camera looking at the middle of the room from around it."""
    pose = np.eye(4)
    turn = Rotation.from_euler("z", angle_rad + np.pi / 2).as_matrix()
    pose[:3, :3] = turn @ IN_FRONT
    pose[:3, 3] = distance_m * np.cos(angle_rad), distance_m * np.sin(angle_rad), height_m
    return pose


def people(rng: np.random.Generator, places_world: np.ndarray, *, same_pose: bool = False):
    """Bodies at places (people, 3) of the pelvis, each in a pose of its own."""
    count = len(places_world)
    angles = rng.normal(0, 0.4, (1 if same_pose else count, 53, 3))
    rotations = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(-1, 53, 3, 3)
    rotations = np.repeat(rotations, count, 0) if same_pose else rotations
    upright = Rotation.from_euler("x", 90, degrees=True)
    headings = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi, (count, 1)))
    rotations[:, 0] = (headings * upright).as_matrix()
    betas = np.zeros((count, 10)) if same_pose else rng.normal(0, 0.7, (count, 10))
    return posed(rotations, betas, places_world)


def posed(rotations: np.ndarray, betas: np.ndarray, pelvis: np.ndarray) -> list[PersonEstimate]:
    """People whose pelvis is at a place."""
    rest = body_model().rest_joints(torch.from_numpy(np.asarray(betas, np.float32))).numpy()
    ordered = skeleton_rotations(rotations)
    joints = np.concatenate(
        [posed_joints(ordered[i : i + 1], rest[i], pelvis[i : i + 1]) for i in range(len(betas))]
    )
    return [
        PersonEstimate(
            i,
            0.9,
            np.zeros(2, np.float32),
            BodyParameters(
                rotations[i].astype(np.float32),
                betas[i].astype(np.float32),
                np.zeros(10, np.float32),
                joints[i, skeleton.HEAD].astype(np.float32),
            ),
            joints[i].astype(np.float32),
            np.zeros((0, 3), np.float32),
        )
        for i in range(len(betas))
    ]


def seen_by(
    rng: np.random.Generator,
    name: str,
    true_pose: np.ndarray,
    bodies: list[PersonEstimate],
    noise: Noise,
    *,
    numbers=None,
    frame: int = 0,
    told_pose: np.ndarray | None = None,
    with_covariance: bool = True,
) -> ViewPeople:
    """What one camera says of people whose truth is in the world."""
    numbers = range(len(bodies)) if numbers is None else numbers
    told = true_pose if told_pose is None else told_pose
    if noise.camera_rad or noise.camera_m:
        told = disturbed(rng, told, noise)
    camera_from_world = invert(true_pose)
    rotations = np.stack([body.body.rotations for body in bodies]).astype(np.float64)
    rotations[:, 0] = camera_from_world[:3, :3] @ rotations[:, 0]
    shake = Rotation.from_rotvec(rng.normal(0, noise.pose_rad, (rotations.shape[0] * 53, 3)))
    rotations = shake.as_matrix().reshape(rotations.shape) @ rotations
    pelvis = np.stack([transform_points(camera_from_world, b.joints_camera[0]) for b in bodies])
    pelvis = pelvis.astype(np.float64)
    depth = pelvis[:, 2:]
    pixels = pelvis[:, :2] / depth + rng.normal(0, noise.pixels / FOCAL_PX, (len(bodies), 2))
    depth = depth * (1 + rng.normal(0, noise.depth_share, depth.shape))
    pelvis = np.concatenate([pixels * depth, depth], 1)
    found = posed(rotations, np.stack([b.body.betas for b in bodies]), pelvis)
    stamp_ns = 10**18 + frame * FRAME_NS
    tracked = []
    for number, person in zip(numbers, found, strict=True):
        away = np.linalg.norm(person.joints_camera[0])
        covariance = np.eye(6) * max(noise.pose_rad, 0.01) ** 2
        covariance[:3, :3] = ray_covariance(
            person.joints_camera[0].astype(float),
            np.array(max(noise.depth_share, 0.001) * away),
            np.array(max(noise.pixels, 0.3) / FOCAL_PX * away),
        )
        tracked.append(
            TrackedPerson(
                number,
                TrackState.OK,
                replace(person, track_id=number),
                None,
                stamp_ns,
                stamp_ns,
                frame,
                1.7,
                None,
                covariance.astype(np.float32).ravel() if with_covariance else None,
            )
        )
    return view_from_tracked(name, stamp_ns, tracked, told, focal_px=FOCAL_PX)


def disturbed(rng: np.random.Generator, pose: np.ndarray, noise: Noise) -> np.ndarray:
    """A camera's pose as a calibration that is a little wrong gives it."""
    wrong = pose.copy()
    turn = Rotation.from_rotvec(rng.normal(0, noise.camera_rad / np.sqrt(3), 3)).as_matrix()
    wrong[:3, :3] = turn @ pose[:3, :3]
    wrong[:3, 3] += rng.normal(0, noise.camera_m / np.sqrt(3), 3)
    return wrong


def spread_places(rng: np.random.Generator, count: int, radius_m: float = 2.0, apart_m=0.7):
    """(people, 3) places of pelvises that are not closer together than people are."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = np.array([*rng.uniform(-radius_m, radius_m, 2), 0.95])
        if all(np.linalg.norm(place - other) > apart_m for other in places):
            places.append(place)
    return np.stack(places)


def rotation_about(axis: str, angle_deg: float) -> np.ndarray:
    """(3, 3)"""
    return Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix()
