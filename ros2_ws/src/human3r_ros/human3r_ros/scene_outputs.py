"""Depth, masks, clouds, map and meshes of one stream, made only for those who listen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from human3r_msgs.msg import HumanArray

from human3r.config import Settings
from human3r.mapping.people_labels import label_people
from human3r.mapping.points import sure_pixels
from human3r.pipeline import Pipeline
from human3r.tracking.tracks import TrackedPerson, TrackState
from human3r.types import FrameEstimate, Intrinsics, PointSet
from human3r_ros import scene_messages
from human3r_ros.map_output import MapOutput
from human3r_ros.mesh_output import MeshOutput
from human3r_ros.outputs import Outputs
from human3r_ros.shedding import GROUPS, Shedding

_MESHES, _MAP, _MASKS, _DEPTH, _SCENE = GROUPS
_OTHER_METRES = 0.05
_GROUP_OF = {
    "meshes": _MESHES,
    "mask": _MASKS,
    "labels": _MASKS,
    "confidence": _MASKS,
    "depth": _DEPTH,
    "depth_info": _DEPTH,
    "scene": _SCENE,
}
_NAMES = (*_GROUP_OF, "points")


@dataclass(frozen=True)
class SceneFrame:
    """One frame, as far as its scene is concerned."""

    estimate: FrameEstimate
    message: HumanArray
    """The people as published; its header is that of everything in the camera frame."""
    tracked: Sequence[TrackedPerson]
    """The same people in the same order."""
    depth_camera: Intrinsics
    level_from_camera: np.ndarray | None
    """(4, 4); None while the level frame is not known."""
    stamp_ns: int


class SceneOutputs:
    """What one stream publishes beside people, odometry and status.

    Attributes:
        map: the accumulated scene.
        meshes: of the last frame.
        left_out: what somebody wanted of the last frame and did not get, to save time.
    """

    def __init__(self, outputs: Outputs, pipeline: Pipeline) -> None:
        """Nothing is published before the first ``publish``.

        Args:
            outputs: where messages go.
            pipeline: gives the clouds.
        """
        self._outputs = outputs
        self._pipeline = pipeline
        self.map = MapOutput(outputs)
        self.meshes = MeshOutput(outputs, pipeline.body_model)
        self.left_out: tuple[str, ...] = ()
        self._shedding = Shedding()
        self._wanted: frozenset[str] = frozenset()
        self._last_ns: int | None = None
        self._map_scale: float | None = None

    def begin(self) -> None:
        """A new activation: nothing is left out any more."""
        self._shedding.forget()
        self._last_ns = None

    def publish(self, frame: SceneFrame, settings: Settings, now_ns: int) -> None:
        """Send what is listened to; the map when its time has come."""
        wanted = {name for name in _NAMES if self._outputs.is_wanted(name)}
        groups = {_GROUP_OF[name] for name in wanted if name in _GROUP_OF}
        if settings.map.enabled:
            groups.add(_MAP)
        shed = set(self._shedding.shed)
        self._wanted = frozenset(groups)
        self.left_out = tuple(group for group in GROUPS if group in groups & shed)
        wanted = {name for name in wanted if _GROUP_OF.get(name) not in shed}
        self.meshes.see(frame.message, frame.tracked)
        if "meshes" in wanted:
            self.meshes.publish()
        if self._is_due(frame.stamp_ns, settings.scene.rate_hz):
            with_map = settings.map.enabled and _MAP not in shed
            self._publish_scene(frame, settings, wanted, with_map=with_map)
        self.map.publish_if_due(now_ns, settings)

    def idle(self, now_ns: int, settings: Settings) -> None:
        """A second without frames: a map that has changed since its last message can go out."""
        self.map.publish_if_due(now_ns, settings)

    def finish(self, settings: Settings) -> None:
        """The stream has ended: a map that has changed since its last message goes out."""
        self.map.publish(self.map.stamp_ns, settings)

    def observe(self, latency_s: float, settings: Settings) -> None:
        """How long the frame took from stamp to publication decides what the next ones get."""
        self._shedding.observe(latency_s, settings.diagnostics.max_latency_s, self._wanted)

    def _is_due(self, stamp_ns: int, rate_hz: float) -> bool:
        period_ns = 1e9 / rate_hz if rate_hz > 0 else 0.0
        is_early = self._last_ns is not None and 0 <= stamp_ns - self._last_ns < period_ns
        if not is_early:
            self._last_ns = stamp_ns
        return not is_early

    def _publish_scene(
        self, frame: SceneFrame, settings: Settings, wanted: set[str], *, with_map: bool
    ) -> None:
        estimate, header = frame.estimate, frame.message.header
        threshold = settings.scene.mask_threshold
        parts = _Parts(frame, settings, self._pipeline)
        if wanted & {"depth", "depth_info"}:
            camera = scene_messages.camera_info(frame.depth_camera, header)
            self._outputs.send("depth_info", camera)
        made: dict[str, Callable[[], Any]] = {
            "depth": lambda: scene_messages.depth_image(estimate, header),
            "confidence": lambda: scene_messages.confidence_image(estimate, header),
            "mask": lambda: scene_messages.mask_image(estimate, threshold, header),
            "labels": lambda: scene_messages.label_image(parts.labels, header),
            "points": lambda: scene_messages.cloud(parts.points, header, with_labels=True),
            "scene": lambda: scene_messages.cloud(parts.static, header, with_labels=False),
        }
        for name, make in made.items():
            if name in wanted:
                self._outputs.send(name, make())
        if with_map and frame.level_from_camera is not None:
            self._leave_other_metres(estimate.scale)
            self.map.see(
                *(parts.static, estimate.depth, parts.is_sure, frame.depth_camera),
                *(frame.level_from_camera, frame.stamp_ns, settings),
            )

    def _leave_other_metres(self, scale: float) -> None:
        """A scene of several sizes is no map: begin anew when the scale has moved on."""
        if self._map_scale is None or abs(scale / self._map_scale - 1.0) > _OTHER_METRES:
            if self._map_scale is not None:
                self.map.clear()
            self._map_scale = scale


class _Parts:
    """What several outputs of one frame share, made when first asked for."""

    def __init__(self, frame: SceneFrame, settings: Settings, pipeline: Pipeline) -> None:
        self._frame = frame
        self._settings = settings
        self._pipeline = pipeline
        self._present = [
            (number, one.person)
            for number, one in enumerate(frame.tracked, 1)
            if one.state != TrackState.LOST
        ]
        # Predicted people hide behind masks and leave holes too, so they count as people.
        people = tuple(person for _, person in self._present)
        self._everybody = replace(frame.estimate, people=people)

    @cached_property
    def labels(self) -> np.ndarray:
        """(height, width) uint16: 1 + index in the published array, 0 elsewhere."""
        estimate = self._everybody
        is_person = estimate.person_probability >= self._settings.scene.mask_threshold
        found = label_people(is_person, estimate.people, self._frame.depth_camera)
        return np.array([0, *(number for number, _ in self._present)], np.uint16)[found]

    @cached_property
    def is_sure(self) -> np.ndarray:
        """(height, width) bool: where the points can be relied on."""
        return sure_pixels(self._everybody, self._settings.scene)

    @cached_property
    def points(self) -> PointSet:
        return self._pipeline.points(self._everybody, self.labels, self.is_sure)

    @cached_property
    def static(self) -> PointSet:
        return self._pipeline.scene_points(self._everybody, self.is_sure)


def level_pose(level_from_camera: np.ndarray, waiting: str) -> np.ndarray | None:
    """The pose (4, 4), or None while the level frame is waited for."""
    is_known = not waiting and bool(np.isfinite(level_from_camera).all())
    return level_from_camera if is_known else None
