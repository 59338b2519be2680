"""Images that are in memory already, as a source of frames."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from human3r.errors import InputError
from human3r.io.frame_source import FrameSource, Selection
from human3r.io.stream_rules import ImageStamps
from human3r.types import Frame, check_image_size, check_rgb_image


class ArraySource(FrameSource):
    """Arrays (height, width, 3) uint8 RGB at a constant rate; frames are passed on as they are."""

    def __init__(self, images: object, selection: Selection) -> None:
        """Take over the images; nothing is copied.

        Args:
            images: one image or frame, an array (frames, height, width, 3), or any iterable.
            selection: its rate gives the stamps.

        Raises:
            InputError: no images.
        """
        super().__init__("images", selection)
        self._images = _as_iterable(images)
        self._stamps = ImageStamps(selection.rate_hz) if selection.rate_hz else ImageStamps()
        self.rate_hz = self._stamps.rate_hz / selection.every

    def _total(self) -> int | None:
        return len(self._images) if hasattr(self._images, "__len__") else None  # pyright: ignore[reportArgumentType]

    def _items(self) -> Iterator[Frame]:
        return map(self._stamps.frame_of, self._images)

    def _decode(self, item: Frame, number: int) -> Frame:
        height, width = check_rgb_image(item.image).shape[:2]
        check_image_size(width, height, self.selection.max_pixels, f"image {number}")
        return item


def _as_iterable(images: Any) -> Iterable[Any]:
    if isinstance(images, Frame):
        return [images]
    if isinstance(images, np.ndarray):
        if images.ndim == 3:
            return [images]
        if images.ndim != 4:
            raise InputError(
                f"images: an array of shape {images.shape}; expected (frames, height, width, 3) or "
                "(height, width, 3), uint8. Stack RGB images along the first axis."
            )
    elif not isinstance(images, Iterable):
        raise InputError(
            f"source is {type(images).__name__}; expected a path, an address, a camera number, or "
            "images as NumPy arrays."
        )
    return images
