"""A live page: the newest estimate in the browser, never in the way of who makes them.

    with LivePage(pipeline.body_model, weights) as page:
        print(page.address)
        for frame in source:
            page.show(pipeline.step(frame))

The page is a process of its own that gives way to all others (``web_live_process``). It asks for
what is newest when it has drawn what it had; a thread here answers, with a few kilobytes.
"""

import contextlib
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from human3r.body import find_body_file
from human3r.body.base import BodyModel
from human3r.body.default import default_body_path
from human3r.body.kinematics import skeleton_rotations
from human3r.body.npz import read_arrays
from human3r.config import SceneSettings, Settings
from human3r.errors import InputError, MissingExtraError, OutputError
from human3r.mapping.level import level_from_up
from human3r.mapping.points import select_static_points, sure_pixels
from human3r.multiview.fuser import FusedPerson
from human3r.multiview.sight import CameraSight, RigSight
from human3r.types import FrameEstimate, Intrinsics, TrackedPerson, TrackState
from human3r.viewer.small_images import small_image
from human3r.viewer.web_frames import (
    LOOPBACK,
    BodyShape,
    Moment,
    PageStart,
    SceneCamera,
    SceneFrame,
    ScenePerson,
    angle_of_view_rad,
    camera_facts,
    person_facts,
    visible_share,
)

log = logging.getLogger(__name__)

MAX_RATE_HZ = 10.0
_UNWATCHED_S = 1.0
"""Between two looks while no browser does: cloud and path go on."""
_MAX_POINTS = 6000
"""Of one frame that are sent, of the scene as of people."""
_POINTS_S = 0.4
"""Between two looks at the points of a frame."""
_START_S = 60.0
_END_S = 1.5
_NEW_SHAPE = 0.5
"""Standard deviations by which a shape must change for a new skin to be sent."""
_NEW_SCALE = 0.02
"""Share by which bodies must grow or shrink for that."""
_UP = np.array([0.0, -1.0, 0.0])
"""Of the world, where nothing says how the first camera was tilted."""


_Points = tuple[np.ndarray, np.ndarray]
"""(n, 3) metres, and (n, 3) uint8 colours."""
_NO_POINTS: _Points = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)


