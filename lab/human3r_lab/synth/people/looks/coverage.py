"""What clothes cover: fields over the body's vertices, positive below the cloth, metres to the hem.

Heights are those of the template's zero pose, so one cut suits every shape.
"""

import numpy as np

from human3r_lab.synth.people.looks.anatomy import HEAD, LEFT_ARM, RIGHT_ARM, anatomy
from human3r_lab.synth.people.template import JOINT, body_template

FAR_M = 1.0
_ARM_UNIT_M = 0.24
_LEG_UNIT_M = 0.38
_SEAM_M = 0.185


def height_of(joint: str) -> float:
    """Template height of a joint, metres."""
    return float(body_template().joints_m[JOINT[joint], 1])


def top(hem_m: float, sleeve: float, neck_front_m: float = 0.12) -> np.ndarray:
    """A shirt, jumper or jacket.

    Args:
        hem_m: height of the lower hem.
        sleeve: 0 shoulder, 1 elbow, 2 wrist.
        neck_front_m: height of the neckline in front.
    """
    x, y, z = body_template().vertices_m.T
    where = anatomy()
    neck_back_m = height_of("neck") + 0.005
    share = np.clip((z + 0.07) / 0.16, 0, 1)
    opening = neck_back_m + (neck_front_m - neck_back_m) * share
    opening = opening + 1.2 * np.maximum(np.abs(x) - 0.07, 0)
    on_arm = np.isin(where.part, (LEFT_ARM, RIGHT_ARM))
    below_hem = np.where(on_arm, FAR_M, y - hem_m)
    return np.minimum.reduce([below_hem, opening - y, _sleeves(sleeve)])


def _sleeves(sleeve: float) -> np.ndarray:
    arm = anatomy().arm
    return np.where(arm >= 0, (sleeve - arm) * _ARM_UNIT_M, FAR_M)


def bottom(waist_m: float, leg: float) -> np.ndarray:
    """Trousers or shorts.

    Args:
        waist_m: height of the waistband.
        leg: 0 hip, 1 knee, 2 ankle; up to 2.3 over the foot.
    """
    y = body_template().vertices_m[:, 1]
    where = anatomy()
    along = np.minimum(where.leg, 2 + (where.leg - 2) * 0.26)
    return np.minimum(waist_m - y, np.where(where.leg >= 0, (leg - along) * _LEG_UNIT_M, FAR_M))


def sleeves_of(covers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A top's field, parted at the shoulder seams: trunk and sleeves."""
    x, y, _ = body_template().vertices_m.T
    seam = np.where(y > -0.1, np.abs(x) - _SEAM_M, -FAR_M)
    return np.minimum(covers, -seam), np.minimum(covers, seam)


def opened(covers: np.ndarray, half_width_m: float, widening: float) -> np.ndarray:
    """A top's field, open in front."""
    x, y, z = body_template().vertices_m.T
    gap = half_width_m + widening * np.maximum(0.1 - y, 0)
    in_front = z > body_template().joints_m[JOINT["spine2"], 2] + 0.03
    return np.where(in_front, np.minimum(covers, np.abs(x) - gap), covers)


def below(top_m: float) -> np.ndarray:
    """Socks, tights or boots up to a height, down to the soles."""
    return top_m - body_template().vertices_m[:, 1]


def scalp(front_m: float, back_m: float, side_m: float) -> np.ndarray:
    """Hair above a line around the head.

    Args:
        front_m: height of the hairline above the head joint, on the forehead.
        back_m: in the nape.
        side_m: in front of the ears.
    """
    x, y, z = (body_template().vertices_m - body_template().joints_m[JOINT["head"]]).T
    angle = np.arctan2(np.abs(x), z - 0.02)
    heights = [front_m, front_m - 0.004, front_m - 0.03, side_m, side_m + 0.02, back_m + 0.02]
    line = np.interp(angle, [0.0, 0.6, 0.95, 1.3, 1.7, 2.2, np.pi], [*heights, back_m])
    return np.where(_is_head(), y - line, -FAR_M)


def hat(height_m: float, tilt: float) -> np.ndarray:
    """What lies above a plane through the head, lower behind by its tilt.

    Args:
        height_m: above the head joint, at the forehead.
        tilt: fall per metre towards the back.
    """
    _, y, z = (body_template().vertices_m - body_template().joints_m[JOINT["head"]]).T
    return np.where(_is_head(), y - height_m - tilt * (z - 0.1), -FAR_M)


def head_scarf(chest_m: float) -> np.ndarray:
    """All of head, neck and shoulders down to a height, but the face."""
    template = body_template()
    face = template.landmarks_m["nose"] + np.array([0.0, 0.02, 0.0])
    x, y, z = (template.vertices_m - face).T
    away = np.hypot(x / 0.062, y / 0.088) - 1
    opening = np.where(z > -0.1, 0.07 * away, FAR_M)
    opening = np.where(_is_head(), opening, FAR_M)
    slope = 0.6 * np.maximum(np.abs(x) - 0.08, 0)
    return np.minimum(opening, template.vertices_m[:, 1] - chest_m - slope)


def _is_head() -> np.ndarray:
    return anatomy().part == HEAD
