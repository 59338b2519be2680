"""What is known of images before the network looks: depth, cameras, poses."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from human3r.errors import ShapeError

_LEAST_POSES = 2
"""One pose alone says nothing about the others."""


@dataclass(frozen=True)
class Priors:
    """Each for all images; what is not known of some is NaN there.

    Raises:
        ShapeError: of other images than the first that is given.
    """

    depth: Float[Tensor, "images height width"] | None = None
    """Along the optical axis, any unit; NaN or 0 where unknown."""
    rays: Float[Tensor, "images height width 2"] | None = None
    """x and y of every pixel's ray at depth 1."""
    world_from_camera: Float[Tensor, "images 4 4"] | None = None
    """In any world and unit."""

    def __post_init__(self) -> None:
        given = [x for x in (self.depth, self.rays, self.world_from_camera) if x is not None]
        if len({len(x) for x in given}) > 1:
            raise ShapeError(
                f"priors of {[tuple(x.shape) for x in given]}; expected as many images in all. "
                "Write NaN where nothing is known."
            )

    def known_depth(
        self,
    ) -> tuple[Bool[Tensor, " images"], Float[Tensor, "images 2 height width"] | None]:
        """Which images have depth, and their planes: depth over its mean, validity."""
        if self.depth is None:
            return torch.zeros(0, dtype=torch.bool), None
        is_valid = torch.isfinite(self.depth) & (self.depth > 0)
        has = is_valid.flatten(1).any(dim=1)
        depth = torch.where(is_valid, self.depth, 0)
        mean = depth.sum() / is_valid.sum().clamp(min=1)
        planes = torch.stack((depth / mean.clamp(min=1e-9), is_valid.to(depth.dtype)), dim=1)
        return has, planes[has]

    def known_rays(
        self,
    ) -> tuple[Bool[Tensor, " images"], Float[Tensor, "images 2 height width"] | None]:
        """Which images have rays, and their planes."""
        if self.rays is None:
            return torch.zeros(0, dtype=torch.bool), None
        has = torch.isfinite(self.rays).flatten(1).all(dim=1)
        return has, self.rays[has].permute(0, 3, 1, 2)

    def known_poses(self) -> tuple[Bool[Tensor, " images"], Float[Tensor, "known 4 4"] | None]:
        """Which images have a pose, and these relative to the first, spread by one on average."""
        if self.world_from_camera is None:
            return torch.zeros(0, dtype=torch.bool), None
        has = torch.isfinite(self.world_from_camera).flatten(1).all(dim=1)
        if int(has.sum()) < _LEAST_POSES:
            return torch.zeros_like(has), None
        poses = self.world_from_camera[has]
        poses = torch.linalg.inv(poses[:1]) @ poses
        # About their middle, so that it is no matter which is the first.
        away = (poses[:, :3, 3] - poses[:, :3, 3].mean(dim=0)).norm(dim=-1).mean()
        scale = torch.where(away > 0, 1 / away.clamp(min=1e-9), torch.ones_like(away))
        return has, torch.cat(
            (torch.cat((poses[:, :3, :3], scale * poses[:, :3, 3:]), dim=2), poses[:, 3:]), dim=1
        )


def rays_of(
    matrices: Float[Tensor, "images 3 3"], height_px: int, width_px: int
) -> Float[Tensor, "images height width 2"]:
    """Rays at depth 1 of pinhole cameras; NaN matrices give NaN rays.

    Args:
        matrices: K, pixels at whole numbers.
        height_px: of the images.
        width_px: of the images.
    """
    v, u = torch.meshgrid(
        torch.arange(height_px, dtype=matrices.dtype, device=matrices.device),
        torch.arange(width_px, dtype=matrices.dtype, device=matrices.device),
        indexing="ij",
    )
    k = matrices[:, None, None]
    return torch.stack(
        ((u - k[..., 0, 2]) / k[..., 0, 0], (v - k[..., 1, 2]) / k[..., 1, 1]), dim=-1
    )
