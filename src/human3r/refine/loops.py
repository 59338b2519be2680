"""Places that are seen again: poses between key frames far apart in time, from image features.

Candidates by place and by looks, verified by geometry: features of one image with their depth, seen
in the other. Sources: features, Rublee et al. 2011 (ORB); poses, Fischler and Bolles 1981 (RANSAC);
both by OpenCV.
"""

from itertools import combinations

import cv2
import numpy as np
from jaxtyping import Int
from scipy.spatial.transform import Rotation

from human3r.geometry import invert
from human3r.refine.recording import Recording, View
from human3r.refine.residuals.cameras import PosePairs, no_loops

_EVERY_S, _APART_S = 1.0, 6.0
"""Frames that are compared, and how far apart in time at least."""
_MOST_FRAMES = 120
_FEATURES = 800
_RATIO = 0.8
_FEWEST, _SHARE = 25, 0.35
"""Features that have to agree on the pose, and of those that look alike."""
_OFF_PX = 2.5
_MOST_OFF_M, _MOST_TURNED_RAD = 5.0, np.radians(75)
"""Cameras farther apart, as the path has it, hardly see the same."""
_LEAST_M, _LEAST_RAD = 0.02, np.radians(0.5)
"""Standard deviation of a loop's pose, at least."""
_SHOWS = 2.0
"""Standard deviations by which a path has to miss a loop to be doubted for it."""


