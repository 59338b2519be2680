"""What every source of frames has in common: selection, stream rules, one error class."""

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Any

from human3r.camera.given_camera import GivenCamera
from human3r.config import Settings
from human3r.errors import InputError
from human3r.io.stream_rules import StreamRules, StreamShape, Verdict
from human3r.types import MAX_IMAGE_PIXELS, Frame

log = logging.getLogger(__name__)

_LEAST_SIDE_PX = 16
"""As many pixels as one patch of the network has."""


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are wanted."""

    every: int = 1
    """Deliver the first of every so many frames."""
    max_frames: int = 0
    """Stop after so many delivered frames; 0: no limit."""
    max_pixels: int = MAX_IMAGE_PIXELS
    """Refuse larger images before they are decoded."""
    settings: Settings = field(default_factory=Settings)
    """Of calibration (``input``) and of the stream (``session``)."""
    camera: GivenCamera | None = None
    """The camera of every frame; None: what the source says, if anything."""
    rate_hz: float | None = None
    """Images per second, for images that say nothing about time; None: as the source thinks."""
    max_side_px: int = 0
    """Images whose longer side is longer are reduced to this when they are read; 0: never."""
    is_strict: bool = False
    """Whether an image that cannot be used ends the stream with an error."""

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 1e-6 <= self.rate_hz <= 1e5:
            raise InputError(
                f"the rate is {self.rate_hz} images per second; expected a number above 0 and up "
                "to 100000, for example 30."
            )
        if self.max_side_px and self.max_side_px < _LEAST_SIDE_PX:
            raise InputError(
                f"the longest side is {self.max_side_px}; expected {_LEAST_SIDE_PX} pixels or "
                "more, or 0 for any size."
            )
        if self.every < 1:
            raise InputError(f"every is {self.every}; expected 1 or more. Use 1 for all frames.")
        if self.max_frames < 0:
            raise InputError(
                f"max_frames is {self.max_frames}; expected 0 or more. Use 0 for all frames."
            )
        if self.max_pixels < 1:
            raise InputError(f"max_pixels is {self.max_pixels}; expected 1 or more. Raise it.")

    def count(self, total: int | None) -> int | None:
        """How many of ``total`` frames are delivered; None when unknown."""
        if total is None:
            return None
        chosen = -(-total // self.every)
        return min(chosen, self.max_frames) if self.max_frames else chosen

    def reduced(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height at which an image of this size is delivered."""
        longer_px = max(width_px, height_px)
        if not self.max_side_px or longer_px <= self.max_side_px:
            return width_px, height_px
        scale = self.max_side_px / longer_px
        return max(1, round(width_px * scale)), max(1, round(height_px * scale))


class Reduction:
    """Says once that images are reduced: pixels in results are those of the smaller ones."""

    def __init__(self, selection: Selection, name: str) -> None:
        self._selection = selection
        self._name = name
        self._is_said = False

    def size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height at which an image of this size is delivered."""
        smaller = self._selection.reduced(width_px, height_px)
        if smaller != (width_px, height_px) and not self._is_said:
            self._is_said = True
            log.info(
                "%s: images are reduced from %dx%d to %dx%d; pixels in the results are of these",
                self._name,
                width_px,
                height_px,
                *smaller,
            )
        return smaller


@dataclass
class LeftOut:
    """Frames of a source that were not delivered, by cause."""

    late: int = 0
    """Stamps that do not increase."""
    unreadable: int = 0
    other_size: int = 0
    """Alone among images of one size."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.late + self.unreadable + self.other_size

    def __str__(self) -> str:
        parts = (
            (self.late, "late"),
            (self.unreadable, "unreadable"),
            (self.other_size, "of another size"),
        )
        return ", ".join(f"{count} {word}" for count, word in parts if count)


