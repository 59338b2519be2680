"""HumanArrays of several views to views of the fusion, and fused people to one HumanArray."""

from collections.abc import Mapping, Sequence

import numpy as np
from human3r_msgs.msg import Human, HumanArray, SkeletonInfo
from scipy.spatial.transform import Rotation

from human3r.multiview.fuser import FusedPerson
from human3r.multiview.view import USUAL_SIZE_PX, ViewPeople, view_from_tracked
from human3r.types import PersonEstimate, TrackedPerson, TrackState
from human3r_ros import convert
from human3r_ros.convert import ns_from_time, time_from_ns

_USUAL_FOCAL_SHARE = 0.87
"""Focal length over image width of a lens of 60 degrees."""
_FEWEST_JOINTS = 55


def is_usable(human: Human) -> bool:
    """Whether a person's numbers are complete and finite."""
    joints = np.asarray(human.joint_positions, np.float32)
    rotations = np.asarray(human.joint_rotations, np.float32)
    return (
        len(joints) >= 3 * _FEWEST_JOINTS
        and len(joints) % 3 == 0
        and len(rotations) == 4 * convert.NUM_ROTATING
        and bool(np.isfinite(joints).all() and np.isfinite(rotations).all())
        and bool(np.linalg.norm(rotations.reshape(-1, 4), axis=1).min() > 0.5)
    )


def view_from_message(
    view: str, message: HumanArray, world_from_camera: np.ndarray
) -> tuple[ViewPeople, dict[int, Human]]:
    """The people of a message, and the message of each by number; unusable ones are left out.

    Args:
        view: name of the view.
        message: in the frame of its camera.
        world_from_camera: (4, 4) pose of that frame.
    """
    humans = {human.track_id: human for human in message.humans if is_usable(human)}
    stamp_ns = ns_from_time(message.header.stamp)
    tracked = [_tracked(human) for human in humans.values()]
    focal_px = _focal_px(message)
    size_px = message.image_width, message.image_height
    found = view_from_tracked(
        view,
        stamp_ns,
        tracked,
        world_from_camera,
        focal_px=focal_px,
        size_px=size_px if all(size_px) else USUAL_SIZE_PX,
    )
    return found, humans


def _tracked(human: Human) -> TrackedPerson:
    joints = np.asarray(human.joint_positions, np.float32).reshape(-1, 3)
    covariance = np.asarray(human.body_pose_covariance, np.float32)
    v = human.velocity
    person = PersonEstimate(
        track_id=human.track_id,
        score=float(human.score),
        head_px=np.full(2, np.nan, np.float32),
        body=convert.body_parameters(human),
        joints_camera=joints,
        vertices_camera=np.zeros((0, 3), np.float32),
    )
    return TrackedPerson(
        number=human.track_id,
        state=TrackState(human.track_state),
        person=person,
        velocity_camera=np.array([v.x, v.y, v.z]) if human.velocity_valid else None,
        first_seen_ns=ns_from_time(human.first_seen),
        last_seen_ns=ns_from_time(human.last_seen),
        age_frames=human.age_frames,
        stature_m=float(human.stature),
        covariance=covariance if covariance[0] > 0 else None,
    )


def _focal_px(message: HumanArray) -> float:
    """From pixels and places of a person's joints; of a usual lens where that says nothing."""
    for human in message.humans:
        joints = np.asarray(human.joint_positions, np.float64).reshape(-1, 3)
        pixels = np.asarray(human.joint_pixels, np.float64).reshape(-1, 2)
        if len(pixels) != len(joints):
            continue
        known = np.isfinite(pixels).all(1) & (joints[:, 2] > 0.1)
        slopes = joints[known, 0] / joints[known, 2]
        spread = slopes - slopes.mean() if known.sum() > 2 else np.zeros(0)
        if (spread @ spread) > 1e-4:
            return float(abs(spread @ pixels[known, 0] / (spread @ spread)))
    return _USUAL_FOCAL_SHARE * float(message.image_width or 640)


def fused_array(
    people: Sequence[FusedPerson],
    gone: Sequence[int],
    sources: Mapping[tuple[str, int], Human],
    *,
    stamp_ns: int,
    frame_index: int,
    world: str,
    skeleton_id: str,
    id_prefix: str,
) -> HumanArray:
    """All people in the world, then the last word about numbers that are gone.

    Pixels and boxes in images belong to one camera and are left empty.

    Args:
        people: fused.
        gone: numbers that are not used again.
        sources: what the views said, by view and number.
        stamp_ns: of the moment.
        frame_index: moments since the start.
        world: frame of the message.
        skeleton_id: that of the views.
        id_prefix: begins ids.
    """
    message = HumanArray(
        header=convert.header(stamp_ns, world),
        frame_index=frame_index,
        skeleton_id=skeleton_id,
        scale=1.0,
    )
    message.humans = [_human(person, sources, id_prefix) for person in people]
    message.humans += [
        Human(
            id=f"{id_prefix}{number:05d}",
            track_id=number,
            track_state=Human.TRACK_LOST,
            scene_agreement=float("nan"),
            stature=float("nan"),
        )
        for number in gone
    ]
    return message


def _human(person: FusedPerson, sources: Mapping[tuple[str, int], Human], id_prefix: str) -> Human:
    rotations, joints = person.rotations[None], person.joints_world[None]
    ordered = convert.skeleton_rotations(rotations)[0]
    body, head = (pose[0] for pose in convert.body_poses(rotations, joints))
    covariance = person.covariance.astype(np.float32).ravel()
    seen = [sources[member] for member in person.members if member in sources]
    message = Human(
        id=f"{id_prefix}{person.number:05d}",
        track_id=person.number,
        track_state=int(person.state),
        age_frames=person.age_frames,
        first_seen=time_from_ns(person.first_seen_ns),
        last_seen=time_from_ns(person.last_seen_ns),
        score=person.score,
        body_pose=convert.pose_from_matrix(body),
        body_pose_covariance=covariance,
        head_pose=convert.pose_from_matrix(head),
        velocity_valid=person.velocity_world is not None,
        stature=person.stature_m,
        scene_agreement=float("nan"),
        joint_positions=convert.floats(person.joints_world),
        joint_rotations=convert.floats(Rotation.from_matrix(ordered).as_quat()),
        joint_pixels=convert.floats(np.full((len(person.joints_world), 2), np.nan)),
        betas=convert.floats(person.betas) if all(len(h.betas) for h in seen) else [],
        expression=convert.floats(person.expression) if all(len(h.betas) for h in seen) else [],
        box_pixels=np.full(4, np.nan, np.float32),
    )
    if person.velocity_world is not None:
        message.velocity = convert.vector(person.velocity_world)
    if seen:
        message.box_center = convert.point(_mean([h.box_center for h in seen]))
        message.box_size = convert.vector(_mean([h.box_size for h in seen]))
    return message


def _mean(vectors: Sequence) -> np.ndarray:
    return np.mean([(v.x, v.y, v.z) for v in vectors], axis=0)


def joint_parents(info: SkeletonInfo) -> tuple[int, ...]:
    """Of a skeleton message."""
    return tuple(int(parent) for parent in info.joint_parents)
