"""The way of one moment: people of several views in, each person once in one world out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from human3r.body import skeleton
from human3r.errors import InputError
from human3r.geometry import invert, transform_points
from human3r.multiview import association, fusion
from human3r.multiview.floor import Floor
from human3r.multiview.health import Health, ViewHealth
from human3r.multiview.identities import Identities, Identity, Member
from human3r.multiview.settings import FusionSettings
from human3r.multiview.view import ViewPeople, ray_covariance
from human3r.types import TrackedPerson, TrackState

_TRUNK = ("pelvis", "left_hip", "right_hip", "spine3", "neck", "head")
ANCHORS = tuple(
    skeleton.JOINT_NAMES.index(name) for name in (*_TRUNK, "left_shoulder", "right_shoulder")
)
"""Joints whose mean is the place of a body: those that poses move least."""
_ANCHOR_ROWS = np.array(ANCHORS)
_FLOOR: Member = ("", -1)
"""Stands for the floor among those who say where a person is."""
_WELL_INSIDE = 0.35
"""So much of an image's width and height on each side of its middle."""
_NEAR_M, _FAR_M = 1.0, 8.0
"""Where a camera finds people."""
_REWEIGHTINGS = 2
_USUAL_CHI2 = 16.0
"""Views whose squared deviation from the fused place is this large count half."""
_MAX_JUMP = 3.0
"""Places that move further than this many standard deviations do so for a reason."""


@dataclass(frozen=True)
class FusedPerson:
    """One person as all views together know them, in the shared world."""

    number: int
    """Lasts over views and time; never given away twice."""
    state: TrackState
    members: tuple[Member, ...]
    """Views that know the person, by their order, and the numbers there."""
    rotations: Float[np.ndarray, "53 3 3"]
    """Child in parent; the root in the world."""
    betas: Float[np.ndarray, "10"]
    expression: Float[np.ndarray, "10"]
    joints_world: Float[np.ndarray, "joints 3"]
    """Metres."""
    covariance: Float[np.ndarray, "6 6"]
    """Of the body's pose along the world's axes: metres, then radians."""
    velocity_world: Float[np.ndarray, "3"] | None
    """m/s."""
    score: float
    stature_m: float
    first_seen_ns: int
    last_seen_ns: int
    age_frames: int
    origin: TrackedPerson | None
    """The only view's own person, where it is one view; None where it is made of several."""

    @property
    def head_world(self) -> Float[np.ndarray, "3"]:
        """Place of the head joint."""
        return self.joints_world[skeleton.HEAD]


@dataclass(frozen=True)
class MultiviewEstimate:
    """All people at one moment, and how the cameras agree."""

    stamp_ns: int
    people: tuple[FusedPerson, ...]
    """By number."""
    gone: tuple[int, ...]
    """Numbers that are not used again."""
    health: dict[str, ViewHealth]
    """By view, of every view so far."""


