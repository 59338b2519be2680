"""What ``human3r play`` sends where: one source on one topic, or those of several cameras."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from human3r.config import Settings
from human3r.errors import InputError
from human3r.io import open_source
from human3r.io.sources import BAG_SUFFIXES
from human3r.multiview.rig_file import read_rig, source_in, split_source
from human3r.multiview.synchronise import synchronised
from human3r.types import MAX_IMAGE_PIXELS, Frame, Intrinsics
from human3r_ros.names import topic_name

_CALIBRATIONS = (".yaml", ".yml")
_MOMENT_NS = 20_000_000
"""Images of several cameras that are no further apart go out together, with their own stamps."""


@dataclass(frozen=True)
class Feed:
    """One image topic and where its images come from."""

    source: str
    topic: str
    source_topic: str | None = None
    """Inside a bag."""
    intrinsics: Intrinsics | None = None
    """Where the source says nothing."""
    frame_id: str = ""
    """Empty: the source's."""


@dataclass(frozen=True)
class Shot:
    """One image of a moment."""

    feed: int
    """Number of the feed."""
    frame: Frame


def find_feeds(options: argparse.Namespace) -> list[Feed]:
    """What the command line asks for.

    Args:
        options: ``source`` (a list), ``topic``, ``topics``, ``source_topic`` and ``frame_id``.

    Raises:
        InputError: sources and topics do not match, or an unusable calibration file.
    """
    sources = options.source
    if options.topic:
        if len(sources) > 1:
            raise InputError(
                f"{len(sources)} sources, but one topic; expected one each. Name them with "
                "--topics, separated by commas and in the order of the sources."
            )
        path, inside = split_source(sources[0])
        return [Feed(path, options.topic, options.source_topic or inside, None, options.frame_id)]
    topics = _topics(options.topics or "")
    if len(sources) == 1 and sources[0].endswith(_CALIBRATIONS):
        return _of_rig(Path(sources[0]), topics)
    if not topics:
        raise InputError(
            f"no topic is given for {', '.join(sources)}; expected --topic /camera/image_raw, or "
            "--topics with one for each of several cameras, or a calibration file that names "
            "sources."
        )
    if len(sources) == 1 and _is_bag(sources[0]) and len(topics) > 1:
        return [Feed(sources[0], topic, topic) for topic in topics]
    if len(sources) != len(topics):
        raise InputError(
            f"{len(sources)} sources and {len(topics)} topics; expected as many of both, one bag "
            "with several topics, or a calibration file."
        )
    pairs = [(*split_source(source), topic) for source, topic in zip(sources, topics, strict=True)]
    return [
        Feed(path, topic, inside, None, _frame_of(path, topic)) for path, inside, topic in pairs
    ]


def _topics(text: str) -> list[str]:
    topics = [part.strip() for part in text.split(",") if part.strip()]
    try:
        topics = [topic_name(topic) for topic in topics]
    except argparse.ArgumentTypeError as error:
        raise InputError(f"--topics: {error}") from error
    if len(set(topics)) < len(topics):
        raise InputError(f"--topics is {text}; expected different topics, one for each camera.")
    return topics


def _of_rig(path: Path, topics: list[str]) -> list[Feed]:
    cameras = {name: camera for name, camera in read_rig(path).items() if camera.source}
    if not cameras:
        raise InputError(
            f"{path}: names no source; expected `source` of at least one camera. Add it, or name "
            "videos and --topics."
        )
    topics = topics or [f"/{name}/image_raw" for name in cameras]
    if len(topics) != len(cameras):
        raise InputError(
            f"{path}: has sources of {len(cameras)} cameras, and {len(topics)} topics are given; "
            "expected one for each, in their order."
        )
    found = []
    for camera, topic in zip(cameras.values(), topics, strict=True):
        source, inside = split_source(source_in(camera.source, path.parent))
        frame_id = _frame_of(source, topic)
        found.append(Feed(source, topic, inside, camera.intrinsics, frame_id))
    return found


def _is_bag(source: str) -> bool:
    path = Path(source)
    return path.suffix.lower() in BAG_SUFFIXES or (path / "metadata.yaml").is_file()


def _frame_of(source: str, topic: str) -> str:
    """Cameras need a frame each; a bag has them already."""
    if _is_bag(source):
        return ""
    name = "_".join(topic.strip("/").split("/")[:-1]) or topic.strip("/")
    return f"{name}_optical"


class Moments:
    """One pass through the images of all feeds, in the order of time.

    Attributes:
        rate_hz: of the first feed; None where it is unknown.
        recorded_ns: when the moment was recorded; None where that is unknown.
    """

    def __init__(self, feeds: list[Feed], options: argparse.Namespace) -> None:
        """Open the sources.

        Args:
            feeds: at least one.
            options: ``every``, ``max_frames`` and ``stamp``.

        Raises:
            InputError: a source cannot be opened.
        """
        self._feeds = feeds
        settings = Settings().replace({"input.stamp": options.stamp})
        self._sources = []
        try:
            for feed in feeds:
                opened = open_source(
                    feed.source,
                    topic=feed.source_topic,
                    every=options.every,
                    max_frames=options.max_frames,
                    max_pixels=MAX_IMAGE_PIXELS,
                    settings=settings,
                )
                self._sources.append(opened.__enter__())
        except BaseException:
            self.close()
            raise
        self.rate_hz = self._sources[0].rate_hz

    @property
    def recorded_ns(self) -> int | None:
        """As of the class; of the first feed."""
        return getattr(self._sources[0], "recorded_ns", None)

    def __enter__(self) -> "Moments":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sources."""
        while self._sources:
            self._sources.pop().__exit__(None, None, None)

    def __iter__(self) -> Iterator[list[Shot]]:
        if len(self._feeds) == 1:
            yield from ([self._shot(0, frame)] for frame in self._sources[0])
            return
        named: dict[str, Iterable[Frame]] = {str(i): s for i, s in enumerate(self._sources)}
        for found in synchronised(named, {}, _MOMENT_NS):
            shots = [self._shot(int(name), frame) for name, frame in found.items()]
            yield sorted(shots, key=lambda shot: shot.frame.stamp_ns)

    def _shot(self, number: int, frame: Frame) -> Shot:
        intrinsics = frame.intrinsics or self._feeds[number].intrinsics
        return Shot(number, replace(frame, intrinsics=intrinsics))
