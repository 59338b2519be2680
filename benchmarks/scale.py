"""What a calibration and each scale.mode are worth, on the demo clip. Minutes of CPU.

    python benchmarks/scale.py [--weights FILE]

The clip is rendered with exact depth, poses and people; a robot with odometry, a depth camera and a
known camera height is made of that truth. Everything runs once per row through the pipeline. The
last table leaves the networks' scene out: the truth itself, in other units and with noise, goes to
each source of scale, so that the sources' own errors show.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from human3r_lab.clip_errors import demo_truth
from human3r_lab.datasets import ViewTruth
from scaffold import describe_environment, parser

from human3r.body import BodyModel, load_body_model
from human3r.config import Settings
from human3r.demo_clip import demo_clip_path
from human3r.io import open_source
from human3r.pipeline import Pipeline, with_shipped_files
from human3r.scale import MetricScale, ScaleReport, ScaleSources
from human3r.types import FrameEstimate, Intrinsics

DRIFT, DEPTH_NOISE, HOLES = 0.02, 0.03, 0.3
"""Of the robot's odometry, and of its depth camera."""
WRONG = 1.25
"""Metres per unit of the made-up network."""
BODY_JOINTS = 22
MATCHED_PX = 60.0
Stream = list[FrameEstimate]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--weights", default="", help="default: the networks of this package")
    args = command.parse_args()
    print(json.dumps(describe_environment()))
    truth = demo_truth()
    settings = Settings().replace({"model.weights": args.weights, "model.device": "cpu"})
    uncalibrated = run(settings, None)
    camera = source_camera(truth[0], uncalibrated[0])
    calibrated = run(settings, camera)
    body = load_body_model(with_shipped_files(settings).model.body_model, torch.device("cpu"))
    calibration_table({"none": uncalibrated, "given": calibrated}, truth, camera, body)
    modes_table(settings, truth, camera, body, [one.stamp_ns for one in calibrated])
    sources_table(calibrated, truth)


def run(
    settings: Settings, camera: Intrinsics | None, sources: ScaleSources | None = None
) -> Stream:
    """The clip through the whole pipeline."""
    return stream_of(settings, camera, sources)[0]


def stream_of(
    settings: Settings, camera: Intrinsics | None, sources: ScaleSources | None = None
) -> tuple[Stream, ScaleReport]:
    """The same, with the report of the scale at the end."""
    pipeline = Pipeline.from_settings(settings)
    if sources is not None:
        pipeline.scale.use(sources)
    with open_source(str(demo_clip_path())) as source:
        stream = [pipeline.step(replace(frame, intrinsics=camera)) for frame in source]
    return stream, pipeline.scale.report()


def source_camera(view: ViewTruth, estimate: FrameEstimate) -> Intrinsics:
    """The clip's true camera at the size the network got it."""
    k, g = view.intrinsics, estimate.geometry
    ratio = g.source_width_px / k.width_px
    cx, cy = (k.cx + 0.5) * ratio - 0.5, (k.cy + 0.5) * ratio - 0.5
    return Intrinsics(k.fx * ratio, k.fy * ratio, cx, cy, g.source_width_px, g.source_height_px)


# -- calibration -----------------------------------------------------------------------------------


def calibration_table(
    streams: dict[str, Stream], truth, camera: Intrinsics, body: BodyModel
) -> None:
    print(f"\ntrue focal length: {camera.fx:.0f} px\n")
    print("| camera_info | focal length | joints, px | people, m | scene points, m |")
    print("| --- | --- | --- | --- | --- |")
    for name, stream in streams.items():
        people = list(matched(stream, truth, body, camera))
        own = [one.source_camera for one in stream]
        pixels = [px(seen, own[i]) - px(true, camera) for i, seen, true in people]
        points = [point_error(e, t, camera) for e, t in zip(stream, truth, strict=True)]
        print(
            f"| {name} | {np.median([one.fx for one in own]):.0f} "
            f"| {np.median([np.linalg.norm(d, axis=-1).mean() for d in pixels]):.1f} "
            f"| {np.median([np.linalg.norm(s - t, axis=-1).mean() for _, s, t in people]):.2f} "
            f"| {np.median(points):.2f} |"
        )


