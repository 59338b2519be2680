"""The ten expression directions: combinations of MakeHuman's facial actions."""

import numpy as np

from tools.free_body.makehuman import MakeHuman, typical_traits

EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "lips_apart": (
        *("mouthLowerDownLeft", "mouthLowerDownRight"),
        *("mouthUpperUpLeft", "mouthUpperUpRight"),
    ),
    "pucker": ("mouthPucker",),
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "cheeks_puffed": ("cheekPuff",),
    "mouth_left": ("mouthLeft",),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
}
"""Name of each direction and the actions that one unit of it applies in full."""

_BROW_ACTIONS = ("browInnerUp", "browDownLeft", "browOuterUpLeft")


def expression_directions(makehuman: MakeHuman) -> np.ndarray:
    """Offsets (vertices, 3, 10) in metres per unit of expression.

    The zero pose turns no face, so offsets of the rest pose are offsets of the zero pose.
    """
    return np.stack([_offsets(makehuman, actions) for actions in EXPRESSIONS.values()], axis=-1)


def left_brow_vertices(makehuman: MakeHuman) -> list[int]:
    """The vertices at the inner end, the middle and the outer end of the left brow.

    They are those that move most when that part of the brow moves.
    """
    neutral, _ = makehuman.people(typical_traits())
    found = []
    for action in _BROW_ACTIONS:
        moved = np.linalg.norm(_offsets(makehuman, (action,)), axis=1)
        found.append(int(np.where(neutral[0, :, 0] > 0, moved, 0).argmax()))
    return found


def _offsets(makehuman: MakeHuman, actions: tuple[str, ...]) -> np.ndarray:
    neutral, _ = makehuman.people(typical_traits())
    moved, _ = makehuman.people(typical_traits(), dict.fromkeys(actions, 1.0))
    return (moved - neutral)[0]
