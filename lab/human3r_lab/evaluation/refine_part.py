"""What refinement gains and costs: a result before and after it against the truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.errors import InputError
from human3r.export.result import Result, read_result
from human3r.npz import read_npz
from human3r_lab.evaluation.trajectory_metrics import trajectory_errors
from human3r_lab.evaluation.world_metrics import (
    foot_sliding_mm,
    jitter,
    root_translation_error_percent,
    world_aligned_mpjpe_mm,
    world_mpjpe_mm,
)

_BODY = slice(0, 22)
_FEET = (10, 11)
_FARTHEST_M = 1.5
"""A person farther from the true one is another one."""
_FEWEST_FRAMES = 10
_MOVES_M = 0.5
"""Errors are shares of the way of people and cameras only where they go so far."""

MEASURES = {
    "rte_percent": "RTE, % of the way, rigid (people who go 0.5 m or more)",
    "wa_mpjpe_mm": "WA-MPJPE, mm",
    "w_mpjpe_mm": "W-MPJPE, mm",
    "foot_sliding_mm": "foot sliding, mm per frame",
    "jitter": "jitter, 10 m/s^3 (truth in brackets)",
    "sole_height_mm": "standing foot, mm from its true height",
    "camera_scale": "true / estimated size of the camera's path (of 0.5 m or more)",
    "camera_drift_m": "camera drift, m, nothing aligned",
}
"""Names and words of the numbers, in the order of a table."""


@dataclass(frozen=True)
class ClipTruth:
    """The truth about a clip, joints in the true world."""

    stamps_ns: np.ndarray
    world_from_camera: Float[np.ndarray, "frames 4 4"]
    joints_world: Float[np.ndarray, "frames people joints 3"]
    """NaN where a person is not there."""


def read_truth(path: Path) -> ClipTruth:
    """The truth of ``datasets.clip_truth``, with bodies posed.

    Raises:
        InputError: another kind of file.
    """
    wanted = ("stamp_ns", "world_from_camera", "rotations", "betas", "expression", "head_camera")
    advice = "Name the truth of a clip of the synthetic world."
    arrays = read_npz(path, wanted, InputError, "the truth about a clip", advice)
    if any(name not in arrays for name in wanted):
        raise InputError(f"{path}: has not all of {', '.join(wanted)}. {advice}")
    body = load_body_model(default_body_path())
    frames, people = arrays["head_camera"].shape[:2]
    flat = [
        torch.from_numpy(np.nan_to_num(arrays[name]).astype(np.float32).reshape(-1, *shape))
        for name, shape in (
            ("rotations", (53, 3, 3)),
            ("betas", (10,)),
            ("expression", (10,)),
            ("head_camera", (3,)),
        )
    ]
    joints = body(*flat).joints.numpy().astype(np.float64).reshape(frames, people, -1, 3)
    is_there = np.isfinite(arrays["head_camera"]).all(axis=-1)
    is_there &= np.abs(arrays["head_camera"]).sum(axis=-1) > 0
    joints[~is_there] = np.nan
    pose = arrays["world_from_camera"]
    world = np.einsum("fij,fpnj->fpni", pose[:, :3, :3], joints) + pose[:, None, None, :3, 3]
    return ClipTruth(arrays["stamp_ns"], pose, world)


def numbers_before_and_after(
    before: str | Path, after: str | Path, truth: ClipTruth
) -> tuple[dict[str, float], dict[str, float]]:
    """The numbers of ``MEASURES`` of a result and of what refinement made of it.

    Means over the people who were found before: whoever was moved far away counts all the more.

    Raises:
        InputError: no result, of another clip, or nobody of the truth was found before.
    """
    result, refined = read_result(before), read_result(after)
    pairs = _matched(result, _as_seen(result, truth)[1])
    if not pairs:
        raise InputError(f"{before}: nobody of the truth was found for {_FEWEST_FRAMES} frames.")
    return _numbers(result, pairs, truth), _numbers(refined, pairs, truth)


def _numbers(result: Result, pairs: list[tuple[int, int]], truth: ClipTruth) -> dict[str, float]:
    true_pose, true_joints = _as_seen(result, truth)
    camera = trajectory_errors(result.world_from_camera, true_pose)
    people = [
        _person_numbers(result, number, true_joints[:, person], true_pose)
        for number, person in pairs
    ]
    numbers = {name: _mean([one[name] for one in people]) for name in people[0]}
    moves = _way_m(true_pose[:, :3, 3]) > _MOVES_M
    scale = camera.scale if moves else float("nan")
    return numbers | {"camera_scale": scale, "camera_drift_m": camera.drift_m}


def _as_seen(result: Result, truth: ClipTruth) -> tuple[np.ndarray, np.ndarray]:
    """True cameras and joints of a result's frames in the world of its first camera.

    Raises:
        InputError: of another clip.
    """
    frames = np.abs(result.stamps_ns[:, None] - truth.stamps_ns[None]).argmin(axis=1)
    off_s = np.abs(result.stamps_ns - truth.stamps_ns[frames]) / 1e9
    if off_s.max() > 0.02:
        raise InputError(
            f"{result.folder}: frames up to {off_s.max():.2f} s from those of the truth; expected "
            "the same clip. Name a result of the clip that the truth is about."
        )
    to_first = np.linalg.inv(truth.world_from_camera[frames[0]])
    true_joints = truth.joints_world[frames] @ to_first[:3, :3].T + to_first[:3, 3]
    return to_first @ truth.world_from_camera[frames], true_joints


def people_of(result: Result, truth: ClipTruth) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By index of the true person: frames (rows,), and joints (rows, J, 3) in the result's world.

    Raises:
        InputError: a result of another clip.
    """
    found = {}
    for number, person in _matched(result, _as_seen(result, truth)[1]):
        joints, frames = _world(result, number)
        found[person] = frames, joints
    return found


