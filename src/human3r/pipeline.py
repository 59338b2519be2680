"""The main path: settings -> network, body and session; frame -> people, scene and camera.

Read this first. Every front end (command line, ROS node, your own script) drives a ``Pipeline``:

    pipeline = Pipeline.from_settings(Settings())  # the small network and body we ship
    estimate = pipeline.step(Frame(image, stamp_ns))

    official = Settings().replace({"model.weights": "672S.safetensors",
                                   "model.body_model": "smplx.npz"})
"""

import logging
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from human3r.body import BodyModel, load_body_model
from human3r.body.default import default_body_path
from human3r.checks import check_rgb_image
from human3r.config import Settings
from human3r.errors import DeviceError, InputError
from human3r.geometry.known_camera import camera_in_use, seen_through
from human3r.mapping.points import select_points, select_static_points
from human3r.model.checkpoint import load_network
from human3r.model.default import default_weights_path
from human3r.model.execution import Runner
from human3r.model.network import Human3R
from human3r.model.precision import set_precision
from human3r.model.variants import is_ours
from human3r.scale import MetricScale
from human3r.streaming.lookahead import look_ahead
from human3r.streaming.session import Prepared, StreamSession
from human3r.streaming.visual_odometry import VisualOdometry
from human3r.types import Frame, FrameEstimate, PointSet

log = logging.getLogger(__name__)

_MIN_CONTRAST = 1.0
"""Grey levels of standard deviation below which an image shows nothing (lens covered)."""


class Pipeline:
    """One camera stream through the network, from settings to results.

    Attributes:
        settings: what it was built with; ``apply`` changes those marked live.
        network: the Human3R network on its device.
        body_model: turns body parameters into joints and vertices.
        session: the recurrent stream; owns order, reset and identities.
        scale: metres per unit of the network, applied to every result.
    """

    def __init__(self, network: Human3R, body_model: BodyModel, settings: Settings) -> None:
        self.settings = settings
        self.network = network
        self.body_model = body_model
        self._runner = Runner(network, settings.model.execution)
        self.session = StreamSession(network, body_model, settings, self._runner)
        self.scale = MetricScale(settings)
        source = settings.odometry.source
        follows_corners = source == "corners" or (source == "auto" and is_ours(network.config))
        self._odometry = VisualOdometry() if follows_corners else None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Pipeline":
        """Load and check weights and body model, and place them on the device.

        Raises:
            WeightsError: missing, damaged or foreign weights.
            BodyModelError: missing, damaged or foreign body model.
            DeviceError: the device is not there.
        """
        settings = with_shipped_files(settings)
        model = settings.model
        device = choose_device(model.device)
        if model.deterministic:
            # For the whole process: PyTorch knows no smaller scope. It warns where it cannot.
            torch.use_deterministic_algorithms(True, warn_only=True)
        if model.threads:
            torch.set_num_threads(model.threads)
        network = load_network(
            model.weights, device=device, rope_dtype=model.rope_dtype, sha256=model.sha256
        )
        set_precision(network, model.precision)
        return cls(network, load_body_model(model.body_model, device), settings)

    def warm_up(self, width_px: int = 640, height_px: int = 480) -> None:
        """Run ``model.warmup_frames`` made-up frames of this size, then forget them."""
        noise = np.random.default_rng(0).integers(0, 255, (height_px, width_px, 3), np.uint8)
        trial = StreamSession(self.network, self.body_model, self.settings, self._runner)
        for index in range(self.settings.model.warmup_frames):
            trial.push(Frame(noise, stamp_ns=index + 1))

    def step(self, frame: Frame, prepared: Prepared | None = None) -> FrameEstimate:
        """One frame in, everything known from it out.

        A frame without contrast is answered but does not enter the recurrent state, so a covered
        lens cannot wipe out what the session has learnt. A frame's calibration, where it has one,
        says along which rays people and points lie.

        Args:
            frame: newer than the last one and of the same size.
            prepared: the same frame as ``looking_ahead`` gave it.

        Raises:
            InputError: unusable image, changed size, a stamp that is not newer, or ``prepared`` of
                another frame.
            NonFiniteError: the network failed on this frame; the state is as before.
        """
        self._check_size(frame)
        if prepared is not None and prepared.stamp_ns != frame.stamp_ns:
            raise InputError(
                f"prepared: made of the frame of stamp {prepared.stamp_ns}, got with that of "
                f"{frame.stamp_ns}; expected the same frame. Pass on what looking_ahead gave."
            )
        estimate = self.session.push(prepared or frame, update=has_contrast(frame.image))
        began_s = time.perf_counter()
        if frame.intrinsics is not None:
            estimate = seen_through(estimate, frame.intrinsics)
        if self._odometry is not None:
            camera = camera_in_use(estimate, frame.intrinsics)
            estimate = self._odometry.apply(estimate, camera)
        estimate = self.scale.apply(estimate)
        estimate.timings_s["geometry"] += time.perf_counter() - began_s
        return estimate

    def looking_ahead(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Prepared]]:
        """Frames for ``step``, each prepared by a thread while the one before is stepped.

        The answers are the same as without, and there are more per second where there is a second
        core, or a GPU with room. A frame is handed out when its successor has been read.

        Raises:
            InputError: as of ``step``, for an unusable image; and whatever ``frames`` raises.
        """
        return look_ahead(frames, self._prepared, self.network.device)

    def _prepared(self, frame: Frame) -> Prepared:
        self._check_size(frame)
        return self.session.prepare(frame)

    def _check_size(self, frame: Frame) -> None:
        height, width = check_rgb_image(frame.image).shape[:2]
        if height * width > self.settings.input.max_pixels:
            raise InputError(
                f"image: {width}x{height} is {height * width} pixels; input.max_pixels allows "
                f"{self.settings.input.max_pixels}. Reduce the image or raise the limit."
            )

    def points(
        self,
        estimate: FrameEstimate,
        labels: np.ndarray | None = None,
        is_sure: np.ndarray | None = None,
    ) -> PointSet:
        """Points of scene and people: for obstacle avoidance.

        Args:
            estimate: one frame's result.
            labels: (height, width) uint16, which person each pixel shows; None: looked for.
            is_sure: (height, width) bool, ``mapping.points.sure_pixels``; None: looked for.
        """
        return select_points(estimate, self.settings.scene, labels, is_sure)

    def scene_points(self, estimate: FrameEstimate, is_sure: np.ndarray | None = None) -> PointSet:
        """Points with the people taken out: for mapping; arguments as of ``points``."""
        return select_static_points(estimate, self.settings.scene, is_sure)

    def statures_m(self, estimate: FrameEstimate) -> list[float]:
        """Standing height of each person, as their shape implies."""
        if not estimate.people:
            return []
        betas = np.stack([person.body.betas for person in estimate.people])
        statures = self.body_model.stature(torch.from_numpy(betas).to(self.network.device))
        return (statures * estimate.scale).tolist()

    def reset(self, keep_world: bool = False) -> None:
        """Forget the recurrent state and begin a new session.

        Args:
            keep_world: go on in the same world frame from the last pose.
        """
        self.session.reset(keep_world=keep_world)
        self.scale.restart(keep_world=keep_world)
        if self._odometry is not None:
            self._odometry.restart(keep_world=keep_world)

    def apply(self, settings: Settings) -> None:
        """Take over the live settings; those of the network and the device stay as built."""
        self.settings = settings
        self.session.apply(settings)

    def close(self) -> None:
        """Give the device's memory back; the pipeline is of no use afterwards."""
        device = self.network.device
        del self.session, self.network, self.body_model, self._runner
        if device.type == "cuda":
            torch.cuda.empty_cache()


