"""People over time: who is who, numbers that never come twice, and where those out of sight may be.

From frame to frame remembered and seen tokens are matched by optimal transport. Everything follows
from stamps and estimates alone, so a recording gives what the live stream gave.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from human3r.config import PeopleSettings
from human3r.geometry import invert, transform_points
from human3r.types import FrameEstimate, PersonEstimate, TrackedPerson, TrackState

_DUSTBIN_SCORE = -10.0
_SINKHORN_ROUNDS = 20
_MIN_PROBABILITY = 0.2


@dataclass(frozen=True)
class TrackMemory:
    """The people remembered; every change gives a new object.

    Attributes:
        tokens: float32, one row per person as last seen.
        track_ids: their identities.
        seen_ns: stamps of the frames they were last seen in.
        next_id: the next identity to give away; never falls.
    """

    tokens: Float[np.ndarray, "people width"]
    track_ids: Int[np.ndarray, " people"]
    seen_ns: Int[np.ndarray, " people"]
    next_id: int = 0

    @classmethod
    def empty(cls, width: int, next_id: int = 0) -> "TrackMemory":
        """No person remembered."""
        nobody = np.zeros(0, np.int64)
        return cls(np.zeros((0, width), np.float32), nobody, nobody, next_id)

    def __len__(self) -> int:
        return len(self.track_ids)


def associate(
    memory: TrackMemory, tokens: Float[np.ndarray, "people width"], stamp_ns: int
) -> tuple[Int[np.ndarray, " people"], TrackMemory]:
    """Identities of the people of one frame, and the memory after it.

    Args:
        memory: who was seen before.
        tokens: decoded human tokens of the frame, one per person.
        stamp_ns: of the frame.

    Returns:
        Track ids in the order of ``tokens``; the memory with this frame's people first. A frame
        without people changes nothing.
    """
    num_people = len(tokens)
    if num_people == 0:
        return np.zeros(0, np.int64), memory
    tokens = np.asarray(tokens, np.float32)
    track_ids = np.full(num_people, -1, np.int64)
    remembered, seen = match(memory.tokens, tokens)
    track_ids[seen] = memory.track_ids[remembered]
    new = track_ids < 0
    num_new = int(new.sum())
    track_ids[new] = memory.next_id + np.arange(num_new)
    unmatched = np.ones(len(memory), bool)
    unmatched[remembered] = False
    return track_ids, TrackMemory(
        tokens=np.concatenate((tokens, memory.tokens[unmatched])),
        track_ids=np.concatenate((track_ids, memory.track_ids[unmatched])),
        seen_ns=np.concatenate(
            (np.full(num_people, stamp_ns, np.int64), memory.seen_ns[unmatched])
        ),
        next_id=memory.next_id + num_new,
    )


def forget(memory: TrackMemory, stamp_ns: int, forget_s: float) -> TrackMemory:
    """The memory without people unseen for longer than ``forget_s``; 0 keeps all.

    A person last seen in the future, as after a jump of the clock, counts as seen now.
    """
    if forget_s == 0 or len(memory) == 0:
        return memory
    seen_ns = np.minimum(memory.seen_ns, stamp_ns)
    kept = stamp_ns - seen_ns <= round(forget_s * 1e9)
    return TrackMemory(memory.tokens[kept], memory.track_ids[kept], seen_ns[kept], memory.next_id)


def match(
    remembered: Float[np.ndarray, "known width"], seen: Float[np.ndarray, "people width"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Rows of ``remembered`` and of ``seen`` that belong together, at most one of each."""
    if not len(remembered) or not len(seen):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    scores = -cdist(remembered.astype(np.float64), seen.astype(np.float64))
    log_plan = log_transport(scores, _DUSTBIN_SCORE)[:-1, :-1]
    best_seen = log_plan.argmax(axis=1)
    best_remembered = log_plan.argmax(axis=0)
    rows = np.arange(len(remembered))
    mutual = best_remembered[best_seen] == rows
    likely = log_plan[rows, best_seen] > np.log(_MIN_PROBABILITY)
    pairs = rows[mutual & likely]
    return pairs, best_seen[pairs]


