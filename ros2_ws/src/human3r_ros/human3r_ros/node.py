"""The lifecycle node: wiring only. ``processor.py`` says what happens to a frame.

configure loads the network, activate starts the stream, deactivate stops it and keeps the
network, cleanup gives everything back. The node never changes its own state at start-up.
"""

import math
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from human3r_msgs.srv import Reset, SetScale
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.errors import Human3RError
from human3r_ros import convert, parameters, qos, scale_service, stream_rules, transforms
from human3r_ros.calibration import CalibrationCache
from human3r_ros.diagnostics import Diagnostics, NodeView
from human3r_ros.inputs import Inputs
from human3r_ros.intake import Intake
from human3r_ros.notices import Notices
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.republisher import Republisher
from human3r_ros.robot_sources import RobotSources
from human3r_ros.scene_services import RunningScene, create_scene_services
from human3r_ros.tracks import TrackBook
from human3r_ros.transitions import UNDER_WAY, run_transition
from human3r_ros.tree_check import needs_tf
from human3r_ros.worker import Worker

NODE_NAME = "human3r"
_TF_WAIT_S = 1.0
_IN_FLIGHT_S = 2.0
_LAST_FRAME_S = 0.5
_ANSWER_S = 0.09
_CLOCK_SILENT_S = 5.0
_Return = TransitionCallbackReturn


