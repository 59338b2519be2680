"""How good and how fast the scene's depth is, on synthetic sequences with their truth.

    human3r synth data/easy --split val --difficulty easy --sequences 60 --frames 4 --rate 2
    python benchmarks/scene_depth.py data/easy

Of all that ``human3r run`` makes of a stream, with what the camera's motion adds and without:

    human3r synth data/moving --split val --difficulty easy --sequences 24 --frames 24 --rate 6
    python benchmarks/scene_depth.py data/moving --depth-of pipeline
    python benchmarks/scene_depth.py data/moving --depth-of pipeline --no-motion

Per image: Abs Rel, the same after the best scale (median of logs), the share of pixels off by less
than a quarter before and after, the median error on people, how far the scale of people is off,
and by how much the error of a point that stands still changes from the image before (mean of
logs). Pixels without depth (sky) and beyond 60 m do not count. Printed are means over the images;
of Abs Rel the median too. Milliseconds are processor time of all threads for one image, means.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from human3r_lab.datasets import ViewTruth, open_folder

from human3r.config import Settings
from human3r.geometry import invert, transform_points
from human3r.pipeline import Pipeline
from human3r.scene.scene_depth import SceneDepth
from human3r.types import Frame

_FARTHEST_M = 60.0
_FEWEST_PIXELS = 30
_COLUMNS = ("Abs Rel", "scaled", "d<1.25", "scaled", "<8 m", "people", "their scale", "flicker")
_SAME = 0.03
"""Truth of two images at one place, logarithms, of one surface."""

Predictor = Callable[[ViewTruth, bool], np.ndarray]
"""Depth in metres of a view; and whether the view is the first of its sequence."""


def scene_network(weights: Path | None) -> Predictor:
    """The network of ``human3r.scene``."""
    scene_depth = SceneDepth(weights)
    return lambda view, is_first: scene_depth(view.image, view.intrinsics).depth_m


def whole_pipeline(*, with_motion: bool) -> Predictor:
    """What ``human3r run`` makes of the stream, calibration given."""
    pipeline = Pipeline.from_settings(Settings().replace({"scene.motion": with_motion}))

    def predict(view: ViewTruth, is_first: bool) -> np.ndarray:
        if is_first:
            pipeline.reset(keep_scale=False)
        frame = Frame(view.image, view.stamp_ns + 1, view.intrinsics)
        return np.maximum(pipeline.step(frame).depth, 1e-3)

    return predict


def errors(depth_m: np.ndarray, view: ViewTruth) -> list[float]:
    """The numbers of one image, as ``_COLUMNS``."""
    known = (view.depth_m > 0) & (view.depth_m < _FARTHEST_M)
    ratio = depth_m[known] / view.depth_m[known]
    scaled = ratio / np.exp(np.median(np.log(ratio)))
    is_near, is_person = view.depth_m[known] < 8, view.person_index[known] > 0
    people = ratio[is_person] if is_person.sum() >= _FEWEST_PIXELS else np.array([np.nan])
    return [
        float(np.abs(ratio - 1).mean()),
        float(np.abs(scaled - 1).mean()),
        float((np.maximum(ratio, 1 / ratio) < 1.25).mean()),
        float((np.maximum(scaled, 1 / scaled) < 1.25).mean()),
        float(np.abs(ratio[is_near] - 1).mean()) if is_near.any() else np.nan,
        float(np.median(np.abs(people - 1))),
        float(np.abs(np.log(np.median(people)))),
    ]


def flicker(then: tuple[np.ndarray, ViewTruth], depth_m: np.ndarray, view: ViewTruth) -> float:
    """Mean change of log(depth / truth) from an image to the next, at points that stand still.

    Args:
        then: depth and truth of the image before.
        depth_m: of this one.
        view: truth of this one.
    """
    depth_then_m, before = then
    rows, columns = np.nonzero(_is_still(before))
    true_m = before.depth_m[rows, columns]
    rays = np.column_stack((columns, rows, np.ones(len(rows))))
    points = (rays @ np.linalg.inv(before.intrinsics.matrix()).T) * true_m[:, None]
    points = transform_points(invert(view.world_from_camera) @ before.world_from_camera, points)
    there = points @ view.intrinsics.matrix().T
    here = np.rint(there[:, :2] / np.maximum(there[:, 2:], 1e-3)).astype(int)
    height, width = view.depth_m.shape
    inside = (here >= 0).all(1) & (here < (width, height)).all(1) & (points[:, 2] > 0)
    x, y = here[inside].T
    is_same = np.abs(np.log(np.maximum(view.depth_m[y, x], 1e-3) / points[inside, 2])) < _SAME
    is_same &= _is_still(view)[y, x]
    x, y, origin = x[is_same], y[is_same], np.flatnonzero(inside)[is_same]
    error = np.log(depth_m[y, x] / view.depth_m[y, x])
    error_then = np.log(depth_then_m[rows, columns][origin] / true_m[origin])
    return float(np.abs(error - error_then).mean()) if len(x) else np.nan


def _is_still(view: ViewTruth) -> np.ndarray:
    return (view.depth_m > 0) & (view.depth_m < _FARTHEST_M) & (view.person_index == 0)


def views(folder: Path) -> Iterator[tuple[ViewTruth, bool]]:
    """Every view of every sequence, and whether it is the first of its sequence."""
    for sequence in open_folder(folder):
        for index in range(len(sequence)):
            yield sequence.view(index), index == 0


def main() -> None:
    """One row per folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--depth-of", choices=("scene", "pipeline"), default="scene")
    parser.add_argument("--no-motion", action="store_true", help="pipeline: each image alone")
    parser.add_argument("--weights", type=Path, help="of the scene's network; default: ours")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.depth_of == "scene":
        predict = scene_network(args.weights)
    else:
        predict = whole_pipeline(with_motion=not args.no_motion)
    print(f"{'':24} images  {'  '.join(_COLUMNS)}  Abs Rel median   ms")
    for folder in args.folders:
        rows, spent_ms, before = [], [], None
        for view, is_first in views(folder):
            began = time.process_time()
            depth_m = predict(view, is_first)
            spent_ms.append(1e3 * (time.process_time() - began))
            steady = np.nan if is_first else flicker(before, depth_m, view)
            rows.append([*errors(depth_m, view), steady])
            before = depth_m, view
        means = [
            f"{value:{len(name)}.3f}"
            for name, value in zip(_COLUMNS, np.nanmean(rows, axis=0), strict=True)
        ]
        middle = np.median([row[0] for row in rows])
        print(
            f"{folder.name:24} {len(rows):6}  {'  '.join(means)}  {middle:14.3f}   "
            f"{np.mean(spent_ms):5.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
