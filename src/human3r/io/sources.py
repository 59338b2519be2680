"""Where frames come from: the kind of source is guessed from what the user typed.

with open_source("clip.mp4") as source:
    for frame in source:
        ...
"""

import re
from pathlib import Path

from human3r.config import InputSettings
from human3r.errors import InputError
from human3r.io import images
from human3r.io.frame_source import FrameSource, Selection

__all__ = ["FrameSource", "open_source"]

BAG_SUFFIXES = (".mcap", ".db3", ".bag")


def open_source(
    path_or_spec: str,
    *,
    topic: str | None = None,
    every: int = 1,
    max_frames: int = 0,
    max_pixels: int | None = None,
) -> FrameSource:
    """Open a video, image folder, single image, camera or bag.

    Args:
        path_or_spec: a path; or ``0``, ``1``, ``/dev/video0`` for a camera.
        topic: image topic of a bag; may be left out when there is only one.
        every: deliver the first of every so many frames.
        max_frames: stop after so many frames; 0: no limit.
        max_pixels: refuse larger images before decoding them; None: as the setting
            ``input.max_pixels`` says.

    Raises:
        InputError: nothing usable there.
    """
    if max_pixels is None:
        max_pixels = InputSettings().max_pixels
    selection = Selection(every=every, max_frames=max_frames, max_pixels=max_pixels)
    spec = str(path_or_spec)
    if re.fullmatch(r"\d{1,3}|/dev/video\d{1,3}", spec):
        from human3r.io.camera_device import CameraSource

        _refuse_topic(topic, spec)
        return CameraSource(spec, selection)
    path = Path(spec).expanduser()
    if not path.exists():
        raise InputError(
            f"{spec}: no such file, folder or camera; expected a video, an image, a folder of "
            "images, a rosbag2 or a camera number. Check the path."
        )
    if path.suffix.lower() in BAG_SUFFIXES or (path / "metadata.yaml").is_file():
        from human3r.io.bag import BagSource

        return BagSource(path, selection, topic)
    _refuse_topic(topic, spec)
    if path.is_dir() or path.suffix.lower() in images.SUFFIXES:
        return images.ImageFolderSource(path, selection)
    if not path.is_file():
        raise InputError(f"{spec}: neither a file nor a folder; expected one of them. Check it.")
    from human3r.io.video import VideoSource

    return VideoSource(path, selection)


def _refuse_topic(topic: str | None, spec: str) -> None:
    if topic is not None:
        raise InputError(
            f"{spec}: topic {topic} was asked for, but this is no bag; expected a rosbag2 folder, "
            ".mcap, .db3 or .bag. Leave the topic out or name a bag."
        )
