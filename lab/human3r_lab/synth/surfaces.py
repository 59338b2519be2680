"""Meshes as the arrays that the kernels read: every triangle of a frame in one place."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.visibility import add_vertex_normals


class Surfaces(NamedTuple):
    """Every triangle of a frame."""

    vertices_m: np.ndarray
    """(V, 3) float32, world frame."""
    camera_m: np.ndarray
    """(V, 3) float32, camera frame."""
    normals: np.ndarray
    """(V, 3) float32, world frame, any length; read for smooth faces only."""
    uv: np.ndarray
    """(V, 2) float32."""
    faces: np.ndarray
    """(F, 3) int32."""
    face_texture: np.ndarray
    """(F,) int32."""
    face_group: np.ndarray
    """(F,) int32: faces of one group have no edge between them. Negative: smooth."""
    face_person: np.ndarray
    """(F,) uint8."""


def join_meshes(meshes: Sequence[Mesh], first_group: int) -> Surfaces:
    """All meshes as one set of triangles; normals in the world, nothing in a camera yet."""
    offsets = np.cumsum([0] + [len(mesh.vertices_m) for mesh in meshes])
    faces = [m.faces + o for m, o in zip(meshes, offsets, strict=False)]
    groups = []
    for index, mesh in enumerate(meshes):
        if mesh.is_smooth:
            groups.append(np.full(len(mesh.faces), -(first_group + index)))
        else:
            groups.append(_flat_groups(mesh) + first_group)
            first_group += len(mesh.faces)
    vertices_m = np.concatenate([m.vertices_m for m in meshes]).astype(np.float32, copy=False)
    joined = np.concatenate(faces).astype(np.int32, copy=False)
    uv = np.concatenate([m.uv for m in meshes]).astype(np.float32, copy=False)
    face_texture = np.concatenate([m.face_texture for m in meshes]).astype(np.int32, copy=False)
    normals = np.zeros_like(vertices_m)
    add_vertex_normals(vertices_m, joined, normals)
    people = np.repeat([m.person_id for m in meshes], [len(m.faces) for m in meshes])
    return Surfaces(
        vertices_m,
        np.empty_like(vertices_m),
        normals,
        uv,
        joined,
        face_texture,
        np.concatenate(groups).astype(np.int32),
        people.astype(np.uint8),
    )


def _flat_groups(mesh: Mesh) -> np.ndarray:
    """(F,) a number per set of faces with one normal and one texture."""
    corners = mesh.vertices_m[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    keys = np.c_[np.round(normals * 50).astype(np.int64), mesh.face_texture]
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def stack_surfaces(parts: Sequence[Surfaces]) -> Surfaces:
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    columns = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    columns[Surfaces._fields.index("faces")][len(first.faces) :] += len(first.vertices_m)
    return Surfaces(*columns)
