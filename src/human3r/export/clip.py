"""What exports write: people with one shape each, cameras and cloud in the axes asked for.

A network says a person's shape anew in every frame; a rig has one. So each person gets the mean of
all frames, and is placed where the body joints of the frame have their mean. ``Person.joints`` is
what the frames said, ``Person.posed`` what the rig makes of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from human3r.body import skeleton
from human3r.body.kinematics import global_rotations, posed_joints, skeleton_rotations
from human3r.errors import InputError
from human3r.export.result import Result, ResultCamera
from human3r.export.worlds import World, moved
from human3r.tracking.presence import MIN_SHARE, frames_needed

_BODY_JOINTS = slice(0, 22)
"""Without hands and face: where a person is."""
DEFAULT_MIN_SHARE = MIN_SHARE
_MAX_SLOTS = 1_000_000


@dataclass(frozen=True)
class Person:
    """One person over time; n rows, one per frame in which the person was seen."""

    track_id: int
    frames: Int[np.ndarray, " n"]
    """Numbers of the frames, increasing."""
    joints: Float[np.ndarray, "n joints 3"]
    """As the frames say, all joints and landmarks, metres in the clip's axes."""
    rotations: Float[np.ndarray, "n 55 3 3"]
    """Of the skeleton's joints, child in parent; the root: body in the clip's axes."""
    root: Float[np.ndarray, "n 3"]
    """Where the rig's pelvis is, metres in the clip's axes."""
    rest_joints: Float[np.ndarray, "55 3"]
    """Of the rig, before posing, metres from its pelvis; x left, y up, z forward of the person."""
    betas: Float[np.ndarray, "10"]
    """Mean shape; with it and ``scale`` a body model gives ``rest_joints``. NaN where the result
    does not say it: ``Skin.betas`` does."""
    expressions: Float[np.ndarray, "n 10"]
    """Of the frames; a rig has a neutral face."""
    scale: float
    scores: Float[np.ndarray, " n"]
    states: Int[np.ndarray, " n"]
    """Numbers of ``human3r.types.TrackState``."""
    visible: Float[np.ndarray, "n 60"] | None
    """1 visible, 0 hidden, NaN outside the image or unknown; None where the run did not say."""
    covariances: Float[np.ndarray, "n 3 3"] | None
    """Of places, in the clip's axes, NaN where unknown; None where the run did not say."""

    def posed(self) -> Float[np.ndarray, "n 55 3"]:
        """The rig's joints, metres in the clip's axes."""
        return posed_joints(self.rotations, self.rest_joints, self.root)

    @property
    def name(self) -> str:
        """For files and nodes."""
        return f"person_{self.track_id}"


@dataclass(frozen=True)
class Clip:
    """Everything of a run in one set of axes."""

    source: str
    world: World
    stamps_ns: Int[np.ndarray, " frames"]
    clip_from_camera: Float[np.ndarray, "frames 4 4"]
    """Camera: x right, y down, z forward."""
    intrinsics: Float[np.ndarray, "frames 3 3"]
    size_px: Int[np.ndarray, "frames 2"]
    joint_names: tuple[str, ...]
    body_model: str
    people: tuple[Person, ...]
    left_out: tuple[int, ...]
    """Identities seen in too few frames."""
    points: Float[np.ndarray, "points 3"]
    """The static scene, metres in the clip's axes."""
    colors: np.ndarray
    """(points, 3) uint8."""
    images: Callable[[], dict[int, np.ndarray]]
    """Small pictures by number of the frame, as far as there are any."""
    cameras: tuple[ResultCamera, ...] = ()
    """Of several, their poses in the clip's axes; empty where there is one."""

    @property
    def times_s(self) -> Float[np.ndarray, " frames"]:
        """Of the frames, from 0."""
        return (self.stamps_ns - self.stamps_ns[0]) / 1e9

    @property
    def rate_hz(self) -> float:
        """The frame rate: one over the usual distance of two frames."""
        if len(self.stamps_ns) < 2:
            return 30.0
        return 1e9 / float(np.median(np.diff(self.stamps_ns)))

    @property
    def joint_parents(self) -> tuple[int, ...]:
        """Of the 55 rotating joints."""
        return skeleton.JOINT_PARENTS


def make_clip(
    result: Result,
    world: World,
    track_ids: Sequence[int] | None = None,
    min_share: float = DEFAULT_MIN_SHARE,
) -> Clip:
    """A result in the axes of ``world``.

    Args:
        result: of a run.
        world: of ``choose_world`` for the same result.
        track_ids: who is exported; None: all seen often enough.
        min_share: who is seen in fewer than this share of the frames is left out, by the rule of
            ``tracking.presence``.

    Raises:
        InputError: no person has one of the identities.
    """
    good = _finite_rows(result)
    seen, counts = np.unique(result.track_id[good], return_counts=True)
    often = counts >= frames_needed(len(result.stamps_ns), min_share)
    if track_ids is not None:
        unknown = sorted(set(track_ids) - set(seen.tolist()))
        if unknown:
            raise InputError(
                f"{result.folder}: nobody has the id {', '.join(map(str, unknown))}; expected of "
                f"{', '.join(map(str, seen.tolist())) or 'nobody'}. Name other people."
            )
        often = np.isin(seen, list(track_ids))
    clip_from_camera = world.from_world @ result.world_from_camera
    return Clip(
        source=result.source,
        world=world,
        stamps_ns=result.stamps_ns,
        clip_from_camera=clip_from_camera,
        intrinsics=result.intrinsics,
        size_px=result.size_px,
        joint_names=result.joint_names,
        body_model=result.body_model,
        people=tuple(
            _person(result, np.flatnonzero(good & (result.track_id == number)), clip_from_camera)
            for number in seen[often]
        ),
        left_out=tuple(int(number) for number in seen[~often]) if track_ids is None else (),
        points=moved(world.from_world, result.points_world),
        colors=result.colors,
        images=result.images,
        cameras=tuple(
            replace(camera, world_from_camera=world.from_world @ camera.world_from_camera)
            for camera in result.cameras
        ),
    )


