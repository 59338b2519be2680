"""People of a stream as posed bodies: one fit per image, and what lasts from image to image.

Who is who: regions are followed from image to image by whoever found them; that holds until two
people cross or one is hidden for a while. Then places in space tell who is who: people do not jump,
and two who cross in the image pass each other at different distances.

Which way a body faces: people do not turn round between two images. Seen from afar a body from the
front and one from behind look alike, and a landmark network takes one for the other occasionally.
Its answer is then another body's: left and right exchanged, and near and far. Undoing both gives
back landmarks to fit.

How far off: a Kalman filter of the logarithm of the distance and of that logarithm's rate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

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
    LandmarkBody,
    Posed,
    fit,
    pose_covariances,
)
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
from human3r.people.landmarks import PersonLandmarks
from human3r.tracking.tracks import fit_velocity
from human3r.types import BodyParameters, Intrinsics

_WINDOW_NS = 700_000_000
_MAX_AHEAD_S = 1.0
"""A velocity is not carried on for longer."""
_ACROSS_M, _ALONG = 0.15, 0.12
"""Standard deviations of a place: across the ray in metres, along it relative to the distance."""
_WANDER_M_S = 0.8
"""How fast a prediction grows unsure."""
_GATE, _LINKED_GATE = 12.0, 60.0
"""Squared standard deviations beyond which it is another person: in general, and where the
finder of regions says they are the same."""
_LINK = 6.0
"""What that word is worth where others are as near."""
_TOKEN = 4.0
"""And a token's distance (1 - cosine)."""
_IMPOSSIBLE = 1e6

_FREE_RAD, _MAX_RATE_RAD_S = math.radians(75), 6.0
"""A turn that is always believed, and how fast one may turn on top of it."""
_MAX_TURN_RAD = math.radians(150)
_PERSIST_FRAMES, _PERSIST_NS = 4, 600_000_000
"""A claim that lasts for both is believed; sooner where the old facing was seen for less."""
_MAX_GAP_NS = 1_000_000_000

_PUSH = 0.25
"""Spectral density of the rate's random walk, 1/s per root of a second: people start and stop."""
_FIRST_RATE_SIGMA = 0.3
_MAX_GAP_S = 2.0
"""After a longer gap nothing is left to predict."""


@dataclass
class Whereabouts:
    """Where a person was lately, in a frame that stands still as far as that is known."""

    stamps_ns: list[int] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    number: int = -1
    """Of the region, as its finder counts."""
    token: np.ndarray | None = None

    stature_m: float = 1.0
    """With which ``places`` are right: a taller person who looks the same is farther off."""

    def update(self, seen: "Sightings", person: int, stamp_ns: int, stature_m: float) -> None:
        """Remember a sighting of this one, and how tall they are known to be by now."""
        factor = stature_m / self.stature_m
        self.places = [seen.camera + factor * (place - seen.camera) for place in self.places]
        self.stature_m = stature_m
        self.places.append(seen.places_of(stature_m)[person])
        self.stamps_ns.append(stamp_ns)
        old = sum(stamp < stamp_ns - _WINDOW_NS for stamp in self.stamps_ns)
        del self.stamps_ns[:old], self.places[:old]
        self.number = int(seen.numbers[person])
        self.token = self.token if seen.tokens is None else seen.tokens[person]

    def unseen_s(self, stamp_ns: int) -> float:
        """Time since the last sighting."""
        return max(0.0, (stamp_ns - self.stamps_ns[-1]) * 1e-9)

    def expected(self, stamp_ns: int) -> np.ndarray:
        """(3,) where the person should be by now."""
        if self.stamps_ns[-1] - self.stamps_ns[0] < _WINDOW_NS // 3:
            return self.places[-1]
        velocity = fit_velocity(np.array(self.stamps_ns), np.array(self.places))
        return self.places[-1] + velocity * min(self.unseen_s(stamp_ns), _MAX_AHEAD_S)


@dataclass(frozen=True)
class Sightings:
    """People of one image, unnamed."""

    places: np.ndarray
    """(people, 3) metres, in the frame of ``Whereabouts``."""
    statures_m: np.ndarray
    """(people,) with which they were fitted."""
    camera: np.ndarray
    """(3,) the camera's place in that frame."""
    numbers: np.ndarray
    """(people,) of their regions; -1 for new ones."""
    tokens: np.ndarray | None = None
    """(people, width) anything that stays alike while a person is the same; optional."""

    def places_of(self, stature_m: float) -> np.ndarray:
        """(people, 3) where each person would be with this stature."""
        factors = (stature_m / self.statures_m)[:, None]
        return self.camera + factors * (self.places - self.camera)


def assign(known: list[Whereabouts], seen: Sightings, stamp_ns: int) -> np.ndarray:
    """(people,) index into ``known`` of all seen, -1 for who is new; none twice.

    Source: the assignment of least total cost, Kuhn 1955, with a gate on each pair.
    """
    found = np.full(len(seen.places), -1)
    if not known or not len(found):
        return found
    costs = np.stack([_costs(one, seen, stamp_ns) for one in known])
    rows, columns = linear_sum_assignment(costs)
    is_same = costs[rows, columns] < _IMPOSSIBLE
    found[columns[is_same]] = rows[is_same]
    return found


