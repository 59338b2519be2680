"""Bodies from each of several real cameras, against what all of them see together.

    python benchmarks/real_people.py Demo_SinglePerson

The folder: ``videos/*.mp4`` of one person by calibrated cameras that run in step, and their
calibration by Qualisys, ``calibration/*.qca.txt``, as the demonstration of Pose2Sim has it
(github.com/perfanalytics/pose2sim, BSD-3-Clause). Every video goes through the whole pipeline on
its own, with the lens' distortion taken out, at half the size. The truth: shoulders, elbows,
wrists, hips, knees and ankles, found in every image by the landmark network and triangulated; good
to some centimetres. One camera whose left and right contradict the others' is turned round; its
frame is counted and its body left out of the means, as ``with left and right mixed up``.
"""

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from human3r_lab.evaluation.alignment import align_similarity
from rich.console import Console
from rich.table import Table
from scaffold import described, parser, write_result

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.errors import InputError
from human3r.io import open_source
from human3r.multiview.fusion import triangulate
from human3r.people.finder import FinderOptions, PeopleFinder
from human3r.people.fit.gauss_newton import SWAPPED, LandmarkBody
from human3r.people.fit.prior import read_prior
from human3r.pipeline import Pipeline
from human3r.types import Frame, Intrinsics, PersonEstimate

