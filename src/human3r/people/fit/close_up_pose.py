"""Hands and jaws of fitted bodies as the close-ups show them, over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.people.close_ups import CloseUp
from human3r.people.fit.fingers import ADULT_STATURE_M, NUM_JOINTS, ORDER, HandSkeleton
from human3r.people.fit.fitter import FittedPerson
from human3r.people.fit.hand_fit import HandEvidence, fit_hands, ray_sigma
from human3r.people.fit.jaw import JawPoser, jaw_rotation
from human3r.people.fit.rotations import matrices, ray_frames, smallest_turn, vectors
from human3r.people.hands import HandLandmarks
from human3r.types import Intrinsics

_WRISTS, _ELBOWS = (20, 21), (18, 19)
_FIRST_FINGERS = (22, 22 + NUM_JOINTS)
"""Rotations of the fingers, left and right."""
_JAW = skeleton.NUM_ROTATIONS - 1
_MAX_WRIST_BEND, _MAX_WRIST_TWIST = np.deg2rad(100), np.deg2rad(120)
"""Of the wrist against the forearm; a hand that would need more is not believed."""
_MAX_MISFIT = 3.0
"""Of a hand in the image, in standard deviations."""
_NEAREST_M, _LEAST_COSINE = 0.1, 0.1
_SEEN_S, _UNSEEN_S, _HOLD_S = 0.12, 0.25, 0.3
"""Time constants of what is seen and of the way back to rest, and how long it is kept before."""

_SeenHand = tuple[np.ndarray, np.ndarray]
"""(3, 3) turn of the palm in camera axes, and (5, 3, 2) bends."""


@dataclass
class _Smoothed:
    """Angles that follow what is seen, and go back to zero when nothing is."""

    values: np.ndarray
    stamp_ns: int | None = None
    seen_ns: int | None = None

    def update(self, seen: np.ndarray | None, stamp_ns: int) -> np.ndarray:
        since_s = 1e-9 * (stamp_ns - (self.stamp_ns if self.stamp_ns is not None else stamp_ns))
        if seen is not None:
            is_new = self.seen_ns is None or stamp_ns - self.seen_ns > 1e9 * _HOLD_S
            share = 1.0 if is_new else 1 - np.exp(-since_s / _SEEN_S)
            self.values = self.values + share * (seen - self.values)
            self.seen_ns = stamp_ns
        elif self.seen_ns is None or stamp_ns - self.seen_ns > 1e9 * _HOLD_S:
            self.values = self.values * np.exp(-since_s / _UNSEEN_S)
        self.stamp_ns = stamp_ns
        return self.values


@dataclass
class _Person:
    bends: list[_Smoothed] = field(
        default_factory=lambda: [_Smoothed(np.zeros((len(ORDER), 3, 2))) for _ in range(2)]
    )
    wrists: list[_Smoothed] = field(
        default_factory=lambda: [_Smoothed(np.zeros(3)) for _ in range(2)]
    )
    jaw: _Smoothed = field(default_factory=lambda: _Smoothed(np.zeros(1)))
    stamp_ns: int = 0


class CloseUpPoser:
    """Turns wrists, fingers and jaws of fitted bodies; whoever has no close-up keeps the rest pose.

    Everything follows from what it is given: the same images give the same bodies.
    """

    def __init__(self, model: BodyModel, *, hands: bool, face: bool, forget_s: float = 3.0) -> None:
        """Start without people.

        Args:
            model: of the bodies.
            hands: whether to pose hands.
            face: whether to pose the jaw.
            forget_s: who is unseen for longer is forgotten.

        Raises:
            BodyModelError: the model lacks the landmarks that this needs.
        """
        self._skeleton = HandSkeleton(model) if hands else None
        self._jaw = JawPoser(model) if face else None
        self._forget_s = forget_s
        self._people: dict[int, _Person] = {}

    def reset(self) -> None:
        """All tracks are removed."""
        self._people = {}

    def update(
        self,
        stamp_ns: int,
        fitted: list[FittedPerson],
        close_ups: Sequence[CloseUp],
        camera: Intrinsics,
    ) -> list[FittedPerson]:
        """The people of an image with their hands and jaws.

        Args:
            stamp_ns: of the image, after the last one's.
            fitted: its people.
            close_ups: of all people with landmarks, in their order.
            camera: of the source image.
        """
        if self._skeleton is None and self._jaw is None:
            return fitted
        hands = self._hands(fitted, close_ups, camera)
        posed = []
        for one in fitted:
            person = self._people.setdefault(one.track_id, _Person())
            person.stamp_ns = stamp_ns
            rotations = one.body.rotations.astype(np.float64)
            if self._skeleton is not None:
                for side in (0, 1):
                    seen = hands.get((one.row, side))
                    _pose_hand(self._skeleton, rotations, person, side, seen)
            if self._jaw is not None:
                face = close_ups[one.row].face
                angle = None if face is None else np.array([self._jaw.angle(face.points_px)])
                rotations[_JAW] = jaw_rotation(person.jaw.update(angle, stamp_ns)[0])
            body = replace(one.body, rotations=rotations.astype(np.float32))
            posed.append(replace(one, body=body))
        oldest_ns = stamp_ns - 1e9 * self._forget_s
        self._people = {k: p for k, p in self._people.items() if p.stamp_ns >= oldest_ns}
        return posed

    def _hands(
        self, fitted: list[FittedPerson], close_ups: Sequence[CloseUp], camera: Intrinsics
    ) -> dict[tuple[int, int], _SeenHand]:
        """By row and side: turn of the palm in camera axes, and bends."""
        seen = [(p, s, close_ups[p.row].hands[s]) for p in fitted for s in (0, 1)]
        seen = [(p, s, hand) for p, s, hand in seen if hand is not None]
        if self._skeleton is None or not seen:
            return {}
        views = [_view(hand, camera) for _, _, hand in seen]
        sizes = [p.stature_m / ADULT_STATURE_M for p, _, _ in seen]
        wrists = [np.linalg.norm(p.joints_camera[_WRISTS[s]]) for p, s, _ in seen]
        given = HandEvidence(
            sides=np.array([s for _, s, _ in seen]),
            rays=np.stack([rays for _, rays in views]),
            sigmas=np.array([ray_sigma(hand.region.side, camera.fx) for _, _, hand in seen]),
            depths_m=np.stack([hand.depths_m for _, _, hand in seen]),
            distances=np.maximum(wrists, _NEAREST_M) / sizes,
        )
        found = fit_hands(self._skeleton, given)
        return {
            (person.row, side): (views[k][0] @ found.palms[k], found.bends[k])
            for k, (person, side, _) in enumerate(seen)
            if found.misfits[k] < _MAX_MISFIT
        }


def _pose_hand(
    skeleton: HandSkeleton,
    rotations: np.ndarray,
    person: _Person,
    side: int,
    seen: _SeenHand | None,
) -> None:
    """Turn wrist and fingers of one hand, in place, as far as what is seen is believed."""
    turn = None if seen is None else _wrist_turn(rotations, side, seen[0])
    bends = None if seen is None or turn is None else seen[1]
    bends = person.bends[side].update(bends, person.stamp_ns)
    turn = person.wrists[side].update(turn, person.stamp_ns)
    wrist, first = _WRISTS[side], _FIRST_FINGERS[side]
    rotations[wrist] = rotations[wrist] @ matrices(turn)
    fingers = skeleton.rotations(bends[None], np.array([side]))[0]
    rotations[first : first + NUM_JOINTS] = fingers


def _view(hand: HandLandmarks, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) to the camera from one that looks straight at the hand, and rays (21, 2) there."""
    points = np.concatenate([hand.pixels, hand.region.centre[None]])
    rays = (points - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    rays = np.concatenate([rays, np.ones((len(rays), 1))], 1)
    camera_from_view = ray_frames(rays[-1])
    seen = rays[:-1] @ camera_from_view
    return camera_from_view, seen[:, :2] / np.maximum(seen[:, 2:], _LEAST_COSINE)


def _wrist_turn(
    rotations: np.ndarray, side: int, camera_from_palm: np.ndarray
) -> np.ndarray | None:
    """(3,) rad: by which the fitted wrist turns on to be as seen; None: no wrist turns so far."""
    camera_from_elbow, joint = np.eye(3), _ELBOWS[side]
    while joint >= 0:
        camera_from_elbow = rotations[joint] @ camera_from_elbow
        joint = skeleton.JOINT_PARENTS[joint]
    wrist = camera_from_elbow.T @ camera_from_palm
    forearm = np.array([1.0 if side == 0 else -1.0, 0.0, 0.0])
    bent = smallest_turn(forearm, wrist @ forearm)
    bend, twist = (float(np.linalg.norm(vectors(r))) for r in (bent, bent.T @ wrist))
    if bend > _MAX_WRIST_BEND or twist > _MAX_WRIST_TWIST:
        return None
    return vectors(rotations[_WRISTS[side]].T @ wrist)