def log_transport(
    scores: Float[np.ndarray, "rows columns"],
    dustbin_score: float,
    rounds: int = _SINKHORN_ROUNDS,
) -> Float[np.ndarray, "rows_and_bin columns_and_bin"]:
    """Logarithm of the transport plan between rows and columns, with a dustbin on each side.

    Every row and column has mass 1, each dustbin the mass of the whole other side.

    Source: Sinkhorn 1967 in the log domain; dustbins: Sarlin et al. 2020, "SuperGlue", eq. 8-10.
    """
    num_rows, num_columns = scores.shape
    couplings = np.pad(scores.astype(np.float64), ((0, 1), (0, 1)), constant_values=dustbin_score)
    norm = -np.log(num_rows + num_columns)
    log_row_mass = np.full(num_rows + 1, norm)
    log_row_mass[-1] += np.log(num_columns)
    log_column_mass = np.full(num_columns + 1, norm)
    log_column_mass[-1] += np.log(num_rows)
    u, v = np.zeros(num_rows + 1), np.zeros(num_columns + 1)
    for _ in range(rounds):
        u = log_row_mass - _log_sum_exp(couplings + v, axis=1)
        v = log_column_mass - _log_sum_exp(couplings + u[:, None], axis=0)
    return couplings + u[:, None] + v - norm


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    """As SciPy's ``logsumexp``, whose checks take a hundred times longer at these sizes."""
    largest = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis=axis)) + largest.squeeze(axis)


def fit_velocity(
    stamps_ns: Int[np.ndarray, " samples"], places_m: Float[np.ndarray, "samples 3"]
) -> Float[np.ndarray, "3"]:
    """The velocity of the straight line that fits places over time best, in m/s.

    Args:
        stamps_ns: at least two different stamps.
        places_m: where it was then, in one frame that stands still.

    Source: ordinary least squares; the slope of a line.
    """
    # Relative to the last stamp first: absolute nanoseconds do not fit a float.
    times_s = (stamps_ns - stamps_ns[-1]) * 1e-9
    times_s = times_s - times_s.mean()
    return times_s @ (places_m - places_m.mean(axis=0)) / (times_s @ times_s)


def camera_from_past(
    world_from_camera: Float[np.ndarray, "4 4"],
    world_from_past_camera: Float[np.ndarray, "4 4"],
    moved_world_m: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "4 4"]:
    """Takes what a camera saw then to where it should be for the camera of now.

    Args:
        world_from_camera: pose now.
        world_from_past_camera: pose then.
        moved_world_m: how far it went since, along the world's axes; it does not turn.
    """
    world_from_past = world_from_past_camera.copy()
    world_from_past[:3, 3] += moved_world_m
    return invert(world_from_camera) @ world_from_past


def move(person: PersonEstimate, a_from_b: Float[np.ndarray, "4 4"]) -> PersonEstimate:
    """A person in b as a person in a, unchanged in pose; the head's pixel is unknown then."""
    body = person.body
    rotations = body.rotations.copy()
    rotations[0] = a_from_b[:3, :3] @ rotations[0]
    return replace(
        person,
        head_px=np.full(2, np.nan, np.float32),
        body=replace(
            body, rotations=rotations, head_camera=transform_points(a_from_b, body.head_camera)
        ),
        joints_camera=transform_points(a_from_b, person.joints_camera),
        vertices_camera=transform_points(a_from_b, person.vertices_camera),
        covariance=_turned(person.covariance, a_from_b[:3, :3]),
    )


def _turned(covariance: np.ndarray | None, a_from_b: np.ndarray) -> np.ndarray | None:
    """A covariance (36,) of place and rotation along the axes of another frame."""
    if covariance is None:
        return None
    turn = np.kron(np.eye(2), a_from_b)
    return (turn @ covariance.reshape(6, 6) @ turn.T).astype(np.float32).ravel()


_LEFT_HIP, _RIGHT_HIP = 1, 2
_SAME_PLACE_M = 0.5
"""No two people stand closer, so who appears so near to a prediction is the one predicted."""


