"""A result as checked numbers, what every export begins with; and how it is read of a folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from human3r.body import skeleton
from human3r.errors import InputError
from human3r.io.people_file import FORMAT
from human3r.io.scene_file import read_ply
from human3r.npz import read_npz
from human3r.viewer.small_images import frame_images

_AGAIN = "Run `human3r run` again."
_ROWS = {
    "frame": ((), "i"),
    "track_id": ((), "i"),
    "score": ((), "f"),
    "rotations": ((53, 3, 3), "f"),
    "betas": ((10,), "f"),
    "expression": ((10,), "f"),
    "scale": ((), "f"),
    "joints_camera": ((None, 3), "f"),
}
_OPTIONAL = {
    "track_state": ((), "u"),
    "visibility": ((60,), "f"),
    "covariance": ((36,), "f"),
}
"""Columns that files of older versions lack."""
_FRAMES = {
    "frame_stamp_ns": ((), "i"),
    "frame_world_from_camera": ((4, 4), "f"),
    "frame_intrinsics": ((3, 3), "f"),
    "frame_size_px": ((2,), "i"),
}
_OPTIONAL_FRAMES = {"frame_session": ((), "i")}
_ONCE = (
    *("format", "joint_names", "joint_parents", "body_model", "body_model_sha256", "up_world"),
)
_MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class ResultCamera:
    """One of several cameras of a run. K images."""

    name: str
    stamps_ns: np.ndarray
    """(K,) int64, increasing, on the clock that all cameras share."""
    world_from_camera: np.ndarray
    """(K, 4, 4)."""
    intrinsics: np.ndarray
    """(K, 3, 3) of the source image."""
    size_px: np.ndarray
    """(K, 2): width and height of the source image."""
    images: Callable[[], dict[int, np.ndarray]]
    """Small pictures by number of the image, as far as there are any."""
    residual_px: float = float("nan")
    """How far its people lie from where the other cameras see them; NaN where unknown."""
    trouble: str = ""
    """What was wrong with it in a sentence."""


@dataclass(frozen=True)
class Result:
    """Everything of a run that exports need. N rows of people, F frames, J joints."""

    folder: Path
    source: str
    """What was run on, for example ``walk.mp4``."""
    frame: np.ndarray
    """(N,) int64: frame of each row."""
    track_id: np.ndarray
    """(N,) int64."""
    score: np.ndarray
    """(N,)."""
    rotations: np.ndarray
    """(N, 53, 3, 3): child in parent, the root in the camera frame."""
    betas: np.ndarray
    """(N, 10)."""
    expression: np.ndarray
    """(N, 10)."""
    scale: np.ndarray
    """(N,): factor on a body made from ``betas``."""
    joints_camera: np.ndarray
    """(N, J, 3) metres."""
    track_state: np.ndarray
    """(N,): numbers of ``human3r.types.TrackState``."""
    visibility: np.ndarray | None
    """(N, 60): 1 visible, 0 hidden, NaN outside the image or unknown; None where not saved."""
    covariance: np.ndarray | None
    """(N, 36) of the body's pose in the camera frame, NaN where unknown; None where not saved."""
    stamps_ns: np.ndarray
    """(F,) int64, increasing."""
    session: np.ndarray
    """(F,) int64: increases where the network's memory was reset."""
    world_from_camera: np.ndarray
    """(F, 4, 4)."""
    intrinsics: np.ndarray
    """(F, 3, 3) of the source image."""
    size_px: np.ndarray
    """(F, 2): width and height of the source image."""
    joint_names: tuple[str, ...]
    """55 rotating joints, then landmarks."""
    joint_parents: tuple[int, ...]
    body_model: str
    body_model_sha256: str
    body_model_file: str
    """Where the run found it; empty when unknown."""
    up_world: np.ndarray
    """(3,): up as the run's settings say it."""
    is_up_set: bool
    """The settings say how the first camera was tilted."""
    points_world: np.ndarray
    """(points, 3) float32 metres, the static scene; may have no rows."""
    colors: np.ndarray
    """(points, 3) uint8."""
    images: Callable[[], dict[int, np.ndarray]]
    """Small pictures by number of the frame, as far as there are any."""
    cameras: tuple[ResultCamera, ...] = ()
    """Of a run with several cameras; empty where there was one."""


def read_result(folder: str | Path) -> Result:
    """The results of a run.

    Args:
        folder: what ``human3r run`` wrote, with at least ``people.npz``.

    Raises:
        InputError: no such folder, no people file in it, or one that is damaged or of an older
            human3r.
    """
    folder = Path(folder)
    path = folder / "people.npz"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected the folder of a `human3r run` that saved people. "
            "Name that folder."
        )
    expected = f"people as {FORMAT}"
    names = (*_ROWS, *_OPTIONAL, *_FRAMES, *_OPTIONAL_FRAMES, *_ONCE)
    arrays = read_npz(path, names, InputError, expected, _AGAIN)
    _check(path, arrays)
    frames = {name: arrays[name] for name in _FRAMES}
    summary, settings = _document(folder / "summary.json"), _document(folder / "settings.yaml")
    points, colors = _scene(folder / "scene.ply")
    level, model = _section(settings, "level"), _section(settings, "model")
    return Result(
        folder=folder,
        source=str(summary.get("source", folder.name)),
        **{name: arrays[name] for name in _ROWS},
        track_state=arrays.get("track_state", np.ones(len(arrays["frame"]), np.uint8)),
        visibility=arrays.get("visibility"),
        covariance=arrays.get("covariance"),
        stamps_ns=frames["frame_stamp_ns"],
        session=arrays.get("frame_session", np.zeros(len(frames["frame_stamp_ns"]), np.int64)),
        world_from_camera=frames["frame_world_from_camera"].astype(np.float64),
        intrinsics=frames["frame_intrinsics"].astype(np.float64),
        size_px=frames["frame_size_px"],
        joint_names=tuple(str(name) for name in arrays["joint_names"]),
        joint_parents=tuple(int(parent) for parent in arrays["joint_parents"]),
        body_model=str(arrays["body_model"]),
        body_model_sha256=str(arrays["body_model_sha256"]),
        body_model_file=str(model.get("body_model") or ""),
        up_world=arrays["up_world"].astype(np.float64),
        is_up_set=bool(level.get("pitch_rad")),
        points_world=points,
        colors=colors,
        images=partial(frame_images, folder, len(frames["frame_stamp_ns"])),
        cameras=tuple(
            _camera(folder / name, _section(about, name))
            for about in [_document(folder / "cameras.json")]
            for name in about
        ),
    )


