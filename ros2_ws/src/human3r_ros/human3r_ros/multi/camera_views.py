"""Views of cameras of our own: images of one moment through one set of networks, in one thread.

Every camera is a stream as in the node for one camera, with a pipeline, a frame filter and topics
of its own under ``~/CAMERA``; the pipelines share their networks, and what they find is fused at
once.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from human3r_msgs.msg import FrameStatus, Human
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from human3r.body.base import BodyModel
from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from human3r.mapping.level import LevelFrame
from human3r.multiview.rig_file import RigCamera
from human3r.multiview.upright import quarter_turns, turned_frame, turned_pose
from human3r.multiview.view import ViewPeople, view_from_estimate
from human3r.types import Frame, FrameEstimate
from human3r_ros import convert
from human3r_ros.inputs import Inputs
from human3r_ros.multi.fused_stream import FusedStream
from human3r_ros.multi.image_sets import ImageSets, StampedArrival
from human3r_ros.multi.settings import MultiSettings, camera_topics
from human3r_ros.multi.view_state import ViewState
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.status import FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import RobotSources
from human3r_ros.worker import CountedStream, Counters, Worker

_IN_FLIGHT_S, _LAST_IMAGES_S = 2.0, 0.5
_IDLE_S = 1.0
_MOST_ALONE = 10


@dataclass
class CameraContext:
    """What the cameras share with their node."""

    node: Node
    group: CallbackGroup
    settings: Callable[[], MultiSettings]
    """As of now; live ones may change between frames."""
    log: ThrottledLog
    on_fault: Callable[[str], None]
    """Told once why the streams cannot go on."""
    is_interrupted: Callable[[], bool]
    """Whether the process is to end, so that loading gives up."""
    see: Callable[[str, FrameEstimate, np.ndarray], None] = lambda *_: None
    """Told what a camera has made of an image, and the image."""


class CameraViews:
    """Image topics of several cameras, and the thread that computes.

    Attributes:
        states: of the cameras.
        body_model: of their people.
    """

    def __init__(
        self, context: CameraContext, rig: Mapping[str, RigCamera], fused: FusedStream
    ) -> None:
        """Load the networks and open the publishers; nothing is read before ``begin``.

        Args:
            context: node and settings.
            rig: cameras of the calibration file, by name; empty: TF says where they are.
            fused: takes what the cameras see.

        Raises:
            Human3RError: unusable settings, weights, body model or device.
        """
        self._context, self._fused = context, fused
        self._given = context.settings()
        self._settings = self._given.pipeline_settings()
        self._worker = Worker(lambda error: context.on_fault(f"{type(error).__name__}: {error}"))
        self._sets: ImageSets | None = None
        self._cameras: dict[str, _Camera] = {}
        try:
            self._load(rig)
        except BaseException:
            self.close()
            raise
        self.states = [camera.state for camera in self._cameras.values()]

    def _load(self, rig: Mapping[str, RigCamera]) -> None:
        run = partial(self._worker.call_unless, self._context.is_interrupted)
        pipeline: Any = None
        for name, topic in camera_topics(self._given.cameras).items():
            first = pipeline
            pipeline = run(lambda first=first: _pipeline(self._settings, first))
            camera = _Camera(self._context, name, topic, pipeline, self._settings, self._fused)
            self._cameras[name] = camera
            camera.calibrations.given = rig[name].intrinsics if name in rig else None
            run(lambda camera=camera: camera.make_processor(self._live_settings))
        self.body_model: BodyModel = pipeline.body_model
        skeleton = convert.skeleton_from_body(self.body_model)
        self._fused.use_skeleton(convert.skeleton_message(skeleton, 0))
        # As in the node for one camera: what is there by now is not looked at again.
        gc.collect()
        gc.freeze()

    def _live_settings(self) -> Settings:
        given = self._context.settings()
        if given is not self._given:
            # One assignment each, and the worker alone reads both.
            self._given, self._settings = given, given.pipeline_settings()
        return self._settings

    def begin(self) -> None:
        """Read images from now on."""
        sync = self._given.sync
        sets = ImageSets(
            {name: self._fused.offset_ns(name) for name in self._cameras},
            round(sync.max_gap_s * 1e9),
            sync.patience_s,
            sync.silent_s,
            uses_header=self._settings.input.stamp == "header",
        )
        for name, camera in self._cameras.items():
            sets.doors[name].hear = camera.state.hear
        self._sets = sets
        for name, camera in self._cameras.items():
            self._worker.call(
                lambda camera=camera, door=sets.doors[name]: camera.processor.begin(
                    door, reset=True
                ),
                _IN_FLIGHT_S,
            )
        self._worker.stream(sets, self._handle, self._idle)
        for name, camera in self._cameras.items():
            camera.open(sets.doors[name], self._settings)

    def end(self) -> None:
        """Read no more; the images in flight may finish, or their results are thrown away."""
        for camera in self._cameras.values():
            camera.shut()
        if self._sets is None:
            return
        self._sets = None
        if not self._worker.pause(self._patience_s()):
            self._context.log.warn(
                "in_flight", "images are still in flight; their results are dropped."
            )
        for camera in self._cameras.values():
            camera.processor.mute()

    def close(self) -> None:
        """Give networks and publishers back."""
        gc.unfreeze()
        self.end()
        for camera in self._cameras.values():
            camera.outputs.destroy()
            self._worker.submit(camera.pipeline.close)
        self._worker.close(self._patience_s())

    def _patience_s(self) -> float:
        """For images in flight; less at the end of the process, which must not take long."""
        return _LAST_IMAGES_S if self._context.is_interrupted() else _IN_FLIGHT_S

    def check(self) -> None:
        """Bring the states up to date, and see who publishes what is read."""
        alone = self._sets.alone if self._sets is not None else {}
        for name, camera in self._cameras.items():
            camera.check(alone.get(name, 0))

    def forget_time(self) -> None:
        """The clock was set back: every stream begins a new session."""
        sets = self._sets
        if sets is None:
            return
        now_ns, jump_s = self._context.node.get_clock().now().nanoseconds, time.monotonic()

        def forget() -> None:
            sets.forget_time()
            for camera in self._cameras.values():
                camera.processor.time_jumped(now_ns, jump_s)

        self._worker.submit(forget)

    # -- in the worker ---------------------------------------------------------------------------

    def _handle(self, found: dict[str, StampedArrival]) -> None:
        """Images of one moment: each through its pipeline, then all people into one world."""
        views: list[ViewPeople] = []
        sources: dict[tuple[str, int], Human] = {}
        taken_ns = self._context.node.get_clock().now().nanoseconds
        for name, item in found.items():
            seen = self._cameras[name].step(item, taken_ns)
            if seen is not None:
                view, humans = seen
                views.append(view)
                sources.update({(name, number): human for number, human in humans.items()})
        self._fused.step(views, sources)
        self._idle()

    def _idle(self) -> None:
        for camera in self._cameras.values():
            camera.idle()


class _Camera:
    """One camera: topics, pipeline, and what it saw last."""

    def __init__(
        self,
        context: CameraContext,
        name: str,
        topic: str,
        pipeline: Any,
        settings: Settings,
        fused: FusedStream,
    ) -> None:
        node = context.node
        self.name, self.pipeline, self.calibrations = name, pipeline, CalibrationCache()
        full = node.resolve_topic_name(topic)
        expected = f"expected images on {full}. Does the camera's driver run?"
        self.state = ViewState(name, full, expected)
        self._topic, self._context, self._fused = topic, context, fused
        self._log = ThrottledLog(lambda text: node.get_logger().warning(f"camera {name}: {text}"))
        self.outputs = Outputs(node, settings, self._log.warn, name)  # pyright: ignore[reportArgumentType]
        self._placement = _UprightPlacement(name, fused, self.outputs, pipeline.level, settings)
        self._robot = RobotSources(fused.tree, settings)
        self._inputs: Inputs | None = None
        self._opened_s = self._busy_s = 0.0
        self._taken_ns = 0
        self._seen: Any = None
        self._counters = Counters()
        skeleton = convert.skeleton_from_body(pipeline.body_model)
        self._joints = skeleton.joint_indices

    def make_processor(self, settings: Callable[[], Settings]) -> None:
        """What judges, computes and publishes the frames; in the worker."""
        from human3r_ros.processor import ProcessorContext, StreamProcessor

        node = self._context.node
        context = ProcessorContext(
            settings=settings,
            now_ns=lambda: node.get_clock().now().nanoseconds,
            # An image is no older for having waited for the other cameras' of its moment.
            taken_ns=lambda: self._taken_ns,
            is_simulated=lambda: bool(node.get_parameter("use_sim_time").value),
            throttled_log=self._log,
            on_fault=self._context.on_fault,
            calibrations=self.calibrations,
            robot=self._robot,
            observe=self._observe,
            show=lambda estimate, image: self._context.see(self.name, estimate, image),
        )
        self.processor = StreamProcessor(self.pipeline, self.outputs, self._placement, context)

    def open(self, door: CountedStream, settings: Settings) -> None:
        """Subscribe."""
        self._opened_s = time.monotonic()
        self.outputs.send(
            "skeleton",
            convert.skeleton_message(
                self.processor.skeleton(), self._context.node.get_clock().now().nanoseconds
            ),
        )
        folder, slash, _ = self._topic.rpartition("/")
        self._inputs = Inputs(
            self._context.node,
            self._context.group,
            door,
            self.calibrations,
            self._robot.depths,
            self._log.warn,
            (self._topic, f"{folder}{slash}camera_info"),
        )
        self._inputs.open(settings)

    def shut(self) -> None:
        """Unsubscribe; harmless when repeated."""
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    def check(self, sets_alone: int) -> None:
        """Once per second, outside the worker; ``sets_alone`` as of ``ImageSets.alone``."""
        if sets_alone >= _MOST_ALONE:
            gap_s = self._context.settings().sync.max_gap_s
            text = (
                f"its last {sets_alone} images had none of another camera within sync.max_gap_s, "
                f"{gap_s:g} s; expected images of one moment. Trigger the cameras together, raise "
                "it to half the time between images, or correct clocks and time_offset_s."
            )
            self.state.apart = text
            self._log.warn("apart", text, 30.0)
        else:
            self.state.apart = ""
        if self._inputs is not None:
            self._inputs.check(time.monotonic() - self._opened_s)
        counters = self._counters
        dropped = {
            name.removeprefix("dropped_"): number
            for name, number in vars(counters).items()
            if number and (name.startswith("dropped_") or name == "rejected")
        }
        self.state.values["images"] = str(counters.received)
        self.state.values["processed"] = str(counters.processed)
        self.state.values["dropped"] = ", ".join(f"{n} {name}" for name, n in dropped.items())

    def step(
        self, item: StampedArrival, taken_ns: int
    ) -> tuple[ViewPeople, dict[int, Human]] | None:
        """One image to the people of a view; None where nothing is known of it, or its pose.

        Args:
            item: as it came.
            taken_ns: node clock when its moment's turn came.
        """
        self._seen, self._busy_s, self._taken_ns = None, time.monotonic(), taken_ns
        self.processor.handle(item.arrival)
        seen = self._seen
        if seen is None:
            return None
        estimate: Any = seen.estimate
        header = convert.header(seen.stamp_ns, seen.frame_id)
        pose = self._fused.pose(self.name, header)
        if pose is None:
            return None
        pose = turned_pose(pose, self._placement.turns)
        view = _view(self.name, estimate, pose, self._joints)
        return view, {human.track_id: human for human in seen.people}

    def idle(self) -> None:
        """Report, where no image has come for a second although others' have."""
        if time.monotonic() - self._busy_s > _IDLE_S:
            self._busy_s = time.monotonic()
            self.processor.idle()

    def _observe(self, report: FrameReport, message: FrameStatus, counters: Counters) -> None:
        self._counters = counters
        if report.outcome == FrameStatus.IDLE:
            return
        self.state.frame_id = report.frame_id or self.state.frame_id
        is_good = report.outcome in (FrameStatus.PROCESSED, FrameStatus.DEGRADED)
        self.state.trouble = "" if is_good else message.message
        self.state.values["age_s"] = f"{report.age_published_s:.2f}"
        if is_good:
            self._seen = report


