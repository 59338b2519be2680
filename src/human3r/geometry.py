"""Rigid transforms, rotations and cameras.

Rotations: six numbers, quaternions and rotation vectors to matrices, and back. Rigid transforms are
4x4 matrices, named ``a_from_b``. Pinhole cameras: focal length from a pointmap, projection, the
human branch's square image.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "chain",
    "chain_segments",
    "estimate_focal",
    "estimate_focal_median",
    "invert",
    "matrix_from_6d",
    "matrix_from_quaternion",
    "matrix_from_rotation_vector",
    "project",
    "quaternion_from_matrix",
    "rotation_vector_from_matrix",
    "transform_points",
]

_FOCAL_ITERATIONS = 10
_MIN_RESIDUAL_PX = 1e-8


def matrix_from_6d(values: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices from six numbers each, read as a row-major 3x2 matrix.

    The first column is normalised, the second made orthogonal to it, the third is their cross
    product. Numbers of almost no length (below 1e-6) give a matrix that is no rotation.

    Source: Zhou et al. 2019, "On the Continuity of Rotation Representations".
    """
    columns = values.unflatten(-1, (3, 2))
    x = _unit(columns[..., 0])
    y = columns[..., 1] - (x * columns[..., 1]).sum(-1, keepdim=True) * x
    y = _unit(y)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)


