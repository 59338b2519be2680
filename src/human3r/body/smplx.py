"""A body in the SMPL-X file layout: linear blend skinning of many people at once.

Source of the formulas: Loper et al. 2015 (SMPL), eq. 2-10; Pavlakos et al. 2019 (SMPL-X).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from human3r.body import skeleton
from human3r.body.base import BodyMesh
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS, BodyArrays
from human3r.errors import ShapeError


class SmplxBody:
    """``BodyModel`` over the arrays of one file; built with ``human3r.body.load_body_model``.

    Coordinates lie apart, as (people, 3, vertices), until the very end: each step is then either
    one matrix product or a few long vector operations.
    """

    def __init__(self, arrays: BodyArrays, name: str, device: str | torch.device = "cpu") -> None:
        self.name = name
        self.device = torch.device(device)
        self.faces = arrays.faces
        self.num_vertices = len(arrays.template)
        self.joint_names = skeleton.JOINT_NAMES + arrays.landmark_names
        self.joint_parents = skeleton.JOINT_PARENTS + _landmark_parents(arrays)
        self.has_pose_directions = arrays.pose_directions is not None
        self._template = self._constant(arrays.template.T.reshape(1, -1))
        self._blend = self._constant(_planar_rows(arrays))
        self._weights = self._constant(arrays.skin_weights.T)
        regress = arrays.joint_regressor
        joint_directions = np.einsum("jv,vcd->djc", regress, arrays.directions)
        self._rest_template = self._constant((regress @ arrays.template).reshape(1, -1))
        self._rest_blend = self._constant(joint_directions.reshape(len(joint_directions), -1))
        self._landmark_vertices = torch.from_numpy(arrays.landmark_vertices).to(self.device)
        self._landmark_shares = self._constant(arrays.landmark_shares)
        self._parents = torch.tensor(skeleton.JOINT_PARENTS[1:], device=self.device)
        self._levels = [
            (
                torch.tensor(level, device=self.device),
                torch.tensor([skeleton.JOINT_PARENTS[j] for j in level], device=self.device),
            )
            for level in skeleton.levels()[1:]
        ]
        self._joint_of_rotation = torch.tensor(skeleton.JOINT_OF_ROTATION, device=self.device)

    def _constant(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def __call__(
        self,
        rotations: Float[Tensor, "people 53 3 3"],
        betas: Float[Tensor, "people 10"],
        expression: Float[Tensor, "people 10"],
        head_camera: Float[Tensor, "people 3"],
    ) -> BodyMesh:
        """Posed bodies whose head joint lies at ``head_camera``; see ``BodyModel``.

        Raises:
            ShapeError: an argument of another shape.
        """
        people = len(rotations)
        rotations = self._argument(rotations, (people, skeleton.NUM_ROTATIONS, 3, 3), "rotations")
        betas = self._argument(betas, (people, NUM_BETAS), "betas")
        expression = self._argument(expression, (people, NUM_EXPRESSIONS), "expression")
        head_camera = self._argument(head_camera, (people, 3), "head_camera")

        coefficients = torch.cat([betas, expression], dim=1)
        joint_rotations = self._skeleton_rotations(rotations)
        rest_joints = self._rest_joints(coefficients)
        world_rotations, joints = self._chain(joint_rotations, rest_joints)
        shift = head_camera - joints[:, skeleton.HEAD]
        joints = joints + shift[:, None]
        offsets = joints - (world_rotations @ rest_joints[..., None]).squeeze(-1)
        unposed = self._unposed(coefficients, joint_rotations)
        vertices = self._skin(unposed, world_rotations, offsets)
        return BodyMesh(vertices, torch.cat([joints, self._landmarks(vertices)], dim=1))

    def stature(self, betas: Float[Tensor, "people 10"]) -> Float[Tensor, " people"]:
        """Vertical extent of the rest pose in metres."""
        betas = self._argument(betas, (len(betas), NUM_BETAS), "betas")
        # Heights alone: the second of the three coordinate planes.
        plane = slice(self.num_vertices, 2 * self.num_vertices)
        heights = torch.addmm(self._template[:, plane], betas, self._blend[:NUM_BETAS, plane])
        return heights.amax(dim=1) - heights.amin(dim=1)

    def rest_joints(self, betas: Float[Tensor, "people 10"]) -> Float[Tensor, "people 55 3"]:
        """The 55 rotating joints before posing, metres, body frame, expression zero."""
        betas = self._argument(betas, (len(betas), NUM_BETAS), "betas")
        return self._rest_joints(torch.nn.functional.pad(betas, (0, NUM_EXPRESSIONS)))

    def _argument(self, value: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        tensor = torch.as_tensor(value, dtype=torch.float32, device=self.device)
        if tensor.shape != shape:
            raise ShapeError(
                f"{name}: expected shape {shape}, got {tuple(tensor.shape)}. All arguments "
                "describe the same people, in the same order.",
                shape,
                tuple(tensor.shape),
            )
        return tensor

    def _skeleton_rotations(self, rotations: Tensor) -> Tensor:
        """(people, 55, 3, 3): SMPL-X order, eyes straight."""
        identity = torch.eye(3, device=self.device)
        ordered = identity.repeat(len(rotations), skeleton.NUM_JOINTS, 1, 1)
        return ordered.index_copy(1, self._joint_of_rotation, rotations)

    def _rest_joints(self, coefficients: Tensor) -> Tensor:
        flat = torch.addmm(self._rest_template, coefficients, self._rest_blend)
        return flat.view(-1, skeleton.NUM_JOINTS, 3)

    def _chain(self, rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation and place of every joint in the camera frame, level by level from the root."""
        bones = torch.cat(
            [rest_joints[:, :1], rest_joints[:, 1:] - rest_joints[:, self._parents]], 1
        )
        pose = torch.cat([rotations, bones[..., None]], dim=-1)
        for joints, parents in self._levels:
            parent = pose[:, parents]
            child = parent[..., :3] @ pose[:, joints]
            shift = torch.nn.functional.pad(parent[..., 3:], (3, 0))
            pose = pose.index_copy(1, joints, child + shift)
        return pose[..., :3], pose[..., 3]

    def _unposed(self, coefficients: Tensor, rotations: Tensor) -> Tensor:
        """(people, 3, vertices): template, shape, expression and pose correctives."""
        if self.has_pose_directions:
            identity = torch.eye(3, device=self.device)
            features = (rotations[:, 1:] - identity).flatten(1)
            coefficients = torch.cat([coefficients, features], dim=1)
        flat = torch.addmm(self._template, coefficients, self._blend)
        return flat.view(-1, 3, self.num_vertices)

    def _skin(self, unposed: Tensor, rotations: Tensor, offsets: Tensor) -> Tensor:
        """(people, vertices, 3): every vertex moved by its blend of the joints' transforms."""
        people = len(unposed)
        transforms = torch.cat([rotations, offsets[..., None]], dim=-1).flatten(2)
        blended = (transforms.transpose(1, 2) @ self._weights).view(people, 3, 4, self.num_vertices)
        posed = blended[:, :, 3]
        for axis in range(3):
            posed = torch.addcmul(posed, blended[:, :, axis], unposed[:, axis, None])
        return posed.transpose(1, 2).contiguous()

    def _landmarks(self, vertices: Tensor) -> Tensor:
        corners = vertices[:, self._landmark_vertices]
        return (corners * self._landmark_shares[..., None]).sum(dim=2)


def _planar_rows(arrays: BodyArrays) -> np.ndarray:
    """(coefficients, 3 * vertices): one row per direction, the x of all vertices first."""
    directions = arrays.directions
    if arrays.pose_directions is not None:
        directions = np.concatenate([directions, arrays.pose_directions], axis=2)
    return directions.transpose(2, 1, 0).reshape(directions.shape[2], -1)


def _landmark_parents(arrays: BodyArrays) -> tuple[int, ...]:
    """The joint each landmark mostly moves with."""
    weights = arrays.skin_weights[arrays.landmark_vertices]
    blended = (weights * arrays.landmark_shares[..., None]).sum(axis=1)
    return tuple(int(joint) for joint in blended.argmax(axis=1))