def _camera(folder: Path, about: dict[str, Any]) -> ResultCamera:
    """One of several cameras, of its own folder beside the people of all.

    Args:
        folder: with a ``people.npz``.
        about: its entry in ``cameras.json``.
    """
    path = folder / "people.npz"
    arrays = read_npz(path, tuple(_FRAMES), InputError, f"cameras as {FORMAT}", _AGAIN)
    if missing := [name for name in _FRAMES if name not in arrays]:
        raise InputError(f"{path}: has no {', '.join(missing)}; expected all of it. {_AGAIN}")
    count = len(np.atleast_1d(arrays["frame_stamp_ns"]))
    for name, (shape, kind) in _FRAMES.items():
        _check_shape(path, name, arrays[name], (count, *shape), kind)
    if count == 0:
        raise InputError(f"{path}: has no frames; expected some. {_AGAIN}")
    residual, offset_s = about.get("residual_px"), about.get("time_offset_s")
    offset_ns = round(1e9 * offset_s) if isinstance(offset_s, float) else 0
    return ResultCamera(
        name=folder.name,
        stamps_ns=arrays["frame_stamp_ns"] + offset_ns,
        world_from_camera=arrays["frame_world_from_camera"].astype(np.float64),
        intrinsics=arrays["frame_intrinsics"].astype(np.float64),
        size_px=arrays["frame_size_px"],
        images=partial(frame_images, folder, count),
        residual_px=float(residual) if isinstance(residual, float) else float("nan"),
        trouble=str(about.get("trouble") or ""),
    )


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse what an export could not work with."""
    seen = str(arrays["format"]) if "format" in arrays else "no format"
    if seen != FORMAT:
        raise InputError(f"{path}: says {seen}; expected {FORMAT}. {_AGAIN}")
    missing = [name for name in (*_ROWS, *_FRAMES, *_ONCE) if name not in arrays]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}; expected all of it. {_AGAIN}")
    of_frames = _FRAMES | _OPTIONAL_FRAMES
    for table, key in ((_ROWS | _OPTIONAL, "frame"), (of_frames, "frame_stamp_ns")):
        for name, (shape, kind) in table.items():
            if name in arrays:
                _check_shape(
                    path, name, arrays[name], (len(np.atleast_1d(arrays[key])), *shape), kind
                )
    num_frames, frame = len(arrays["frame_stamp_ns"]), arrays["frame"]
    if num_frames == 0 or (np.diff(arrays["frame_stamp_ns"]) <= 0).any():
        raise InputError(f"{path}: frames without order; expected increasing stamps. {_AGAIN}")
    if len(frame) and not (frame.min() >= 0 and frame.max() < num_frames):
        raise InputError(f"{path}: people of frames beyond {num_frames}. {_AGAIN}")
    names, joints = arrays["joint_names"], arrays["joints_camera"]
    if tuple(names[: skeleton.NUM_JOINTS]) != skeleton.JOINT_NAMES:
        raise InputError(f"{path}: other joints than those of SMPL-X come first. {_AGAIN}")
    if len(frame) and joints.shape[1] != len(names):
        raise InputError(f"{path}: {joints.shape[1]} joints, {len(names)} names. {_AGAIN}")
    _check_shape(path, "up_world", arrays["up_world"], (3,), "f")
    _check_shape(path, "joint_parents", parents := arrays["joint_parents"], (None,), "i")
    if len(parents) > len(names) or (parents >= np.arange(len(parents))).any():
        raise InputError(f"{path}: joint_parents name no joints before their own. {_AGAIN}")
    for name, array in arrays.items():
        # What is not known of a person is NaN there.
        if name not in _OPTIONAL and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds NaN or infinity. {_AGAIN}")


def _check_shape(
    path: Path, name: str, array: np.ndarray, shape: tuple[int | None, ...], kind: str
) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind != kind:
        raise InputError(
            f"{path}: {name} is {array.dtype} {array.shape}; expected {shape} of kind {kind!r}. "
            f"{_AGAIN}"
        )


def _document(path: Path) -> dict[str, Any]:
    """A JSON or YAML file as a mapping; empty when there is none."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            raise ValueError(f"larger than {_MAX_TEXT_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected what `human3r run` wrote. "
            "Remove the file, or run again."
        ) from error
    return value if isinstance(value, dict) else {}


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _scene(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.is_file():
        return read_ply(path)
    return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