def choose_device(name: str) -> torch.device:
    """The device called ``name``; auto is the first CUDA device, else the CPU.

    Raises:
        DeviceError: unknown name, or no such device on this machine.
    """
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"model.device is {name!r}; expected auto, cpu, cuda or cuda:N."
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"model.device is {name!r}; expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"model.device is {name!r}, but PyTorch sees {count} CUDA devices. "
                "Use cpu, or install a CUDA build of PyTorch and check `human3r doctor`."
            )
        device = torch.device("cuda", device.index or 0)
    return device


def has_contrast(image: np.ndarray) -> bool:
    """Whether an image (height, width, 3) uint8 shows anything at all.

    A coarse sample of pixels decides; it costs microseconds at any image size.
    """
    height, width = image.shape[:2]
    sample = image[:: max(1, height // 64), :: max(1, width // 64)]
    return float(sample.reshape(-1, 3).std(axis=0).max()) >= _MIN_CONTRAST


def with_shipped_files(settings: Settings) -> Settings:
    """The settings with the weights and the body that come with human3r where none are named."""
    model = settings.model
    if not model.weights:
        settings = settings.replace({"model.weights": str(default_weights_path())})
        if model.body_model:
            log.warning(
                "no weights are named: the small network that comes with human3r speaks of the "
                "free body, so its shapes mean nothing on %s. Set model.weights too, or neither.",
                model.body_model,
            )
    elif not model.body_model:
        log.warning(
            "no body model is named: people get the free body that comes with human3r. Weights "
            "made for SMPL-X need an SMPL-X file: set model.body_model."
        )
    if not model.body_model:
        settings = settings.replace({"model.body_model": str(default_body_path())})
    return settings