def px(points: np.ndarray, camera: Intrinsics) -> np.ndarray:
    return points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def matched(stream, truth, body: BodyModel, camera: Intrinsics) -> Iterator[tuple]:
    """Frame number, joints seen and true joints (22, 3) of all people found near a true head."""
    for number, (estimate, view) in enumerate(zip(stream, truth, strict=True)):
        true = view.people
        if not len(true):
            continue
        arrays = (true.rotations, true.betas, true.expression, true.head_camera)
        with torch.inference_mode():
            given = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
            joints = body(*given).joints.numpy()[:, :BODY_JOINTS]
        heads = px(true.head_camera, camera)
        for person in estimate.people:
            away = np.linalg.norm(heads - person.head_px, axis=1)
            if away.min() < MATCHED_PX:
                yield number, person.joints_camera[:BODY_JOINTS], joints[away.argmin()]


def true_depth(estimate: FrameEstimate, view: ViewTruth) -> np.ndarray:
    """True depth (height, width) at the network's pixels; NaN where there is none."""
    g = estimate.geometry
    rows, cols = np.mgrid[0 : g.height_px, 0 : g.width_px]
    source = g.source_from_network(np.stack([cols, rows], -1))
    return sample(view, source, g.source_width_px)


def sample(view: ViewTruth, pixels: np.ndarray, source_width_px: int) -> np.ndarray:
    height, width = view.depth_m.shape
    cells = np.round((pixels + 0.5) * (width / source_width_px) - 0.5).astype(int)
    u, v = cells[..., 0].clip(0, width - 1), cells[..., 1].clip(0, height - 1)
    depth = view.depth_m[v, u].astype(float)
    return np.where(depth > 0, depth, np.nan)


def point_error(estimate: FrameEstimate, view: ViewTruth, camera: Intrinsics) -> float:
    depth, k = true_depth(estimate, view), estimate.geometry.network_intrinsics(camera)
    rows, cols = np.mgrid[0 : k.height_px, 0 : k.width_px]
    true = np.stack([(cols - k.cx) / k.fx * depth, (rows - k.cy) / k.fy * depth, depth], -1)
    return float(np.nanmean(np.linalg.norm(estimate.points_camera - true, axis=-1)))


# -- scale -----------------------------------------------------------------------------------------


def robot(truth, poses: list[np.ndarray], stamps: list[int], width_px: int) -> ScaleSources:
    """A robot that knows the truth as well as robots do."""
    rng, number = np.random.default_rng(0), {stamp: i for i, stamp in enumerate(stamps)}

    def pose_at(stamp_ns: int) -> np.ndarray:
        pose = poses[number[stamp_ns]].copy()
        pose[:3, 3] *= 1 + DRIFT
        return pose

    def depth_at(stamp_ns: int) -> Callable[[np.ndarray], np.ndarray]:
        def measure(pixels: np.ndarray) -> np.ndarray:
            depth = sample(truth[number[stamp_ns]], pixels, width_px)
            depth = depth * (1 + rng.normal(0, DEPTH_NOISE, depth.shape))
            return np.where(rng.random(depth.shape) < HOLES, np.nan, depth)

        return measure

    first = poses[0]
    return ScaleSources(
        pose_at=pose_at,
        depth_at=depth_at,
        camera_height_m=lambda: float(first[2, 3]),
    )


def said_of(report: ScaleReport) -> tuple[float, str]:
    """The scale measured, and its report in words."""
    if report.trouble:
        return np.nan, f"{report.value:.3f}; not measured: {report.trouble.split(';')[0]}"
    if np.isnan(report.measured):
        return np.nan, f"{report.value:g}"
    return report.measured, f"{report.measured:.3f} ± {report.relative_stddev:.1%}"