def turn_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in rad between the fronts of two root rotations (3, 3), about the body's long axis."""
    relative = a.T @ b
    return abs(math.atan2(relative[0, 2], relative[2, 2]))


@dataclass
class FacingGuard:
    """Of one track: remembers the last facing, and since when another one is claimed."""

    root: np.ndarray | None = None
    """(3, 3) as last believed, in a frame that does not turn with the camera."""
    _seen_ns: int = 0
    _sightings: int = 0
    """In a row, of the facing believed."""
    _since_ns: int = 0
    _until_ns: int = 0
    """First and last of these."""
    _claims: int = 0
    _claimed_since_ns: int = 0

    def is_flip(self, root: np.ndarray, stamp_ns: int) -> bool:
        """Whether a root rotation (3, 3) faces where a person cannot turn to in this time."""
        gap_ns = stamp_ns - self._seen_ns
        if self.root is None or not 0 <= gap_ns <= _MAX_GAP_NS:
            return False
        limit = min(_FREE_RAD + _MAX_RATE_RAD_S * gap_ns * 1e-9, _MAX_TURN_RAD)
        return turn_between(self.root, root) > limit

    def persists(self, stamp_ns: int) -> bool:
        """Count one more image that claims another facing; True once it is to be believed."""
        if not self._claims:
            self._claimed_since_ns = stamp_ns
        self._claims += 1
        lasted_ns = stamp_ns - self._claimed_since_ns
        held_ns = self._until_ns - self._since_ns
        is_often = self._claims >= min(_PERSIST_FRAMES, self._sightings)
        return is_often and lasted_ns >= min(_PERSIST_NS, held_ns)

    def believe(
        self,
        root: np.ndarray,
        stamp_ns: int,
        *,
        was_refused: bool = False,
        is_new: bool = False,
    ) -> None:
        """Remember a facing.

        Args:
            root: (3, 3) of the body as fitted.
            stamp_ns: of the image.
            was_refused: the image claimed another facing.
            is_new: the facing is another than before, or the first.
        """
        self.root, self._seen_ns = root, stamp_ns
        if was_refused:
            return
        self._claims, self._until_ns = 0, stamp_ns
        if is_new:
            self._sightings, self._since_ns = 0, stamp_ns
        self._sightings += 1


@dataclass
class DepthFilter:
    """Distance relative to stature, any frame rate, gaps allowed.

    Relative to stature, because a better knowledge of the stature moves the body at once and says
    nothing about how it moves.

    Source: Kalman 1960; constant-velocity model with white acceleration.
    """

    push: float = _PUSH
    _state: np.ndarray | None = field(default=None, init=False)
    _covariance: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)), init=False)
    _last_ns: int = field(default=0, init=False)

    def update(self, distance: float, relative_sigma: float, stamp_ns: int) -> float:
        """The filtered distance after a measurement.

        Args:
            distance: any positive measure of it, in the same unit every time.
            relative_sigma: standard deviation of this measurement from image to image.
            stamp_ns: not before the last one.
        """
        measured = math.log(distance)
        gap_s = (stamp_ns - self._last_ns) * 1e-9
        if self._state is None or not 0 <= gap_s <= _MAX_GAP_S:
            self._state = np.array([measured, 0.0])
            self._covariance = np.diag([relative_sigma**2, _FIRST_RATE_SIGMA**2])
            self._last_ns = stamp_ns
            return distance
        state, covariance = self._predicted(gap_s)
        gain = covariance[:, 0] / (covariance[0, 0] + relative_sigma**2)
        self._state = state + gain * (measured - state[0])
        self._covariance = covariance - np.outer(gain, covariance[0])
        self._last_ns = stamp_ns
        return math.exp(self._state[0])  # pyright: ignore[reportOptionalSubscript]

    def _predicted(self, gap_s: float) -> tuple[np.ndarray, np.ndarray]:
        step = np.array([[1.0, gap_s], [0.0, 1.0]])
        noise = np.array([[gap_s**3 / 3, gap_s**2 / 2], [gap_s**2 / 2, gap_s]])
        covariance = step @ self._covariance @ step.T + self.push**2 * noise
        return step @ self._state, covariance


def _costs(one: Whereabouts, seen: Sightings, stamp_ns: int) -> np.ndarray:
    """(people,) squared standard deviations, less for those the finder says are this one."""
    places = seen.places_of(one.stature_m)
    rays = places - seen.camera
    distances = np.maximum(np.linalg.norm(rays, axis=1), 0.1)
    apart = places - one.expected(stamp_ns)
    along = (apart * rays).sum(1) / distances
    across = np.sqrt(np.maximum((apart**2).sum(1) - along**2, 0.0))
    wander = _WANDER_M_S * one.unseen_s(stamp_ns)
    away = (along / np.hypot(_ALONG * distances, wander)) ** 2
    away += (across / np.hypot(_ACROSS_M, wander)) ** 2
    if one.token is not None and seen.tokens is not None:
        lengths = np.linalg.norm(seen.tokens, axis=1) * np.linalg.norm(one.token)
        away += _TOKEN * (1 - seen.tokens @ one.token / np.maximum(lengths, 1e-9))
    is_linked = (seen.numbers == one.number) & (one.number >= 0)
    gate = np.where(is_linked, _LINKED_GATE, _GATE)
    return np.where(away < gate, away - _LINK * is_linked, _IMPOSSIBLE)


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
