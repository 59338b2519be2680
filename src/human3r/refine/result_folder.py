"""A result folder of ``human3r run`` as a recording to refine, and back as a folder."""

import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from human3r.atomic import output_errors, whole_file
from human3r.body import skeleton
from human3r.errors import InputError
from human3r.export.result import Result, read_result
from human3r.export.skin import load_skin
from human3r.io.scene_cloud import SceneCloud
from human3r.io.scene_file import DEFAULT_VOXEL_M, write_ply
from human3r.io.trajectory import write_trajectory
from human3r.npz import read_npz
from human3r.refine.body_points import bodies, find_body_points
from human3r.refine.one_focal import OneFocal, one_focal
from human3r.refine.outcome import Refined
from human3r.refine.recording import PART_NAMES, Pose, Recording, Track, View
from human3r.scene.scene_depth import DepthImage

_PERSON = 0.3
"""A pixel more likely than this to show a person is no scene."""
_SCALE_STDDEV, _DEPTH_STDDEV = 0.05, 0.1
"""Of the live scale, and of the depth of one spot where the network says nothing about it: shares,
as on held-out sequences of the synthetic world (docs/refine.md)."""
_LOOKED_AT = 10
"""Frames whose confidence is looked at."""
_TIMES = ("seconds", "rate_hz", "stages_ms")
"""Of summary.json."""
_AGAIN = "Run `human3r run` again."
_FRAME_KEYS = (
    *("depth", "has_scene", "person_probability", "intrinsics", "image", "world_from_camera"),
    *("stamp_ns",),
)


@dataclass(frozen=True)
class Source:
    """A result folder that was read, with what is needed to write it again."""

    result: Result
    arrays: dict[str, np.ndarray]
    """Everything of people.npz."""
    recording: Recording
    """Along the rays of one camera."""
    focal: OneFocal
    """By which it was put there."""
    rows: tuple[Int[np.ndarray, " rows"], ...]
    """Per track, its rows in people.npz."""
    betas: tuple[Float[np.ndarray, "10"], ...]
    """Per track, the one shape."""
    frame_files: tuple[Path, ...]
    """Empty when frames were not saved."""
    missing: tuple[str, ...]
    """What was not saved and would have helped, in words."""


def read_source(folder: str | Path, body_model: str | Path | None = None) -> Source:
    """A result folder as a recording.

    Args:
        folder: what ``human3r run`` wrote.
        body_model: of that run; None: where the run found it.

    Raises:
        InputError: no result, a damaged one, or frames that do not belong to its people.
        BodyModelError: the body model is not there or another one.
    """
    folder = Path(folder)
    result = read_result(folder)
    arrays = read_npz(folder / "people.npz", None, InputError, "people", _AGAIN)
    needed = ("frame_session", "head_camera", "frame_intrinsics")
    if any(name not in arrays for name in needed):
        raise InputError(f"{folder / 'people.npz'}: has not all of {needed}. {_AGAIN}")
    files = tuple(sorted((folder / "frames").glob("[0-9]*.npz")))
    if files and len(files) != len(result.stamps_ns):
        raise InputError(
            f"{folder / 'frames'}: {len(files)} files; expected {len(result.stamps_ns)}, one per "
            f"frame of people.npz. {_AGAIN}"
        )
    tracks, rows, betas = _tracks(result, arrays, body_model)
    missing = []
    if not files:
        missing.append(
            "frames/ (depth and images): scales of stretches of time and loops cannot be told; "
            "save it with `human3r run --save +frames`"
        )
    if not files and len(result.points_world) == 0:
        missing.append("scene.ply: nothing says where the floor is; the scale stays as it is")
    has_network = _has_depth_network(folder)
    recording = Recording(
        stamps_ns=result.stamps_ns,
        session=arrays["frame_session"],
        world_from_camera=result.world_from_camera,
        tracks=tracks,
        view=partial(read_view, files),
        cloud=result.points_world.astype(np.float64),
        scale_stddev=_SCALE_STDDEV,
        depth_stddev=_depth_stddev(files) if has_network else _DEPTH_STDDEV,
    )
    focal = one_focal(arrays["frame_intrinsics"][:, 0, 0], has_network)
    recording = focal.recording(recording)
    return Source(result, arrays, recording, focal, rows, betas, files, tuple(missing))


def _has_depth_network(folder: Path) -> bool:
    """Whether the scene is from the network that tells depth over the focal length."""
    file = folder / "summary.json"
    summary = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return "depth" in summary.get("stages_ms", summary.get("stages", {}))


