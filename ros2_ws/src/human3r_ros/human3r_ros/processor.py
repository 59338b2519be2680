"""One frame's way through the node, on the worker thread: judge, decode, compute, publish.

``StreamProcessor.handle`` is the main path; read it first. ``FrameFilter`` makes a frame of an
arrived message, or says why not. ``FramePublisher`` makes messages of what is known of a frame and
sends them in their order: one path for the node and for bags.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from human3r_msgs.msg import FrameStatus, Human
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from human3r.camera.calibration import (
    UNNAMED_FRAME,
    Calibration,
    CalibrationCache,
    calibrated,
    image_frame,
    is_frame_name,
)
from human3r.config import Settings
from human3r.errors import Human3RError, InputError, NonFiniteError
from human3r.io import stream_rules
from human3r.io.image_messages import family_of, rgb_from_message
from human3r.io.stream_rules import UNSEEN, StreamRules, StreamShape, is_stamp, stamp_ns_of
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate, Intrinsics
from human3r_ros import convert, scene_messages
from human3r_ros.faults import FaultCounter, is_fatal, is_out_of_memory
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.scene_outputs import SceneFrame, SceneOutputs, shed_text
from human3r_ros.status import FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import RobotSources
from human3r_ros.worker import Arrival, CountedStream, Counters, FrameQueue

_MAX_ENCODING = 64
"""Characters of an encoding's name that are repeated in diagnostics."""


@dataclass
class ProcessorContext:
    """What the processor shares with the node."""

    settings: Callable[[], Settings]
    """The settings as of now; live ones may change between frames."""
    now_ns: Callable[[], int]
    """Node clock."""
    is_simulated: Callable[[], bool]
    """Whether the node clock follows /clock."""
    throttled_log: ThrottledLog
    on_fault: Callable[[str], None]
    """Told once why the stream cannot go on."""
    calibrations: CalibrationCache
    taken_ns: Callable[[], int] | None = None
    """Node clock when the image was taken up, for its age; None: as of now."""
    robot: RobotSources | None = None
    """What the robot knows about metres."""
    observe: Callable[[FrameReport, FrameStatus, Counters], None] = lambda *_: None
    """Gets the report of every frame and of every idle second, for diagnostics."""
    show: Callable[[FrameEstimate, np.ndarray], None] = lambda *_: None
    """Gets every estimate with its image, for a live page; returns at once and never raises."""


class FrameDroppedError(Exception):
    """A frame that will not be processed, and the counter it belongs to."""

    def __init__(self, counter: str, message: str) -> None:
        super().__init__(message)
        self.counter = counter


class HeldBackError(Exception):
    """A frame whose stamp leaps: it is decided on when its successor arrives."""


