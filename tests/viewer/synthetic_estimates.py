"""Frame estimates of a made-up room with figures in it: exact geometry, no network."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from human3r.types import (
    BodyParameters,
    Frame,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
    TrackedPerson,
    TrackState,
)
from human3r.viewer.overlay import project
from human3r.viewer.raster import silhouette
from tests import synthetic_smplx

PARENTS = synthetic_smplx._PARENTS
FLOOR_M, WALL_M, SIDE_M = 1.5, 6.0, 3.2
SOURCE = (320, 240)
NETWORK = (160, 112)


def figure(turn_rad: float = 0.0, raise_rad: float = 1.2):
    """A figure of capsules: vertices, faces and 55 joints in SMPL-X axes (y up), metres."""
    joints = synthetic_smplx.rest_joints()
    for side, shoulder in ((1, 16), (-1, 17)):
        below = [j for j in range(55) if _is_below(j, shoulder)]
        c, s = np.cos(-side * raise_rad), np.sin(-side * raise_rad)
        arm = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        joints[below] = (joints[below] - joints[shoulder]) @ arm.T + joints[shoulder]
    parts = [_capsule(joints[0] + [0, 0.3, 0.03], joints[0] + [0, -0.02, 0.03], 0.14, squash=0.7)]
    parts.append(_capsule(joints[15] - [0, 0.02, 0], joints[15] + [0, 0.12, 0.03], 0.095))
    for joint in range(1, 55):
        radius = 0.009 if joint >= 25 else {4: 0.075, 5: 0.075, 7: 0.055, 8: 0.055}.get(joint, 0.05)
        if joint not in (22, 23, 24):
            parts.append(_capsule(joints[PARENTS[joint]], joints[joint], radius))
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate([f + start for (_, f), start in zip(parts, starts, strict=True)])
    c, s = np.cos(turn_rad), np.sin(turn_rad)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return vertices @ turn.T, faces, joints @ turn.T


def _is_below(joint: int, ancestor: int) -> bool:
    while joint >= 0:
        joint = PARENTS[joint]
        if joint == ancestor:
            return True
    return False


def _capsule(a, b, radius, squash: float = 1.0, rings: int = 8, sides: int = 12):
    axis = b - a
    length = np.linalg.norm(axis) or 1e-6
    axis = axis / length
    side = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    theta = np.linspace(-np.pi / 2, np.pi / 2, rings)
    phi = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    along = np.where(theta < 0, 0, length) + radius * np.sin(theta)
    across = radius * np.cos(theta)
    ring = side * np.cos(phi)[:, None] + other * np.sin(phi)[:, None]
    vertices = a + along[:, None, None] * axis + across[:, None, None] * ring
    vertices[..., 2] = (vertices[..., 2] - a[2]) * squash + a[2]
    number = np.arange(rings * sides).reshape(rings, sides)
    right = np.roll(number, -1, axis=1)
    upper = np.stack([number[:-1], right[:-1], right[1:]], -1).reshape(-1, 3)
    lower = np.stack([number[:-1], right[1:], number[1:]], -1).reshape(-1, 3)
    return vertices.reshape(-1, 3), np.concatenate([upper, lower])


FACES = figure()[1]


def person(track_id: int, place, turn_rad: float = 0.0, source: Intrinsics | None = None):
    """A standing figure; ``place`` is its pelvis in the camera frame."""
    vertices, _, joints = figure(turn_rad)
    camera_from_body = np.diag([1.0, -1.0, -1.0])
    shift = np.asarray(place, float) - camera_from_body @ joints[0]
    vertices = (vertices @ camera_from_body.T + shift).astype(np.float32)
    joints = (joints @ camera_from_body.T + shift).astype(np.float32)
    body = BodyParameters(
        np.repeat(np.eye(3, dtype=np.float32)[None], 53, 0),
        np.zeros(10, np.float32),
        np.zeros(10, np.float32),
        joints[15],
    )
    source = source or source_camera()
    head_px = project(joints[15:16], source)[0][0].astype(np.float32)
    return PersonEstimate(track_id, 0.9, head_px, body, joints, vertices)


def geometry() -> ImageGeometry:
    return ImageGeometry(*SOURCE, 160, 120, 0, 4, *NETWORK)


def network_camera() -> Intrinsics:
    return Intrinsics(140.0, 140.0, NETWORK[0] / 2 - 0.5, NETWORK[1] / 2 - 0.5, *NETWORK)


def source_camera() -> Intrinsics:
    return geometry().source_intrinsics(network_camera())


def _room(camera: Intrinsics, world_from_camera: np.ndarray):
    """Points in the camera frame and colours of floor, wall and sides."""
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    rays = np.stack(
        [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1
    )
    rotation, origin = world_from_camera[:3, :3], world_from_camera[:3, 3]
    world_rays = rays @ rotation.T
    with np.errstate(divide="ignore"):
        planes = np.stack(
            [
                np.where(
                    world_rays[..., 1] > 0, (FLOOR_M - origin[1]) / world_rays[..., 1], np.inf
                ),
                np.where(world_rays[..., 2] > 0, (WALL_M - origin[2]) / world_rays[..., 2], np.inf),
                np.where(
                    world_rays[..., 0] != 0,
                    (np.sign(world_rays[..., 0]) * SIDE_M - origin[0]) / world_rays[..., 0],
                    np.inf,
                ),
            ]
        )
    which = planes.argmin(0)
    depth = planes.min(0)
    points_world = world_rays * depth[..., None] + origin
    cells = np.floor(points_world / 0.5 + 1e-6).astype(int)
    checker = (cells.sum(-1) % 2)[..., None]
    base = np.array([[150, 118, 86], [176, 184, 196], [120, 138, 120]])[which]
    colors = base + np.where(checker > 0, 26, -10) + (8 * np.sin(11 * points_world)).astype(int)
    return rays * depth[..., None], np.clip(colors, 0, 255).astype(np.uint8)


def estimate(
    number: int,
    people=(),
    *,
    world_from_camera: np.ndarray | None = None,
    stamp_ns: int | None = None,
) -> tuple[Frame, FrameEstimate]:
    """One frame of the room; people stand in the camera frame."""
    pose = np.eye(4) if world_from_camera is None else world_from_camera
    images = []
    for camera in (source_camera(), network_camera()):
        points, image = _room(camera, pose)
        mask = np.zeros(points.shape[:2], bool)
        for index, someone in enumerate(sorted(people, key=lambda p: -p.body.head_camera[2])):
            pixels, depth = project(someone.vertices_camera, camera)
            seen = silhouette(pixels, depth, FACES, camera.width_px, camera.height_px)
            scale = someone.body.head_camera[2] / points[seen][:, 2:3]
            points[seen] = points[seen] * scale
            image[seen] = np.array([[60, 70, 100], [120, 60, 50], [60, 100, 70]])[index % 3]
            mask |= seen
        images.append((points, image, mask))
    (_, source_image, _), (points, image, mask) = images
    stamp = number * 100_000_000 if stamp_ns is None else stamp_ns
    return Frame(source_image, stamp), FrameEstimate(
        stamp_ns=stamp,
        session=1,
        frame_index=number,
        geometry=geometry(),
        image=image,
        points_camera=points.astype(np.float32),
        confidence=np.full(image.shape[:2], 5.0, np.float32),
        person_probability=mask.astype(np.float32),
        world_from_camera=pose,
        intrinsics=network_camera(),
        people=tuple(people),
        tracked=tuple(
            TrackedPerson(person.track_id, TrackState.OK, person, None, stamp, stamp, number)
            for person in people
        ),
    )


def walk(count: int = 12) -> Iterator[tuple[Frame, FrameEstimate]]:
    """Two figures walk while the camera moves to the right and turns a little; leave all as is."""
    return iter(_walked(count))


@cache
def _walked(count: int) -> list[tuple[Frame, FrameEstimate]]:
    return list(_steps(count))


def _steps(count: int) -> Iterator[tuple[Frame, FrameEstimate]]:
    for number in range(count):
        share = number / max(1, count - 1)
        angle = -0.12 * share
        pose = np.eye(4)
        pose[:3, :3] = [
            [np.cos(angle), 0, np.sin(angle)],
            [0, 1, 0],
            [-np.sin(angle), 0, np.cos(angle)],
        ]
        pose[:3, 3] = [0.8 * share, 0.0, 0.3 * share]
        camera_from_world = np.linalg.inv(pose)
        places = [[-1.0 + 1.2 * share, 0.65, 3.6], [1.3, 0.65, 4.8 - 1.0 * share]]
        people = [
            person(index + 1, camera_from_world[:3, :3] @ place + camera_from_world[:3, 3], turn)
            for index, (place, turn) in enumerate(zip(places, (0.9, 0.2), strict=True))
        ]
        yield estimate(number, people, world_from_camera=pose)