def _depth_stddev(files: tuple[Path, ...]) -> float:
    """The median of what the network says of its own depth."""
    errors = []
    for path in files[:: max(1, len(files) // _LOOKED_AT)]:
        names = ("depth", "confidence", "has_scene")
        arrays = read_npz(path, names, InputError, "a frame of `human3r run`", _AGAIN)
        if all(name in arrays for name in names) and arrays["has_scene"]:
            error = DepthImage(arrays["depth"], arrays["confidence"]).relative_error
            errors.append(float(np.median(error)))
    return float(np.median(errors)) if errors else _DEPTH_STDDEV


def read_view(files: tuple[Path, ...], frame: int) -> View | None:
    """Scene of a frame from its file; None where none was saved or looked at."""
    if not files:
        return None
    path = files[frame]
    expected = "a frame of `human3r run`"
    arrays = read_npz(path, _FRAME_KEYS, InputError, expected, _AGAIN)
    missing = [name for name in _FRAME_KEYS if name not in arrays]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}; expected {expected}. {_AGAIN}")
    if not arrays["has_scene"]:
        return None
    depth = arrays["depth"].astype(np.float64)
    is_scene = (arrays["person_probability"] < _PERSON) & np.isfinite(depth) & (depth > 0)
    return View(depth, arrays["intrinsics"].astype(np.float64), is_scene, arrays["image"])


def _tracks(
    result: Result, arrays: dict[str, np.ndarray], body_model: str | Path | None
) -> tuple[tuple[Track, ...], tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    tracks, row_lists, shapes = [], [], []
    if not len(result.frame):
        return (), (), ()
    skin = load_skin(result, body_model)
    points = find_body_points(skin.body, skin.dense_weights())
    for number in np.unique(result.track_id):
        rows = np.flatnonzero((result.track_id == number) & _is_finite(result, arrays))
        rows = rows[np.argsort(result.frame[rows], kind="stable")]
        rows = rows[np.unique(result.frame[rows], return_index=True)[1]]
        if not len(rows):
            continue
        weight = np.maximum(result.score[rows].astype(np.float64), 1e-3)
        betas = weight @ result.betas[rows] / weight.sum()
        posed = partial(
            bodies,
            skin.body,
            betas=np.tile(betas, (len(rows), 1)),
            expression=result.expression[rows],
            scale=result.scale[rows],
            vertices=points.vertices,
        )
        rotations = result.rotations[rows]
        joints, skin_points = posed(rotations, arrays["head_camera"][rows])
        covariance = None
        if "covariance" in arrays:
            covariance = arrays["covariance"][rows].reshape(-1, 6, 6).astype(np.float64)
        frames = result.frame[rows]
        limbs = Pose(rotations, posed)
        places = (joints, skin_points, points.parts, covariance)
        tracks.append(Track(int(number), frames, *places, limbs))
        row_lists.append(rows)
        shapes.append(betas)
    return tuple(tracks), tuple(row_lists), tuple(shapes)


def _is_finite(result: Result, arrays: dict[str, np.ndarray]) -> np.ndarray:
    good = np.isfinite(result.joints_camera).all(axis=(1, 2)) & (result.scale > 0)
    good &= np.isfinite(result.rotations).all(axis=(1, 2, 3))
    return good & np.isfinite(arrays["head_camera"]).all(axis=1)


def write_refined(folder: Path, source: Source, refined: Refined, report: dict[str, Any]) -> None:
    """The files of a result folder, refined: the same kind as ``human3r run`` writes.

    Pictures are not among them: those of the input show what was before.

    Args:
        folder: to write into; it exists.
        source: what was refined.
        refined: how it became.
        report: goes into refine.json.
    """
    arrays = refined_arrays(source, refined)
    _write_npz(folder / "people.npz", arrays)
    _write_npz(folder / "contacts.npz", contact_arrays(source, refined))
    poses = refined.recording.world_from_camera
    write_trajectory(folder / "trajectory.tum", source.recording.stamps_ns, poses)
    _write_scene(folder, source, refined, arrays)
    if (source.result.folder / "settings.yaml").is_file():
        with output_errors(folder):
            shutil.copyfile(source.result.folder / "settings.yaml", folder / "settings.yaml")
    _write_json(folder / "refine.json", report)
    summary_file = source.result.folder / "summary.json"
    summary = json.loads(summary_file.read_text("utf-8")) if summary_file.is_file() else {}
    path_m = float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())
    # How long the run took says nothing of this folder, and is another number every time.
    stages = summary.get("stages_ms", summary.get("stages", {}))
    summary = {name: value for name, value in summary.items() if name not in _TIMES}
    summary |= {"made_by": "human3r refine", "camera_path_m": round(path_m, 6)}
    summary["stages"] = sorted(stages)
    summary["files"] = sorted([p.name for p in folder.iterdir()] + ["summary.json"])
    _write_json(folder / "summary.json", summary)


def refined_arrays(source: Source, refined: Refined) -> dict[str, np.ndarray]:
    """Everything of people.npz after refinement; untouched where nothing spoke for a change."""
    arrays = dict(source.arrays)
    if not refined.has_changed:
        return arrays
    changed = ("joints_camera", "rotations", "betas", "head_camera")
    arrays |= {name: arrays[name].copy() for name in changed}
    tracks = refined.recording.tracks
    for track, rows, betas in zip(tracks, source.rows, source.betas, strict=True):
        if track.pose is not None:
            arrays["rotations"][rows] = track.pose.rotations
        arrays["betas"][rows] = betas
        arrays["joints_camera"][rows] = track.joints
        arrays["head_camera"][rows] = track.joints[:, skeleton.HEAD]
    poses = refined.recording.world_from_camera
    arrays["frame_world_from_camera"] = poses
    arrays["frame_intrinsics"] = arrays["frame_intrinsics"].copy()
    arrays["frame_intrinsics"][:, [0, 1], [0, 1]] *= source.focal.ratio[:, None]
    if "world_from_camera" in arrays:
        arrays["world_from_camera"] = poses[arrays["frame"]]
    return arrays


def contact_arrays(source: Source, refined: Refined) -> dict[str, np.ndarray]:
    """One row per contact at a key frame: who, where, how sure."""
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("frame", "track_id", "part", "place_world", "confidence", "is_moving")
    }
    for track, found, person in zip(
        refined.recording.tracks, refined.contacts, range(len(refined.contacts)), strict=True
    ):
        mine = np.flatnonzero(refined.rows.person == person)
        row = refined.rows.track_row[mine[found.row]]
        frame = track.frames[row]
        pose = refined.recording.world_from_camera[frame]
        place = np.einsum("nij,nj->ni", pose[:, :3, :3], track.points[row, found.point])
        columns["frame"].append(frame)
        columns["track_id"].append(np.full(len(row), track.track_id))
        columns["part"].append(track.parts[found.point])
        columns["place_world"].append(place + pose[:, :3, 3])
        columns["confidence"].append(found.confidence.astype(np.float32))
        columns["is_moving"].append(found.is_moving)
    empty = {"place_world": np.zeros((0, 3)), "is_moving": np.zeros(0, bool)}
    arrays = {
        name: np.concatenate(parts) if parts else empty.get(name, np.zeros(0))
        for name, parts in columns.items()
    }
    return {**arrays, "part_names": np.array(PART_NAMES)}


