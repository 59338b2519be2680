"""``human3r.run``: a source, or images, through the pipeline in one call."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from os import PathLike
from typing import Any

import numpy as np

from human3r.config import MAX_SIDE_PX, Settings, settings_of
from human3r.errors import InputError
from human3r.io.sources import FrameSource, Spec, open_arrays, open_source
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate, Intrinsics

Images = np.ndarray | Iterable[np.ndarray | Frame]


def run(
    source: Spec | Sequence[Spec] | Images,
    *,
    intrinsics: Intrinsics | None = None,
    rate_hz: float | None = None,
    every: int = 1,
    max_frames: int = 0,
    settings: Settings | None = None,
    pipeline: Pipeline | None = None,
    **sections: Any,
) -> Iterator[FrameEstimate]:
    """Everything known from every frame of a video, of images, or of whatever else there is.

    Estimates come one by one, while the next frame is already being read; ``list(run(...))`` has
    all of them, about 2 MB each.

        for estimate in human3r.run("clip.mp4", people={"max_count": 2}):
            print(estimate.stamp_ns, [person.joints_world[0] for person in estimate.people])

    Args:
        source: what ``human3r.io.open_source`` opens; or images, (height, width, 3) uint8 RGB
            arrays of one size, in any iterable or as one array (frames, height, width, 3); or
            ``Frame`` objects.
        intrinsics: calibration of the images, scaled to their size; None: as the source says, or
            estimated.
        rate_hz: images per second where they come without stamps; None: 30 for arrays, 10 for a
            folder.
        every: take the first of every so many frames.
        max_frames: stop after so many frames; 0: all.
        settings: None: the defaults.
        pipeline: one that is loaded already; it begins a new session, with its own settings.
        **sections: changes to the settings, as of ``Settings.replace``.

    Raises:
        InputError: nothing usable there, or arrays of another type or shape.
        Human3RError: what weights, body model or device make impossible. All of these come before
            the first frame, but for damage that shows later.
    """
    if pipeline is not None and (settings is not None or sections):
        raise InputError("pipeline has settings of its own; expected no others. Leave one out.")
    settings = pipeline.settings if pipeline else settings_of(settings).replace(**sections)
    options: dict[str, Any] = {
        "every": every,
        "max_frames": max_frames,
        "settings": settings,
        "camera": intrinsics,
        "rate_hz": rate_hz,
    }
    if is_named(source):
        opened = open_source(source, max_side_px=MAX_SIDE_PX, **options)  # pyright: ignore[reportArgumentType]
    else:
        opened = open_arrays(source, **options)
    if pipeline is None:
        pipeline = Pipeline.from_settings(settings)
    else:
        pipeline.reset()
    return _estimates(pipeline, opened)


def _estimates(pipeline: Pipeline, source: FrameSource) -> Iterator[FrameEstimate]:
    with source, closing(pipeline.looking_ahead(source)) as ahead:  # pyright: ignore[reportArgumentType]
        for frame, prepared in ahead:
            yield pipeline.step(frame, prepared)


def is_named(source: object) -> bool:
    """Whether a source is given by its name, and not as images."""
    names = (str, PathLike, int)
    if isinstance(source, (list, tuple)):
        return bool(source) and all(isinstance(item, names) for item in source)
    return isinstance(source, names)
