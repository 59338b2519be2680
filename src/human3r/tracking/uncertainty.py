"""How far an estimated body is to be believed: joints the camera sees, and how sure its pose is.

Visible joints: two witnesses are heard. The body's own mesh and the nearer people's say what hides
behind bodies, the depth image says what hides behind anything else. Joints lie inside the flesh, so
each is allowed as much of it as there is, and a systematic offset between body and depth is taken
out.

The pose's covariance comes from how wrong such poses were on data with known truth. Four errors are
told apart, for they differ by far: of the place along the ray from the camera and across it, both
relative to the distance, and of the orientation about the body's long axis and about the axes
across that. Each has a standard deviation that depends on the circumstances, and grows while the
body is not measured. ``human3r_lab.evaluation.covariance_fit`` finds the numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from human3r.tracking.tracks import body_origin
from human3r.types import FrameEstimate, Intrinsics, PersonEstimate, TrackedPerson, Visibility

_NEAREST_SEEN_M = 0.05
"""Nearer to the camera's plane nothing is looked at."""
_SAMPLE_M = 0.035
"""One vertex in every voxel of this side stands for the body."""
_CELL_M = 0.04
"""Side of the cells in which a body's front is kept, at the body's distance."""
_MAX_CELLS = 128
_PEOPLE_CELL_PX = 8
_NUM_DEEP_JOINTS = 23
"""Pelvis to jaw; eyes, fingers and landmarks lie at the skin."""
_CORE_M = 0.03
"""A joint's flesh is what lies this close to the line through it, from the front to the back."""
_SKIN_M, _MAX_FLESH_M = 0.08, 0.2
_SCENE_M, _SCENE_SHARE = 0.15, 0.05
"""What the depth image may err before it hides a joint, and more per metre of distance."""
_BODY_APART_M = 0.1
"""A body hides another from this distance on."""
_FRONT_M = 0.05
"""Samples this close behind the front of their cell belong to it."""
_MIN_AGREEING = 20
_MAX_OFFSET_M = 0.5
"""A larger disagreement is not taken for an offset, but for something in between."""


@dataclass(frozen=True)
class BodySurface:
    """What has to be known of a body model, once."""

    samples: Int[np.ndarray, " samples"]
    """Vertices that stand for the surface, evenly spread."""
    allowance_m: Float32[np.ndarray, " joints"]
    """How far before each joint its own body may lie without hiding it."""


def body_surface(
    joints: Float[np.ndarray, "joints 3"], vertices: Float[np.ndarray, "vertices 3"]
) -> BodySurface:
    """Samples and flesh of a body in its rest pose: z forward, limbs apart, metres.

    Args:
        joints: those that ``joint_visibility`` will be asked about, in skeleton order.
        vertices: the skin.
    """
    cells = np.floor(vertices / _SAMPLE_M).astype(np.int64)
    # The first vertex of each cell, as np.unique of the rows has it, which is slower.
    order = np.lexsort(cells.T)
    is_first = np.append(True, (np.diff(cells[order], axis=0) != 0).any(axis=1))
    samples = np.sort(order[is_first])
    flesh_m = np.zeros(len(joints))
    flesh_m[:_NUM_DEEP_JOINTS] = [_flesh(joint, vertices) for joint in joints[:_NUM_DEEP_JOINTS]]
    return BodySurface(samples, (_SKIN_M + flesh_m).astype(np.float32))


def _flesh(joint: np.ndarray, vertices: np.ndarray) -> float:
    """How thick the body is before or behind a joint, whichever is more."""
    away = np.abs(vertices - joint)
    core = away[np.hypot(away[:, 0], away[:, 1]) < _CORE_M, 2]
    return min(float(core.max(initial=0.0)), _MAX_FLESH_M)


@dataclass(frozen=True)
class DepthView:
    """The scene as one camera sees it."""

    depth_m: Float[np.ndarray, "height width"]
    """Along the optical axis; not positive or not finite where unknown."""
    is_person: Bool[np.ndarray, "height width"]
    camera: Intrinsics
    """Of these pixels."""


def joint_visibility(
    people: Sequence[PersonEstimate],
    joint_indices: Int[np.ndarray, " joints"],
    surface: BodySurface,
    view: DepthView,
) -> list[Visibility]:
    """What is seen of each person in a frame.

    Args:
        people: measured in this frame; camera frame.
        joint_indices: rows of ``joints_camera`` that are asked about.
        surface: of the body model that made them.
        view: the same frame's scene.
    """
    bodies = [
        _Inside(person.vertices_camera.take(surface.samples, axis=0), view.camera)
        for person in people
    ]
    nearer = _PeopleFront(view.camera)
    found: dict[int, Visibility] = {}
    # From near to far: who comes first may hide who comes after.
    for index in sorted(range(len(people)), key=lambda index: bodies[index].mean_depth_m):
        joints = people[index].joints_camera.take(joint_indices, axis=0)
        found[index] = _visibility_of(joints, bodies[index], surface.allowance_m, nearer, view)
        nearer.add(bodies[index])
    return [found[index] for index in range(len(people))]