def _write_scene(
    folder: Path, source: Source, refined: Refined, arrays: dict[str, np.ndarray]
) -> None:
    poses = refined.recording.world_from_camera
    if not source.frame_files:
        if len(source.result.points_world):
            origin = source.recording.world_from_camera[0, :3, 3]
            scaled = origin + refined.frame_scale[0] * (source.result.points_world - origin)
            write_ply(folder / "scene.ply", scaled.astype(np.float32), source.result.colors)
        return
    with output_errors(folder):
        (folder / "frames").mkdir()
    cloud = SceneCloud(DEFAULT_VOXEL_M)
    recording = source.recording
    if not refined.has_changed:
        recording = replace(recording, view=partial(read_view, source.frame_files))
    for frame, path in enumerate(source.frame_files):
        old = read_npz(path, None, InputError, "a frame", _AGAIN)
        factor, pose = refined.frame_scale[frame], poses[frame]
        view = recording.view(frame)
        if view is not None:
            old["depth"] = (view.depth * factor).astype(np.float32)
        if refined.has_changed:
            for name in ("intrinsics", "source_intrinsics"):
                old[name] = source.focal.camera(old[name], frame)
        old["world_from_camera"] = pose
        old["scale"] = old["scale"] * factor
        _people_of_frame(old, arrays, frame)
        _write_npz(folder / "frames" / path.name, old)
        if view is not None:
            cloud.add(*_points(replace(view, depth=view.depth * factor), pose))
    points, colors, _ = cloud.result()
    write_ply(folder / "scene.ply", points, colors)


def _people_of_frame(
    frame_arrays: dict[str, np.ndarray], arrays: dict[str, np.ndarray], frame: int
) -> None:
    rows = np.flatnonzero(arrays["frame"] == frame)
    for place, number in enumerate(frame_arrays["track_id"]):
        row = rows[arrays["track_id"][rows] == number]
        if len(row):
            for name in ("joints_camera", "rotations", "betas", "head_camera"):
                frame_arrays[name][place] = arrays[name][row[0]]


def _points(view: View, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    v, u = np.nonzero(view.is_scene)
    rays = np.stack([u, v, np.ones(len(u))], axis=1) @ np.linalg.inv(view.camera).T
    points = rays * view.depth[v, u][:, None]
    world = points @ pose[:3, :3].T + pose[:3, 3]
    colors = view.image[v, u] if view.image is not None else np.full((len(u), 3), 128, np.uint8)
    return world, colors


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with whole_file(path) as file:
        file.write((json.dumps(document, indent=2) + "\n").encode("utf-8"))