class Fuser:
    """Fuses views over time. Views may come late, leave and come back.

    Example:
        fuser = Fuser(body_model.joint_parents)
        estimate = fuser.step([view_from_estimate("left", left, world_from_left), ...])
    """

    def __init__(
        self,
        joint_parents: Sequence[int] = skeleton.JOINT_PARENTS,
        settings: FusionSettings | None = None,
    ) -> None:
        """Start without people.

        Args:
            joint_parents: of the views' joints; the first 55 are those of SMPL-X.
            settings: of association and fusion.
        """
        self._parents = tuple(joint_parents)
        self.settings = settings or FusionSettings()
        self._identities = Identities()
        self._pairs = association.PairMemory()
        self._floor = Floor(self.settings.floor_m)
        self._health = Health(self.settings)
        self._stamp_ns = -1

    def step(self, views: Sequence[ViewPeople]) -> MultiviewEstimate:
        """All people whom at least one view knows.

        Args:
            views: those that have something new; their stamps may differ a little, and people are
                moved on by their velocities to the latest. Their order does not matter.

        Raises:
            InputError: no view, one view twice, or older than the last step.
        """
        views = sorted(views, key=lambda view: view.view)
        stamp_ns = self._check(views)
        people = _People(views, stamp_ns)
        groups = self._groups(people, stamp_ns)
        members = [[people.keys[row] for row in rows] for rows in groups]
        places = _means(people.places, groups)
        variances = people.covariances(self.settings).trace(axis1=1, axis2=2)
        spread_m = np.sqrt([variances[rows].min() for rows in groups])
        found, gone = self._identities.assign(members, places, stamp_ns, self.settings, spread_m)
        fused = self._fuse(people, groups, found, stamp_ns)
        self._observe(views, people, groups, fused)
        self._stamp_ns = stamp_ns
        return MultiviewEstimate(
            stamp_ns,
            tuple(sorted(fused, key=lambda person: person.number)),
            tuple(gone),
            {view: self._health.of(view) for view in self._health.views()},
        )

    def forget_view(self, view: str) -> None:
        """A view counts its people from anew: its process was restarted, or its stream reset."""
        self._identities.forget_view(view)
        self._pairs.forget_view(view)

    def forget_time(self) -> None:
        """Time was set back: the next step may be older than the last.

        People keep their numbers where they are still seen.
        """
        self._stamp_ns = -1
        self._identities.forget_time()

    def _check(self, views: list[ViewPeople]) -> int:
        names = [view.view for view in views]
        if not views or len(set(names)) < len(names):
            raise InputError(
                f"views are {names}; expected at least one, and each once. Give every camera a "
                "name of its own."
            )
        stamp_ns = max(view.stamp_ns for view in views)
        if stamp_ns < self._stamp_ns:
            raise InputError(
                f"views are of {stamp_ns} ns, the last ones of {self._stamp_ns} ns; expected newer "
                "ones. Step in the order of time, or begin a new Fuser."
            )
        return stamp_ns

    def _groups(self, people: "_People", stamp_ns: int) -> list[list[int]]:
        if not len(people):
            return []
        settings = self.settings
        joints, places, covariances = self._on_floor(people)
        costs = association.pair_costs(joints, people.canonical)
        apart = association.deviations(places, covariances)
        both = np.stack([costs, apart])
        costs, apart = self._pairs.update(people.keys, both, stamp_ns, settings)
        costs = np.where(apart <= settings.max_deviation, costs, np.inf)
        return association.group(costs, people.view_index, settings.max_cost_m)

    def _on_floor(self, people: "_People") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joints, places and covariances of all views' people, better where a floor is known."""
        joints, covariances = people.joints, people.covariances(self.settings)
        if self._floor.height_m is None:
            return joints, people.places, covariances
        pelvis, everybody = joints[:, 0], np.ones(len(people), bool)
        relative = joints - pelvis[:, None]
        placed, covariances, _ = self._floor.place(pelvis, covariances, relative, everybody)
        moved = placed - pelvis
        return joints + moved[:, None], people.places + moved, covariances

    # -- one body of several ---------------------------------------------------------------------

    def _fuse(
        self,
        people: "_People",
        groups: list[list[int]],
        found: list[Identity],
        stamp_ns: int,
    ) -> list[FusedPerson]:
        # Predictions count where no view measures.
        groups = [_best_known(rows, people.is_measured) for rows in groups]
        # One view alone is left as it is, where no floor is known.
        alone_too = self._floor.height_m is not None
        made = [i for i, rows in enumerate(groups) if len(rows) > 1 or alone_too]
        bodies = self._bodies(people, [groups[i] for i in made]) if made else {}
        rows_of = {i: row for row, i in enumerate(made)}
        fused, on_floor = [], []
        for i, (rows, identity) in enumerate(zip(groups, found, strict=True)):
            body = {name: values[rows_of[i]] for name, values in bodies.items() if i in rows_of}
            on_floor.append(bool(body.pop("is_on_floor", False)))
            if len(rows) == 1 and not on_floor[-1]:
                body = people.single(rows[0])
            origin = people.tracked[rows[0]] if len(rows) == 1 and not on_floor[-1] else None
            fused.append(_person(people, rows, identity, body, origin))
        joints = _joints_of(fused)
        self._floor.observe(joints[[len(one.members) > 1 for one in fused]])
        places = _place(joints)
        return [
            self._without_jump(person, place, people, rows, identity, stamp_ns, is_on_floor)
            for person, place, rows, identity, is_on_floor in zip(
                fused, places, groups, found, on_floor, strict=True
            )
        ]

    def _bodies(self, people: "_People", groups: list[list[int]]) -> dict[str, np.ndarray]:
        """Arrays of fused bodies, one row per group of several members."""
        rows, weight = _padded(groups)
        settings = self.settings
        turn = weight / np.maximum(people.turn_variance[rows], 1e-4)
        rotations = fusion.mean_rotations(people.rotations_world[rows], turn)
        share = (turn / turn.sum(1, keepdims=True))[..., None]
        parents = fusion.parents_or_root(self._parents, people.joints.shape[1])
        flat = np.concatenate(groups)
        bone = np.zeros_like(people.joints)
        bone[flat] = fusion.bones(
            fusion.chained_rotations(people.rotations_world[flat]), people.joints[flat], parents
        )
        chained = fusion.chained_rotations(rotations)
        bones = (bone[rows] * share[..., None]).sum(1)
        relative = fusion.joints_from_bones(chained, bones, parents)
        information = people.information(settings)[rows] * weight[..., None, None]
        # What each view says of the place of a body in this pose.
        said = people.places[rows] - _place(relative)[:, None]
        pelvis, covariance = fusion.fuse_places(said, information)
        # Of three views and more, one that the others contradict counts less.
        for _ in range(_REWEIGHTINGS):
            apart = said - pelvis[:, None]
            chi2 = (apart * (information @ apart[..., None])[..., 0]).sum(-1)
            trust = np.where(weight.sum(1, keepdims=True) > 2, 1 / (1 + chi2 / _USUAL_CHI2), 1.0)
            pelvis, covariance = fusion.fuse_places(said, information * trust[..., None, None])
        if settings.position == "mean":
            pelvis = (said * weight[..., None]).sum(1) / weight.sum(1, keepdims=True)
        elif settings.position == "triangulation":
            heads = people.joints[rows, skeleton.HEAD]
            head = fusion.triangulate(people.origins[rows], heads, weight)
            pelvis = head - relative[:, skeleton.HEAD]
        # Views that contradict each other know less than each says.
        misfit = said - pelvis[:, None]
        chi2 = np.einsum("gvi,gvij,gvj->g", misfit, information, misfit)
        freedom = np.maximum(3 * (weight.sum(1) - 1), 1)
        covariance = covariance * np.maximum(1.0, chi2 / freedom)[:, None, None]
        pelvis, covariance, is_on_floor = self._floor.place(
            pelvis, covariance, relative, weight.sum(1) == 1
        )
        full = np.zeros((len(groups), 6, 6))
        full[:, :3, :3] = covariance
        full[:, 3:, 3:] = np.eye(3) / turn.sum(1)[:, None, None]
        return {
            "rotations": rotations,
            "betas": (people.betas[rows] * share).sum(1),
            "expression": (people.expression[rows] * share).sum(1),
            "joints": relative + pelvis[:, None],
            "covariance": full,
            "is_on_floor": is_on_floor,
        }

    def _without_jump(
        self,
        person: FusedPerson,
        place: np.ndarray,
        people: "_People",
        rows: list[int],
        identity: Identity,
        stamp_ns: int,
        is_on_floor: bool,
    ) -> FusedPerson:
        """A place that moves smoothly to what the views say, when they have changed.

        One view alone, always the same, is left as it is.
        """
        # The floor comes and goes as views do.
        views = frozenset([*person.members, _FLOOR] if is_on_floor else person.members)
        if views == identity.members and not identity.correction_m.any():
            identity.output_m = place
            return person
        since_s = (stamp_ns - self._stamp_ns) * 1e-9 if self._stamp_ns >= 0 else 0.0
        handover_s = self.settings.handover_s
        keeps = np.exp(-since_s / handover_s) if handover_s > 0 else 0.0
        identity.correction_m = identity.correction_m * keeps
        if identity.members and views != identity.members and identity.output_m is not None:
            moved = person.velocity_world * since_s if person.velocity_world is not None else 0.0
            jump = identity.output_m + moved - place
            worst = people.covariances(self.settings)[rows].trace(axis1=1, axis2=2).max()
            if handover_s > 0 and jump @ jump < _MAX_JUMP**2 * worst:
                identity.correction_m = jump
        identity.members = views
        correction = identity.correction_m
        identity.output_m = place + correction
        if not correction.any():
            return person
        return replace(person, joints_world=person.joints_world + correction, origin=None)

    # -- how the cameras agree -------------------------------------------------------------------

    def _observe(
        self,
        views: list[ViewPeople],
        people: "_People",
        groups: list[list[int]],
        fused: list[FusedPerson],
    ) -> None:
        residuals = self._residuals(views, people, groups, fused)
        sees = {view.view: bool(view.is_measured.any()) for view in views}
        for view in views:
            is_blind = not sees[view.view] and _is_before(view, fused)
            self._health.observe(
                view.view,
                residuals[view.view],
                view.focal_px,
                others_see=any(seen for name, seen in sees.items() if name != view.view),
                sees=sees[view.view],
                should_see=is_blind or sees[view.view],
            )
        self._look_for_swaps([view for view in views if self._health.is_lonely(view.view)])

    def _residuals(
        self,
        views: list[ViewPeople],
        people: "_People",
        groups: list[list[int]],
        fused: list[FusedPerson],
    ) -> dict[str, np.ndarray]:
        """Pixels between each view's people and the same ones as the others know them, by view.

        Of three views and more the others are all but the view itself; two views are compared with
        both together, because one alone does not know the distance.
        """
        shared = [
            (rows, _place(person.joints_world))
            for rows, person in zip(groups, fused, strict=True)
            if len(rows) > 1
        ]
        if not shared:
            return {view.view: np.zeros(0) for view in views}
        rows = np.concatenate([members for members, _ in shared])
        counts = np.array([len(members) for members, _ in shared])
        of = np.repeat(np.arange(len(shared)), counts)
        together = np.stack([place for _, place in shared])[of]
        information = people.information(self.settings)[rows]
        weighted = (information @ people.places[rows][..., None])[..., 0]
        sums = np.zeros((len(shared), 3, 4))
        own = np.concatenate([information, weighted[..., None]], -1)
        np.add.at(sums, of, own)
        others = sums[of] - own
        others[counts[of] == 2, :, :3] = np.eye(3)
        apart = (fusion.inverse(others[..., :3]) @ others[..., 3:])[..., 0]
        place = np.where((counts[of] == 2)[:, None], together, apart)
        found = _angles(people, rows, place)
        is_measured = people.is_measured[rows]
        names = np.array([people.keys[row][0] for row in rows])
        return {v.view: v.focal_px * found[is_measured & (names == v.view)] for v in views}

    def _look_for_swaps(self, lonely: list[ViewPeople]) -> None:
        """Whether people of two views would agree if the views had each other's pose."""
        for i, first in enumerate(lonely):
            for second in lonely[i + 1 :]:
                swapped = [
                    replace(first, world_from_camera=second.world_from_camera),
                    replace(second, world_from_camera=first.world_from_camera),
                ]
                people = _People(swapped)
                costs = association.pair_costs(people.joints, people.canonical)
                apart = association.deviations(people.places, people.covariances(self.settings))
                costs = np.where(apart <= self.settings.max_deviation, costs, np.inf)
                found = association.group(costs, people.view_index, self.settings.max_cost_m)
                if sum(len(rows) == 2 for rows in found) >= min(len(first), len(second)) > 0:
                    self._health.suspect_swap(first.view, second.view)
                    self._health.suspect_swap(second.view, first.view)