_POINTS = np.array([11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
"""Of the 33 landmarks: shoulders, elbows, wrists, hips, knees, ankles; left and right by turns."""
_HIPS, _SHOULDERS = slice(6, 8), slice(0, 2)
_QUALISYS_PER_PX, _QUALISYS_PER_M = 64.0, 1000.0
_OUTLIER, _MOST_OFF_PX, _FEWEST_POINTS = 0.4, 8.0, 8
"""A view without which a point's error is less than this share is left out; points seen worse than
that do not count."""
_SWAP_COSTS_PX = 1.5
_FARTHEST_PX = 60.0
"""Of a body's points from the true ones, the median: farther away it is somebody else."""
_COLUMNS = (
    ("frames", "frames", ".0f"),
    ("mpjpe_mm", "joints, mm", ".0f"),
    ("pa_mpjpe_mm", "aligned, mm", ".0f"),
    ("root_percent", "distance, %", ".1f"),
    ("root_signed_percent", "signed, %", "+.1f"),
    ("facing_deg", "facing, °", ".1f"),
    ("up_deg", "up, °", ".1f"),
    ("missed", "missed", ".0f"),
    ("mixed", "left, right mixed", ".0f"),
)


@dataclass(frozen=True)
class View:
    """One camera: calibration and video."""

    name: str
    video: Path
    matrix: np.ndarray
    """(3, 3) of the images as they are."""
    distortion: np.ndarray
    """(5,) as OpenCV orders it."""
    world_from_camera: np.ndarray
    """(4, 4) metres, world z up."""


@dataclass(frozen=True)
class Seen:
    """One image of a view."""

    pixels: np.ndarray
    """(33, 2) landmarks of the largest person; NaN where none is found."""
    camera: Intrinsics
    people: tuple[PersonEstimate, ...]
    up_camera: np.ndarray | None


def main() -> None:
    """One row per camera, and one of all."""
    command = parser(__doc__, with_json=True)
    command.add_argument("folder", type=Path)
    command.add_argument("--every", type=int, default=3, help="take every n-th image (%(default)s)")
    args = command.parse_args()
    torch.set_num_threads(1)
    views = read_views(args.folder)
    body = LandmarkBody(
        load_body_model(default_body_path(), torch.device("cpu")), read_prior().image_offsets_m
    )
    pipeline = Pipeline.from_settings()
    columns = [list(images_of(view, pipeline, args.every)) for view in views]
    rows: list[list[dict[str, float]]] = [[] for _ in views]
    for moment in zip(*columns, strict=False):
        points_world, off_px, is_mixed = true_points(views, moment)
        for number, (view, seen) in enumerate(zip(views, moment, strict=True)):
            found = compared(body, view, seen, points_world, off_px)
            rows[number].append({**found, "mixed": float(is_mixed[number])})
    names = [view.name for view in views]
    result = {name: pooled(some) for name, some in zip(names, rows, strict=True)}
    result["all"] = pooled(list(itertools.chain(*rows)))
    show(result)
    write_result(args.json, described(folder=args.folder.name, cameras=result))


def read_views(folder: Path) -> list[View]:
    """The cameras in the order of their names.

    Raises:
        InputError: no calibration, or another number of videos than of cameras.
    """
    videos = sorted((folder / "videos").glob("*.mp4"))
    files = sorted((folder / "calibration").glob("*.qca.txt"))
    cameras = list(ElementTree.parse(files[0]).iter("camera")) if files else []
    if len(cameras) < 3 or len(cameras) != len(videos):
        raise InputError(
            f"{folder}: {len(videos)} videos and {len(cameras)} calibrated cameras; expected as "
            "many of both, three at least, as videos/*.mp4 and calibration/*.qca.txt."
        )
    return [_view(camera, video) for camera, video in zip(cameras, videos, strict=True)]


def _view(camera: ElementTree.Element, video: Path) -> View:
    place, lens = camera.find("transform"), camera.find("intrinsic")
    if place is None or lens is None:
        raise InputError(f"{video}: its camera has no transform or no intrinsic; expected both.")
    number = lambda element, name: float(element.attrib[name])  # noqa: E731
    fx, fy, cx, cy = (
        number(lens, name) / _QUALISYS_PER_PX
        for name in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    )
    distortion = (
        *("radialDistortion1", "radialDistortion2"),
        *("tangentalDistortion1", "tangentalDistortion2", "radialDistortion3"),
    )
    pose = np.eye(4)
    turned = np.array([[number(place, f"r{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)])
    # Qualisys: rows are the axes of a camera that looks along its -z, y up.
    pose[:3, :3] = turned.T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = [number(place, axis) / _QUALISYS_PER_M for axis in "xyz"]
    return View(
        camera.attrib["serial"],
        video,
        np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        np.array([number(lens, name) for name in distortion]),
        pose,
    )


def images_of(view: View, pipeline: Pipeline, every: int) -> Iterator[Seen]:
    """What is found in a view's images, as a stream of its own."""
    pipeline.reset(keep_scale=False)
    find = PeopleFinder(FinderOptions(), torch.device("cpu"))
    with open_source(str(view.video)) as source:
        for frame in itertools.islice(source, 0, None, every):
            straight = cv2.undistort(frame.image, view.matrix, view.distortion)
            width, height = straight.shape[1] // 2, straight.shape[0] // 2
            image = cv2.resize(straight, (width, height), interpolation=cv2.INTER_AREA)
            (fx, _, cx), (_, fy, cy), _ = view.matrix / 2
            camera = Intrinsics(fx, fy, cx - 0.25, cy - 0.25, width, height)
            estimate = pipeline.step(Frame(image, frame.stamp_ns, camera))
            found = find(image, stamp_ns=frame.stamp_ns)
            pixels = [one.pixels for one in found] or [np.full((33, 2), np.nan)]
            largest = max(pixels, key=lambda some: np.ptp(some[_POINTS, 1]))
            up_camera = pipeline.level.up_camera(estimate.world_from_camera)
            yield Seen(largest, camera, estimate.people, up_camera)


def true_points(
    views: list[View], moment: tuple[Seen, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangulated points.

    Returns:
        (12, 3) world metres; (12,) how far off they are in the images, px; (views,) bool, whose
        left and right are mixed up.
    """
    best = None
    for mixed in (-1, *range(len(views))):
        is_mixed = np.arange(len(views)) == mixed
        points, off_px = _triangulated(views, moment, is_mixed)
        cost = float(np.minimum(off_px, 20.0).mean()) + _SWAP_COSTS_PX * is_mixed.sum()
        if best is None or cost < best[0]:
            best = cost, points, off_px, is_mixed
    assert best is not None
    return best[1:]


def _triangulated(
    views: list[View], moment: tuple[Seen, ...], is_mixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    poses = np.stack([view.world_from_camera for view in views])
    pixels = np.stack(
        [
            seen.pixels[np.array(SWAPPED)[_POINTS] if mixed else _POINTS]
            for seen, mixed in zip(moment, is_mixed, strict=True)
        ],
        axis=1,
    )
    cameras = [seen.camera.matrix() for seen in moment]
    rays = np.stack(
        [_homogeneous(pixels[:, i]) @ np.linalg.inv(k).T for i, k in enumerate(cameras)], axis=1
    )
    ends = np.einsum("vij,pvj->pvi", poses[:, :3, :3], rays) + poses[:, :3, 3]
    is_seen = np.isfinite(pixels).all(-1)
    ends, origins = np.nan_to_num(ends), np.broadcast_to(poses[:, :3, 3], ends.shape)

    def solved(is_used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = triangulate(origins, ends, is_used.astype(float))
        seen_at = np.stack(
            [_projected(p, k, points) for p, k in zip(poses, cameras, strict=True)], axis=1
        )
        off = np.where(is_used, np.linalg.norm(seen_at - np.nan_to_num(pixels), axis=-1), 0.0)
        return points, off

    points, off = solved(is_seen)
    mean = off.sum(1) / np.maximum(is_seen.sum(1), 1)
    is_kept = is_seen & (np.arange(off.shape[1]) != off.argmax(1)[:, None])
    again, off_again = solved(is_kept)
    mean_again = off_again.sum(1) / np.maximum(is_kept.sum(1), 1)
    is_better = (is_kept.sum(1) >= 3) & (mean_again < _OUTLIER * mean)
    mean = np.where(is_better, mean_again, mean)
    points = np.where(is_better[:, None], again, points)
    return points, np.where(is_seen.sum(1) >= 3, mean, np.inf)


def _homogeneous(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], -1)


def _projected(world_from_camera: np.ndarray, k: np.ndarray, points: np.ndarray) -> np.ndarray:
    camera = (points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    seen = camera @ k.T
    return seen[:, :2] / seen[:, 2:]


def compared(
    body: LandmarkBody, view: View, seen: Seen, points_world: np.ndarray, off_px: np.ndarray
) -> dict[str, float]:
    """Errors of the body at the true points, as ``_COLUMNS``; ``missed`` where there is none."""
    rotation, place = view.world_from_camera[:3, :3], view.world_from_camera[:3, 3]
    true, is_known = (points_world - place) @ rotation, off_px < _MOST_OFF_PX
    errors: dict[str, float] = {}
    if seen.up_camera is not None:
        errors["up_deg"] = _angle_deg(seen.up_camera, rotation[2])
    if is_known.sum() < _FEWEST_POINTS:
        return errors
    points = [_body_points(body, person) for person in seen.people]
    off = [_pixels_apart(one, true, seen.camera) for one in points]
    if not off or min(off) > _FARTHEST_PX:
        return {**errors, "missed": 1.0}
    made = points[int(np.argmin(off))]
    true_root, root = true[_HIPS].mean(0), made[_HIPS].mean(0)
    apart = np.linalg.norm((made - root) - (true - true_root), axis=1)[is_known]
    aligned = align_similarity(made[is_known], true[is_known]).apply(made[is_known])
    signed = np.linalg.norm(root) / np.linalg.norm(true_root) - 1.0
    return {
        **errors,
        "mpjpe_mm": 1e3 * float(apart.mean()),
        "pa_mpjpe_mm": 1e3 * float(np.linalg.norm(aligned - true[is_known], axis=1).mean()),
        "root_percent": 100 * float(np.linalg.norm(root - true_root) / np.linalg.norm(true_root)),
        "root_signed_percent": 100 * float(signed),
        "facing_deg": _angle_deg(_front(made), _front(true)),
    }


def _body_points(body: LandmarkBody, person: PersonEstimate) -> np.ndarray:
    """(12, 3) where the landmark network puts its points on this body, camera frame."""
    posed = body.pose(
        np.asarray(person.body.rotations[:22], float)[None], np.asarray(person.body.betas)[None]
    )
    marks = posed.marks[0, np.searchsorted(body.used, _POINTS)]
    return marks - posed.joints[0, 0] + person.joints_camera[0]


def _pixels_apart(points: np.ndarray, true: np.ndarray, camera: Intrinsics) -> float:
    return float(np.median(np.linalg.norm(camera.project(points) - camera.project(true), axis=1)))


def _front(points: np.ndarray) -> np.ndarray:
    """(3,) away from the trunk's front."""
    across = points[0] - points[1] + points[6] - points[7]
    return np.cross(across, points[_SHOULDERS].sum(0) - points[_HIPS].sum(0))


def _angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def pooled(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over the frames whose left and right are clear; facing and up: medians."""
    clear = [row for row in rows if not row["mixed"]]
    made = {"frames": float(len(rows))}
    for name, _, _ in _COLUMNS[1:-2]:
        values = [row[name] for row in clear if name in row]
        middle = np.median if name.endswith("_deg") else np.mean
        made[name] = float(middle(values)) if values else float("nan")
    made["missed"] = sum(row.get("missed", 0.0) for row in rows)
    return {**made, "mixed": sum(row["mixed"] for row in rows)}


def show(result: dict[str, dict[str, float]]) -> None:
    """The table."""
    table = Table("camera", *(title for _, title, _ in _COLUMNS))
    for name, numbers in result.items():
        table.add_row(name, *(format(numbers[key], form) for key, _, form in _COLUMNS))
    Console().print(table)


if __name__ == "__main__":
    main()
