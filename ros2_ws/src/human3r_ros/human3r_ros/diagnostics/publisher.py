"""``/diagnostics`` in every state but finalized: collects facts, judges, publishes."""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from human3r_msgs.msg import FrameStatus, Human
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from human3r.config import Settings
from human3r_ros import qos
from human3r_ros.diagnostics import TOPIC
from human3r_ros.diagnostics.device import device_facts
from human3r_ros.diagnostics.facts import DeviceFacts, Facts, LatestFrame, Part
from human3r_ros.diagnostics.frame_window import FrameRecord, FrameWindow, median
from human3r_ros.diagnostics.rules import judge
from human3r_ros.status import STAGES, FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.worker import Counters

_NOTICE_S = 10.0
_MISMATCH_S = 60.0
"""A mismatch of QoS is told once, when it is found."""
_DEVICE_PERIOD_S = 1.0
_MAX_VALUE = 2000
_OUTCOMES = {
    FrameStatus.PROCESSED: "processed",
    FrameStatus.DEGRADED: "degraded",
    FrameStatus.REJECTED: "rejected",
    FrameStatus.FAILED: "failed",
}


@dataclass(frozen=True)
class NodeView:
    """The node, as far as its diagnostics go."""

    state: str
    """Lifecycle state, or the transition under way."""
    settings: Settings
    last_failure: str = ""
    active_since_s: float = math.nan
    """Steady clock at activation; NaN while not active."""
    network: str = ""
    inputs: Any = None
    outputs: Any = None
    placement: Any = None


@dataclass
class _Seen:
    """What the worker reported; each field is replaced as a whole."""

    latest: LatestFrame = field(default_factory=LatestFrame)
    counters: Counters = field(default_factory=Counters)
    device: DeviceFacts | None = None
    device_trouble: str = ""
    ids_issued: int = 0


class Diagnostics:
    """Publisher and timer from the node's beginning to its end; frames report to ``see``."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        notices: ThrottledLog,
        view: Callable[[], NodeView],
    ) -> None:
        """Begin to report.

        Args:
            node: publishes; its name stands in the report.
            group: callback group of the timer.
            notices: warnings of the last seconds.
            view: the node as it is now.
        """
        self._node, self._log, self._view = node, notices, view
        self._frames = FrameWindow()
        self._seen = _Seen()
        self._device: Any = None
        self._device_s = -math.inf
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, qos.DIAGNOSTICS)
        # Wall time: a paused recording must not stop the answer to "why is nothing shown".
        self._timer = node.create_timer(
            view().settings.diagnostics.period_s,
            self._tick,
            callback_group=group,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def begin(self) -> None:
        """A new activation: what was before says nothing about it."""
        self._frames.clear()
        self._seen = _Seen(device=self._seen.device, ids_issued=self._seen.ids_issued)

    def use_device(self, device: Any) -> None:
        """The network is on this ``torch.device`` now; called on the worker."""
        self._device, self._device_s = device, -math.inf
        self._look_at_device()

    def observe(self, report: FrameReport, message: FrameStatus, counters: Counters) -> None:
        """Take in a frame, or a second without one; called on the worker."""
        self._look_at_device()
        seen = self._seen
        seen.counters = counters
        if report.outcome == FrameStatus.IDLE:
            return
        record = _record(report, message, counters)
        self._frames.add(record)
        seen.latest = _latest(seen.latest, report)
        seen.ids_issued = max([seen.ids_issued, *(human.track_id + 1 for human in report.people)])
        if report.is_device_error:
            seen.device_trouble = record.message
        elif record.has_result:
            seen.device_trouble = ""

    def destroy(self) -> None:
        """The node is finalized; harmless when repeated."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._publisher)
            self._timer = None

    def _look_at_device(self) -> None:
        now_s = time.monotonic()
        if self._device is not None and now_s - self._device_s >= _DEVICE_PERIOD_S:
            self._device_s = now_s
            self._seen.device = device_facts(self._device)

    def _tick(self) -> None:
        view = self._view()
        period_ns = int(view.settings.diagnostics.period_s * 1e9)
        if self._timer.timer_period_ns != period_ns:  # pyright: ignore[reportOptionalMemberAccess]
            self._timer.timer_period_ns = period_ns  # pyright: ignore[reportOptionalMemberAccess]
        try:
            message = self._message(judge(self._facts(view)))
        except Exception as error:
            # A report is never worth the stream. Entities may have been taken down meanwhile.
            if self._view().state == view.state:
                self._log.warn("diagnostics", f"a report is left out: {error!r}")
            return
        self._publisher.publish(message)

    def _facts(self, view: NodeView) -> Facts:
        now_s, seen = time.monotonic(), self._seen
        active_s = now_s - view.active_since_s
        is_active = not math.isnan(active_s)
        images = view.inputs.facts(now_s, active_s) if view.inputs and is_active else None
        # Of this activation only, but mismatches are told when they are found, once.
        notices = self._log.recent(min(_NOTICE_S, active_s) if is_active else 0.0)
        notices += [n for n in self._log.recent(_MISMATCH_S) if _is_mismatch(n[0])]
        return Facts(
            now_s=now_s,
            settings=view.settings,
            state=view.state,
            last_failure=view.last_failure,
            active_s=active_s,
            network=view.network,
            records=self._frames.records(now_s),
            latest=seen.latest,
            ids_issued=seen.ids_issued,
            counters=seen.counters,
            notices=notices,
            input=images,
            placement=view.placement.state() if view.placement is not None else None,
            device=seen.device,
            device_trouble=seen.device_trouble,
            outputs=view.outputs.facts() if view.outputs is not None else {},
        )

    def _message(self, parts: list[Part]) -> DiagnosticArray:
        device = self._seen.device
        hardware_id = device.hardware_id if device else "unknown"
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        # As the names of diagnostic_updater: node, then part.
        name = self._node.get_fully_qualified_name().lstrip("/")
        array.status = [
            DiagnosticStatus(
                level=bytes([part.level]),
                name=f"{name}: {part.name}",
                message=part.message[:_MAX_VALUE],
                hardware_id=hardware_id,
                values=[
                    KeyValue(key=key, value=_text(value)[:_MAX_VALUE])
                    for key, value in part.values.items()
                ],
            )
            for part in parts
        ]
        return array


