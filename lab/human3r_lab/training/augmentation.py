"""Changes to views that keep their truth true: crops, mirror images, other colours."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from human3r.body import skeleton
from human3r.types import ImageGeometry, Intrinsics
from human3r_lab.datasets import PeopleTruth, ViewTruth

_FLIP_X = np.diag([-1.0, 1.0, 1.0])
_SIDEWAYS = 8
"""The expression of the free body that pulls the mouth to one side."""


@dataclass(frozen=True)
class Crop:
    """A part of the source image, and how it becomes the network image."""

    left_px: int
    top_px: int
    geometry: ImageGeometry
    """From the part to the network image."""


def centred_crop(
    camera: Intrinsics, size_px: tuple[int, int], zoom: float = 1.0, margin_px: int = 0
) -> Crop:
    """The crop around the principal point that fills the network image.

    Args:
        camera: of the source image.
        size_px: width and height of the network image.
        zoom: share of the largest part around the principal point that is used, up to 1.
        margin_px: pixels by which the reduced part is larger than the network image.
    """
    sides = []
    for center, side in ((camera.cx, camera.width_px), (camera.cy, camera.height_px)):
        middle = min(max(center + 0.5, 1.0), side - 1.0)
        half = min(middle, side - middle) * zoom
        low = max(0, round(middle - half))
        sides.append((low, max(1, min(side, round(middle + half)) - low)))
    (left, width), (top, height) = sides
    scale = max(
        (wanted + margin_px) / side for wanted, side in zip(size_px, (width, height), strict=True)
    )
    resized = [
        max(wanted, round(side * scale))
        for wanted, side in zip(size_px, (width, height), strict=True)
    ]
    geometry = ImageGeometry(
        source_width_px=width,
        source_height_px=height,
        resized_width_px=resized[0],
        resized_height_px=resized[1],
        crop_left_px=(resized[0] - size_px[0]) // 2,
        crop_top_px=(resized[1] - size_px[1]) // 2,
        width_px=size_px[0],
        height_px=size_px[1],
    )
    return Crop(left, top, geometry)


def whole_image(geometry: ImageGeometry) -> Crop:
    """The crop that inference makes, as ``streaming.preprocess.fit_geometry`` says it."""
    return Crop(0, 0, geometry)


def crop_view(view: ViewTruth, crop: Crop) -> ViewTruth:
    """The view at network size: image filtered, depth and people by nearest neighbour."""
    g, left, top = crop.geometry, crop.left_px, crop.top_px
    columns = g.source_from_network(np.stack([np.arange(g.width_px)] * 2, -1))[:, 0]
    rows = g.source_from_network(np.stack([np.arange(g.height_px)] * 2, -1))[:, 1]
    columns = np.clip(np.round(columns).astype(int), 0, g.source_width_px - 1) + left
    rows = np.clip(np.round(rows).astype(int), 0, g.source_height_px - 1) + top
    nearest = np.ix_(rows, columns)
    camera = replace(
        view.intrinsics,
        cx=view.intrinsics.cx - left,
        cy=view.intrinsics.cy - top,
        width_px=g.source_width_px,
        height_px=g.source_height_px,
    )
    return replace(
        view,
        image=_resized(view.image, crop),
        depth_m=view.depth_m[nearest],
        person_index=view.person_index[nearest],
        intrinsics=g.network_intrinsics(camera),
    )


def _resized(image: np.ndarray, crop: Crop) -> np.ndarray:
    g = crop.geometry
    part = image[
        crop.top_px : crop.top_px + g.source_height_px,
        crop.left_px : crop.left_px + g.source_width_px,
    ]
    shrinks = g.resized_width_px < g.source_width_px
    method = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    resized = Image.fromarray(np.ascontiguousarray(part)).resize(
        (g.resized_width_px, g.resized_height_px), method
    )
    left, top = g.crop_left_px, g.crop_top_px
    return np.array(resized.crop((left, top, left + g.width_px, top + g.height_px)))


def mirror_view(view: ViewTruth) -> ViewTruth:
    """The view as a mirror shows it: left and right change places, in people too.

    Holds for bodies that are symmetric, as the free body is to 0.04 mm in its template and
    0.1 mm per unit of its betas.
    """
    camera = view.intrinsics
    flip = np.eye(4)
    flip[0, 0] = -1
    # The world is mirrored in its first axis, so that its z still points up.
    return replace(
        view,
        image=view.image[:, ::-1],
        depth_m=view.depth_m[:, ::-1],
        person_index=view.person_index[:, ::-1],
        intrinsics=replace(camera, cx=camera.width_px - 1 - camera.cx),
        world_from_camera=flip @ view.world_from_camera @ flip,
        people=mirror_people(view.people),
    )


def mirror_people(people: PeopleTruth) -> PeopleTruth:
    """People as a mirror in the camera's y-z plane shows them."""
    flip = _FLIP_X.astype(people.rotations.dtype)
    signs = np.ones(people.expression.shape[1:], people.expression.dtype)
    signs[_SIDEWAYS] = -1
    return replace(
        people,
        rotations=(flip @ people.rotations @ flip)[:, _OTHER_SIDE],
        expression=people.expression * signs,
        head_camera=people.head_camera * flip.diagonal(),
        contacts=people.contacts[:, [2, 3, 0, 1]],
    )


