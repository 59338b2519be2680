"""The 163 bones of MakeHuman as the 55 joints of SMPL-X: where joints are, which skin they move."""

import numpy as np
from scipy.sparse import csr_matrix

from human3r.body.skeleton import JOINT_NAMES

FINGERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
SIDES = {"left": "L", "right": "R"}


def _joint_places() -> dict[str, dict[str, float]]:
    places: dict[str, dict[str, float]] = {
        "pelvis": {"spine05": 1},
        "spine1": {"spine04": 0.5, "spine03": 0.5},
        "spine2": {"spine02": 1},
        "spine3": {"spine02": 0.5, "spine01": 0.5},
        "neck": {"neck01": 1},
        "head": {"head": 1},
        "jaw": {"jaw": 1},
    }
    for side, letter in SIDES.items():
        bones = {
            "hip": {"upperleg01": 0.75, "upperleg02": 0.25},
            "knee": {"lowerleg01": 0.95, "foot": 0.05},
            "ankle": {"foot": 1},
            "foot": {"toe2-1": 0.5, "toe3-1": 0.5},
            "collar": {"clavicle": 1},
            "shoulder": {"upperarm01": 1},
            "elbow": {"lowerarm01": 1},
            "wrist": {"wrist": 1},
            "eye_smplhf": {"eye": 1},
        }
        for finger, number in FINGERS.items():
            bones |= {f"{finger}{link}": {f"finger{number}-{link}": 1.0} for link in (1, 2, 3)}
        for joint, parts in bones.items():
            places[f"{side}_{joint}"] = {f"{bone}.{letter}": w for bone, w in parts.items()}
    return places


def _bone_owners() -> dict[str, dict[str, float]]:
    owners: dict[str, dict[str, float]] = {
        "root": {"pelvis": 1},
        "spine05": {"pelvis": 0.6, "spine1": 0.4},
        "spine04": {"spine1": 1},
        "spine03": {"spine1": 0.5, "spine2": 0.5},
        "spine02": {"spine2": 0.5, "spine3": 0.5},
        "spine01": {"spine3": 1},
        "breast.L": {"spine3": 1},
        "breast.R": {"spine3": 1},
        "neck01": {"neck": 1},
        "neck02": {"neck": 1},
        "neck03": {"neck": 0.5, "head": 0.5},
        "head": {"head": 1},
        "jaw": {"jaw": 1},
    }
    same = {
        "hip": ("upperleg01", "upperleg02"),
        "knee": ("lowerleg01", "lowerleg02"),
        "ankle": ("foot",),
        "foot": tuple(f"toe{toe}-1" for toe in (1, 2, 3, 4, 5)),
        "collar": ("clavicle", "shoulder01"),
        "shoulder": ("upperarm01", "upperarm02"),
        "elbow": ("lowerarm01", "lowerarm02"),
        "wrist": ("wrist", *(f"metacarpal{number}" for number in (1, 2, 3, 4))),
        "eye_smplhf": ("eye",),
    }
    for finger, number in FINGERS.items():
        same |= {f"{finger}{link}": (f"finger{number}-{link}",) for link in (1, 2, 3)}
    for side, letter in SIDES.items():
        owners[f"pelvis.{letter}"] = {"pelvis": 1}
        for joint, bones in same.items():
            owners |= {f"{bone}.{letter}": {f"{side}_{joint}": 1.0} for bone in bones}
    return owners


JOINT_PLACES = _joint_places()
"""Per joint the bone heads whose weighted mean is its centre.

MakeHuman has two thigh bones, one above and one below the hip joint that SMPL-X has, and its knee
is 2 cm above the middle of the skin that bends there; both joints are put where they leave hip and
knee at 0.51 and 0.29 of the stature. Spine joints are blends, because MakeHuman has five of them.
"""
BONE_OWNERS = _bone_owners()
"""Per bone the joints that its skin follows; bones not named follow their nearest named parent."""


def joint_centres(heads: np.ndarray, bone_names: tuple[str, ...]) -> np.ndarray:
    """Centres (people, 55, 3) of the joints, from bone heads (people, bones, 3)."""
    mixing = np.zeros((len(JOINT_NAMES), len(bone_names)))
    for joint, parts in JOINT_PLACES.items():
        for bone, weight in parts.items():
            mixing[JOINT_NAMES.index(joint), bone_names.index(bone)] = weight
    return np.einsum("jb,nbc->njc", mixing, heads)


def joint_weights(
    bone_weights: csr_matrix, bone_names: tuple[str, ...], bone_parents: tuple[int, ...]
) -> np.ndarray:
    """Skin weights (vertices, 55): the weights of the bones, summed onto the joints."""
    mixing = np.zeros((len(bone_names), len(JOINT_NAMES)))
    for bone in range(len(bone_names)):
        owner = bone
        while bone_names[owner] not in BONE_OWNERS:
            owner = bone_parents[owner]
        for joint, share in BONE_OWNERS[bone_names[owner]].items():
            mixing[bone, JOINT_NAMES.index(joint)] = share
    return bone_weights @ mixing