class LivePage:
    """Serves a page that shows the newest of the estimates it is given.

    Memory is bounded: one estimate waits, clouds are thinned, paths end, and the people unseen for
    longest go. Nothing that happens to the page reaches who gives estimates.

    Attributes:
        address: of the page.
        num_drawn: estimates shown so far; those overtaken by a newer one are not.
        num_browsers: that look at the page.
    """

    def __init__(
        self,
        body_model: BodyModel,
        skin_weights: Float[np.ndarray, "vertices 55"],
        *,
        port: int = 0,
        host: str = LOOPBACK,
        scene: SceneSettings | None = None,
        max_rate_hz: float = MAX_RATE_HZ,
    ) -> None:
        """Begin to serve.

        Args:
            body_model: of the people.
            skin_weights: of the same file.
            port: of the page; 0: any that is free.
            host: address to listen at; by default it cannot be reached from other machines.
            scene: which points belong to the scene.
            max_rate_hz: no more estimates per second are drawn.

        Raises:
            MissingExtraError: viser is not installed.
            InputError: the port is taken, or the address is not one of this machine.
            OutputError: the page's process does not start.
        """
        if find_spec("viser") is None:
            raise MissingExtraError(
                "the live page needs the package viser, which is not installed; expected the "
                "extra 'web'. Install it with: pip install 'human3r[web]'"
            )
        self.num_drawn = self.num_browsers = 0
        self._moments = Moments(body_model, scene or SceneSettings())
        self._condition = threading.Condition()
        self._waiting: Callable[..., Moment] | None = None
        self._begins_world = True
        self._num_shown = 0
        self._is_open = True
        start = PageStart(host, port, 1 / max_rate_hz, body_model.faces, skin_weights)
        self._process, self._line = _start_process()
        try:
            self._line.send(start)
            self.address = self._first_answer()
        except BaseException:
            self._end_process()
            raise
        self._thread = threading.Thread(target=self._work, name="live page", daemon=True)
        self._thread.start()

    def __enter__(self) -> "LivePage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, estimate: FrameEstimate, image: np.ndarray | None = None) -> None:
        """Show an estimate soon, unless a newer one comes before; returns at once.

        Args:
            estimate: of a frame.
            image: (height, width, 3) uint8 of the frame, which must not change any more; None: the
                network's small one.
        """
        # The world is the camera of its first frame.
        is_first = estimate.frame_index == 0
        is_first &= np.array_equal(estimate.world_from_camera, np.eye(4))
        self._put(partial(self._moments.of, estimate, image), begins_world=is_first)

    def show_rig(self, sight: RigSight) -> None:
        """Show a moment of several cameras, as ``show`` does; one page shows either kind."""
        self._put(partial(self._moments.of_rig, sight), begins_world=False)

    def _put(self, make: Callable[..., Moment], *, begins_world: bool) -> None:
        with self._condition:
            self._begins_world |= begins_world
            self._num_shown += 1
            self._waiting = make
            self._condition.notify()

    def close(self) -> None:
        """End the page; does nothing when it has ended."""
        with self._condition:
            self._is_open = False
            self._condition.notify()
        self._thread.join(_END_S)
        self._end_process()

    def _end_process(self) -> None:
        self._line.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _first_answer(self) -> str:
        """The page's address.

        Raises:
            InputError: the port or the address cannot be had.
            OutputError: the process does not start.
        """
        with contextlib.suppress(EOFError, OSError):
            if self._line.poll(_START_S):
                kind, text = self._line.recv()
                if kind == "open":
                    return text
                raise InputError(text)
        raise OutputError(
            f"the live page did not open within {_START_S:g} s; expected its process to start. "
            "Try again, or go on without it."
        )

    def _work(self) -> None:
        try:
            while self._is_open:
                self._answer()
        except (EOFError, OSError):
            if self._is_open:
                log.warning("the live page has ended; everything else goes on without it.")

    def _answer(self) -> None:
        """Wait for the page to ask, then give it the newest estimate."""
        while self._is_open and not self._line.poll(0.2):
            pass
        if not self._is_open:
            return
        self.num_browsers, self.num_drawn = self._line.recv()
        with self._condition:
            if not self.num_browsers:
                self._condition.wait_for(lambda: not self._is_open, _UNWATCHED_S)
            self._condition.wait_for(lambda: self._waiting is not None or not self._is_open)
            waiting, self._waiting = self._waiting, None
            begins_world, self._begins_world = self._begins_world, False
        if waiting is None or not self._is_open:
            return
        moment = None
        try:
            moment = waiting(begins_world=begins_world, number=self._num_shown)
        except Exception:  # a view only: whoever drives it must not suffer
            log.exception("the page cannot show the frame of number %d", self._num_shown)
        self._line.send(moment)