def modes_table(settings: Settings, truth, camera: Intrinsics, body: BodyModel, stamps) -> None:
    print("\n| scale.mode | depth, signed | people's distance, signed | scale |")
    print("| --- | --- | --- | --- |")
    poses = [view.world_from_camera for view in truth]
    late = len(truth) * 2 // 3
    for mode in ("network", "people", "camera_height", "depth", "odometry", "fused"):
        # One robot per row: its depth camera's noise is the same for all.
        sources = robot(truth, poses, stamps, camera.width_px)
        made, report = stream_of(settings.replace({"scale.mode": mode}), camera, sources)
        depth = [
            np.nanmedian(e.depth / true_depth(e, t))
            for e, t in zip(made[late:], truth[late:], strict=True)
        ]
        people = [
            np.linalg.norm(seen[0]) / np.linalg.norm(true[0])
            for _, seen, true in matched(made[late:], truth[late:], body, camera)
        ]
        print(
            f"| {mode} | {np.median(depth) - 1:+.1%} | {np.median(people) - 1:+.1%} "
            f"| {said_of(report)[1]} |"
        )


def sources_table(raw, truth) -> None:
    """The truth in other units: what is left is the sources' own error."""
    print(f"\n| scale.mode | the network, in units of {WRONG} m | error of the scale | said |")
    print("| --- | --- | --- | --- |")
    drive = [arc(i) for i in range(len(truth))]
    hand = [view.world_from_camera for view in truth]
    for mode, words, poses, noise in (
        ("people", "depth warped by 3 %; people as fitted", hand, 0.03),
        ("camera_height", "depth warped by 3 %", hand, 0.03),
        ("depth", "depth warped by 3 %", hand, 0.03),
        ("odometry", "drives 4 m, drifts by 1 %", drive, 0.01),
        ("odometry", "drives 4 m, drifts by 5 %", drive, 0.05),
        ("odometry", "held in a hand, moves by 8 cm", hand, 0.01),
        ("fused", "all of these, held in a hand", hand, 0.03),
    ):
        stream = list(in_other_units(raw, truth, poses, noise))
        stamps, width_px = [one.stamp_ns for one in raw], raw[0].geometry.source_width_px
        scale = MetricScale(
            Settings().replace({"scale.mode": mode}),
            robot(truth, poses, stamps, width_px),
            lambda seen, first=poses[0]: (first[:3, :3] @ seen[:3, :3])[2],
            people_are_metric=True,
        )
        for one in stream:
            scale.apply(one)
        measured, said = said_of(scale.report())
        error = "unchanged" if np.isnan(measured) else f"{measured / WRONG - 1:+.1%}"
        print(f"| {mode} | {words} | {error} | {said} |")


def arc(number: int) -> np.ndarray:
    """A robot's camera on a curve, 4 cm per frame; world z up."""
    yaw = 0.01 * number
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.sin(yaw), 0, np.cos(yaw)],
        [-np.cos(yaw), 0, np.sin(yaw)],
        [0, -1, 0],
    ]
    pose[:3, 3] = 4 * np.sin(yaw), 4 * (1 - np.cos(yaw)), 1.0
    return pose


def in_other_units(raw, truth, poses, noise: float) -> Iterator[FrameEstimate]:
    rng, wander, before = np.random.default_rng(1), np.zeros(3), poses[0][:3, 3]
    for one, view, pose in zip(raw, truth, poses, strict=True):
        wander = wander + noise * np.linalg.norm(pose[:3, 3] - before) * rng.normal(0, 3, 3)
        before = pose[:3, 3]
        seen = np.linalg.inv(poses[0]) @ pose
        seen[:3, 3] = (seen[:3, 3] + wander) / WRONG
        depth = true_depth(one, view) / WRONG
        depth = np.nan_to_num(depth, nan=50.0) * (1 + rng.normal(0, 0.005, depth.shape))
        # Networks err smoothly: here by some percent from one side of the picture to the other.
        depth *= 1 + noise * np.cos(np.linspace(0, np.pi, depth.shape[1]) + rng.uniform(0, 6))
        k = one.geometry.network_intrinsics(source_camera(view, one))
        rows, cols = np.mgrid[0 : k.height_px, 0 : k.width_px]
        points = np.stack([(cols - k.cx) / k.fx * depth, (rows - k.cy) / k.fy * depth, depth], -1)
        yield replace(one, points_camera=points.astype(np.float32), world_from_camera=seen)


if __name__ == "__main__":
    main()
