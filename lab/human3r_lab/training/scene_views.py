"""Views for learning depth: crops of any focal length, turned, mirrored, seen by worse cameras."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from human3r.types import Intrinsics
from human3r_lab.datasets.sequence_file import SUFFIX, SequenceFile

SMALL_PX = ((160, 128), (160, 128), (192, 128), (160, 96), (128, 160))
LARGE_PX = ((224, 160), (224, 160), (256, 192), (192, 160), (160, 224))
"""Widths and heights of batches, by turns at random: early ones and late ones."""
FARTHEST_M = 60.0
"""Everything beyond counts as this far, the sky too."""
_NEAREST_M = 0.3
_SMALLEST_CROP = 0.6
_SMALLEST_CENTRED_CROP = 0.85
"""Of views for learning focal lengths, whose distribution stays near that of the cameras drawn."""
_MAX_ROLL_RAD = 0.12


@dataclass(frozen=True)
class SceneBatch:
    """Images of one size with their depth."""

    image: Float[Tensor, "batch 3 height width"]
    """RGB in [-1, 1]."""
    camera: Float[Tensor, "batch 4"]
    """fx, fy, cx, cy in pixels."""
    log_depth: Float[Tensor, "batch height width"]
    """Of metres; NaN outside of the view."""
    is_sky: Bool[Tensor, "batch height width"]
    is_person: Bool[Tensor, "batch height width"]


class SceneViews:
    """Random views of all sequences of a folder; it may grow meanwhile.

    Args:
        folder: of sequence files.
        seed: of everything random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = np.random.default_rng(seed)
        self._paths: list[Path] = []
        self._order: list[tuple[Path, int]] = []

    def batch(
        self, count: int, sizes_px: Sequence[tuple[int, int]], *, is_centred: bool = False
    ) -> SceneBatch:
        """The next ``count`` views, at one of the sizes; ``is_centred`` as of ``augmented``."""
        size = sizes_px[self._rng.integers(len(sizes_px))]
        return _stacked([self._view(size, is_centred) for _ in range(count)])

    @property
    def num_sequences(self) -> int:
        """Sequences found when the last epoch began."""
        return len(self._paths)

    def _view(self, size_px: tuple[int, int], is_centred: bool) -> tuple[np.ndarray, ...]:
        if not self._order:
            self._begin_epoch()
        path, index = self._order.pop()
        view = SequenceFile(path).view(index)
        return augmented(
            *(view.image, view.depth_m, view.person_index, view.intrinsics, size_px),
            self._rng,
            is_centred=is_centred,
        )

    def _begin_epoch(self) -> None:
        """Every view of every file that is there by now, once, in random order."""
        self._paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        views = [(path, i) for path in self._paths for i in range(len(SequenceFile(path)))]
        self._order = [views[i] for i in self._rng.permutation(len(views))]


def plain_batch(
    image: np.ndarray, depth_m: np.ndarray, person_index: np.ndarray, camera: Intrinsics
) -> SceneBatch:
    """One view as it is, sides of a multiple of 32."""
    values = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    return _stacked([(image, depth_m, person_index, values)])


def augmented(
    image: np.ndarray,
    depth_m: np.ndarray,
    person_index: np.ndarray,
    camera: Intrinsics,
    size_px: tuple[int, int],
    rng: np.random.Generator,
    *,
    is_centred: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A random part of a view, as a camera of another focal length and quality would see it.

    Args:
        image: (height, width, 3) uint8.
        depth_m: (height, width).
        person_index: (height, width) uint8.
        camera: of the view.
        size_px: width and height wanted.
        rng: decides.
        is_centred: the part lies in the middle of the view, where the principal point is.

    Returns:
        Image (h, w, 3) uint8, depth (h, w) NaN where nothing is known, person index (h, w), and
        the camera fx, fy, cx, cy.
    """
    to_part, values = _random_part(camera, size_px, rng, is_centred)
    shrink = 1 / np.hypot(*to_part[:, 0])
    if shrink > 1.2:
        image = cv2.GaussianBlur(image, (0, 0), 0.3 * shrink)
    part = cv2.warpAffine(image, to_part, size_px, borderMode=cv2.BORDER_REFLECT_101)
    nearest = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT}
    depth = cv2.warpAffine(depth_m, to_part, size_px, borderValue=float("nan"), **nearest)
    people = cv2.warpAffine(person_index, to_part, size_px, borderValue=0, **nearest)
    return _photographed(part, rng), depth, people, values


def _random_part(
    camera: Intrinsics, size_px: tuple[int, int], rng: np.random.Generator, is_centred: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Part from source pixels (2, 3), and the part's camera.

    A turn about the optical axis leaves every depth as it is.
    """
    width, height = size_px
    most = min(camera.width_px / width, camera.height_px / height)
    smallest = _SMALLEST_CENTRED_CROP if is_centred else _SMALLEST_CROP
    scale = most * np.exp(rng.uniform(np.log(smallest), 0))
    roll = rng.normal(0, _MAX_ROLL_RAD / 2) if rng.random() < 0.5 else 0.0
    spare = np.array([camera.width_px - scale * width, camera.height_px - scale * height])
    middle = np.array([camera.width_px - 1, camera.height_px - 1]) / 2
    if not is_centred:
        middle = middle + (rng.random(2) - 0.5) * np.maximum(spare, 0)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    c, s = np.cos(roll) / scale, np.sin(roll) / scale
    # Turned about the principal point, so that the camera stays a pinhole camera.
    principal = np.array([camera.cx, camera.cy])
    turn = np.array([[c, -s], [s, c]])
    turn[0] *= mirror
    target = (np.array(size_px) - 1) / 2
    shift = target - turn @ middle
    cx, cy = turn @ principal + shift
    values = np.array([camera.fx / scale, camera.fy / scale, cx, cy], np.float32)
    return np.column_stack((turn, shift)), values


def _photographed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light, colours, sharpness, noise and compression."""
    x = image.astype(np.float32) / 255
    if rng.random() < 0.8:
        x = np.clip(x, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
        x = x * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3)).astype(np.float32)
        grey = x.mean(-1, keepdims=True)
        x = grey + (x - grey) * np.float32(np.exp(rng.normal(0, 0.35)))
        x = (x - x.mean()) * np.float32(np.exp(rng.normal(0, 0.2))) + x.mean()
    if rng.random() < 0.1:
        x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.3:
        noise = rng.standard_normal(x.shape, np.float32)
        x = x + noise * np.float32(rng.uniform(0.003, 0.04))
    result = np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(30, 90))
        _, data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])
        result = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return result  # pyright: ignore[reportReturnType]


def _stacked(views: Sequence[tuple[np.ndarray, ...]]) -> SceneBatch:
    images, depths, people, cameras = (np.stack(part) for part in zip(*views, strict=True))
    is_sky = depths == 0
    depth = np.where(is_sky, FARTHEST_M, np.clip(depths, _NEAREST_M, FARTHEST_M))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return SceneBatch(
        image=pixels.contiguous(memory_format=torch.channels_last),
        camera=torch.from_numpy(cameras),
        log_depth=torch.from_numpy(np.log(depth).astype(np.float32)),
        is_sky=torch.from_numpy(is_sky),
        is_person=torch.from_numpy(people > 0),
    )
