"""The main path: settings -> network, body and session; frame -> people, scene and camera.

Read this first. Every front end (command line, ROS node, your own script) drives a ``Pipeline``:

    pipeline = Pipeline.from_settings()  # the small networks and the body we ship
    estimate = pipeline.step(image)  # or Frame(image, stamp_ns, intrinsics)

    official = Settings().replace({"model.weights": "672S.safetensors",
                                   "model.body_model": "smplx.npz"})
"""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from human3r.atomic import sha256_of
from human3r.body import BodyModel, load_body_model
from human3r.body.default import default_body_path
from human3r.camera.calibration import StreamCamera
from human3r.config import Settings, settings_of
from human3r.errors import DeviceError, InputError, NonFiniteError, WeightsError
from human3r.io.stream_rules import ImageStamps, SamePicture, Turns, nothing_seen, shows_scene
from human3r.mapping.level import LevelFrame
from human3r.mapping.points import select_points, select_static_points
from human3r.model.checkpoint import load_network
from human3r.model.default import default_weights_path
from human3r.model.network import Human3R, Runner
from human3r.model.precision import set_precision
from human3r.model.variants import means
from human3r.scale import MetricScale
from human3r.scale.people_scale import person_votes
from human3r.scene.scene_depth import SceneDepth
from human3r.streaming.lookahead import look_ahead
from human3r.streaming.motion_depth import MotionDepth
from human3r.streaming.people import LandmarkPeople, StreamPeople
from human3r.streaming.session import Prepared, StreamSession
from human3r.streaming.visual_odometry import VisualOdometry
from human3r.tracking.covariance_file import find_covariance
from human3r.tracking.tracks import Tracker
from human3r.types import Frame, FrameEstimate, Intrinsics, PointSet, check_rgb_image

log = logging.getLogger(__name__)