class FrameSource(ABC):
    """A stream of frames: iterate once, close after use (or use ``with``).

    A kind of source says how to walk through its items (``_items``) and how to make a frame of one
    (``_decode``), so that frames left out by ``every`` are never decoded.
    """

    name: str
    """What a person would call it: a file name, a topic, a device."""
    rate_hz: float | None = None
    """Frames delivered per second of recording time, where known."""
    skips_damaged: bool = False
    """Whether a single unreadable frame is left out with a warning instead of ending the stream."""
    skips_odd_sizes: bool = False
    """Whether a single frame of another size than its neighbours is left out with a warning."""
    recorded_ns: int | None = None
    """When the frame delivered last was recorded, where that is known beside its stamp."""
    family: str = "file"
    """Kind of encoding of the frame decoded last; another one is another stream."""

    def __init__(self, name: str, selection: Selection) -> None:
        self.name = name
        self.selection = selection
        self.left_out = LeftOut()
        """What was not delivered so far, but for what ``every`` and ``max_frames`` leave out."""
        self._begun: Iterator[Frame] | None = None

    def __repr__(self) -> str:
        count = self.num_frames
        rate = f", {self.rate_hz:.4g} per second" if self.rate_hz else ""
        return f"{type(self).__name__}({self.name}: {count or 'unknown number of'} frames{rate})"

    @property
    def num_frames(self) -> int | None:
        """Frames that will be delivered; None for cameras and files that do not say."""
        return self.selection.count(self._total())

    def __iter__(self) -> Iterator[Frame]:
        """The frames. Within a session they have one size and increasing stamps.

        Where a frame cannot continue the session (``Frame.begins_session``), and which frames are
        left out, is decided as in the node: see ``stream_rules``.

        Raises:
            InputError: a frame that cannot be read, or no frame at all.
        """
        begun, self._begun = self._begun, None
        return self._delivered() if begun is None else begun

    def begin(self) -> None:
        """Read the first frame ahead, so that where none can be used this is said at once.

        Not for cameras: their first frame would be old when the second one comes.

        Raises:
            InputError: as of ``__iter__``.
        """
        frames = self._delivered()
        first = next(frames)
        self._begun = itertools.chain((first,), frames)

    def _delivered(self) -> Iterator[Frame]:
        self.left_out = LeftOut()
        may_skip = self.skips_damaged and not self.selection.is_strict
        stream = _Stream(self.name, self.selection, self.left_out, may_skip)
        for count, arrived in enumerate(self._sifted(stream), 1):
            self.recorded_ns = arrived.recorded_ns
            yield arrived.frame
            if count == self.selection.max_frames:
                break
        stream.finish()

    def _sifted(self, stream: "_Stream") -> "Iterator[Arrived]":
        sizes = _OddSizes(stream) if self.skips_odd_sizes else None
        for number, item in enumerate(self._items()):
            if number % self.selection.every:
                continue
            try:
                arrived = self._arrived(item, number)
            except InputError as error:
                stream.damaged(error)
                continue
            for one in sizes.sift(arrived) if sizes else (arrived,):
                yield from stream.sift(one)
        if sizes:
            sizes.finish()
        yield from stream.rest()

    def _arrived(self, item: Any, number: int) -> "Arrived":
        """An item, decoded at once; messages are judged by their headers first, as by the node."""
        decoded = self._calibrated(self._decode(item, number)), self.family
        frame = decoded[0]
        return Arrived(number, frame.stamp_ns, frame.frame_id, None, lambda: decoded)

    def _calibrated(self, frame: Frame) -> Frame:
        camera = self.selection.camera
        return camera.calibrate(frame, self.selection.settings.input) if camera else frame

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Give files and devices back; may be called twice."""

    def _total(self) -> int | None:
        """Frames in the whole source, before selection."""
        return None

    @abstractmethod
    def _items(self) -> Iterator[Any]:
        """Everything in the source, in order, not decoded yet where that is possible."""

    @abstractmethod
    def _decode(self, item: Any, number: int) -> Frame:
        """The frame of one item; raises InputError when it cannot be one."""


@dataclass
class Arrived:
    """A frame on its way through the stream rules."""

    number: int
    """Of the item in the source."""
    stamp_ns: int
    frame_id: str
    recorded_ns: int | None
    """Set for messages, whose headers are judged as the node judges them."""
    decode: Callable[[], tuple[Frame, str]]
    """The frame and its kind of encoding; raises InputError when it cannot be one."""
    begins_session: bool = False

    @cached_property
    def decoded(self) -> tuple[Frame, str]:
        """What ``decode`` gives, decoded once."""
        return self.decode()

    @property
    def frame(self) -> Frame:
        """The frame as it is delivered."""
        frame = self.decoded[0]
        return replace(frame, begins_session=True) if self.begins_session else frame


class _Stream:
    """Applies the stream rules of the node to a source and counts what was left out."""

    def __init__(self, name: str, selection: Selection, left_out: LeftOut, may_skip: bool) -> None:
        self._name = name
        self._settings = selection.settings
        self.is_strict = selection.is_strict
        self._may_skip = may_skip
        self._left_out = left_out
        self._rules = StreamRules()
        self._held: Arrived | None = None
        self._count = self._sessions = 0
        self._problem: InputError | None = None

    def sift(self, arrived: Arrived) -> Iterator[Arrived]:
        """What can be delivered now; a frame whose stamp leaps waits for its successor.

        Raises:
            InputError: a frame that cannot be decoded, where none may be left out.
        """
        held, self._held = self._held, None
        if held is not None:
            if self._rules.confirms(arrived.stamp_ns, held.stamp_ns):
                yield from self._accepted(held, self._judge(held))
            else:
                self._leave_out(held, "far from those before and after it, so it is wrong")
        verdict = self._judge(arrived)
        if verdict.is_leap:
            self._held = arrived
        elif verdict.outcome == "processed":
            yield from self._accepted(arrived, verdict)
        elif verdict.outcome == "rejected":
            what = f"{self._name}: frame {arrived.number}"
            self._unusable(InputError(f"{what}: {verdict.message}"))
        elif verdict.outcome == "dropped_order":
            self._leave_out(arrived, "not newer than that of the frame before it", verdict.message)

    def rest(self) -> Iterator[Arrived]:
        """What waited for a successor that does not come."""
        if self._held is not None:
            yield from self._accepted(self._held, self._judge(self._held))

    def _judge(self, arrived: Arrived) -> Verdict:
        settings = self._settings
        if arrived.recorded_ns is None:
            return self._rules.judge_order(arrived.stamp_ns, settings)
        arrival_s = arrived.recorded_ns * 1e-9
        return self._rules.judge(arrived.stamp_ns, arrived.frame_id, arrival_s, None, settings)

    def _accepted(self, arrived: Arrived, verdict: Verdict) -> Iterator[Arrived]:
        try:
            frame, family = arrived.decoded
        except InputError as error:
            self.damaged(error)
            return
        height, width = frame.image.shape[:2]
        k = frame.intrinsics
        focal = k and (k.fx, k.fy, k.cx, k.cy)
        shape = StreamShape(width, height, family, frame.frame_id, focal)
        changed = self._rules.accept(frame.stamp_ns, (arrived.recorded_ns or 0) * 1e-9, shape)
        self._count += 1
        if verdict.reset or changed:
            arrived.begins_session = True
            self._begins(arrived.number, verdict, shape)
        yield arrived

    def _begins(self, number: int, verdict: Verdict, shape: StreamShape) -> None:
        """Say why a session begins, the first time."""
        self._sessions += 1
        if self._sessions == 1:
            seen = f"{shape.width_px}x{shape.height_px} {shape.family} of {shape.frame_id!r}"
            unlike = f"it is {seen}, unlike those before it, so a new session begins."
            reason = verdict.message or unlike
            log.warning("%s: frame %d: %s", self._name, number, reason)

    def _leave_out(self, arrived: Arrived, why: str, advice: str = "") -> None:
        self._left_out.late += 1
        if self._left_out.late == 1:
            log.warning(
                "%s: frame %d has stamp %d ns, %s; such frames are left out%s",
                self._name,
                arrived.number,
                arrived.stamp_ns,
                why,
                # Without a message there is no driver to look at, and no time of recording.
                f". {advice}" if advice and arrived.recorded_ns is not None else "",
            )

    def damaged(self, error: InputError) -> None:
        """Count a frame that cannot be read.

        Raises:
            InputError: none may be left out.
        """
        if not self._may_skip:
            raise error
        self._unusable(error)

    def _unusable(self, error: InputError) -> None:
        self._left_out.unreadable += 1
        self._say(error)

    def odd_size(self, arrived: Arrived, size_px: tuple[int, int]) -> None:
        """Count a frame whose size is not that of its neighbours.

        Raises:
            InputError: nothing may be left out.
        """
        height, width = arrived.frame.image.shape[:2]
        error = InputError(
            f"{self._name}: frame {arrived.number} is {width}x{height}; expected "
            f"{size_px[0]}x{size_px[1]} as before it. Run images of another size on their own."
        )
        if self.is_strict:
            raise error
        self._left_out.other_size += 1
        self._say(error)

    def _say(self, error: InputError) -> None:
        if self._problem is None:
            self._problem = error
            log.warning("%s; such frames are left out", error)

    def finish(self) -> None:
        """Say what was left out.

        Raises:
            InputError: everything was.
        """
        if self._count == 0:
            if self._problem is not None:
                raise InputError(
                    f"{self._name}: none of {self._left_out.total} frames can be used; the first: "
                    f"{self._problem}"
                ) from self._problem
            raise InputError(
                f"{self._name}: no frame in it; expected at least one. Check the file or topic."
            )
        if self._left_out.total:
            log.warning(
                "%s: %d frames left out: %s", self._name, self._left_out.total, self._left_out
            )
        if self._sessions:
            log.warning("%s: %d new sessions on the way", self._name, self._sessions)


class _OddSizes:
    """Leaves out lone frames of another size; two in a row are the new size."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._size_px: tuple[int, int] | None = None
        self._held: Arrived | None = None

    def sift(self, arrived: Arrived) -> tuple[Arrived, ...]:
        """What can be delivered now; a frame of another size waits for its successor."""
        size_px = arrived.frame.image.shape[1::-1]
        held, self._held = self._held, None
        is_lasting = held is not None and held.frame.image.shape[1::-1] == size_px
        if held is not None and not is_lasting:
            self._stream.odd_size(held, self._size_px or size_px)
        if is_lasting or self._size_px in (None, size_px):
            self._size_px = size_px
            return (held, arrived) if held is not None and is_lasting else (arrived,)
        if self._stream.is_strict:
            self._stream.odd_size(arrived, self._size_px or size_px)
        self._held = arrived
        return ()

    def finish(self) -> None:
        """No successor comes."""
        if self._held is not None and self._size_px is not None:
            self._stream.odd_size(self._held, self._size_px)
