"""FrameStatus: what happened to one frame."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from human3r_msgs.msg import FrameStatus, Human

from human3r.scale import ScaleReport
from human3r.types import FrameEstimate, Intrinsics
from human3r_ros.convert import header
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.worker import Counters

PEOPLE_STAGES = ("detector", "landmarks", "fit")
"""Parts of ``bodies`` where people come from landmarks."""
SCENE_STAGES = ("focal", "depth", "motion")
"""Parts of ``network`` where the scene comes from networks of single images."""
STAGES = ("decode", "preprocess", "network", "bodies", "geometry", "publish")
SHED = "left out to save time"
"""Begins what is said about a frame that went out with less than was asked for."""


@dataclass
class FrameReport:
    """What became of one frame, filled in on its way through the worker."""

    stamp_ns: int = 0
    frame_id: str = ""
    outcome: int = FrameStatus.IDLE
    reset_reason: int = FrameStatus.RESET_NONE
    session: int = 0
    frame_index: int = 0
    age_taken_s: float = math.nan
    age_published_s: float = math.nan
    stages_s: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    humans: int = 0
    """People in the message of this frame, those out of sight included."""
    level_source: int = FrameStatus.LEVEL_NONE
    """What the level frame rests on."""
    estimate: FrameEstimate | None = None
    calibrated: Intrinsics | None = None
    scale: ScaleReport | None = None
    """Metres per unit of the network, and what is behind it."""
    counter: str = ""
    """The counter of a frame that was dropped or rejected before the network; empty otherwise."""
    size: str = ""
    """Width x height of the image in pixels; empty where it was not decoded."""
    encoding: str = ""
    people: Sequence[Human] = ()
    """As published, those out of sight included."""
    is_device_error: bool = False
    """Whether the device failed: out of memory, or its context lost."""

    def say(
        self, throttled_log: ThrottledLog, kind: Hashable, text: str, period_s: float | None = None
    ) -> None:
        """Put ``text`` into the message of this frame, and, rate-limited, into the log."""
        self.messages.append(text)
        throttled_log.warn(kind, text, period_s)

    def to_message(self, counters: Counters) -> FrameStatus:
        """The message, without the device's memory."""
        message = FrameStatus(
            header=header(self.stamp_ns, self.frame_id),
            outcome=self.outcome,
            reset_reason=self.reset_reason,
            session=self.session,
            frame_index=self.frame_index,
            age_taken=self.age_taken_s,
            age_published=self.age_published_s,
            focal_estimated=math.nan,
            focal_calibrated=self.calibrated.fx if self.calibrated else math.nan,
            confidence=math.nan,
            scale=self.scale.value if self.scale else 1.0,
            level_source=self.level_source,
            humans=self.humans,
            message=" | ".join(self.messages),
        )
        for name, value in vars(counters).items():
            setattr(message, name, value)
        for stage in STAGES:
            setattr(message, stage, float(self.stages_s.get(stage, 0.0)))
        message.bodies += sum(self.stages_s.get(stage, 0.0) for stage in PEOPLE_STAGES)
        message.network += sum(self.stages_s.get(stage, 0.0) for stage in SCENE_STAGES)
        if self.estimate is not None:
            message.has_scene = self.estimate.has_scene
            if self.estimate.has_scene:
                message.confidence = float(np.median(self.estimate.confidence))
            focal_px = self.estimate.estimated_source_focal_px
            # 0 where the points fit no camera at all.
            if math.isfinite(focal_px) and focal_px > 0:
                message.focal_estimated = focal_px
        return message
