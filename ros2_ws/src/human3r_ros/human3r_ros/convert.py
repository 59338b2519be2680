"""Pure functions between messages and core types; no node, no middleware.

Arrays go into messages as ``array.array``, the one type that every client library takes without
walking through it item by item.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from human3r_msgs.msg import Human, HumanArray, SkeletonInfo
from nav_msgs.msg import Odometry
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from human3r.body.skeleton import published_joints
from human3r.types import BodyParameters, FrameEstimate, Intrinsics, TrackedPerson
from human3r_ros import bodies

if TYPE_CHECKING:
    from human3r.body.base import BodyModel

_SECOND_NS = 1_000_000_000


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds as a message."""
    return Time(sec=stamp_ns // _SECOND_NS, nanosec=stamp_ns % _SECOND_NS)


def ns_from_time(stamp: Time) -> int:
    """A message's time as nanoseconds."""
    return stamp.sec * _SECOND_NS + stamp.nanosec


_UNKNOWN_VARIANCE = 1e6
"""Of an unknown quantity, in square SI units: a filter gives it no weight."""


@dataclass(frozen=True)
class Skeleton:
    """How the joint arrays of Human are to be read."""

    skeleton_id: str
    """Short hash of all below."""
    body_model: str
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joint_indices: np.ndarray
    """Rows of ``PersonEstimate.joints_camera`` that are published."""
    num_betas: int = 10
    num_expression: int = 10
    num_rotating: int = bodies.NUM_ROTATING


@dataclass(frozen=True)
class FrameContext:
    """What messages about one frame need beside the estimate."""

    stamp_ns: int
    frame_id: str
    session: int
    camera: Intrinsics
    """Camera of the source image: calibrated where known, else estimated."""
    level_from_camera: np.ndarray
    """(4, 4)"""
    skeleton: Skeleton
    id_prefix: str
    with_shape: bool = True
    scale: float = 1.0
    """Size of the bodies relative to what their shape coefficients mean."""
    raw_from_image: bodies.PixelMap | None = None
    """Pixels of the image as it came, from those of the image without distortion."""


def skeleton_from_body(body_model: "BodyModel") -> Skeleton:
    """The skeleton that is published for a body model.

    Raises:
        BodyModelError: the model lacks the landmarks of the face.
    """
    indices = published_joints(tuple(body_model.joint_names))
    names = tuple(body_model.joint_names[i] for i in indices)
    parents = tuple(int(body_model.joint_parents[i]) for i in indices)
    content = repr((body_model.name, 10, 10, bodies.NUM_ROTATING, names, parents))
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]
    return Skeleton(digest, body_model.name, names, parents, indices)


def skeleton_message(skeleton: Skeleton, stamp_ns: int) -> SkeletonInfo:
    """The latched explanation of the joint arrays."""
    return SkeletonInfo(
        header=header(stamp_ns, ""),
        skeleton_id=skeleton.skeleton_id,
        body_model=skeleton.body_model,
        num_betas=skeleton.num_betas,
        num_expression=skeleton.num_expression,
        num_rotating=skeleton.num_rotating,
        joint_names=list(skeleton.joint_names),
        joint_parents=array("h", skeleton.joint_parents),
    )


def human_array(estimate: FrameEstimate, context: FrameContext) -> HumanArray:
    """Everyone known after one frame: the measured in their order, then the predicted."""
    message = empty_human_array(context)
    message.frame_index = estimate.frame_index
    message.camera_pose_valid = bool(np.isfinite(context.level_from_camera).all())
    if message.camera_pose_valid:
        message.camera_pose = pose_from_matrix(context.level_from_camera)
    message.humans = humans(estimate.tracked, context)
    return message


def empty_human_array(context: FrameContext) -> HumanArray:
    """No people: also the closing message of a stream."""
    return HumanArray(
        header=header(context.stamp_ns, context.frame_id),
        session=context.session,
        skeleton_id=context.skeleton.skeleton_id,
        scale=context.scale,
        image_width=context.camera.width_px,
        image_height=context.camera.height_px,
    )


def humans(people: Sequence[TrackedPerson], context: FrameContext) -> list[Human]:
    """People, SMPL-X conventions turned into those of Human.msg."""
    if not people:
        return []
    persons = [tracked.person for tracked in people]
    # All people's numbers in one call each: a call costs more than its contents.
    rotations = np.stack([person.body.rotations for person in persons])
    all_joints = np.stack([person.joints_camera for person in persons])
    joints = all_joints[:, context.skeleton.joint_indices]
    pixels = bodies.project(joints, context.camera, context.raw_from_image)
    camera_from_body, camera_from_head = bodies.body_poses(rotations, all_joints)
    frames = np.stack([camera_from_body, camera_from_head], axis=1)[..., :3, :3]
    turned = np.concatenate([bodies.skeleton_rotations(rotations), frames], axis=1)
    quaternions = bodies.quaternions_xyzw(turned.reshape(-1, 3, 3)).reshape(*turned.shape[:2], 4)
    return [
        _human(*one, context)
        for one in zip(
            *(people, joints, pixels, quaternions, camera_from_body, camera_from_head),
            strict=True,
        )
    ]


