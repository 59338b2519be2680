"""People of a stream: found in its images, and followed over time.

``LandmarkPeople`` are those of landmark networks and a fit of the body model, in metres: the other
way to people beside the recurrent network's own (``people.source``). It needs no trained human
branch, and its bodies are metric by themselves.

``StreamPeople`` goes from the people measured in single frames, by either way, to everything
published of them.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.mapping.level import LevelFrame
from human3r.people.close_ups import CloseUp, CloseUps
from human3r.people.finder import FinderOptions, FinderTiming, PeopleFinder
from human3r.people.fit.close_up_pose import CloseUpPoser
from human3r.people.fit.fitter import BodyFitter, FittedPerson
from human3r.people.fit.stature import FloorPlane
from human3r.people.landmarks import PersonLandmarks, person_map
from human3r.scale.apply import resized
from human3r.tracking.shape import MeanShapes
from human3r.tracking.tracks import Tracker
from human3r.tracking.uncertainty import (
    BodySurface,
    CovarianceModel,
    DepthView,
    PoseUncertainty,
    body_surface,
    joint_visibility,
)
from human3r.types import Frame, FrameEstimate, PersonEstimate, TrackedPerson

_SCENE_SIGMA, _MEASURED_SIGMA = 0.09, 0.03
"""Of depth at one person, by the depth network and by a depth camera: relative, and much the same
in every image."""

_Seen = tuple[list[PersonLandmarks], FinderTiming, list[CloseUp], dict[str, float]]

_NUM_ROTATIONS, _NUM_COEFFICIENTS = 53, 10


class LandmarkPeople:
    """Finds the people of each frame, then fits a body to each.

    In steps: looking for people needs nothing but the image, so a thread of its own does that
    beside the depth network and the frame before (``look``, ``find``); bodies are fitted knowing
    the camera's pose, which is measured outside of people (``fit``).
    """

    def __init__(
        self,
        body_model: BodyModel,
        settings: Settings,
        device: torch.device,
        beside: "LandmarkPeople | None" = None,
    ) -> None:
        """Start without people.

        Args:
            body_model: to be fitted, on ``device``.
            settings: ``people`` says how people are looked for.
            device: of the landmark networks.
            beside: people of another stream with the same settings, whose networks are shared.

        Raises:
            WeightsError: a file of a network is missing or damaged.
        """
        people = settings.people
        options = FinderOptions(
            detector=people.detector,
            landmarks=people.landmarks,
            detect_every=people.detect_every,
            max_people=people.max_regions,
            with_masks=True,
        )
        self._body_model = body_model
        self._device = device
        self._camera_height_m = settings.scale.camera_height_m
        self._finder = beside._finder.beside() if beside else PeopleFinder(options, device)
        self._fitter = BodyFitter(body_model, forget_s=people.forget_s or 5.0)
        self._close_ups = (
            beside._close_ups.beside()
            if beside
            else CloseUps(people.hands, people.face, people.max_regions, device)
        )
        self._poser = CloseUpPoser(body_model, hands=bool(people.hands), face=bool(people.face))
        self._thread = ThreadPoolExecutor(1, "landmarks")
        self._looking: dict[int, Future[_Seen]] = {}
        self._found: list[PersonLandmarks] = []
        self._found_close_ups: list[CloseUp] = []

    def warm_up(self, image: np.ndarray) -> None:
        """Run the networks on a made-up image, then forget it."""
        self._thread.submit(self._finder.warm_up, image).result()
        self._thread.submit(self._close_ups.warm_up).result()

    def look(self, frame: Frame) -> None:
        """Begin to look for the people of a frame; ``find`` waits for them.

        In the order of the stream; a frame that is looked at already is not looked at again.
        """
        if frame.stamp_ns not in self._looking:
            self._looking[frame.stamp_ns] = self._thread.submit(self._search, frame)

    def find(self, estimate: FrameEstimate) -> FrameEstimate:
        """The estimate with the mask of the people looked for, and without people as yet."""
        began_s = time.perf_counter()
        looking = self._taken(estimate.stamp_ns)
        seen: _Seen = looking.result() if looking else ([], FinderTiming(), [], {})
        self._found, timing, self._found_close_ups, close_up_timing = seen
        estimate.timings_s["wait"] = time.perf_counter() - began_s
        estimate.timings_s["detector"] = timing.detector
        estimate.timings_s["landmarks"] = timing.crops + timing.landmarks
        estimate.timings_s.update(close_up_timing)
        mask = person_map(self._found, estimate.geometry)
        return replace(estimate, people=(), num_left_out=0, person_probability=mask)

    def fit(
        self,
        estimate: FrameEstimate,
        level: LevelFrame,
        scale: float,
        max_count: int,
    ) -> FrameEstimate:
        """The estimate with a body in metres for each person found in its frame.

        Args:
            estimate: as of ``find``, in the network's unit.
            level: knows where up is, as far as that is known.
            scale: metres per unit of the network, as of the last frame.
            max_count: people kept at most, those of the highest scores.
        """
        began_s = time.perf_counter()
        up, floor = self._up_and_floor(estimate, level)
        fitted = self._fitter.update(
            estimate.stamp_ns,
            self._found,
            estimate.source_camera,
            floor=floor,
            up_camera=up,
            world_from_camera=_metric(estimate.world_from_camera, scale),
        )
        close_ups, camera = self._found_close_ups, estimate.source_camera
        fitted = self._poser.update(estimate.stamp_ns, fitted, close_ups, camera)
        people = list(self._estimates(fitted, estimate))
        left_out = sorted(people, key=lambda person: -person.score)[max_count:]
        people = [person for person in people if all(person is not other for other in left_out)]
        estimate.timings_s["fit"] = time.perf_counter() - began_s
        return replace(estimate, people=tuple(people), num_left_out=len(left_out))

    def compare(self, votes: dict[int, float], *, is_measured: bool) -> None:
        """Let a scene that is metric have a say in how tall people are.

        Args:
            votes: ``person_votes`` of the people of ``fit`` in that scene.
            is_measured: a depth camera's values, not the depth network's.
        """
        sigma, source = (_MEASURED_SIGMA, "depth") if is_measured else (_SCENE_SIGMA, "scene")
        self._fitter.compare(votes, sigma, source)

    def restart(self, begins_with: Frame | None = None) -> None:
        """A reset: all tracks are removed.

        Args:
            begins_with: the first frame of the new session, where the stream itself says so. Frames
                from it on may have been looked at already.
        """
        if begins_with is None or begins_with.stamp_ns not in self._looking:
            self._thread.submit(self._reset_search).result()
            self._looking.clear()
        self._fitter.reset()
        self._poser.reset()
        self._found = []

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _taken(self, stamp_ns: int) -> Future[_Seen] | None:
        """What is found in a frame; earlier frames, which were not asked for, are forgotten."""
        if stamp_ns not in self._looking:
            return None
        for earlier in list(self._looking):
            if earlier == stamp_ns:
                break
            del self._looking[earlier]
        return self._looking.pop(stamp_ns)

    def _search(self, frame: Frame) -> _Seen:
        """In the thread: whom a frame shows, and what finding them took."""
        if frame.begins_session:
            self._reset_search()
        people = self._finder(frame.image, stamp_ns=frame.stamp_ns)
        close_ups = self._close_ups(frame.image, people)
        return people, self._finder.timing, close_ups, self._close_ups.timing

    def _reset_search(self) -> None:
        self._finder.reset()
        self._close_ups.reset()

    def _up_and_floor(
        self, estimate: FrameEstimate, level: LevelFrame
    ) -> tuple[np.ndarray | None, FloorPlane | None]:
        if level.up_world is None:
            return None, None
        up = level.up_world @ estimate.world_from_camera[:3, :3]
        if self._camera_height_m <= 0 or not level.is_measured:
            return up, None
        return up, FloorPlane(up, self._camera_height_m)

    def _estimates(
        self, fitted: list[FittedPerson], estimate: FrameEstimate
    ) -> list[PersonEstimate]:
        if not fitted:
            return []
        parts = ("rotations", "betas", "expression", "head_camera")
        given = (np.stack([getattr(one.body, part) for one in fitted]) for part in parts)
        with torch.inference_mode():
            mesh = self._body_model(*(torch.from_numpy(a).to(self._device) for a in given))
        joints, vertices = mesh.joints.cpu().numpy(), mesh.vertices.cpu().numpy()
        camera = estimate.source_camera
        return [
            PersonEstimate(
                track_id=one.track_id,
                score=self._found[one.row].score,
                head_px=camera.project(one.body.head_camera).astype(np.float32),
                body=one.body,
                joints_camera=joints[index],
                vertices_camera=vertices[index],
                covariance=one.covariance.astype(np.float32).ravel(),
            )
            for index, one in enumerate(fitted)
        ]


class StreamPeople:
    """Numbers, constant shapes, visibility and covariances of one stream's people."""

    def __init__(
        self, body_model: BodyModel, tracker: Tracker, covariance: CovarianceModel | None
    ) -> None:
        """Start without people, but for the numbers that the tracker has given out.

        Args:
            body_model: makes the estimates' people.
            tracker: numbers people; may outlive the stream.
            covariance: of the network in use; without one every covariance is unknown.
        """
        self._body_model = body_model
        self._tracker = tracker
        self._shapes = MeanShapes()
        self._joint_indices = skeleton.published_joints(tuple(body_model.joint_names))
        self._surface = _rest_surface(body_model, self._joint_indices)
        self._uncertainty = PoseUncertainty(covariance)

    def update(self, estimate: FrameEstimate, settings: Settings) -> FrameEstimate:
        """One more frame, with all people known after it in ``tracked``.

        Args:
            estimate: newer than the one before, in metres; people carry the network's identities.
            settings: as of now.

        Returns:
            The estimate; its people carry their numbers, shapes that soon stand still, and the
            pose of the camera that saw them.
        """
        if settings.people.constant_shape:
            numbers = self._tracker.assign(estimate, settings.people)
            estimate = self._with_constant_shapes(estimate, numbers)
        pose = estimate.world_from_camera
        tracked = [
            replace(one, person=replace(one.person, track_id=one.number, world_from_camera=pose))
            for one in self._tracker.update(estimate, settings.people)
        ]
        tracked = self._with_statures(tracked, estimate.body_scale)
        if settings.people.visibility:
            tracked = self._with_visibility(tracked, estimate, settings)
        found = self._uncertainty.covariances(tracked, estimate)
        tracked = [replace(one, covariance=c) for one, c in zip(tracked, found, strict=True)]
        people = tuple(one.person for one in tracked if one.is_measured)
        return replace(estimate, people=people, tracked=tuple(tracked))

    def forget(self) -> None:
        """A reset of the world: whoever comes next is new."""
        self._tracker.forget()

    def _with_constant_shapes(self, estimate: FrameEstimate, numbers: list[int]) -> FrameEstimate:
        """Bones of one length: heads stay in their places, limbs keep their angles."""
        people = estimate.people
        if not people:
            return estimate
        rotations, measured, expression, head_camera = (
            np.stack([getattr(person.body, name) for person in people])
            for name in ("rotations", "betas", "expression", "head_camera")
        )
        betas = self._shapes.update(numbers, measured)
        with torch.inference_mode():
            given = (rotations, betas, expression, head_camera)
            mesh = self._body_model(*(torch.from_numpy(array) for array in given))
        joints, vertices = (
            resized(found.cpu().numpy(), head_camera, estimate.body_scale)
            for found in (mesh.joints, mesh.vertices)
        )
        posed = (_posed(*one) for one in zip(people, betas, joints, vertices, strict=True))
        return replace(estimate, people=tuple(posed))

    def _with_statures(self, tracked: list[TrackedPerson], scale: float) -> list[TrackedPerson]:
        if not tracked:
            return []
        betas = np.stack([one.person.body.betas for one in tracked])
        with torch.inference_mode():
            statures = self._body_model.stature(torch.from_numpy(betas)) * scale
        return [
            replace(one, stature_m=stature)
            for one, stature in zip(tracked, statures.tolist(), strict=True)
        ]

    def _with_visibility(
        self, tracked: list[TrackedPerson], estimate: FrameEstimate, settings: Settings
    ) -> list[TrackedPerson]:
        measured = [one.person for one in tracked if one.is_measured]
        is_person = estimate.person_probability >= settings.scene.mask_threshold
        view = DepthView(estimate.depth, is_person, estimate.intrinsics)
        found = joint_visibility(measured, self._joint_indices, self._surface, view)
        seen = [replace(one, visibility=v) for one, v in zip(tracked, found, strict=False)]
        return seen + tracked[len(seen) :]


def _metric(world_from_camera: np.ndarray, scale: float) -> np.ndarray:
    pose = world_from_camera.copy()
    pose[:3, 3] *= scale
    return pose


def _posed(
    person: PersonEstimate, betas: np.ndarray, joints: np.ndarray, vertices: np.ndarray
) -> PersonEstimate:
    body = replace(person.body, betas=betas)
    return replace(person, body=body, joints_camera=joints, vertices_camera=vertices)


def _rest_surface(body_model: BodyModel, joint_indices: np.ndarray) -> BodySurface:
    standing = torch.eye(3).expand(1, _NUM_ROTATIONS, 3, 3)
    average = torch.zeros(1, _NUM_COEFFICIENTS)
    with torch.inference_mode():
        mesh = body_model(standing, average, average, torch.zeros(1, 3))
    joints = mesh.joints[0, torch.from_numpy(joint_indices)]
    return body_surface(joints.cpu().numpy(), mesh.vertices[0].cpu().numpy())
