"""Rotations: six numbers, quaternions and rotation vectors to matrices, and back."""

import torch
from jaxtyping import Float
from torch import Tensor


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
