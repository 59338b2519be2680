"""Text on images, in a legible typeface."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from human3r.viewer.colors import Rgb

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@lru_cache(maxsize=64)
def _label(text: str, size_px: int) -> np.ndarray:
    """Coverage of text (0..1) in channel 0 and of its rounded box in channel 1."""
    font = _font(size_px)
    left, _, right, _ = font.getbbox(text)
    pad_x, pad_y = round(0.45 * size_px), round(0.28 * size_px)
    # Equal height whatever letters occur, so labels in a row line up.
    height = round(1.0 * size_px) + 2 * pad_y
    width = round(right - left) + 2 * pad_x
    ink = Image.new("L", (width, height))
    offset_y = (height - round(0.74 * size_px)) / 2 - font.getbbox("H")[1]
    ImageDraw.Draw(ink).text((pad_x - left, offset_y), text, fill=255, font=font)
    scale = 4
    box = Image.new("L", (scale * width, scale * height))
    ImageDraw.Draw(box).rounded_rectangle(
        (0, 0, scale * width - 1, scale * height - 1), scale * 0.3 * size_px, fill=255
    )
    layers = [ink, box.resize((width, height), Image.Resampling.LANCZOS)]
    return np.stack([np.asarray(layer, np.float32) / 255 for layer in layers], -1)


def label_size(text: str, size_px: int) -> tuple[int, int]:
    """Width and height in pixels that ``draw_label`` will cover."""
    height, width = _label(text, size_px).shape[:2]
    return width, height


def draw_label(
    image: np.ndarray,
    text: str,
    left: int,
    top: int,
    *,
    size_px: int,
    ink: Rgb = (255, 255, 255),
    box: Rgb = (20, 22, 28),
    opacity: float = 0.8,
) -> None:
    """Text in a rounded box, drawn into ``image`` and kept inside its borders."""
    label = _label(text, size_px)
    height, width = label.shape[:2]
    left = int(np.clip(left, 0, max(0, image.shape[1] - width)))
    top = int(np.clip(top, 0, max(0, image.shape[0] - height)))
    region = image[top : top + height, left : left + width]
    label = label[: region.shape[0], : region.shape[1]]
    cover, text_cover = opacity * label[..., 1:], label[..., :1]
    mixed = region * (1 - cover) + np.array(box, np.float32) * cover
    mixed = mixed * (1 - text_cover) + np.array(ink, np.float32) * text_cover
    region[:] = np.round(mixed).astype(np.uint8)


def free_place(wanted: Box, taken: list[Box], width_px: int, height_px: int) -> tuple[int, int]:
    """Left and top for a label, as near to ``wanted`` as the others allow; adds it to ``taken``.

    Args:
        wanted: where it would be best.
        taken: labels that are there already.
        width_px: of the image.
        height_px: of the image.
    """
    left, top, width, height = wanted
    left = int(np.clip(left, 0, max(0, width_px - width)))
    top = int(np.clip(top, 0, max(0, height_px - height)))
    # Upwards first: below is the person.
    steps = sorted(range(-20, 21), key=lambda step: (abs(step), step))
    places = [(left, top + step * (height // 2 + 1)) for step in steps]
    places = [(x, y) for x, y in places if 0 <= y <= max(0, height_px - height)]
    place = next((at for at in places if not _hides(at, width, height, taken)), (left, top))
    taken.append((*place, width, height))
    return place


def _hides(place: tuple[int, int], width: int, height: int, taken: list[Box]) -> bool:
    left, top = place
    return any(
        left < x + w and x < left + width and top < y + h and y < top + height
        for x, y, w, h in taken
    )
