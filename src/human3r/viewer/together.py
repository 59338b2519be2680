"""Several cameras in one picture: all people on each image, and the room from above."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from human3r.multiview.fuser import FusedPerson
from human3r.types import Frame, FrameEstimate
from human3r.viewer.colors import Rgb, person_color
from human3r.viewer.labels import draw_label
from human3r.viewer.overlay import draw_overlay

_CELL_PX = (640, 480)
_BACKGROUND: Rgb = (24, 27, 33)
_GRID: Rgb = (48, 53, 62)
_CAMERA: Rgb = (190, 198, 210)
_BODY_JOINTS = 22
_SIDE_BY_SIDE = 2


def draw_together(
    frames: Mapping[str, Frame],
    estimates: Mapping[str, FrameEstimate],
    people: Sequence[FusedPerson],
    world_from_camera: Mapping[str, np.ndarray],
    faces: np.ndarray | None = None,
) -> np.ndarray:
    """A picture (height, width, 3) uint8 with a cell per camera and one for the room from above.

    Args:
        frames: of this moment, by camera; a camera without one gets an empty cell.
        estimates: of them, in the shared world.
        people: fused.
        world_from_camera: poses of all cameras; they decide how many cells there are.
        faces: triangles of the body mesh.
    """
    cells = []
    for name in world_from_camera:
        if name in frames:
            estimate, frame = estimates[name], frames[name]
            image = draw_overlay(
                frame.image, estimate, faces, camera=frame.intrinsics, depth_inset=False
            )
            cell = _fitted(image)
        else:
            cell = _empty()
        draw_label(cell, name if name in frames else f"{name}: no image", 12, 12, size_px=20)
        cells.append(cell)
    cells.append(draw_plan(people, world_from_camera))
    cells += [_empty()] * (-len(cells) % _SIDE_BY_SIDE)
    rows = [np.hstack(cells[i : i + _SIDE_BY_SIDE]) for i in range(0, len(cells), _SIDE_BY_SIDE)]
    return np.vstack(rows)


def draw_plan(
    people: Sequence[FusedPerson],
    world_from_camera: Mapping[str, np.ndarray],
    size_px: tuple[int, int] = _CELL_PX,
) -> np.ndarray:
    """The room from above, x to the right and y up: cameras with what they see, people as bones.

    Args:
        people: fused.
        world_from_camera: (4, 4) poses by name; the world's z is up.
        size_px: width and height.
    """
    width, height = size_px
    canvas = np.full((height, width, 3), _BACKGROUND, np.uint8)
    places = [pose[:2, 3] for pose in world_from_camera.values()]
    places += [pose[:2, 3] + 5.0 * pose[:2, 2] for pose in world_from_camera.values()]
    low, high = np.min(places, 0) - 1.0, np.max(places, 0) + 1.0
    scale = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    middle = (low + high) / 2

    def pixel(place: np.ndarray) -> tuple[int, int]:
        x, y = (np.asarray(place)[:2] - middle) * scale
        return round(width / 2 + x), round(height / 2 - y)

    reach = int(np.ceil(max(width, height) / scale))
    for step in range(-reach, reach + 1):
        for axis in (0, 1):
            line = np.round(middle)[None] + np.array([[-reach, -reach], [reach, reach]], float)
            line[:, axis] = np.round(middle)[axis] + step
            cv2.line(canvas, pixel(line[0]), pixel(line[1]), _GRID, 1, cv2.LINE_AA)
    for name, pose in world_from_camera.items():
        _draw_camera(canvas, name, pose, pixel)
    for person in people:
        _draw_person(canvas, person, pixel)
    draw_label(canvas, "from above, 1 m grid", 12, 12, size_px=20)
    return canvas


def _draw_camera(canvas: np.ndarray, name: str, pose: np.ndarray, pixel) -> None:
    origin, ahead, right = pose[:2, 3], pose[:2, 2], pose[:2, 0]
    left_end, right_end = origin + ahead - 0.5 * right, origin + ahead + 0.5 * right
    corners = np.array([pixel(origin), pixel(left_end), pixel(right_end)], np.int32)
    cv2.polylines(canvas, [corners], True, _CAMERA, 2, cv2.LINE_AA)
    u, v = pixel(origin - 0.25 * ahead)
    draw_label(canvas, name, max(u - 20, 0), max(v - 10, 0), size_px=15)


def _draw_person(canvas: np.ndarray, person: FusedPerson, pixel) -> None:
    from human3r.body.skeleton import HEAD, JOINT_PARENTS

    color = person_color(person.number)
    for joint in range(1, _BODY_JOINTS):
        ends = person.joints_world[[joint, JOINT_PARENTS[joint]]]
        cv2.line(canvas, pixel(ends[0]), pixel(ends[1]), color, 3, cv2.LINE_AA)
    cv2.circle(canvas, pixel(person.joints_world[HEAD]), 7, color, -1, cv2.LINE_AA)
    ahead = person.joints_world[0] + 0.6 * person.rotations[0][:, 2]
    cv2.arrowedLine(canvas, pixel(person.joints_world[0]), pixel(ahead), color, 1, cv2.LINE_AA)
    u, v = pixel(person.joints_world[HEAD])
    views = len(person.members)
    text = f"{person.number} ({views} view{'s' if views > 1 else ''})"
    draw_label(canvas, text, u + 12, v - 12, size_px=16, ink=color)


def _empty() -> np.ndarray:
    return np.full((_CELL_PX[1], _CELL_PX[0], 3), _BACKGROUND, np.uint8)


def _fitted(image: np.ndarray) -> np.ndarray:
    """An image within a cell, in its own shape."""
    width, height = _CELL_PX
    scale = min(width / image.shape[1], height / image.shape[0])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cell = _empty()
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell
