"""Where cameras are and how their clocks differ, from the people who walk before them.

The joints of one person, seen by two cameras at once, are correspondences. A rigid fit of their
places finds who is who, roughly where the cameras are and how far clocks are apart; then all
cameras and clocks are adjusted together. What counts there is how far joints lie from the epipolar
lines of the others, which is the adjustment of a bundle with its points eliminated to first order,
and whether bodies are as far away as they say, which gives the metres.

Source: Kabsch 1976 for the fit; Sampson 1982 and Hartley & Zisserman 2004, section 11.4, for the
distance; Huber-like robust losses of ``scipy.optimize.least_squares``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from scipy.optimize import least_squares, linear_sum_assignment
from scipy.spatial.transform import Rotation

from human3r.body.skeleton import JOINT_NAMES
from human3r.errors import InputError
from human3r.geometry import invert
from human3r.types import FrameEstimate, Intrinsics

_JOINTS = 22
_FEET = [10, 11]
_ANCHORS = [0, 1, 2, 9, 12, 15]
_LONGEST_GAP_S = 0.3
"""Joints between two sightings are interpolated over so long, ..."""
_AT_ONCE_S = 0.03
"""... and over any time, where one of the two was so near."""
_FEWEST_MOMENTS = 20
_SAME_M = 0.8
"""After a rigid fit, people nearer than this are one."""
_MIRRORED = 1.15
"""Where one image is mirrored, people agree so many times better with it mirrored again. Made-up
walkers: 1.3 to 14 times over 6 s and 15 s, and as much worse where none is."""
_STRIDE_S, _SLOWEST_M_PER_S = 0.5, 0.25
_SIGMA_PX = 3.0
_SIGMA_DEPTH = 0.08
_EFFECTIVE_JOINTS = 4.0
"""Joints of a body are wrong together: 22 of them know as much as so many."""
_EFFECTIVE_S = 0.3
"""So are the bodies of moments that are nearer than this."""
_MOST_MOMENTS = 200
_MOMENTS_OF_A_GUESS = 50
_NEAREST = 0.05
_OTHER_SIDE = [
    JOINT_NAMES.index(
        f"right{name[4:]}" if name.startswith("left") else name.replace("right", "left", 1)
    )
    for name in JOINT_NAMES[:_JOINTS]
]
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass
class Track:
    """One person before one camera."""

    times_s: list[float] = field(default_factory=list)
    joints_camera: list[np.ndarray] = field(default_factory=list)
    """(22, 3) metres each."""


@dataclass
class ViewTracks:
    """All people one camera saw."""

    name: str
    intrinsics: Intrinsics | None = None
    tracks: dict[tuple[int, int], Track] = field(default_factory=dict)
    """By session and number."""
    up_camera: list[np.ndarray] = field(default_factory=list)
    """Directions from hips to heads of upright people."""
    surfaces_up_camera: np.ndarray | None = None
    """(3,) unit vector against gravity, as the scene's surfaces say it; None where they do not."""
    times_s: list[float] = field(default_factory=list)

    def add(self, estimate: FrameEstimate, up_world: np.ndarray | None = None) -> None:
        """One more frame.

        Args:
            estimate: of it.
            up_world: (3,) unit vector against gravity in the estimate's world, where it is known.
        """
        if up_world is not None:
            self.surfaces_up_camera = up_world @ estimate.world_from_camera[:3, :3]
        self.intrinsics = estimate.source_camera
        time_s = estimate.stamp_ns * 1e-9
        self.times_s.append(time_s)
        for one in estimate.tracked:
            if one.is_measured:
                joints = one.person.joints_camera[:_JOINTS].astype(np.float64)
                self.add_joints((estimate.session, one.number), time_s, joints)

    def add_joints(self, key: tuple[int, int], time_s: float, joints: np.ndarray) -> None:
        """One person at one moment, (22, 3) metres in the camera frame."""
        if not np.isfinite(joints).all() or joints[:, 2].min() < _NEAREST:
            return
        track = self.tracks.setdefault(key, Track())
        track.times_s.append(time_s)
        track.joints_camera.append(joints)
        self.up_camera.append(joints[15] - joints[0])

    def mirrored(self) -> "ViewTracks":
        """The same people, had the image been mirrored."""
        tracks = {
            key: Track(
                track.times_s, [joints[_OTHER_SIDE] * _MIRROR for joints in track.joints_camera]
            )
            for key, track in self.tracks.items()
        }
        return replace(self, tracks=tracks)

    @property
    def seen_in(self) -> int:
        """In how many frames somebody was seen."""
        return len({time_s for track in self.tracks.values() for time_s in track.times_s})


@dataclass(frozen=True)
class CameraPose:
    """What was found about one camera."""

    world_from_camera: np.ndarray
    """(4, 4); z up, the floor at 0, the first camera above the origin looking along y."""
    time_offset_s: float
    """Added to its stamps, so that its clock agrees with the first camera's."""
    position_stddev_m: float
    rotation_stddev_rad: float
    offset_stddev_s: float


@dataclass(frozen=True)
class Extrinsics:
    """What was found about all cameras."""

    cameras: dict[str, CameraPose]
    residual_px: float
    """Median distance of joints from epipolar lines."""
    moments: int
    """Sightings of one person by two cameras."""
    no_clocks: str = ""
    """Why clocks cannot be told apart and count as equal, where they are not asked to be."""


def find_extrinsics(
    views: Sequence[ViewTracks], *, max_offset_s: float = 0.3, frame_s: float | None = None
) -> Extrinsics:
    """Poses and clocks of cameras that stand still.

    Args:
        views: at least two; the first one's clock counts.
        max_offset_s: most that clocks differ; 0: they agree, so only poses are looked for.
        frame_s: time between frames; None: what the first view's stamps say.

    Raises:
        InputError: too few people are seen by two cameras at once, or an image is mirrored.
    """
    if len(views) < 2:
        raise InputError(f"{len(views)} camera is given; expected at least two. Name more sources.")
    for view in views:
        if not view.tracks:
            raise InputError(
                f"camera {view.name}: saw nobody; expected people walking through its view. Look "
                "at its images, and at `human3r run` on it."
            )
    frame_s = frame_s or _usual_step_s(views[0])
    no_clocks = _no_clocks(views) if max_offset_s > 0 else ""
    max_offset_s = 0.0 if no_clocks else max_offset_s
    pairs = {}
    for i, j in combinations(range(len(views)), 2):
        found = _match_pair(views[i], views[j], max_offset_s, frame_s)
        mirrored = _match_pair(views[i], views[j].mirrored(), max_offset_s, frame_s)
        score = found.score if found else 0.0
        if mirrored is not None and mirrored.score > _MIRRORED * score:
            raise InputError(
                f"cameras {views[i].name} and {views[j].name}: their people are the same only if "
                "one of the two images is mirrored; expected images as lenses give them. Switch "
                "mirroring off in its driver, and record again."
            )
        if found is not None:
            pairs[i, j] = found
    start = _spanning_poses(views, pairs)
    return replace(_adjust(views, pairs, start, max_offset_s), no_clocks=no_clocks)


def _no_clocks(views: Sequence[ViewTracks]) -> str:
    """Why clocks cannot be told apart; empty: they can."""
    step_s = max(_usual_step_s(view) for view in views)
    if step_s > _LONGEST_GAP_S:
        return (
            f"images are {step_s:.2f} s apart; expected up to {_LONGEST_GAP_S:g} s, or what "
            "people do between two of them is not known. Record more images per second"
        )
    if _speed_m_per_s(views[0]) < _SLOWEST_M_PER_S:
        return "people hardly move; expected walking. Record people who walk across the images"
    return ""


def _speed_m_per_s(view: ViewTracks) -> float:
    """How fast people move across the image, the median over half a second each."""
    speeds = []
    for track in view.tracks.values():
        times_s = np.array(track.times_s)
        joints, is_known = joints_at(track, times_s + _STRIDE_S)
        now, then = np.stack(track.joints_camera)[:, _ANCHORS].mean(1), joints[:, _ANCHORS].mean(1)
        across = now[:, :2] / now[:, 2:] - then[:, :2] / then[:, 2:]
        moved = np.linalg.norm(across, axis=-1) * now[:, 2]
        speeds += (moved[is_known] / _STRIDE_S).tolist()
    return float(np.median(speeds)) if speeds else 0.0


# -- who is who ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """Two cameras that see the same people."""

    first_from_second: np.ndarray
    offset_s: float
    """Added to the second's stamps, they are the first's."""
    same: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    """Tracks of the first and of the second that are one person."""
    moments: int
    score: float
    """Of these, each counts the more the nearer the two bodies are: 1 at 0 m, 0 at ``_SAME_M``."""


def _usual_step_s(view: ViewTracks) -> float:
    times = np.unique([t for track in view.tracks.values() for t in track.times_s])
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.1


def joints_at(track: Track, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (times, 22, 3) between sightings, and where they are known."""
    known_s, joints = np.array(track.times_s), np.stack(track.joints_camera)
    after = np.clip(np.searchsorted(known_s, times_s), 1, max(len(known_s) - 1, 1))
    if len(known_s) < 2:
        return np.repeat(joints, len(times_s), 0), np.zeros(len(times_s), bool)
    before = after - 1
    gap_s = known_s[after] - known_s[before]
    share = (times_s - known_s[before]) / np.maximum(gap_s, 1e-9)
    away_s = np.minimum(np.abs(share), np.abs(1 - share)) * gap_s
    is_known = (share >= -1e-6) & (share <= 1 + 1e-6)
    is_known &= (gap_s <= _LONGEST_GAP_S) | (away_s <= _AT_ONCE_S)
    share = np.clip(share, 0, 1)[:, None, None]
    return (1 - share) * joints[before] + share * joints[after], is_known


def _match_pair(
    first: ViewTracks, second: ViewTracks, max_offset_s: float, frame_s: float
) -> _Pair | None:
    """The rigid motion and time offset under which most sightings of both agree."""
    steps = int(np.ceil(2 * max_offset_s / frame_s))
    offsets = np.linspace(-max_offset_s, max_offset_s, 2 * steps + 1)
    best: _Pair | None = None
    for a in first.tracks:
        for b in second.tracks:
            found = _fit_tracks(first.tracks[a], second.tracks[b], offsets)
            if found is None:
                continue
            pose, offset_s = found
            for _ in range(2):
                score, same, moments, pose = _agreement(first, second, pose, offset_s)
            if moments >= _FEWEST_MOMENTS and (best is None or score > best.score):
                best = _Pair(pose, offset_s, same, moments, score)
    return best


def _fit_tracks(
    first: Track, second: Track, offsets: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """first_from_second and the offset with the least misfit."""
    best = None
    step = max(1, len(first.times_s) // _MOMENTS_OF_A_GUESS)
    few = Track(first.times_s[::step], first.joints_camera[::step])
    for offset_s in offsets:
        ours, theirs = _together(few, second, offset_s)
        if len(ours) < _FEWEST_MOMENTS:
            continue
        pose = rigid_fit(theirs.reshape(-1, 3), ours.reshape(-1, 3))
        misfit = float(np.linalg.norm(_apply(pose, theirs) - ours, axis=-1).mean())
        if best is None or misfit < best[0]:
            best = misfit, pose, float(offset_s)
    return best[1:] if best else None


def _together(first: Track, second: Track, offset_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints of both at the moments of the first."""
    times_s = np.array(first.times_s)
    theirs, is_known = joints_at(second, times_s - offset_s)
    return np.stack(first.joints_camera)[is_known], theirs[is_known]


def _agreement(
    first: ViewTracks, second: ViewTracks, pose: np.ndarray, offset_s: float
) -> tuple[float, tuple, int, np.ndarray]:
    """How well people agree under a pose; who is who; the pose from all of them."""
    keys_a, keys_b = list(first.tracks), list(second.tracks)
    moments = np.zeros((len(keys_a), len(keys_b)))
    apart = np.full(moments.shape, np.inf)
    for i, a in enumerate(keys_a):
        for j, b in enumerate(keys_b):
            ours, theirs = _together(first.tracks[a], second.tracks[b], offset_s)
            if len(ours):
                moments[i, j] = len(ours)
                apart[i, j] = np.linalg.norm(_apply(pose, theirs) - ours, axis=-1).mean()
    gain = np.where(apart < _SAME_M, moments * (1 - np.minimum(apart, _SAME_M) / _SAME_M), 0.0)
    # A track may be lost and begun again: whoever goes on in one view may be two in the other.
    same = []
    left = gain.copy()
    while left.max() > 0:
        rows, columns = linear_sum_assignment(-left)
        for i, j in zip(rows, columns, strict=True):
            if left[i, j] > 0:
                same.append((keys_a[i], keys_b[j]))
        left[rows, columns] = 0.0
        is_new = np.isfinite(apart) & (apart < _SAME_M) & (left > 0)
        left = np.where(is_new, left, 0.0)
    total = int(sum(moments[keys_a.index(a), keys_b.index(b)] for a, b in same))
    if same:
        both = [_together(first.tracks[a], second.tracks[b], offset_s) for a, b in same]
        ours = np.concatenate([x for x, _ in both]).reshape(-1, 3)
        theirs = np.concatenate([x for _, x in both]).reshape(-1, 3)
        pose = rigid_fit(theirs, ours)
    return float(gain.sum()), tuple(same), total, pose


def rigid_fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """target_from_source (4, 4) that brings points (n, 3) nearest to others. Source: Kabsch."""
    middle_s, middle_t = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - middle_t).T @ (source - middle_s))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, middle_t - turn @ middle_s
    return pose


def _apply(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ pose[:3, :3].T + pose[:3, 3]


def _spanning_poses(
    views: Sequence[ViewTracks], pairs: Mapping[tuple[int, int], _Pair]
) -> dict[int, tuple[np.ndarray, float]]:
    """first_from_view and offset of every view, along the pairs that know most."""
    known = {0: (np.eye(4), 0.0)}
    while len(known) < len(views):
        open_pairs = [
            (p.moments, ij) for ij, p in pairs.items() if (ij[0] in known) != (ij[1] in known)
        ]
        if not open_pairs:
            missing = ", ".join(view.name for i, view in enumerate(views) if i not in known)
            seen = ", ".join(f"{v.name} in {v.seen_in} of {len(v.times_s)}" for v in views)
            raise InputError(
                f"camera {missing}: nobody was seen together with {views[0].name} for "
                f"{_FEWEST_MOMENTS} frames (somebody was seen by {seen}); expected people walking "
                "where both cameras look. Record longer, let them overlap, turn the images of a "
                "camera that hangs upside down, or raise --max-offset if clocks differ by more."
            )
        _, (i, j) = max(open_pairs)
        pair = pairs[i, j]
        if i in known:
            pose, offset_s = known[i]
            known[j] = pose @ pair.first_from_second, offset_s + pair.offset_s
        else:
            pose, offset_s = known[j]
            known[i] = pose @ invert(pair.first_from_second), offset_s - pair.offset_s
    return known


# -- all together --------------------------------------------------------------------------------


class _Problem:
    """Residuals of all pairs for poses and offsets of all views but the first."""

    def __init__(
        self,
        views: Sequence[ViewTracks],
        pairs: Mapping[tuple[int, int], _Pair],
        start: Mapping[int, tuple[np.ndarray, float]],
        with_clocks: bool,
    ) -> None:
        self._views, self._start = views, start
        self._with_clocks = with_clocks
        self.blocks = []
        for (i, j), pair in pairs.items():
            for a, b in pair.same:
                first, second = views[i].tracks[a], views[j].tracks[b]
                times_s = np.array(first.times_s)
                step = max(1, len(times_s) // _MOST_MOMENTS)
                self.blocks.append((i, j, times_s[::step], first, second, step))
        self.num_moments = 0
        self.epipolar_px = np.zeros(0)

    def unpack(self, x: np.ndarray) -> dict[int, tuple[np.ndarray, float]]:
        """first_from_view and offset of every view."""
        found = {0: (np.eye(4), 0.0)}
        for i in range(1, len(self._views)):
            turn, move, offset_s = np.split(x[7 * (i - 1) : 7 * i], [3, 6])
            start, start_s = self._start[i]
            pose = start.copy()
            pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix() @ start[:3, :3]
            pose[:3, 3] = start[:3, 3] + move
            found[i] = pose, start_s + float(offset_s[0]) * self._with_clocks
        return found

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Everything in its standard deviations; one size for every ``x``."""
        poses = self.unpack(x)
        epipolar, depth, weights = [], [], []
        for i, j, times_s, first, second, step in self.blocks:
            (pose_i, offset_i), (pose_j, offset_j) = poses[i], poses[j]
            theirs, is_known = joints_at(second, times_s + offset_i - offset_j)
            ours = np.stack(first.joints_camera[::step])
            i_from_j = invert(pose_i) @ pose_j
            focal = _focal(self._views[i]), _focal(self._views[j])
            epipolar.append(_sampson_px(ours, theirs, i_from_j, focal) * is_known[:, None])
            depth.append(_depth_misfit(ours, theirs, i_from_j) * is_known[:, None])
            weights.append(is_known)
        self.num_moments = int(sum(w.sum() for w in weights))
        self.epipolar_px = np.concatenate(
            [np.abs(e[w]).ravel() for e, w in zip(epipolar, weights, strict=True)]
        )
        share = np.sqrt(_EFFECTIVE_JOINTS / _JOINTS)
        rows = [share * e.ravel() / _SIGMA_PX for e in epipolar]
        rows += [d.ravel() / _SIGMA_DEPTH for d in depth]
        return np.concatenate(rows)


def _focal(view: ViewTracks) -> float:
    return view.intrinsics.fx if view.intrinsics is not None else 600.0


def _sampson_px(
    ours: np.ndarray, theirs: np.ndarray, first_from_second: np.ndarray, focal: tuple[float, float]
) -> np.ndarray:
    """Signed distance (moments, joints) of joints from their epipolar lines, pixels."""
    turn, move = first_from_second[:3, :3], first_from_second[:3, 3]
    a = np.concatenate([ours[..., :2] / ours[..., 2:], np.ones((*ours.shape[:-1], 1))], -1)
    b = np.concatenate([theirs[..., :2] / theirs[..., 2:], np.ones((*theirs.shape[:-1], 1))], -1)
    x, y, z = move
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    line_a, line_b = b @ essential.T, a @ essential
    numerator = (a * line_a).sum(-1)
    # Pixels of both images count alike, whatever their focal lengths.
    gradient = (line_a[..., :2] ** 2).sum(-1) / focal[0] ** 2
    gradient += (line_b[..., :2] ** 2).sum(-1) / focal[1] ** 2
    return numerator / np.sqrt(np.maximum(gradient, 1e-18))


def _depth_misfit(
    ours: np.ndarray, theirs: np.ndarray, first_from_second: np.ndarray
) -> np.ndarray:
    """Logarithm (moments, 2) of triangulated over estimated distance, in both cameras."""
    a, b = ours[:, _ANCHORS].mean(1), theirs[:, _ANCHORS].mean(1)
    ray_a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    ray_b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    turned = ray_b @ first_from_second[:3, :3].T
    move = first_from_second[:3, 3]
    # The two nearest points of the rays: s ray_a = t turned + move.
    cosine = (ray_a * turned).sum(-1)
    along_a, along_b = ray_a @ move, turned @ move
    sine2 = np.maximum(1 - cosine**2, 1e-4)
    s = (along_a - cosine * along_b) / sine2
    t = (cosine * along_a - along_b) / sine2
    said = np.stack([np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)], -1)
    found = np.maximum(np.stack([s, t], -1), _NEAREST)
    # Nearly parallel rays say nothing of distances.
    return np.log(found / said) * np.minimum(1.0, np.sqrt(sine2) / 0.3)[:, None]


def _adjust(
    views: Sequence[ViewTracks],
    pairs: Mapping[tuple[int, int], _Pair],
    start: dict[int, tuple[np.ndarray, float]],
    max_offset_s: float,
) -> Extrinsics:
    problem = _Problem(views, pairs, start, max_offset_s > 0)
    count = 7 * (len(views) - 1)
    scale = np.tile([0.05] * 3 + [0.1] * 3 + [0.02], len(views) - 1)
    found = least_squares(
        problem.residuals, np.zeros(count), loss="soft_l1", x_scale=scale, max_nfev=30
    )
    poses = problem.unpack(found.x)
    problem.residuals(found.x)
    if problem.num_moments < _FEWEST_MOMENTS:
        raise InputError(
            f"only {problem.num_moments} sightings are shared; expected {_FEWEST_MOMENTS} at "
            "least. Record longer."
        )
    for i, view in enumerate(views):
        if abs(poses[i][1]) > 1.5 * max_offset_s + 1e-9:
            raise InputError(
                f"camera {view.name}: its clock differs by {poses[i][1]:.2f} s, more than "
                f"{max_offset_s} s were expected. Set the clocks, or raise --max-offset."
            )
    step_s = _usual_step_s(views[0])
    inflation = max(1.0, _EFFECTIVE_S / max(step_s, 1e-3))
    information = found.jac.T @ found.jac
    covariance = inflation * np.linalg.pinv(information)
    world = _world_from_first(views, [poses[i][0] for i in range(len(views))])
    cameras = {}
    for i, view in enumerate(views):
        pose, offset_s = poses[i]
        spread = np.zeros(7)
        if i:
            block = slice(7 * (i - 1), 7 * i)
            spread = np.sqrt(np.maximum(np.diag(covariance)[block], 0))
        cameras[view.name] = CameraPose(
            world @ pose,
            offset_s,
            float(np.linalg.norm(spread[3:6])),
            float(np.linalg.norm(spread[:3])),
            float(spread[6]),
        )
    return Extrinsics(cameras, float(np.median(problem.epipolar_px)), problem.num_moments)


def _world_from_first(views: Sequence[ViewTracks], poses: Sequence[np.ndarray]) -> np.ndarray:
    """Z up, the floor at 0 where people's feet are, y ahead of the first camera.

    Up is what surfaces in all images say, else as people before the first camera stand.

    Args:
        views: of all cameras.
        poses: first_from_camera (4, 4) of each.
    """
    view, up = views[0], _mean_direction(views[0].up_camera)
    surfaces = [
        pose[:3, :3] @ other.surfaces_up_camera
        for other, pose in zip(views, poses, strict=True)
        if other.surfaces_up_camera is not None
    ]
    if surfaces:
        up = _mean_direction(surfaces)
    ahead = np.array([0.0, 0.0, 1.0])
    ahead = ahead - (ahead @ up) * up
    if np.linalg.norm(ahead) < 0.1:
        ahead = -np.array([0.0, 1.0, 0.0]) + up[1] * up
    ahead = ahead / np.linalg.norm(ahead)
    world = np.eye(4)
    world[:3, :3] = np.stack([np.cross(ahead, up), ahead, up])
    feet = np.concatenate(
        [np.stack(track.joints_camera)[:, _FEET].reshape(-1, 3) for track in view.tracks.values()]
    )
    # Of two feet the lower one stands; ankles of shoes are a little above the floor.
    world[2, 3] = -float(np.percentile(feet @ up, 25)) + 0.03
    return world


def _mean_direction(directions: Sequence[np.ndarray]) -> np.ndarray:
    """Unit vector of the medians of unit vectors' components."""
    stacked = np.stack(directions)
    median = np.median(stacked / np.linalg.norm(stacked, axis=-1, keepdims=True), axis=0)
    return median / np.linalg.norm(median)
