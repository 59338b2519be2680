"""The body model as the fit needs it: 22 joints and the landmarks, with their derivatives.

Joints and landmarks are linear functions of shape in the rest pose, and each moves rigidly with
one of the 22 joints of trunk and limbs. For joints this is the body model itself; for landmarks on
the skin it leaves out how skin bends near a joint.
"""

from dataclasses import dataclass

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.errors import BodyModelError
from human3r.people.fit.rotations import cross_matrices

NUM_JOINTS = 22
"""Pelvis, trunk, head and limbs to the wrists: what landmarks say something about."""
NUM_LANDMARKS = 33
NUM_TURNS = 3 * NUM_JOINTS
LEFT_HIP, RIGHT_HIP = 23, 24
"""Landmarks, of the 33."""

LANDMARK_POINTS: tuple[str | None, ...] = (
    *("nose", None, "left_eye", None, None, "right_eye", None, "left_ear", "right_ear"),
    *("left_mouth_1", "right_mouth_1", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky1", "right_pinky1"),
    *("left_index1", "right_index1", "left_thumb2", "right_thumb2", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
    *("left_big_toe", "right_big_toe"),
)
"""The body model's joint or landmark nearest to each landmark; None where two would coincide."""

SWAPPED: tuple[int, ...] = (
    *(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9),
    *(index + (1 if index % 2 else -1) for index in range(11, NUM_LANDMARKS)),
)
"""The landmark of the other side."""


@dataclass(frozen=True)
class Posed:
    """Bodies in the camera's axes, the pelvis at the origin."""

    rotations: np.ndarray
    """(people, 22, 3, 3): joint to camera."""
    joints: np.ndarray
    """(people, 22, 3) metres."""
    marks: np.ndarray
    """(people, 2 * marks, 3) metres: where the used landmarks lie in the image, then where those of
    the world landmarks lie; the network does not put both at the same point of a body."""


class LandmarkBody:
    """Poses joints and landmarks of many people, with derivatives; float64."""

    def __init__(
        self,
        model: BodyModel,
        image_offsets: np.ndarray | None = None,
        world_offsets: np.ndarray | None = None,
    ) -> None:
        """Read off a body model.

        Args:
            model: any in the SMPL-X layout; landmarks it does not name are not used.
            image_offsets: (33, 3) metres, where landmarks in the image lie beside the model's
                points, in the axes of the joint they move with; none by default.
            world_offsets: the same of world landmarks.

        Raises:
            BodyModelError: the model lacks points that every fit needs.
        """
        names = list(model.joint_names)
        rows = {i: names.index(n) for i, n in enumerate(LANDMARK_POINTS) if n in names}
        missing = {11, 12, LEFT_HIP, RIGHT_HIP} - set(rows)
        if missing:
            raise BodyModelError(
                f"body model {model.name} has no {LANDMARK_POINTS[min(missing)]}; expected the "
                "joints of SMPL-X. Use the free body, or a model in the SMPL-X layout."
            )
        self.used = np.array(sorted(rows))
        """Which of the 33 landmarks are fitted."""
        self.num_marks = len(self.used)
        self.hips = np.searchsorted(self.used, [LEFT_HIP, RIGHT_HIP])
        """Rows of ``used``."""
        self.parents = np.array(skeleton.JOINT_PARENTS[:NUM_JOINTS])
        none = np.zeros((NUM_LANDMARKS, 3))
        given = (none if o is None else o for o in (image_offsets, world_offsets))
        offsets = np.concatenate([o[self.used] for o in given])
        self._read(model, [rows[i] for i in self.used] * 2, offsets)
        self._find_chains()

    def _read(self, model: BodyModel, rows: list[int], offsets: np.ndarray) -> None:
        places = _rest_places(model)
        slopes = (places[1:] - places[0]).transpose(1, 2, 0)
        parents = np.maximum(self.parents, 0)
        self._bones = places[0, :NUM_JOINTS] - places[0, parents]
        self._bone_slopes = slopes[:NUM_JOINTS] - slopes[parents]
        self.anchors = np.array([_anchor(row, model.joint_parents) for row in rows])
        """Joint each mark moves with."""
        self._marks = places[0, rows] - places[0, self.anchors] + offsets
        self._mark_slopes = slopes[rows] - slopes[self.anchors]
        betas = torch.cat([torch.zeros(1, NUM_BETAS), torch.eye(NUM_BETAS)])
        statures = model.stature(betas).cpu().numpy().astype(float)
        self._stature, self._stature_slopes = statures[0], statures[1:] - statures[0]

    def _find_chains(self) -> None:
        chain = np.eye(NUM_JOINTS, dtype=bool)
        for joint in range(1, NUM_JOINTS):
            chain[joint] |= chain[self.parents[joint]]
        self._chain = chain.astype(float)
        self._marks_of_joint = self._chain[self.anchors]
        self._is_turned = np.repeat(self._marks_of_joint, 3, axis=1)[:, None]

    def stature(self, betas: np.ndarray) -> np.ndarray:
        """(people,) metres, to first order in the shape (people, 10)."""
        return self._stature + betas @ self._stature_slopes

    def betas_of_stature(self, stature_m: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Shapes (people, 10) with the first coefficient changed so that the stature is right."""
        changed = betas.copy()
        changed[:, 0] += (stature_m - self.stature(betas)) / self._stature_slopes[0]
        return changed

    def pose(self, rotations: np.ndarray, betas: np.ndarray) -> Posed:
        """Joints and landmarks.

        Args:
            rotations: (people, 22, 3, 3), child in parent, the root to the camera.
            betas: (people, 10).
        """
        people = len(rotations)
        bones = self._bones + (betas @ self._bone_slopes.reshape(-1, NUM_BETAS).T).reshape(
            people, NUM_JOINTS, 3
        )
        world = np.empty_like(rotations)
        world[:, 0] = rotations[:, 0]
        for joints_of_level, parents in _LEVELS:
            world[:, joints_of_level] = world[:, parents] @ rotations[:, joints_of_level]
        steps = (world[:, self.parents[1:]] @ bones[:, 1:, :, None])[..., 0]
        joints = self._chain[:, 1:] @ steps
        local = self._marks + (betas @ self._mark_slopes.reshape(-1, NUM_BETAS).T).reshape(
            people, -1, 3
        )
        marks = joints[:, self.anchors] + (world[:, self.anchors] @ local[..., None])[..., 0]
        return Posed(world, joints, marks)

    def slopes(self, posed: Posed) -> tuple[np.ndarray, np.ndarray]:
        """How landmarks move.

        Returns:
            (people, 2 * marks, 3, 66) by small turns of the 22 joints, applied after their
            rotation in their own axes; (people, 2 * marks, 3, 10) by shape.
        """
        people, marks = posed.marks.shape[:2]
        # A mark at m turns about a joint at j by (j - m) x axis, for all pairs at once.
        axes = posed.rotations.swapaxes(1, 2).reshape(people, 3, NUM_TURNS)
        about_joints = cross_matrices(posed.joints) @ posed.rotations
        about_joints = about_joints.swapaxes(1, 2).reshape(people, 1, 3, NUM_TURNS)
        turns = cross_matrices(-posed.marks).reshape(people, 3 * marks, 3) @ axes
        turns = turns.reshape(people, marks, 3, NUM_TURNS)
        turns += about_joints
        turns *= self._is_turned
        steps = np.zeros((people, NUM_JOINTS, 3, NUM_BETAS))
        steps[:, 1:] = posed.rotations[:, self.parents[1:]] @ self._bone_slopes[1:]
        shape = self._marks_of_joint @ steps.reshape(people, NUM_JOINTS, -1)
        shape = shape.reshape(people, marks, 3, NUM_BETAS)
        return turns, shape + posed.rotations[:, self.anchors] @ self._mark_slopes


def _rest_places(model: BodyModel) -> np.ndarray:
    """(11, joints, 3) float64: rest pose of the mean shape, then of each coefficient at one."""
    betas = torch.cat([torch.zeros(1, NUM_BETAS), torch.eye(NUM_BETAS)]).to(model.device)
    still = torch.eye(3).expand(len(betas), skeleton.NUM_ROTATIONS, 3, 3).to(model.device)
    expression = torch.zeros(len(betas), NUM_EXPRESSIONS, device=model.device)
    with torch.inference_mode():
        heads = model.rest_joints(betas)[:, skeleton.HEAD]
        joints = model(still, betas, expression, heads).joints
    return joints.cpu().numpy().astype(np.float64)


def _anchor(row: int, parents: tuple[int, ...]) -> int:
    """Of the 22 joints the one that a joint or landmark of the body model moves with."""
    while row >= NUM_JOINTS:
        row = parents[row]
    return row


def _level(joints: tuple[int, ...]) -> tuple[slice, np.ndarray]:
    """Joints as far from the root as each other, which follow one another, and their parents."""
    ours = [joint for joint in joints if joint < NUM_JOINTS]
    rows = slice(ours[0], ours[-1] + 1)
    return rows, np.array(skeleton.JOINT_PARENTS[rows])


_LEVELS = tuple(_level(joints) for joints in skeleton.levels()[1:] if min(joints) < NUM_JOINTS)
