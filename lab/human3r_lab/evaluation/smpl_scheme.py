"""Predicted and true people in the joints of the SMPL benchmarks.

Predicted SMPL-X vertices become SMPL vertices by a sparse matrix, both sides' vertices become
joints by a regressor. Source: the evaluation protocol of Human3R (arXiv 2510.06219).
"""

from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.base import BodyModel
from human3r.body.skeleton import HEAD, NUM_ROTATIONS, SMPLX_NUM_VERTICES
from human3r.errors import BodyModelError, InputError
from human3r_lab.datasets.pickled_annotations import read_pickled
from human3r_lab.datasets.recorded import RecordedPerson
from human3r_lab.evaluation.smpl_body import SmplBody
from human3r_lab.evaluation.truth import PosedBodies

SMPL_NUM_VERTICES = 6890
FOOT_VERTICES = (3216, 3387, 6617, 6787)
_H36M_JOINTS = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
"""The 14 of Human3.6M's 17 that 3DPW is evaluated on, ankles first, head last."""
_FILES_ADVICE = (
    "--smpl-regressors names a folder with smplx2smpl.pkl (SMPL-X vertices to SMPL vertices), "
    "J_regressor_h36m.npy (for 3DPW) and the SMPL files SMPL_MALE, SMPL_FEMALE, SMPL_NEUTRAL "
    "(.pkl or .npz); for RICH also SMPLX_MALE.npz and SMPLX_FEMALE.npz. They come from "
    "https://smpl.is.tue.mpg.de and https://smpl-x.is.tue.mpg.de after registration, the matrix "
    "and the regressor with the published evaluation tools of the benchmarks."
)