def matrix_from_quaternion(
    quaternion_wxyz: Float[Tensor, "*batch 4"],
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions of any length but zero, real part first."""
    w, x, y, z = torch.nn.functional.normalize(quaternion_wxyz, dim=-1).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_matrix(
    rotation: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions (w, x, y, z) with non-negative real part.

    Of the four equivalent formulas, each rotation uses the one with the largest divisor.

    Source: Shepperd 1978, "Quaternion from rotation matrix".
    """
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    yz, zx, xy = (
        r[..., 2, 1] - r[..., 1, 2],
        r[..., 0, 2] - r[..., 2, 0],
        r[..., 1, 0] - r[..., 0, 1],
    )
    sxy, szx, syz = (
        r[..., 1, 0] + r[..., 0, 1],
        r[..., 0, 2] + r[..., 2, 0],
        r[..., 2, 1] + r[..., 1, 2],
    )
    # Row i is the quaternion times four times its i-th number.
    candidates = torch.stack(
        (
            torch.stack((1 + xx + yy + zz, yz, zx, xy), -1),
            torch.stack((yz, 1 + xx - yy - zz, sxy, szx), -1),
            torch.stack((zx, sxy, 1 - xx + yy - zz, syz), -1),
            torch.stack((xy, szx, syz, 1 - xx - yy + zz), -1),
        ),
        dim=-2,
    )
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = best[..., None, None].expand(*best.shape, 1, 4)
    chosen = candidates.gather(-2, index).squeeze(-2)
    chosen = torch.nn.functional.normalize(chosen, dim=-1)
    return torch.where(chosen[..., :1] < 0, -chosen, chosen)


def rotation_vector_from_matrix(
    rotation: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch 3"]:
    """Axis times angle, angle in [0, pi] radians."""
    quaternion = quaternion_from_matrix(rotation)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    sine = xyz.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, w)
    # For small angles sine is angle / 2, so the factor tends to 2 / w.
    tiny = sine < 1e-12
    return xyz * torch.where(tiny, 2 / w, angle / torch.where(tiny, torch.ones_like(sine), sine))


def matrix_from_rotation_vector(
    vector: Float[Tensor, "*batch 3"],
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of axis times angle in radians."""
    half = vector.norm(dim=-1, keepdim=True) / 2
    # torch.sinc(x) is sin(pi x) / (pi x): smooth at zero, where a plain division is not.
    xyz = vector / 2 * torch.sinc(half / torch.pi)
    return matrix_from_quaternion(torch.cat((half.cos(), xyz), dim=-1))


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-6)


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


def estimate_focal(
    points_camera: Float[Tensor, "*batch height width 3"],
    principal_point_px: tuple[float, float] | None = None,
) -> Float[Tensor, "*batch"]:
    """One focal length in pixels per pointmap, by iteratively re-weighted least squares.

    Args:
        points_camera: one point per pixel, camera frame.
        principal_point_px: (u, v); by default (width // 2, height // 2).

    Returns:
        Focal lengths; 0 where the points fit no camera that looks at them.

    Source: Weiszfeld's algorithm for the sum of absolute reprojection errors.
    """
    height, width = points_camera.shape[-3:-1]
    pp_u, pp_v = principal_point_px or (width // 2, height // 2)
    like = {"device": points_camera.device, "dtype": points_camera.dtype}
    v, u = torch.meshgrid(
        torch.arange(height, **like) - pp_v, torch.arange(width, **like) - pp_u, indexing="ij"
    )
    u, v = u.flatten(), v.flatten()
    # The coordinates lie apart: sums over a last axis of two are slow on the CPU.
    x, y, z = points_camera.flatten(-3, -2).unbind(-1)
    ray_u, ray_v = (x / z).nan_to_num(0, 0, 0), (y / z).nan_to_num(0, 0, 0)
    rays_pixels = ray_u * u + ray_v * v
    rays_rays = ray_u * ray_u + ray_v * ray_v
    focal = rays_pixels.mean(-1) / rays_rays.mean(-1)
    for _ in range(_FOCAL_ITERATIONS):
        off_u, off_v = u - focal[..., None] * ray_u, v - focal[..., None] * ray_v
        residual = (off_u * off_u + off_v * off_v).sqrt()
        weight = residual.clamp_min(_MIN_RESIDUAL_PX).reciprocal()
        focal = (weight * rays_pixels).mean(-1) / (weight * rays_rays).mean(-1)
    return focal.nan_to_num(0, 0, 0).clamp_min(0)


def estimate_focal_median(
    points_camera: Float[Tensor, "*batch height width 3"],
    principal_point_px: tuple[float, float] | None = None,
) -> Float[Tensor, "*batch"]:
    """One focal length in pixels per pointmap: the median of what every pixel says in u and v.

    Arguments and result as in ``estimate_focal``.
    """
    height, width = points_camera.shape[-3:-1]
    pp_u, pp_v = principal_point_px or (width // 2, height // 2)
    like = {"device": points_camera.device, "dtype": points_camera.dtype}
    v, u = torch.meshgrid(
        torch.arange(height, **like) - pp_v, torch.arange(width, **like) - pp_u, indexing="ij"
    )
    x, y, z = points_camera.unbind(-1)
    votes = torch.cat(((u * z / x).flatten(-2), (v * z / y).flatten(-2)), dim=-1)
    return votes.nanmedian(dim=-1).values.nan_to_num(0, 0, 0).clamp_min(0)


def project(
    points_camera: Float[Tensor, "*batch 3"], matrix: Float[Tensor, "3 3"]
) -> Float[Tensor, "*batch 2"]:
    """Pixels (u, v) of camera points; ``matrix`` is the 3x3 calibration matrix."""
    return ((points_camera / points_camera[..., 2:]) @ matrix.T)[..., :2]


def square_offset_px(width_px: int, height_px: int) -> tuple[int, int]:
    """Left and top margin of an image centred in the square around it."""
    side = max(width_px, height_px)
    return (side - width_px) // 2, (side - height_px) // 2


def network_from_square(
    pixels: Float[Tensor, "*batch 2"], square_px: int, width_px: int, height_px: int
) -> Float[Tensor, "*batch 2"]:
    """Places (u, v) in the human branch's square image as places in the network image.

    Both count from the top left corner of the top left pixel. Nothing is clamped.
    """
    left, top = square_offset_px(width_px, height_px)
    scaled = pixels * (max(width_px, height_px) / square_px)
    return torch.stack((scaled[..., 0] - left, scaled[..., 1] - top), dim=-1)
