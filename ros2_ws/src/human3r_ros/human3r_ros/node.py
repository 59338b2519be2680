"""The lifecycle node: wiring only. ``processor.py`` says what happens to a frame.

configure loads the network, activate starts the stream, deactivate stops it and keeps the
network, cleanup gives everything back. The node never changes its own state at start-up.
"""

# pyright: reportOptionalMemberAccess=false
# What configure makes is None before; the state machine lets no callback ask for it then.

import gc
import math
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from human3r.camera.calibration import CalibrationCache
from human3r.config import NODE, Settings
from human3r.tracking.tracks import Tracker
from human3r_ros import convert, parameters, qos, transforms
from human3r_ros.diagnostics.publisher import Diagnostics, NodeView
from human3r_ros.faults import UNDER_WAY, give_up, run_transition
from human3r_ros.inputs import Inputs, StandingInputs, names_depth
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.services import (
    SESSION_SERVICES,
    RunningScene,
    RunningStream,
    offer_services,
    scene_services,
)
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.timers import HealthTimer, Republisher
from human3r_ros.transforms import RobotSources
from human3r_ros.worker import FrameQueue, Worker

NODE_NAME = "human3r"
_FIXED = "while the node is configured: cleanup first."
_TF_WAIT_S = 1.0
_IN_FLIGHT_S = 2.0
_LAST_FRAME_S = 0.5
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
        declared = parameters.declare(self, Settings(), place=NODE, refusal=_FIXED)
        overrides_of = self.get_parameters_by_prefix("qos_overrides")
        qos.check_overrides({name: given.value for name, given in overrides_of.items()})
        self._settings: Settings = declared
        self._is_unconfigured = True
        self._guard = parameters.ParameterGuard(
            self,
            Settings(),
            may_change=lambda: self._is_unconfigured,
            refusal=_FIXED,
            accept=self._take_settings,
        )
        self._tracker = Tracker()
        self._log = ThrottledLog(lambda text: self.get_logger().warning(text))
        self._transition = ""
        self.last_failure = ""
        self.exit_code: int | None = None
        self._interrupted = False
        self._is_finalized = False
        self._stuck: Worker | None = None
        self._forget_everything()
        self._diagnostics = Diagnostics(self, self._tick_group, self._log, self._view)
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
        self._page = None
        self._outputs: Outputs | None = None
        self._placement: Placement | None = None
        self._tree: transforms.FrameTree | None = None
        self._republisher: Republisher | None = None
        self._watch: HealthTimer | None = None
        self._inputs: Inputs | None = None
        self._standing_inputs: StandingInputs | None = None
        self._calibrations = CalibrationCache()
        self._robot: RobotSources | None = None
        self._is_streaming = False
        self._active_since_s = math.nan
        self._network = ""
        self._fault = ""
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
        """One line: where images are expected, and where people can be seen."""
        topics = ", ".join(self._inputs.topics()) if self._inputs else "nothing"
        page = f"; live page: {self._page.address}" if self._page is not None else ""
        return f"{self.get_fully_qualified_name()} is active: reads {topics}{page}"

    def is_finalized(self) -> bool:
        """Whether the node was finalized."""
        return self._is_finalized

    def is_in_transition(self) -> bool:
        """Whether a transition's callback is running."""
        return bool(self._transition)

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
        if settings.scale.mode == "auto" and names_depth(self):
            settings = settings.replace({"scale.mode": "fused"})
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
        self._take_settings(parameters.read(self, Settings()))
        settings, self._is_unconfigured = self._settings, False
        self._tree = transforms.FrameTree()
        self._standing_inputs = StandingInputs(
            self, self._tick_group, self._tree, self._calibrations
        )
        self._standing_inputs.open(settings)
        self._worker = Worker(self._on_crash)
        pipeline = self._wait_for(lambda: _load(settings, self._tracker))
        self._close_network = pipeline.close
        self._outputs = Outputs(self, settings, self._log.warn)
        self._placement = Placement(
            self._tree, self._outputs, pipeline.level, settings, patience_s=_TF_WAIT_S
        )
        self._robot = RobotSources(self._tree, settings)
        self._page = self._open_page(pipeline)
        self._processor = self._wait_for(lambda: self._make_processor(pipeline))
        for active, answers in (
            (self._running_stream, SESSION_SERVICES),
            (self._running_scene, scene_services(self.get_logger().error)),
        ):
            offer_services(self, self._control_group, active, answers, self._our_services.append)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._our_timers = [
            self.create_timer(
                0.1, self._handle_fault, callback_group=self.lifecycle_group, clock=steady
            )
        ]
        self._network = _describe(pipeline, self._settings)
        # What is there by now stays: half a million objects, and whenever the collector looks at
        # all of them every thread waits 0.2 s.
        gc.collect()
        gc.freeze()
        self.get_logger().info(f"configured in {time.monotonic() - start_s:.1f} s: {self._network}")

    def _wait_for(self, job: Callable):
        """The worker's result; gives up when the process is to end."""
        return self._worker.call_unless(lambda: self._interrupted, job)

    def _make_processor(self, pipeline):
        from human3r_ros.processor import ProcessorContext, StreamProcessor

        context = ProcessorContext(
            settings=lambda: self._settings,
            now_ns=lambda: self.get_clock().now().nanoseconds,
            is_simulated=self._is_simulated,
            throttled_log=self._log,
            on_fault=self._on_fault,
            calibrations=self._calibrations,
            robot=self._robot,
            observe=self._diagnostics.observe,
        )
        if self._page is not None:
            context.show = self._page.show
        self._diagnostics.use_device(pipeline.network.device)
        return StreamProcessor(pipeline, self._outputs, self._placement, context)

    def _open_page(self, pipeline):
        """The live page, where ``web.port`` asks for one."""
        if self._settings.web.port < 0:
            return None
        from human3r.viewer.web_live import open_live_page

        page = open_live_page(self._settings, pipeline.body_model)
        self.get_logger().info(f"live page: {page.address}")
        return page

    def _release(self) -> None:
        """Release everything that is held; harmless when repeated."""
        gc.unfreeze()
        self._stop_stream()
        for timer in self._our_timers:
            self.destroy_timer(timer)
        for service in self._our_services:
            self.destroy_service(service)
        if self._standing_inputs is not None:
            self._standing_inputs.close()
        if self._outputs is not None:
            self._outputs.destroy()
        if self._page is not None:
            self._page.close()
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

    # -- activate and deactivate -----------------------------------------------------------------

    def _activate(self, enable_publishers: Callable[[], object]) -> None:
        settings = self._settings
        self._placement.prepare(self._wait_for_tf, self._standing_inputs.cameras)
        self._standing_inputs.release_camera()
        enable_publishers()
        now_ns = self.get_clock().now().nanoseconds
        skeleton = self._processor.skeleton()
        self._outputs.send("skeleton", convert.skeleton_message(skeleton, now_ns))
        self._processor.scene.meshes.announce(now_ns)
        policy = settings.input
        queue = FrameQueue(policy.queue, keep_newest=policy.policy == "newest")
        processor, reset = self._processor, settings.session.reset_on_activate
        # After a stream that did not stop in time this waits for its last frame.
        self._worker.call(lambda: processor.begin(queue, reset=reset), _IN_FLIGHT_S)
        self._fault = ""
        self._diagnostics.begin()
        self._active_since_s = time.monotonic()
        self._is_streaming = True
        self._worker.stream(queue, processor.handle, processor.idle)
        self._republisher = Republisher(
            self, self._tick_group, self._placement, lambda: self._settings
        )
        # Last, so that the first image finds everything ready.
        self._inputs = Inputs(
            self,
            self._input_group,
            queue,
            self._calibrations,
            self._robot.depths,
            self._log.warn,
        )
        self._inputs.open(settings)
        self._watch = HealthTimer(
            self,
            self._tick_group,
            self._log,
            self._inputs,
            self._placement,
            self._republisher,
            self._is_simulated,
        )

    def _wait_for_tf(self, is_there: Callable[[], bool]) -> None:
        """Until TF has had a second since configure to arrive."""
        while not is_there() and self._tree.age_s() < _TF_WAIT_S and not self._interrupted:
            time.sleep(0.01)

    def _deactivate(self) -> None:
        self._stop_stream()
        if self._outputs is not None and self._processor is not None:
            context = self._processor.closing_context()
            # Before the first image there are no people to take back, and no frame to name.
            if context.stamp_ns:
                self._outputs.send("humans", convert.empty_human_array(context))

    def _stop_stream(self) -> None:
        """No more frames; the one in flight may finish, or its results are thrown away."""
        self._is_streaming = False
        if self._watch is not None:
            self._watch.stop()
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

    def _running_stream(self) -> RunningStream | None:
        processor, worker = self._processor, self._worker
        if not self._is_streaming or processor is None or worker is None:
            return None
        return RunningStream(worker, processor)

    def _running_scene(self) -> RunningScene | None:
        running = self._running_stream()
        return None if running is None else RunningScene(running.processor.scene, self._settings)

    def _on_time_jump(self, jump) -> None:
        if (running := self._running_stream()) is not None:
            now_ns, jump_s = self.get_clock().now().nanoseconds, time.monotonic()
            running.worker.submit(lambda: running.processor.time_jumped(now_ns, jump_s))
            self.get_logger().warning("time was set back; a new session begins.")

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
        if reason:
            give_up(self, reason, self._settings.fault.policy)


def _load(settings: Settings, tracker: Tracker):
    """Network and body on their device, warmed up."""
    from human3r.pipeline import Pipeline

    return Pipeline.warmed_up(settings, tracker)


def _describe(pipeline, settings: Settings) -> str:
    from human3r.model.default import default_weights_path
    from human3r.model.variants import VARIANTS
    from human3r.model.weights_file import read_index

    network = pipeline.network
    known = (name for name, config in VARIANTS.items() if config == network.config)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    precision = str(network.compute_dtype).removeprefix("torch.")
    header = read_index(settings.model.weights or default_weights_path()).header
    untrained = " (untrained)" if header is not None and header.seed is not None else ""
    return (
        f"{next(known, 'unnamed variant')}{untrained}, {millions:.0f} M parameters on "
        f"{network.device} in {precision}, body {pipeline.body_model.name}"
    )
