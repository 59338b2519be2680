"""Images of one place to metric points and cameras, with what is known of them.

network = load_pi3x("model.safetensors", device="cuda")
scene = scene_from_images(network, images, cameras=[camera] * len(images))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from human3r.errors import InputError
from human3r.multiview.fusion import mean_rotations
from human3r.multiview.pi3x.config import PATCH_PX
from human3r.multiview.pi3x.network import Pi3X, Pi3XOutput
from human3r.multiview.pi3x.priors import Priors, rays_of
from human3r.types import Intrinsics, check_rgb_image

_MOST_PIXELS = 255_000
"""About what the published network was trained with."""
_OTHER_SHAPE = 0.02
"""Aspect ratios that differ by more are another shape."""
_LEAST_BASELINE_M = 1e-3


@dataclass(frozen=True)
class SceneView:
    """One image's part of a scene, at the size the network saw it."""

    image: UInt8[np.ndarray, "height width 3"]
    intrinsics: Intrinsics
    """Read from the network's rays."""
    world_from_camera: Float[np.ndarray, "4 4"]
    """Metres."""
    depth_m: Float[np.ndarray, "height width"]
    points_world: Float[np.ndarray, "height width 3"]
    """Metres."""
    confidence: Float[np.ndarray, "height width"]
    """From 0 to 1."""


