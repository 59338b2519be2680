"""Which views are learnt from when, and how they become one batch of tensors."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from human3r.errors import ConfigError
from human3r.geometry import invert
from human3r.model.variants import NetworkConfig
from human3r_lab.datasets import SequenceFile, ViewTruth
from human3r_lab.training.augmentation import (
    ColorChange,
    centred_crop,
    change_colors,
    crop_view,
    mirror_view,
)
from human3r_lab.training.targets import TargetRules, ViewTargets, make_targets, read_beside

_MAX_INTERVAL = 4
_OPEN_FILES = 64


@dataclass(frozen=True)
class Augmentation:
    """How views are changed before they are learnt from."""

    sizes_px: tuple[tuple[int, int, float], ...]
    """Width, height and relative frequency of the network images; one size per batch."""
    zoom: float = 1.0
    """Smallest share of the image, per side, that a window shows."""
    margin_px: int = 15
    """Up to so many pixels the reduced image is larger than the network image."""
    color: float = 0.5
    """Largest relative change of brightness, contrast and saturation."""
    hue: float = 0.1
    """Largest turn of the colour circle."""
    degradation: float = 0.0
    """Probability of blur, and of noise."""
    mirror: float = 0.0
    """Probability of a mirrored window."""
    reverse: float = 0.0
    """Probability of a window that runs backwards in time."""
    beside: float = 0.0
    """Standard deviation in tokens by which the place where a person is read misses the head."""
    ray_map: float = 0.0
    """Probability with which a view after the first comes with its ray map."""

    def weakened(self, strength: float) -> "Augmentation":
        """Crops and colours changed by a share of the full amount.

        Args:
            strength: 0 shows pictures as they are, 1 changes them as this says. What costs no
                likeness, mirrored and reversed windows, stays, and so does where people are read.
        """
        return dataclasses.replace(
            self,
            zoom=1 - (1 - self.zoom) * strength,
            margin_px=round(self.margin_px * strength),
            color=self.color * strength,
            hue=self.hue * strength,
            degradation=self.degradation * strength,
        )


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a step learns from, besides the data itself."""

    config: NetworkConfig
    batch: int
    """Windows per step and process."""
    views: int
    seed: int
    augmentation: Augmentation
    rules: TargetRules

    def __post_init__(self) -> None:
        for name in ("batch", "views"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; expected 1 or more. Correct --{name}."
                )


@dataclass(frozen=True)
class Batch:
    """Windows of views with their truth; absent people are zeros."""

    image: UInt8[Tensor, "batch views 3 height width"]
    depth_m: Float[Tensor, "batch views height width"]
    is_person: Bool[Tensor, "batch views height width"]
    camera: Float[Tensor, "batch views 4"]
    """fx, fy, cx, cy in pixels of the network image."""
    first_from_camera: Float[Tensor, "batch views 4 4"]
    """From each view's camera to that of the window's first view."""
    has_ray_map: Bool[Tensor, "batch views"]
    """The network is told the view's camera."""
    is_present: Bool[Tensor, "batch views people"]
    head_index: Int[Tensor, "batch views people"]
    """Numbers of the tokens with heads in them."""
    token_index: Int[Tensor, "batch views people"]
    """Numbers of the tokens that people are read from, usually the same."""
    patch_index: Int[Tensor, "batch views people"]
    offset: Float[Tensor, "batch views people 2"]
    rotations: Float[Tensor, "batch views people 53 3 3"]
    betas: Float[Tensor, "batch views people 10"]
    expression: Float[Tensor, "batch views people 10"]
    head_camera: Float[Tensor, "batch views people 3"]
    token_person: Int[Tensor, "batch views tokens"]
    """1 + number of the person at the centre of each token of the human branch; 0: none."""
    token_point: Float[Tensor, "batch views tokens 3"]
    """What is there, metres, camera frame."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        return Batch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU can fetch it from."""
        return Batch(**{k: v.pin_memory() for k, v in vars(self).items()})


class WindowOrder:
    """The windows of a data set in the order in which steps learn from them.

    A window is (sequence, first view). Each epoch goes through a permutation of all windows that
    depends on seed and epoch only, so that the number of a step says all.

    Args:
        lengths: views per sequence.
        views: views per window; short sequences repeat their last one.
        seed: which of the many orders.
    """

    def __init__(self, lengths: list[int], views: int, seed: int) -> None:
        self._starts = [
            (sequence, start)
            for sequence, length in enumerate(lengths)
            for start in range(max(1, length - views + 1))
        ]
        self._seed = seed
        self._epoch: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._starts)

    def window(self, position: int) -> tuple[int, int]:
        """Sequence and first view of the window at a place of the endless order."""
        epoch, place = divmod(position, len(self._starts))
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, 777])
            self._epoch = (epoch, rng.permutation(len(self._starts)))
        return self._starts[self._epoch[1][place]]


