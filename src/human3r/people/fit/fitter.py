"""People of a stream as posed bodies: one fit per image, and what lasts from image to image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.errors import InputError, StreamOrderError
from human3r.people.fit.gauss_newton import (
    Bodies,
    CovarianceFactors,
    Evidence,
    FitSettings,
    Fitted,
    fit,
    pose_covariances,
)
from human3r.people.fit.landmark_body import LandmarkBody, Posed
from human3r.people.fit.observations import (
    Observations,
    evidence,
    expecting,
    observations,
    starting_bodies,
)
from human3r.people.fit.prior import LandmarkPrior, read_prior
from human3r.people.fit.stature import (
    SEEN_FOOT,
    FloorPlane,
    LogStature,
    StatureEstimate,
    stature_on_floor,
    statures_on_common_floor,
)
from human3r.people.fit.track import DepthFilter, FacingGuard, Sightings, Whereabouts, assign
from human3r.people.landmarks import PersonLandmarks
from human3r.types import BodyParameters, Intrinsics

_FEET = (29, 30, 31, 32)
_OTHERS = "others"
"""Source of statures: feet of the others, on the same floor."""
_LEFT_HIP, _RIGHT_HIP = 1, 2
_DEPTH_SIGMA = 0.035
"""Of a fitted distance from image to image, relative."""
_TURN_RATE_RAD_S, _TURN_SIGMA_RAD = 3.0, 0.06
"""How fast joints turn, and how exactly the last pose was known."""
_MAX_EXPECT_NS = 400_000_000
_MAX_TRACKS = 64
_SHAPE_SHARE = 1 / 30
"""Weight of one image's shape in a track's mean, once many were seen."""


@dataclass(frozen=True)
class FittedPerson:
    """One person of one image."""

    row: int
    """Index of the person's landmarks."""
    track_id: int
    """Stays with the person; never given away twice."""
    body: BodyParameters
    """For the body model of the fitter."""
    joints_camera: np.ndarray
    """(22, 3) float64 metres."""
    covariance: np.ndarray
    """(6, 6) of origin and rotation in the camera frame; see ``pose_covariances``."""
    stature_m: float
    stature_sigma: float
    """Relative standard deviation of ``stature_m``."""
    misfit: float
    """Root of the mean cost per residual, in standard deviations: below 1 for a good fit."""
    is_turned_back: bool
    """The landmarks claimed that the person had turned round at once; the fit refused that."""


@dataclass(frozen=True)
class _View:
    """What is known of an image beside its people."""

    stamp_ns: int
    camera: Intrinsics
    pose: np.ndarray
    """(4, 4): to the frame that stands still, from the camera."""
    up_camera: np.ndarray | None


@dataclass
class _Track:
    """What is remembered of a person."""

    track_id: int
    stature: StatureEstimate
    where: Whereabouts = field(default_factory=Whereabouts)
    depth: DepthFilter = field(default_factory=DepthFilter)
    facing: FacingGuard = field(default_factory=FacingGuard)
    rotations: np.ndarray | None = None
    """(22, 3, 3) as last fitted, the root to the frame that stands still."""
    betas: np.ndarray | None = None
    """(10,) mean shape."""
    sightings: int = 0

    def update_shape(self, betas: np.ndarray) -> None:
        self.sightings += 1
        share = max(1 / self.sightings, _SHAPE_SHARE)
        self.betas = betas if self.betas is None else self.betas + share * (betas - self.betas)


