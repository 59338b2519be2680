"""The skin of a clip's people: the body model of the run, each person with one shape."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from human3r.atomic import sha256_of
from human3r.body import find_body_file, load_body_model
from human3r.body.base import BodyModel
from human3r.body.default import default_body_path
from human3r.body.layout import NUM_EXPRESSIONS
from human3r.body.npz import read_arrays
from human3r.body.skeleton import JOINT_OF_ROTATION, NUM_JOINTS, NUM_ROTATIONS
from human3r.errors import BodyModelError
from human3r.export.clip import Person
from human3r.export.result import Result

log = logging.getLogger(__name__)

_CHECKED, _SAME_BODY_M = 50, 0.015
MAX_INFLUENCES = 4
"""Joints per vertex, as every tool reads them; the rest of the weight goes to these."""


@dataclass(frozen=True)
class Skin:
    """Mesh and skin weights, the same for all people."""

    body: BodyModel
    joints: np.ndarray
    """(vertices, 4) int64: which joints move a vertex."""
    weights: np.ndarray
    """(vertices, 4) float32: how much; rows sum to 1."""

    @property
    def faces(self) -> np.ndarray:
        """(faces, 3) int64 vertex numbers, counter-clockwise from outside."""
        return self.body.faces

    def dense_weights(self) -> Float[np.ndarray, "vertices 55"]:
        """The same weights as a table with a column per joint."""
        table = np.zeros((len(self.joints), NUM_JOINTS), np.float32)
        np.add.at(table, (np.arange(len(table))[:, None], self.joints), self.weights)
        return table

    def betas(self, person: Person) -> Float[np.ndarray, "10"]:
        """The person's shape; where the result does not say it, the one with such bones.

        Bones are linear in the shape, so it is the least-squares solution.
        """
        if np.isfinite(person.betas).all():
            return person.betas
        shapes = torch.from_numpy(np.concatenate([np.zeros((1, 10)), np.eye(10)])).float()
        joints = person.scale * self.body.rest_joints(shapes).numpy().astype(np.float64)
        joints -= joints[:, :1]
        change = (joints[1:] - joints[0]).reshape(10, -1).T
        wanted = (person.rest_joints - joints[0]).ravel()
        return np.linalg.lstsq(change, wanted, rcond=1e-3)[0]

    def rest_vertices(self, person: Person) -> Float[np.ndarray, "vertices 3"]:
        """The skin before posing, face neutral, metres from the pelvis of the rest joints."""
        upright = np.tile(np.eye(3), (NUM_ROTATIONS, 1, 1))
        return self._about_pelvis(person, upright, np.zeros(NUM_EXPRESSIONS))

    def rest_pelvis(self, person: Person) -> Float[np.ndarray, "3"]:
        """Where the pelvis of the unposed body is in the body model's own coordinates, times scale.

        The body models of the SMPL family turn a body about this point.
        """
        betas = torch.from_numpy(self.betas(person).astype(np.float32))[None]
        return person.scale * self.body.rest_joints(betas)[0, 0].numpy().astype(np.float64)

    def vertices(self, person: Person) -> Iterator[Float[np.ndarray, "vertices 3"]]:
        """The skin frame by frame, in the clip's axes, with all influences and the frame's face."""
        for row, rotations in enumerate(person.rotations[:, JOINT_OF_ROTATION]):
            face = person.expressions[row]
            yield self._about_pelvis(person, rotations, face) + person.root[row]

    def _about_pelvis(
        self, person: Person, rotations: np.ndarray, expression: np.ndarray
    ) -> np.ndarray:
        values = (rotations, self.betas(person), expression, np.zeros(3))
        arguments = [torch.from_numpy(np.asarray(value, np.float32))[None] for value in values]
        mesh = self.body(*arguments)
        vertices = mesh.vertices[0] - mesh.joints[0, 0]
        return person.scale * vertices.numpy().astype(np.float64)


def load_skin(result: Result, file: str | Path | None = None) -> Skin:
    """The body model that a run used, from its file.

    Args:
        result: of the run.
        file: the body model; None: where the run found it, or the one that comes with human3r.

    Raises:
        BodyModelError: not there, or another body model than the run's.
    """
    path = find_body_file(Path(file or _file_of(result)))
    if result.body_model_sha256 and sha256_of(path) != result.body_model_sha256:
        raise BodyModelError(
            f"{path}: is another file than the body model {result.body_model!r} of the run, whose "
            f"SHA-256 is {result.body_model_sha256}; shapes mean nothing on it. Name the run's "
            "file with --body-model."
        )
    body = load_body_model(path)
    if not result.body_model_sha256:
        _check_bones(body, result, path)
    if getattr(body, "has_pose_directions", False):
        log.info("pose correctives of %s are not part of a rig: its skin is a few mm off", path)
    joints, weights = strongest(read_arrays(path, ("weights",))["weights"])
    return Skin(body, joints, weights)


def _check_bones(body: BodyModel, result: Result, path: Path) -> None:
    """A bag does not say which file it was: its shapes must give its joints."""
    known = np.flatnonzero(np.isfinite(result.betas).all(axis=1))[:_CHECKED]
    if not len(known):
        return
    values = (result.rotations, result.betas, result.expression, np.zeros((len(result.frame), 3)))
    arguments = [torch.from_numpy(np.asarray(value[known], np.float32)) for value in values]
    posed = result.scale[known, None, None] * body(*arguments).joints[:, :22].numpy()
    seen = result.joints_camera[known, :22]
    centred = [joints - joints.mean(axis=1, keepdims=True) for joints in (posed, seen)]
    off_m = np.linalg.norm(centred[0] - centred[1], axis=-1).mean(axis=1)
    if np.median(off_m) > _SAME_BODY_M:
        raise BodyModelError(
            f"{path}: is not the body model {result.body_model!r} of {result.folder}: its joints "
            f"are {1e3 * np.median(off_m):.0f} mm from those that were recorded. Name the file "
            "with --body-model."
        )


def _file_of(result: Result) -> Path:
    named = Path(result.body_model_file) if result.body_model_file else default_body_path()
    # A result may have been carried to another machine.
    return named if named.exists() else default_body_path()


def strongest(weights: Float[np.ndarray, "vertices joints"]) -> tuple[np.ndarray, np.ndarray]:
    """The strongest joints of every vertex and their weights, made to sum to 1."""
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_INFLUENCES]
    chosen = np.take_along_axis(weights, joints, axis=1).astype(np.float64)
    chosen /= chosen.sum(axis=1, keepdims=True)
    # A joint without weight should not be named: some readers complain.
    return np.where(chosen > 0, joints, 0).astype(np.int64), chosen.astype(np.float32)


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: np.ndarray
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals, outwards, weighted by the areas of the faces around."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