def _is_mismatch(kind: Hashable) -> bool:
    return isinstance(kind, tuple) and kind[0] in ("publisher", "subscription")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _record(report: FrameReport, message: FrameStatus, counters: Counters) -> FrameRecord:
    outcome = report.counter or _OUTCOMES.get(report.outcome, "rejected")
    has_result = outcome in ("processed", "degraded")
    stages = sum(report.stages_s.get(stage, 0.0) for stage in STAGES)
    # Under simulated time the age means nothing; what the node itself took still does.
    latency_s = report.age_published_s if math.isfinite(report.age_published_s) else stages
    gaps = [human.scene_agreement for human in report.people]
    return FrameRecord(
        at_s=time.monotonic(),
        outcome=outcome,
        message=message.message,
        has_stamp=report.stamp_ns > 0,
        latency_s=latency_s if has_result else math.nan,
        stages_s=dict(report.stages_s),
        counters=counters,
        agreement_m=median(gaps),
    )


def _latest(before: LatestFrame, report: FrameReport) -> LatestFrame:
    now = replace(
        before,
        size=report.size or before.size,
        encoding=report.encoding or before.encoding,
        frame_id=report.frame_id or before.frame_id,
        calibrated=report.calibrated is not None,
        scale=report.scale,
        session=report.session,
        frame_index=report.frame_index,
        reset_reason=report.reset_reason or before.reset_reason,
    )
    if report.outcome not in (FrameStatus.PROCESSED, FrameStatus.DEGRADED):
        return now
    states = np.array([human.track_state for human in report.people], np.uint8)
    return replace(
        now,
        tracked=int(np.isin(states, (Human.TRACK_NEW, Human.TRACK_OK)).sum()),
        coasting=int((states == Human.TRACK_COASTING).sum()),
        left_out=report.estimate.num_left_out if report.estimate is not None else 0,
    )
