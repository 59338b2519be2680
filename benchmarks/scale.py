"""What a calibration and each scale.mode are worth, on streams with known truth. A minute of CPU.

    python benchmarks/scale.py [--weights FILE]

The network looks at the clip that comes along, rendered with exact depth, poses and people. The
last table leaves the network out: the truth itself, in other units and with noise, goes to each
source of scale, so that the sources' own errors show.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from environment import describe_environment

from human3r.body import BodyModel
from human3r.config import Settings
from human3r.datasets import ViewTruth
from human3r.demo_clip import demo_clip_path, demo_truth
from human3r.geometry.known_camera import seen_through
from human3r.io import open_source
from human3r.pipeline import Pipeline
from human3r.scale import MetricScale, ScaleSources
from human3r.types import FrameEstimate, Intrinsics

DRIFT, DEPTH_NOISE, HOLES = 0.02, 0.03, 0.3
"""Of the robot's odometry, and of its depth camera."""
WRONG = 1.25
"""Metres per unit of the made-up network."""
BODY_JOINTS = 22
MATCHED_PX = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="", help="default: the network that comes along")
    args = parser.parse_args()
    print(json.dumps(describe_environment()))
    truth = demo_truth()
    pipeline = Pipeline.from_settings(
        Settings().replace({"model.weights": args.weights, "model.device": "cpu"})
    )
    with open_source(str(demo_clip_path())) as source:
        raw = [pipeline.session.push(frame) for frame in source]
    camera = source_camera(truth[0], raw[0])
    known = [seen_through(one, camera) for one in raw]
    calibration_table(raw, known, truth, camera, pipeline.body_model)
    network_table(known, truth, pipeline.body_model, camera)
    sources_table(raw, truth)


def source_camera(view: ViewTruth, estimate: FrameEstimate) -> Intrinsics:
    """The clip's true camera at the size the network got it."""
    k, g = view.intrinsics, estimate.geometry
    ratio = g.source_width_px / k.width_px
    cx, cy = (k.cx + 0.5) * ratio - 0.5, (k.cy + 0.5) * ratio - 0.5
    return Intrinsics(k.fx * ratio, k.fy * ratio, cx, cy, g.source_width_px, g.source_height_px)


# -- calibration -----------------------------------------------------------------------------------


def calibration_table(raw, known, truth, camera: Intrinsics, body: BodyModel) -> None:
    focal = np.median([one.geometry.source_intrinsics(one.intrinsics).fx for one in raw])
    print(f"\nfocal length: estimated {focal:.0f} px, true {camera.fx:.0f} px\n")
    print("| camera_info | joints, px | people, m | scene points, m |")
    print("| --- | --- | --- | --- |")
    for name, stream in (("none", raw), ("given", known)):
        own = [one.geometry.source_intrinsics(one.intrinsics) for one in stream]
        cameras = own if name == "none" else [camera] * len(stream)
        people = list(matched(stream, truth, body, camera))
        pixels = [px(seen, cameras[i]) - px(true, camera) for i, seen, true in people]
        points = [point_error(e, t, camera) for e, t in zip(stream, truth, strict=True)]
        print(
            f"| {name} | {np.median([np.linalg.norm(d, axis=-1).mean() for d in pixels]):.1f} "
            f"| {np.median([np.linalg.norm(s - t, axis=-1).mean() for _, s, t in people]):.2f} "
            f"| {np.median(points):.2f} |"
        )


def px(points: np.ndarray, camera: Intrinsics) -> np.ndarray:
    return points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def matched(stream, truth, body: BodyModel, camera: Intrinsics) -> Iterator[tuple]:
    """Frame number, joints seen and true joints (22, 3) of everybody found near a true head."""
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
        up_camera=lambda seen: (first[:3, :3] @ seen[:3, :3])[2],
    )


def follow(mode: str, stream, sources: ScaleSources) -> tuple[list[FrameEstimate], float, str]:
    """The scaled stream, the scale measured in it, and what is said of that."""
    scale = MetricScale(Settings().replace({"scale.mode": mode}), sources)
    made = [scale.apply(one) for one in stream]
    report = scale.report()
    if report.trouble:
        return made, np.nan, f"not used: {report.trouble.split(';')[0]}"
    if np.isnan(report.measured):
        return made, np.nan, f"{report.value:g}"
    return made, report.measured, f"{report.measured:.3f} ± {report.relative_stddev:.1%}"


def network_table(stream, truth, body: BodyModel, camera: Intrinsics) -> None:
    print("\n| scale.mode | depth, signed | people's distance, signed | scale |")
    print("| --- | --- | --- | --- |")
    sources = robot(
        truth,
        [view.world_from_camera for view in truth],
        [one.stamp_ns for one in stream],
        camera.width_px,
    )
    late = len(stream) * 2 // 3
    for mode in ("network", "camera_height", "depth", "odometry"):
        made, _, words = follow(mode, stream, sources)
        depth = [
            np.nanmedian(e.depth / true_depth(e, t))
            for e, t in zip(made[late:], truth[late:], strict=True)
        ]
        people = [
            np.linalg.norm(seen[0]) / np.linalg.norm(true[0])
            for _, seen, true in matched(made[late:], truth[late:], body, camera)
        ]
        print(f"| {mode} | {np.median(depth) - 1:+.1%} | {np.median(people) - 1:+.1%} | {words} |")


def sources_table(raw, truth) -> None:
    """The truth in other units: what is left is the sources' own error."""
    print(f"\n| scale.mode | the network, in units of {WRONG} m | error of the scale | said |")
    print("| --- | --- | --- | --- |")
    drive = [arc(i) for i in range(len(truth))]
    hand = [view.world_from_camera for view in truth]
    for mode, words, poses, noise in (
        ("camera_height", "depth warped by 3 %", hand, 0.03),
        ("depth", "depth warped by 3 %", hand, 0.03),
        ("odometry", "drives 4 m, drifts by 1 %", drive, 0.01),
        ("odometry", "drives 4 m, drifts by 5 %", drive, 0.05),
        ("odometry", "held in a hand, moves by 8 cm", hand, 0.01),
    ):
        stream = list(in_other_units(raw, truth, poses, noise))
        stamps, width_px = [one.stamp_ns for one in raw], raw[0].geometry.source_width_px
        _, measured, said = follow(mode, stream, robot(truth, poses, stamps, width_px))
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
