"""The process of a live page: draws what it is told, and asks for more when it has drawn.

Started by ``web_live`` with the number of its end of a line. It gives way to every other process.
"""

import os
import signal
import sys
import time
from collections import deque
from multiprocessing.connection import Connection

import numpy as np
import viser

from human3r.errors import InputError
from human3r.io.scene_cloud import SceneCloud
from human3r.viewer.colors import person_color
from human3r.viewer.web_cloud import below_soles, is_away_from_people, point_size_m
from human3r.viewer.web_frames import (
    Moment,
    PageStart,
    SceneFrame,
    over_the_floor,
    overview,
    sole_places,
)
from human3r.viewer.web_page import StartView, WebPage
from human3r.viewer.web_scene import WebScene, camera_path, quiet_server

_NICE = 10
_VOXEL_M, _MAX_CLOUD = 0.04, 150_000
_CLOUD_S = 2.0
"""Between two clouds sent to browsers: one is a thousand times as large as a pose."""
_POINT_M = 0.012
_MAX_PATH = 1000
_MAX_PATHS = 64
_STEP_M = 0.03
"""A place less than this from the one before is no part of a path."""
_FLOOR_M = 12.0
_EYE, _LOOK_AT = np.array([-1.8, 1.5, 1.25]), np.array([3.2, 0.2, -0.3])
"""Behind, beside and above the first camera, which is at 0 and looks along x."""


def main() -> int:
    """Serve until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    line = Connection(int(sys.argv[1]))
    try:
        start: PageStart = line.recv()
        try:
            with quiet_server(start.port, start.host) as server:
                line.send(("open", f"http://{server.get_host()}:{server.get_port()}"))
                _serve(line, server, start)
        except InputError as error:
            line.send(("failed", str(error)))
    except (EOFError, OSError):
        pass
    return 0


def _serve(line: Connection, server: viser.ViserServer, start: PageStart) -> None:
    drawing = LiveDrawing(server, start)
    while True:
        began_s = time.monotonic()
        line.send((len(server.get_clients()), drawing.num_drawn))
        moment = line.recv()
        if moment is not None:
            drawing.show(moment)
        time.sleep(max(0.0, began_s + start.period_s - time.monotonic()))


class LiveDrawing:
    """The page, with what moments add up to: cloud, paths and floor.

    Attributes:
        num_drawn: moments shown.
    """

    def __init__(self, server: viser.ViserServer, start: PageStart) -> None:
        self.num_drawn = 0
        self._caption = server.gui.add_markdown("waiting for the first image")
        self._scene = WebScene(server, start.faces, start.skin_weights)
        self._page = WebPage(server, self._scene, "live")
        self._start_view = StartView(server)
        self._start_view.set(_EYE, _LOOK_AT)
        self._forget()

    def _forget(self) -> None:
        self._cloud = SceneCloud(_VOXEL_M, _MAX_CLOUD)
        self._paths: dict[str, deque[np.ndarray]] = {}
        self._soles_m: deque[float] = deque(maxlen=_MAX_PATH)
        self._height_m: float | None = None
        """Of the floor."""
        self._cloud_due_s = 0.0
        self._overlooked: bool | None = None
        """None: not yet; otherwise whether people were there."""

    def show(self, moment: Moment) -> None:
        """Draw one moment."""
        if moment.begins_world:
            self._scene.forget()
            self._forget()
        self._look_over(moment.frame)
        for track_id, shape in moment.shapes.items():
            self._scene.add_person(track_id, shape)
        self._collect(moment)
        self._page.show(moment.frame)
        if moment.people_points is not None:
            self._scene.set_cloud(
                moment.people_points, moment.people_colors, _POINT_M, "people in the cloud"
            )
        self._caption.content = moment.caption
        if time.monotonic() >= self._cloud_due_s:
            self._cloud_due_s = time.monotonic() + _CLOUD_S
            self._show_surroundings(moment.frame)
        self.num_drawn += 1

    def _look_over(self, frame: SceneFrame) -> None:
        """Of several cameras, where to look from at first; again when the first people are seen."""
        is_ready = bool(frame.people)
        if len(frame.cameras) > 1 and (self._overlooked is None or is_ready > self._overlooked):
            self._start_view.set(*overview(frame))
            self._overlooked = is_ready

    def _collect(self, moment: Moment) -> None:
        joints = [one.joints for one in moment.frame.people]
        away = is_away_from_people(moment.points, np.reshape(joints, (-1, 55, 3)))
        self._cloud.add(moment.points[away], moment.colors[away])
        for camera in moment.frame.cameras:
            self._add_to_path(camera_path(camera.name), camera.page_from_camera[:3, 3])
        for one in moment.frame.people:
            if not one.is_predicted:
                sole = sole_places(one.joints)
                self._soles_m.append(float(sole[2]))
                self._add_to_path(str(one.track_id), sole)

    def _add_to_path(self, name: str, place: np.ndarray) -> None:
        path = self._paths.pop(name, None) or deque(maxlen=_MAX_PATH)
        if not path or np.linalg.norm(path[-1] - place) >= _STEP_M:
            path.append(np.array(place))
        self._paths[name] = path
        while len(self._paths) > _MAX_PATHS:
            oldest = next(iter(self._paths))
            del self._paths[oldest]
            self._scene.remove_path(_path_name(oldest))

    def _show_surroundings(self, frame: SceneFrame) -> None:
        """What changes slowly and is large."""
        scene = self._scene
        points, colors, _ = self._cloud.result()
        if len(points):
            size_m = point_size_m(points)
            stood = [np.array(path) for name, path in self._paths.items() if name.isdigit()]
            soles = np.concatenate([np.zeros((0, 3)), *stood])
            scene.set_cloud(below_soles(points, soles, size_m), colors, size_m)
        if self._soles_m:
            height_m = float(np.median(self._soles_m))
            if self._height_m is None or abs(height_m - self._height_m) > 0.02:
                self._height_m = height_m
                eyes = [camera.page_from_camera[:2, 3] for camera in frame.cameras]
                scene.set_floor(height_m, np.mean(eyes, axis=0).round(), _FLOOR_M)
        for name, places in self._paths.items():
            path = np.array(places)
            if name.isdigit():
                path, color = over_the_floor(path), person_color(int(name))
                scene.set_path(_path_name(name), path, color)
            else:
                scene.set_path(name, path)


def _path_name(name: str) -> str:
    """What the path of a person, told by number, or of a camera is called in the scene."""
    return f"person {name}" if name.isdigit() else name


if __name__ == "__main__":
    sys.exit(main())