class StreamProcessor:
    """Owns one stream's memory beside the network's: rules, tracks, placement, counters."""

    def __init__(
        self, pipeline: Pipeline, outputs: Outputs, placement: Placement, context: ProcessorContext
    ) -> None:
        self._pipeline = pipeline
        self._outputs = outputs
        self._placement = placement
        self._context = context
        if context.robot is not None:
            pipeline.scale.use(context.robot.sources())
        self._publisher = FramePublisher(pipeline, outputs, placement)
        self._frame_filter = FrameFilter(
            context.calibrations,
            context.throttled_log,
            context.taken_ns or context.now_ns,
            context.is_simulated,
        )
        self._applied = context.settings()
        self._pending_reset = stream_rules.RESET_ACTIVATED
        self._is_fresh = True
        self._last_session: int | None = None
        self._faults = FaultCounter()
        self.begin(FrameQueue(1, keep_newest=True), reset=True)

    def begin(self, queue: CountedStream, *, reset: bool) -> None:
        """A new activation: counters start at zero.

        Args:
            queue: where its frames will come from.
            reset: begin a new session too, whatever the camera was before.
        """
        if reset:
            self._frame_filter.rules.forget()
            self.reset(stream_rules.RESET_ACTIVATED)
        self._queue = queue
        self._is_muted = False
        self._faults = FaultCounter()
        self._frame_filter.begin()
        self._publisher.scene.begin()
        self._placement.leave()
        self._context.throttled_log.forget()

    def mute(self) -> None:
        """Publish nothing more; for a frame that is still in flight when the node deactivates."""
        self._is_muted = True

    @property
    def session(self) -> int:
        """Number of the session that the next frame belongs to."""
        return self._pipeline.session_number

    @property
    def scene(self) -> SceneOutputs:
        """Map and meshes of the stream."""
        return self._publisher.scene

    def reset(self, reason: int, *, keep_world: bool = False, keep_map: bool = False) -> int:
        """Begin a new session before the next frame.

        Args:
            reason: RESET_* of the stream rules.
            keep_world: go on in the same world.
            keep_map: with everything that was accumulated in it.

        Returns:
            Its published number.
        """
        if not (keep_world and keep_map):
            self._publisher.scene.map.clear()
        # A session without a frame is as good as new, unless another number is asked for.
        if not self._is_fresh or reason == stream_rules.RESET_SERVICE:
            self._pipeline.reset(keep_world=keep_world)
            if not keep_world:
                self._placement.begin_world()
        if reason == stream_rules.RESET_TIME_JUMP:
            self._placement.forget_moving()
        # Not so with a world of before: a reset that follows has to end it.
        self._is_fresh = not keep_world
        self._pending_reset = reason
        return self.session

    def set_scale(self, value: float) -> int:
        """Use this scale from the next frame on, in a new session.

        Returns:
            The published number of that session.

        Raises:
            ConfigError: a scale that cannot be.
        """
        self._pipeline.scale.fix(value)
        return self.reset(stream_rules.RESET_SERVICE)

    def time_jumped(self, now_ns: int, jump_s: float) -> None:
        """The clock was set back: what waits is of before, the next stamp has no predecessor.

        Args:
            now_ns: what it was set to. Where an image of that time came before the news of the
                clock, the stream has begun anew already.
            jump_s: steady clock at that moment.
        """
        for due in self._frame_filter.confirmed_by(now_ns):
            self._handle(due)
        if self._frame_filter.rules.has_reached(now_ns):
            return
        self._queue.discard_before(jump_s)
        if self._frame_filter.forget_time():
            self._queue.count("dropped_stale")
        self.reset(stream_rules.RESET_TIME_JUMP)

    def close(self) -> None:
        """Give the network's memory back."""
        self._pipeline.close()

    def skeleton(self) -> convert.Skeleton:
        """The skeleton in use."""
        return self._publisher.skeleton

    def closing_context(self) -> convert.FrameContext:
        """Header and session of the last published frame, for the closing messages."""
        return self._publisher.closing_context(self.session)

    def handle(self, arrival: Arrival) -> None:
        """One image message; a frame that was held back until its successor came goes first."""
        self._apply_live_settings()
        for due in self._frame_filter.due(arrival, self._applied):
            self._handle(due)

    def _handle(self, arrival: Arrival) -> None:
        """One frame from bytes to published results; every way out reports a status."""
        report = FrameReport(session=self.session, level_source=self._placement.level_source)
        try:
            # Decode: from the message to a frame with its calibration, or the reason to drop it.
            frame, due_reset = self._frame_filter.admit(arrival, report, self._applied)
            if due_reset and not self._is_fresh:
                report.session = self.reset(due_reset)
            # Compute: people, scene and camera pose.
            frame = self._placement.located(frame, self._applied)
            estimate = self._compute(frame, report)
            # Publish: TF, people, odometry, scene.
            self._publish(frame, estimate, report)
        except HeldBackError:
            return
        except FrameDroppedError as dropped:
            self._drop(report, dropped)
        except Exception as error:
            self._fail(report, error)
        # Report: status, load shedding, and whether the stream can go on.
        self._send_status(report)
        if report.outcome in (FrameStatus.PROCESSED, FrameStatus.DEGRADED):
            self._publisher.scene.observe(report.age_published_s, self._applied)
        self._faults.report(self._context)

    def idle(self) -> None:
        """The report of a second without frames."""
        self._apply_live_settings()
        for due in self._frame_filter.overdue():
            self._handle(due)
        report = FrameReport(session=self.session, level_source=self._placement.level_source)
        self._frame_filter.warn_without_calibration(self._applied)
        if self._placement.trouble:
            report.messages.append(self._placement.trouble)
        if not self._is_muted:
            self._publisher.scene.idle(self._context.now_ns(), self._applied)
        self._send_status(report)

    def _drop(self, report: FrameReport, dropped: FrameDroppedError) -> None:
        self._queue.count(dropped.counter)
        report.outcome, report.counter = FrameStatus.REJECTED, dropped.counter
        if dropped.counter == "dropped_rate":
            report.messages.append(str(dropped))
        else:
            self._say(report, dropped.counter, str(dropped))

    # -- compute ---------------------------------------------------------------------------------

    def _compute(self, frame: Frame, report: FrameReport) -> FrameEstimate:
        if self._context.robot is not None:
            self._context.robot.update(frame)
        estimate = self._pipeline.step(frame)
        self._is_fresh = False
        report.outcome, report.estimate = FrameStatus.PROCESSED, estimate
        report.stages_s.update(estimate.timings_s)
        report.session = estimate.session
        report.frame_index = estimate.frame_index
        if estimate.session != self._last_session:
            is_asked = self._last_session is None or self._pending_reset
            report.reset_reason = self._pending_reset if is_asked else stream_rules.RESET_INTERVAL
        self._last_session = estimate.session
        self._pending_reset = stream_rules.RESET_NONE
        return estimate

    def _fail(self, report: FrameReport, error: Exception) -> None:
        """A frame without result; what the failure means for the stream."""
        self._queue.count("rejected")
        if isinstance(error, InputError):
            report.outcome = FrameStatus.REJECTED
            self._say(report, "rejected", str(error))
            return
        report.outcome = FrameStatus.FAILED
        is_explained = isinstance(error, Human3RError)
        text = str(error) if is_explained else f"{type(error).__name__}: {error}"
        self._say(report, "failed", text)
        report.is_device_error = is_out_of_memory(error) or is_fatal(error)
        if is_out_of_memory(error):
            _free_device_memory()
        limit = self._applied.fault.max_consecutive
        self._faults.failed(text, limit, is_fatal(error), is_out_of_memory(error))
        if isinstance(error, NonFiniteError) and self._faults.wants_reset():
            self._is_fresh = False
            self.reset(stream_rules.RESET_FAULT)
            report.reset_reason = stream_rules.RESET_FAULT

    # -- publish ---------------------------------------------------------------------------------

    def _publish(self, frame: Frame, estimate: FrameEstimate, report: FrameReport) -> None:
        if self._is_muted:
            return
        start_s = time.perf_counter()
        now_ns = self._context.now_ns()
        report.humans = self._publisher.publish(frame, estimate, self._applied, now_ns)
        report.people = self._publisher.people
        report.level_source = self._placement.level_source
        report.stages_s["publish"] = time.perf_counter() - start_s
        self._context.show(estimate, frame.image)
        self._queue.count("processed")
        self._faults.succeeded()
        self._remark(estimate, report)

    def _remark(self, estimate: FrameEstimate, report: FrameReport) -> None:
        """What is odd about a frame that was processed."""
        if left_out := self._publisher.scene.left_out:
            report.outcome = FrameStatus.DEGRADED
            self._say(report, "shed", shed_text(left_out, self._applied))
        if estimate.unseen:
            report.outcome = FrameStatus.DEGRADED
            self._say(report, estimate.unseen, UNSEEN[estimate.unseen])
        elif estimate.has_scene and not estimate.is_motion_known:
            self._say(
                report,
                "motion",
                "how the camera moved since the last image is not known, so it counts as standing "
                "still: too few features of the scene could be tracked. Too dark, blurred or fast, "
                "or nothing but people in sight?",
            )
        if self._placement.trouble:
            self._say(report, "tf", self._placement.trouble)
        if trouble := self._pipeline.scale.report().trouble:
            # A robot may well stand still for hours.
            report.say(self._context.throttled_log, "scale", trouble, period_s=60.0)
        if disagreement := self._pipeline.camera.disagreement:
            self._say(report, "focal", disagreement)

    def _send_status(self, report: FrameReport) -> None:
        """Never raises: a frame is worth more than the report about it."""
        if self._is_muted:
            return
        try:
            message = self._status_message(report)
            self._outputs.send("status", message)
            self._context.observe(report, message, self._queue.counters())
        except Exception as error:
            self._context.throttled_log.warn(
                "status",
                f"the report of a frame cannot be sent ({type(error).__name__}: {error}); expected "
                "values that FrameStatus can hold. The stream goes on; please report this.",
            )

    def _status_message(self, report: FrameReport) -> FrameStatus:
        if report.stamp_ns and not self._context.is_simulated():
            report.age_published_s = (self._context.now_ns() - report.stamp_ns) * 1e-9
        report.scale = self._pipeline.scale.report()
        message = report.to_message(self._queue.counters())
        message.gpu_allocated, message.gpu_reserved = _device_memory(self._pipeline)
        return message

    def _say(self, report: FrameReport, kind: str, text: str) -> None:
        report.say(self._context.throttled_log, kind, text)

    def _apply_live_settings(self) -> None:
        settings = self._context.settings()
        if settings is not self._applied:
            self._pipeline.apply(settings)
            self._applied = settings