def _matched(result: Result, true_joints: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of a track and a true person who are near each other."""
    tracks = np.unique(result.track_id)
    cost = np.full((len(tracks), true_joints.shape[1]), 1e6)
    for i, number in enumerate(tracks):
        joints, frames = _world(result, int(number))
        for person in range(cost.shape[1]):
            away = np.linalg.norm(joints[:, 0] - true_joints[frames, person, 0], axis=1)
            if np.isfinite(away).sum() >= _FEWEST_FRAMES:
                cost[i, person] = np.nanmedian(away)
    rows, columns = linear_sum_assignment(cost)
    return [
        (int(tracks[i]), int(j))
        for i, j in zip(rows, columns, strict=True)
        if cost[i, j] < _FARTHEST_M
    ]


def _world(result: Result, number: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(result.track_id == number)
    pose = result.world_from_camera[result.frame[rows]]
    camera = result.joints_camera[rows].astype(np.float64)
    world = np.einsum("nij,npj->npi", pose[:, :3, :3], camera) + pose[:, None, :3, 3]
    return world, result.frame[rows]


def _person_numbers(
    result: Result, number: int, true_joints: np.ndarray, true_pose: np.ndarray
) -> dict[str, float]:
    joints, frames = _world(result, number)
    good = np.isfinite(true_joints[frames, 0, 0])
    joints, true = joints[good][:, _BODY], true_joints[frames[good]][:, _BODY]
    rate_hz = 1e9 / float(np.median(np.diff(result.stamps_ns)))
    still = np.linalg.norm(np.diff(true[:, _FEET], axis=0), axis=-1) < 0.01
    up = true_pose[0, :3, 1]
    heights = ((joints - true)[1:, _FEET] @ up)[still]
    sliding = foot_sliding_mm(joints[:, _FEET], true[:, _FEET])
    root_error = float(root_translation_error_percent(joints[:, 0], true[:, 0]).mean())
    return {
        "rte_percent": root_error if _way_m(true[:, 0]) > _MOVES_M else float("nan"),
        "wa_mpjpe_mm": float(world_aligned_mpjpe_mm(joints, true).mean()),
        "w_mpjpe_mm": float(world_mpjpe_mm(joints, true).mean()),
        "foot_sliding_mm": float(sliding.mean()) if len(sliding) else float("nan"),
        "jitter": float(jitter(joints, rate_hz).mean()),
        "jitter_truth": float(jitter(true, rate_hz).mean()),
        "sole_height_mm": 1e3 * float(np.abs(heights).mean()) if len(heights) else float("nan"),
    }


def _mean(values: list[float]) -> float:
    """Of what is known."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _way_m(places: Float[np.ndarray, "frames 3"]) -> float:
    return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


def table(before: dict[str, float], after: dict[str, float]) -> str:
    """Both as a table in Markdown."""
    lines = ["| | before | after |", "| --- | --- | --- |"]
    for name, words in MEASURES.items():
        shown = [f"{numbers[name]:.3g}" for numbers in (before, after)]
        if name == "jitter":
            shown = [f"{text} ({before['jitter_truth']:.3g})" for text in shown]
        lines.append(f"| {words} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)
