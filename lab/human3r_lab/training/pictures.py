"""Views with what the network says beside what is true."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from human3r.atomic import whole_file
from human3r.body.skeleton import JOINT_PARENTS
from human3r.types import FrameEstimate, Intrinsics
from human3r.viewer.colors import colorize_depth
from human3r.viewer.overlay import draw_overlay, project, scaled_camera
from human3r_lab.datasets import ViewTruth

_WIDTH_PX = 448
_NEAR_M = 0.05
_TRUE_COLOR = (255, 255, 255)


@dataclass(frozen=True)
class PicturedView:
    """A view, what the network says about it, and the joints of its true people."""

    view: ViewTruth
    estimate: FrameEstimate
    true_joints: np.ndarray
    """(people, joints, 3) metres, camera frame."""


def write_picture(path: Path, views: list[PicturedView], faces: np.ndarray) -> None:
    """A JPEG with one row per view: truth, answer, true depth, answered depth.

    Raises:
        OutputError: not writable.
    """
    picture = draw_rows(views, faces)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 88))
    with whole_file(path) as file:
        file.write(data.tobytes())


def draw_rows(views: list[PicturedView], faces: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """The rows as RGB; views of other shapes are padded."""
    rows = [_row(view, faces) for view in views]
    height = max(row.shape[0] for row in rows)
    return np.vstack([np.pad(row, ((0, height - len(row)), (0, 0), (0, 0))) for row in rows])


def _row(pictured: PicturedView, faces: np.ndarray) -> np.ndarray:
    view, estimate = pictured.view, pictured.estimate
    scale = _WIDTH_PX / view.image.shape[1]
    size = (_WIDTH_PX, round(view.image.shape[0] * scale))
    image = cv2.resize(view.image, size, interpolation=cv2.INTER_AREA)
    camera = scaled_camera(view.intrinsics, *size)
    truth = image.copy()
    for joints in pictured.true_joints:
        _draw_bones(truth, joints, camera)
    answer = draw_overlay(image, estimate, faces, camera=view.intrinsics, depth_inset=False)
    known = view.depth_m > 0
    near, far = np.percentile(view.depth_m[known], (2, 98)) if known.any() else (1.0, 10.0)
    depths = [
        cv2.resize(colorize_depth(depth, near, far), size, interpolation=cv2.INTER_NEAREST)
        for depth in (view.depth_m, _in_source(estimate, view.depth_m.shape))
    ]
    return np.hstack([truth, answer, *depths])


def _in_source(estimate: FrameEstimate, shape: tuple[int, int]) -> np.ndarray:
    """The answered depth in the pixels of the source image; 0 where the network saw nothing."""
    v, u = np.mgrid[: shape[0], : shape[1]]
    places = np.round(estimate.geometry.network_from_source(np.stack((u, v), -1))).astype(int)
    height, width = estimate.depth.shape
    inside = ((places >= 0) & (places < (width, height))).all(-1)
    depth = np.zeros(shape, np.float32)
    depth[inside] = estimate.depth[places[inside][:, 1], places[inside][:, 0]]
    return depth


def _draw_bones(canvas: np.ndarray, joints: np.ndarray, camera: Intrinsics) -> None:
    pixels, depth = project(joints[: len(JOINT_PARENTS)], camera)
    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0 and min(depth[joint], depth[parent]) > _NEAR_M:
            a, b = (tuple(int(x) for x in np.clip(pixels[j], -9999, 9999)) for j in (parent, joint))
            cv2.line(canvas, a, b, _TRUE_COLOR, 1, cv2.LINE_AA)
