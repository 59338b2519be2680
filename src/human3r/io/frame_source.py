"""What every source of frames has in common: selection, order, constant size, one error class."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from human3r.checks import MAX_IMAGE_PIXELS
from human3r.errors import InputError
from human3r.types import Frame

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are wanted."""

    every: int = 1
    """Deliver the first of every so many frames."""
    max_frames: int = 0
    """Stop after so many delivered frames; 0: no limit."""
    max_pixels: int = MAX_IMAGE_PIXELS
    """Refuse larger images before they are decoded."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"every is {self.every}; expected 1 or more. Use 1 for all frames.")
        if self.max_frames < 0:
            raise InputError(
                f"max_frames is {self.max_frames}; expected 0 or more. Use 0 for all frames."
            )
        if self.max_pixels < 1:
            raise InputError(f"max_pixels is {self.max_pixels}; expected 1 or more. Raise it.")

    def count(self, total: int | None) -> int | None:
        """How many of ``total`` frames are delivered; None when nobody knows."""
        if total is None:
            return None
        chosen = -(-total // self.every)
        return min(chosen, self.max_frames) if self.max_frames else chosen

    def check_size(self, width_px: int, height_px: int, what: str) -> None:
        """Nothing, when an image of this size may be decoded.

        Raises:
            InputError: no pixels at all, or more than ``max_pixels``.
        """
        if width_px < 1 or height_px < 1:
            raise InputError(
                f"{what}: the image is {width_px}x{height_px}; expected at least one pixel. "
                "Check how it was made."
            )
        if width_px * height_px > self.max_pixels:
            raise InputError(
                f"{what}: {width_px}x{height_px} is {width_px * height_px} pixels; expected at "
                f"most {self.max_pixels} (input.max_pixels). Reduce the image or raise the limit."
            )


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

    def __init__(self, name: str, selection: Selection) -> None:
        self.name = name
        self.selection = selection

    @property
    def num_frames(self) -> int | None:
        """Frames that will be delivered; None for cameras and files that do not say."""
        return self.selection.count(self._total())

    def __iter__(self) -> Iterator[Frame]:
        """The frames: one size, stamps strictly increasing.

        Raises:
            InputError: a frame that cannot be read or differs in size, or no frame at all.
        """
        delivered = _Delivered(self.name)
        items = enumerate(self._items())
        while not self.selection.max_frames or delivered.count < self.selection.max_frames:
            number, item = next(items, (-1, None))
            if number < 0:
                break
            if number % self.selection.every:
                continue
            try:
                frame = self._decode(item, number)
            except InputError as error:
                if not self.skips_damaged:
                    raise
                delivered.damaged(error)
                continue
            if delivered.accepts(frame, number):
                yield frame
        delivered.finish()

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


class _Delivered:
    """Keeps the promises of a stream and counts what was left out."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._size: tuple[int, ...] = ()
        self._stamp_ns = 0
        self._late = 0
        self._damaged = 0
        self._problem: InputError | None = None

    def accepts(self, frame: Frame, number: int) -> bool:
        if self.count and frame.stamp_ns <= self._stamp_ns:
            self._late += 1
            if self._late == 1:
                log.warning(
                    "%s: frame %d has stamp %d ns, not newer than %d ns before it; such frames "
                    "are left out",
                    self._name,
                    number,
                    frame.stamp_ns,
                    self._stamp_ns,
                )
            return False
        size = frame.image.shape
        if self.count and size != self._size:
            raise InputError(
                f"{self._name}: frame {number} is {size[1]}x{size[0]}, the ones before it "
                f"{self._size[1]}x{self._size[0]}; expected one size throughout. "
                "Split the source or scale its images to one size."
            )
        self._size, self._stamp_ns = size, frame.stamp_ns
        self.count += 1
        return True

    def damaged(self, error: InputError) -> None:
        self._damaged += 1
        if self._problem is None:
            self._problem = error
            log.warning("%s; such frames are left out", error)

    def finish(self) -> None:
        if self.count == 0:
            if self._problem is not None:
                raise InputError(
                    f"{self._name}: none of {self._damaged} frames can be used; the first: "
                    f"{self._problem}"
                ) from self._problem
            raise InputError(
                f"{self._name}: no frame in it; expected at least one. Check the file or topic."
            )
        if self._late or self._damaged:
            log.warning(
                "%s: %d frames left out: %d late, %d unreadable",
                self._name,
                self._late + self._damaged,
                self._late,
                self._damaged,
            )