def _visibility_of(
    all_joints: np.ndarray,
    body: "_Inside",
    allowance_m: np.ndarray,
    nearer: "_PeopleFront",
    view: DepthView,
) -> Visibility:
    visible = np.full(len(all_joints), np.nan, np.float32)
    joints = _Inside(all_joints, view.camera)
    front = _BodyFront(body, view.camera)
    agreement = _agreement(body, front, nearer, view)
    skin = front.depth_at(joints)
    is_hidden = skin < joints.z - allowance_m[joints.indices]
    # In a hole between the samples the joint itself stands for its skin.
    skin = np.minimum(skin, joints.z)
    is_hidden |= nearer.depth_at(joints) < skin - _BODY_APART_M
    offset = agreement if abs(agreement) <= _MAX_OFFSET_M else 0.0
    error_m = _SCENE_M + _SCENE_SHARE * joints.z
    is_hidden |= _farthest_around(joints, view.depth_m) + offset < skin - error_m
    visible[joints.indices] = ~is_hidden
    return Visibility(visible, agreement)


def _agreement(
    body: "_Inside", front: "_BodyFront", nearer: "_PeopleFront", view: DepthView
) -> float:
    depth = view.depth_m[body.rows, body.columns]
    # A comparison with NaN is false, so unknown depth drops out.
    is_seen = (depth > 0) & (depth < np.inf) & view.is_person[body.rows, body.columns]
    is_seen &= body.z <= front.depth_at(body) + _FRONT_M
    is_seen &= nearer.depth_at(body) >= body.z - _BODY_APART_M
    # The median adds two numbers, which overflows in float32 for absurd depths.
    difference = (body.z - depth)[is_seen].astype(np.float64)
    return float(np.median(difference)) if len(difference) >= _MIN_AGREEING else math.nan


def _farthest_around(points: "_Inside", depth_m: np.ndarray) -> np.ndarray:
    """The largest depth among the nine pixels around each point; infinite where one is unknown.

    Only what covers all nine hides a point, so a border one pixel off hides nothing.
    """
    height, width = depth_m.shape
    rows = np.clip(points.rows[:, None] + _AROUND_ROWS, 0, height - 1)
    columns = np.clip(points.columns[:, None] + _AROUND_COLUMNS, 0, width - 1)
    depth = depth_m[rows, columns]
    return np.where(depth > 0, depth, np.inf).max(axis=1)


_AROUND_ROWS = np.repeat((-1, 0, 1), 3)
_AROUND_COLUMNS = np.tile((-1, 0, 1), 3)


class _Inside:
    """Those of some points that project into an image.

    Attributes:
        indices: which they are.
        z: their depth, metres.
        columns: of the pixels they fall into.
        rows: of the same.
    """

    def __init__(self, points: np.ndarray, camera: Intrinsics) -> None:
        x, y, z = points.T
        self.mean_depth_m = float(z.mean())
        # What is behind the camera's plane is put far outside the image.
        slope = np.float32(1.0) / np.where(z > _NEAREST_SEEN_M, z, np.float32(np.nan))
        u = x * slope * np.float32(camera.fx) + np.float32(camera.cx + 0.5)
        v = y * slope * np.float32(camera.fy) + np.float32(camera.cy + 0.5)
        inside = (u >= 0) & (u < camera.width_px) & (v >= 0) & (v < camera.height_px)
        self.indices = np.flatnonzero(inside)
        self.z = z.take(self.indices)
        self.columns = u.take(self.indices).astype(np.int32)
        self.rows = v.take(self.indices).astype(np.int32)