class FramePublisher:
    """Publishes the frames of one stream; remembers the last frame sent.

    Attributes:
        skeleton: how the joint arrays of its people are to be read.
        people: of the last message, those out of sight included.
        scene: depth, masks, clouds, map and meshes.
    """

    def __init__(self, pipeline: Pipeline, outputs: Outputs, placement: Placement) -> None:
        """Nothing is published before the first ``publish``.

        Args:
            pipeline: what makes the estimates; gives clouds.
            outputs: where messages go.
            placement: level and base frame of the stream.

        Raises:
            BodyModelError: the body model lacks the landmarks of the face.
        """
        self._outputs = outputs
        self._placement = placement
        self.skeleton = convert.skeleton_from_body(pipeline.body_model)
        self.people: Sequence[Human] = ()
        self.scene = SceneOutputs(outputs, pipeline)
        self._last: convert.FrameContext | None = None

    def publish(
        self,
        frame: Frame,
        estimate: FrameEstimate,
        settings: Settings,
        now_ns: int | None = None,
    ) -> int:
        """TF first, then data, for the same stamp; people before what is large.

        Args:
            frame: what was looked at.
            estimate: what was found.
            settings: as of now.
            now_ns: the node's clock, for outputs with an interval; None: the stamp.

        Returns:
            How many people the message holds, those out of sight included.
        """
        # TF, which readers of everything else ask for.
        placement, pose = self._placement, estimate.level_from_camera
        is_placed = not placement.update(frame) and bool(np.isfinite(pose).all())
        context = self._context(frame, estimate, settings)
        if is_placed:
            placement.send_transform(context.stamp_ns, pose, settings)
        # People.
        message = convert.human_array(estimate, context)
        self._outputs.send("humans", message)
        self.people = message.humans
        # Not before: what cannot be sent must not be what the closing message is made from.
        self._last = context
        # The camera.
        is_own_pose = estimate.has_scene or estimate.is_motion_known
        if is_placed and estimate.state_updated and is_own_pose:
            # The pose of another frame would be no substitute.
            covariance = estimate.camera_covariance
            if covariance is not None:
                turn = np.kron(np.eye(2), estimate.level_from_world[:3, :3])  # pyright: ignore[reportOptionalSubscript]
                covariance = turn @ covariance @ turn.T
            placement.send_odometry(context.stamp_ns, pose, settings, covariance)
        if frame.intrinsics is None and self._outputs.is_wanted("camera_info"):
            header = convert.header(context.stamp_ns, context.frame_id)
            self._outputs.send("camera_info", scene_messages.camera_info(context.camera, header))
        self._publish_color(frame, context)
        # The scene.
        view = SceneFrame(estimate, message, pose if is_placed else None, context.stamp_ns)
        self.scene.publish(view, settings, context.stamp_ns if now_ns is None else now_ns)
        return len(message.humans)

    def _publish_color(self, frame: Frame, context: convert.FrameContext) -> None:
        """The image itself, for viewers."""
        header = convert.header(context.stamp_ns, context.frame_id)
        if self._outputs.is_wanted("color_info"):
            self._outputs.send("color_info", scene_messages.color_info(context.camera, header))
        if self._outputs.is_wanted("color"):
            self._outputs.send("color", scene_messages.color_image(frame.image, header))

    def closing_context(self, session: int) -> convert.FrameContext:
        """Header and session of the last published frame, for the closing message.

        Args:
            session: number of the session, where no frame was published.
        """
        nowhere = Intrinsics(1.0, 1.0, 0.0, 0.0, 0, 0)
        return self._last or convert.FrameContext(
            0, "", session, nowhere, np.eye(4), self.skeleton, ""
        )

    def _context(
        self, frame: Frame, estimate: FrameEstimate, settings: Settings
    ) -> convert.FrameContext:
        return convert.FrameContext(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            session=estimate.session,
            camera=estimate.source_camera,
            level_from_camera=estimate.level_from_camera,
            skeleton=self.skeleton,
            id_prefix=settings.people.id_prefix,
            with_shape=settings.publish.shape,
            scale=estimate.body_scale,
            raw_from_image=frame.raw_from_image,
        )


