"""Joints of the fingers: what they can do, and how far they are bent.

The palm gives the turn of the hand; in its axes every link of a finger points somewhere, and each
joint is a universal one that flexes about one axis and spreads about another. So both angles follow
in closed form, from the palm to the tip.
"""

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.errors import BodyModelError
from human3r.people.fit.rotations import matrices
from human3r.people.hands import FINGERS, NUM_POINTS, SIDES, WRIST

NUM_JOINTS = 15
ORDER = ("index", "middle", "pinky", "ring", "thumb")
"""Fingers as the skeleton has them, three joints each."""
_THUMB = 4
"""Row of the thumb, whose root is no part of the palm."""
_POINTS = np.array([FINGERS[finger] for finger in ORDER])
_LIMITS = np.deg2rad(
    [[(-30, 95, 25), (-8, 115, 0), (-15, 85, 0)]] * 4
    + [[(-40, 55, 45), (-20, 65, 0), (-25, 85, 0)]]
)
"""(5, 3, 3) rad: least and most flexion, and most spread to either side, per finger and joint."""
LEAST = np.stack([_LIMITS[..., 0], -_LIMITS[..., 2]], -1)
MOST = np.stack([_LIMITS[..., 1], _LIMITS[..., 2]], -1)
"""(5, 3, 2) rad: what joints can do, as ``HandSkeleton.bends`` has them."""
PALM_LENGTHS_M = np.array([0.095, 0.092, 0.083, 0.087, 0.042])
LINK_LENGTHS_M = np.array(
    [
        [0.044, 0.026, 0.021],
        [0.049, 0.030, 0.022],
        [0.036, 0.021, 0.020],
        [0.045, 0.028, 0.022],
        [0.045, 0.034, 0.027],
    ]
)
"""From the wrist to each finger's first joint, and from joint to joint to the tip, of an average
adult; rounded, within a millimetre or two of published hand surveys."""
ADULT_STATURE_M = 1.70


