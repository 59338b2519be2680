"""The 51 face landmarks of the usual 68-point layout, without the contour of the jaw.

They are found in a picture of the face from the front: eyes by their visible outline, lips by
MakeHuman's mask of the lips, the nose by the profile of the face, brows by the skin that brow
expressions move. Each becomes a triangle with shares of its corners.
"""

from dataclasses import dataclass

import cv2
import numpy as np

PIXEL_M = 1e-4
LID_M = 8e-4
LIP_M = 8e-4
EYE, UPPER_LIP, LOWER_LIP = 1, 2, 3


@dataclass(frozen=True)
class Face:
    """What is known of a face: its surface and what its parts are."""

    vertices: np.ndarray
    """(vertices, 3) zero pose, facing +z."""
    triangles: np.ndarray
    """(triangles, 3) of the whole body."""
    labels: np.ndarray
    """(triangles,) 0, or EYE, UPPER_LIP, LOWER_LIP."""
    head: np.ndarray
    """(triangles,) whether a triangle belongs to the head, jaw or eyes."""
    brow_peaks: np.ndarray
    """(3, 3) the left brow: inner end, middle, outer end."""


def face_landmarks(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Triangle numbers (51,) and corner shares (51, 3), in the order of the 68-point layout."""
    picture, origin = _label_picture(face)
    eyes = [_eye(picture, origin, sign) for sign in (-1, 1)]
    points = np.vstack([_brows(face), _nose(face, eyes), *eyes, _mouth(picture, origin)])
    return front_hits(face.vertices, face.triangles, np.flatnonzero(face.head), points)


def front_hits(
    vertices: np.ndarray, triangles: np.ndarray, candidates: np.ndarray, points_xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The foremost (+z) candidate triangle over each point (points, 2), and the corner shares.

    Raises:
        ValueError: a point lies beside all triangles.
    """
    corners = vertices[triangles[candidates]]
    a, b, c = corners[:, 0, :2], corners[:, 1, :2], corners[:, 2, :2]
    area = _cross(b - a, c - a)
    proper = np.abs(area) > 1e-14
    numbers, shares = [], []
    for point in points_xy:
        with np.errstate(divide="ignore", invalid="ignore"):
            first = _cross(b - point, c - point) / area
            second = _cross(c - point, a - point) / area
        share = np.stack([first, second, 1 - first - second], axis=-1)
        inside = proper & (share >= -1e-9).all(axis=1)
        if not inside.any():
            raise ValueError(f"no triangle of the face at x, y = {point}")
        depth = np.where(inside, np.einsum("tk,tk->t", share, corners[:, :, 2]), -np.inf)
        numbers.append(candidates[depth.argmax()])
        shares.append(np.clip(share[depth.argmax()], 0, 1))
    shares = np.array(shares)
    return np.array(numbers), shares / shares.sum(axis=1, keepdims=True)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _label_picture(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Labels seen from the front, and the x, y of the top left pixel; far triangles first."""
    corners = face.vertices[face.triangles]
    normals_z = _cross(corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2])
    seen = np.flatnonzero(face.head & (normals_z > 0))
    seen = seen[np.argsort(corners[seen, :, 2].mean(axis=1), kind="stable")]
    xy = corners[seen, :, :2]
    origin = np.array([xy[..., 0].min(), xy[..., 1].max()])
    extent = np.ceil((xy.reshape(-1, 2).max(0) - xy.reshape(-1, 2).min(0)) / PIXEL_M).astype(int)
    picture = np.zeros((extent[1] + 1, extent[0] + 1), np.uint8)
    pixels = np.round((xy - origin) * [1, -1] / PIXEL_M * 16).astype(np.int32)
    for label, polygon in zip(face.labels[seen].tolist(), pixels, strict=True):
        cv2.fillConvexPoly(picture, polygon, label, cv2.LINE_8, 4)
    return picture, origin


def _outline(mask: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a mask, for every column that has any: x, highest y, lowest y, metres."""
    columns = np.flatnonzero(mask.any(axis=0))
    top = mask[:, columns].argmax(axis=0)
    bottom = len(mask) - 1 - mask[::-1, columns].argmax(axis=0)
    return (origin[0] + columns * PIXEL_M, origin[1] - top * PIXEL_M, origin[1] - bottom * PIXEL_M)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return numbers == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def _eye(picture: np.ndarray, origin: np.ndarray, sign: int) -> np.ndarray:
    """Six points (6, 2) of one eye: corner, two above, corner, two below; x first ascending."""
    x_of_columns = origin[0] + np.arange(picture.shape[1]) * PIXEL_M
    x, upper, lower = _outline(_largest((picture == EYE) & (sign * x_of_columns > 0)), origin)
    left, right = x[0] - LID_M, x[-1] + LID_M
    near, far = np.interp([1 / 3, 2 / 3], [0, 1], [x[0], x[-1]])
    above = np.interp([near, far], x, upper) + LID_M
    below = np.interp([far, near], x, lower) - LID_M
    ends = (upper[[0, -1]] + lower[[0, -1]]) / 2
    return np.array(
        [
            (left, ends[0]),
            (near, above[0]),
            (far, above[1]),
            (right, ends[1]),
            (far, below[0]),
            (near, below[1]),
        ]
    )


def _mouth(picture: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Twenty points (20, 2): twelve around the lips, eight along the line between them."""
    upper_x, upper_top, upper_line = _outline(_largest(picture == UPPER_LIP), origin)
    lower_x, lower_line, lower_bottom = _outline(_largest(picture == LOWER_LIP), origin)
    half = (upper_x[-1] - upper_x[0]) / 2 - LIP_M

    def at(fractions: list[float], x: np.ndarray, y: np.ndarray, shift_m: float) -> np.ndarray:
        columns = half * np.array(fractions)
        return np.stack([columns, np.interp(columns, x, y) + shift_m], axis=-1)

    corner_y = np.interp([-half, half], upper_x, (upper_top + upper_line) / 2)
    outer_top = at([-0.64, -0.28, 0, 0.28, 0.64], upper_x, upper_top, -LIP_M)
    outer_bottom = at([0.64, 0.3, 0, -0.3, -0.64], lower_x, lower_bottom, LIP_M)
    inner_top = at([-0.85, -0.4, 0, 0.4, 0.85], upper_x, upper_line, LIP_M)
    inner_bottom = at([0.4, 0, -0.4], lower_x, lower_line, -LIP_M)
    corners = np.stack([[-half, half], corner_y], axis=-1)
    return np.vstack([corners[:1], outer_top, corners[1:], outer_bottom, inner_top, inner_bottom])


def _brows(face: Face) -> np.ndarray:
    """Ten points (10, 2), x ascending: five along each brow."""
    inner, middle, outer = face.brow_peaks[:, :2]
    left = np.array([inner, (inner + middle) / 2, middle, (middle + outer) / 2, outer])
    return np.vstack([left[::-1] * [-1, 1], left])


def _nose(face: Face, eyes: list[np.ndarray]) -> np.ndarray:
    """Four points down the bridge to the tip, five under the nose from right to left."""
    top = float(np.mean([eye[:, 1].mean() for eye in eyes]))
    heights = np.arange(top, top - 0.075, -2.5e-4)
    candidates = np.flatnonzero(face.head)
    line = np.stack([np.zeros_like(heights), heights], axis=-1)
    numbers, shares = front_hits(face.vertices, face.triangles, candidates, line)
    depth = np.einsum("pk,pk->p", shares, face.vertices[face.triangles[numbers], 2])
    # The tip is the foremost point; under it the profile falls back as far as the upper lip.
    tip = depth[: len(depth) // 2 + 20].argmax()
    base = tip + depth[tip : tip + 80].argmin()
    bridge = np.linspace(heights[0], heights[tip], 4)
    half = 0.5 * (eyes[1][0, 0] - eyes[0][3, 0])
    under = heights[base] + np.array([6, 2, 0, 2, 6]) * 1e-3
    across = half * np.array([-0.85, -0.4, 0, 0.4, 0.85])
    return np.vstack([np.stack([np.zeros(4), bridge], axis=-1), np.stack([across, under], axis=-1)])