def _other_side() -> list[int]:
    names = [skeleton.JOINT_NAMES[joint] for joint in skeleton.JOINT_OF_ROTATION]
    swapped = {"left": "right", "right": "left"}
    return [
        names.index("_".join(swapped.get(word, word) for word in name.split("_"))) for name in names
    ]


_OTHER_SIDE = _other_side()


@dataclass(frozen=True)
class ColorChange:
    """One change of colours, the same for all views of a window."""

    order: tuple[int, ...]
    """Which of brightness, contrast, saturation and hue comes when."""
    brightness: float
    contrast: float
    saturation: float
    hue: float
    """Part of the colour circle."""
    blur_px: float = 0.0
    """Standard deviation."""
    noise: float = 0.0
    """Standard deviation, of 1 for white."""

    @classmethod
    def draw(
        cls, rng: np.random.Generator, strength: float, hue: float, degradation: float = 0.0
    ) -> "ColorChange":
        """A random change.

        Args:
            rng: where chance comes from.
            strength: brightness, contrast and saturation change by up to that share.
            hue: largest part of the colour circle to turn by.
            degradation: probability of blur, and of noise.
        """
        factors = rng.uniform(1 - strength, 1 + strength, 3)
        turn = rng.uniform(-hue, hue)
        order = tuple(int(i) for i in rng.permutation(4))
        blur, noise = rng.uniform(0.3, 1.2), rng.uniform(0.005, 0.03)
        has_blur, has_noise = rng.random(2) < degradation
        return cls(order, *map(float, factors), turn, blur * has_blur, noise * has_noise)


def change_colors(image: np.ndarray, change: ColorChange, rng: np.random.Generator) -> np.ndarray:
    """An image (height, width, 3) uint8 in other colours; ``rng`` draws the noise."""
    x = image.astype(np.float32) / 255
    for step in change.order:
        x = _COLOR_STEPS[step](x, change)
    if change.blur_px:
        x = cv2.GaussianBlur(x, (0, 0), change.blur_px)
    if change.noise:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(change.noise)
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)


def _brighter(x: np.ndarray, change: ColorChange) -> np.ndarray:
    return np.clip(x * np.float32(change.brightness), 0, 1)


def _contrasted(x: np.ndarray, change: ColorChange) -> np.ndarray:
    mean = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).mean()
    return np.clip(mean + (x - mean) * np.float32(change.contrast), 0, 1)


def _saturated(x: np.ndarray, change: ColorChange) -> np.ndarray:
    gray = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    return np.clip(gray + (x - gray) * np.float32(change.saturation), 0, 1)


def _turned(x: np.ndarray, change: ColorChange) -> np.ndarray:
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(360 * change.hue)) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


_COLOR_STEPS = (_brighter, _contrasted, _saturated, _turned)