def find_loops(recording: Recording, keys: Int[np.ndarray, " keys"]) -> PosePairs:
    """Poses between key frames that see the same place again; none without images.

    The camera has to have been elsewhere in between: one that stands still closes no loop.
    """
    times_s = recording.times_s[keys]
    step = max(1, round(_EVERY_S / max(float(np.median(np.diff(times_s))), 1e-6)))
    step = max(step, len(keys) // _MOST_FRAMES)
    chosen = np.arange(0, len(keys), step)
    pose = recording.world_from_camera[keys]
    if len(keys) - 1 - chosen[-1]:
        chosen = np.append(chosen, len(keys) - 1)
    seen = {int(key): _features(recording.view(int(keys[key]))) for key in chosen}
    found = []
    for a, b in combinations(map(int, chosen), 2):
        if times_s[b] - times_s[a] < _APART_S or not _could_meet(pose, a, b):
            continue
        closed = _both_ways(seen[a], seen[b])
        if closed is not None and np.linalg.norm(closed[0][:3, 3]) < _MOST_OFF_M:
            found.append((a, b, *closed))
    if not found:
        return no_loops()
    columns = (np.array(column) for column in zip(*found, strict=True))
    loops = PosePairs(*columns)
    return loops if _misses(loops, pose) else no_loops()


def _misses(loops: PosePairs, pose: np.ndarray) -> bool:
    """The path, as it is, is farther from most of the loops than they can be off themselves."""
    path = invert(pose[loops.key]) @ pose[loops.other]
    off_m = np.linalg.norm(path[:, :3, 3] - loops.key_from_other[:, :3, 3], axis=1)
    turned = np.swapaxes(loops.key_from_other[:, :3, :3], 1, 2) @ path[:, :3, :3]
    off_rad = Rotation.from_matrix(turned).magnitude()
    shows = np.maximum(off_m / loops.stddev_m, off_rad / loops.stddev_rad)
    return bool(np.median(shows) > _SHOWS)


def _both_ways(a: "_Seen | None", b: "_Seen | None") -> tuple[np.ndarray, float, float] | None:
    """a_from_b by the depth of a, if that of b says the same; and by how much the two differ.

    Depth and focal length that are off act on the two in opposite ways.
    """
    there = _pose(a, b)
    back = _pose(b, a) if there is not None else None
    if there is None or back is None:
        return None
    off = there @ back
    off_m = float(np.linalg.norm(off[:3, 3]))
    off_rad = float(Rotation.from_matrix(off[:3, :3]).magnitude())
    half = invert(back)
    middle = there.copy()
    middle[:3, 3] = (there[:3, 3] + half[:3, 3]) / 2
    turn = Rotation.from_matrix(np.stack([there[:3, :3], half[:3, :3]])).mean()
    middle[:3, :3] = turn.as_matrix()
    return middle, max(_LEAST_M, off_m), max(_LEAST_RAD, off_rad)


def _could_meet(pose: np.ndarray, a: int, b: int) -> bool:
    between = pose[a : b + 1, :3, 3] - pose[a, :3, 3]
    away = float(np.linalg.norm(between, axis=1).max())
    turned = (
        Rotation.from_matrix(pose[a : b + 1, :3, :3]) * Rotation.from_matrix(pose[a, :3, :3]).inv()
    )
    if away < 0.5 and turned.magnitude().max() < np.radians(20):
        return False
    gap = float(np.linalg.norm(between[-1]))
    return gap < max(_MOST_OFF_M, 0.3 * away) and turned[-1].magnitude() < _MOST_TURNED_RAD


class _Seen:
    """Features of an image with their places in its camera's frame."""

    def __init__(self, view: View, pixels: np.ndarray, words: np.ndarray) -> None:
        column, row = np.round(pixels).astype(int).T
        self.camera, self.pixels, self.words = view.camera, pixels, words
        depth = view.depth[row, column]
        rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(view.camera).T
        self.points = rays * depth[:, None]


def _features(view: View | None) -> _Seen | None:
    if view is None or view.image is None:
        return None
    grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(view.is_scene.astype(np.uint8) * 255, grey.shape[::-1])
    points, words = cv2.ORB_create(_FEATURES, fastThreshold=10).detectAndCompute(grey, mask)  # pyright: ignore[reportAttributeAccessIssue]
    if words is None or len(points) < _FEWEST:
        return None
    # Pixel centres of the image twice as large lie a quarter pixel off.
    pixels = np.array([point.pt for point in points]) / 2 - 0.25
    height, width = view.depth.shape
    pixels = np.clip(pixels, 0, [width - 1, height - 1])
    column, row = np.round(pixels).astype(int).T
    good = view.is_scene[row, column]
    return _Seen(view, pixels[good], words[good]) if good.sum() >= _FEWEST else None


def _pose(a: _Seen | None, b: _Seen | None) -> np.ndarray | None:
    """a_from_b, when enough features of a appear in b where its pose has them."""
    if a is None or b is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(a.words, b.words, k=2)
    pairs = [m[0] for m in matches if len(m) == 2 and m[0].distance < _RATIO * m[1].distance]
    if len(pairs) < _FEWEST:
        return None
    points = a.points[[m.queryIdx for m in pairs]]
    pixels = b.pixels[[m.trainIdx for m in pairs]]
    cv2.setRNGSeed(0)
    is_found, turn, shift, fits = cv2.solvePnPRansac(
        points,
        pixels,
        b.camera,
        None,
        iterationsCount=300,
        reprojectionError=_OFF_PX,
        flags=cv2.SOLVEPNP_AP3P,
    )
    if not is_found or fits is None or len(fits) < max(_FEWEST, _SHARE * len(pairs)):
        return None
    fits = fits[:, 0]
    turn, shift = cv2.solvePnPRefineLM(points[fits], pixels[fits], b.camera, None, turn, shift)  # pyright: ignore[reportArgumentType, reportCallIssue]
    b_from_a = np.eye(4)
    b_from_a[:3, :3] = cv2.Rodrigues(turn)[0]
    b_from_a[:3, 3] = shift[:, 0]
    there = points[fits] @ b_from_a[:3, :3].T + b_from_a[:3, 3]
    if not np.isfinite(b_from_a).all() or (there[:, 2] <= 0).any():
        return None
    off_px = np.linalg.norm((there / there[:, 2:]) @ b.camera[:2].T - pixels[fits], axis=1)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return invert(b_from_a) if np.median(off_px) < _OFF_PX else None
