"""Which joints of a body the camera sees, and how well bodies and scene agree in depth.

Two witnesses are heard: the body's own mesh and the nearer people's say what hides behind bodies,
the depth image says what hides behind anything else. Joints lie inside the flesh, so each is
allowed as much of it as there is, and a systematic offset between body and depth is taken out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from human3r.types import Intrinsics, PersonEstimate, Visibility

_NEAREST_M = 0.05
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
    samples = np.sort(np.unique(cells, axis=0, return_index=True)[1])
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
        slope = np.float32(1.0) / np.where(z > _NEAREST_M, z, np.float32(np.nan))
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
