"""Who of a HumanArray is passed on: confirmed people whose numbers can be used."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from human3r_msgs.msg import Human, HumanArray

from human3r_bridge.geometry_messages import matrix_from_pose, rotations_from_quaternions

STATE_NAMES = {
    Human.TRACK_NEW: "new",
    Human.TRACK_OK: "ok",
    Human.TRACK_COASTING: "coasting",
    Human.TRACK_LOST: "lost",
}
USUAL_STATURE_M = 1.7
"""Stands in for a stature that is withheld or unknown."""
MAX_PEOPLE = 100
"""Each person becomes topics and frames, so what a message can cause is bounded."""
NUM_JOINTS = 60
"""Rows that the joint indices of Human.msg need."""
NUM_ROTATING = 22

_CONFIRMED = (Human.TRACK_OK, Human.TRACK_COASTING)
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_STATURES_M = (0.3, 2.6)


@dataclass(frozen=True)
class Person:
    """A confirmed person; camera means the optical frame of the array's header."""

    id: str
    track_id: int
    track_state: int
    is_measured: bool
    """Seen in this frame; otherwise the pose is predicted."""
    score: float
    camera_from_body: np.ndarray
    """(4, 4), REP-155 body frame."""
    covariance: np.ndarray | None
    """(6, 6) of camera_from_body: x, y, z, rotation about x, y, z of camera; None when unknown."""
    camera_from_head: np.ndarray
    """(4, 4), REP-155 face frame."""
    velocity_camera: np.ndarray | None
    """(3,) m/s relative to the static world, camera axes; None when unknown."""
    box_center_body: np.ndarray
    """(3,) metres."""
    box_size: np.ndarray
    """(3,) metres: depth, width, height."""
    stature_m: float | None
    joints_camera: np.ndarray
    """(joints, 3) metres, indices as in Human.msg; all finite."""
    rotations: np.ndarray
    """(rotating joints, 3, 3), child in parent, the root in camera."""
    joint_pixels: np.ndarray
    """(joints, 2) of the source image; NaN where there is none."""
    visibility: np.ndarray | None
    """(joints,) 1 visible, 0 hidden, NaN outside the image; None when not computed."""
    box_pixels: np.ndarray
    """(4,) u_min, v_min, u_max, v_max; NaN when unknown."""


def confirmed_people(
    array: HumanArray, refuse: Callable[[str], object] = lambda reason: None
) -> list[Person]:
    """The people of a frame that are confirmed and can be used.

    Args:
        array: one frame.
        refuse: told why a person is left out.
    """
    people: dict[str, Person] = {}
    for human in array.humans:
        if human.track_state not in _CONFIRMED:
            continue
        reason = _trouble(human)
        if not reason and human.id in people:
            reason = f"id {human.id} comes twice in one frame; expected unique ids."
        if not reason and len(people) >= MAX_PEOPLE:
            reason = f"{len(array.humans)} people in one frame; expected at most {MAX_PEOPLE}."
        if reason:
            refuse(f"{reason} The person is left out. Check who publishes the people.")
            continue
        people[human.id] = _person(human)
    return list(people.values())


def _trouble(human: Human) -> str:
    """Why a person cannot be passed on; empty when nothing is wrong."""
    if not _ID.fullmatch(human.id):
        return f"id {human.id[:80]!r}; expected a letter, then letters, digits or underscores."
    joints, rotations = len(human.joint_positions), len(human.joint_rotations)
    if joints % 3 or rotations % 4 or joints < 3 * NUM_JOINTS or rotations < 4 * NUM_ROTATING:
        return (
            f"{human.id} has {joints} numbers of joint positions and {rotations} of rotations; "
            f"expected 3 for each of {NUM_JOINTS} joints or more and 4 for each of {NUM_ROTATING} "
            "or more."
        )
    if len(human.joint_pixels) != joints // 3 * 2:
        return (
            f"{human.id} has {len(human.joint_pixels)} numbers of joint pixels; expected 2 for "
            f"each of {joints // 3} joints."
        )
    if matrix_from_pose(human.body_pose) is None or matrix_from_pose(human.head_pose) is None:
        return f"{human.id} has a body or head pose that is not finite; expected a rigid pose."
    numbers = (human.joint_positions, human.joint_rotations, _xyz(human.box_center))
    if not all(np.isfinite(np.asarray(values)).all() for values in numbers):
        return f"{human.id} has joints or a box that are not finite; expected numbers."
    if np.linalg.norm(_quaternions(human), axis=1).min() < 1e-3:
        return f"{human.id} has a joint rotation of length 0; expected unit quaternions."
    return ""


def _person(human: Human) -> Person:
    quaternions = _quaternions(human)
    quaternions = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    joints = np.asarray(human.joint_positions, np.float64).reshape(-1, 3)
    visibility = np.asarray(human.joint_visibility, np.float64)
    velocity = _xyz(human.velocity)
    is_moving = human.velocity_valid and np.isfinite(velocity).all()
    low_m, high_m = _STATURES_M
    return Person(
        id=human.id,
        track_id=human.track_id,
        track_state=human.track_state,
        is_measured=human.track_state == Human.TRACK_OK,
        score=float(human.score) if np.isfinite(human.score) else 0.0,
        camera_from_body=matrix_from_pose(human.body_pose),
        covariance=_covariance(human),
        camera_from_head=matrix_from_pose(human.head_pose),
        velocity_camera=velocity if is_moving else None,
        box_center_body=_xyz(human.box_center),
        box_size=np.nan_to_num(_xyz(human.box_size), posinf=0.0, neginf=0.0),
        stature_m=float(human.stature) if low_m <= human.stature <= high_m else None,
        joints_camera=joints,
        rotations=rotations_from_quaternions(quaternions),
        joint_pixels=np.asarray(human.joint_pixels, np.float64).reshape(-1, 2),
        visibility=visibility if len(visibility) == len(joints) else None,
        box_pixels=np.asarray(human.box_pixels, np.float64),
    )


def _covariance(human: Human) -> np.ndarray | None:
    covariance = np.asarray(human.body_pose_covariance, np.float64).reshape(6, 6)
    # No estimate is certain: zeros are what a message holds that was never filled in.
    is_known = np.isfinite(covariance).all() and (covariance.diagonal() > 0).all()
    return covariance if is_known else None


def _quaternions(human: Human) -> np.ndarray:
    return np.asarray(human.joint_rotations, np.float64).reshape(-1, 4)


def _xyz(message) -> np.ndarray:
    return np.array([message.x, message.y, message.z])
