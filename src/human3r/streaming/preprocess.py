"""From a camera image to the network's two images, and back: out of the square, onto the host."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from human3r.errors import InputError
from human3r.geometry import square_offset_px
from human3r.streaming.device_resize import resize
from human3r.types import ImageGeometry, check_rgb_image

PATCH_PX = 16
_BLACK = -1.0


def fit_geometry(width_px: int, height_px: int, size_px: int) -> ImageGeometry:
    """How an image of this size is resized and cropped for the network.

    The long side becomes ``size_px``, then the centre is cropped to multiples of 16. An image that
    is square after resizing is cropped to 4:3; where three quarters of its side are no multiple of
    16, the height is the next smaller one (the network was trained without square images, and says
    nothing about other sizes than 512).

    Args:
        width_px: source width.
        height_px: source height.
        size_px: long side of the network image before cropping.

    Raises:
        InputError: not even one patch is left in one direction.
    """
    long_px = max(width_px, height_px)
    # Python rounds halves to even, and so must the network's resize.
    resized_w, resized_h = (round(side * size_px / long_px) for side in (width_px, height_px))
    center_u, center_v = resized_w // 2, resized_h // 2
    half = PATCH_PX // 2
    half_w = 2 * center_u // PATCH_PX * half
    half_h = 2 * center_v // PATCH_PX * half
    if resized_w == resized_h:
        half_h = 3 * half_w // 4 // half * half
    if not half_w or not half_h:
        raise InputError(
            f"image: {width_px}x{height_px} becomes {resized_w}x{resized_h} at an input size of "
            f"{size_px}, and {2 * half_w}x{2 * half_h} when cropped to whole patches; expected at "
            f"least {PATCH_PX} pixels in both directions. Crop the image to a less extreme shape, "
            "or raise model.input_size."
        )
    return ImageGeometry(
        source_width_px=width_px,
        source_height_px=height_px,
        resized_width_px=resized_w,
        resized_height_px=resized_h,
        crop_left_px=center_u - half_w,
        crop_top_px=center_v - half_h,
        width_px=2 * half_w,
        height_px=2 * half_h,
    )


def resize_and_crop(
    image: np.ndarray, size_px: int
) -> tuple[UInt8[np.ndarray, "network_height network_width 3"], ImageGeometry]:
    """The network image as 8-bit RGB, and how it came about.

    Args:
        image: (height, width, 3) uint8 RGB of any size that leaves a patch.
        size_px: long side before cropping; Lanczos when that shrinks, bicubic otherwise.

    Raises:
        ShapeError: not an image.
        InputError: too narrow.
    """
    check_rgb_image(image)
    height, width = image.shape[:2]
    geometry = fit_geometry(width, height, size_px)
    method = Image.Resampling.LANCZOS if max(width, height) > size_px else Image.Resampling.BICUBIC
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(
        (geometry.resized_width_px, geometry.resized_height_px), method
    )
    left, top = geometry.crop_left_px, geometry.crop_top_px
    cropped = resized.crop((left, top, left + geometry.width_px, top + geometry.height_px))
    return np.array(cropped), geometry


def normalise(
    image: UInt8[np.ndarray, "height width 3"], device: torch.device | str
) -> Float[Tensor, "1 3 height width"]:
    """8-bit RGB as [-1, 1] on the device; the bytes travel, not the floats."""
    return _normalised(_upload(image, device))


def pad_to_square(
    image: Float[Tensor, "batch channels height width"], side_px: int
) -> Float[Tensor, "batch channels side side"]:
    """The image enlarged or reduced to fit a square, centred on black (-1)."""
    height, width = image.shape[-2:]
    scale = min(side_px / height, side_px / width)
    size = (int(height * scale), int(width * scale))
    fitted = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
    top, left = (side_px - size[0]) // 2, (side_px - size[1]) // 2
    margins = (left, side_px - size[1] - left, top, side_px - size[0] - top)
    return F.pad(fitted, margins, value=_BLACK)


def crop_from_square(
    square: Float[Tensor, "side side"], width_px: int, height_px: int
) -> Float[Tensor, "height width"]:
    """A map of the square image as a map of the network image, by nearest neighbour."""
    side = max(width_px, height_px)
    left, top = square_offset_px(width_px, height_px)
    full = F.interpolate(square[None, None], size=(side, side), mode="nearest")[0, 0]
    return full[top : top + height_px, left : left + width_px]


def prepare(
    image: np.ndarray,
    size_px: int,
    human_size_px: int | None,
    device: torch.device | str = "cpu",
) -> tuple[
    UInt8[np.ndarray, "network_height network_width 3"],
    ImageGeometry,
    Float[Tensor, "1 3 network_height network_width"],
    Float[Tensor, "1 3 side side"] | None,
]:
    """One camera image as the network's image (8-bit), its geometry, and both network inputs.

    The human branch sees the already reduced image, enlarged; that is what it was trained on.

    Args:
        image: (height, width, 3) uint8 RGB.
        size_px: long side before cropping.
        human_size_px: side of the human branch's image; None: it is not wanted.
        device: of the network inputs.

    Raises:
        ShapeError: not an image.
        InputError: too narrow.
    """
    network_image, geometry = resize_and_crop(image, size_px)
    pixels = normalise(network_image, device)
    return network_image, geometry, pixels, _human_image(pixels, human_size_px)


def prepare_on_device(
    image: np.ndarray, size_px: int, human_size_px: int | None, device: torch.device | str
) -> tuple[
    UInt8[Tensor, "network_height network_width 3"],
    ImageGeometry,
    Float[Tensor, "1 3 network_height network_width"],
    Float[Tensor, "1 3 side side"] | None,
]:
    """As ``prepare``, with everything done on the device; the 8-bit image stays there, too.

    Not yet measured on a GPU.

    Raises:
        ShapeError: not an image.
        InputError: too narrow.
    """
    cropped, geometry = resize_and_crop_on_device(image, size_px, device)
    pixels = _normalised(cropped)
    return cropped, geometry, pixels, _human_image(pixels, human_size_px)


def resize_and_crop_on_device(
    image: np.ndarray, size_px: int, device: torch.device | str
) -> tuple[UInt8[Tensor, "network_height network_width 3"], ImageGeometry]:
    """As ``resize_and_crop``, done on the device, where the image stays.

    Raises:
        ShapeError: not an image.
        InputError: too narrow.
    """
    check_rgb_image(image)
    height, width = image.shape[:2]
    geometry = fit_geometry(width, height, size_px)
    resized = resize(
        _upload(image, device),
        geometry.resized_width_px,
        geometry.resized_height_px,
        lanczos=max(width, height) > size_px,
    )
    top, left = geometry.crop_top_px, geometry.crop_left_px
    return resized[top : top + geometry.height_px, left : left + geometry.width_px], geometry


def download(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Each tensor as a contiguous array; all of them on one device.

    From a CUDA device every copy is queued, then the host waits once. On the CPU nothing is copied
    that lies in one piece.
    """
    host = {name: _begin(tensor.detach()) for name, tensor in tensors.items()}
    device = next((tensor.device for tensor in tensors.values()), None)
    if device is not None and device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    # Not ``ascontiguousarray``, which gives a lone number an axis.
    return {name: np.require(tensor.numpy(), requirements="C") for name, tensor in host.items()}


def to_numpy(tensor: Tensor) -> np.ndarray:
    """One tensor as a contiguous array on the host."""
    return download({"it": tensor})["it"]


def _upload(image: np.ndarray, device: torch.device | str) -> Tensor:
    if torch.device(device).type != "cuda":
        # torch refuses memory that must not be written to.
        return torch.from_numpy(np.require(image, requirements="CW")).to(device)  # pyright: ignore[reportArgumentType, reportCallIssue]
    # Straight into pinned memory: only from there the copy runs beside the host.
    pinned = torch.empty(image.shape, dtype=torch.uint8, pin_memory=True)
    pinned.numpy()[...] = image
    return pinned.to(device, non_blocking=True)


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5


def _human_image(pixels: Tensor, side_px: int | None) -> Tensor | None:
    return None if side_px is None else pad_to_square(pixels, side_px)


def _begin(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    # Only pinned memory is written without the host waiting.
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)
