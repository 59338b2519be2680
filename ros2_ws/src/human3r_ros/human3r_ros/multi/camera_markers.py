"""Cameras as markers, for viewers that have no display of frusta: an outline and a name each."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from human3r.geometry import transform_points
from human3r.multiview.sight import CameraSight
from human3r.types import Intrinsics
from human3r_ros import convert

_DEPTH_M = 0.5
_LINE_M, _TEXT_M = 0.015, 0.15
_COLOR, _SILENT_COLOR = (1.0, 0.77, 0.33), (0.5, 0.5, 0.5)
_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (5, 6), (6, 7))
"""Between the eye, the corners of the image, and the roof above its upper edge."""


def camera_markers(cameras: Sequence[CameraSight], world: str, stamp_ns: int) -> MarkerArray:
    """An outline and a name for each camera, in the world; they replace those of before.

    Args:
        cameras: all of the rig, always in the same order.
        world: frame of the markers.
        stamp_ns: of the moment.
    """
    made = MarkerArray()
    for number, camera in enumerate(cameras):
        outline = _marker(Marker.LINE_LIST, "cameras", number, camera, world, stamp_ns)
        outline.scale.x = _LINE_M
        corners = transform_points(camera.world_from_camera, _corners(camera.lens))
        outline.points = [_point(corners[corner]) for edge in _EDGES for corner in edge]
        name = _marker(Marker.TEXT_VIEW_FACING, "names", number, camera, world, stamp_ns)
        name.scale.z = _TEXT_M
        name.text = f"{camera.name} (silent)" if camera.is_silent else camera.name
        name.pose.position = _point(camera.world_from_camera[:3, 3] + [0.0, 0.0, 2 * _TEXT_M])
        made.markers += [outline, name]
    return made


def _marker(
    kind: int, group: str, number: int, camera: CameraSight, world: str, stamp_ns: int
) -> Marker:
    marker = Marker(header=convert.header(stamp_ns, world), ns=group, id=number, type=kind)
    marker.action = Marker.ADD
    marker.pose.orientation.w = 1.0
    red, green, blue = _SILENT_COLOR if camera.is_silent else _COLOR
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return marker


def _corners(lens: Intrinsics) -> np.ndarray:
    """(8, 3) metres in the camera frame: the eye, the image's corners, the roof."""
    right = _DEPTH_M * (lens.width_px - 1 - lens.cx) / lens.fx
    left, top = -_DEPTH_M * lens.cx / lens.fx, -_DEPTH_M * lens.cy / lens.fy
    bottom = _DEPTH_M * (lens.height_px - 1 - lens.cy) / lens.fy
    image = [[left, top], [right, top], [right, bottom], [left, bottom]]
    middle, roof = (left + right) / 2, (right - left) / 6
    image += [[middle - roof, top], [middle, top - roof], [middle + roof, top]]
    return np.array([[0.0, 0.0, 0.0], *([x, y, _DEPTH_M] for x, y in image)])


def _point(place: np.ndarray) -> Point:
    return Point(x=float(place[0]), y=float(place[1]), z=float(place[2]))