def window_views(rng: np.random.Generator, start: int, length: int, views: int) -> list[int]:
    """Numbers of the views of a window: one interval, drawn from 1 to min(4, remaining // 3).

    Where the sequence is too short its last view is repeated.

    Args:
        rng: where chance comes from.
        start: the first view.
        length: views of the sequence.
        views: views of the window.
    """
    remaining = length - 1 - start
    widest = min(_MAX_INTERVAL, remaining // max(1, views - 1))
    interval = int(rng.integers(1, max(1, widest) + 1))
    return [min(start + interval * i, length - 1) for i in range(views)]


class BatchMaker:
    """Makes the batch of a step; the same step always gives the same batch.

    Args:
        paths: sequence files.
        lengths: their numbers of views.
        plan: how.
        rank: number of this process.
        processes: how many learn together, each from its own windows.
    """

    def __init__(
        self,
        paths: list[Path],
        lengths: list[int],
        plan: Plan,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._paths, self._lengths, self._plan = paths, lengths, plan
        self._rank, self._processes = rank, processes
        self._order = WindowOrder(lengths, plan.views, plan.seed)

    def __call__(self, step: int) -> Batch:
        """The batch of step ``step``."""
        plan = self._plan
        size = self._size(step)
        first = (step * self._processes + self._rank) * plan.batch
        return collate(
            [self._window(position, size) for position in range(first, first + plan.batch)],
        )

    def _size(self, step: int) -> tuple[int, int]:
        sizes = self._plan.augmentation.sizes_px
        rng = np.random.default_rng([self._plan.seed, step, 1])
        shares = np.array([share for _, _, share in sizes])
        width, height, _ = sizes[rng.choice(len(sizes), p=shares / shares.sum())]
        return width, height

    def _window(self, position: int, size_px: tuple[int, int]) -> list[ViewTargets]:
        plan, change = self._plan, self._plan.augmentation
        rng = np.random.default_rng([plan.seed, position, 2])
        sequence, start = self._order.window(position)
        numbers = window_views(rng, start, self._lengths[sequence], plan.views)
        file = _opened(self._paths[sequence])
        views = [file.view(number) for number in numbers]
        if rng.random() < change.reverse:
            views.reverse()
        zoom = rng.uniform(change.zoom, 1)
        margin = int(rng.integers(0, change.margin_px + 1))
        is_mirrored = rng.random() < change.mirror
        has_ray_map = rng.random(len(views)) < change.ray_map
        colors = ColorChange.draw(rng, change.color, change.hue, change.degradation)
        targets = []
        for number, view in enumerate(views):
            view = crop_view(view, centred_crop(view.intrinsics, size_px, zoom, margin))
            view = mirror_view(view) if is_mirrored else view
            view = dataclasses.replace(view, image=change_colors(view.image, colors, rng))
            target = targets_of(view, plan)
            if change.beside:
                shifts = rng.normal(0, change.beside, target.offset.shape)
                target = read_beside(target, shifts)
            has = bool(number and has_ray_map[number])
            targets.append(dataclasses.replace(target, has_ray_map=has))
        return targets


def targets_of(view: ViewTruth, plan: Plan) -> ViewTargets:
    """Targets of a view that has the network's size."""
    return make_targets(view, plan.config.human_size_px, plan.config.patch_px, plan.rules)


def collate(windows: list[list[ViewTargets]]) -> Batch:
    """One batch of windows with equally many views of one size."""
    views = [view for window in windows for view in window]
    shape = (len(windows), len(windows[0]))
    most = max(len(view.betas) for view in views)

    def stack(name: str) -> Tensor:
        arrays = np.stack([getattr(view, name) for view in views])
        return torch.from_numpy(arrays.reshape(*shape, *arrays.shape[1:]))

    def stack_people(name: str) -> Tensor:
        rows = [getattr(view, name) for view in views]
        arrays = np.zeros((len(rows), most, *rows[0].shape[1:]), rows[0].dtype)
        for array, row in zip(arrays, rows, strict=True):
            array[: len(row)] = row
        return torch.from_numpy(arrays.reshape(*shape, *arrays.shape[1:]))

    counts = torch.tensor([len(view.betas) for view in views]).view(shape)
    poses = np.stack(
        [
            invert(window[0].world_from_camera) @ view.world_from_camera
            for window in windows
            for view in window
        ]
    )
    return Batch(
        image=stack("image").permute(0, 1, 4, 2, 3).contiguous(),
        depth_m=stack("depth_m"),
        is_person=stack("is_person"),
        camera=stack("camera"),
        first_from_camera=torch.from_numpy(poses.astype(np.float32).reshape(*shape, 4, 4)),
        token_person=stack("token_person"),
        token_point=stack("token_point"),
        has_ray_map=torch.tensor([view.has_ray_map for view in views]).view(shape),
        is_present=torch.arange(most) < counts[..., None],
        **{
            name: stack_people(name)
            for name in (
                "head_index",
                "token_index",
                "patch_index",
                "offset",
                "rotations",
                "betas",
                "expression",
                "head_camera",
            )
        },
    )


@lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path) -> SequenceFile:
    return SequenceFile(path)
