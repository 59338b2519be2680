"""Depth, masks, clouds, map and meshes of one stream, made only for those who listen."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from human3r_msgs.msg import HumanArray

from human3r.config import Settings
from human3r.mapping.people_labels import label_people
from human3r.mapping.points import sure_pixels
from human3r.pipeline import Pipeline
from human3r.types import FrameEstimate, PointSet, TrackState
from human3r_ros import scene_messages
from human3r_ros.map_output import MapOutput
from human3r_ros.mesh_output import MeshOutput
from human3r_ros.outputs import Outputs
from human3r_ros.status import SHED

GROUPS = ("meshes", "map update", "masks and confidence", "depth", "scene cloud")
"""Left out in this order, restored in reverse. People, status, TF and ``~/points`` never are."""
_SLOW_FRAMES = 10
_GOOD_FRAMES = 30


class LoadShedder:
    """Leaves out one more group after ten slow frames, restores one after thirty good ones."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A new activation: everything is made again."""
        self._num_shed = 0
        self._slow = self._good = 0

    @property
    def shed(self) -> tuple[str, ...]:
        """The groups that are left out now, wanted or not."""
        return GROUPS[: self._num_shed]

    def observe(self, latency_s: float, limit_s: float, wanted: Collection[str]) -> None:
        """Count one processed frame.

        Args:
            latency_s: from stamp to publication; NaN under simulated time, where it means nothing
                and replays have to be alike, so that nothing is left out.
            limit_s: ``diagnostics.max_latency_s``; 0: nothing is ever left out.
            wanted: groups that have subscribers. The others cost nothing, so they are passed
                over: leaving them out would not help, and restoring them would not hurt.
        """
        if limit_s <= 0:
            self.forget()
        elif latency_s > limit_s:
            self._slow, self._good = self._slow + 1, 0
            if self._slow >= _SLOW_FRAMES:
                self._slow = 0
                self._leave_out(wanted)
        else:
            self._slow, self._good = 0, self._good + 1
            if self._good >= _GOOD_FRAMES:
                self._good = 0
                self._restore(wanted)

    def _leave_out(self, wanted: Collection[str]) -> None:
        for number in range(self._num_shed, len(GROUPS)):
            if GROUPS[number] in wanted:
                self._num_shed = number + 1
                return

    def _restore(self, wanted: Collection[str]) -> None:
        for number in reversed(range(self._num_shed)):
            self._num_shed = number
            if GROUPS[number] in wanted:
                return


def shed_text(left_out: Collection[str], settings: Settings) -> str:
    """What to say about a frame that went out with less than was asked for."""
    return (
        f"{SHED}: {', '.join(left_out)}. {_SLOW_FRAMES} frames in a row took longer "
        f"than diagnostics.max_latency_s, {settings.diagnostics.max_latency_s:g} s; expected less. "
        "Use a faster machine, a smaller network or fewer outputs, or raise it (0: leave out "
        "nothing)."
    )


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
_WITHOUT_SCENE = frozenset({"mask", "labels"})
"""What a frame shows whose scene is not known."""


@dataclass(frozen=True)
class SceneFrame:
    """One frame, as far as its scene is concerned."""

    estimate: FrameEstimate
    message: HumanArray
    """The people as published; its header is that of everything in the camera frame."""
    level_from_camera: np.ndarray | None
    """(4, 4); None while the level frame is not known."""
    stamp_ns: int


class SceneOutputs:
    """What one stream publishes beside people, odometry and status.

    Attributes:
        map: the accumulated scene.
        meshes: of the last frame.
        left_out: what subscribers wanted of the last frame and did not get, to save time.
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
        self._load_shedder = LoadShedder()
        self._wanted: frozenset[str] = frozenset()
        self._last_ns: int | None = None
        self._map_scale: float | None = None

    def begin(self) -> None:
        """A new activation: nothing is left out any more."""
        self._load_shedder.forget()
        self._last_ns = None

    def publish(self, frame: SceneFrame, settings: Settings, now_ns: int) -> None:
        """Send what is listened to; the map when its time has come."""
        wanted = {name for name in _NAMES if self._outputs.is_wanted(name)}
        groups = {_GROUP_OF[name] for name in wanted if name in _GROUP_OF}
        if settings.map.enabled:
            groups.add(_MAP)
        shed = set(self._load_shedder.shed)
        self._wanted = frozenset(groups)
        self.left_out = tuple(group for group in GROUPS if group in groups & shed)
        wanted = {name for name in wanted if _GROUP_OF.get(name) not in shed}
        self.meshes.update(frame.message, frame.estimate.tracked)
        if "meshes" in wanted:
            self.meshes.publish()
        if frame.estimate.has_scene:
            if self._is_due(frame.stamp_ns, settings.scene.rate_hz):
                with_map = settings.map.enabled and _MAP not in shed
                self._publish_scene(frame, settings, wanted, with_map=with_map)
        elif settings.scene.rate_hz == 0:
            # With a limit it would take the turn of a frame that has more to show.
            self._publish_scene(frame, settings, wanted & _WITHOUT_SCENE, with_map=False)
        self.map.publish_if_due(now_ns, settings)

    def idle(self, now_ns: int, settings: Settings) -> None:
        """A second without frames: a map that has changed since its last message can go out."""
        self.map.publish_if_due(now_ns, settings)

    def finish(self, settings: Settings) -> None:
        """The stream has ended: a map that has changed since its last message goes out."""
        self.map.publish(self.map.stamp_ns, settings)

    def observe(self, latency_s: float, settings: Settings) -> None:
        """How long the frame took from stamp to publication decides what the next ones get."""
        self._load_shedder.observe(latency_s, settings.diagnostics.max_latency_s, self._wanted)

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
            camera = scene_messages.camera_info(frame.estimate.intrinsics, header)
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
            self.map.update(
                *(parts.static, estimate.depth, parts.is_sure, frame.estimate.intrinsics),
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
            for number, one in enumerate(frame.estimate.tracked, 1)
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
        found = label_people(is_person, estimate.people, estimate.intrinsics)
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
