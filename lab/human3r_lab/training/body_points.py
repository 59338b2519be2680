"""A body model reduced to what the losses look at: every joint, and some of the vertices."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from human3r.body import find_body_file
from human3r.body.layout import ARRAY_NAMES, BodyArrays, check_arrays
from human3r.body.npz import read_arrays
from human3r.body.skeleton import NUM_JOINTS
from human3r.body.smplx import SmplxBody

VERTEX_STRIDE = 8
"""Every so many vertices count in the losses."""


class BodyPoints:
    """Joints and some vertices of people, differentiable.

    The joints become vertices of a smaller body: they are blended from the shape as they are, and
    each moves with itself, so that no full mesh is needed to regress them.

    Args:
        path: body model file in the SMPL-X layout.
        device: where it computes.
        stride: every so many vertices are kept.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device = "cpu",
        stride: int = VERTEX_STRIDE,
    ) -> None:
        file = find_body_file(Path(path))
        arrays = check_arrays(read_arrays(file, ARRAY_NAMES), str(file))
        chosen = np.unique(
            np.concatenate(
                (np.arange(0, len(arrays.template), stride), arrays.landmark_vertices.ravel())
            )
        )
        self.device = torch.device(device)
        self._body = SmplxBody(_reduced(arrays, chosen), file.stem.lower(), device)
        self.num_vertices = len(chosen)
        self.num_joints = len(self._body.joint_names)

    def __call__(
        self, rotations: Tensor, betas: Tensor, expression: Tensor, head_camera: Tensor
    ) -> tuple[Float[Tensor, "people joints 3"], Float[Tensor, "people vertices 3"]]:
        """Joints (55 rotating ones, then landmarks) and vertices in the frame of the root."""
        mesh = self._body(rotations, betas, expression, head_camera)
        return mesh.joints, mesh.vertices[:, : self.num_vertices]


def _reduced(arrays: BodyArrays, chosen: np.ndarray) -> BodyArrays:
    """A body of the chosen vertices followed by the joints as vertices of their own."""
    regress = arrays.joint_regressor
    joints = regress @ arrays.template
    directions = np.einsum("jv,vcd->jcd", regress, arrays.directions)
    correctives = arrays.pose_directions
    if correctives is not None:
        still = np.zeros((NUM_JOINTS, *correctives.shape[1:]), correctives.dtype)
        correctives = np.concatenate((correctives[chosen], still))
    return BodyArrays(
        template=np.concatenate((arrays.template[chosen], joints)).astype(np.float32),
        directions=np.concatenate((arrays.directions[chosen], directions)).astype(np.float32),
        pose_directions=correctives,
        joint_regressor=np.concatenate(
            (np.zeros((NUM_JOINTS, len(chosen))), np.eye(NUM_JOINTS)), axis=1
        ),
        skin_weights=np.concatenate((arrays.skin_weights[chosen], np.eye(NUM_JOINTS))),
        faces=np.zeros((0, 3), np.int64),
        landmark_names=arrays.landmark_names,
        landmark_vertices=np.searchsorted(chosen, arrays.landmark_vertices),
        landmark_shares=arrays.landmark_shares,
    )
