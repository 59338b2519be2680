"""COCO keypoints in pixels of the source image: 17 of the body, 133 of COCO-WholeBody.

A keypoint inside the image is marked 2 (labelled and visible), one outside 0; it is unknown
whether something hides it. The 17 points of the jaw's contour are 0: the body model has none.
Source of the layout: Lin et al. 2014 (COCO); Jin et al. 2020 (COCO-WholeBody).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from human3r.atomic import whole_file
from human3r.body.skeleton import FACE_LANDMARK_NAMES
from human3r.export.clip import Clip, Person
from human3r.export.formats import manifest
from human3r.geometry import invert, transform_points

_SIDES = ("left", "right")
BODY = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear") for side in _SIDES),
    *(
        f"{side}_{part}"
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in _SIDES
    ),
)
"""The 17, by the names they share with our joints and landmarks."""
FOOT = tuple(f"{side}_{part}" for side in _SIDES for part in ("big_toe", "small_toe", "heel"))
FACE = (*("",) * 17, *FACE_LANDMARK_NAMES)
"""The 68; an empty name is a point that the body model does not have."""


def hand(side: str) -> tuple[str, ...]:
    """The 21 of a hand: wrist, then thumb to little finger from the palm to the tip."""
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    links = (f"{side}_{finger}{link}" for finger in fingers for link in ("1", "2", "3", ""))
    return (f"{side}_wrist", *links)


_GROUPS = {
    "keypoints": BODY,
    "foot_kpts": FOOT,
    "face_kpts": FACE,
    "lefthand_kpts": hand("left"),
    "righthand_kpts": hand("right"),
}
_BONES = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9)),
    *((8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)
"""The skeleton that COCO's own files name, counted from 1."""


def write(clip: Clip, path: Path) -> None:
    """Write one JSON file with an image per frame and an annotation per sight.

    Raises:
        OutputError: not writable.
    """
    annotations = [
        annotation
        for person in clip.people
        for row in range(len(person.frames))
        if (annotation := _annotation(clip, person, row)) is not None
    ]
    annotations.sort(key=lambda one: (one["image_id"], one["track_id"]))
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    document = {
        "info": manifest(clip) | {"axes": "pixels of the source image: u right, v down, whole "
                                  "numbers at pixel centres"},
        "images": [_image(clip, frame) for frame in range(len(clip.stamps_ns))],
        "annotations": annotations,
        "categories": [_category()],
    }  # fmt: skip
    with whole_file(path) as file:
        file.write(json.dumps(document).encode())


def _image(clip: Clip, frame: int) -> dict[str, Any]:
    width, height = clip.size_px[frame].tolist()
    return {
        "id": frame,
        "file_name": f"{clip.source}#{frame:06d}",
        "width": width,
        "height": height,
        "stamp_ns": int(clip.stamps_ns[frame]),
    }


def _category() -> dict[str, Any]:
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(BODY),
        "skeleton": [list(bone) for bone in _BONES],
    }


def _annotation(clip: Clip, person: Person, row: int) -> dict[str, Any] | None:
    """A person in a frame; None when no keypoint of the body is in the image."""
    frame = int(person.frames[row])
    pixels, is_in = project(clip, person.joints[row], frame)
    numbers = {name: i for i, name in enumerate(clip.joint_names)}
    points: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for key, names in _GROUPS.items():
        flat: list[float] = []
        for name in names:
            number = numbers.get(name, -1)
            known = number >= 0 and is_in[number]
            u, v = pixels[number].tolist() if known else (0.0, 0.0)
            flat += [round(u, 3), round(v, 3), 2 if known else 0]
        points[key] = flat
        counts[key] = sum(flag > 0 for flag in flat[2::3])
    if counts["keypoints"] == 0:
        return None
    box = _box(pixels[is_in])
    return {
        "image_id": frame,
        "category_id": 1,
        "track_id": person.track_id,
        "score": round(float(person.scores[row]), 4),
        "iscrowd": 0,
        "bbox": box,
        "area": round(box[2] * box[3], 3),
        "num_keypoints": counts["keypoints"],
        **points,
        **{f"{key.removesuffix('_kpts')}_valid": counts[key] > 0 for key in list(_GROUPS)[1:]},
    }


def project(clip: Clip, joints: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (joints, 2) of places in the clip's axes, and which of them are in the image."""
    points = transform_points(invert(clip.clip_from_camera[frame]), joints)
    depth = points[:, 2]
    rays = points / np.where(depth > 0, depth, 1.0)[:, None]
    pixels = rays @ clip.intrinsics[frame].T[:, :2]
    inside = (pixels >= -0.5) & (pixels < clip.size_px[frame] - 0.5)
    return pixels, (depth > 0) & inside.all(axis=1)


def _box(pixels: np.ndarray) -> list[float]:
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return [round(float(value), 3) for value in (*low, *(high - low))]
