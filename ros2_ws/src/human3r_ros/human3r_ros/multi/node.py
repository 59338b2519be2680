"""The node ``human3r_multi``: people of several cameras in one world, one id per person.

Where they come from: ``people_views.py``, from other nodes, or ``camera_views.py``, from images.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from tf2_msgs.msg import TFMessage

from human3r.config import NODE
from human3r.errors import ConfigError
from human3r.multiview.health import ViewHealth
from human3r.multiview.rig_file import RigCamera, read_rig
from human3r_ros import convert, qos
from human3r_ros.faults import give_up, run_transition
from human3r_ros.multi.camera_views import CameraContext, CameraViews
from human3r_ros.multi.fused_stream import FusedStream
from human3r_ros.multi.people_views import PeopleViews, view_name
from human3r_ros.multi.rig_view import CameraState, RigView
from human3r_ros.multi.settings import MultiSettings, camera_topics
from human3r_ros.multi.view_state import Views, ViewState
from human3r_ros.parameters import ParameterGuard, declare
from human3r_ros.throttled_log import ThrottledLog

NODE_NAME = "human3r_multi"
_FIXED = "while the node is configured: cleanup first."
_STATUS_S = 1.0
_FEWEST_VIEWS = 2


class MultiNode(LifecycleNodeMixin, Node):
    """Fuses the people of several views.

    Attributes:
        last_failure: why the last transition failed, or the node gave up; empty after a success.
        exit_code: set when the process should end, with which code.
    """

    def __init__(
        self,
        *,
        overrides: list[Parameter] | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create the node, unconfigured.

        Args:
            overrides: parameter values that win over a parameter file's.
            is_interrupted: whether the process is to end, so that a long configure gives up.

        Raises:
            ConfigError: an unknown parameter, or a value out of range.
        """
        Node.__init__(
            self,
            NODE_NAME,
            parameter_overrides=overrides or [],
            automatically_declare_parameters_from_overrides=True,
        )
        self.lifecycle_group = MutuallyExclusiveCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self.lifecycle_group)
        self._log = ThrottledLog(lambda text: self.get_logger().warning(text))
        self._settings = declare(self, MultiSettings(), place=NODE, refusal=_FIXED)
        self._is_unconfigured = True
        self._guard = ParameterGuard(
            self,
            self._settings,
            may_change=lambda: self._is_unconfigured,
            refusal=_FIXED,
            accept=self._take_settings,
        )
        self._group = MutuallyExclusiveCallbackGroup()
        self.last_failure = ""
        self.exit_code: int | None = None
        self._is_interrupted = is_interrupted
        self._forget_everything()
        self._clock_watch = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._on_time_jump,
        )

    def _forget_everything(self) -> None:
        self._views: Views | None = None
        self._fused: FusedStream | None = None
        self._shown: RigView | None = None
        self._diagnostics = None
        self._subscriptions_of_ours: list = []
        self._timers_of_ours: list = []
        self._is_streaming = False
        self._fault = ""

    def _take_settings(self, settings: MultiSettings) -> None:
        self._settings = settings

    def describe(self) -> str:
        """One line: what is read."""
        topics = ", ".join(view.topic for view in self._states())
        return f"{self.get_fully_qualified_name()} is active: reads {topics}"

    def _states(self) -> list[ViewState]:
        return self._views.states if self._views is not None else []

    # -- transitions -----------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters, load networks where images are read, open publishers."""
        return self._transition("configure", self._configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to fuse."""

        def enable() -> None:
            LifecycleNodeMixin.on_activate(self, state)
            if self._fused is not None and self._views is not None:
                self._fused.begin()
                self._is_streaming = True
                self._views.begin()

        def disable() -> None:
            self._stop_stream()
            LifecycleNodeMixin.on_deactivate(self, state)

        return self._transition("activate", enable, disable)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish an empty list, and stop."""
        self._stop_stream()
        LifecycleNodeMixin.on_deactivate(self, state)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        return self._transition("cleanup", self._release, lambda: None)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and give everything back."""
        self._stop_stream()
        return self._transition("shutdown", self._release, lambda: None)

    def _transition(
        self, name: str, work: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        found, self.last_failure = run_transition(name, work, undo, self.get_logger().error)
        return found

    def _configure(self) -> None:
        settings = self._settings
        names = self._names()
        rig = read_rig(settings.calibration) if settings.calibration else {}
        missing = [name for name in names if rig and name not in rig]
        if missing:
            raise ConfigError(
                f"{settings.calibration}: has no pose for {', '.join(missing)}; it has "
                f"{', '.join(rig)}. Name the views as the file does."
            )
        self._fused = FusedStream(self, settings, rig, self._log)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._hear_transforms(self._fused)
        shown = RigView(self, names, settings.frames.world, self._camera_state)
        self._shown, self._fused.observe = shown, shown.observe
        self._views = self._make_views(rig, self._fused, shown)
        self._open_page(shown, self._views)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        for period_s, work, group in (
            (_STATUS_S, self._report, self._group),
            (0.1, self._handle_fault, self.lifecycle_group),
        ):
            self._timers_of_ours.append(
                self.create_timer(period_s, work, callback_group=group, clock=clock)
            )
        self._is_unconfigured = False

    def _names(self) -> list[str]:
        """Of the views.

        Raises:
            ConfigError: too few, one twice, or of both kinds.
        """
        settings = self._settings
        if settings.views and settings.cameras:
            raise ConfigError(
                f"views is {settings.views!r}, cameras is {settings.cameras!r}; expected one "
                "of the two: people of other nodes, or images. Leave one out."
            )
        names = list(camera_topics(settings.cameras))
        names = names or [view_name(name) for name in settings.names()]
        if len(names) < _FEWEST_VIEWS or len(set(names)) < len(names):
            raise ConfigError(
                f"views is {settings.views!r}, cameras is {settings.cameras!r}; expected at "
                f"least {_FEWEST_VIEWS} different names in one of them, separated by commas. With "
                "views left,right people are read from /left/human3r/humans and "
                "/right/human3r/humans, with cameras left,right images from left/image_raw and "
                "right/image_raw."
            )
        return names

    def _open_page(self, shown: RigView, views: Views) -> None:
        """The live page, where ``web.port`` asks for one."""
        settings = self._settings
        if settings.web.port < 0:
            return
        if isinstance(views, CameraViews):
            body_model = views.body_model
        else:
            from human3r.body import load_body_model
            from human3r.body.default import default_body_path

            body_model = load_body_model(Path(settings.model.body_model or default_body_path()))
        address = shown.open_page(settings.pipeline_settings(), body_model)
        self.get_logger().info(f"live page: {address}")

    def _make_views(self, rig: dict[str, RigCamera], fused: FusedStream, shown: RigView) -> Views:
        settings = self._settings
        if not settings.cameras:
            return PeopleViews(self, self._group, settings.names(), settings.sync, fused, self._log)
        start_s = time.monotonic()
        context = CameraContext(
            node=self,
            group=self._group,
            settings=lambda: self._settings,
            log=self._log,
            on_fault=self._on_fault,
            is_interrupted=self._is_interrupted,
            see=shown.see,
        )
        views = CameraViews(context, rig, fused)
        self.get_logger().info(f"configured in {time.monotonic() - start_s:.1f} s")
        return views

    def _hear_transforms(self, fused: FusedStream) -> None:
        for topic, profile, is_static in (
            ("/tf", qos.TF_INPUT, False),
            ("/tf_static", qos.TF_STATIC_INPUT, True),
        ):

            def update(message: TFMessage, is_static: bool = is_static) -> None:
                fused.tree.update(message, is_static=is_static)

            self._subscriptions_of_ours.append(
                self.create_subscription(
                    TFMessage, topic, update, profile, callback_group=self._group
                )
            )

    def _release(self) -> None:
        if self._views is not None:
            self._views.close()
        for timer in self._timers_of_ours:
            self.destroy_timer(timer)
        for subscription in self._subscriptions_of_ours:
            self.destroy_subscription(subscription)
        if self._shown is not None:
            self._shown.close()
        if self._fused is not None:
            self._fused.destroy()
        if self._diagnostics is not None:
            self.destroy_publisher(self._diagnostics)
        self._forget_everything()
        self._is_unconfigured = True

    def _stop_stream(self) -> None:
        if self._views is not None:
            self._views.end()
        if self._is_streaming and self._fused is not None:
            self._fused.end()
        self._is_streaming = False

    # -- callbacks -------------------------------------------------------------------------------

    def _on_time_jump(self, jump) -> None:
        if self._is_streaming and self._views is not None:
            self._views.forget_time()
            self.get_logger().warning("time was set back; what was waiting is left out.")

    def _on_fault(self, reason: str) -> None:
        self._fault = reason

    def _handle_fault(self) -> None:
        """In the lifecycle group: no other transition can run at the same time."""
        reason, self._fault = self._fault, ""
        if reason:
            give_up(self, reason, self._settings.fault.policy)

    # -- how it is doing -------------------------------------------------------------------------

    def _report(self) -> None:
        if not rclpy.ok(context=self.context) or self._views is None or self._diagnostics is None:
            return
        self._views.check()
        if self._shown is not None and self._is_streaming:
            self._shown.refresh(self._settings.sync.silent_s)
        now_ns = self.get_clock().now().nanoseconds
        message = DiagnosticArray(header=convert.header(now_ns, ""))
        message.status = [self._status(view) for view in self._states()]
        self._diagnostics.publish(message)

    def _trouble(self, view: ViewState, health: ViewHealth | None) -> str:
        """What is wrong with a view in a sentence; empty while nothing is."""
        trouble = self._fused.trouble.get(view.name, "") if self._fused is not None else ""
        own = health.trouble if health is not None else ""
        return trouble or view.trouble or view.apart or own

    def _camera_state(self, name: str) -> CameraState:
        """How a camera is doing, for those who watch."""
        view = next(view for view in self._states() if view.name == name)
        health = self._fused.health.get(name) if self._fused is not None else None
        silent_s = view.silent_s()
        is_known = health is not None and math.isfinite(health.residual_px)
        return CameraState(
            age="?" if math.isinf(silent_s) else f"{silent_s:.1f} s",
            residual=f"{health.residual_px:.0f} px" if health is not None and is_known else "?",
            trouble=self._trouble(view, health),
            is_silent=silent_s > self._settings.sync.silent_s,
        )

    def _status(self, view: ViewState) -> DiagnosticStatus:
        silent_s = view.silent_s()
        health = self._fused.health.get(view.name) if self._fused is not None else None
        trouble = self._trouble(view, health)
        level, text = DiagnosticStatus.OK, "fused"
        if trouble:
            level, text = DiagnosticStatus.WARN, trouble
        if silent_s > self._settings.sync.silent_s:
            level = DiagnosticStatus.STALE
            text = "never heard" if math.isinf(silent_s) else f"silent for {silent_s:.0f} s"
            text += f"; {view.expected}"
        values = {
            "topic": view.topic,
            "frame": view.frame_id,
            "rate_hz": f"{view.rate_hz():.1f}",
            **view.values,
        }
        if health is not None:
            values["residual_px"] = f"{health.residual_px:.1f}"
            values["expected_px"] = f"{health.expected_px:.1f}"
            values["shared"] = str(health.shared)
        return DiagnosticStatus(
            level=level,
            name=f"{NODE_NAME}: {view.name}",
            hardware_id=view.frame_id,
            message=text,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
