"""Where frames come from: the kind of source is guessed from what the user typed.

with open_source("clip.mp4") as source:
    for frame in source:
        ...
"""

import glob
import re
from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from urllib.parse import urlsplit

from human3r.camera.given_camera import GivenCamera, GivenIntrinsics
from human3r.config import Settings, settings_of
from human3r.errors import InputError
from human3r.io import images
from human3r.io.frame_source import FrameSource, Selection
from human3r.types import Intrinsics

__all__ = ["FrameSource", "open_source"]

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "tcp", "srt")
"""Beginnings of addresses of videos."""
BAG_SUFFIXES = (".mcap", ".db3", ".bag")


Spec = str | PathLike[str] | int
"""How a source is named."""


def open_source(
    source: Spec | Sequence[Spec],
    *,
    topic: str | None = None,
    every: int = 1,
    max_frames: int = 0,
    max_pixels: int | None = None,
    settings: Settings | None = None,
    camera: GivenCamera | Intrinsics | None = None,
    rate_hz: float | None = None,
    max_side_px: int = 0,
    strict: bool = False,
) -> FrameSource:
    """Open a video, image folder, images, camera, bag or network stream.

    Args:
        source: a path; a pattern such as ``shots/*.jpg``; several image files; ``0``, ``1``,
            ``/dev/video0`` for a camera, where no file or folder has that name; or the address of
            a video: rtsp, http, https, rtmp, udp, tcp or srt.
        topic: image topic of a bag; may be left out when there is only one.
        every: deliver the first of every so many frames.
        max_frames: stop after so many frames; 0: no limit.
        max_pixels: refuse larger images before decoding them; None: as the setting
            ``input.max_pixels`` says.
        settings: those of ``input`` and ``session`` decide about calibration, stamps and where a
            session begins, as in the node; None: the defaults.
        camera: that took the images, where it is known; wins over what a bag says.
        rate_hz: images per second of a folder; None: as stamps.txt or names say, else 10.
        max_side_px: images with a longer side are reduced to it when they are read; 0: never.
        strict: an image that cannot be read, or is of another size, ends the stream with an error
            instead of being left out.

    Raises:
        InputError: nothing usable there.
    """
    selection = _selection(
        settings, camera, every, max_frames, max_pixels, rate_hz, max_side_px, strict
    )
    specs = expanded(source)
    if len(specs) > 1 and not all(is_image(spec) for spec in specs):
        raise InputError(
            f"{specs[0]} and {len(specs) - 1} more: not all are image files; expected one source, "
            "or several images. Open videos, folders and bags one by one."
        )
    spec = specs[0]
    if not is_image(spec) and not Path(spec).is_dir() and rate_hz is not None:
        raise InputError(
            f"{spec}: a rate of {rate_hz:g} images per second was given, but this says itself when "
            "its frames were taken; expected images. Leave the rate out."
        )
    if is_url(spec):
        from human3r.io.network_video import NetworkVideoSource

        name = without_password(spec)
        _refuse_topic(topic, name)
        return NetworkVideoSource(spec, name, selection)
    if is_camera(spec):
        from human3r.io.camera_device import CameraSource

        _refuse_topic(topic, spec)
        return CameraSource(spec, selection)
    path = existing_path(spec)
    if path.name == "metadata.yaml" and is_bag_folder(path.parent):
        path = path.parent
    if path.suffix.lower() in (*BAG_SUFFIXES, ".zstd") or is_bag_folder(path):
        from human3r.io.bag import BagSource

        return BagSource(path, selection, topic)
    _refuse_topic(topic, spec)
    if path.is_dir() or is_image(spec):
        paths = [existing_path(one) for one in specs]
        return images.ImageFolderSource(paths if len(paths) > 1 else path, selection)
    if not path.is_file():
        raise InputError(f"{spec}: neither a file nor a folder; expected one of them. Check it.")
    from human3r.io.video import VideoSource

    return VideoSource(path, selection)


def open_arrays(
    images: object,
    *,
    every: int = 1,
    max_frames: int = 0,
    settings: Settings | None = None,
    camera: GivenCamera | Intrinsics | None = None,
    rate_hz: float | None = None,
) -> FrameSource:
    """Images that are in memory, as a source.

    Args:
        images: (height, width, 3) uint8 RGB arrays in any iterable, one array (frames, height,
            width, 3), one image, or ``Frame`` objects.
        every: as of ``open_source``, like the others.
        max_frames: as there.
        settings: as there.
        camera: that took the images, where it is known; wins over that of frames.
        rate_hz: images per second; None: 30.

    Raises:
        InputError: no images.
    """
    from human3r.io.array_source import ArraySource

    return ArraySource(images, _selection(settings, camera, every, max_frames, None, rate_hz))


