"""Rigid transforms as 4x4 matrices, named ``a_from_b``."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from human3r.geometry.rotation import matrix_from_quaternion, quaternion_from_matrix


def expand_length(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Vectors whose length l became ``exp(l) - 1``; the network states places in this way."""
    length = vector.norm(dim=-1, keepdim=True)
    return vector / length.clamp_min(1e-8) * length.expm1()


def pose_from_raw(raw: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 7"]:
    """The pose head's seven numbers as translation in metres and unit quaternion, w first, >= 0."""
    quaternion = torch.nn.functional.normalize(raw[..., 3:], dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    return torch.cat((expand_length(raw[..., :3]), quaternion), dim=-1)


def matrix_from_pose(pose: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 4 4"]:
    """4x4 transforms of translations and quaternions (w first)."""
    top = torch.cat((matrix_from_quaternion(pose[..., 3:]), pose[..., :3, None]), dim=-1)
    bottom = pose.new_tensor([0, 0, 0, 1]).expand(*top.shape[:-2], 1, 4)
    return torch.cat((top, bottom), dim=-2)


def pose_from_matrix(matrix: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 7"]:
    """Translations and unit quaternions (w first, >= 0) of 4x4 transforms."""
    return torch.cat((matrix[..., :3, 3], quaternion_from_matrix(matrix[..., :3, :3])), dim=-1)


def invert(a_from_b: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """b_from_a of a rigid transform."""
    rotation = np.swapaxes(a_from_b[..., :3, :3], -1, -2)
    inverse = np.zeros_like(a_from_b)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ a_from_b[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def transform_points(
    a_from_b: Float[np.ndarray, "4 4"], points_b: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 3"]:
    """Points in b as points in a; the points' type is kept."""
    rotation = a_from_b[:3, :3].astype(points_b.dtype)
    return points_b @ rotation.T + a_from_b[:3, 3].astype(points_b.dtype)


def chain(
    world_from_segment: Float[np.ndarray, "4 4"], segment_from_camera: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """world_from_camera, with its rotation made exactly orthonormal again."""
    world_from_camera = world_from_segment @ segment_from_camera
    u, _, vt = np.linalg.svd(world_from_camera[:3, :3])
    world_from_camera[:3, :3] = u @ vt
    return world_from_camera


def chain_segments(
    segment_from_camera: Iterable[Float[np.ndarray, "4 4"]], reset: Iterable[bool]
) -> Float[np.ndarray, "frames 4 4"]:
    """Poses of a whole stream in one world, from poses within segments.

    Args:
        segment_from_camera: pose of every frame, in the camera frame of its segment's start.
        reset: per frame, whether a new segment starts at it (and with the next frame).

    Returns:
        world_from_camera of every frame; world is the first segment's frame.
    """
    world_from_segment = np.eye(4)
    chained = []
    for pose, is_reset in zip(segment_from_camera, reset, strict=True):
        chained.append(chain(world_from_segment, pose))
        if is_reset:
            world_from_segment = chained[-1]
    return np.stack(chained) if chained else np.zeros((0, 4, 4))