class _People:
    """People of all views in one world, one row each."""

    def __init__(self, views: Sequence[ViewPeople], stamp_ns: int | None = None) -> None:
        num_joints = {view.joints_camera.shape[1] for view in views if len(view)}
        if len(num_joints) > 1:
            raise InputError(
                f"views have {sorted(num_joints)} joints per person; expected the same body in all "
                "of them. Use one body model."
            )
        views = [view for view in views if len(view)] or list(views)
        self.views = views
        self.tracked = [one for view in views for one in view.tracked]
        self.keys: list[Member] = [(v.view, int(n)) for v in views for n in v.numbers]
        self.view_index = np.repeat(np.arange(len(views)), [len(view) for view in views])
        self.is_measured = np.concatenate([view.is_measured for view in views])
        self.turn_variance = np.concatenate([view.turn_variance for view in views])
        self.betas = np.concatenate([view.betas for view in views])
        self.expression = np.concatenate([view.expression for view in views])
        turns = np.stack([view.world_from_camera[:3, :3] for view in views])[self.view_index]
        self.origins = np.stack([v.world_from_camera[:3, 3] for v in views])[self.view_index]
        self.turns = turns
        camera = np.concatenate([view.joints_camera for view in views])
        self.joints = camera @ np.swapaxes(turns, -1, -2) + self.origins[:, None]
        self.velocities = _velocities(self.tracked, turns)
        for row, velocity in self.velocities.items() if stamp_ns is not None else ():
            late_s = (stamp_ns - views[self.view_index[row]].stamp_ns) * 1e-9
            self.joints[row] += velocity * late_s
        rotations = np.concatenate([view.rotations for view in views])
        self.canonical = (camera - camera[:, :1]) @ rotations[:, 0]
        self.rotations_world = rotations.copy()
        self.rotations_world[:, 0] = turns @ rotations[:, 0]
        self.places = _place(self.joints)
        own = np.concatenate([view.place_covariance for view in views])
        self._own = turns @ own @ np.swapaxes(turns, -1, -2)
        self._with_camera: np.ndarray | None = None
        self._information: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def covariances(self, settings: FusionSettings) -> np.ndarray:
        """(people, 3, 3) of places in the world, with what the calibration adds."""
        found = self._with_camera
        if found is None:
            away = self.places - self.origins
            across = settings.camera_rotation_rad * np.linalg.norm(away, axis=-1)
            calibration = ray_covariance(away, np.zeros(len(away)), across)
            found = self._own + calibration + settings.camera_position_m**2 * np.eye(3)
            self._with_camera = found
        return found

    def information(self, settings: FusionSettings) -> np.ndarray:
        """(people, 3, 3) inverses of ``covariances``."""
        if self._information is None:
            self._information = fusion.inverse(self.covariances(settings))
        return self._information

    def single(self, row: int) -> dict[str, np.ndarray]:
        """The body of one row as it is."""
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = self._own[row]
        covariance[3:, 3:] = np.eye(3) * self.turn_variance[row]
        return {
            "rotations": self.rotations_world[row],
            "betas": self.betas[row],
            "expression": self.expression[row],
            "joints": self.joints[row],
            "covariance": covariance,
        }