class SmplScheme:
    """Bodies as SMPL vertices and regressed joints.

    Args:
        folder: of the licensed files.
        body_model: of the predictions; must be SMPL-X.
        is_h36m: the 14 joints of 3DPW; otherwise the 24 of SMPL.

    Raises:
        InputError: no folder, or the predictions' body is not SMPL-X.
        BodyModelError: a file is missing or of another layout.
    """

    def __init__(self, folder: Path | None, body_model: BodyModel, *, is_h36m: bool) -> None:
        if folder is None:
            raise InputError(
                f"this benchmark's people are SMPL bodies; expected --smpl-regressors. "
                f"{_FILES_ADVICE}"
            )
        if body_model.num_vertices != SMPLX_NUM_VERTICES:
            raise InputError(
                f"body model {body_model.name} has {body_model.num_vertices} vertices; expected "
                f"SMPL-X with {SMPLX_NUM_VERTICES}, whose vertices can become SMPL's. Weights made "
                "for the free body cannot be evaluated on SMPL benchmarks. Set model.body_model."
            )
        self._folder = folder
        self._smpl_from_smplx = _read_matrix(folder / "smplx2smpl.pkl")
        self._bodies: dict[str, SmplBody] = {}
        self._smplx_bodies: dict[str, BodyModel] = {}
        if is_h36m:
            regressor = _read_regressor(folder / "J_regressor_h36m.npy")[list(_H36M_JOINTS)]
            self.pelvis_joints, self.head_joint = (2, 3), len(_H36M_JOINTS) - 1
        else:
            regressor = self._body("neutral").joint_regressor
            self.pelvis_joints, self.head_joint = (1, 2), HEAD
        self._regressor = csr_matrix(regressor)

    @property
    def faces(self) -> np.ndarray:
        """(faces, 3) triangles of SMPL."""
        return self._body("neutral").faces

    def posed(self, joints: np.ndarray, vertices: np.ndarray) -> PosedBodies:
        """Predicted SMPL-X vertices (people, 10475, 3) in this scheme; joints are not used."""
        return self._from_smpl(np.stack([self._smpl_from_smplx @ body for body in vertices]))

    def true_bodies(
        self, people: tuple[RecordedPerson, ...], camera_from_world: np.ndarray
    ) -> PosedBodies:
        """Annotated people in the camera frame.

        Raises:
            BodyModelError: the file of a gender is missing.
        """
        rotation, translation = camera_from_world[:3, :3], camera_from_world[:3, 3]
        vertices = [self._vertices(person) @ rotation.T + translation for person in people]
        return self._from_smpl(np.stack(vertices) if vertices else np.zeros((0, 0, 3)))

    def _from_smpl(self, vertices: np.ndarray) -> PosedBodies:
        if not len(vertices):
            nothing = np.zeros((0, SMPL_NUM_VERTICES, 3), np.float32)
            joints = np.zeros((0, self._regressor.shape[0], 3), np.float32)  # pyright: ignore[reportOptionalSubscript]
            return PosedBodies(joints, nothing, nothing[:, : len(FOOT_VERTICES)])
        joints = np.stack([self._regressor @ body for body in vertices])
        feet = vertices[:, list(FOOT_VERTICES)]
        return PosedBodies(*(points.astype(np.float32) for points in (joints, vertices, feet)))

    def _vertices(self, person: RecordedPerson) -> np.ndarray:
        """(6890, 3) SMPL vertices in the world."""
        if person.model == "smpl":
            return self._body(person.gender).vertices(
                person.rotation_vectors, person.betas, person.translation_m
            )
        return self._smpl_from_smplx @ self._smplx_vertices(person)

    def _smplx_vertices(self, person: RecordedPerson) -> np.ndarray:
        if person.gender not in self._smplx_bodies:
            path = self._folder / f"SMPLX_{person.gender.upper()}.npz"
            self._smplx_bodies[person.gender] = load_body_model(path)
        body = self._smplx_bodies[person.gender]
        rotations = np.tile(np.eye(3), (1, NUM_ROTATIONS, 1, 1))
        given = len(person.rotation_vectors)
        rotations[0, :given] = Rotation.from_rotvec(person.rotation_vectors).as_matrix()
        betas = np.zeros((1, 10), np.float32)
        betas[0, : len(person.betas)] = person.betas
        with torch.inference_mode():
            shape = torch.from_numpy(betas)
            mesh = body(torch.from_numpy(rotations), shape, torch.zeros(1, 10), torch.zeros(1, 3))
            pelvis = body.rest_joints(shape)[0, 0].numpy()
        # The body model places the head; SMPL-X files place the pelvis at its rest position.
        shift = pelvis + person.translation_m - mesh.joints[0, 0].numpy()
        return mesh.vertices[0].numpy() + shift

    def _body(self, gender: str) -> SmplBody:
        if gender not in self._bodies:
            found = [self._folder / f"SMPL_{gender.upper()}{end}" for end in (".npz", ".pkl")]
            path = next((path for path in found if path.is_file()), found[-1])
            if not path.is_file():
                raise BodyModelError(f"{path}: not there. {_FILES_ADVICE}")
            self._bodies[gender] = SmplBody(path)
        return self._bodies[gender]


def _read_matrix(path: Path) -> csr_matrix:
    matrix = read_pickled(path, _FILES_ADVICE).get("matrix")
    expected = (SMPL_NUM_VERTICES, SMPLX_NUM_VERTICES)
    if not isinstance(matrix, (np.ndarray, csr_matrix)) or matrix.shape != expected:
        raise BodyModelError(f"{path}: has no matrix of shape {expected}. {_FILES_ADVICE}")
    return csr_matrix(matrix, dtype=np.float64)


def _read_regressor(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise BodyModelError(f"{path}: cannot be read ({error}). {_FILES_ADVICE}") from error
    if array.shape != (17, SMPL_NUM_VERTICES):
        raise BodyModelError(
            f"{path}: has shape {array.shape}, expected (17, {SMPL_NUM_VERTICES}). {_FILES_ADVICE}"
        )
    return np.array(array, np.float64)
