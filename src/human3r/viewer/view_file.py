"""Collects what one picture of a whole run needs, in bounded memory."""

from pathlib import Path

import numpy as np

from human3r.io.scene_cloud import SceneCloud
from human3r.mapping.ground import lean_of, soles_of, up_from_floor
from human3r.tracking.presence import Presence
from human3r.types import Frame, FrameEstimate, PersonEstimate
from human3r.viewer.overlay_files import write_png
from human3r.viewer.render import Body, View, render_view

_MAX_POSES = 2000
_MAX_PEOPLE = 200
_MAX_BODIES = 48
_MAX_PLACES = 1000
_PELVIS = 0
_UNSEEN_FRAMES = 15
_LEAP_M = 0.5
"""No person goes farther from one frame to the next."""


class ViewCollector:
    """Camera path and people of a run, for ``render_view``."""

    def __init__(self, faces: np.ndarray, cloud: SceneCloud, pitch_rad: float = 0.0) -> None:
        """Begin a view.

        Args:
            faces: triangles of the body mesh.
            cloud: collects the scene; its owner fills it.
            pitch_rad: the setting ``level.pitch_rad``; 0: up is what the floor under people's feet
                says, where one is seen.
        """
        self._faces = faces
        self._cloud = cloud
        self._is_up_set = pitch_rad != 0
        self._up = np.array([0.0, -np.cos(pitch_rad), -np.sin(pitch_rad)])
        self.begin_world()

    def begin_world(self) -> None:
        """Forget everything: the world it was in ends."""
        self._poses = _Thinned(_MAX_POSES)
        self._presence = Presence()
        self._latest: dict[int, np.ndarray] = {}
        self._paths: dict[int, _Thinned] = {}
        self._soles, self._leans = _Thinned(_MAX_PLACES), _Thinned(_MAX_PLACES)

    def add(self, estimate: FrameEstimate) -> None:
        """Remember the camera and the people of one frame."""
        pose = estimate.world_from_camera
        self._poses.add(pose)
        self._presence.add(person.track_id for person in estimate.people)
        for person in estimate.people:
            self._see(person, pose)

    def _see(self, person: PersonEstimate, pose: np.ndarray) -> None:
        track = person.track_id
        vertices = (person.vertices_camera @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
        pelvis = person.joints_camera[_PELVIS] @ pose[:3, :3].T + pose[:3, 3]
        # The newest stays last, so the one dropped below is the one unseen for longest.
        self._latest.pop(track, None)
        self._latest[track] = vertices
        self._stand(person, pose)
        feet = pelvis + self._up * ((vertices @ self._up).min() - pelvis @ self._up)
        path = self._paths.setdefault(track, _Thinned(_MAX_PLACES))
        path.add(np.append(feet, self._presence.num_frames))
        if len(self._latest) > _MAX_PEOPLE:
            gone = next(iter(self._latest))
            del self._latest[gone], self._paths[gone]

    def _stand(self, person: PersonEstimate, pose: np.ndarray) -> None:
        """Remember the soles of one who stands, and how the body leans."""
        lean = lean_of(person)
        if lean is None:
            return
        self._leans.add(pose[:3, :3] @ lean)
        for sole in soles_of(person, lean):
            self._soles.add(pose[:3, :3] @ sole + pose[:3, 3])

    def _up_world(self, points: np.ndarray) -> np.ndarray:
        soles, leans = self._soles.items(), self._leans.items()
        if self._is_up_set or not soles:
            return self._up
        found = up_from_floor(points, np.array(soles), np.mean(leans, axis=0))
        return self._up if found is None else found

    def view(self) -> View:
        """Everything so far; of people those who were seen often enough."""
        points, colors, _ = self._cloud.result()
        confirmed = set(self._presence.confirmed_ids)
        shown = [track for track in self._latest if track in confirmed][-_MAX_BODIES:]
        return View(
            points_world=points,
            colors=colors,
            # A little larger than a voxel, so that surfaces close.
            point_size_m=1.5 * self._cloud.voxel_m,
            bodies=[
                Body(track, self._latest[track], _with_breaks(self._paths[track]))
                for track in shown
            ],
            faces=self._faces,
            world_from_camera=self._poses.items(),
            up_world=self._up_world(points),
        )


def _with_breaks(path: "_Thinned") -> np.ndarray:
    """Places (n, 3), with NaN where the person was out of sight or leapt."""
    rows = np.array(path.items())
    places = rows[:, :3]
    gaps = np.diff(rows[:, 3]) / path.step
    leaps_m = np.linalg.norm(np.diff(places, axis=0), axis=1) / np.maximum(np.diff(rows[:, 3]), 1)
    broken = np.flatnonzero((gaps > _UNSEEN_FRAMES) | (leaps_m > _LEAP_M)) + 1
    return np.insert(places, broken, np.nan, axis=0)


class _Thinned:
    """Items over time, every so many of them when there are too many, and always the last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.step = 1
        self._count = 0
        self._items: list[np.ndarray] = []
        self._last: np.ndarray | None = None

    def add(self, item: np.ndarray) -> None:
        if self._count % self.step == 0:
            self._items.append(item)
            if len(self._items) >= self._most:
                self._items = self._items[::2]
                self.step *= 2
        self._last = item
        self._count += 1

    def items(self) -> list[np.ndarray]:
        if self._last is None or (self._items and self._items[-1] is self._last):
            return list(self._items)
        return [*self._items, self._last]


class ViewFile:
    """The picture of a run as a PNG file, drawn at its end."""

    def __init__(self, path: Path, collector: ViewCollector, note: str = "") -> None:
        self._path = path
        self._collector = collector
        self._note = note

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        if frame.begins_session:
            self._collector.begin_world()
        self._collector.add(estimate)

    def finish(self) -> None:
        write_png(self._path, render_view(self._collector.view(), note=self._note))

    def abort(self) -> None:
        """Nothing to do: the file is written at the end, at once."""