def _selection(
    settings: Settings | None,
    camera: GivenCamera | Intrinsics | None,
    every: int,
    max_frames: int,
    max_pixels: int | None,
    rate_hz: float | None,
    max_side_px: int = 0,
    strict: bool = False,
) -> Selection:
    settings = settings_of(settings)
    for name, value in (("every", every), ("max_frames", max_frames)):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; expected a whole number.")
    if rate_hz is not None and (not isinstance(rate_hz, Real) or isinstance(rate_hz, bool)):
        raise InputError(f"rate_hz is {rate_hz!r}; expected a number, for example 30.")
    return Selection(
        every,
        max_frames,
        settings.input.max_pixels if max_pixels is None else max_pixels,
        settings,
        _checked_camera(camera),
        rate_hz,
        max_side_px,
        strict,
    )


def _checked_camera(camera: object) -> GivenCamera | None:
    """What gives frames their calibration.

    Raises:
        InputError: something else than a camera.
    """
    if isinstance(camera, Intrinsics):
        return GivenIntrinsics(camera)
    if camera is None or callable(getattr(camera, "calibrate", None)):
        return camera  # pyright: ignore[reportReturnType]
    advice = "Intrinsics.from_fov(degrees, width, height) makes them of an angle of view"
    if isinstance(camera, (str, PathLike)):
        advice = f"human3r.io.read_intrinsics({fspath(camera)!r}) reads them of a ROS calibration"
    elif isinstance(camera, (list, tuple, dict)) or hasattr(camera, "__array__"):
        advice = "Intrinsics.from_matrix(K, width, height) makes them of a 3x3 matrix"
    kind = type(camera).__name__
    raise InputError(f"intrinsics is {kind}; expected human3r.Intrinsics or None. {advice}.")


def expanded(source: Spec | Sequence[Spec]) -> list[str]:
    """What the user typed, with patterns replaced by the files that fit them, in natural order.

    Raises:
        InputError: nothing at all, no text, or a pattern that no file fits.
    """
    found = []
    for given in source if isinstance(source, (list, tuple)) else (source,):
        if not isinstance(given, (str, PathLike, int)) or isinstance(given, bool):
            raise InputError(
                f"source is {type(given).__name__}; expected a path, a pattern, an address or the "
                "number of a camera. Arrays are taken by human3r.run and Pipeline.step."
            )
        spec = str(given) if isinstance(given, int) else str(fspath(given))
        is_pattern = glob.has_magic(spec) and not is_url(spec) and not Path(spec).exists()
        if not is_pattern:
            found.append(spec)
            continue
        names = sorted(glob.glob(str(Path(spec).expanduser())), key=images.natural_order)
        if not names:
            raise InputError(f"{spec}: no file fits this pattern; expected one. Check the path.")
        found += names
    if not found:
        raise InputError("no source was named; expected a path, an address or a camera number.")
    return found


def is_image(spec: str) -> bool:
    """Whether a name is that of an image file."""
    suffix = Path(spec).suffix.lower()
    return not is_url(spec) and suffix in (*images.SUFFIXES, *images.PHONE_SUFFIXES)


def is_url(spec: str) -> bool:
    """Whether what the user typed is the address of a video."""
    scheme, separator, _ = spec.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def without_password(url: str) -> str:
    """The address as it may be shown: without user, password and what follows a question mark."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def is_camera(spec: str) -> bool:
    """Whether what the user typed means a camera: a number, unless a file or folder is named so."""
    if re.fullmatch(r"/dev/video\d{1,3}", spec):
        return True
    return re.fullmatch(r"\d{1,3}", spec) is not None and not Path(spec).exists()


def check_is_there(spec: str) -> None:
    """Nothing, when there may be something to open; cameras and addresses are not asked yet.

    Raises:
        InputError: no such file or folder.
    """
    if not is_camera(spec) and not is_url(spec):
        existing_path(spec)


def existing_path(spec: str) -> Path:
    """The file or folder that the user typed.

    Raises:
        InputError: there is none.
    """
    path = Path(spec).expanduser()
    if not spec.strip():
        raise InputError(
            "the source's name is empty; expected a video, an image, a folder of images, a rosbag2 "
            "or a camera number. Is a variable of your script not set?"
        )
    if path.name.endswith(".bag.active"):
        raise InputError(
            f"{spec}: a ROS 1 bag whose recorder did not end; expected a complete one. `rosbag "
            "reindex` makes it whole; rename it to .bag then."
        )
    if not path.exists():
        raise InputError(
            f"{spec}: no such file, folder or camera; expected a video, an image, a folder of "
            "images, a rosbag2, a camera number, or an address such as rtsp://... Check the path."
        )
    return path


def is_bag_folder(path: Path) -> bool:
    """Whether a folder is a rosbag2, also one whose recorder was killed before it was complete."""
    if not path.is_dir():
        return False
    return (path / "metadata.yaml").is_file() or any(
        entry.name.lower().removesuffix(".zstd").endswith(BAG_SUFFIXES[:2])
        for entry in path.iterdir()
    )


def _refuse_topic(topic: str | None, spec: str) -> None:
    if topic is not None:
        raise InputError(
            f"{spec}: topic {topic} was asked for, but this is no bag; expected a rosbag2 folder, "
            ".mcap, .db3 or .bag. Leave the topic out or name a bag."
        )
