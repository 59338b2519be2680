"""Triangles that move with the body's joints, and lofts: surfaces through rings."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Piece:
    """A part of a person's looks in the zero pose; metres."""

    vertices_m: np.ndarray
    """(N, 3) float32."""
    weights: np.ndarray
    """(N, 55) float32."""
    faces: np.ndarray
    """(F, 3) int32."""
    uv: np.ndarray
    """(N, 2) float32."""
    face_texture: np.ndarray
    """(F,) int32."""


def join(pieces: list[Piece]) -> Piece:
    """All pieces as one."""
    starts = np.cumsum([0, *[len(piece.vertices_m) for piece in pieces]])
    shifted = [piece.faces + start for piece, start in zip(pieces, starts, strict=False)]
    return Piece(
        np.concatenate([piece.vertices_m for piece in pieces]),
        np.concatenate([piece.weights for piece in pieces]),
        np.concatenate(shifted).astype(np.int32),
        np.concatenate([piece.uv for piece in pieces]),
        np.concatenate([piece.face_texture for piece in pieces]),
    )


def weld(
    vertices_m: np.ndarray,
    weights: np.ndarray,
    faces: np.ndarray,
    corner_uv: np.ndarray,
    key: np.ndarray,
    face_texture: np.ndarray,
) -> Piece:
    """Split vertices that have several texture coordinates: one copy per vertex and key.

    Args:
        vertices_m: (N, 3).
        weights: (N, 55).
        faces: (F, 3).
        corner_uv: (F, 3, 2).
        key: (F, 3) below 64; corners of one vertex with one key share coordinates.
        face_texture: (F,).
    """
    labels = faces.astype(np.int64) * 64 + key
    unique, first, place = np.unique(labels, return_index=True, return_inverse=True)
    vertex = unique // 64
    return Piece(
        vertices_m[vertex].astype(np.float32),
        weights[vertex].astype(np.float32),
        place.reshape(-1, 3).astype(np.int32),
        corner_uv.reshape(-1, 2)[first].astype(np.float32),
        np.asarray(face_texture, np.int32),
    )


def loft(
    rings_m: np.ndarray,
    weights: np.ndarray,
    uv: np.ndarray,
    texture: int,
    *,
    is_closed: bool,
    caps: tuple[bool, bool] = (False, False),
) -> Piece:
    """A surface through rings, the outside on the right of a ring's direction, going down.

    Args:
        rings_m: (R, C, 3).
        weights: (R, C, 55).
        uv: (R, C, 2), or (R, C + 1, 2) where closed: the last column meets the first again.
        texture: number of the texture.
        is_closed: join the last column to the first.
        caps: fill the first and the last ring.
    """
    if is_closed:
        rings_m = np.concatenate([rings_m, rings_m[:, :1]], axis=1)
        weights = np.concatenate([weights, weights[:, :1]], axis=1)
    rows, columns = rings_m.shape[:2]
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel()
    c, d = corner[1:, :-1].ravel(), corner[1:, 1:].ravel()
    faces = [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    vertices, skins, coordinates = (
        [array.reshape(rows * columns, -1)] for array in (rings_m, weights, uv)
    )
    for row, is_capped in zip((0, -1), caps, strict=True):
        if not is_capped:
            continue
        middle = sum(len(part) for part in vertices)
        vertices.append(rings_m[row].mean(0, keepdims=True))
        skins.append(weights[row].mean(0, keepdims=True))
        coordinates.append(uv[row].mean(0, keepdims=True))
        ends = np.stack([corner[row, :-1], corner[row, 1:]], 1)
        ends = ends if row == 0 else ends[:, ::-1]
        faces.append(np.concatenate([ends, np.full((len(ends), 1), middle)], 1))
    joined = np.concatenate(faces).astype(np.int32)
    return Piece(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(skins).astype(np.float32),
        joined,
        np.concatenate(coordinates).astype(np.float32),
        np.full(len(joined), texture, np.int32),
    )
