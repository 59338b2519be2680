"""The free body's arrays as the people of the synthetic world need them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

from human3r.body.default import default_body_path
from human3r.body.layout import ARRAY_NAMES, check_arrays
from human3r.body.npz import read_arrays
from human3r.body.skeleton import JOINT_NAMES, JOINT_OF_ROTATION, NUM_ROTATIONS

ROTATION = {JOINT_NAMES[joint]: number for number, joint in enumerate(JOINT_OF_ROTATION)}
"""Number of each of the 53 rotations by its joint's name."""
JOINT = {name: number for number, name in enumerate(JOINT_NAMES)}
"""Number of each of the 55 joints by name."""


@dataclass(frozen=True)
class Template:
    """The body in its zero pose: x to the left, y up, z forward, metres."""

    vertices_m: np.ndarray
    """(V, 3) float32."""
    directions: np.ndarray
    """(V, 3, 20) float32: 10 betas, 10 expressions."""
    weights: np.ndarray
    """(V, 55) float32."""
    skin_weights: sparse.csr_matrix
    """(V, 55) the same, without the zeros."""
    faces: np.ndarray
    """(F, 3) int32."""
    joints_m: np.ndarray
    """(55, 3) float64."""
    joint_directions: np.ndarray
    """(55, 3, 10) float64 by beta."""
    landmarks_m: dict[str, np.ndarray]
    """(3,) of each named landmark, metres."""
    owner: np.ndarray
    """(V,) the joint with the largest weight."""
    smoother: sparse.csr_matrix
    """(V, V): mean of the neighbours."""

    @property
    def num_vertices(self) -> int:
        """V."""
        return len(self.vertices_m)

    def owned_by(self, *joints: str) -> np.ndarray:
        """(V,) bool: vertices that move mostly with one of these joints."""
        return np.isin(self.owner, [JOINT[name] for name in joints])


@cache
def body_template() -> Template:
    """The free body, read once per process."""
    path = default_body_path()
    arrays = check_arrays(read_arrays(path, ARRAY_NAMES), path.name)
    regressor = arrays.joint_regressor
    corners = arrays.template[arrays.landmark_vertices]
    landmarks = (corners * arrays.landmark_shares[..., None]).sum(axis=1)
    return Template(
        vertices_m=arrays.template,
        directions=arrays.directions,
        weights=arrays.skin_weights,
        skin_weights=sparse.csr_matrix(arrays.skin_weights),
        faces=arrays.faces.astype(np.int32),
        joints_m=regressor @ arrays.template,
        joint_directions=np.einsum("jv,vck->jck", regressor, arrays.directions[..., :10]),
        landmarks_m=dict(zip(arrays.landmark_names, landmarks, strict=True)),
        owner=arrays.skin_weights.argmax(axis=1),
        smoother=_neighbour_mean(arrays.faces, len(arrays.template)),
    )


def _neighbour_mean(faces: np.ndarray, num_vertices: int) -> sparse.csr_matrix:
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    ones = np.ones(len(edges), np.float32)
    links = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(num_vertices,) * 2)
    links = ((links + links.T) > 0).astype(np.float32).tocsr()
    degree = np.asarray(links.sum(axis=1)).ravel()
    return sparse.diags(1.0 / np.maximum(degree, 1)).astype(np.float32) @ links


def no_rotations(frames: int) -> np.ndarray:
    """(frames, 53, 3, 3) float64 identities."""
    return np.tile(np.eye(3), (frames, NUM_ROTATIONS, 1, 1))
