"""Sequences of published datasets as the evaluation takes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from human3r.geometry import invert
from human3r.streaming.preprocess import fit_geometry
from human3r.types import Frame
from human3r_lab.datasets.recorded import RecordedSequence, RecordedView
from human3r_lab.evaluation.smpl_scheme import SmplScheme
from human3r_lab.evaluation.truth import TruePeople, TrueView


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of each sequence."""

    first: int = 0
    every: int = 1
    most: int = 0
    """0: all."""

    def of(self, num_frames: int) -> range:
        """Numbers of the chosen frames."""
        chosen = range(self.first, num_frames, self.every)
        return chosen[: self.most] if self.most else chosen


@dataclass(frozen=True)
class PublishedSequence:
    """A recorded sequence under a benchmark's protocol."""

    recorded: RecordedSequence
    choice: FrameChoice
    scheme: SmplScheme | None = None
    """None: people are not evaluated."""
    has_camera: bool = True
    """False: the camera's path, and motion in the world, are not evaluated."""
    resize_to_px: int = 0
    """Long side to which whole images are resized, so that nothing is cropped; 0: the pipeline
    crops as always."""
    is_calibrated: bool = False
    """Frames name their camera, where the dataset says it and images are not resized."""
    group: str = ""

    @property
    def name(self) -> str:
        """As the dataset names it."""
        return self.recorded.name

    def __len__(self) -> int:
        return len(self.choice.of(len(self.recorded)))

    def views(self) -> Iterator[TrueView]:
        """The chosen frames in order.

        Raises:
            InputError: a frame is missing or damaged.
            BodyModelError: a licensed file is missing.
        """
        for index in self.choice.of(len(self.recorded)):
            yield self._view(self.recorded.view(index))

    def _view(self, view: RecordedView) -> TrueView:
        image, intrinsics = view.image, view.intrinsics
        if self.resize_to_px:
            image = resized_to_patches(image, self.resize_to_px)
            intrinsics = None
        return TrueView(
            frame=Frame(image, view.stamp_ns, intrinsics if self.is_calibrated else None),
            intrinsics=intrinsics,
            people=self._people(view),
            depth_m=view.depth_m,
            world_from_camera=view.world_from_camera if self.has_camera else None,
        )

    def _people(self, view: RecordedView) -> TruePeople | None:
        if self.scheme is None or view.people is None or view.world_from_camera is None:
            return None
        bodies = self.scheme.true_bodies(view.people, invert(view.world_from_camera))
        return TruePeople(
            ids=np.array([person.person_id for person in view.people], int),
            bodies=bodies,
            is_counted=np.ones(len(view.people), bool),
        )


def resized_to_patches(image: np.ndarray, long_px: int) -> np.ndarray:
    """The whole image at the size to which the pipeline would crop it.

    Depth benchmarks are run so: the shape changes a little, but no pixel is lost.
    """
    geometry = fit_geometry(image.shape[1], image.shape[0], long_px)
    size = (geometry.width_px, geometry.height_px)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def published(
    sequences: Sequence[RecordedSequence], num_sequences: int, choice: FrameChoice, **protocol
) -> list[PublishedSequence]:
    """The first sequences of a dataset under a protocol."""
    return [
        PublishedSequence(sequence, choice, **protocol)
        for sequence in sequences[: num_sequences or None]
    ]
