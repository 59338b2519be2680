"""What people see of a rig: frusta as markers for RViz, and all of it in a 3D page."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from rclpy.lifecycle import LifecycleNodeMixin
from visualization_msgs.msg import MarkerArray

from human3r.config import Settings
from human3r.multiview.fuser import MultiviewEstimate
from human3r.multiview.sight import CameraSight, RigSight
from human3r.multiview.view import ViewPeople
from human3r.types import FrameEstimate
from human3r_ros import qos
from human3r_ros.multi.camera_markers import camera_markers

if TYPE_CHECKING:
    from human3r.body.base import BodyModel
    from human3r.viewer.web_live import LivePage

TOPIC = "~/cameras"


@dataclass(frozen=True)
class CameraState:
    """How a camera is doing, in words."""

    age: str
    residual: str
    trouble: str
    is_silent: bool


class RigView:
    """Remembers where every camera was last, and shows it; costs nothing while it is not watched.

    One thread calls ``see`` and ``observe``, another ``refresh``.

    Attributes:
        page: the live page; None where ``web.port`` asks for none.
    """

    def __init__(
        self,
        node: LifecycleNodeMixin,
        names: Sequence[str],
        world: str,
        state_of: Callable[[str], CameraState],
    ) -> None:
        """Open the publisher of markers.

        Args:
            node: publishes.
            names: of the cameras, in the order in which they are listed.
            world: frame of the markers.
            state_of: tells how the camera of a name is doing.
        """
        self._node, self._names, self._world = node, tuple(names), world
        self._state_of = state_of
        self._lock = Lock()
        self._sights: dict[str, CameraSight] = {}
        self._seen: dict[str, tuple[FrameEstimate, np.ndarray]] = {}
        self._stamp_ns, self._observed_s = 0, time.monotonic()
        self.page: LivePage | None = None
        self._markers = node.create_lifecycle_publisher(MarkerArray, TOPIC, qos.HUMANS)

    def open_page(self, settings: Settings, body_model: "BodyModel") -> str:
        """Serve the page; returns its address.

        Args:
            settings: of the page and of the cameras.
            body_model: of the people.

        Raises:
            Human3RError: as of ``LivePage``.
        """
        from human3r.viewer.web_live import open_live_page

        self.page = open_live_page(settings, body_model)
        return self.page.address

    def close(self) -> None:
        """Give publisher and page back."""
        self._node.destroy_lifecycle_publisher(self._markers)
        if self.page is not None:
            self.page.close()

    def see(self, name: str, estimate: FrameEstimate, image: np.ndarray) -> None:
        """What a camera of our own saw; shown with the next moment."""
        if self.page is not None:
            self._seen[name] = estimate, image

    def observe(self, estimate: MultiviewEstimate, views: Sequence[ViewPeople]) -> None:
        """Show a moment."""
        with self._lock:
            for view in views:
                before = self._sights.get(view.view)
                image = before.image if before is not None else None
                self._sights[view.view] = CameraSight(
                    view.view, view.world_from_camera, view.lens, image
                )
            self._stamp_ns, self._observed_s = estimate.stamp_ns, time.monotonic()
            seen, self._seen = self._seen, {}
            self._show(estimate, seen)

    def refresh(self, silent_s: float) -> None:
        """Show that all cameras are silent, when no moment has come for so long.

        While images come, those who were seen last stay: moments may take long on a slow machine.
        """
        with self._lock:
            is_late = time.monotonic() - self._observed_s > silent_s
            if is_late and all(self._state_of(name).is_silent for name in self._sights):
                self._show(None, {})

    def _show(
        self,
        estimate: MultiviewEstimate | None,
        seen: Mapping[str, tuple[FrameEstimate, np.ndarray]],
    ) -> None:
        is_wanted = self._markers.get_subscription_count() > 0
        if not self._sights or not (is_wanted or self.page is not None):
            return
        for name, (_, image) in seen.items():
            if name in self._sights:
                self._sights[name] = replace(self._sights[name], image=image)
        known = [self._sights[name] for name in self._names if name in self._sights]
        cameras = [self._with_state(one, seen) for one in known]
        if is_wanted:
            self._markers.publish(camera_markers(cameras, self._world, self._stamp_ns))
        if self.page is not None:
            people = estimate.people if estimate is not None else ()
            self.page.show_rig(RigSight(self._stamp_ns, people, cameras))

    def _with_state(
        self, sight: CameraSight, seen: Mapping[str, tuple[FrameEstimate, np.ndarray]]
    ) -> CameraSight:
        state = self._state_of(sight.name)
        estimate = seen[sight.name][0] if sight.name in seen else None
        return replace(
            sight,
            estimate=estimate,
            age=state.age,
            residual=state.residual,
            trouble=state.trouble,
            is_silent=state.is_silent,
        )