def body_origin(person: PersonEstimate) -> Float[np.ndarray, "3"]:
    """Midway between the hip joints: the origin of REP 155's body frame; camera frame, metres."""
    return (person.joints_camera[_LEFT_HIP] + person.joints_camera[_RIGHT_HIP]).astype(float) / 2


@dataclass
class _Track:
    """What is remembered of a person."""

    number: int
    first_seen_ns: int
    first_frame: int
    sightings: int = 0
    is_confirmed: bool = False
    person: PersonEstimate = field(init=False)
    """As last measured."""
    world_from_camera: np.ndarray = field(init=False)
    """Of the last measurement."""
    stamps_ns: list[int] = field(default_factory=list)
    places_world: list[np.ndarray] = field(default_factory=list)

    def add(
        self, person: PersonEstimate, estimate: FrameEstimate, settings: PeopleSettings
    ) -> None:
        pose, origin = estimate.world_from_camera, body_origin(person)
        self.person, self.world_from_camera = person, pose
        self.sightings += 1
        self.is_confirmed |= self.sightings >= settings.confirm_frames
        self.stamps_ns.append(estimate.stamp_ns)
        self.places_world.append(pose[:3, :3] @ origin + pose[:3, 3])
        oldest_ns = estimate.stamp_ns - round(settings.velocity_window_s * 1e9)
        old = sum(stamp_ns < oldest_ns for stamp_ns in self.stamps_ns)
        del self.stamps_ns[:old], self.places_world[:old]

    def velocity_world(self, settings: PeopleSettings) -> np.ndarray | None:
        """m/s as last measured; None while less than half of the window is known."""
        known_ns = self.stamps_ns[-1] - self.stamps_ns[0]
        if known_ns < 0.5e9 * settings.velocity_window_s:
            return None
        return fit_velocity(np.array(self.stamps_ns, np.int64), np.array(self.places_world))

    def moved_world(self, stamp_ns: int, settings: PeopleSettings) -> np.ndarray:
        """How far the person should have gone since the last measurement, metres."""
        velocity = self.velocity_world(settings)
        if velocity is None:
            return np.zeros(3)
        return velocity * ((stamp_ns - self.stamps_ns[-1]) * 1e-9)

    def may_coast(self, stamp_ns: int, settings: PeopleSettings) -> bool:
        unseen_ns = stamp_ns - self.stamps_ns[-1]
        return self.is_confirmed and unseen_ns <= round(settings.coast_s * 1e9)


