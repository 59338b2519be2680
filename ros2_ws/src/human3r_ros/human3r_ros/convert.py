"""Pure functions between messages and core types; no node, no middleware.

Arrays go into messages as ``array.array``, the one type that every client library takes without
walking through it item by item.

SMPL-X bodies become REP-155 frames, boxes and joint arrays. Axes: SMPL-X has x to the person's
left, y up, z forward; REP-155 has x forward, y left, z up.
"""

import hashlib
from array import array
from collections.abc import Callable, Sequence
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

if TYPE_CHECKING:
    from human3r.body.base import BodyModel

_SECOND_NS = 1_000_000_000
_UNKNOWN_VARIANCE = 1e6
"""Of an unknown quantity, in square SI units: a filter gives it no weight."""

PixelMap = Callable[[np.ndarray], np.ndarray]
"""Pixels (..., 2) to pixels (..., 2)."""
NUM_ROTATING = 55

_SMPLX_FROM_REP155 = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_LEFT_HIP, _RIGHT_HIP, _LEFT_EYEBALL, _RIGHT_EYEBALL = 1, 2, 23, 24
_HEAD_CHAIN = (0, 3, 6, 9, 12, 15)
"""Pelvis, three spine joints, neck, head."""
_NEAREST_M = 1e-6
"""What is nearer to the camera's plane, or behind it, has no pixel."""


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds as a message."""
    return Time(sec=stamp_ns // _SECOND_NS, nanosec=stamp_ns % _SECOND_NS)


def ns_from_time(stamp: Time) -> int:
    """A message's time as nanoseconds."""
    return stamp.sec * _SECOND_NS + stamp.nanosec


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
    num_rotating: int = NUM_ROTATING


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
    raw_from_image: PixelMap | None = None
    """Pixels of the image as it came, from those of the image without distortion."""


def skeleton_from_body(body_model: "BodyModel") -> Skeleton:
    """The skeleton that is published for a body model.

    Raises:
        BodyModelError: the model lacks the landmarks of the face.
    """
    indices = published_joints(tuple(body_model.joint_names))
    names = tuple(body_model.joint_names[i] for i in indices)
    parents = tuple(int(body_model.joint_parents[i]) for i in indices)
    content = repr((body_model.name, 10, 10, NUM_ROTATING, names, parents))
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
    pixels = project(joints, context.camera, context.raw_from_image)
    camera_from_body, camera_from_head = body_poses(rotations, all_joints)
    frames = np.stack([camera_from_body, camera_from_head], axis=1)[..., :3, :3]
    turned = np.concatenate([skeleton_rotations(rotations), frames], axis=1)
    quaternions = quaternions_xyzw(turned.reshape(-1, 3, 3)).reshape(*turned.shape[:2], 4)
    return [
        _human(*one, context)
        for one in zip(
            *(people, joints, pixels, quaternions, camera_from_body, camera_from_head),
            strict=True,
        )
    ]


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
    return _pose(a_from_b[:3, 3], quaternions_xyzw(a_from_b[None, :3, :3])[0])


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


def skeleton_rotations(rotations: np.ndarray) -> np.ndarray:
    """All 55 joints' rotations (people, 55, 3, 3), child in parent, in skeleton order.

    The network's order is root, 21 body, 30 fingers, jaw; the skeleton has jaw and eyes before
    the fingers. Eyes do not rotate.

    Args:
        rotations: (people, 53, 3, 3), as the network says them.
    """
    found = np.empty((len(rotations), NUM_ROTATING, 3, 3))
    found[:, :22] = rotations[:, :22]
    found[:, 22] = rotations[:, 52]
    found[:, 23:25] = np.eye(3)
    found[:, 25:55] = rotations[:, 22:52]
    return found


