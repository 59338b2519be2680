"""Bodies as chains of joints: where they are after each joint turned a little, and derivatives.

Turns act from the right, ``R Exp(w)``, in the joint's own axes. A point x that hangs on joint j
moves by ``-[x - p_j]x G_j w``, with p_j the joint's place and G_j its axes in the world (Sola,
Deray and Atchuthan 2018, arXiv 1812.01537).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from human3r.body import skeleton
from human3r.body.kinematics import global_rotations
from human3r.refine.residuals.derivatives import cross

NUM_JOINTS = 22
"""Pelvis and body; hands, jaw and eyes ride along."""
_PARENTS = skeleton.JOINT_PARENTS[:NUM_JOINTS]
_NAMES = skeleton.JOINT_NAMES[:NUM_JOINTS]
TURNING = tuple(
    joint for joint, name in enumerate(_NAMES) if not name.endswith(("_foot", "_wrist"))
)
"""Joints whose turns are solved for, the pelvis first."""
SEEN = tuple(
    joint for joint, name in enumerate(_NAMES) if "spine" not in name and "collar" not in name
)
"""Joints that an image shows."""
NUM_UNKNOWNS = 3 + 3 * len(TURNING)
"""Of a frame: shift of the pelvis in the world, then turns."""


def _hangs_on(joint: int) -> np.ndarray:
    """(22,) bool: which joints move, or turn in place, when this one turns."""
    moves = np.arange(NUM_JOINTS) == joint
    for child, parent in enumerate(_PARENTS):
        moves[child] |= parent >= 0 and moves[parent]
    return moves


_MOVES = np.stack([_hangs_on(joint) for joint in TURNING])


@dataclass(frozen=True)
class Posed:
    """Bodies after turns and shifts, world frame."""

    rotations: Float[np.ndarray, "rows 22 3 3"]
    """Each child in its parent; the pelvis in the world."""
    axes: Float[np.ndarray, "rows 22 3 3"]
    """Of each joint in the world."""
    joints: Float[np.ndarray, "rows 22 3"]
    skin: Float[np.ndarray, "rows skin 3"]

    @property
    def points(self) -> Float[np.ndarray, "rows points 3"]:
        """Joints that an image shows, then skin."""
        return np.concatenate([self.joints[:, SEEN], self.skin], axis=1)


@dataclass(frozen=True)
class Chain:
    """A person's bodies over some frames."""

    rotations: Float[np.ndarray, "rows 22 3 3"]
    """As they came; the pelvis's in the world."""
    pelvis: Float[np.ndarray, "rows 3"]
    bones: Float[np.ndarray, "rows 22 3"]
    """From each parent to its child, in the parent's axes."""
    skin: Float[np.ndarray, "rows skin 3"]
    """From the joint that a skin point rides on, in that joint's axes."""
    rides_on: Int[np.ndarray, " skin"]

    @classmethod
    def of(
        cls,
        rotations: Float[np.ndarray, "rows 22 3 3"],
        joints: Float[np.ndarray, "rows 22 3"],
        skin: Float[np.ndarray, "rows skin 3"],
        rides_on: Int[np.ndarray, " skin"],
    ) -> "Chain":
        """From places in the world."""
        axes = global_rotations(rotations)
        parents = np.maximum(_PARENTS, 0)
        bones = _turned_back(axes[:, parents], joints - joints[:, parents])
        skin = _turned_back(axes[:, rides_on], skin - joints[:, rides_on])
        return cls(rotations, joints[:, 0], bones, skin, rides_on)

    def posed(
        self, turn: Float[np.ndarray, "rows turning 3"], shift: Float[np.ndarray, "rows 3"]
    ) -> Posed:
        """Bodies after rotation vectors of the turning joints, and shifts of the pelvis."""
        rotations = self.rotations.copy()
        by = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix()
        rotations[:, TURNING] = rotations[:, TURNING] @ by.reshape(*turn.shape, 3)
        axes = global_rotations(rotations)
        joints = np.repeat((self.pelvis + shift)[:, None], NUM_JOINTS, axis=1)
        for child in range(1, NUM_JOINTS):
            parent = _PARENTS[child]
            along = np.einsum("nij,nj->ni", axes[:, parent], self.bones[:, child])
            joints[:, child] = joints[:, parent] + along
        skin = np.einsum("nsij,nsj->nsi", axes[:, self.rides_on], self.skin)
        return Posed(rotations, axes, joints, skin + joints[:, self.rides_on])

    def derivatives(self, posed: Posed) -> Float[np.ndarray, "rows points 3 unknowns"]:
        """Of ``posed.points`` by shift and turns."""
        points = posed.points
        moved_by = _MOVES[:, [*SEEN, *self.rides_on]]
        result = np.zeros((*points.shape, NUM_UNKNOWNS))
        result[..., :3] = np.eye(3)
        for number, joint in enumerate(TURNING):
            which = np.flatnonzero(moved_by[number])
            lever = points[:, which] - posed.joints[:, joint, None]
            at = slice(3 + 3 * number, 6 + 3 * number)
            of = -cross(lever.reshape(-1, 3)).reshape(*lever.shape, 3) @ posed.axes[:, joint, None]
            result[:, which, :, at] = of
        return result


def _turned_back(axes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("nsji,nsj->nsi", axes, vectors)