def _human(
    tracked: TrackedPerson,
    joints: np.ndarray,
    pixels: np.ndarray,
    quaternions: np.ndarray,
    camera_from_body: np.ndarray,
    camera_from_head: np.ndarray,
    context: FrameContext,
) -> Human:
    person, velocity, covariance = tracked.person, tracked.velocity_camera, tracked.covariance
    columns = np.ascontiguousarray(person.vertices_camera.T)
    box_center, box_size = bodies.body_box(columns, camera_from_body)
    box, truncated = bodies.pixel_box(columns, context.camera, context.raw_from_image)
    message = Human(
        id=f"{context.id_prefix}{tracked.number:05d}",
        track_id=tracked.number,
        track_state=int(tracked.state),
        age_frames=tracked.age_frames,
        first_seen=time_from_ns(tracked.first_seen_ns),
        last_seen=time_from_ns(tracked.last_seen_ns),
        score=float(person.score),
        body_pose=_pose(camera_from_body[:3, 3], quaternions[-2]),
        body_pose_covariance=_unknown_covariance() if covariance is None else covariance,
        head_pose=_pose(camera_from_head[:3, 3], quaternions[-1]),
        velocity_valid=velocity is not None,
        box_center=point(box_center),
        box_size=vector(box_size),
        stature=tracked.stature_m if context.with_shape else float("nan"),
        scene_agreement=float("nan"),
        joint_positions=floats(joints),
        joint_rotations=floats(quaternions[:-2]),
        joint_pixels=floats(pixels),
        box_pixels=box,
        truncated=truncated,
    )
    if velocity is not None:
        message.velocity = vector(velocity)
    if tracked.visibility is not None:
        message.joint_visibility = floats(tracked.visibility.joints)
        message.scene_agreement = tracked.visibility.scene_agreement_m
    if context.with_shape:
        message.betas = floats(person.body.betas)
        message.expression = floats(person.body.expression)
    return message


def body_parameters(message: Human) -> BodyParameters:
    """The network's body parameters of a published person, for rebuilding its mesh.

    Shape and expression are zero where the message leaves them out.
    """
    quaternions = np.asarray(message.joint_rotations, np.float64).reshape(-1, 4)
    matrices = Rotation.from_quat(quaternions).as_matrix().astype(np.float32)
    rotations = np.concatenate([matrices[:22], matrices[25:55], matrices[22:23]])
    joints = np.asarray(message.joint_positions, np.float32).reshape(-1, 3)
    shape, expression = np.zeros(10, np.float32), np.zeros(10, np.float32)
    shape[: len(message.betas)] = message.betas
    expression[: len(message.expression)] = message.expression
    return BodyParameters(rotations, shape, expression, joints[15].copy())


def odometry(
    stamp_ns: int,
    level: str,
    base: str,
    level_from_base: np.ndarray,
    twist: np.ndarray,
    stddev: tuple[float, float],
    window_s: float | None = None,
    drift: np.ndarray | None = None,
) -> Odometry:
    """Pose of the base in the level frame and its motion in its own frame.

    Args:
        stamp_ns: of the image.
        level: parent frame.
        base: child frame.
        level_from_base: (4, 4).
        twist: (6,) linear m/s, angular rad/s, in the child frame.
        stddev: of position in metres and of rotation in radians: a constant diagonal.
        window_s: time between the two poses whose difference is the twist; None where there is
            one only, so that the twist is unknown. The variance of a difference is the sum of
            both; a filter would take 0 for exact, and -1 has no meaning in Odometry.
        drift: (6, 6) what the pose may be off by now, where that is known; added to the diagonal.
    """
    message = Odometry(header=header(stamp_ns, level), child_frame_id=base)
    message.pose.pose = pose_from_matrix(level_from_base)
    variances = np.square(np.repeat(np.array(stddev, np.float64), 3))
    message.pose.covariance = (np.diag(variances) + (0.0 if drift is None else drift)).ravel()
    message.twist.twist.linear = vector(twist[:3])
    message.twist.twist.angular = vector(twist[3:])
    twist_variances = 2.0 * variances / window_s**2 if window_s else np.full(6, _UNKNOWN_VARIANCE)
    message.twist.covariance = np.diag(np.minimum(twist_variances, _UNKNOWN_VARIANCE)).ravel()
    return message


def header(stamp_ns: int, frame_id: str) -> Header:
    """A header with this stamp, bit for bit."""
    return Header(stamp=time_from_ns(stamp_ns), frame_id=frame_id)


def pose_from_matrix(a_from_b: np.ndarray) -> Pose:
    """A rigid transform (4, 4) as position and unit quaternion."""
    return _pose(a_from_b[:3, 3], bodies.quaternions_xyzw(a_from_b[None, :3, :3])[0])


def _pose(position: np.ndarray, quaternion_xyzw: np.ndarray) -> Pose:
    x, y, z, w = quaternion_xyzw.tolist()
    return Pose(position=point(position), orientation=Quaternion(x=x, y=y, z=z, w=w))


def matrix_from_pose(pose: Pose) -> np.ndarray:
    """A pose as rigid transform (4, 4)."""
    q, p = pose.orientation, pose.position
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    matrix[:3, 3] = p.x, p.y, p.z
    return matrix


def point(xyz: np.ndarray) -> Point:
    """Three numbers as a point."""
    x, y, z = xyz.tolist()
    return Point(x=x, y=y, z=z)


def vector(xyz: np.ndarray) -> Vector3:
    """Three numbers as a vector."""
    x, y, z = xyz.tolist()
    return Vector3(x=x, y=y, z=z)


def floats(values: np.ndarray) -> array:
    """Numbers as a field of float32 takes them."""
    numbers = array("f")
    numbers.frombytes(np.ascontiguousarray(values, np.float32).data.cast("B"))
    return numbers


def _unknown_covariance() -> np.ndarray:
    """What stands for an unknown covariance (36,), as ROS has it."""
    covariance = np.zeros(36, np.float32)
    covariance[0] = -1.0
    return covariance