def _free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _device_memory(pipeline: Pipeline) -> tuple[int, int]:
    """Bytes allocated and reserved on the GPU; zeros on the CPU."""
    import torch

    device = pipeline.network.device
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)


@dataclass
class _Held:
    """The frame that waits for its successor."""

    arrival: Arrival
    stamp_ns: int
    is_confirmed: bool | None = None
    """What the successor says; None while there is none."""


class FrameFilter:
    """Decides about one stream's frames; remembers the last accepted one.

    For each arrival, admit what ``due`` names, in that order; after a second without one, what
    ``overdue`` names.
    """

    def __init__(
        self,
        calibrations: CalibrationCache,
        throttled_log: ThrottledLog,
        now_ns: Callable[[], int],
        is_simulated: Callable[[], bool],
    ) -> None:
        self.rules = StreamRules()
        self._calibrations = calibrations
        self._log = throttled_log
        self._now_ns = now_ns
        self._is_simulated = is_simulated
        self.begin()

    def begin(self) -> None:
        """A new activation: waiting for a calibration starts over."""
        self._began_s = time.monotonic()
        self._held: _Held | None = None

    def forget_time(self) -> bool:
        """The clock was set: the next stamp has no predecessor.

        Returns:
            Whether a frame waited for its successor; it is dropped.
        """
        self.rules.forget_time()
        held, self._held = self._held, None
        return held is not None

    def due(self, arrival: Arrival, settings: Settings) -> list[Arrival]:
        """The frame held back, about which this one decides, and this one."""
        if self._held is None:
            return [arrival]
        try:
            message = _read(arrival.data, _message_type(settings))
            stamp_ns = self._stamp_ns(message, arrival, settings)
        except InputError:
            return [arrival]
        self._held.is_confirmed = self.rules.confirms(stamp_ns, self._held.stamp_ns)
        return [self._held.arrival, arrival]

    def confirmed_by(self, clock_ns: int) -> list[Arrival]:
        """The frame held back, when the clock was set to its time."""
        if self._held is None or not self.rules.confirms(clock_ns, self._held.stamp_ns):
            return []
        return self.overdue()

    def overdue(self) -> list[Arrival]:
        """The frame held back, if no successor came within a second; it is believed then."""
        if self._held is None:
            return []
        self._held.is_confirmed = True
        return [self._held.arrival]

    def admit(self, arrival: Arrival, report: FrameReport, settings: Settings) -> tuple[Frame, int]:
        """The frame, and the reason for a new session before it (RESET_NONE mostly).

        Args:
            arrival: the message as it came.
            report: stamp, ages, calibration and warnings are filled in.
            settings: limits and policies.

        Raises:
            FrameDroppedError: it will not be processed.
            HeldBackError: whether it will be is not known yet.
        """
        start_s = time.perf_counter()
        is_raw = settings.input.transport == "raw"
        try:
            message = _read(arrival.data, _message_type(settings))
            report.encoding = (message.encoding if is_raw else message.format)[:_MAX_ENCODING]
            reset = self._judge(message, arrival, report, settings)
            what = "image" if is_raw else "compressed image"
            image = rgb_from_message(message, what, settings.input.max_pixels)
            family = family_of(message)
        except InputError as error:
            raise FrameDroppedError("rejected", str(error)) from error
        finally:
            report.stages_s["decode"] = time.perf_counter() - start_s
        height, width = image.shape[:2]
        report.size = f"{width}x{height}"
        calibration = self._calibrate(report, width, height, settings)
        k = report.calibrated = calibration.intrinsics
        if calibration.lens is not None:
            # Another picture, of which the network's memory knows nothing.
            image, family = calibration.without_distortion(image), f"{family} without distortion"
        shape = StreamShape(width, height, family, report.frame_id, k and (k.fx, k.fy, k.cx, k.cy))
        changed = self.rules.accept(report.stamp_ns, arrival.arrival_s, shape)
        bend = calibration.raw_from_image
        return Frame(image, report.stamp_ns, k, report.frame_id, bend), reset or changed

    def _judge(
        self,
        message: Image | CompressedImage,
        arrival: Arrival,
        report: FrameReport,
        settings: Settings,
    ) -> int:
        frame_id = image_frame(message.header.frame_id)
        # The report echoes what came, so only what can be echoed enters it.
        if is_frame_name(frame_id):
            report.frame_id = frame_id
        stamp_ns = self._stamp_ns(message, arrival, settings)
        now_ns = None if self._is_simulated() else self._now_ns()
        if now_ns is not None and self._held is not None and self._held.arrival is arrival:
            # Its age is not what it waited here for its successor.
            now_ns = min(now_ns, arrival.receive_ns)
        if is_stamp(stamp_ns):
            report.stamp_ns = stamp_ns
            report.age_taken_s = math.nan if now_ns is None else (now_ns - stamp_ns) * 1e-9
        verdict = self.rules.judge(stamp_ns, frame_id, arrival.arrival_s, now_ns, settings)
        if verdict.outcome != "processed":
            raise FrameDroppedError(verdict.outcome, verdict.message)
        if verdict.is_leap:
            self._hold(arrival, stamp_ns)
        if not message.header.frame_id:
            report.say(self._log, "frame", UNNAMED_FRAME, period_s=float("inf"))
        if verdict.message:
            report.say(self._log, "stamp", verdict.message, period_s=10.0)
        return verdict.reset

    def _hold(self, arrival: Arrival, stamp_ns: int) -> None:
        """Nothing, when the successor of this frame has confirmed that time leapt."""
        held, self._held = self._held, None
        if held is None or held.arrival is not arrival:
            self._held = _Held(arrival, stamp_ns)
            raise HeldBackError
        if not held.is_confirmed:
            raise FrameDroppedError(
                "dropped_order",
                f"image stamp {stamp_ns} ns is far from those before and after it; expected "
                "increasing stamps, so it counts as wrong. Check the camera driver's clock.",
            )

    @staticmethod
    def _stamp_ns(message: Image | CompressedImage, arrival: Arrival, settings: Settings) -> int:
        is_stamped = settings.input.stamp == "header"
        return stamp_ns_of(message.header.stamp) if is_stamped else arrival.receive_ns

    def _calibrate(
        self, report: FrameReport, width_px: int, height_px: int, settings: Settings
    ) -> Calibration:
        try:
            found = calibrated(
                self._calibrations, settings.input, report.frame_id, width_px, height_px
            )
        except InputError as error:
            self.warn_without_calibration(settings, report.frame_id)
            raise FrameDroppedError("rejected", str(error)) from error
        for warning in found.warnings:
            report.say(self._log, ("calibration", warning), warning, period_s=float("inf"))
        if found.intrinsics is None:
            self.warn_without_calibration(settings, report.frame_id)
        return found

    def warn_without_calibration(self, settings: Settings, frame_id: str = "") -> None:
        """Say once that no calibration has come in time.

        Args:
            settings: whether one is wanted, and by when.
            frame_id: of the image; empty while there is none, when any calibration will do.
        """
        cache = self._calibrations
        known = cache.frames()
        is_missing = cache.given is None and not (cache.is_known(frame_id) if frame_id else known)
        is_late = time.monotonic() - self._began_s > settings.input.camera_info_timeout_s
        if settings.input.camera_info != "ignore" and is_missing and is_late:
            # Another text is another finding: nothing came, or something for other frames.
            kind = ("calibration", bool(known), bool(cache.refusal))
            self._log.once(kind, cache.missing())


def _message_type(settings: Settings) -> type:
    return Image if settings.input.transport == "raw" else CompressedImage


def _read(data: bytes, message_type: type) -> Image | CompressedImage:
    try:
        return deserialize_message(data, message_type)
    except Exception as error:
        raise InputError(
            f"image message of {len(data)} bytes cannot be read ({error}); expected a complete "
            "message. Check the publisher's message type."
        ) from error