class Tracker:
    """Gives every person a number that lasts, and says where they are while out of sight.

    Who is who the network says; see ``associate``. A number is confirmed after
    some frames in a row, coasts while its person is not seen, and is lost after a while: said
    once, and never again. At most ``people.max_count`` people are remembered.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        """By the network's identity."""
        self._next_number = 0
        self._offset = 0
        self._frames = 0
        self.next_session = 0
        """Sessions are numbered over the life of the tracker too: the next network begins here."""

    def begin_network(self) -> None:
        """A new network counts its people from 0 again; our numbers go on."""
        self._offset = self._next_number
        self._tracks.clear()

    def forget(self) -> None:
        """A reset: whoever comes next is new, and nothing more is published about the others."""
        self._tracks.clear()

    def assign(self, estimate: FrameEstimate, settings: PeopleSettings) -> list[int]:
        """Give the estimate's people their numbers, in their order; new people begin a track.

        For whatever must be known of a person before ``update``, such as their shape.
        """
        self._rejoin(estimate, settings)
        return [
            (self._tracks.get(person.track_id) or self._begin(person.track_id, estimate)).number
            for person in estimate.people
        ]

    def update(self, estimate: FrameEstimate, settings: PeopleSettings) -> list[TrackedPerson]:
        """All people known after a frame.

        Args:
            estimate: newer than the one before; poses are in one world since the last ``forget``.
            settings: confirmation, coasting and the velocities' window.

        Returns:
            The estimate's people in their order, then who coasts and who is lost, by number.
        """
        self.assign(estimate, settings)
        seen = []
        for person in estimate.people:
            track = self._tracks[person.track_id]
            track.add(person, estimate, settings)
            seen.append(self._seen(track, estimate, settings))
        kept = self._coasting(estimate, settings)
        unseen = []
        for track_id, track in self._unseen(estimate):
            state = TrackState.COASTING if track_id in kept else TrackState.LOST
            unseen.append(self._predicted(track, state, estimate, settings))
            if state == TrackState.LOST:
                del self._tracks[track_id]
        self._frames += 1
        return seen + sorted(unseen, key=lambda tracked: tracked.number)

    def _begin(self, track_id: int, estimate: FrameEstimate) -> _Track:
        # The network's own number where it is free, which it is until a person was lost.
        number = max(self._offset + track_id, self._next_number)
        self._next_number = number + 1
        track = _Track(number, estimate.stamp_ns, self._frames)
        self._tracks[track_id] = track
        return track

    def _unseen(self, estimate: FrameEstimate) -> list[tuple[int, _Track]]:
        seen = {person.track_id for person in estimate.people}
        return [(track_id, t) for track_id, t in self._tracks.items() if track_id not in seen]

    def _coasting(self, estimate: FrameEstimate, settings: PeopleSettings) -> set[int]:
        """Identities that are out of sight and remembered: the latest seen, where room is left."""
        waiting = [
            (-track.stamps_ns[-1], track.number, track_id)
            for track_id, track in self._unseen(estimate)
            if track.may_coast(estimate.stamp_ns, settings)
        ]
        room = max(0, settings.max_count - len(estimate.people))
        return {track_id for _, _, track_id in sorted(waiting)[:room]}

    def _rejoin(self, estimate: FrameEstimate, settings: PeopleSettings) -> None:
        """Who is new to the network, but where a prediction says, goes on under the old number."""
        new = [person for person in estimate.people if person.track_id not in self._tracks]
        waiting = [
            (track_id, track)
            for track_id, track in self._unseen(estimate)
            if track.may_coast(estimate.stamp_ns, settings)
        ]
        if not new or not waiting:
            return
        pose = estimate.world_from_camera
        found = np.array([pose[:3, :3] @ body_origin(person) + pose[:3, 3] for person in new])
        expected = np.array(
            [t.places_world[-1] + t.moved_world(estimate.stamp_ns, settings) for _, t in waiting]
        )
        distances = np.linalg.norm(found[:, None] - expected[None], axis=-1)
        for row, column in _nearest_pairs(distances, _SAME_PLACE_M):
            self._tracks[new[row].track_id] = self._tracks.pop(waiting[column][0])

    def _seen(
        self, track: _Track, estimate: FrameEstimate, settings: PeopleSettings
    ) -> TrackedPerson:
        state = TrackState.OK if track.is_confirmed else TrackState.NEW
        velocity = track.velocity_world(settings)
        return self._tracked(track, state, track.person, velocity, estimate)

    def _predicted(
        self, track: _Track, state: TrackState, estimate: FrameEstimate, settings: PeopleSettings
    ) -> TrackedPerson:
        moved = track.moved_world(estimate.stamp_ns, settings)
        now_from_then = camera_from_past(estimate.world_from_camera, track.world_from_camera, moved)
        velocity = track.velocity_world(settings)
        return self._tracked(track, state, move(track.person, now_from_then), velocity, estimate)

    def _tracked(
        self,
        track: _Track,
        state: TrackState,
        person: PersonEstimate,
        velocity_world: np.ndarray | None,
        estimate: FrameEstimate,
    ) -> TrackedPerson:
        camera_from_world = estimate.world_from_camera[:3, :3].T
        return TrackedPerson(
            number=track.number,
            state=state,
            person=person,
            velocity_camera=None if velocity_world is None else camera_from_world @ velocity_world,
            first_seen_ns=track.first_seen_ns,
            last_seen_ns=track.stamps_ns[-1],
            age_frames=self._frames - track.first_frame,
        )


def _nearest_pairs(distances: np.ndarray, limit: float) -> Iterable[tuple[int, int]]:
    """Rows and columns that belong together, nearest first, each at most once."""
    rows, columns = np.nonzero(distances <= limit)
    order = np.argsort(distances[rows, columns], kind="stable")
    used_rows, used_columns = set(), set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            yield row, column
