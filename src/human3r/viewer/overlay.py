"""People drawn onto the image they were seen in."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from human3r.body.skeleton import JOINT_PARENTS
from human3r.types import FrameEstimate, Intrinsics, PersonEstimate
from human3r.viewer.colors import Rgb, colorize_depth, person_color
from human3r.viewer.labels import Box, draw_label, free_place, label_size
from human3r.viewer.raster import NEAR_M, silhouette

_FIRST_HAND_JOINT = 25
_FACE_JOINTS = (22, 23, 24)
_SHIFT = 4
_LEAST_FOCAL = 0.2
"""Focal length over the longer side below which no lens is a pinhole: a view of 136 degrees."""
_UPRIGHT = 1.2
"""Height over width from which an image counts as upright."""
_ORDINARY_FOCAL = 0.866
"""A view of 60 degrees."""


@dataclass(frozen=True)
class Caption:
    """Words in the corner of an overlay; empty ones are left out."""

    frame: int | None = None
    """Number of the frame within the run."""
    rate_hz: float | None = None
    """Frames processed per second."""
    note: str = ""
    """Anything else to be said plainly, for example that the weights are untrained."""


def draw_overlay(
    image: UInt8[np.ndarray, "height width 3"],
    estimate: FrameEstimate,
    faces: Int[np.ndarray, "faces 3"] | None = None,
    *,
    caption: Caption | None = None,
    camera: Intrinsics | None = None,
    depth_inset: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy of the source image with everyone in it drawn on top, the nearest last.

    Args:
        image: the source image, at any scale of the one the estimate was made from.
        estimate: what is known about it.
        faces: triangles of the body mesh; without them only skeletons are drawn.
        caption: words for the bar in the corner.
        camera: calibration of the source image; None takes the estimated one.
        depth_inset: add the depth image: in the upper right corner, away from feet; to the right of
            an upright image, where it would cover people, so that the result is wider.
    """
    canvas = image.copy()
    source = camera or _drawing_camera(estimate)
    camera = scaled_camera(source, image.shape[1], image.shape[0])
    scale = image.shape[1] / estimate.geometry.source_width_px
    people = sorted(estimate.people, key=lambda person: -_distance(person))
    for person in people:
        if faces is not None and len(person.vertices_camera):
            _draw_outline(canvas, person, faces, camera)
        _draw_skeleton(canvas, person, camera)
        _draw_head_mark(canvas, person, scale)
    is_upright = image.shape[0] > _UPRIGHT * image.shape[1]
    if depth_inset and not is_upright:
        _draw_depth(canvas, estimate)
    taken: list[Box] = []
    if caption is not None:
        taken += _draw_caption(canvas, caption, len(people))
    # The nearest first: it has its label where it belongs.
    for person in reversed(people):
        _draw_id(canvas, person, camera, taken)
    return _with_depth_beside(canvas, estimate) if depth_inset and is_upright else canvas


def _drawing_camera(estimate: FrameEstimate) -> Intrinsics:
    """The camera of the source image in use, or an ordinary one where it is none.

    Points that fit no pinhole camera give a focal length near 0, which would draw all people onto
    one pixel.
    """
    source = estimate.source_camera
    longer_px = max(source.width_px, source.height_px)
    if min(source.fx, source.fy) > _LEAST_FOCAL * longer_px:
        return source
    focal_px = _ORDINARY_FOCAL * longer_px
    return replace(source, fx=focal_px, fy=focal_px)


def scaled_camera(source: Intrinsics, width_px: int, height_px: int) -> Intrinsics:
    """The camera of an image as the camera of the same image at another scale."""
    sx, sy = width_px / source.width_px, height_px / source.height_px
    return Intrinsics(
        source.fx * sx,
        source.fy * sy,
        (source.cx + 0.5) * sx - 0.5,
        (source.cy + 0.5) * sy - 0.5,
        width_px,
        height_px,
    )