@dataclass(frozen=True)
class Scene:
    """What several images show together."""

    views: tuple[SceneView, ...]
    """In the order of the images."""
    scale_from: str
    """What metres come from: ``poses``, ``depth`` or ``network``."""

    def points(self, min_confidence: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
        """All points (n, 3) float32, metres, and their colours (n, 3) uint8.

        Args:
            min_confidence: of the points taken, from 0 to 1.
        """
        keep = [view.confidence >= min_confidence for view in self.views]
        pairs = list(zip(self.views, keep, strict=True))
        places = np.concatenate([view.points_world[chosen] for view, chosen in pairs])
        colours = np.concatenate([view.image[chosen] for view, chosen in pairs])
        return places.astype(np.float32), colours


def scene_from_images(
    network: Pi3X,
    images: Sequence[np.ndarray],
    *,
    cameras: Sequence[Intrinsics | None] | None = None,
    world_from_camera: Sequence[np.ndarray | None] | None = None,
    depths_m: Sequence[np.ndarray | None] | None = None,
    max_pixels: int = _MOST_PIXELS,
) -> Scene:
    """Points and cameras of all images, in the world of the poses or else of the first camera.

    Two poses and more decide world and metres, else depth decides metres, else the network does.

    Args:
        network: on its device.
        images: (height, width, 3) uint8 RGB, of one shape; their order is of no matter.
        cameras: of the images, where known.
        world_from_camera: (4, 4) in metres, where known.
        depths_m: (height, width) of any size of the images' shape; NaN or 0 where unknown.
        max_pixels: of the images that the network sees.

    Raises:
        InputError: no images, other shapes, or lists of another length.
        ShapeError: priors for a network without their branches.
    """
    pictures = prepared(images, max_pixels)
    count, (height, width) = len(pictures), pictures[0].shape[:2]
    device = network.image_mean.device
    depths = _depths(_listed("depths_m", depths_m, count), (height, width))
    poses = _stacked(_listed("world_from_camera", world_from_camera, count), (4, 4))
    priors = Priors(
        depth=_sent(depths, device),
        rays=_sent(_rays(_listed("cameras", cameras, count), images, (height, width)), device),
        world_from_camera=_sent(poses, device),
    )
    planes = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        found = network(planes, priors)
    return _scene(pictures, found, poses, depths)


def prepared(images: Sequence[np.ndarray], max_pixels: int = _MOST_PIXELS) -> list[np.ndarray]:
    """The images at one size whose sides are multiples of 14, about as large as allowed.

    Args:
        images: (height, width, 3) uint8; the first one decides the shape.
        max_pixels: of each.

    Raises:
        InputError: none, or images of another shape than the first.
    """
    if not len(images):
        raise InputError("no images are given; expected at least one.")
    height, width = check_rgb_image(images[0]).shape[:2]
    for number, image in enumerate(images):
        h, w = check_rgb_image(image).shape[:2]
        if abs(w * height / (h * width) - 1) > _OTHER_SHAPE:
            raise InputError(
                f"image {number} is {w}x{h}, the first {width}x{height}; expected one shape, to "
                f"{_OTHER_SHAPE:.0%}. Crop them alike, or make a scene of each shape."
            )
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    size = tuple(max(1, round(side * scale / PATCH_PX)) * PATCH_PX for side in (width, height))
    return [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]


def fit_camera(
    rays: Float[np.ndarray, "height width 2"], weights: Float[np.ndarray, "height width"]
) -> Intrinsics:
    """The pinhole camera whose rays are nearest: focal length and principal point per axis.

    Args:
        rays: x and y of every pixel's ray at depth 1.
        weights: of the pixels, not negative.

    Raises:
        InputError: rays that turn the image over, or say nothing.
    """
    height, width = rays.shape[:2]
    v, u = np.mgrid[:height, :width].astype(np.float64)
    total = max(float(weights.sum()), 1e-12)

    def line(at: np.ndarray, ray: np.ndarray) -> tuple[float, float]:
        middle, value = (weights * at).sum() / total, (weights * ray).sum() / total
        spread = (weights * (at - middle) ** 2).sum()
        slope = (weights * (at - middle) * (ray - value)).sum() / max(float(spread), 1e-12)
        if not slope > 1e-6:
            raise InputError(
                f"rays grow by {slope:.2g} per pixel; expected those of a camera. Are the "
                "network's weights trained, and is the confidence not 0 everywhere?"
            )
        return 1 / slope, middle - value / slope

    (fx, cx), (fy, cy) = line(u, rays[..., 0]), line(v, rays[..., 1])
    return Intrinsics(fx, fy, cx, cy, width, height)


def _listed(name: str, given: Sequence | None, count: int) -> list:
    if given is not None and len(given) != count:
        raise InputError(
            f"{name} has {len(given)} entries for {count} images; expected one each, None where "
            "it is not known."
        )
    return [None] * count if given is None else list(given)


def _stacked(values: list[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray | None:
    if all(value is None for value in values):
        return None
    unknown = np.full(shape, np.nan)
    return np.stack([unknown if v is None else np.asarray(v, np.float64) for v in values])


def _depths(values: list[np.ndarray | None], size: tuple[int, int]) -> np.ndarray | None:
    height, width = size
    scaled = [
        None
        if value is None
        else cv2.resize(
            np.asarray(value, np.float32), (width, height), interpolation=cv2.INTER_NEAREST
        )
        for value in values
    ]
    return _stacked(scaled, size)


def _rays(
    cameras: list[Intrinsics | None], images: Sequence[np.ndarray], size: tuple[int, int]
) -> np.ndarray | None:
    height, width = size
    matrices = []
    for camera, image in zip(cameras, images, strict=True):
        if camera is None:
            matrices.append(None)
            continue
        # Small roundings of the aspect go into the two focal lengths.
        own = camera.scaled_to(image.shape[1], image.shape[0])
        sx, sy = width / own.width_px, height / own.height_px
        matrix = own.matrix()
        matrix[0] *= sx
        matrix[1] *= sy
        matrix[:2, 2] += 0.5 * np.array([sx, sy]) - 0.5
        matrices.append(matrix)
    stacked = _stacked(matrices, (3, 3))
    return None if stacked is None else rays_of(torch.from_numpy(stacked), height, width).numpy()


def _sent(values: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.from_numpy(values).float().to(device)


def _scene(
    pictures: list[np.ndarray],
    found: Pi3XOutput,
    poses: np.ndarray | None,
    depths: np.ndarray | None,
) -> Scene:
    own = found.world_from_camera.double().cpu().numpy()
    depth = found.depth.double().cpu().numpy()
    rays = found.rays.double().cpu().numpy()
    confidence = found.confidence.float().sigmoid().cpu().numpy()
    scale, source = float(found.metric), "network"
    world_from_own = np.linalg.inv(own[0])
    world_from_own[:3, 3] *= scale
    if depths is not None:
        is_known = np.isfinite(depths) & (depths > 0)
        scale, source = float(np.median(depths[is_known] / depth[is_known])), "depth"
        world_from_own = np.linalg.inv(own[0])
        world_from_own[:3, 3] *= scale
    if poses is not None:
        aligned = _aligned(own, poses)
        if aligned is not None:
            (scale, world_from_own), source = aligned, "poses"
    views = []
    for number, picture in enumerate(pictures):
        camera = own[number].copy()
        camera[:3, 3] *= scale
        camera = world_from_own @ camera
        depth_m = (scale * depth[number]).astype(np.float32)
        points = np.concatenate([rays[number], np.ones_like(depth_m)[..., None]], -1)
        points = (points * depth_m[..., None]) @ camera[:3, :3].T + camera[:3, 3]
        views.append(
            SceneView(
                picture,
                fit_camera(rays[number], confidence[number]),
                camera,
                depth_m,
                points.astype(np.float32),
                confidence[number],
            )
        )
    return Scene(tuple(views), source)


def _aligned(own: np.ndarray, poses: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Scale and world_from_own, from cameras whose pose is known; None where they are too few.

    Rotations are averaged first; then scale and translation are least squares (Umeyama with a known
    rotation), so that two cameras are enough.
    """
    known = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2)))
    if len(known) < 2:
        return None
    turns = poses[known, :3, :3] @ np.swapaxes(own[known, :3, :3], 1, 2)
    turn = mean_rotations(turns[None, :, None], np.ones((1, len(known))))[0, 0]
    mine, theirs = own[known, :3, 3] @ turn.T, poses[known, :3, 3]
    a, b = mine - mine.mean(0), theirs - theirs.mean(0)
    spread = float((a * a).sum())
    scale = float((a * b).sum()) / spread if spread > 0 else 0.0
    if not scale > 0 or np.abs(b).max() < _LEAST_BASELINE_M:
        return None
    world_from_own = np.eye(4)
    world_from_own[:3, :3] = turn
    world_from_own[:3, 3] = theirs.mean(0) - scale * mine.mean(0)
    return scale, world_from_own