class BodyFitter:
    """Fits bodies to the landmarks of a stream's images, and says who is who.

    Everything follows from what it is given: the same images give the same people.
    """

    def __init__(
        self,
        model: BodyModel,
        prior: LandmarkPrior | None = None,
        *,
        stature: LogStature | None = None,
        settings: FitSettings | None = None,
        factors: CovarianceFactors | None = None,
        forget_s: float = 3.0,
    ) -> None:
        """Start without people.

        Args:
            model: of the bodies to give back.
            prior: of poses and of the landmark network's errors; the bundled one.
            stature: of the people to expect, where that is known.
            settings: of the fit.
            factors: calibration of the covariance.
            forget_s: who is unseen for longer is forgotten.
        """
        self._prior = prior or read_prior()
        self._body = LandmarkBody(model, self._prior.image_offsets_m, self._prior.world_offsets_m)
        self._settings = settings or FitSettings()
        self._factors = factors or CovarianceFactors()
        self._configured, self._forget_s = stature, forget_s
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._last_ns: int | None = None

    def reset(self) -> None:
        """All tracks are removed; numbering continues."""
        self._tracks, self._last_ns = [], None

    def update(
        self,
        stamp_ns: int,
        landmarks: Sequence[PersonLandmarks],
        camera: Intrinsics,
        *,
        floor: FloorPlane | None = None,
        up_camera: np.ndarray | None = None,
        world_from_camera: np.ndarray | None = None,
        tokens: np.ndarray | None = None,
    ) -> list[FittedPerson]:
        """The people of an image.

        Args:
            stamp_ns: of the image, after the last one's.
            landmarks: of its people; whoever has too few finite ones is left out.
            camera: of the source image.
            floor: where the floor is, if that is known.
            up_camera: (3,) unit vector against gravity, camera frame, if known without a floor.
            world_from_camera: (4, 4) the camera's pose, if known: tells its motion from people's.
            tokens: (people, width) per person, alike while a person is the same.

        Raises:
            StreamOrderError: the image is not newer than the last one.
            InputError: ``tokens`` are not of these people.
        """
        self._check(stamp_ns, landmarks, tokens)
        self._last_ns = stamp_ns
        self._forget(stamp_ns)
        seen = observations(landmarks)
        if not len(seen):
            return []
        pose = np.eye(4) if world_from_camera is None else np.asarray(world_from_camera, float)
        numbers = np.array([landmarks[row].track for row in seen.rows])
        tracks = self._by_number(numbers)
        up = floor.up if floor is not None else up_camera
        view = _View(stamp_ns, camera, pose, up)
        fitted, turned, is_fresh = self._fit(seen, tracks, view)
        own_tokens = None if tokens is None else np.asarray(tokens, float)[seen.rows]
        sightings = Sightings(
            fitted.bodies.places @ pose[:3, :3].T + pose[:3, 3],
            self._body.stature(fitted.bodies.betas),
            pose[:3, 3],
            numbers,
            own_tokens,
        )
        tracks = self._named(sightings, stamp_ns)
        bodies = self._sized(fitted.bodies, tracks, seen, floor, view)
        for i, track in enumerate(tracks):
            track.where.update(sightings, i, stamp_ns, track.stature.metres)
        return self._people(replace(fitted, bodies=bodies), tracks, seen, turned, is_fresh, view)

    def compare(
        self, log_body_over_scene: Mapping[int, float], relative_sigma: float, source: str
    ) -> None:
        """Take in how far off a metric scene is where the people of the last image are seen.

        It sharpens their statures from the next image on.

        Args:
            log_body_over_scene: by track number, logarithm of a body's depth over the scene's.
            relative_sigma: of the scene's depth at one person, about the same in every image.
            source: where that depth comes from.
        """
        for track in self._tracks:
            if track.track_id in log_body_over_scene:
                log_stature = math.log(track.stature.metres) - log_body_over_scene[track.track_id]
                track.stature.observe_lasting(source, LogStature(log_stature, relative_sigma))

    def _check(
        self,
        stamp_ns: int,
        landmarks: Sequence[PersonLandmarks],
        tokens: np.ndarray | None,
    ) -> None:
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            raise StreamOrderError(
                f"image of {stamp_ns} ns after one of {self._last_ns} ns; expected a newer one. "
                "Call reset() when a stream begins again."
            )
        if tokens is not None and len(tokens) != len(landmarks):
            raise InputError(
                f"tokens of {len(tokens)} people; expected {len(landmarks)}, one per person. "
                "Give them in the order of the landmarks."
            )

    def _forget(self, stamp_ns: int) -> None:
        kept = [t for t in self._tracks if t.where.unseen_s(stamp_ns) <= self._forget_s]
        kept.sort(key=lambda track: track.where.stamps_ns[-1])
        self._tracks = kept[-_MAX_TRACKS:]

    def _by_number(self, numbers: np.ndarray) -> list[_Track | None]:
        """Tracks as the finder of the regions has it: where a fit begins."""
        known = {track.where.number: track for track in self._tracks if track.where.number >= 0}
        return [known.get(int(number)) for number in numbers]

    def _fit(
        self, seen: Observations, tracks: list[_Track | None], view: _View
    ) -> tuple[Fitted, np.ndarray, np.ndarray]:
        """Bodies, and what ``_facings`` says."""
        betas = self._betas(tracks)
        start, given = self._start(seen, betas, view)
        turned, is_fresh = self._facings(start, tracks, view)
        if turned.any():
            start, given = self._start(seen.other_way_round(turned), betas, view)
        expected = [None if fresh else t for t, fresh in zip(tracks, is_fresh, strict=True)]
        given = self._expecting(given, expected, view)
        return fit(self._body, self._prior, given, start, self._settings), turned, is_fresh

    def _start(self, seen: Observations, betas: np.ndarray, view: _View) -> tuple[Bodies, Evidence]:
        given = evidence(self._body, self._prior, seen, view.camera, betas, view.up_camera)
        return starting_bodies(self._body, self._prior, given), given

    def _facings(
        self, start: Bodies, tracks: list[_Track | None], view: _View
    ) -> tuple[np.ndarray, np.ndarray]:
        """(people,) bool: whose half turn is refused; who faces anew, believed or unknown before.

        Looks at where landmarks alone turn the trunk, before the last pose has a say.
        """
        turned, is_fresh = np.zeros(len(tracks), bool), np.ones(len(tracks), bool)
        for i, track in enumerate(tracks):
            if track is None:
                continue
            root = view.pose[:3, :3] @ start.rotations[i, 0]
            is_flip = track.facing.is_flip(root, view.stamp_ns)
            turned[i] = is_flip and not track.facing.persists(view.stamp_ns)
            is_fresh[i] = is_flip and not turned[i]
        return turned, is_fresh

    def _betas(self, tracks: list[_Track | None]) -> np.ndarray:
        unknown = StatureEstimate.unknown(self._configured).metres
        statures = np.array([unknown if t is None else t.stature.metres for t in tracks])
        none = np.zeros(NUM_BETAS)
        shapes = np.stack([none if t is None or t.betas is None else t.betas for t in tracks])
        return self._body.betas_of_stature(statures, shapes)

    def _expecting(self, given: Evidence, tracks: list[_Track | None], view: _View) -> Evidence:
        """What the last poses let expect, the less the longer ago they were."""
        rotations, weights = given.rotations.copy(), given.rotation_weights.copy()
        for i, track in enumerate(tracks):
            if track is None or track.rotations is None:
                continue
            gap_ns = view.stamp_ns - track.where.stamps_ns[-1]
            if gap_ns > _MAX_EXPECT_NS:
                continue
            rotations[i] = track.rotations
            rotations[i, 0] = view.pose[:3, :3].T @ track.rotations[0]
            weights[i] = 1 / np.hypot(_TURN_SIGMA_RAD, _TURN_RATE_RAD_S * gap_ns * 1e-9)
        return expecting(given, rotations, weights)

    def _named(self, sightings: Sightings, stamp_ns: int) -> list[_Track]:
        """Each person's track, new ones for who is new."""
        found = assign([track.where for track in self._tracks], sightings, stamp_ns)
        tracks = [self._tracks[index] if index >= 0 else self._begin() for index in found]
        self._tracks += [track for track, index in zip(tracks, found, strict=True) if index < 0]
        return tracks

    def _begin(self) -> _Track:
        track = _Track(self._next_id, StatureEstimate.unknown(self._configured))
        self._next_id += 1
        return track

    def _sized(
        self,
        bodies: Bodies,
        tracks: list[_Track],
        seen: Observations,
        floor: FloorPlane | None,
        view: _View,
    ) -> Bodies:
        """Bodies as tall as their tracks say after this image, and as far off as that means."""
        posed = self._body.pose(bodies.rotations, bodies.betas)
        statures = self._body.stature(bodies.betas)
        if view.up_camera is not None:
            soles, weights = self._soles(posed, bodies, seen)
            if floor is None:
                self._compare_feet(soles, weights, statures, tracks, view.up_camera)
            else:
                for i, track in enumerate(tracks):
                    found = stature_on_floor(soles[i], weights[i], float(statures[i]), floor)
                    if found is not None:
                        track.stature.observe("floor", found, view.stamp_ns)
        wanted = np.array([track.stature.metres for track in tracks])
        return replace(
            bodies,
            betas=self._body.betas_of_stature(wanted, bodies.betas),
            places=bodies.places * (wanted / statures)[:, None],
        )

    def _soles(
        self, posed: Posed, bodies: Bodies, seen: Observations
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points of the soles (people, 4, 3), and how well each is seen (people, 4)."""
        rows = [r for r, landmark in enumerate(self._body.used) if landmark in _FEET]
        points = posed.marks[:, rows] + bodies.places[:, None]
        return points, seen.seen[:, self._body.used[rows]]

    def _compare_feet(
        self,
        soles: np.ndarray,
        weights: np.ndarray,
        statures: np.ndarray,
        tracks: list[_Track],
        up_camera: np.ndarray,
    ) -> None:
        """Let the feet of all say how tall each is against the others."""
        heights = np.where(weights > SEEN_FOOT, soles @ up_camera, np.inf)
        lowest = heights.argmin(1)
        found = statures_on_common_floor(
            soles[np.arange(len(soles)), lowest],
            np.isfinite(heights.min(1)),
            statures,
            [track.stature.without(_OTHERS) for track in tracks],
            up_camera,
        )
        for i, value in found.items():
            tracks[i].stature.observe_lasting(_OTHERS, value)

    def _people(
        self,
        fitted: Fitted,
        tracks: list[_Track],
        seen: Observations,
        turned: np.ndarray,
        is_fresh: np.ndarray,
        view: _View,
    ) -> list[FittedPerson]:
        pose, stamp_ns = view.pose, view.stamp_ns
        bodies = self._smoothed(fitted.bodies, tracks, stamp_ns)
        fitted = replace(fitted, bodies=bodies)
        posed = self._body.pose(bodies.rotations, bodies.betas)
        sigmas = np.array([track.stature.relative_sigma for track in tracks])
        roots = posed.rotations[:, 0]
        misfits = np.sqrt(fitted.equations.cost / (5.0 * self._body.num_marks))
        covariances = pose_covariances(fitted, roots, _hips(posed), sigmas, misfits, self._factors)
        joints = posed.joints + bodies.places[:, None]
        people = []
        for i, track in enumerate(tracks):
            track.update_shape(bodies.betas[i])
            track.rotations = bodies.rotations[i].copy()
            track.rotations[0] = pose[:3, :3] @ track.rotations[0]  # pyright: ignore[reportOptionalSubscript]
            track.facing.believe(
                track.rotations[0],  # pyright: ignore[reportOptionalSubscript]
                stamp_ns,
                was_refused=bool(turned[i]),
                is_new=bool(is_fresh[i]),
            )
            people.append(
                FittedPerson(
                    row=int(seen.rows[i]),
                    track_id=track.track_id,
                    body=_parameters(bodies, joints, i),
                    joints_camera=joints[i],
                    covariance=covariances[i],
                    stature_m=track.stature.metres,
                    stature_sigma=float(sigmas[i]),
                    misfit=float(misfits[i]),
                    is_turned_back=bool(turned[i]),
                )
            )
        return people

    def _smoothed(self, bodies: Bodies, tracks: list[_Track], stamp_ns: int) -> Bodies:
        """Bodies slid along their rays to where their distances over time say."""
        statures = np.array([track.stature.metres for track in tracks])
        places = bodies.places.copy()
        for i, track in enumerate(tracks):
            raw = places[i, 2] / statures[i]
            places[i] *= track.depth.update(raw, _DEPTH_SIGMA, stamp_ns) / raw
        return replace(bodies, places=places)


def _hips(posed: Posed) -> np.ndarray:
    """(people, 3) metres from the pelvis to midway between the hip joints."""
    return posed.joints[:, [_LEFT_HIP, _RIGHT_HIP]].mean(1)


def _parameters(bodies: Bodies, joints: np.ndarray, person: int) -> BodyParameters:
    rotations = np.tile(np.eye(3, dtype=np.float32), (skeleton.NUM_ROTATIONS, 1, 1))
    rotations[: bodies.rotations.shape[1]] = bodies.rotations[person]
    return BodyParameters(
        rotations=rotations,
        betas=bodies.betas[person].astype(np.float32),
        expression=np.zeros(NUM_EXPRESSIONS, np.float32),
        head_camera=joints[person, skeleton.HEAD].astype(np.float32),
    )
