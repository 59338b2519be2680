"""Pinhole cameras: focal length from a pointmap, projection, the human branch's square image."""

import torch
from jaxtyping import Float
from torch import Tensor

_ITERATIONS = 10
_MIN_RESIDUAL_PX = 1e-8


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
    for _ in range(_ITERATIONS):
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
