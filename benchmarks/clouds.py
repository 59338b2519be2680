"""What a cloud costs the node: selected, built and serialised, against the way before.

    python benchmarks/clouds.py [--points 20000] [--repeats 200] [--json FILE]

Both ways are measured in turn within one run. On a busy machine the least of many repeats is what
the code costs; the median says how busy the machine was.
"""

import statistics
import sys
import time
from collections.abc import Callable

import human3r_ros  # noqa: F401 - settles the client library before the messages are imported.
import numpy as np
from human3r_ros import scene_messages
from rclpy.serialization import serialize_message
from scaffold import described, parser, write_result
from sensor_msgs.msg import PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from human3r.config import SceneSettings
from human3r.mapping.points import select_points, select_static_points
from human3r.mapping.voxel_map import VoxelMap
from human3r.types import FrameEstimate, ImageGeometry, Intrinsics, PointSet

HEIGHT, WIDTH, FOCAL = 384, 512, 450.0


def main() -> int:
    command = parser(__doc__, with_json=True)
    command.add_argument("--points", type=int, default=20_000)
    command.add_argument("--repeats", type=int, default=200)
    options = command.parse_args()
    points, header = made_up_points(options.points), Header(frame_id="camera")
    estimate, scene = room(), SceneSettings(max_points=options.points)
    voxels, static = VoxelMap(0.05, 500_000), select_static_points(room(), SceneSettings())
    voxels.add(static.points, static.colors, 1)
    ways: dict[str, Callable[[], object]] = {
        "built and serialised, structured array": lambda: serialize_message(
            structured_cloud(points, header)
        ),
        "built and serialised, as now": lambda: serialize_message(
            scene_messages.cloud(points, header, with_labels=True)
        ),
        "selected, with people": lambda: select_points(estimate, scene),
        "selected, people removed": lambda: select_static_points(estimate, scene),
        "one frame into the map": lambda: voxels.add(static.points, static.colors, 2),
    }
    result = described(points=options.points, milliseconds=measure(ways, options.repeats))
    print_table(result)
    write_result(options.json, result)
    return 0


def measure(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Least and median time of each, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            start_s = time.thread_time()
            work()
            times[name].append(1000 * (time.thread_time() - start_s))
    return {
        name: {"least": min(found), "median": statistics.median(found)}
        for name, found in times.items()
    }


def print_table(result: dict) -> None:
    print(f"{result['date']}  {result['cpu']}, commit {result['commit']}")
    print(f"{result['points']} points; milliseconds\n{'':44}{'least':>8}{'median':>8}")
    found = result["milliseconds"]
    for name, numbers in found.items():
        print(f"  {name:42}{numbers['least']:8.2f}{numbers['median']:8.2f}")
    before, now = (found[name]["least"] for name in list(found)[:2])
    print(f"\nbuilding and serialising takes 1/{before / now:.1f} of the time before")


def structured_cloud(points: PointSet, header: Header):
    """As it was built before: a structured array handed to sensor_msgs_py."""
    names = ("x", "y", "z", "rgb", "confidence")
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(names)
    ]
    fields.append(PointField(name="label", offset=20, datatype=PointField.UINT16, count=1))
    rows = np.zeros(len(points.points), point_cloud2.dtype_from_fields(fields, 24))
    for axis, name in enumerate("xyz"):
        rows[name] = points.points[:, axis]
    rgb = points.colors.astype(np.uint32)
    rows["rgb"] = (rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).view(np.float32)
    rows["confidence"], rows["label"] = points.confidence, points.labels
    return point_cloud2.create_cloud(header, fields, rows, 24)


def made_up_points(count: int) -> PointSet:
    rng = np.random.default_rng(0)
    return PointSet(
        rng.standard_normal((count, 3)).astype(np.float32),
        rng.integers(0, 255, (count, 3), np.uint8),
        rng.uniform(1, 9, count).astype(np.float32),
        rng.integers(0, 4, count).astype(np.uint16),
    )


def room() -> FrameEstimate:
    """Floor and back wall without people, seen at the network's resolution."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    rays = np.stack([(u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u)], -1)
    with np.errstate(divide="ignore"):
        floor_m = np.where(rays[..., 1] > 0, 1.3 / rays[..., 1], np.inf)
    points = rays * np.minimum(floor_m, 5.0)[..., None].astype(np.float32)
    rng = np.random.default_rng(0)
    return FrameEstimate(
        stamp_ns=1,
        session=0,
        frame_index=0,
        geometry=ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        image=rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
        points_camera=points,
        confidence=np.full((HEIGHT, WIDTH), 5.0, np.float32),
        person_probability=np.zeros((HEIGHT, WIDTH), np.float32),
        world_from_camera=np.eye(4),
        intrinsics=Intrinsics(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT),
        people=(),
    )


if __name__ == "__main__":
    sys.exit(main())
