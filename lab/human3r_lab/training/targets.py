"""What the network should say about one view: the truth at network size, as arrays."""

from dataclasses import dataclass, replace

import numpy as np

from human3r.geometry import square_offset_px
from human3r.model.layers import DINO_PATCH_PX
from human3r_lab.datasets import ViewTruth

_NEAR_M = 0.01
"""Heads nearer than this, or behind the camera, are no targets."""


@dataclass(frozen=True)
class TargetRules:
    """Who counts as a person of a view."""

    max_people: int = 10
    """The nearest that many are kept."""
    min_visible_px: int = 0
    """People of whom fewer pixels of the network image are seen do not count."""


@dataclass(frozen=True)
class ViewTargets:
    """One view as the network takes it, and what is true about it."""

    image: np.ndarray
    """(height, width, 3) uint8."""
    depth_m: np.ndarray
    """(height, width) float32; 0 where there is none."""
    is_person: np.ndarray
    """(height, width) bool."""
    camera: np.ndarray
    """(4,) float32: fx, fy, cx, cy in pixels of the network image."""
    world_from_camera: np.ndarray
    """(4, 4) float64."""
    head_index: np.ndarray
    """(people,) int64: row-major number of the human branch's token with the head in it."""
    token_index: np.ndarray
    """(people,) int64: number of the token from which the person is read, usually the same."""
    patch_index: np.ndarray
    """(people,) int64: row-major number of the image encoder's patch with the head in it."""
    offset: np.ndarray
    """(people, 2) float32: (du, dv) from the centre of the token they are read from to the head,
    in tokens."""
    rotations: np.ndarray
    """(people, 53, 3, 3) float32."""
    betas: np.ndarray
    """(people, 10) float32."""
    expression: np.ndarray
    """(people, 10) float32."""
    head_camera: np.ndarray
    """(people, 3) float32, metres."""
    token_person: np.ndarray
    """(tokens,) int64: who is seen at the centre of each token of the human branch, as 1 + the
    number in these arrays; 0 for none of them."""
    token_point: np.ndarray
    """(tokens, 3) float32: what is seen there, metres, camera frame; zeros where there is none."""
    has_ray_map: bool = False
    """The network is told the view's camera."""


def make_targets(
    view: ViewTruth, square_px: int, patch_px: int, rules: TargetRules | None = None
) -> ViewTargets:
    """The targets of a view that already has the network's size.

    People are sorted from near to far. Dropped are those whose head is outside of the image, or
    in a token that a nearer person has already taken.

    Args:
        view: sides are multiples of ``patch_px``.
        square_px: side of the human branch's image.
        patch_px: side of the image encoder's patches.
        rules: who counts.
    """
    height, width = view.depth_m.shape
    camera = view.intrinsics
    heads = np.asarray(view.people.head_camera, np.float64)
    candidates = _candidates(view, rules or TargetRules())
    # From the corner of the first pixel, as tokens and patches count.
    depth = np.maximum(heads[:, 2:], _NEAR_M)
    focal, center = (camera.fx, camera.fy), (camera.cx, camera.cy)
    corner = heads[:, :2] / depth * focal + center + np.array(0.5)
    token = (corner + square_offset_px(width, height)) * (square_px / max(height, width))
    token /= DINO_PATCH_PX
    column, row = np.floor(token).astype(np.int64).T
    token_index = row * (square_px // DINO_PATCH_PX) + column
    is_inside = ((corner >= 0) & (corner < (width, height))).all(axis=1)

    kept: list[int] = []
    taken: set[int] = set()
    for person in candidates:
        if is_inside[person] and token_index[person] not in taken:  # pyright: ignore[reportIndexIssue]
            kept.append(person)
            taken.add(int(token_index[person]))
    kept = kept[: (rules or TargetRules()).max_people]
    patch = np.floor(corner[kept] / patch_px).astype(np.int64)
    token_person, token_point = _seen_at_tokens(view, square_px, view.people.person_ids[kept])
    return ViewTargets(
        image=view.image,
        depth_m=view.depth_m,
        is_person=view.person_index > 0,
        camera=np.array([*focal, *center], np.float32),
        world_from_camera=view.world_from_camera,
        head_index=token_index[kept],
        token_index=token_index[kept],
        patch_index=patch[:, 1] * (width // patch_px) + patch[:, 0],
        offset=(token[kept] - np.floor(token[kept]) - 0.5).astype(np.float32),
        rotations=view.people.rotations[kept],
        betas=view.people.betas[kept],
        expression=view.people.expression[kept],
        head_camera=view.people.head_camera[kept],
        token_person=token_person,
        token_point=token_point,
    )


def read_beside(targets: ViewTargets, shifts: np.ndarray) -> ViewTargets:
    """The targets with people read from the tokens in which heads would lie that were shifted.

    The highest score may be at a token beside the head's; bodies have to be right from there too.
    No person is read from a token outside of the grid or from another person's.

    Args:
        targets: of one view.
        shifts: (people, 2), in tokens.
    """
    side = round(len(targets.token_person) ** 0.5)
    rows, columns = np.divmod(targets.head_index, side)
    heads = np.stack((columns, rows), axis=-1)
    beside = heads + np.round(targets.offset + shifts).astype(np.int64)
    taken = set(targets.head_index.tolist())
    read = heads.copy()
    for person, (column, row) in enumerate(beside.tolist()):
        number = row * side + column
        if 0 <= column < side and 0 <= row < side and number not in taken:
            taken.add(number)
            read[person] = column, row
    index = read[:, 1] * side + read[:, 0]
    offset = (targets.offset - (read - heads)).astype(np.float32)
    return replace(targets, token_index=index, offset=offset)


def _seen_at_tokens(
    view: ViewTruth, square_px: int, person_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``token_person`` and ``token_point`` of a view in which those people count."""
    height, width = view.depth_m.shape
    grid = square_px // DINO_PATCH_PX
    centres = (np.stack(np.mgrid[:grid, :grid][::-1], -1).reshape(-1, 2) + 0.5) * DINO_PATCH_PX
    corner = centres * (max(height, width) / square_px) - square_offset_px(width, height)
    u, v = np.floor(corner).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    u, v = u[inside], v[inside]
    number = np.zeros(256, np.int64)
    number[person_ids] = np.arange(1, len(person_ids) + 1)
    token_person = np.zeros(grid * grid, np.int64)
    token_person[inside] = number[view.person_index[v, u]]
    camera, depth = view.intrinsics, view.depth_m[v, u]
    rays = np.stack(((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))), -1)
    token_point = np.zeros((grid * grid, 3), np.float32)
    token_point[inside] = rays * depth[:, None]
    return token_person, token_point


def _candidates(view: ViewTruth, rules: TargetRules) -> list[int]:
    """Numbers of the people in front of the camera of whom enough is seen, the nearest first."""
    people = view.people
    distance = np.linalg.norm(people.head_camera, axis=1)
    seen_px = np.bincount(view.person_index.ravel(), minlength=256)
    return [
        int(i)
        for i in np.argsort(distance, kind="stable")
        if people.head_camera[i, 2] > _NEAR_M
        and seen_px[people.person_ids[i]] >= rules.min_visible_px
    ]
