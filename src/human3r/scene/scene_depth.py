"""Metric depth and focal length of one image: the networks that come with human3r, ready to use.

    scene_depth = SceneDepth()
    found = scene_depth(image, camera)  # any size; the same size comes back
    points = points_along_rays(found.depth_m, camera)

Both share one image encoder that has seen the world, the MobileNetV2 of MoveNet MultiPose
(Apache-2.0, trained on photographs of people), whose batch norms are folded into its convolutions.

Depth: a small decoder goes from a thirty-second of the image back to half of it; at every level it
is told along which ray each pixel looks. The last factor of two keeps edges: every pixel is a
mixture of the nine coarse ones around it. The network sees pixels, not metres: a thing twice as
many pixels tall with twice the focal length is equally far away. So what is learnt is depth over
the focal length in pixels.

Focal length: how strongly the lines of an image converge says how wide it looks. The network reads
the two coarsest maps of the encoder, tells every place where in the image it lies, lets all places
read one another, and answers with the logarithm of the focal length over the image's long side and
of the error to expect of it.

Sources: inverted residuals, Sandler et al., MobileNetV2, 2018. Decoder of residual units without
normalisation, Ranftl et al., Vision transformers for dense prediction, 2021. Mixtures for
enlarging, Teed and Deng, RAFT, 2020. Depth over focal length, Yin et al., Metric3D, 2023.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from human3r.atomic import sha256_of
from human3r.errors import InputError, WeightsError
from human3r.model.hollow import hollow
from human3r.model.layers import EncoderBlock
from human3r.types import FrameEstimate, Intrinsics, check_rgb_image

STRIDE = 32
"""Images have sides of a multiple of this."""
_USUAL_FOCAL_PX = 200.0
_USUAL_LOG_DEPTH = 1.3
"""Of the training images, at the usual focal length."""
_STEM = 48
_BLOCKS: tuple[tuple[int, int, int, int], ...] = (
    # (input, hidden, output, stride); a hidden width as of the input: nothing to expand.
    (48, 48, 24, 1),
    (24, 144, 40, 2),
    (40, 240, 40, 1),
    (40, 240, 48, 2),
    (48, 288, 48, 1),
    (48, 288, 48, 1),
    (48, 288, 96, 2),
    (96, 576, 96, 1),
    (96, 576, 96, 1),
    (96, 576, 96, 1),
    (96, 576, 144, 1),
    (144, 864, 144, 1),
    (144, 864, 144, 1),
    (144, 864, 240, 2),
    (240, 1440, 240, 1),
    (240, 1440, 240, 1),
    (240, 1440, 480, 1),
)
_TAPS = (0, 2, 5, 12, 16)
"""Blocks whose outputs the decoder reads: at 1/2, 1/4, 1/8, 1/16, 1/32."""
_USUAL_SIZES = (7.0, 5.0, 2.3, 5.5, 2.1)
"""Standard deviations of these outputs on photographs."""
_FIXED_BLOCKS = 6
"""So many first blocks keep their weights in training."""
_WIDTHS = (24, 64, 96, 128, 192)
"""Of the decoder at 1/2, 1/4, 1/8, 1/16, 1/32."""
_NORM_GROUPS = 8

_FOCAL_WIDTH = 128
_FOCAL_HEADS = 4
_FOCAL_BLOCKS = 3
_USUAL_LOG_FOCAL = -0.15
"""Logarithm of the focal length over the long side, of the training images."""
_USUAL_LOG_ERROR = -1.7


class _InvertedResidual(nn.Module):
    """1x1 to many channels, 3x3 within each, 1x1 to few; added to the input where shapes agree."""

    def __init__(self, width: int, hidden: int, out: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, hidden, 1) if hidden != width else None
        pad = 1 if stride == 1 else 0
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, pad, groups=hidden)
        self.project = nn.Conv2d(hidden, out, 1)
        self.stride, self.is_residual = stride, stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        if self.stride == 2:
            y = _pad_after(y)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.is_residual else y


class Trunk(nn.Module):
    """MobileNetV2 (width 1.4) without its classifier, batch norms folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 3, 2)
        self.blocks = nn.ModuleList(_InvertedResidual(*sizes) for sizes in _BLOCKS)

    def forward(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of an image in [-1, 1]."""
        x, maps = F.relu6(self.stem(_pad_after(image)), inplace=True), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _TAPS:
                maps.append(x)
        return maps

    def fix_first(self) -> None:
        """No gradients for the first blocks: what photographs taught them stays."""
        for part in (self.stem, *self.blocks[:_FIXED_BLOCKS]):
            part.requires_grad_(False)


class _Level(nn.Module):
    """One size of the decoder: what is above, the encoder's map and the rays become one map."""

    def __init__(self, width: int, encoded: int, above: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(encoded, width, 1)
        self.ray = nn.Conv2d(2, width, 1)
        self.above = nn.Conv2d(above, width, 1) if above else None
        self.norm = nn.GroupNorm(_NORM_GROUPS, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, encoded: Tensor, rays: Tensor, above: Tensor | None) -> Tensor:
        x = self.lateral(encoded) + self.ray(rays)
        if self.above is not None:
            x = x + _enlarged(self.above(above), 2)
        x = self.norm(x)
        return x + self.second(F.relu(self.first(F.relu(x))))


class DepthNetwork(nn.Module):
    """From an image and its rays to the logarithm of depth, and of its uncertainty."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        encoded = map_widths()
        above = (*_WIDTHS[1:], 0)
        self.levels = nn.ModuleList(map(_Level, _WIDTHS, encoded, above))
        deepest = _WIDTHS[-1]
        self.place = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, deepest))
        self.context = nn.ModuleList(EncoderBlock(deepest, 4) for _ in range(2))
        self.coarse = nn.Conv2d(_WIDTHS[3], 1, 1)
        self.last = nn.Conv2d(_WIDTHS[0], 32, 3, padding=1)
        self.fine = nn.Conv2d(32, 2, 1)
        self.mixture = nn.Conv2d(32, 9 * 4, 1)
        for head in (self.coarse, self.fine, self.mixture):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]

    def encode(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """The encoder's maps of an image in [-1, 1], from fine to coarse, of about unit size."""
        maps = self.trunk(image)
        return [one / size for one, size in zip(maps, _USUAL_SIZES, strict=True)]

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        rays: Float[Tensor, "batch 2 height width"],
        focal_px: Float[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch height width"], Float[Tensor, "batch height width"]]:
        """Logarithms of depth in metres and of the mean absolute error expected of it.

        Args:
            image: RGB in [-1, 1], sides of a multiple of ``STRIDE``.
            rays: x / z and y / z of every pixel.
            focal_px: of the image, the same in x and y.
        """
        maps = self.encode(image)
        x: Tensor | None = None
        coarse: Tensor | None = None
        for depth in reversed(range(len(maps))):
            ray = F.avg_pool2d(rays, 2 ** (depth + 1))
            x = self.levels[depth](maps[depth], ray, x)
            if depth == len(maps) - 1:
                x = self._look_around(x, ray)  # pyright: ignore[reportArgumentType]
            if depth == 3:
                coarse = self.coarse(F.relu(x))  # pyright: ignore[reportArgumentType]
        assert x is not None
        assert coarse is not None
        x = F.relu(self.last(F.relu(x)))
        maps_half = self.fine(x) + F.pad(_enlarged(coarse, 8), (0, 0, 0, 0, 0, 1))
        log_depth, log_error = _mixed(maps_half, self.mixture(x)).unbind(1)
        shift = torch.log(focal_px / _USUAL_FOCAL_PX) + _USUAL_LOG_DEPTH
        return log_depth + shift[:, None, None], log_error - 1.5

    def _look_around(self, x: Tensor, rays: Tensor) -> Tensor:
        """The coarsest map after every place has read all others."""
        tokens = x.flatten(2).mT + self.place(rays.flatten(2).mT)
        for block in self.context:
            tokens = block(tokens)
        return tokens.mT.unflatten(2, x.shape[2:])


def map_widths() -> list[int]:
    """Channels of the encoder's maps, from the finest to the coarsest."""
    return [_BLOCKS[tap][2] for tap in _TAPS]


def pixel_rays(
    width_px: int, height_px: int, camera: Sequence[float]
) -> Float[Tensor, "2 height width"]:
    """Rays of a camera: x / z and y / z of every pixel centre, float32.

    Args:
        width_px: of the image.
        height_px: of the image.
        camera: fx, fy, cx, cy in pixels.
    """
    fx, fy, cx, cy = camera
    x = (torch.arange(width_px, dtype=torch.float32) - cx) / fx
    y = (torch.arange(height_px, dtype=torch.float32) - cy) / fy
    return torch.stack((x.expand(height_px, -1), y[:, None].expand(-1, width_px)))


class FocalNetwork(nn.Module):
    """From maps of the image encoder to the focal length."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse = map_widths()[-2:]
        self.fine = nn.Conv2d(fine, _FOCAL_WIDTH, 1)
        self.coarse = nn.Conv2d(coarse, _FOCAL_WIDTH, 1)
        self.place = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, _FOCAL_WIDTH))
        self.blocks = nn.ModuleList(
            EncoderBlock(_FOCAL_WIDTH, _FOCAL_HEADS) for _ in range(_FOCAL_BLOCKS)
        )
        self.norm = nn.LayerNorm(_FOCAL_WIDTH)
        self.answer = nn.Linear(_FOCAL_WIDTH, 2)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(
        self,
        maps: list[Float[Tensor, "batch _ _ _"]],
        size_px: tuple[int, int],
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Logarithms of focal length over long side, and of the mean absolute error of that.

        Args:
            maps: of ``Trunk``, the last two are read; divided by their usual sizes.
            size_px: width and height of the image without its padding, whose middle is the
                principal point.
        """
        fine, coarse = maps[-2:]
        x = self.coarse(coarse) + F.avg_pool2d(self.fine(fine), 2)
        places = _places(x.shape[2], x.shape[3], size_px).to(x.device)
        tokens = x.flatten(2).mT + self.place(places)
        for block in self.blocks:
            tokens = block(tokens)
        log_focal, log_error = self.answer(self.norm(tokens).mean(1)).unbind(-1)
        return log_focal + _USUAL_LOG_FOCAL, log_error + _USUAL_LOG_ERROR


def _pad_after(x: Tensor) -> Tensor:
    """A row below and a column to the right, as TensorFlow pads before a stride of two."""
    return F.pad(x, (0, 1, 0, 1))


def _enlarged(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)


def _mixed(maps: Tensor, logits: Tensor) -> Tensor:
    """Maps (batch, channels, h, w) twice as large; each new pixel a mixture of nine old ones."""
    batch, _, height, width = maps.shape
    shares = logits.view(batch, 1, 4, 9, height, width).softmax(3)
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    around = torch.stack(
        [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)], 2
    )
    mixed = (shares * around[:, :, None]).sum(3)
    return F.pixel_shuffle(mixed.flatten(1, 2), 2)


def _places(rows: int, columns: int, size_px: tuple[int, int]) -> Float[Tensor, "tokens 2"]:
    """Middles of the coarsest map's cells from the image's middle, in long sides."""
    width, height = size_px
    long = max(size_px)
    x = ((torch.arange(columns) + 0.5) * 32 - width / 2) / long
    y = ((torch.arange(rows) + 0.5) * 32 - height / 2) / long
    return torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1).flatten(0, 1)


FORMAT = "human3r-scene-depth-1"
FOCAL_FORMAT = "human3r-scene-focal-1"
"""What the weights files' metadata says under ``format``."""
_MAX_FILE_BYTES = 64 << 20
_CONFIDENT = 0.3
"""Expected error of log depth at which the confidence is 2."""
_MAX_PIXELS = 1024 * 1024
_MAX_FOCAL_RATIO = 20.0
"""Longest focal length over the image's long side, and the inverse of the shortest."""


@dataclass(frozen=True)
class DepthImage:
    """What one image says about the scene."""

    depth_m: Float[np.ndarray, "height width"]
    """Float32, along the optical axis, positive."""
    confidence: Float[np.ndarray, "height width"]
    """Float32, from 1 upwards: one and 0.3 over the expected relative error."""

    @property
    def relative_error(self) -> Float[np.ndarray, "height width"]:
        """Mean absolute error of log depth that the network expects, float32."""
        return np.float32(_CONFIDENT) / np.maximum(self.confidence - 1, np.float32(1e-6))


class SceneDepth:
    """The depth network on its device.

    Args:
        path: weights of the depth network; by default those that come with human3r, together with
            a focal network that reads the same encoder.
        device: where the networks run.

    Raises:
        WeightsError: missing, damaged, or of another network.
    """

    def __init__(self, path: str | Path | None = None, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        network = load_depth_network(path or packaged_weights_path())
        self._network = network.to(self._device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._focal = None
        if path is None:
            focal = load_focal_network(packaged_focal_path(), packaged_weights_path())
            self._focal = focal.to(self._device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, camera: Intrinsics) -> DepthImage:
        """Depth of every pixel.

        Images of 200 to 320 pixels on the long side suit it best.

        Args:
            image: (height, width, 3) uint8 RGB.
            camera: of this image.

        Raises:
            ShapeError: not an image.
            InputError: too large, or a camera that cannot be the image's.
        """
        height, width = check_rgb_image(image).shape[:2]
        _check_camera(camera, width, height)
        padded = self._padded(image)
        values = (camera.fx, camera.fy, camera.cx, camera.cy)
        rays = pixel_rays(padded.shape[3], padded.shape[2], values)
        focal = torch.tensor([(camera.fx * camera.fy) ** 0.5], device=self._device)
        log_depth, log_error = self._network(padded, rays[None].to(self._device), focal)
        confidence = 1 + _CONFIDENT * torch.exp(-log_error)
        depth, confidence = (
            x[0, :height, :width].cpu().numpy() for x in (log_depth.exp(), confidence)
        )
        return DepthImage(np.ascontiguousarray(depth), np.ascontiguousarray(confidence))

    @torch.inference_mode()
    def focal_px(self, image: np.ndarray) -> float:
        """Focal length in pixels of a camera whose principal point is the image's middle.

        Args:
            image: (height, width, 3) uint8 RGB.

        Raises:
            ShapeError: not an image.
            InputError: too large.
            WeightsError: there is no focal network for weights of one's own.
        """
        if self._focal is None:
            raise WeightsError(
                "these weights of the depth network have no focal network; expected those that "
                "come with human3r. Leave the path empty, or give a calibration."
            )
        height, width = check_rgb_image(image).shape[:2]
        _check_size(width, height)
        log_focal, _ = self._focal(self._network.encode(self._padded(image)), (width, height))
        return float(log_focal.exp()) * max(width, height)

    def with_focal(self, estimate: FrameEstimate) -> FrameEstimate:
        """The estimate with the focal length that its image shows."""
        began_s = time.perf_counter()
        focal_px = self.focal_px(estimate.image)
        estimate.timings_s["focal"] = time.perf_counter() - began_s
        return replace(estimate, estimated_focal_px=focal_px)

    def _padded(self, image: np.ndarray) -> torch.Tensor:
        """(1, 3, rows, columns) in [-1, 1], continued to the right and below."""
        height, width = image.shape[:2]
        pixels = torch.from_numpy(np.require(image, requirements="CW")).to(self._device)  # pyright: ignore[reportArgumentType, reportCallIssue]
        pixels = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
        margins = (0, -width % STRIDE, 0, -height % STRIDE)
        padded = F.pad(pixels, margins, mode="replicate")
        return padded.contiguous(memory_format=torch.channels_last)

    def apply(self, estimate: FrameEstimate) -> FrameEstimate:
        """The estimate with a scene: points and confidence along the rays of its camera.

        One whose camera is no lens keeps its own.
        """
        if not _is_lens(estimate.intrinsics):
            return estimate
        began_s = time.perf_counter()
        found = self(estimate.image, estimate.intrinsics)
        points = points_along_rays(found.depth_m, estimate.intrinsics)
        estimate.timings_s["depth"] = time.perf_counter() - began_s
        return replace(estimate, points_camera=points, confidence=found.confidence, has_scene=True)


def points_along_rays(
    depth_m: Float[np.ndarray, "height width"], camera: Intrinsics
) -> Float[np.ndarray, "height width 3"]:
    """One point per pixel, camera frame, float32: as ``FrameEstimate.points_camera`` has them."""
    height, width = depth_m.shape
    x = (np.arange(width) - camera.cx) / camera.fx
    y = (np.arange(height)[:, None] - camera.cy) / camera.fy
    return np.stack([x * depth_m, y * depth_m, depth_m], -1).astype(np.float32)


def packaged_weights_path() -> Path:
    """File of the depth network that comes with human3r."""
    return Path(__file__).resolve().parent / "data" / "scene_depth.safetensors"


def packaged_focal_path() -> Path:
    """File of the focal network that comes with human3r."""
    return packaged_weights_path().with_name("focal.safetensors")


def load_depth_network(path: str | Path) -> DepthNetwork:
    """The network of a weights file: float32, in evaluation mode, on the CPU.

    Raises:
        WeightsError: missing, damaged, or of another network.
    """
    with hollow():
        network = DepthNetwork()
    _load(network, Path(path), FORMAT, "the scene's depth network")
    return network


def load_focal_network(path: str | Path, depth_path: str | Path) -> FocalNetwork:
    """The focal network of a weights file, likewise.

    Args:
        path: the file.
        depth_path: of the depth network whose encoder it reads.

    Raises:
        WeightsError: missing, damaged, of another network, or made for another encoder.
    """
    with hollow():
        network = FocalNetwork()
    metadata = _load(network, Path(path), FOCAL_FORMAT, "the focal network")
    if metadata.get("encoder_sha256") != sha256_of(Path(depth_path)):
        raise WeightsError(
            f"{path}: was made for another encoder than that of {depth_path}; expected the same. "
            "Train it again: python -m human3r_lab.training.focal."
        )
    return network


def _load(network: torch.nn.Module, path: Path, format_: str, what: str) -> dict[str, str]:
    """Read a file's weights into its network; the file's metadata."""
    from safetensors import SafetensorError, safe_open

    expected = f"expected {what}. Check the path, or leave it empty."
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; {expected}")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise WeightsError(f"{path}: more than {_MAX_FILE_BYTES >> 20} MiB; {expected}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            found = metadata.get("format")
            if found != format_:
                raise WeightsError(f"{path}: its format is {found!r}, not {format_!r}; {expected}")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"{path}: is damaged ({str(error)[:200]}); {expected}") from error
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise WeightsError(f"{path}: holds NaN or infinity; {expected}")
    network.eval().requires_grad_(False)
    return metadata


def _check_size(width: int, height: int) -> None:
    if width * height > _MAX_PIXELS:
        raise InputError(
            f"image: {width}x{height}; expected at most {_MAX_PIXELS} pixels. Reduce the image and "
            "its camera first."
        )


def _check_camera(camera: Intrinsics, width: int, height: int) -> None:
    _check_size(width, height)
    if (camera.width_px, camera.height_px) != (width, height):
        raise InputError(
            f"camera: of an image of {camera.width_px}x{camera.height_px}, got one of "
            f"{width}x{height}; expected the same. Scale the camera with the image."
        )
    if not _is_lens(camera):
        raise InputError(
            f"camera: focal lengths {camera.fx:g} and {camera.fy:g} px for an image of "
            f"{width}x{height}; expected those of a pinhole camera. Check camera_info."
        )


def _is_lens(camera: Intrinsics) -> bool:
    """Whether the focal lengths are those of a pinhole camera with an ordinary lens."""
    ratios = np.array([camera.fx, camera.fy]) / max(camera.width_px, camera.height_px)
    return bool(((ratios > 1 / _MAX_FOCAL_RATIO) & (ratios < _MAX_FOCAL_RATIO)).all())