def project(points_camera: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (points, 2) and depths (points,) of points in the camera frame.

    Points behind the camera get pixels that are not to be used; their depth says so.
    """
    depth = points_camera[:, 2].astype(np.float64)
    safe = np.where(depth > NEAR_M, depth, 1.0)
    u = camera.fx * points_camera[:, 0] / safe + camera.cx
    v = camera.fy * points_camera[:, 1] / safe + camera.cy
    return np.stack([u, v], -1), depth


def _distance(person: PersonEstimate) -> float:
    return float(np.nan_to_num(person.body.head_camera[2]))


def _line_px(height_px: int) -> int:
    return max(1, round(height_px / 260))


def _draw_outline(
    canvas: np.ndarray, person: PersonEstimate, faces: np.ndarray, camera: Intrinsics
) -> None:
    """A tint inside the body mesh and a line around it."""
    height, width = canvas.shape[:2]
    pixels, depth = project(person.vertices_camera, camera)
    front = depth > NEAR_M
    if not front.any():
        return
    # Only the part of the image the body covers is touched.
    margin = 8
    low = np.clip(np.floor(pixels[front].min(axis=0)) - margin, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(pixels[front].max(axis=0)) + margin, 0, (width, height)).astype(int)
    if (high - low < 2).any():
        return
    mask = silhouette(pixels - low, depth, faces, *(high - low))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    region = canvas[low[1] : high[1], low[0] : high[0]]
    color = person_color(person.track_id)
    tinted = 0.72 * region + 0.28 * np.array(color, np.float32)
    region[:] = np.where(mask[..., None] > 0, tinted, region).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Drawn with an offset into the whole image, so lines at the border of the box stay whole.
    offset = (int(low[0]), int(low[1]))
    cv2.drawContours(canvas, contours, -1, color, _line_px(height), cv2.LINE_AA, offset=offset)


def _draw_skeleton(canvas: np.ndarray, person: PersonEstimate, camera: Intrinsics) -> None:
    count = min(len(JOINT_PARENTS), len(person.joints_camera))
    pixels, depth = project(person.joints_camera[:count], camera)
    height = canvas.shape[0]
    size_px = float(np.ptp(pixels[depth > NEAR_M], axis=0).max()) if (depth > NEAR_M).any() else 0
    color = person_color(person.track_id)
    bright = _lighter(color, 0.55)
    drawn = [
        joint
        for joint in range(count)
        if joint not in _FACE_JOINTS and (joint < _FIRST_HAND_JOINT or size_px > 0.35 * height)
    ]
    thick = _line_px(height)
    for joint in drawn:
        parent = JOINT_PARENTS[joint]
        if parent < 0 or depth[joint] <= NEAR_M or depth[parent] <= NEAR_M:
            continue
        width = thick if joint < _FIRST_HAND_JOINT else max(1, thick // 2)
        a, b = _fixed(pixels[parent]), _fixed(pixels[joint])
        cv2.line(canvas, a, b, (16, 18, 24), width + 2, cv2.LINE_AA, _SHIFT)
        cv2.line(canvas, a, b, bright, width, cv2.LINE_AA, _SHIFT)
    for joint in drawn:
        if joint < _FIRST_HAND_JOINT and depth[joint] > NEAR_M:
            radius = (thick + 1) << _SHIFT
            place = _fixed(pixels[joint])
            cv2.circle(canvas, place, radius, (16, 18, 24), -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, place, radius - 12, (255, 255, 255), -1, cv2.LINE_AA, _SHIFT)


def _draw_head_mark(canvas: np.ndarray, person: PersonEstimate, scale: float) -> None:
    """A ring where the detector saw the head, which need not be where the body was placed."""
    if not np.isfinite(person.head_px).all():
        return
    place = _fixed((np.asarray(person.head_px, np.float64) + 0.5) * scale - 0.5)
    thick = _line_px(canvas.shape[0])
    radius = (4 * thick + 2) << _SHIFT
    cv2.circle(canvas, place, radius, (16, 18, 24), thick + 2, cv2.LINE_AA, _SHIFT)
    cv2.circle(canvas, place, radius, person_color(person.track_id), thick, cv2.LINE_AA, _SHIFT)


def _draw_id(
    canvas: np.ndarray, person: PersonEstimate, camera: Intrinsics, taken: list[Box]
) -> None:
    points = person.vertices_camera if len(person.vertices_camera) else person.joints_camera
    pixels, depth = project(points, camera)
    front = depth > NEAR_M
    if not front.any():
        return
    size_px = _text_px(canvas)
    text = f"{person.track_id}"
    width, height = label_size(text, size_px)
    head, head_depth = project(np.asarray(person.body.head_camera)[None], camera)
    middle = float(head[0, 0]) if head_depth[0] > NEAR_M else float(pixels[front, 0].mean())
    top = float(pixels[front, 1].min()) - height - 6
    place = np.clip(np.nan_to_num([middle - width / 2, top]), [0, 4], 1e6).astype(int)
    left, top = free_place(
        (int(place[0]), int(place[1]), width, height), taken, canvas.shape[1], canvas.shape[0]
    )
    draw_label(
        canvas,
        text,
        left,
        top,
        size_px=size_px,
        ink=(16, 18, 24),
        box=person_color(person.track_id),
        opacity=0.95,
    )


def _draw_depth(canvas: np.ndarray, estimate: FrameEstimate) -> None:
    height, width = canvas.shape[:2]
    margin = max(4, round(height / 60))
    inset_width = round(0.24 * width)
    depth = colorize_depth(estimate.depth)
    inset_height = round(inset_width * depth.shape[0] / depth.shape[1])
    if inset_height > 0.4 * height or inset_width < 8 or inset_height < 8:
        return
    inset = cv2.resize(depth, (inset_width, inset_height), interpolation=cv2.INTER_AREA)
    top, left = margin, width - margin - inset_width
    canvas[top - 1 : top + inset_height + 1, left - 1 : left + inset_width + 1] = 235
    canvas[top : top + inset_height, left : left + inset_width] = inset


def _with_depth_beside(canvas: np.ndarray, estimate: FrameEstimate) -> np.ndarray:
    """The image with its depth to the right, as high, and a thin line between."""
    depth = colorize_depth(estimate.depth)
    height = canvas.shape[0]
    # Even, as video wants it.
    width = 2 * round(height * depth.shape[1] / depth.shape[0] / 2)
    beside = cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.hstack([canvas, np.full((height, 2, 3), 235, np.uint8), beside])


def _draw_caption(canvas: np.ndarray, caption: Caption, num_people: int) -> list[Box]:
    """Words in the upper left corner, and where they are."""
    size_px = _text_px(canvas)
    words = [f"{num_people} {'person' if num_people == 1 else 'people'}"]
    if caption.frame is not None:
        words.insert(0, f"frame {caption.frame}")
    if caption.rate_hz is not None:
        words.append(f"{caption.rate_hz:.1f} frames/s")
    margin = max(4, round(canvas.shape[0] / 60))
    text = "   ".join(words)
    draw_label(canvas, text, margin, margin, size_px=size_px)
    boxes = [(margin, margin, *label_size(text, size_px))]
    if caption.note:
        top = margin + label_size("x", size_px)[1] + margin // 2
        draw_label(canvas, caption.note, margin, top, size_px=size_px, box=(150, 40, 30))
        boxes.append((margin, top, *label_size(caption.note, size_px)))
    return boxes


def _text_px(canvas: np.ndarray) -> int:
    """Height of letters: the same in an upright image as in a wide one."""
    return max(11, round(min(canvas.shape[:2]) / 34))


def _lighter(color: Rgb, share: float) -> Rgb:
    red, green, blue = (round(c + (255 - c) * share) for c in color)
    return red, green, blue


def _fixed(pixel: np.ndarray) -> tuple[int, int]:
    u, v = np.clip(np.nan_to_num(pixel), -1e6, 1e6) * 2**_SHIFT
    return round(float(u)), round(float(v))
