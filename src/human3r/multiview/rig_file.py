"""A calibration file: where the cameras are, what their lenses are, how their clocks differ.

```yaml
cameras:
  left:
    world_from_camera:            # optical frame (x right, y down, z forward) in a world with z up
      position: [0.0, -3.0, 1.5]  # metres
      quaternion_xyzw: [-0.7071, 0.0, 0.0, 0.7071]
    intrinsics: {fx: 600.0, fy: 600.0, cx: 319.5, cy: 239.5, width: 640, height: 480}  # optional
    time_offset_s: 0.0            # optional: added to the stamps of its images
    source: left.mp4              # optional: video, folder, bag or topic
```
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.types import Intrinsics

_INTRINSICS = ("fx", "fy", "cx", "cy", "width", "height")


@dataclass(frozen=True)
class RigCamera:
    """One of several cameras."""

    name: str
    world_from_camera: np.ndarray
    """(4, 4); the world's z is up."""
    intrinsics: Intrinsics | None = None
    time_offset_s: float = 0.0
    """Added to the stamps of its images, so that all clocks agree."""
    source: str = ""
    """Video, folder, bag or topic; empty where it is named elsewhere."""
    stddev: tuple[float, float] | None = None
    """Of place in metres and rotation in radians, where a calibration told it."""


def read_rig(path: str | Path) -> dict[str, RigCamera]:
    """Cameras of a calibration file by name.

    Raises:
        InputError: missing, or not such a file.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; expected a calibration of cameras. docs/several-cameras.md "
            "shows one, and `human3r calibrate` writes one."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected YAML.") from error
    cameras = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(cameras, dict) or not cameras:
        raise InputError(
            f"{path}: has no `cameras`; expected a mapping of names to poses, as in "
            "docs/several-cameras.md."
        )
    return {str(name): _camera(path, str(name), given) for name, given in cameras.items()}


def _camera(path: Path, name: str, given: Any) -> RigCamera:
    def wrong(what: str) -> InputError:
        return InputError(
            f"{path}: camera {name}: {what}. docs/several-cameras.md shows how it is written."
        )

    known = {"world_from_camera", "intrinsics", "time_offset_s", "source", "stddev"}
    if not isinstance(given, dict) or not isinstance(given.get("world_from_camera"), dict):
        raise wrong("world_from_camera is missing; expected position and quaternion_xyzw")
    if unknown := sorted(map(str, set(given) - known)):
        raise wrong(f"knows {', '.join(unknown)}; expected only {', '.join(sorted(known))}")
    try:
        pose = given["world_from_camera"]
        position = np.array(pose["position"], np.float64).reshape(3)
        quaternion = np.array(pose["quaternion_xyzw"], np.float64).reshape(4)
        offset_s = float(given.get("time_offset_s", 0.0))
        spread = given.get("stddev")
        stddev = (float(spread["position_m"]), float(spread["rotation_rad"])) if spread else None
        lens = given.get("intrinsics")
        intrinsics = (
            Intrinsics(
                float(lens["fx"]),
                float(lens["fy"]),
                float(lens["cx"]),
                float(lens["cy"]),
                int(lens["width"]),
                int(lens["height"]),
            )
            if lens
            else None
        )
    except (KeyError, TypeError, ValueError) as error:
        raise wrong(f"has unusable numbers ({type(error).__name__}: {error})") from error
    length = float(np.linalg.norm(quaternion))
    if not np.isfinite(np.array([*position, length, offset_s])).all() or not 0.99 < length < 1.01:
        raise wrong(
            f"position {position.tolist()}, quaternion {quaternion.tolist()}; expected finite "
            "numbers and a quaternion of length 1"
        )
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    world_from_camera[:3, 3] = position
    source = str(given.get("source", ""))
    return RigCamera(name, world_from_camera, intrinsics, offset_s, source, stddev)


def source_in(source: str, folder: Path) -> str:
    """A ``source`` of a calibration file, which is relative to the file's folder."""
    path, colon, topic = source.partition(":/")
    return f"{folder / path}{colon}{topic}"


def split_source(source: str) -> tuple[str, str | None]:
    """Path and, of ``BAG:/TOPIC``, the topic."""
    path, has_topic, topic = source.partition(":/")
    # rtsp://camera is no bag.
    if topic.startswith("/"):
        return source, None
    return path, f"/{topic}" if has_topic else None


def rig_text(cameras: dict[str, RigCamera]) -> str:
    """The file of cameras, as YAML."""
    return yaml.safe_dump({"cameras": {n: _entry(c) for n, c in cameras.items()}}, sort_keys=False)


def write_rig(path: str | Path, cameras: dict[str, RigCamera]) -> None:
    """Write a calibration file, whole or not at all.

    Raises:
        OutputError: not writable.
    """
    with whole_file(Path(path)) as file:
        file.write(rig_text(cameras).encode("utf-8"))


def _entry(camera: RigCamera) -> dict[str, Any]:
    pose = camera.world_from_camera
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
    entry: dict[str, Any] = {
        "world_from_camera": {
            "position": [round(float(x), 6) for x in pose[:3, 3]],
            "quaternion_xyzw": [round(float(x), 8) for x in quaternion],
        }
    }
    if camera.intrinsics is not None:
        lens = camera.intrinsics
        values = *map(float, (lens.fx, lens.fy, lens.cx, lens.cy)), lens.width_px, lens.height_px
        entry["intrinsics"] = dict(zip(_INTRINSICS, values, strict=True))
    if camera.time_offset_s:
        entry["time_offset_s"] = round(float(camera.time_offset_s), 6)
    if camera.stddev is not None:
        position, rotation = camera.stddev
        entry["stddev"] = {"position_m": round(position, 5), "rotation_rad": round(rotation, 6)}
    if camera.source:
        entry["source"] = camera.source
    return entry