class _BodyFront:
    """The nearest surface of one body in each cell of the image."""

    def __init__(self, body: _Inside, camera: Intrinsics) -> None:
        columns, rows = body.columns, body.rows
        is_empty = not len(body.z)
        self._left, self._top = (0, 0) if is_empty else (columns.min(), rows.min())
        mean_depth_m = np.inf if is_empty else float(body.z.mean())
        largest = max(camera.width_px, camera.height_px) / _MAX_CELLS
        self._side_px = max(1, round(_CELL_M * camera.fx / mean_depth_m), math.ceil(largest))
        self._width = 1 if is_empty else int(columns.max() - self._left) // self._side_px + 1
        self._height = 1 if is_empty else int(rows.max() - self._top) // self._side_px + 1
        self._depth = np.full(self._width * self._height, np.inf, np.float32)
        np.minimum.at(self._depth, self._cells(body), body.z)

    def _cells(self, points: _Inside) -> np.ndarray:
        column = np.clip((points.columns - self._left) // self._side_px, 0, self._width - 1)
        row = np.clip((points.rows - self._top) // self._side_px, 0, self._height - 1)
        return row * self._width + column

    def depth_at(self, points: _Inside) -> np.ndarray:
        """Depth of the front before each point, metres; infinite where there is none."""
        return self._depth.take(self._cells(points))


class _PeopleFront:
    """The nearest surface of several bodies in coarse cells of the image."""

    def __init__(self, camera: Intrinsics) -> None:
        self._width = camera.width_px // _PEOPLE_CELL_PX + 1
        height = camera.height_px // _PEOPLE_CELL_PX + 1
        self._depth = np.full(height * self._width, np.inf, np.float32)

    def _cells(self, points: _Inside) -> np.ndarray:
        return points.rows // _PEOPLE_CELL_PX * self._width + points.columns // _PEOPLE_CELL_PX

    def add(self, body: _Inside) -> None:
        """One more body."""
        np.minimum.at(self._depth, self._cells(body), body.z)

    def depth_at(self, points: _Inside) -> np.ndarray:
        """Depth of the front before each point, metres; infinite where there is none."""
        return self._depth.take(self._cells(points))


ERRORS = ("along", "across", "turn", "tilt")
"""Along and across the ray, relative to the distance; about the long axis and across it, rad."""
FEATURES = ("log_distance", "score", "cut", "hidden")
"""What standard deviations depend on."""
_NUM_JOINTS = 22
"""Of the trunk and the limbs: they decide how much of a body is cut off or hidden."""
_NEAREST_M = 0.1
_MAX_STDDEV = {"along": 3.0, "across": 3.0, "turn": np.pi, "tilt": np.pi}
"""Beyond these nothing is known anyhow."""
_MAX_LOG = 5.0
"""Keeps numbers finite, whatever a file says."""


_UNSEEN_M_PER_S, _UNSEEN_RAD_PER_S = 0.5, 1.0
"""How much faster people walk and turn than predicted, one standard deviation."""


@dataclass(frozen=True)
class Circumstances:
    """What the size of an error depends on."""

    distance_m: float
    """Of the body's origin from the camera, as the network says: without a later scale."""
    score: float
    """[0, 1] of the detector."""
    cut: float
    """[0, 1] share of the joints outside the image."""
    hidden: float
    """[0, 1] share of the others that are hidden; NaN when not computed."""
    unseen_s: float = 0.0
    """Time since the last measurement; score, cut and hidden are of then."""

    def features(self) -> Float[np.ndarray, "4"]:
        """The values of ``FEATURES``."""
        distance_m = max(self.distance_m, _NEAREST_M)
        return np.array([np.log(distance_m), self.score, self.cut, self.hidden])


@dataclass(frozen=True)
class SpreadModel:
    """Standard deviations by circumstances: exp(constant + weights . features)."""

    constants: Float[np.ndarray, "4"]
    """By ``ERRORS``."""
    weights: Float[np.ndarray, "4 4"]
    """Rows by ``ERRORS``, columns by ``FEATURES``."""

    def stddev(self, features: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
        """Of each error in ``ERRORS``; a feature that is NaN does not count."""
        log_stddev = self.constants + self.weights @ np.nan_to_num(features)
        return np.exp(np.minimum(log_stddev, _MAX_LOG))


@dataclass(frozen=True)
class CovarianceModel:
    """Everything that was found out about the errors of one network."""

    seen: SpreadModel
    """Of a measured body."""
    seen_without_hidden: SpreadModel
    """The same where ``hidden`` is not known."""
    bounds: Float[np.ndarray, "4 2"]
    """Least and largest value of each feature in the data; beyond it the nearest one counts."""
    growth: Float[np.ndarray, "4 2"]
    """Factor and exponent per error: factor * seconds ** exponent is added to the standard
    deviation of an unseen body, in quadrature."""

    def stddev(self, circumstances: Circumstances) -> Float[np.ndarray, "4"]:
        """Of each error in ``ERRORS``."""
        features = np.clip(circumstances.features(), *self.bounds.T)
        is_known = np.isfinite(features[FEATURES.index("hidden")])
        measured = (self.seen if is_known else self.seen_without_hidden).stddev(features)
        factors, exponents = self.growth.T
        grown = factors * max(circumstances.unseen_s, 0.0) ** exponents
        grown = grown if circumstances.unseen_s > 0 else 0.0
        return np.minimum(np.hypot(measured, grown), list(_MAX_STDDEV.values()))

    def covariance(
        self,
        circumstances: Circumstances,
        origin_camera: Float[np.ndarray, "3"],
        up_camera: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "6 6"]:
        """Of a body's pose in the camera frame: x, y, z in metres, rotation about x, y, z in rad.

        Rotations are about the axes of the camera frame, small, and applied after the estimate,
        as geometry_msgs/PoseWithCovariance has it.

        Args:
            circumstances: of the estimate.
            origin_camera: of the body, metres; not the camera's own place.
            up_camera: unit vector from the body's origin to its head.
        """
        along, across, turn, tilt = self.stddev(circumstances)
        distance_m = max(float(np.linalg.norm(origin_camera)), _NEAREST_M)
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = _about_axis(
            origin_camera / distance_m, along * distance_m, across * distance_m
        )
        covariance[3:, 3:] = _about_axis(up_camera, turn, tilt)
        return covariance


def _about_axis(axis: np.ndarray, along: float, across: float) -> np.ndarray:
    """Covariance (3, 3) with one standard deviation along a unit vector and another across it."""
    projection = np.outer(axis, axis)
    return along**2 * projection + across**2 * (np.eye(3) - projection)


def share_outside(person: PersonEstimate, camera: Intrinsics) -> float:
    """[0, 1] share of a body's joints that the image does not hold."""
    x, y, z = person.joints_camera[:_NUM_JOINTS].astype(np.float64).T
    depth = np.maximum(z, _NEAREST_M)
    u, v = camera.fx * x / depth + camera.cx, camera.fy * y / depth + camera.cy
    is_inside = (z > _NEAREST_M) & (u >= -0.5) & (v >= -0.5)
    is_inside &= (u < camera.width_px - 0.5) & (v < camera.height_px - 0.5)
    return 1.0 - float(is_inside.mean())


def share_hidden(visibility: Visibility) -> float:
    """[0, 1] share of a body's joints within the image that are hidden; NaN without any."""
    joints = visibility.joints[:_NUM_JOINTS]
    judged = joints[np.isfinite(joints)]
    return 1.0 - float(judged.mean()) if len(judged) else float("nan")


class PoseUncertainty:
    """The circumstances of all people in a stream, and the covariances that follow from them."""

    def __init__(self, model: CovarianceModel | None) -> None:
        """Start without people.

        Args:
            model: of the network in use; without one every covariance is unknown.
        """
        self._model = model
        self._last: dict[int, tuple[float, float]] = {}
        """Shares cut and hidden at each person's last measurement, by number."""

    def circumstances(
        self, people: Sequence[TrackedPerson], estimate: FrameEstimate
    ) -> list[Circumstances]:
        """Of all known people after a frame; call it once for every frame.

        Args:
            people: with their visibility, where it is looked at.
            estimate: the frame's, for its stamp, camera and scale.
        """
        found, last = [], {}
        camera = estimate.source_camera
        for tracked in people:
            person = tracked.person
            if tracked.is_measured:
                hidden = share_hidden(tracked.visibility) if tracked.visibility else float("nan")
                shares = share_outside(person, camera), hidden
            else:
                shares = self._last.get(tracked.number, (1.0, float("nan")))
            last[tracked.number] = shares
            found.append(
                Circumstances(
                    float(np.linalg.norm(body_origin(person))) / estimate.scale,
                    float(person.score),
                    *shares,
                    unseen_s=(estimate.stamp_ns - tracked.last_seen_ns) * 1e-9,
                )
            )
        self._last = last
        return found

    def covariances(
        self, people: Sequence[TrackedPerson], estimate: FrameEstimate
    ) -> list[Float32[np.ndarray, "36"] | None]:
        """Row-major covariances of each person's body pose in the camera frame; None where unknown.

        The arguments are those of ``circumstances``.
        """
        found = self.circumstances(people, estimate)
        return [
            self._covariance(circumstances, tracked)
            for circumstances, tracked in zip(found, people, strict=True)
        ]

    def _covariance(
        self, circumstances: Circumstances, tracked: TrackedPerson
    ) -> Float32[np.ndarray, "36"] | None:
        own = tracked.person.covariance
        if own is not None:
            return own + _unseen_growth(circumstances.unseen_s)
        if self._model is None:
            return None
        up = tracked.person.body.rotations[0][:, 1]
        found = self._model.covariance(circumstances, body_origin(tracked.person), up)
        return found.ravel().astype(np.float32)


def _unseen_growth(unseen_s: float) -> Float32[np.ndarray, "36"]:
    """What a prediction of this age adds to the covariance of the last measurement."""
    stddev = [_UNSEEN_M_PER_S * unseen_s] * 3 + [min(_UNSEEN_RAD_PER_S * unseen_s, np.pi)] * 3
    return np.diag(np.square(stddev)).astype(np.float32).ravel()
