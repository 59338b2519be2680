"""Turns MakeHuman's rest pose into SMPL-X's zero pose.

MakeHuman rests with the arms hanging at an angle, bent elbows and apart legs. The zero pose has
the arms along x, palms down, the hinge of the elbow vertical, and the legs straight down. Every
bone gets one absolute rotation; bones that are not named here keep their rest direction.
"""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

SIDES = (("L", 1.0), ("R", -1.0))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def shortest_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotations (n, 3, 3) that turn directions (n, 3) onto targets."""
    source, target = unit(source), unit(np.broadcast_to(target, source.shape))
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis, axis=-1)
    angle = np.arctan2(sine, (source * target).sum(-1))
    return Rotation.from_rotvec(axis * (angle / np.maximum(sine, 1e-12))[:, None]).as_matrix()


def share_of(rotation: np.ndarray, share: float) -> np.ndarray:
    """Part of the way from no rotation to ``rotation`` (n, 3, 3)."""
    return Rotation.from_rotvec(Rotation.from_matrix(rotation).as_rotvec() * share).as_matrix()


def hinge_frame(direction: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Axes (n, 3, 3), in columns: x along the limb, y along the part of the hinge across it."""
    x = unit(direction)
    z = unit(np.cross(x, hinge))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def zero_pose(
    vertices: np.ndarray,
    heads: np.ndarray,
    bone_names: tuple[str, ...],
    bone_parents: tuple[int, ...],
    bone_weights: csr_matrix,
) -> tuple[np.ndarray, np.ndarray]:
    """People in the zero pose.

    Args:
        vertices: (people, vertices, 3) metres, rest pose, y up.
        heads: (people, bones, 3) bone heads of the same.
        bone_names: names of the bones.
        bone_parents: parent of each bone, which stands before it; -1 for the root.
        bone_weights: (vertices, bones) skin weights.

    Returns:
        Vertices and bone heads in the zero pose, shaped as given.
    """
    rotations = np.broadcast_to(np.eye(3), (*heads.shape, 3)).copy()
    at = {name: heads[:, number] for number, name in enumerate(bone_names)}
    for side, sign in SIDES:
        for turns in (_arm(at, side, sign), _fingers(at, side, sign), _leg(at, side, sign)):
            for name, rotation in turns.items():
                rotations[:, bone_names.index(name)] = rotation
    zero_heads = heads.copy()
    for bone, parent in enumerate(bone_parents):
        if parent >= 0:
            offset = heads[:, bone] - heads[:, parent]
            zero_heads[:, bone] = zero_heads[:, parent] + _turn(rotations[:, parent], offset)
    shifts = zero_heads - np.einsum("nbij,nbj->nbi", rotations, heads)
    return _skin(vertices, rotations, shifts, bone_weights), zero_heads


def _skin(
    vertices: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, bone_weights: csr_matrix
) -> np.ndarray:
    posed = np.empty_like(vertices)
    for person in range(len(vertices)):
        blend = (bone_weights @ rotations[person].reshape(-1, 9)).reshape(-1, 3, 3)
        posed[person] = np.einsum("vij,vj->vi", blend, vertices[person])
        posed[person] += bone_weights @ shifts[person]
    return posed


def _turn(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", rotation, vectors)


def _hand_rotation(at: dict[str, np.ndarray], side: str, sign: float) -> np.ndarray:
    """Fingers along x, palm down: the index knuckle stands in front of the little finger's."""
    along = at[f"finger3-1.{side}"] - at[f"wrist.{side}"]
    across = at[f"finger2-1.{side}"] - at[f"finger5-1.{side}"]
    target = hinge_frame(np.array([[sign, 0, 0]]), np.array([[0, 0, 1.0]]))
    return target @ hinge_frame(along, across).transpose(0, 2, 1)


def _arm(at: dict[str, np.ndarray], side: str, sign: float) -> dict[str, np.ndarray]:
    upper = at[f"lowerarm01.{side}"] - at[f"upperarm01.{side}"]
    lower = at[f"wrist.{side}"] - at[f"lowerarm01.{side}"]
    outwards = np.array([[sign, 0, 0]])
    # Bending must bring the forearm forwards, so the hinge is outwards x forwards: -y on the left.
    target = hinge_frame(outwards, np.cross(outwards, [[0, 0, 1.0]]))
    hinge = np.cross(upper, lower)
    upper_turn = target @ hinge_frame(upper, hinge).transpose(0, 2, 1)
    lower_turn = target @ hinge_frame(lower, hinge).transpose(0, 2, 1)
    raise_arm = shortest_rotation(upper, outwards)
    hand = _hand_rotation(at, side, sign)
    twist = Rotation.from_matrix(hand @ lower_turn.transpose(0, 2, 1)).as_rotvec()
    twist[:, 1:] = 0

    def twisted(share: float) -> np.ndarray:
        return Rotation.from_rotvec(twist * share).as_matrix() @ lower_turn

    turns = {
        "clavicle": share_of(raise_arm, 0.08),
        "shoulder01": share_of(raise_arm, 0.3),
        "upperarm01": raise_arm,
        "upperarm02": upper_turn,
        "lowerarm01": twisted(0.25),
        "lowerarm02": twisted(0.7),
        "wrist": hand,
        **{f"metacarpal{finger}": hand for finger in (1, 2, 3, 4)},
    }
    return {f"{bone}.{side}": turn for bone, turn in turns.items()}


def _fingers(at: dict[str, np.ndarray], side: str, sign: float) -> dict[str, np.ndarray]:
    """Fingers straight, slightly spread; the thumb keeps its rest angle to the palm."""
    hand = _hand_rotation(at, side, sign)
    turns = {f"finger1-{link}.{side}": hand for link in (1, 2, 3)}
    for finger in (2, 3, 4, 5):
        first, second, third = (at[f"finger{finger}-{link}.{side}"] for link in (1, 2, 3))
        knuckle = _turn(hand, first - at[f"wrist.{side}"])
        spread = np.clip(0.35 * knuckle[:, 2] / np.abs(knuckle[:, 0]), -0.2, 0.2)
        target = np.stack([np.full(len(hand), sign), np.zeros(len(hand)), spread], axis=-1)
        for link, bone in ((1, second - first), (2, third - second), (3, third - second)):
            straighten = shortest_rotation(_turn(hand, bone), target)
            turns[f"finger{finger}-{link}.{side}"] = straighten @ hand
    return turns


def _leg(at: dict[str, np.ndarray], side: str, sign: float) -> dict[str, np.ndarray]:
    """Legs down, knees a little outside the hips; the feet keep their direction."""
    thigh = at[f"lowerleg01.{side}"] - at[f"upperleg01.{side}"]
    shin = at[f"foot.{side}"] - at[f"lowerleg01.{side}"]
    thigh_turn = shortest_rotation(thigh, np.array([0.04 * sign, -1, 0]))
    shin_turn = shortest_rotation(shin, np.array([-0.01 * sign, -1, -0.03]))
    return {
        f"{bone}.{side}": turn
        for bone, turn in (
            ("upperleg01", thigh_turn),
            ("upperleg02", thigh_turn),
            ("lowerleg01", shin_turn),
            ("lowerleg02", shin_turn),
        )
    }
