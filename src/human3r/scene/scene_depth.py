"""Metric depth of camera images: the network that comes with human3r, ready to use.

scene_depth = SceneDepth()
found = scene_depth(image, camera)  # any size; the same size comes back
points = points_along_rays(found.depth_m, camera)
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from human3r.atomic import sha256_of
from human3r.checks import check_rgb_image
from human3r.errors import InputError, WeightsError
from human3r.scene.networks import STRIDE, DepthNetwork, FocalNetwork, pixel_rays
from human3r.types import FrameEstimate, Intrinsics

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
        network.load_state_dict(state)
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