class Pipeline:
    """One camera stream through the network, from settings to results.

    Attributes:
        settings: what it was built with; ``apply`` changes those marked live.
        network: the Human3R network on its device.
        body_model: turns body parameters into joints and vertices.
        session: the recurrent stream; owns order and resets.
        camera: the one camera of every frame.
        scale: metres per unit of the network, applied to every result.
        level: where up is.
        images: stamps for images that come without one; ``images.rate_hz`` may be set.
    """

    def __init__(
        self,
        network: Human3R,
        body_model: BodyModel,
        settings: Settings,
        tracker: Tracker | None = None,
        beside: "Pipeline | None" = None,
    ) -> None:
        """Ready for the first frame.

        Args:
            network: on its device.
            body_model: on the same device.
            settings: as they are to be used; files are not looked up here.
            tracker: numbers people and sessions; one that lasts longer than a pipeline gives no
                number twice.
            beside: a pipeline of another stream with the same network and settings; all its other
                networks are shared too.
        """
        self.settings = settings
        self.network = network
        self.body_model = body_model
        self._tracker = tracker or Tracker()
        self._tracker.begin_network()
        self._runner = beside._runner if beside else Runner(network, settings.model.execution)
        self._landmarks = None
        if means(settings.people.source, "landmarks", network.config):
            self._landmarks = LandmarkPeople(
                body_model, settings, network.device, beside._landmarks if beside else None
            )
        self.session = self._new_session(self._tracker.next_session)
        self.camera = StreamCamera(
            is_constant=means(settings.camera.focal, "stream", network.config)
        )
        self._scene = None
        if means(settings.scene.source, "monocular", network.config):
            shared = beside._scene if beside else None
            self._scene = shared or SceneDepth(device=network.device)
        self.level = LevelFrame(settings)
        self.scale = MetricScale(
            settings, up_camera=self.level.up_camera, people_are_metric=self._landmarks is not None
        )
        self.images = ImageStamps()
        follows_features = means(settings.odometry.source, "features", network.config)
        self._odometry = VisualOdometry() if follows_features else None
        corrects_depth = self._scene is not None and follows_features and settings.scene.motion
        self._motion_depth = MotionDepth() if corrects_depth else None
        people_apart = self._landmarks is not None
        scene_apart = self._scene is not None and follows_features and self.camera.is_constant
        self._turns = Turns(
            frames_may_pass=people_apart, with_network=not (people_apart and scene_apart)
        )
        covariance = find_covariance(settings.model.weights, sha256_of)
        self._people = StreamPeople(body_model, self._tracker, covariance)
        self._world_from_camera = np.eye(4)
        self._picture = SamePicture()

    def __repr__(self) -> str:
        model = self.settings.model
        sources = {"landmarks": self._landmarks, "monocular": self._scene}
        used = [name for name, part in sources.items() if part is not None]
        beside = f" with {' and '.join(used)}" if used else ""
        return (
            f"Pipeline({Path(model.weights).name or 'network'}{beside}, "
            f"{self.body_model.name} on {self.network.device}, session {self.session_number})"
        )

    @classmethod
    def from_settings(
        cls, settings: Settings | None = None, tracker: Tracker | None = None, **sections: Any
    ) -> "Pipeline":
        """Load and check weights and body model, and place them on the device.

        Args:
            settings: None: the defaults. Where no file is named, those that come with human3r are
                taken.
            tracker: as of the constructor.
            **sections: changes to the settings, as of ``Settings.replace``:
                ``people={"max_count": 2}``.

        Raises:
            InputError: something else than settings.
            ConfigError: unknown settings, or values out of their bounds.
            WeightsError: missing, damaged or foreign weights.
            BodyModelError: missing, damaged or foreign body model.
            DeviceError: the device is not there.
        """
        settings = with_shipped_files(settings_of(settings).replace(**sections))
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
        return cls(network, load_body_model(model.body_model, device), settings, tracker)  # pyright: ignore[reportArgumentType]

    @classmethod
    def warmed_up(cls, settings: Settings, tracker: Tracker | None = None) -> "Pipeline":
        """As ``from_settings``, after ``warm_up``; closed again where that fails.

        Raises:
            Human3RError: as of both.
        """
        pipeline = cls.from_settings(settings, tracker)
        try:
            pipeline.warm_up()
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    def beside(self) -> "Pipeline":
        """A pipeline for another camera's stream, through the same networks and body.

        One thread at a time may use the two.
        """
        return Pipeline(self.network, self.body_model, self.settings, beside=self)

    def warm_up(self, width_px: int = 640, height_px: int = 480) -> None:
        """Run ``model.warmup_frames`` made-up frames of this size, then forget them.

        Raises:
            WeightsError: the network's answer is not finite.
        """
        try:
            self._try_noise(width_px, height_px)
        except NonFiniteError as error:
            seen = str(error).partition(";")[0]
            raise WeightsError(
                f"{self.settings.model.weights}: of a picture of noise {seen}; expected finite "
                "numbers. The file is damaged: convert or download it again."
            ) from error

    def _try_noise(self, width_px: int, height_px: int) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (height_px, width_px, 3), np.uint8)
        trial = self._new_session(0)
        for index in range(self.settings.model.warmup_frames):
            estimate = trial.push(Frame(noise, stamp_ns=index + 1))
            if self._landmarks is not None:
                self._landmarks.warm_up(noise)
            if self._scene is not None:
                height, width = estimate.depth.shape
                camera = Intrinsics(width, width, width / 2, height / 2, width, height)
                self._scene.apply(replace(estimate, intrinsics=camera))

    def _new_session(self, first_session: int) -> StreamSession:
        """One that shares what is compiled; without the network's people where others are used."""
        with_people = self._landmarks is None
        return StreamSession(
            self.network,
            self.body_model if with_people else None,
            self.settings,
            self._runner,
            first_session,
            with_people=with_people,
        )

    def step(self, frame: Frame | np.ndarray, prepared: Prepared | None = None) -> FrameEstimate:
        """One frame in, everything known from it out.

        A frame that shows no scene, or a frozen picture, does not enter the recurrent state, so a
        covered lens cannot wipe out what the session has learnt; its estimate has no people and no
        depth (``FrameEstimate.unseen``). Where people come from landmarks, ``scene.every`` lets
        frames pass without depth. Where depth and motion come from elsewhere too, the recurrent
        network does not run. Every front end converts and writes what comes out here, and adds
        nothing of its own.

        Args:
            frame: newer than the last one and of the same size, or the first of a new session. A
                plain image, (height, width, 3) uint8 RGB, counts as taken ``1 / images.rate_hz``
                after the one before.
            prepared: the same frame as ``looking_ahead`` gave it.

        Raises:
            InputError: unusable image, changed size, a stamp that is not newer, or ``prepared`` of
                another frame.
            NonFiniteError: the network failed on this frame; the state is as before.
        """
        frame = self.images.frame_of(frame)
        self._check_size(frame)
        if frame.begins_session:
            self._restart(keep_world=False, begins_with=frame)
        if prepared is not None and prepared.stamp_ns != frame.stamp_ns:
            raise InputError(
                f"prepared: made of the frame of stamp {prepared.stamp_ns}, got with that of "
                f"{frame.stamp_ns}; expected the same frame. Pass on what looking_ahead gave."
            )
        # What the network says of this frame.
        prepared = prepared or self._prepared(frame)
        if self._lacks_scene(prepared):
            # The session has no scene yet, so this frame must have one.
            again = self.session.prepare(frame, with_network=self._turns.with_network)
            seen = {"unseen": prepared.unseen, "is_repeated": prepared.is_repeated}
            prepared = replace(again, **seen)
        shows = not prepared.unseen
        if self._landmarks is not None and shows:
            self._landmarks.look(frame)
        with_scene, estimate = prepared.with_scene, self.session.push(prepared, update=shows)
        self._tracker.next_session = self.session_number + 1
        began_s = time.perf_counter()
        if shows:
            self._world_from_camera = estimate.world_from_camera
        else:
            estimate = nothing_seen(estimate, self._world_from_camera, prepared.unseen)
            estimate = replace(estimate, has_scene=with_scene)
        # Along whose rays it lies: one camera for people, pixels, depth and clouds.
        if not self._turns.with_network and shows and prepared.with_focal:
            estimate = self._scene.with_focal(estimate)  # pyright: ignore[reportOptionalMemberAccess]
        estimate = self.camera.apply(estimate, frame.intrinsics)
        if self._scene is not None and shows and with_scene:
            estimate = self._scene.apply(estimate)
        if self._landmarks is not None:
            estimate = self._landmarks.find(estimate)
        # Where the camera is, in metres, and where up is.
        if self._odometry is not None:
            estimate = self._odometry.apply(
                estimate, estimate.intrinsics, is_repeated=prepared.is_repeated
            )
        if self._odometry is not None and self._motion_depth is not None:
            estimate = self._motion_depth.apply(estimate)
            self._odometry.correct_depth(estimate)
        if self._landmarks is not None:
            self.level.look_at_surfaces(estimate)
            most = self.settings.people.max_count
            estimate = self._landmarks.fit(estimate, self.level, self.scale.value, most)
        raw, estimate = estimate, self.scale.apply(estimate)
        self._compare_people(raw, estimate)
        self.level.update(frame, estimate)
        estimate = replace(estimate, level_from_world=self.level.level_from_world)
        # Who is who, what is seen of them, and how sure that is.
        estimate = self._people.update(estimate, self.settings)
        spent_s = time.perf_counter() - began_s
        laps_s = estimate.timings_s
        own_s = sum(laps_s.get(name, 0.0) for name in ("focal", "depth", "motion", "wait", "fit"))
        laps_s["geometry"] += spent_s - own_s
        return estimate

    def _lacks_scene(self, prepared: Prepared) -> bool:
        """Whether a session would begin without a scene."""
        if self._turns.with_network:
            return prepared.encoded is None and self.session.recurrent.is_first
        return not prepared.with_scene and self.session.frame_index == 0

    def _compare_people(self, raw: FrameEstimate, estimate: FrameEstimate) -> None:
        """Depth that is metric by itself says how tall people are; ``raw`` is before the scale."""
        if self._landmarks is None:
            return
        if estimate.is_depth_measured:
            self._landmarks.compare(person_votes(estimate), is_measured=True)
        elif self._scene is not None and raw.has_scene:
            self._landmarks.compare(self.scale.votes_of(raw), is_measured=False)

    def _why_unseen(self, frame: Frame) -> str:
        """A key of ``selection.UNSEEN``; empty for an image from which something is known."""
        same_s = self._picture.lasts_s(frame.image, frame.stamp_ns)
        limit_s = self.settings.input.max_frozen_s
        if 0 < limit_s <= same_s:
            return "frozen"
        return "" if shows_scene(frame.image) else "blank"

    @property
    def session_number(self) -> int:
        """Number of the session that the next frame belongs to."""
        return self.session.session

    def looking_ahead(
        self, frames: Iterable[Frame | np.ndarray]
    ) -> Iterator[tuple[Frame, Prepared]]:
        """Frames for ``step``, each prepared by a thread while the one before is stepped.

        The answers are the same as without, and there are more per second where there is a second
        core, or a GPU with room. A frame is handed out when its successor has been read.

        Raises:
            InputError: as of ``step``, for an unusable image; and whatever ``frames`` raises.
        """
        return look_ahead(map(self.images.frame_of, frames), self._begun, self.network.device)

    def _begun(self, frame: Frame) -> Prepared:
        prepared = self._prepared(frame)
        if self._landmarks is not None and not prepared.unseen:
            self._landmarks.look(frame)
        return prepared

    def _prepared(self, frame: Frame) -> Prepared:
        self._check_size(frame)
        if frame.begins_session:
            self._turns.restart()
            self._picture.forget()
        turn, unseen = self._turns.take(self.settings), self._why_unseen(frame)
        prepared = self.session.prepare(frame, with_network=turn.with_network)
        return replace(
            prepared,
            with_scene=turn.with_scene,
            with_focal=turn.with_focal,
            unseen=unseen,
            # The next frame may be looked at before this one is stepped.
            is_repeated=self._picture.is_repeated,
        )

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

    def reset(self, keep_world: bool = False, keep_scale: bool = True) -> None:
        """Forget the recurrent state and begin a new session.

        Args:
            keep_world: go on in the same world frame from the last pose.
            keep_scale: go on with the scale that was measured, for it is the same camera; False
                begins with ``scale.value``, so that answers depend on nothing that came before.
        """
        self._turns.restart()
        if not keep_world:
            self._picture.forget()
        self._restart(keep_world=keep_world, keep_scale=keep_scale)

    def _restart(
        self, *, keep_world: bool, keep_scale: bool = True, begins_with: Frame | None = None
    ) -> None:
        self.session.reset(keep_world=keep_world)
        if not keep_world:
            self._world_from_camera = np.eye(4)
        self.scale.restart(keep_world=keep_world, keep_value=keep_scale)
        if self._landmarks is not None:
            self._landmarks.restart(begins_with)
        if not keep_world:
            self._people.forget()
            self.level.restart()
        if self._odometry is not None:
            self._odometry.restart(keep_world=keep_world)
        if self._motion_depth is not None:
            self._motion_depth.restart()

    def apply(self, settings: Settings) -> None:
        """Take over the live settings; those of the network and the device stay as built."""
        self.settings = settings
        self.session.apply(settings)

    def close(self) -> None:
        """Give the device's memory back; the pipeline is of no use afterwards."""
        device = self.network.device
        if self._landmarks is not None:
            self._landmarks.close()
        del self._landmarks, self.session, self.network, self.body_model, self._runner
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


def with_shipped_files(settings: Settings) -> Settings:
    """The settings with the weights and the body that come with human3r where none are named."""
    model = settings.model
    if not model.weights:
        settings = settings.replace({"model.weights": str(default_weights_path())})
        if model.body_model:
            log.warning(
                "no weights are named: the bundled weights predict shapes of the free "
                "body model, which have no meaning on %s. Set model.weights too, or neither.",
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