def quaternions_xyzw(rotations: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) as unit quaternions (n, 4), w not negative.

    In one call for all joints, and without SciPy, whose check that every matrix is a rotation
    costs twenty times the conversion.

    Source: Shepperd 1978, "Quaternion from rotation matrix".
    """
    r = np.asarray(rotations, np.float64)
    trace = r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2]
    # Four times the outer product of the quaternion with itself: each row is a multiple of it.
    products = np.empty((len(r), 4, 4))
    products[:, :3, :3] = r + r.transpose(0, 2, 1)
    products[:, [0, 1, 2], [0, 1, 2]] += (1.0 - trace)[:, None]
    products[:, :3, 3] = products[:, 3, :3] = (
        r[:, [2, 0, 1], [1, 2, 0]] - r[:, [1, 2, 0], [2, 0, 1]]
    )
    products[:, 3, 3] = 1.0 + trace
    # The row with the largest number on the diagonal loses least to rounding.
    best = products.diagonal(axis1=1, axis2=2).argmax(axis=1)
    found = products[np.arange(len(r)), best]
    length = np.sqrt((found * found).sum(axis=1))
    return found / np.where(found[:, 3] < 0.0, -length, length)[:, None]


def body_poses(rotations: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """REP-155's body and head frames: camera_from_body and camera_from_head, (people, 4, 4) each.

    The body's origin is midway between the hip joints, x out of the belly, z to the head. The
    head's is midway between the eyes, x out of the face, z to the scalp.

    Args:
        rotations: (people, 53, 3, 3), as the network says them.
        joints: (people, joints, 3) metres, camera frame; the first 55 are the skeleton's.
    """
    head = np.eye(3)
    for joint in _HEAD_CHAIN:
        head = head @ rotations[:, joint]
    hips = (joints[:, _LEFT_HIP] + joints[:, _RIGHT_HIP]) / 2
    eyes = (joints[:, _LEFT_EYEBALL] + joints[:, _RIGHT_EYEBALL]) / 2
    return _poses(rotations[:, 0], hips), _poses(head, eyes)


def body_box(columns: np.ndarray, camera_from_body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and size (3,) in metres of the box around a body, in and along its own frame.

    Args:
        columns: (3, vertices) metres, camera frame: x, y and z, each in one piece.
        camera_from_body: (4, 4).
    """
    # Rotate first: subtracting the origin from two corners is cheaper than from every vertex.
    body_from_camera = camera_from_body[:3, :3].T
    turned = body_from_camera.astype(columns.dtype) @ columns
    origin = body_from_camera @ camera_from_body[:3, 3]
    low, high = turned.min(axis=1) - origin, turned.max(axis=1) - origin
    return (low + high) / 2.0, high - low


def project(
    points: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> np.ndarray:
    """Pixels (..., 2) of camera-frame points (..., 3); NaN at or behind the camera's plane.

    Args:
        points: metres.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.
    """
    pixels = np.full((*points.shape[:-1], 2), np.nan)
    front = points[..., 2] > _NEAREST_M
    seen = points[front]
    focal, center = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    pixels[front] = focal * seen[:, :2] / seen[:, 2:] + center
    return pixels if raw_from_image is None else raw_from_image(pixels)


def pixel_box(
    columns: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> tuple[np.ndarray, bool]:
    """Box around the projected vertices, clipped to the image, and whether it touches the border.

    Args:
        columns: (3, vertices) metres, camera frame: x, y and z, each in one piece.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.

    Returns:
        (4,) float32 u_min, v_min, u_max, v_max in pixels, NaN when all of the body is behind the
        camera.
    """
    is_cut = bool((columns[2] <= _NEAREST_M).any())
    if is_cut:
        columns = columns[:, columns[2] > _NEAREST_M]
    if not columns.shape[1]:
        return np.full(4, np.nan, np.float32), False
    slopes = columns[:2] / columns[2]
    focal, center = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    if raw_from_image is None:
        # Focal lengths are positive, so the outermost slopes are the outermost pixels.
        low, high = (focal * slope + center for slope in (slopes.min(axis=1), slopes.max(axis=1)))
    else:
        pixels = raw_from_image((focal[:, None] * slopes + center[:, None]).T)
        # By column: reducing an (n, 2) array along its long axis is many times slower.
        pixels = np.ascontiguousarray(pixels.T)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
    border = np.array([camera.width_px - 1.0, camera.height_px - 1.0])
    truncated = bool((low <= 0).any() or (high >= border).any() or is_cut)
    box = np.concatenate([low, high]).clip(0.0, np.tile(border, 2))
    return box.astype(np.float32), truncated


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
    box_center, box_size = body_box(columns, camera_from_body)
    box, truncated = pixel_box(columns, context.camera, context.raw_from_image)
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


def _pose(position: np.ndarray, quaternion_xyzw: np.ndarray) -> Pose:
    x, y, z, w = quaternion_xyzw.tolist()
    return Pose(position=point(position), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _unknown_covariance() -> np.ndarray:
    """What stands for an unknown covariance (36,), as ROS has it."""
    covariance = np.zeros(36, np.float32)
    covariance[0] = -1.0
    return covariance


def _poses(camera_from_smplx: np.ndarray, origins: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(origins), 1, 1))
    poses[:, :3, :3] = np.asarray(camera_from_smplx, np.float64) @ _SMPLX_FROM_REP155
    poses[:, :3, 3] = origins
    return poses
