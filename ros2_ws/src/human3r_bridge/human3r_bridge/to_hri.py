"""People as REP-155 bodies and faces (ROS4HRI)."""

from array import array

import numpy as np
from geometry_msgs.msg import PointStamped, TransformStamped, TwistStamped
from hri_msgs.msg import (
    IdsList,
    IdsMatch,
    NormalizedPointOfInterest2D,
    NormalizedRegionOfInterest2D,
    Skeleton2D,
)
from human3r_msgs.msg import Human
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from human3r_bridge.geometry_messages import point, transform_message, vector
from human3r_bridge.hri_chain import link_transforms
from human3r_bridge.people import Person

_SKELETON_JOINTS = (
    *("NOSE", "NECK", "RIGHT_SHOULDER", "RIGHT_ELBOW", "RIGHT_WRIST"),
    *("LEFT_SHOULDER", "LEFT_ELBOW", "LEFT_WRIST", "RIGHT_HIP", "RIGHT_KNEE", "RIGHT_ANKLE"),
    *("LEFT_HIP", "LEFT_KNEE", "LEFT_ANKLE", "LEFT_EYE", "RIGHT_EYE", "LEFT_EAR", "RIGHT_EAR"),
)
"""Constants that Human and Skeleton2D both have."""
_FACE_FROM_GAZE = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""The gaze frame has the axes of an optical frame that looks where the face does."""
_FACE_BOX = np.array([[-0.3, 0.25], [-0.5, 0.5], [-0.8, 0.55]])
"""Depth, width and height of a face about the point between the eyes, in widths from ear to ear."""


def ids_list(ids: list[str], header: Header) -> IdsList:
    """Everyone there is now."""
    return IdsList(header=header, ids=ids)


def face_match(person: Person) -> IdsMatch:
    """The face and the body of one person, which come from one estimate."""
    return IdsMatch(
        id1=person.id, id1_type=IdsMatch.FACE, id2=person.id, id2_type=IdsMatch.BODY, confidence=1.0
    )


def body_roi(
    person: Person, header: Header, size_px: tuple[int, int]
) -> NormalizedRegionOfInterest2D | None:
    """The person's box; None when no part of the body is in front of the camera."""
    return _roi(person.box_pixels, person, header, size_px)


def face_roi(
    person: Person, header: Header, size_px: tuple[int, int]
) -> NormalizedRegionOfInterest2D | None:
    """The box of the face; None outside the image."""
    camera = _pinhole(person)
    ears_m = np.linalg.norm(
        person.joints_camera[Human.LEFT_EAR] - person.joints_camera[Human.RIGHT_EAR]
    )
    corners = np.stack(np.meshgrid(*_FACE_BOX, indexing="ij"), -1).reshape(-1, 3) * ears_m
    corners = corners @ person.camera_from_head[:3, :3].T + person.camera_from_head[:3, 3]
    if camera is None or corners[:, 2].min() <= 0:
        return None
    pixels = corners[:, :2] / corners[:, 2:] * camera[0] + camera[1]
    return _roi(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]), person, header, size_px)


def skeleton2d(person: Person, header: Header, size_px: tuple[int, int]) -> Skeleton2D:
    """18 joints in the image; confidence 0 where there is none."""
    places = (person.joint_pixels + 0.5) / size_px
    is_known = np.isfinite(places).all(axis=1)
    is_inside = is_known & ((places >= 0) & (places <= 1)).all(axis=1)
    confidence = np.where(is_inside, _confidence(person), 0.0).tolist()
    places = np.where(is_known[:, None], np.clip(places, 0.0, 1.0), 0.0).tolist()  # pyright: ignore[reportIndexIssue]
    points = {}
    for name in _SKELETON_JOINTS:
        joint = getattr(Human, name)
        x, y = places[joint]
        points[getattr(Skeleton2D, name)] = NormalizedPointOfInterest2D(
            x=x, y=y, c=confidence[joint]
        )
    return Skeleton2D(header=header, skeleton=[points[index] for index in sorted(points)])


def joint_states(person: Person, angles: dict[str, float], header: Header) -> JointState:
    """Angles of the body chain; joint names as in the person's URDF."""
    return JointState(
        header=header,
        name=[f"{name}_{person.id}" for name in angles],
        position=array("d", angles.values()),
    )


def position(person: Person, header: Header) -> PointStamped:
    """The body's origin."""
    return PointStamped(header=header, point=point(person.camera_from_body[:3, 3]))


def velocity(person: Person, header: Header) -> TwistStamped | None:
    """The body's velocity relative to the static world; None when unknown."""
    if person.velocity_camera is None:
        return None
    message = TwistStamped(header=header)
    message.twist.linear = vector(person.velocity_camera)
    return message


def transforms(
    person: Person,
    header: Header,
    *,
    angles: dict[str, float],
    stature_m: float,
    with_face: bool,
) -> list[TransformStamped]:
    """The body with all its links, and the face with its gaze; nothing that is not finite."""
    stamp, camera = header.stamp, header.frame_id
    edges = [(camera, f"body_{person.id}", person.camera_from_body)]
    edges += [
        (f"{parent}_{person.id}", f"{child}_{person.id}", parent_from_child)
        for parent, child, parent_from_child in link_transforms(angles, stature_m)
    ]
    if with_face:
        edges.append((camera, f"face_{person.id}", person.camera_from_head))
        edges.append((f"face_{person.id}", f"gaze_{person.id}", _FACE_FROM_GAZE))
    # One edge that is not finite is refused by tf2, and everything below it is lost.
    is_finite = np.isfinite(np.array([matrix for _, _, matrix in edges])).all(axis=(1, 2))
    return [
        transform_message(stamp, parent, child, matrix)
        for (parent, child, matrix), is_good in zip(edges, is_finite.tolist(), strict=True)
        if is_good
    ]


def _roi(
    box: np.ndarray, person: Person, header: Header, size_px: tuple[int, int]
) -> NormalizedRegionOfInterest2D | None:
    # Pixel centres are whole numbers, so an image's left border lies at -0.5.
    corners = (box.reshape(2, 2) + 0.5) / size_px
    if not np.isfinite(corners).all():
        return None
    corners = np.clip(corners, 0.0, 1.0)
    if (corners[1] <= corners[0]).any():
        return None
    (xmin, ymin), (xmax, ymax) = corners.tolist()
    return NormalizedRegionOfInterest2D(
        header=header, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, c=person.score
    )


def _confidence(person: Person) -> np.ndarray:
    """Of each joint: its visibility where that was computed, else the person's score."""
    if person.visibility is None:
        return np.full(len(person.joint_pixels), person.score)
    return np.nan_to_num(person.visibility)


def _pinhole(person: Person) -> tuple[np.ndarray, np.ndarray] | None:
    """Focal lengths (2,) and centre (2,) of the camera that put the joints where they are.

    The message carries no intrinsics, but many points with their pixels.
    """
    joints, pixels = person.joints_camera, person.joint_pixels
    seen = np.isfinite(pixels).all(axis=1) & (joints[:, 2] > 1e-6)
    if seen.sum() < 2:
        return None
    slopes = joints[seen, :2] / joints[seen, 2:]
    spread = slopes - slopes.mean(axis=0)
    variance = (spread**2).sum(axis=0)
    if (variance < 1e-12).any():
        return None
    focal = (spread * (pixels[seen] - pixels[seen].mean(axis=0))).sum(axis=0) / variance
    return focal, pixels[seen].mean(axis=0) - focal * slopes.mean(axis=0)
