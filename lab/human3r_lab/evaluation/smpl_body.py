"""SMPL: parameters of a licensed body to joints and vertices, for the truth of benchmarks.

Source of the formulas: Loper et al. 2015 (SMPL), eq. 2-10.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.body.npz import read_arrays
from human3r.body.pickled_model import read_pickled_arrays
from human3r.errors import BodyModelError

NUM_JOINTS = 24
NUM_BETAS = 10
_NAMES = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_ADVICE = (
    "Get SMPL (1.0.0 or 1.1.0) from https://smpl.is.tue.mpg.de after registration, and name the "
    "files SMPL_MALE, SMPL_FEMALE and SMPL_NEUTRAL, .pkl or .npz."
)


class SmplBody:
    """One gender's body.

    Args:
        path: the distributed file, pickle (read as data) or npz.

    Attributes:
        faces: (faces, 3) vertex numbers.
        joint_regressor: (24, vertices) rest joints from rest vertices.

    Raises:
        BodyModelError: missing, damaged or of another layout.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BodyModelError(f"{path}: no such file. {_ADVICE}")
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
        arrays = (read_arrays if is_zip else read_pickled_arrays)(path, _NAMES)
        missing = [name for name in _NAMES if name not in arrays]
        if missing:
            raise BodyModelError(f"{path}: has no {', '.join(missing)}. {_ADVICE}")
        self._template = arrays["v_template"].astype(np.float64)
        self._shape_directions = arrays["shapedirs"].astype(np.float64)[..., :NUM_BETAS]
        self._pose_directions = arrays["posedirs"].astype(np.float64)
        self._weights = arrays["weights"].astype(np.float64)
        self.joint_regressor = arrays["J_regressor"].astype(np.float64)
        self.faces = arrays["f"].astype(np.int64)
        parents = arrays["kintree_table"].astype(np.int64)[0].copy()
        parents[0] = -1
        self._parents = parents
        self._check(path)

    def vertices(
        self, rotation_vectors: np.ndarray, betas: np.ndarray, translation_m: np.ndarray
    ) -> np.ndarray:
        """(vertices, 3) metres, in the frame of the root rotation and the translation.

        Args:
            rotation_vectors: (24, 3) radians, child in parent.
            betas: (up to 10,).
            translation_m: (3,) added to every vertex.
        """
        shape = np.zeros(self._shape_directions.shape[2])
        shape[: len(betas)] = betas[: len(shape)]
        rest = self._template + self._shape_directions @ shape
        joints = self.joint_regressor @ rest
        rotations = Rotation.from_rotvec(rotation_vectors).as_matrix()
        unposed = rest + self._pose_directions @ (rotations[1:] - np.eye(3)).ravel()
        transforms = self._transforms(rotations, joints)
        blended = np.einsum("vj,jab->vab", self._weights, transforms)
        posed = (blended[:, :, :3] @ unposed[..., None])[..., 0] + blended[:, :, 3]
        return posed + translation_m

    def _transforms(self, rotations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """(24, 3, 4) from rest to posed, joint by joint."""
        places = np.zeros((NUM_JOINTS, 3))
        world = np.zeros((NUM_JOINTS, 3, 3))
        for joint, parent in enumerate(self._parents):
            if parent < 0:
                world[joint], places[joint] = rotations[joint], joints[joint]
                continue
            world[joint] = world[parent] @ rotations[joint]
            places[joint] = places[parent] + world[parent] @ (joints[joint] - joints[parent])
        shift = places - (world @ joints[..., None])[..., 0]
        return np.concatenate([world, shift[..., None]], axis=-1)

    def _check(self, path: Path) -> None:
        count = len(self._template)
        shapes = {
            "v_template": (self._template.shape, (count, 3)),
            "shapedirs": (self._shape_directions.shape[:2], (count, 3)),
            "posedirs": (self._pose_directions.shape, (count, 3, 9 * (NUM_JOINTS - 1))),
            "weights": (self._weights.shape, (count, NUM_JOINTS)),
            "J_regressor": (self.joint_regressor.shape, (NUM_JOINTS, count)),
            "kintree_table": (self._parents.shape, (NUM_JOINTS,)),
        }
        for name, (seen, expected) in shapes.items():
            if seen != expected:
                raise BodyModelError(
                    f"{path}: {name} has shape {seen}, expected {expected}. {_ADVICE}"
                )
        if any(not -1 <= parent < joint for joint, parent in enumerate(self._parents)):
            raise BodyModelError(f"{path}: its joints are no tree. {_ADVICE}")
        arrays = (self._template, self._pose_directions, self._weights, self.joint_regressor)
        if not all(np.isfinite(array).all() for array in arrays):
            raise BodyModelError(f"{path}: holds numbers that are not finite. {_ADVICE}")
