"""Collects what one picture of a whole run needs, in bounded memory."""

from pathlib import Path

import numpy as np

from human3r.io.scene_cloud import SceneCloud
from human3r.types import Frame, FrameEstimate, PersonEstimate
from human3r.viewer.overlay_files import write_png
from human3r.viewer.render import Body, View, render_view

_MAX_POSES = 2000
_MAX_BODIES = 48
_MAX_LATEST = 200
_STEP_M = 0.9
"""A person's earlier place is kept when it lies this far from the one kept before."""


class ViewCollector:
    """Camera path and people of a run, for ``render_view``."""

    def __init__(self, faces: np.ndarray, cloud: SceneCloud, pitch_rad: float = 0.0) -> None:
        """Begin a view.

        Args:
            faces: triangles of the body mesh.
            cloud: collects the scene; somebody else fills it.
            pitch_rad: the setting ``level.pitch_rad``.
        """
        self._faces = faces
        self._cloud = cloud
        self._pitch_rad = pitch_rad
        self._poses: list[np.ndarray] = []
        self._pose_step = 1
        self._frames = 0
        self._last_pose: np.ndarray | None = None
        self._latest: dict[int, Body] = {}
        self._earlier: list[Body] = []
        self._kept_at: dict[int, np.ndarray] = {}

    def add(self, estimate: FrameEstimate) -> None:
        """Remember the camera and the people of one frame."""
        pose = estimate.world_from_camera
        if self._frames % self._pose_step == 0:
            self._poses.append(pose)
            if len(self._poses) >= _MAX_POSES:
                self._poses = self._poses[::2]
                self._pose_step *= 2
        self._last_pose = pose
        self._frames += 1
        for person in estimate.people:
            self._see(person, pose)

    def _see(self, person: PersonEstimate, pose: np.ndarray) -> None:
        track = person.track_id
        vertices = (person.vertices_camera @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
        place = vertices.mean(axis=0)
        before = self._latest.pop(track, None)
        # The newest stays last, so the one dropped below is the one unseen for longest.
        self._latest[track] = Body(track, vertices)
        if len(self._latest) > _MAX_LATEST:
            gone = next(iter(self._latest))
            del self._latest[gone]
            self._kept_at.pop(gone, None)
        if before is None or np.linalg.norm(place - self._kept_at[track]) > _STEP_M:
            self._kept_at[track] = place
            self._keep(Body(track, vertices, is_latest=False))

    def _keep(self, body: Body) -> None:
        self._earlier.append(body)
        if len(self._earlier) > _MAX_BODIES:
            self._earlier = self._earlier[::2]

    def view(self) -> View:
        """Everything so far."""
        points, colors, _ = self._cloud.result()
        latest = list(self._latest.values())[-_MAX_BODIES:]
        places = {body.track_id: body.vertices_world.mean(axis=0) for body in latest}
        # An earlier place right behind the latest one would only blur it.
        earlier = [
            body
            for body in self._earlier
            if body.track_id not in places
            or np.linalg.norm(body.vertices_world.mean(axis=0) - places[body.track_id])
            > _STEP_M / 2
        ]
        poses = self._poses
        if self._last_pose is not None and poses[-1] is not self._last_pose:
            poses = [*poses, self._last_pose]
        return View(
            points_world=points,
            colors=colors,
            # A little larger than a cube, so that surfaces close.
            point_size_m=1.5 * self._cloud.voxel_m,
            bodies=[*earlier, *latest],
            faces=self._faces,
            world_from_camera=poses,
            pitch_rad=self._pitch_rad,
        )


class ViewFile:
    """The picture of a run as a PNG file, drawn at its end."""

    def __init__(self, path: Path, collector: ViewCollector, note: str = "") -> None:
        self._path = path
        self._collector = collector
        self._note = note

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        self._collector.add(estimate)

    def finish(self) -> None:
        write_png(self._path, render_view(self._collector.view(), note=self._note))

    def abort(self) -> None:
        """Nothing to do: the file is written at the end, at once."""