class Moments:
    """Makes what a page is told of estimates."""

    def __init__(self, body_model: BodyModel, scene: SceneSettings) -> None:
        """Nothing is known yet.

        Args:
            body_model: of the people.
            scene: which points belong to the scene.
        """
        self._scene = scene
        self._shapes = _Shapes(body_model)
        self._page_from_world: np.ndarray | None = None
        self._points_due_s = 0.0

    def of(
        self, estimate: FrameEstimate, image: np.ndarray | None, *, begins_world: bool, number: int
    ) -> Moment:
        """One estimate in the axes of the page.

        Args:
            estimate: of a frame.
            image: of the frame; None: the network's small one.
            begins_world: places mean something else than before.
            number: of the frame, for the caption.
        """
        level_from_world = estimate.level_from_world
        if level_from_world is None:
            level_from_world = level_from_up(_UP)
        before = self._page_from_world
        if begins_world or before is None or not np.allclose(level_from_world, before, atol=1e-3):
            # What was collected so far was tilted.
            self._page_from_world, begins_world = np.array(level_from_world), True
            self._shapes.forget()
            self._points_due_s = 0.0
        pose = self._page_from_world @ estimate.world_from_camera
        tracked = [one for one in estimate.tracked if one.state != TrackState.LOST]
        shapes = {one.number: one.person.body.betas for one in tracked}
        scene, people = _NO_POINTS, None
        if estimate.has_scene and self._is_due():
            scene, people = self._points(estimate)
        camera = SceneCamera(
            pose,
            *_lens(estimate.source_camera),
            small_image(estimate.image if image is None else image),
        )
        return Moment(
            frame=SceneFrame([camera], [_scene_person(one, pose) for one in tracked]),
            shapes=self._shapes.news(shapes, estimate.body_scale),
            points=_moved(pose, scene[0]),
            colors=scene[1],
            people_points=None if people is None else _moved(pose, people[0]),
            people_colors=_NO_POINTS[1] if people is None else people[1],
            caption=_caption(len(tracked), number, estimate.stamp_ns),
            begins_world=begins_world,
        )

    def of_rig(self, sight: RigSight, *, begins_world: bool, number: int) -> Moment:
        """A moment of several cameras; their world is the page's.

        Args:
            sight: the moment.
            begins_world: as of ``of``.
            number: as of ``of``.
        """
        if self._page_from_world is None or begins_world:
            self._page_from_world, begins_world = np.eye(4), True
            self._shapes.forget()
            self._points_due_s = 0.0
        shapes = {one.number: one.betas for one in sight.people}
        scale = next((c.estimate.body_scale for c in sight.cameras if c.estimate), 1.0)
        scene, people = self._rig_points(sight)
        return Moment(
            frame=SceneFrame(
                [_rig_camera(camera) for camera in sight.cameras],
                [_fused_person(one, sight.cameras) for one in sight.people],
            ),
            shapes=self._shapes.news(shapes, scale),
            points=scene[0],
            colors=scene[1],
            people_points=None if people is None else people[0],
            people_colors=_NO_POINTS[1] if people is None else people[1],
            caption=_caption(len(sight.people), number, sight.stamp_ns),
            begins_world=begins_world,
        )

    def _rig_points(self, sight: RigSight) -> "tuple[_Points, _Points | None]":
        """Points of all cameras in the world, of the scene and of people."""
        known = [
            (camera.world_from_camera, camera.estimate)
            for camera in sight.cameras
            if camera.estimate is not None and camera.estimate.has_scene
        ]
        if not known or not self._is_due():
            return _NO_POINTS, None
        found: tuple[list[_Points], list[_Points]] = [], []
        for pose, estimate in known:
            for kind, (points, colors) in zip(
                found, self._points(estimate, len(known)), strict=True
            ):
                kind.append((_moved(pose, points), colors))
        return _joined(found[0]), _joined(found[1])

    def _is_due(self) -> bool:
        """Now and then only: choosing points takes longer than everything else of a moment."""
        if time.monotonic() < self._points_due_s:
            return False
        self._points_due_s = time.monotonic() + _POINTS_S
        return True

    def _points(self, estimate: FrameEstimate, share: int = 1) -> "tuple[_Points, _Points]":
        """Some points and colours of the scene, and some of people; camera frame.

        Args:
            estimate: of a frame.
            share: of so many cameras, which send together what one alone would.
        """
        sure = sure_pixels(estimate, self._scene)
        static = select_static_points(estimate, self._scene, sure)
        is_person = estimate.person_probability >= self._scene.mask_threshold
        pixels = np.flatnonzero(sure & is_person)
        points = estimate.points_camera.reshape(-1, 3)[pixels].astype(np.float32)
        colors = estimate.image.reshape(-1, 3)[pixels]
        most = _MAX_POINTS // share
        return _some(static.points, static.colors, most), _some(points, colors, most)


class _Shapes:
    """Skins of people, made from their shapes; remembers who has which."""

    def __init__(self, body_model: BodyModel) -> None:
        # Without pose, the skin is linear in the shape.
        shapes = np.concatenate([np.zeros((1, 10)), np.eye(10)])
        vertices, joints = _rest(body_model, shapes)
        self._mean = vertices[0], joints[0]
        self._change = vertices[1:] - vertices[0], joints[1:] - joints[0]
        self._worn: dict[int, tuple[np.ndarray, float]] = {}

    def forget(self) -> None:
        """Remove all skins."""
        self._worn.clear()

    def news(self, people: Mapping[int, np.ndarray], scale: float) -> dict[int, BodyShape]:
        """Skins of those, by number with their betas, who have none yet, or another shape."""
        found = {}
        for number, shape in people.items():
            betas = np.asarray(shape, np.float64)
            worn = self._worn.get(number)
            if (
                worn is None
                or np.linalg.norm(worn[0] - betas) >= _NEW_SHAPE
                or abs(worn[1] / scale - 1) >= _NEW_SCALE
            ):
                self._worn[number] = betas, scale
                found[number] = self._shape(betas, scale)
        # Whoever is out of the picture may lose the skin in the page, and gets a new one then.
        self._worn = {number: worn for number, worn in self._worn.items() if number in people}
        return found

    def _shape(self, betas: np.ndarray, scale: float) -> BodyShape:
        vertices, joints = (
            scale * (mean + np.tensordot(betas, change, 1))
            for mean, change in zip(self._mean, self._change, strict=True)
        )
        return BodyShape(vertices - joints[0], joints - joints[0])