class Human3RNode(LifecycleNodeMixin, Node):
    """People, scene and camera pose from one image topic.

    Attributes:
        last_failure: why the node could not configure or activate, or gave up; empty after a
            success.
        exit_code: set when the process should end, with which code.
        lifecycle_group: callbacks in it never run beside a transition.
    """

    def __init__(self, *, overrides: list[Parameter] | None = None) -> None:
        """Create the node, unconfigured.

        Args:
            overrides: parameter values that win over a parameter file's.

        Raises:
            ConfigError: an unknown parameter, or a value out of range.
        """
        Node.__init__(
            self,
            NODE_NAME,
            parameter_overrides=overrides or [],
            automatically_declare_parameters_from_overrides=True,
        )
        # LifecycleNode would put its services into the default group, where a long configure
        # holds back everything else.
        self.lifecycle_group = MutuallyExclusiveCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self.lifecycle_group)
        self._input_group = MutuallyExclusiveCallbackGroup()
        self._control_group = MutuallyExclusiveCallbackGroup()
        self._tick_group = MutuallyExclusiveCallbackGroup()
        parameters.declare(self)
        self._settings: Settings = Settings()
        self._is_unconfigured = True
        self._guard = parameters.ParameterGuard(
            self, lambda: self._is_unconfigured, self._take_settings
        )
        self._tracks = TrackBook()
        self._notices = Notices(lambda text: self.get_logger().warning(text))
        self._transition = ""
        self.last_failure = ""
        self.exit_code: int | None = None
        self._interrupted = False
        self._is_finalized = False
        self._stuck: Worker | None = None
        self._forget_everything()
        self._diagnostics = Diagnostics(self, self._tick_group, self._notices, self._view)
        self._clock_watch = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None,
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=False,
            ),
            post_callback=self._on_time_jump,
        )

    def _forget_everything(self) -> None:
        """The attributes of a configured node, empty."""
        self._worker: Worker | None = None
        self._processor = None
        self._close_network: Callable[[], None] | None = None
        self._outputs: Outputs | None = None
        self._placement: Placement | None = None
        self._tree: transforms.FrameTree | None = None
        self._republisher: Republisher | None = None
        self._inputs: Inputs | None = None
        self._calibrations = CalibrationCache()
        self._robot: RobotSources | None = None
        self._is_streaming = False
        self._active_since_s = math.nan
        self._network = ""
        self._fault = ""
        self._tf_subscriptions: list = []
        self._our_services: list = []
        self._our_timers: list = []

    def _view(self) -> NodeView:
        state = "unconfigured" if self._is_unconfigured else "inactive"
        return NodeView(
            state=self._transition or ("active" if self._is_streaming else state),
            settings=self._settings,
            last_failure=self.last_failure,
            active_since_s=self._active_since_s if self._is_streaming else math.nan,
            network=self._network,
            inputs=self._inputs,
            outputs=self._outputs,
            placement=self._placement,
        )

    def describe(self) -> str:
        """One line: where images are expected and where people appear."""
        topics = ", ".join(self._inputs.topics()) if self._inputs else "nothing"
        return f"{self.get_fully_qualified_name()} is active: reads {topics}"

    def is_finalized(self) -> bool:
        """Whether the node was shut down for good."""
        return self._is_finalized

    def has_running_worker(self) -> bool:
        """Whether a network call is still running, or was when the node was released."""
        return self._stuck is not None and self._stuck.is_alive()

    def interrupt(self) -> None:
        """Let a long configure give up; for the end of the process."""
        self._interrupted = True

    def _patience_s(self) -> float:
        """For a frame in flight; the end of the process must not take longer than 3 s in all."""
        return _LAST_FRAME_S if self._interrupted else _IN_FLIGHT_S

    def _take_settings(self, settings: Settings) -> None:
        # One assignment: the worker sees the old settings or the new ones.
        self._settings = settings

    # -- transitions -----------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters, load and warm the network, open publishers and services."""
        return self._run_transition("configure", self._configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check TF, enable the publishers, start the worker, subscribe."""

        def enable() -> None:
            self._activate(lambda: LifecycleNodeMixin.on_activate(self, state))

        def disable() -> None:
            self._stop_stream()
            LifecycleNodeMixin.on_deactivate(self, state)

        return self._run_transition("activate", enable, disable)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the stream, send the closing messages, keep the network."""
        self._run_transition("deactivate", self._deactivate, lambda: None)
        LifecycleNodeMixin.on_deactivate(self, state)
        return _Return.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give network, publishers and memory back."""
        self._run_transition("cleanup", self._release, lambda: None)
        return _Return.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up as far as needed."""
        if self._is_streaming:
            self.on_deactivate(state)
        self._run_transition("shutdown", self._release, lambda: None)
        self._diagnostics.destroy()
        self._is_finalized = True
        return _Return.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a bug of ours: back to unconfigured, from where configure may be tried again."""
        # Publishers are switched by activate and deactivate alone; after an error they stay on.
        LifecycleNodeMixin.on_deactivate(self, state)
        self._stop_stream()
        self._run_transition("error processing", self._release, self._forget_everything)
        return _Return.FAILURE if self.has_running_worker() else _Return.SUCCESS

    def _run_transition(
        self, name: str, work: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        self._transition = UNDER_WAY[name]
        result, reason = run_transition(name, work, undo, self.get_logger().error)
        self._transition = ""
        if reason or name in ("configure", "activate"):
            self.last_failure = reason
        return result

    # -- configure and cleanup -------------------------------------------------------------------

    def _configure(self) -> None:
        start_s = time.monotonic()
        settings = parameters.read(self)
        self._settings, self._is_unconfigured = settings, False
        self._tree = transforms.FrameTree()
        self._listen_to_tf(settings)
        self._worker = Worker(self._on_crash)
        pipeline = self._wait_for(lambda: _load(settings))
        self._close_network = pipeline.close
        self._outputs = Outputs(self, settings, self._notices.warn)
        self._placement = Placement(self._tree, self._outputs, settings, patience_s=_TF_WAIT_S)
        self._robot = RobotSources(self._tree, self._placement, settings)
        self._processor = self._wait_for(lambda: self._make_processor(pipeline))
        self._our_services = [
            self.create_service(
                Reset, "~/reset", self._on_reset, callback_group=self._control_group
            ),
            self.create_service(
                SetScale, "~/set_scale", self._on_set_scale, callback_group=self._control_group
            ),
            *create_scene_services(self, self._control_group, self._running_scene),
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._our_timers = [
            self.create_timer(1.0, self._watch, callback_group=self._tick_group, clock=steady),
            self.create_timer(
                0.1, self._handle_fault, callback_group=self.lifecycle_group, clock=steady
            ),
        ]
        self._network = _describe(pipeline)
        self.get_logger().info(f"configured in {time.monotonic() - start_s:.1f} s: {self._network}")

    def _wait_for(self, job: Callable):
        """The worker's result; gives up when the process is to end."""
        future = self._worker.submit(job)
        while True:
            try:
                return future.result(0.1)
            except FutureTimeoutError:
                if future.done():
                    raise
                if self._interrupted:
                    raise Human3RError("configure was interrupted; expected to finish.") from None

    def _make_processor(self, pipeline):
        from human3r_ros.processor import StreamProcessor, Surroundings

        around = Surroundings(
            settings=lambda: self._settings,
            now_ns=lambda: self.get_clock().now().nanoseconds,
            is_simulated=self._is_simulated,
            notices=self._notices,
            on_fault=self._on_fault,
            calibrations=self._calibrations,
            tracks=self._tracks,
            robot=self._robot,
            observe=self._diagnostics.see,
        )
        self._diagnostics.use_device(pipeline.network.device)
        return StreamProcessor(pipeline, self._outputs, self._placement, around)

    def _release(self) -> None:
        """Give back whatever there is; harmless when repeated."""
        self._stop_stream()
        for timer in self._our_timers:
            self.destroy_timer(timer)
        for service in self._our_services:
            self.destroy_service(service)
        for subscription in self._tf_subscriptions:
            self.destroy_subscription(subscription)
        if self._outputs is not None:
            self._outputs.destroy()
        worker, close_network = self._worker, self._close_network
        if worker is not None:
            if close_network is not None:
                # Behind a frame that is stuck as well: the memory goes when it comes back.
                worker.submit(close_network).add_done_callback(self._report_close)
            if not worker.close(self._patience_s()):
                self._stuck = worker
                self.get_logger().error(
                    "the network does not answer; its memory stays taken until it does."
                )
        self._forget_everything()
        self._is_unconfigured = True

    def _report_close(self, done: Future) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self.get_logger().error(
                f"the network's memory was not given back: {type(error).__name__}: {error}; "
                "expected no error. Restart the process if memory runs short."
            )

    def _listen_to_tf(self, settings: Settings) -> None:
        if not needs_tf(settings):
            return
        tree = self._tree
        for topic, profile, is_static in (
            ("/tf", qos.TF_INPUT, False),
            ("/tf_static", qos.TF_STATIC_INPUT, True),
        ):
            self._tf_subscriptions.append(
                self.create_subscription(
                    TFMessage,
                    topic,
                    lambda message, is_static=is_static: tree.hear(message, is_static=is_static),
                    profile,
                    callback_group=self._tick_group,
                )
            )

    # -- activate and deactivate -----------------------------------------------------------------

    def _activate(self, enable_publishers: Callable[[], object]) -> None:
        settings = self._settings
        self._placement.prepare(self._wait_for_tf)
        enable_publishers()
        now_ns = self.get_clock().now().nanoseconds
        skeleton = self._processor.skeleton()
        self._outputs.send("skeleton", convert.skeleton_message(skeleton, now_ns))
        self._processor.scene.meshes.announce(now_ns)
        policy = settings.input
        intake = Intake(policy.queue, keep_newest=policy.policy == "newest")
        processor, reset = self._processor, settings.session.reset_on_activate
        # After a stream that did not stop in time this waits for its last frame.
        self._worker.call(lambda: processor.begin(intake, reset=reset), _IN_FLIGHT_S)
        self._fault = ""
        self._diagnostics.begin()
        self._active_since_s = time.monotonic()
        self._is_streaming = True
        self._worker.stream(intake, processor.handle, processor.idle)
        self._republisher = Republisher(
            self, self._tick_group, self._placement, lambda: self._settings
        )
        # Last, so that the first image finds everything ready.
        self._inputs = Inputs(
            self,
            self._input_group,
            intake,
            self._calibrations,
            self._robot.depths,
            self._notices.warn,
        )
        self._inputs.open(settings)

    def _wait_for_tf(self, is_there: Callable[[], bool]) -> None:
        """Until TF has had a second since configure to arrive."""
        while not is_there() and self._tree.age_s() < _TF_WAIT_S and not self._interrupted:
            time.sleep(0.01)

    def _deactivate(self) -> None:
        self._stop_stream()
        if self._outputs is not None and self._processor is not None:
            context = self._processor.closing_context()
            self._outputs.send("humans", convert.empty_human_array(context))

    def _stop_stream(self) -> None:
        """No more frames; the one in flight may finish, or its results are thrown away."""
        self._is_streaming = False
        if self._republisher is not None:
            self._republisher.stop()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._worker is not None and self._processor is not None:
            if not self._worker.pause(self._patience_s()):
                self.get_logger().warning("a frame is still in flight; its results are dropped.")
            self._processor.mute()

    # -- callbacks -------------------------------------------------------------------------------

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        processor, worker = self._processor, self._worker
        if not self._is_streaming or processor is None or worker is None:
            response.success = False
            response.message = "the node is not active; activate it first."
            return response
        if request.keep_map and not request.keep_world:
            response.success = False
            response.message = "keep_map needs keep_world; set both, or neither."
            return response
        kept = {"keep_world": request.keep_world, "keep_map": request.keep_map}
        done = worker.submit(lambda: processor.reset(stream_rules.RESET_SERVICE, **kept))
        response.success = True
        try:
            response.session = done.result(_ANSWER_S)
        except FutureTimeoutError:
            response.session = processor.session + 1
            response.message = (
                "a frame is being processed; the reset takes effect before the next one."
            )
        except Exception as error:
            response.success = False
            response.message = f"the reset failed: {type(error).__name__}: {error}"
            self.get_logger().error(response.message)
        return response

    def _running_scene(self) -> RunningScene | None:
        processor = self._processor
        if not self._is_streaming or processor is None:
            return None
        return RunningScene(processor.scene, self._settings)

    def _on_set_scale(
        self, request: SetScale.Request, response: SetScale.Response
    ) -> SetScale.Response:
        running = (self._worker, self._processor) if self._is_streaming else None
        return scale_service.answer(request, response, running, _ANSWER_S)

    def _on_time_jump(self, jump) -> None:
        processor, worker = self._processor, self._worker
        if self._is_streaming and processor is not None and worker is not None:
            self.get_logger().warning("time was set back; a new session begins.")
            worker.submit(processor.time_jumped)

    def _watch(self) -> None:
        """Once per second on the wall clock: what no single frame can show."""
        if not self._is_streaming or self._placement is None or self._inputs is None:
            return
        warn = self._notices.warn
        self._republisher.follow()
        if trouble := self._placement.check():
            warn("tf", trouble)
        if trouble := self._inputs.other_publishers():
            warn("publishers", trouble)
        is_due = time.monotonic() - self._active_since_s > _CLOCK_SILENT_S
        if is_due and self._is_simulated() and self.get_clock().now().nanoseconds == 0:
            warn(
                "clock",
                "use_sim_time is set but /clock is silent; expected a simulator or a bag player. "
                "Start it with --clock, or set use_sim_time to false.",
            )

    def _is_simulated(self) -> bool:
        return bool(self.get_parameter("use_sim_time").value)

    # -- faults ----------------------------------------------------------------------------------

    def _on_fault(self, reason: str) -> None:
        self._fault = reason

    def _on_crash(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.get_logger().error(text)
        self._fault = f"{type(error).__name__}: {error}"

    def _handle_fault(self) -> None:
        """In the lifecycle group: no other transition can run at the same time."""
        reason, self._fault = self._fault, ""
        if not reason:
            return
        policy = self._settings.fault.policy
        self.get_logger().error(f"giving up: {reason} (fault.policy is {policy})")
        self.trigger_deactivate()
        self.trigger_cleanup()
        self.last_failure = reason
        if policy == "exit":
            self.exit_code = 3


def _load(settings: Settings):
    """Network and body on their device, warmed up. torch is imported here, not before."""
    from human3r.pipeline import Pipeline

    pipeline = Pipeline.from_settings(settings)
    try:
        pipeline.warm_up(640, 480)
    except BaseException:
        pipeline.close()
        raise
    return pipeline


def _describe(pipeline) -> str:
    network = pipeline.network
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    return f"{millions:.0f} M parameters on {network.device}, body {pipeline.body_model.name}"


def main(argv: list[str] | None = None) -> int:
    """The executable ``human3r_node``: the node alone, for a launch file or a manager to drive."""
    from human3r_ros.process import run

    return run(sys.argv if argv is None else argv, autostart=False)
