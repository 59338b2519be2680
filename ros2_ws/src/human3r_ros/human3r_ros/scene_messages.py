"""Depth, mask, camera and clouds of a frame as messages; pure functions."""

from array import array

import cv2
import numpy as np
from cv_bridge import CvBridge
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from human3r.mapping import occupancy
from human3r.types import FrameEstimate, Intrinsics, PointSet

_BRIDGE = CvBridge()
_SHOWN_SIDE_PX, _JPEG_QUALITY = 640, 80


def color_image(image: np.ndarray, header_: Header) -> CompressedImage:
    """The image as JPEG for viewers, its long side at most 640 pixels.

    Args:
        image: (height, width, 3) uint8 RGB.
        header_: that of the people.
    """
    height, width = image.shape[:2]
    if (share := _SHOWN_SIDE_PX / max(height, width)) < 1:
        size = (max(1, round(share * width)), max(1, round(share * height)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    return CompressedImage(header=header_, format="rgb8; jpeg compressed bgr8", data=_bytes(data))


def color_info(camera: Intrinsics, header_: Header) -> CameraInfo:
    """The camera of ``color_image``.

    Args:
        camera: of the whole image.
        header_: that of the people.
    """
    share = min(1.0, _SHOWN_SIDE_PX / max(camera.height_px, camera.width_px))
    width, height = (max(1, round(share * side)) for side in (camera.width_px, camera.height_px))
    sx, sy = width / camera.width_px, height / camera.height_px
    cx, cy = (camera.cx + 0.5) * sx - 0.5, (camera.cy + 0.5) * sy - 0.5
    small = Intrinsics(camera.fx * sx, camera.fy * sy, cx, cy, width, height)
    return camera_info(small, header_)


def _bytes(values: np.ndarray) -> array:
    data = array("B")
    data.frombytes(values.tobytes())
    return data


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


def confidence_image(estimate: FrameEstimate, header_: Header) -> Image:
    """32FC1: the network's confidence in each pixel's point, from 1 upwards."""
    confidence = np.ascontiguousarray(estimate.confidence, np.float32)
    return _BRIDGE.cv2_to_imgmsg(confidence, encoding="32FC1", header=header_)


def label_image(labels: np.ndarray, header_: Header) -> Image:
    """16UC1: 1 + index in ``HumanArray.humans`` of the person a pixel shows, 0 elsewhere.

    Args:
        labels: (height, width) uint16.
        header_: that of the people.
    """
    return _BRIDGE.cv2_to_imgmsg(labels, encoding="16UC1", header=header_)


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


def _fields(last: str, *, with_label: bool = False) -> list[PointField]:
    names = ("x", "y", "z", "rgb", last)
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(names)
    ]
    if with_label:
        fields.append(PointField(name="label", offset=20, datatype=PointField.UINT16, count=1))
    return fields


_FIELDS = _fields("confidence")
_LABELLED_FIELDS = _fields("confidence", with_label=True)
_MAP_FIELDS = _fields("observations")


def cloud(points: PointSet, header_: Header, *, with_labels: bool) -> PointCloud2:
    """Unorganised x, y, z, rgb, confidence, and label where asked for.

    ``rgb`` is a float whose bits are 0x00RRGGBB, the packing RViz and PCL read.
    """
    labels = points.labels if with_labels else None
    fields = _LABELLED_FIELDS if with_labels else _FIELDS
    return _cloud(fields, points.points, points.colors, points.confidence, header_, labels)


def map_cloud(
    points: np.ndarray, colors: np.ndarray, observations: np.ndarray, header_: Header
) -> PointCloud2:
    """Unorganised x, y, z, rgb, observations.

    Args:
        points: (points, 3) metres.
        colors: (points, 3) uint8 RGB.
        observations: (points,) frames each was seen in.
        header_: level frame.
    """
    return _cloud(_MAP_FIELDS, points, colors, observations, header_)


def occupancy_grid(grid: occupancy.OccupancyGrid, header_: Header) -> OccupancyGrid:
    """The map from above; ``header_`` is of the level frame."""
    message = OccupancyGrid(header=header_)
    info = message.info
    info.map_load_time = header_.stamp
    info.resolution = grid.cell_m
    info.height, info.width = grid.cells.shape
    info.origin.position.x, info.origin.position.y = grid.origin
    info.origin.position.z = grid.floor_m
    info.origin.orientation.w = 1.0
    message.data = array("b", grid.cells.tobytes())
    return message


def _cloud(
    fields: list[PointField],
    points: np.ndarray,
    colors: np.ndarray,
    last: np.ndarray,
    header_: Header,
    labels: np.ndarray | None = None,
) -> PointCloud2:
    """Built by hand, as a plain table of four-byte words in the message's own memory."""
    words = len(fields)
    # Anything but an array would be converted item by item.
    data = array("B", [0]) * (4 * words * len(points))
    table = np.ndarray((len(points), words), "<f4", data)
    table[:, :3] = points
    blue_green_red = table.view(np.uint8)[:, 12:15]
    for channel in range(3):
        # One after the other: NumPy is slow along an axis of three.
        blue_green_red[:, 2 - channel] = colors[:, channel]
    table[:, 4] = last
    if labels is not None:
        # Two bytes of label and two of padding are one little-endian word.
        table.view("<u4")[:, 5] = labels
    return PointCloud2(
        header=header_,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=4 * words,
        row_step=4 * words * len(points),
        data=data,
        is_dense=True,
    )