def _rest(body_model: BodyModel, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and the 55 joints of bodies before posing, the face neutral."""
    count = len(betas)
    upright = np.tile(np.eye(3), (count, 53, 1, 1))
    arguments = [
        torch.from_numpy(np.asarray(value, np.float32)).to(body_model.device)
        for value in (upright, betas, np.zeros((count, 10)), np.zeros((count, 3)))
    ]
    with torch.inference_mode():
        mesh = body_model(*arguments)
    return mesh.vertices.cpu().numpy(), mesh.joints[:, :55].cpu().numpy()


def _scene_person(one: TrackedPerson, pose: np.ndarray) -> ScenePerson:
    person, turn = one.person, pose[:3, :3]
    rotations = skeleton_rotations(person.body.rotations[None])[0]
    rotations[0] = turn @ rotations[0]
    covariance = None
    if one.covariance is not None:
        covariance = turn @ np.reshape(one.covariance, (6, 6))[:3, :3].astype(np.float64) @ turn.T
    velocity = one.velocity_camera
    facts = person_facts(
        float(np.linalg.norm(person.joints_camera[0])),
        None if velocity is None else float(np.linalg.norm(velocity)),
        one.stature_m,
        visible_share(None if one.visibility is None else one.visibility.joints),
        int(one.state),
    )
    joints = _moved(pose, person.joints_camera[:55].astype(np.float64))
    return ScenePerson(one.number, rotations, joints, facts, not one.is_measured, covariance)


def _fused_person(one: FusedPerson, cameras: Sequence[CameraSight]) -> ScenePerson:
    velocity = one.velocity_world
    away_m = [np.linalg.norm(one.joints_world[0] - c.world_from_camera[:3, 3]) for c in cameras]
    facts = person_facts(
        float(min(away_m)),
        None if velocity is None else float(np.linalg.norm(velocity)),
        one.stature_m,
        f"{len(one.members)} of {len(cameras)}",
        int(one.state),
    )
    return ScenePerson(
        one.number,
        skeleton_rotations(one.rotations[None])[0],
        one.joints_world[:55],
        facts,
        one.state == TrackState.COASTING,
        one.covariance[:3, :3],
    )


def _rig_camera(camera: CameraSight) -> SceneCamera:
    return SceneCamera(
        camera.world_from_camera,
        *_lens(camera.lens),
        None if camera.image is None else small_image(camera.image),
        camera.name,
        camera_facts(camera.age, camera.residual, camera.trouble, is_silent=camera.is_silent),
        camera.is_silent,
        camera.trouble,
    )


def _lens(camera: Intrinsics) -> tuple[float, float]:
    """Vertical angle of view, and width over height."""
    fov_rad = angle_of_view_rad(camera.height_px, camera.fy)
    return fov_rad, camera.width_px / camera.height_px


def _moved(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (points @ pose[:3, :3].T + pose[:3, 3]).astype(points.dtype)


def _joined(parts: list[_Points]) -> _Points:
    return np.concatenate([p for p, _ in parts]), np.concatenate([c for _, c in parts])


def _some(points: np.ndarray, colors: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """No more than are sent, from everywhere in the image and not always the same."""
    if len(points) <= most:
        return points, colors
    chosen = np.random.default_rng().choice(len(points), most, replace=False)
    return points[chosen], colors[chosen]


def _caption(num_people: int, number: int, stamp_ns: int) -> str:
    return f"{num_people} people, frame {number}, at {stamp_ns / 1e9:.2f} s"


def _start_process() -> tuple[subprocess.Popen, Connection]:
    """The page's process and the line to it; it ends when the line does."""
    ours, theirs = multiprocessing.Pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "human3r.viewer.web_live_process", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            # Ctrl-C is for whoever gives estimates; the page goes when the line does.
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    finally:
        theirs.close()
    return process, ours


def open_live_page(settings: Settings, body_model: BodyModel) -> LivePage:
    """The page that the settings ask for.

    Args:
        settings: ``web.port``, not below 0, ``web.host``, and the file of ``model.body_model``;
            empty: the one that comes with human3r.
        body_model: loaded from that file.

    Raises:
        Human3RError: as of ``LivePage``.
    """
    file = find_body_file(Path(settings.model.body_model or default_body_path()))
    weights = read_arrays(file, ("weights",))["weights"]
    return LivePage(
        body_model, weights, port=settings.web.port, host=settings.web.host, scene=settings.scene
    )