class HandSkeleton:
    """The hands of one body model: axes of its joints, with links as long as people's.

    Joints turn as the body's do. Links are as long as those of an average adult, since landmark
    networks put points on real hands, and a body's joints may lie elsewhere along a finger.
    """

    def __init__(self, model: BodyModel) -> None:
        """Read the hands off a body model.

        Raises:
            BodyModelError: the model has no finger tips.
        """
        places = dict(zip(model.joint_names, _rest(model), strict=True))
        missing = [f"{s}_{f}" for s in SIDES for f in ORDER if f"{s}_{f}" not in places]
        if missing:
            raise BodyModelError(
                f"body model {model.name} has no landmark {missing[0]}; expected the tips of all "
                "fingers for people.hands. Use the free body, or switch people.hands off."
            )
        hands = [_Hand(places, side) for side in SIDES]
        self._palms = np.stack([hand.palm for hand in hands])
        self._axes = np.stack([hand.axes for hand in hands])

    def palms(self, points: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """(n, 3, 3) turns from the rest pose of palms, by least squares.

        Args:
            points: (n, 21, 3) landmarks, any place.
            sides: (n,) indices into ``SIDES``.

        Source: Kabsch 1976, "A solution for the best rotation to relate two sets of vectors".
        """
        seen = (points[:, _POINTS[:, 0]] - points[:, [WRIST]])[:, :_THUMB]
        u, _, vt = np.linalg.svd(_unit(seen).swapaxes(1, 2) @ self._palms[sides, :_THUMB])
        signs = np.ones((len(points), 3))
        signs[:, 2] = np.sign(np.linalg.det(u @ vt))
        return (u * signs[:, None]) @ vt

    def bends(self, points: np.ndarray, sides: np.ndarray, palms: np.ndarray) -> np.ndarray:
        """(n, 5, 3, 2) rad: flexion and spread of every joint, within their limits.

        Each link's direction, in the axes of the joint before it, gives both angles.

        Args:
            points: (n, 21, 3) landmarks, any place.
            sides: (n,) indices into ``SIDES``.
            palms: (n, 3, 3) of ``palms``.
        """
        links = _unit(np.diff(points[:, _POINTS], axis=2)) @ palms[:, None]
        axes = self._axes[sides]
        found = np.zeros((len(points), len(ORDER), 3, 2))
        turned = np.tile(np.eye(3), (len(points), len(ORDER), 1, 1))
        for joint in range(3):
            local = (turned.swapaxes(-1, -2) @ links[:, :, joint, :, None])[..., 0]
            along, about, curl = ((local * axes[:, :, joint, k]).sum(-1) for k in range(3))
            angles = np.stack([np.arctan2(curl, along), -np.arcsin(np.clip(about, -1, 1))], -1)
            found[:, :, joint] = np.clip(angles, LEAST[:, joint], MOST[:, joint])
            turned = turned @ _turns(found[:, :, joint], axes[:, :, joint])
        return found

    def rotations(self, bends: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """(n, 15, 3, 3) rotations of finger joints, child in parent, in the skeleton's order."""
        return _turns(bends, self._axes[sides]).reshape(-1, NUM_JOINTS, 3, 3)

    def pose(
        self, palms: np.ndarray, bends: np.ndarray, sides: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points of an average adult's hands, and the axes about which they turn.

        Args:
            palms: (n, 3, 3) turns of the palms.
            bends: (n, 5, 3, 2) rad.
            sides: (n,) indices into ``SIDES``.

        Returns:
            (n, 21, 3) metres from the wrist; (n, 5, 3, 2, 3) unit axes of flexion and spread.
        """
        axes = self._axes[sides]
        points = np.zeros((len(palms), NUM_POINTS, 3))
        about = np.zeros((len(palms), len(ORDER), 3, 2, 3))
        turned = np.repeat(palms[:, None], len(ORDER), 1)
        place = (self._palms[sides] * PALM_LENGTHS_M[:, None]) @ palms.swapaxes(1, 2)
        points[:, _POINTS[:, 0]] = place
        for joint in range(3):
            along, flexion, curl = (axes[:, :, joint, k] for k in range(3))
            about[:, :, joint, 0] = _rotated(turned, flexion)
            turned = turned @ matrices(bends[:, :, joint, :1] * flexion)
            about[:, :, joint, 1] = _rotated(turned, curl)
            turned = turned @ matrices(bends[:, :, joint, 1:] * curl)
            place = place + _rotated(turned, along) * LINK_LENGTHS_M[:, joint, None]
            points[:, _POINTS[:, joint + 1]] = place
        return points, about


class _Hand:
    """One hand of the rest pose.

    Attributes:
        palm: (5, 3) unit vectors from the wrist to the first joints.
        axes: (5, 3, 3, 3) per joint its link's direction, the axis of flexion, and where the link
            goes when it flexes.
    """

    def __init__(self, places: dict[str, np.ndarray], side: str) -> None:
        first = np.stack([places[f"{side}_{finger}1"] for finger in ORDER])
        self.palm = _unit(first - places[f"{side}_wrist"])
        index, pinky = (ORDER.index(finger) for finger in ("index", "pinky"))
        inwards = np.cross(self.palm[pinky], self.palm[index]) * (1 if side == "left" else -1)
        across = first[pinky] - first[index]
        self.axes = np.zeros((len(ORDER), 3, 3, 3))
        for row, finger in enumerate(ORDER):
            names = [f"{side}_{finger}{link}" for link in ("1", "2", "3", "")]
            along = _unit(np.diff(np.stack([places[name] for name in names]), axis=0))
            about = _unit(np.cross(along, across if finger == "thumb" else inwards))
            self.axes[row] = np.stack([along, about, np.cross(about, along)], 1)


def _turns(bends: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3): first the spread about where the link curls to, then the flexion."""
    flexed = matrices(bends[..., :1] * axes[..., 1, :])
    return flexed @ matrices(bends[..., 1:] * axes[..., 2, :])


def _rotated(rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (rotations @ vectors[..., None])[..., 0]


def _rest(model: BodyModel) -> np.ndarray:
    """(joints, 3) float64 of the mean shape."""
    device = model.device
    still = torch.eye(3, device=device).expand(1, skeleton.NUM_ROTATIONS, 3, 3)
    betas = torch.zeros(1, NUM_BETAS, device=device)
    expression = torch.zeros(1, NUM_EXPRESSIONS, device=device)
    with torch.inference_mode():
        head = model.rest_joints(betas)[:, skeleton.HEAD]
        joints = model(still, betas, expression, head).joints[0]
    return joints.cpu().numpy().astype(np.float64)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)
