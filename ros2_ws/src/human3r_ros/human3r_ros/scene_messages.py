"""Depth, mask, camera and clouds of a frame as messages; pure functions."""

from array import array
from typing import Any

import numpy as np
from cv_bridge import CvBridge
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from human3r.types import FrameEstimate, Intrinsics, PointSet

_BRIDGE = CvBridge()


def depth_image(estimate: FrameEstimate, header_: Header) -> Image:
    """32FC1 metres along the optical axis, NaN where the network sees nothing in front."""
    depth = estimate.depth
    # A comparison with NaN is false, so non-finite depth becomes NaN as well.
    known = (depth > 0) & (depth < np.inf)
    metres = np.where(known, depth, np.float32(np.nan)).astype(np.float32)
    return _BRIDGE.cv2_to_imgmsg(metres, encoding="32FC1", header=header_)


def mask_image(estimate: FrameEstimate, threshold: float, header_: Header) -> Image:
    """mono8: 255 where a person is, 0 elsewhere."""
    mask = np.where(estimate.person_probability >= threshold, np.uint8(255), np.uint8(0))
    return _BRIDGE.cv2_to_imgmsg(mask, encoding="mono8", header=header_)


def camera_info(camera: Intrinsics, header_: Header) -> CameraInfo:
    """A pinhole camera without distortion."""
    k = camera.matrix()
    return CameraInfo(
        header=header_,
        width=camera.width_px,
        height=camera.height_px,
        distortion_model="plumb_bob",
        d=array("d", [0.0] * 5),
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel(),
    )


_FLOAT = PointField.FLOAT32
_FIELDS = [
    PointField(name=name, offset=4 * i, datatype=_FLOAT, count=1)
    for i, name in enumerate(("x", "y", "z", "rgb", "confidence"))
]
_LABELLED_FIELDS = [
    *_FIELDS,
    PointField(name="label", offset=20, datatype=PointField.UINT16, count=1),
]
_POINT_STEP, _LABELLED_POINT_STEP = 20, 24


def cloud(points: PointSet, header_: Header, *, with_labels: bool) -> PointCloud2:
    """Unorganised x, y, z, rgb, confidence, and label where asked for.

    ``rgb`` is a float whose bits are 0x00RRGGBB, the packing RViz and PCL read.
    """
    fields, step = (
        (_LABELLED_FIELDS, _LABELLED_POINT_STEP) if with_labels else (_FIELDS, _POINT_STEP)
    )
    # One-dimensional: a two-dimensional array would be read as (width, height).
    rows: Any = np.zeros(len(points.points), point_cloud2.dtype_from_fields(fields, step))
    for axis, name in enumerate("xyz"):
        rows[name] = points.points[:, axis]
    rgb = points.colors.astype(np.uint32)
    rows["rgb"] = (rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).view(np.float32)
    rows["confidence"] = points.confidence
    if with_labels:
        rows["label"] = points.labels
    message = point_cloud2.create_cloud(header_, fields, rows, step)
    message.is_dense = True
    return message
