"""People as vision_msgs detections of class ``person``."""

import numpy as np
from geometry_msgs.msg import Pose, PoseWithCovariance
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from human3r_bridge.geometry_messages import covariance_at, pose_from_matrix, vector
from human3r_bridge.people import Person

_CLASS = "person"


def detections_3d(people: list[Person], header: Header) -> Detection3DArray:
    """Boxes around the bodies, along the bodies' own axes."""
    return Detection3DArray(
        header=header, detections=[_detection_3d(person, header) for person in people]
    )


def detections_2d(people: list[Person], header: Header) -> Detection2DArray:
    """Boxes in pixels of the source image; whoever is not in front of the camera is left out."""
    return Detection2DArray(
        header=header,
        detections=[
            _detection_2d(person, header)
            for person in people
            if np.isfinite(person.box_pixels).all()
        ],
    )


def _detection_3d(person: Person, header: Header) -> Detection3D:
    arm = person.camera_from_body[:3, :3] @ person.box_center_body
    camera_from_box = person.camera_from_body.copy()
    camera_from_box[:3, 3] += arm
    pose = pose_from_matrix(camera_from_box)
    return Detection3D(
        header=header,
        results=[_hypothesis(person, pose, arm)],
        bbox=BoundingBox3D(center=pose, size=vector(person.box_size)),
        id=person.id,
    )


def _detection_2d(person: Person, header: Header) -> Detection2D:
    low, high = person.box_pixels[:2], person.box_pixels[2:]
    box = BoundingBox2D(size_x=float(high[0] - low[0]), size_y=float(high[1] - low[1]))
    box.center.position.x, box.center.position.y = ((low + high) / 2).tolist()
    pose = pose_from_matrix(person.camera_from_body)
    hypothesis = _hypothesis(person, pose, np.zeros(3))
    return Detection2D(header=header, results=[hypothesis], bbox=box, id=person.id)


def _hypothesis(person: Person, pose: Pose, arm: np.ndarray) -> ObjectHypothesisWithPose:
    """The person's class and a pose of the body, ``arm`` (3,) metres from its origin."""
    return ObjectHypothesisWithPose(
        hypothesis=ObjectHypothesis(class_id=_CLASS, score=person.score),
        pose=PoseWithCovariance(pose=pose, covariance=covariance_at(person.covariance, arm)),
    )