def _finite_rows(result: Result) -> np.ndarray:
    arrays = (result.joints_camera, result.rotations, result.expression)
    good = np.isfinite(result.scale) & (result.scale > 0)
    for array in arrays:
        good &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    return good


def _person(result: Result, rows: np.ndarray, clip_from_camera: np.ndarray) -> Person:
    rows = rows[np.argsort(result.frame[rows], kind="stable")]
    frames, first = np.unique(result.frame[rows], return_index=True)
    rows = rows[first]
    pose = clip_from_camera[frames]
    camera_joints = result.joints_camera[rows].astype(np.float64)
    joints = camera_joints @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]
    rotations = skeleton_rotations(result.rotations[rows])
    rotations[:, 0] = pose[:, :3, :3] @ rotations[:, 0]
    rest = _rest_joints(rotations, joints)
    centred = posed_joints(rotations, rest, np.zeros((len(rows), 3)))
    seen_at = joints[:, : skeleton.NUM_JOINTS][:, _BODY_JOINTS].mean(axis=1)
    scale = result.scale[rows].astype(np.float64)
    return Person(
        track_id=int(result.track_id[rows[0]]),
        frames=frames,
        joints=joints,
        rotations=rotations,
        root=seen_at - centred[:, _BODY_JOINTS].mean(axis=1),
        rest_joints=rest,
        # Weighted, so that they and the mean scale give the mean of the frames' bones exactly.
        betas=(scale @ result.betas[rows]) / scale.sum(),
        expressions=result.expression[rows].astype(np.float64),
        scale=float(scale.mean()),
        scores=result.score[rows].astype(np.float64),
        states=result.track_state[rows].astype(np.int64),
        visible=None if result.visibility is None else result.visibility[rows],
        covariances=_placed(result.covariance, rows, pose[:, :3, :3]),
    )


def _placed(covariance: np.ndarray | None, rows: np.ndarray, turns: np.ndarray):
    """Covariances (n, 3, 3) of places, turned from camera to clip."""
    if covariance is None:
        return None
    places = covariance[rows].astype(np.float64).reshape(-1, 6, 6)[:, :3, :3]
    return turns @ places @ turns.transpose(0, 2, 1)


def _rest_joints(rotations: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Mean bones: where each joint is in its parent's frame, which posing does not change."""
    chained = global_rotations(rotations)
    rest = np.zeros((skeleton.NUM_JOINTS, 3))
    for joint, parent in enumerate(skeleton.JOINT_PARENTS[1:], start=1):
        offset = joints[:, joint] - joints[:, parent]
        inverse = chained[:, parent].transpose(0, 2, 1)
        rest[joint] = rest[parent] + (inverse @ offset[..., None])[..., 0].mean(axis=0)
    return rest


@dataclass(frozen=True)
class SteadyMotion:
    """A person at a fixed rate from first to last sight, as formats without time stamps need."""

    first_frame: int
    """Number of the first row's time slot since the clip's first frame."""
    rotations: Float[np.ndarray, "slots 55 3 3"]
    root: Float[np.ndarray, "slots 3"]
    joints: Float[np.ndarray, "slots joints 3"]
    expressions: Float[np.ndarray, "slots 10"]
    is_seen: np.ndarray
    """(slots,) bool; what was not seen is interpolated."""


def steady(clip: Clip, person: Person) -> SteadyMotion:
    """The person at the clip's frame rate; time slots without a sight are interpolated.

    Rotations go along the shortest arc, places along straight lines.

    Raises:
        InputError: stamps so uneven that there would be more than a million slots.
    """
    times = clip.times_s[person.frames]
    slots = np.round(times * clip.rate_hz).astype(np.int64)
    if slots[-1] - slots[0] >= _MAX_SLOTS:
        raise InputError(
            f"{clip.source}: {slots[-1] - slots[0]} steps of 1/{clip.rate_hz:.3g} s between first "
            f"and last sight; expected at most {_MAX_SLOTS}. Export a format with time stamps."
        )
    slots, keep = np.unique(slots, return_index=True)
    wanted = np.arange(slots[0], slots[-1] + 1)
    is_seen = np.isin(wanted, slots)
    return SteadyMotion(
        first_frame=int(slots[0]),
        rotations=_turned(slots, person.rotations[keep], wanted),
        root=_between(slots, person.root[keep], wanted),
        joints=_between(slots, person.joints[keep], wanted),
        expressions=_between(slots, person.expressions[keep], wanted),
        is_seen=is_seen,
    )


def _between(slots: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    columns = [np.interp(wanted, slots, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(wanted), *values.shape[1:])


def _turned(slots: np.ndarray, rotations: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if len(slots) == 1:
        return rotations
    joints = [
        Slerp(slots, Rotation.from_matrix(rotations[:, joint]))(wanted).as_matrix()
        for joint in range(rotations.shape[1])
    ]
    return np.stack(joints, axis=1)
