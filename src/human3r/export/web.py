"""A clip as frames of a ``WebScene``: what `human3r view` and the HTML export show."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import viser

from human3r.export.clip import Clip, Person, make_clip
from human3r.export.open_result import open_result
from human3r.export.result import ResultCamera
from human3r.export.skin import Skin, load_skin
from human3r.export.worlds import choose_world
from human3r.types import TrackState
from human3r.viewer.colors import person_color
from human3r.viewer.web_cloud import below_soles, is_away_from_people, point_size_m
from human3r.viewer.web_frames import (
    UNKNOWN,
    BodyShape,
    SceneCamera,
    SceneFrame,
    ScenePerson,
    angle_of_view_rad,
    camera_facts,
    over_the_floor,
    overview,
    person_facts,
    sole_places,
    visible_share,
)
from human3r.viewer.web_page import StartView
from human3r.viewer.web_player import WebPlayer
from human3r.viewer.web_scene import WebScene, camera_path, quiet_server

_MAX_MOMENTS = 3000
"""Bodies whose surroundings are cleared of what masks of people have missed."""
_EYE_FROM_CAMERA = np.array([-0.42, 0.33, 0.3])
"""Where a page looks from at first, beside the first camera, by how far people are away."""
_SILENT_S = 1.0
"""One of several cameras without an image for so long is drawn as silent."""
_SPEED_S = 0.5
"""Half the time over which a speed is measured."""


class ClipFrames:
    """The frames of a clip in level axes, by number."""

    def __init__(self, clip: Clip, skin: Skin, images: dict[int, np.ndarray]) -> None:
        """Frames of a clip.

        Args:
            clip: in the axes ``level``.
            skin: of its people.
            images: small pictures by number of the frame, as far as there are any.
        """
        self._clip = clip
        self._skin = skin
        self._images = images
        self._several = [(camera, camera.images()) for camera in clip.cameras]
        self._posed = {person.track_id: person.posed() for person in clip.people}
        self._statures = {person.track_id: _stature_m(skin, person) for person in clip.people}

    def __len__(self) -> int:
        return len(self._clip.stamps_ns)

    def __getitem__(self, number: int) -> SceneFrame:
        people = []
        for person in self._clip.people:
            row = int(np.searchsorted(person.frames, number))
            if row < len(person.frames) and person.frames[row] == number:
                people.append(self._person(person, row))
        return SceneFrame(self._cameras(number), people)

    def _cameras(self, number: int) -> list[SceneCamera]:
        clip = self._clip
        if not self._several:
            image = self._images.get(number)
            lens = _lens(clip.intrinsics[number], clip.size_px[number])
            return [SceneCamera(clip.clip_from_camera[number], *lens, image)]
        stamp_ns = clip.stamps_ns[number]
        return [_sight(camera, images, stamp_ns) for camera, images in self._several]

    def _person(self, person: Person, row: int) -> ScenePerson:
        number = int(person.frames[row])
        camera = self._clip.clip_from_camera[number][:3, 3]
        facts = person_facts(
            float(np.linalg.norm(person.root[row] - camera)),
            self._speed_mps(person, row),
            self._statures[person.track_id],
            visible_share(None if person.visible is None else person.visible[row]),
            int(person.states[row]),
        )
        return ScenePerson(
            person.track_id,
            person.rotations[row],
            self._posed[person.track_id][row],
            facts,
            int(person.states[row]) >= TrackState.COASTING,
            None if person.covariances is None else person.covariances[row],
        )

    def _speed_mps(self, person: Person, row: int) -> float:
        times = self._clip.times_s[person.frames]
        first = int(np.searchsorted(times, times[row] - _SPEED_S))
        last = int(np.searchsorted(times, times[row] + _SPEED_S, side="right")) - 1
        if first == last:
            return 0.0
        moved_m = np.linalg.norm(person.root[last] - person.root[first])
        return float(moved_m / (times[last] - times[first]))

    def furnish(self, scene: WebScene, max_points: int) -> None:
        """Put in what does not move: cloud, floor, paths, and each person's body."""
        clip = self._clip
        everybody = np.concatenate([np.zeros((0, 55, 3)), *self._posed.values()])
        moments = everybody[:: max(1, -(-len(everybody) // _MAX_MOMENTS))]
        away = np.flatnonzero(is_away_from_people(clip.points, moments))
        away = away[:: max(1, -(-len(away) // max_points))]
        if len(away):
            points = clip.points[away]
            size_m = point_size_m(points)
            points = below_soles(points, sole_places(moments), size_m)
            scene.set_cloud(points, clip.colors[away], size_m)
        height_m, center, side_m = self._floor()
        scene.set_floor(height_m, center, side_m)
        if clip.cameras:
            for camera in clip.cameras:
                scene.set_path(camera_path(camera.name), camera.world_from_camera[:, :3, 3])
        else:
            scene.set_path(camera_path(""), clip.clip_from_camera[:, :3, 3])
        for person in clip.people:
            shape = BodyShape(self._skin.rest_vertices(person), person.rest_joints)
            scene.add_person(person.track_id, shape)
            color = person_color(person.track_id)
            path = over_the_floor(sole_places(self._posed[person.track_id]))
            scene.set_path(f"person {person.track_id}", path, color)

    def _floor(self) -> tuple[float, np.ndarray, float]:
        """Height, centre and side of the floor: below people's feet, else of the cloud."""
        soles = [sole_places(joints)[:, 2] for joints in self._posed.values()]
        points = self._clip.points
        if soles:
            height_m = float(np.median(np.concatenate(soles)))
        else:
            height_m = float(np.percentile(points[:, 2], 2)) if len(points) else -1.5
        places = [person.root[:, :2] for person in self._clip.people]
        ground = np.concatenate([*places, self._clip.clip_from_camera[:, :2, 3]])
        center = (ground.min(axis=0) + ground.max(axis=0)) / 2
        size_m = float(np.clip(2 * np.ceil(np.ptp(ground, axis=0).max() + 2), 8, 60))
        return height_m, np.round(center), size_m

    def viewpoint(self) -> tuple[np.ndarray, np.ndarray]:
        """Where to look from at first and at what: behind, above and beside the first camera.

        Of several cameras: so that all of them and all people are to be seen.
        """
        if len(self._several) > 1:
            return overview(self[0])
        eyes = self._clip.clip_from_camera[:, :3, 3]
        places = [person.root for person in self._clip.people]
        target = np.median(np.concatenate(places), axis=0) if places else eyes[0] + [3, 0, -0.8]
        reach_m = float(np.clip(np.linalg.norm(target - eyes[0]), 2.5, 12.0))
        # A little to the right of all people, where the panel covers the page.
        return eyes[0] + reach_m * _EYE_FROM_CAMERA, target - [0.0, 0.1 * reach_m, 0.0]


def page(
    server: viser.ViserServer, clip: Clip, skin: Skin, frames: ClipFrames, max_points: int
) -> WebScene:
    """The scene of a clip in a server, showing its first frame."""
    scene = WebScene(server, skin.faces, skin.dense_weights())
    frames.furnish(scene, max_points)
    scene.show(frames[0])
    StartView(server).set(*frames.viewpoint())
    return scene


def _sight(camera: ResultCamera, images: dict[int, np.ndarray], stamp_ns: int) -> SceneCamera:
    """One of several cameras at the moment of a frame."""
    row = int(np.argmin(np.abs(camera.stamps_ns - stamp_ns)))
    age_s = abs(int(camera.stamps_ns[row]) - int(stamp_ns)) * 1e-9
    is_silent = age_s > _SILENT_S
    residual = f"{camera.residual_px:.0f} px" if np.isfinite(camera.residual_px) else UNKNOWN
    return SceneCamera(
        camera.world_from_camera[row],
        *_lens(camera.intrinsics[row], camera.size_px[row]),
        images.get(row),
        camera.name,
        camera_facts(f"{age_s:.2f} s", residual, camera.trouble, is_silent=is_silent),
        is_silent,
        camera.trouble,
    )


def _lens(matrix: np.ndarray, size_px: np.ndarray) -> tuple[float, float]:
    """Vertical angle of view, and width over height."""
    width, height = size_px.tolist()
    return angle_of_view_rad(height, float(matrix[1, 1])), width / height


def _stature_m(skin: Skin, person: Person) -> float:
    betas = torch.from_numpy(skin.betas(person).astype(np.float32))[None]
    return person.scale * float(skin.body.stature(betas)[0])


def serve(
    source: str | Path,
    *,
    host: str,
    port: int,
    max_points: int,
    min_share: float,
    body_model: str | Path | None,
    stop: threading.Event,
    ready: Callable[[str], None],
    topic: str | None = None,
    session: int | None = None,
) -> None:
    """Serve the page of a result until ``stop`` is set.

    Args:
        source: what ``human3r run`` wrote, or a bag of people.
        host: address to listen at.
        port: of the page; 0: any.
        max_points: of the cloud.
        min_share: who is seen in fewer than this share of the frames is left out.
        body_model: file of the run's body model, where it is not where the run found it.
        stop: ends it.
        ready: told the page's address when it can be opened.
        topic: of the people, where a bag has several.
        session: number of one whose world is wanted; None: the world with the most frames.

    Raises:
        InputError: no result.
        BodyModelError: another body model than the run's.
    """
    result = open_result(source, topic=topic, session=session)
    clip = make_clip(result, choose_world(result, "level"), min_share=min_share)
    skin = load_skin(result, body_model)
    frames = ClipFrames(clip, skin, clip.images())
    with quiet_server(port, host) as server:
        scene = page(server, clip, skin, frames, max_points)
        player = WebPlayer(server, scene, frames, clip.times_s)
        ready(f"http://{server.get_host()}:{server.get_port()}")
        player.run(stop)