class _UprightPlacement(Placement):
    """Turns the images of a camera that hangs on its side or upside down.

    Everything of such a camera is in the frame of the turned image, ``FRAME_upright``, which hangs
    in the camera's own by a static transform. How it hangs is seen when its pose is first known.

    Attributes:
        turns: quarter turns, clockwise.
    """

    def __init__(
        self, name: str, fused: FusedStream, outputs: Outputs, level: LevelFrame, settings: Settings
    ) -> None:
        super().__init__(fused.tree, outputs, level, settings)
        self._name, self._fused = name, fused
        self._turns: int | None = None

    @property
    def turns(self) -> int:
        return self._turns or 0

    def located(self, frame: Frame, settings: Settings) -> Frame:
        """As of the base, of the upright image; TF has the camera's pose from here on."""
        header = convert.header(frame.stamp_ns, frame.frame_id)
        pose = self._fused.pose(self._name, header)
        if self._turns is None and pose is not None:
            self._turns = quarter_turns(pose)
        if self.turns:
            upright = f"{frame.frame_id}_upright"
            turn = turned_pose(np.eye(4), self.turns)
            self._fused.say_static(frame.frame_id, upright, turn)
            frame = replace(turned_frame(frame, self.turns), frame_id=upright)
        return super().located(frame, settings)


def _view(name: str, estimate: FrameEstimate, pose: np.ndarray, joints: np.ndarray) -> ViewPeople:
    """The people of a frame with the joints that are published."""
    tracked = [
        replace(one, person=replace(one.person, joints_camera=one.person.joints_camera[joints]))
        for one in estimate.tracked
    ]
    return view_from_estimate(name, replace(estimate, tracked=tuple(tracked)), pose)


def _pipeline(settings: Settings, first: Any) -> Any:
    """Beside another camera's, or with networks of its own, warmed up."""
    from human3r.pipeline import Pipeline

    return Pipeline.warmed_up(settings) if first is None else first.beside()
