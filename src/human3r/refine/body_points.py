"""Skin that may touch the scene: soles, hands and seat of a body model."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.refine.recording import (
    LEFT_FOOT,
    LEFT_HAND,
    RIGHT_FOOT,
    RIGHT_HAND,
    SEAT,
)

_FEET = {LEFT_FOOT: ("left_ankle", "left_foot"), RIGHT_FOOT: ("right_ankle", "right_foot")}
_HANDS = {LEFT_HAND: "left_middle3", RIGHT_HAND: "right_middle3"}
_HIPS = ("pelvis", "left_hip", "right_hip")
_SOLE_M = 0.015
"""Skin of a foot this close to its lowest point is sole."""
_SOLE_POINTS = 8
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class BodyPoints:
    """Which vertices of a body model may touch something."""

    vertices: Int[np.ndarray, " points"]
    parts: Int[np.ndarray, " points"]


def find_body_points(body: BodyModel, weights: Float[np.ndarray, "vertices 55"]) -> BodyPoints:
    """Points of the soles, spread out; one of each hand; two of the seat.

    Args:
        body: the body model.
        weights: how much each joint moves each vertex.
    """
    rest = _posed(body, np.tile(np.eye(3), (1, skeleton.NUM_ROTATIONS, 1, 1)))[0]
    strongest = weights.argmax(axis=1)
    number = {name: i for i, name in enumerate(skeleton.JOINT_NAMES)}
    vertices, parts = [], []
    for part, names in _FEET.items():
        foot = np.flatnonzero(np.isin(strongest, [number[name] for name in names]))
        height = rest[foot, 1]
        sole = foot[height < height.min() + _SOLE_M]
        chosen = sole[_spread(rest[sole], _SOLE_POINTS)]
        vertices += list(chosen)
        parts += [part] * len(chosen)
    for part, name in _HANDS.items():
        hand = np.flatnonzero(strongest == number[name])
        if len(hand):
            vertices.append(int(hand[np.abs(rest[hand, 0]).argmax()]))
            parts.append(part)
    hips = np.flatnonzero(np.isin(strongest, [number[name] for name in _HIPS]))
    for side in (-1, 1):
        half = hips[side * rest[hips, 0] > 0.05]
        if len(half):
            vertices.append(int(half[rest[half, 2].argmin()]))
            parts.append(SEAT)
    return BodyPoints(np.array(vertices), np.array(parts))


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Points far from each other, the farthest first."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


def _posed(body: BodyModel, rotations: np.ndarray) -> np.ndarray:
    zeros = (np.zeros((len(rotations), size), np.float32) for size in (10, 10, 3))
    arguments = (torch.from_numpy(a) for a in (rotations.astype(np.float32), *zeros))
    return body(*arguments).vertices.numpy().astype(np.float64)


def bodies(
    body: BodyModel,
    rotations: Float[np.ndarray, "rows 53 3 3"],
    head_camera: Float[np.ndarray, "rows 3"],
    betas: Float[np.ndarray, "rows 10"],
    expression: Float[np.ndarray, "rows 10"],
    scale: Float[np.ndarray, " rows"],
    vertices: Int[np.ndarray, " points"],
) -> tuple[Float[np.ndarray, "rows joints 3"], Float[np.ndarray, "rows points 3"]]:
    """Joints and chosen vertices in the camera frame."""
    joints, points = [], []
    for start in range(0, len(rotations), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        columns = (rotations[some], betas[some], expression[some], head_camera[some])
        with torch.no_grad():
            mesh = body(*(torch.from_numpy(np.asarray(c, np.float32)) for c in columns))
        head = head_camera[some, None].astype(np.float64)
        factor = scale[some, None, None]
        joints.append(head + factor * (mesh.joints.numpy() - head))
        points.append(head + factor * (mesh.vertices[:, vertices].numpy() - head))
    return np.concatenate(joints), np.concatenate(points)
