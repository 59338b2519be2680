"""What residuals share: points of cameras and bodies in the world, and how unknowns move them.

Small rotations act from the right, ``R Exp(w)``: d(R Exp(w) x)/dw = -R [x]x (Sola, Deray and
Atchuthan 2018, "A micro Lie theory for state estimation in robotics", arXiv 1812.01537, sections IV
and V). ``[v]x`` is the matrix of a cross product.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from human3r.refine.solver import Block
from human3r.refine.unknowns import Layout, State


def log(rotation: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Rotation vectors."""
    return Rotation.from_matrix(rotation).as_rotvec()


def relative(
    a: Float[np.ndarray, "n 4 4"], b: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "n 4 4"]:
    """a_from_b of poses in one world."""
    result = np.tile(np.eye(4), (len(a), 1, 1))
    inverse = a[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, :3] = inverse @ b[:, :3, :3]
    result[:, :3, 3] = np.einsum("nij,nj->ni", inverse, b[:, :3, 3] - a[:, :3, 3])
    return result


def turned_back(rotation: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """R^T v of each."""
    return np.einsum("nji,nj->ni", rotation, vector)


def cross(vector: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Matrices of ``vector x``."""
    x, y, z = vector.T
    zero = np.zeros_like(x)
    rows = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    return rows.reshape(-1, 3, 3)


def projected(block: np.ndarray, along: np.ndarray | None) -> np.ndarray:
    """Derivatives of a point's coordinate along a direction; None: of all three."""
    return block if along is None else np.einsum("ni,nij->nj", along, block)[:, None, :]


def world(state: State, key: np.ndarray, camera: np.ndarray) -> Float[np.ndarray, "n 3"]:
    """Points of camera frames in the world."""
    return np.einsum("nij,nj->ni", state.rotation[key], camera) + state.centre[key]


def scaled(
    layout: Layout, state: State, key: np.ndarray, place: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """Scene points of key frames with the scales of their chunks."""
    return place * np.exp(state.log_scale[layout.chunk[key]])[:, None]


def of_scene_point(
    layout: Layout,
    state: State,
    key: np.ndarray,
    place: np.ndarray,
    factor: np.ndarray,
    along: np.ndarray,
) -> list[Block]:
    """Derivatives of a scene point in the world by its camera and its chunk's log scale."""
    there = scaled(layout, state, key, place)
    rotation = state.rotation[key]
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    by_camera = np.concatenate([-rotation @ cross(there), identity], axis=2)
    by_scale = rotation @ there[:, :, None]
    at = layout.scale_at + layout.chunk[key]
    return [
        Block(6 * key, projected(by_camera, along) * factor[:, :, None]),
        Block(at, projected(by_scale, along) * factor[:, :, None]),
    ]


def of_body_point(
    layout: Layout,
    state: State,
    key: np.ndarray,
    row: np.ndarray,
    camera: np.ndarray,
    factor: np.ndarray,
    offset: np.ndarray,
    along: np.ndarray | None = None,
) -> list[Block]:
    """Derivatives of a body's point in the world by its camera and its row.

    Args:
        layout: of the unknowns.
        state: where.
        key: of each point.
        row: of each point.
        camera: the point in the camera frame.
        factor: (n, 1) of the residual.
        offset: of the point from the pelvis, turned.
        along: (n, 3) direction along which the residual is measured; None: all three.
    """
    rotation = state.rotation[key]
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    by_camera = np.concatenate([-rotation @ cross(camera), identity], axis=2)
    by_row = np.concatenate([rotation, -rotation @ cross(offset)], axis=2)
    by_camera, by_row = (projected(block, along) for block in (by_camera, by_row))
    return [
        Block(6 * key, by_camera * factor[:, :, None]),
        Block(layout.row_at + 6 * row, by_row * factor[:, :, None]),
    ]


def mean_scale(state: State) -> float:
    """Of all chunks, in which misfits of the scene are measured.

    In metres, a smaller scene would always fit better.
    """
    return float(np.exp(state.log_scale.mean()))


def of_mean_scale(layout: Layout, values: np.ndarray) -> Block:
    """Derivative of residuals that were divided by the mean scale."""
    count = layout.num_chunks
    shared = np.repeat(-values[:, :, None] / count, count, axis=2)
    return Block(np.full(len(values), layout.scale_at), shared)
