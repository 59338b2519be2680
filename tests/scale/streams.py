"""Streams with known truth: a room seen on a known path, in units that are not metres."""

import numpy as np

from human3r.types import FrameEstimate, ImageGeometry, Intrinsics

WIDTH, HEIGHT, FOCAL = 80, 60, 60.0
CAMERA = Intrinsics(FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)
FRAME_NS = 100_000_000
T0 = 1_000 * 1_000_000_000
WALL_M = 5.0
FARTHEST_M = 50.0


def pose(x=0.0, y=0.0, z=1.2, yaw=0.0, pitch=0.2):
    """world_from_camera (4, 4), world z up; pitch looks down."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward], -1)
    matrix[:3, 3] = x, y, z
    return matrix


def room_depth(world_from_camera):
    """(HEIGHT, WIDTH) metres to the floor z = 0 or the wall x = WALL_M, whichever is nearer."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    rays = np.stack([(u - CAMERA.cx) / FOCAL, (v - CAMERA.cy) / FOCAL, np.ones_like(u)], -1)
    turned = rays @ world_from_camera[:3, :3].T
    place = world_from_camera[:3, 3]
    with np.errstate(divide="ignore"):
        floor = np.where(turned[..., 2] < -1e-9, -place[2] / turned[..., 2], np.inf)
        wall = np.where(turned[..., 0] > 1e-9, (WALL_M - place[0]) / turned[..., 0], np.inf)
    return np.minimum(np.minimum(floor, wall), FARTHEST_M)


def estimate(number, true_pose, first, scale=1.0, *, people=(), **more):
    """What a network would say whose unit is ``scale`` metres.

    Args:
        number: of the frame.
        true_pose: world_from_camera, metres.
        first: true pose of the first frame.
        scale: metres per unit.
        people: in network units.
        more: other fields.
    """
    depth = room_depth(true_pose) / scale
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    points = np.stack([(u - CAMERA.cx) / FOCAL, (v - CAMERA.cy) / FOCAL, np.ones_like(u)], -1)
    seen = np.linalg.inv(first) @ true_pose
    seen[:3, 3] /= scale
    values = {
        "stamp_ns": T0 + number * FRAME_NS,
        "session": 0,
        "frame_index": number,
        "geometry": ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        "image": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "points_camera": (points * depth[..., None]).astype(np.float32),
        "confidence": np.full((HEIGHT, WIDTH), 3.0, np.float32),
        "person_probability": np.zeros((HEIGHT, WIDTH), np.float32),
        "world_from_camera": seen,
        "intrinsics": CAMERA,
        "people": tuple(people),
    }
    return FrameEstimate(**{**values, **more})