def _velocities(tracked: list[TrackedPerson], turns: np.ndarray) -> dict[int, np.ndarray]:
    """World velocities (3,) by row, of those who have one."""
    rows = [row for row, one in enumerate(tracked) if one.velocity_camera is not None]
    if not rows:
        return {}
    velocities = np.array([tracked[row].velocity_camera for row in rows])
    return dict(zip(rows, (turns[rows] @ velocities[..., None])[..., 0], strict=True))


def _place(joints: np.ndarray) -> np.ndarray:
    """Places (..., 3) of bodies; a sum, since NumPy's mean costs several times as much."""
    return joints[..., _ANCHOR_ROWS, :].sum(-2) / len(ANCHORS)


def _means(values: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Means (groups, 3) of the rows of every group."""
    if not groups:
        return np.zeros((0, 3))
    counts = np.array([len(rows) for rows in groups])
    begins = np.cumsum(counts) - counts
    return np.add.reduceat(values[np.concatenate(groups)], begins) / counts[:, None]


def _best_known(rows: list[int], is_measured: np.ndarray) -> list[int]:
    measured = [row for row in rows if is_measured[row]]
    return measured or rows


def _padded(groups: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (groups, views), the first one where there is none, and weights 1 or 0."""
    width = max(map(len, groups))
    rows = np.array([[*group, *[group[0]] * (width - len(group))] for group in groups])
    weight = np.array([[1.0] * len(group) + [0.0] * (width - len(group)) for group in groups])
    return rows, weight


def _joints_of(people: Sequence[FusedPerson]) -> np.ndarray:
    """(people, joints, 3) in the world."""
    if not people:
        return np.zeros((0, skeleton.NUM_JOINTS, 3))
    return np.stack([one.joints_world for one in people])


def _is_before(view: ViewPeople, people: Sequence[FusedPerson]) -> bool:
    """Whether one of the people is well inside the image of a camera, and not far from it."""
    people = [one for one in people if one.state != TrackState.COASTING]
    if not people:
        return False
    camera_from_world = invert(view.world_from_camera)
    places = transform_points(camera_from_world, _place(_joints_of(people)))
    right, down = view.size_px
    ahead = np.maximum(places[:, 2], 0.1)
    across = np.abs(places[:, :2]) / ahead[:, None] * view.focal_px
    inside = (across < _WELL_INSIDE * np.array([right, down])).all(1)
    return bool((inside & (places[:, 2] > _NEAR_M) & (places[:, 2] < _FAR_M)).any())


def _person(
    people: _People,
    rows: list[int],
    identity: Identity,
    body: dict[str, np.ndarray],
    origin: TrackedPerson | None,
) -> FusedPerson:
    tracked = [people.tracked[row] for row in rows]
    velocities = [people.velocities[row] for row in rows if row in people.velocities]
    states = {one.state for one in tracked}
    order = (TrackState.OK, TrackState.NEW, TrackState.COASTING)
    return FusedPerson(
        number=identity.number,
        state=next(state for state in order if state in states),
        members=tuple(people.keys[row] for row in rows),
        rotations=body["rotations"],
        betas=body["betas"],
        expression=body["expression"],
        joints_world=body["joints"],
        covariance=body["covariance"],
        velocity_world=np.add.reduce(velocities) / len(velocities) if velocities else None,
        score=max(one.person.score for one in tracked),
        stature_m=float(sum(one.stature_m for one in tracked) / len(tracked)),
        first_seen_ns=min(identity.first_seen_ns, *(one.first_seen_ns for one in tracked)),
        last_seen_ns=max(one.last_seen_ns for one in tracked),
        age_frames=max(identity.frames - 1, 0),
        origin=origin,
    )


def _angles(people: _People, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Angles at the camera between people and other places, radians."""
    a, b = people.places[rows] - people.origins[rows], places - people.origins[rows]
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1))
