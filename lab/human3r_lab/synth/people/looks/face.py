"""Skin: its tones, and the face painted on a head."""

import cv2
import numpy as np

from human3r_lab.synth.people.looks.paint import cloud_noise
from human3r_lab.synth.people.template import JOINT, body_template

SKIN_TONES = np.array(
    [
        (246, 214, 190),
        (238, 196, 166),
        (226, 180, 146),
        (210, 160, 122),
        (190, 138, 100),
        (164, 112, 78),
        (136, 90, 62),
        (106, 70, 50),
        (80, 54, 42),
        (60, 42, 36),
    ],
    np.float32,
)
HAIR_COLORS = np.array(
    [
        (24, 20, 18),
        (38, 28, 22),
        (62, 42, 28),
        (92, 64, 40),
        (130, 94, 58),
        (186, 150, 98),
        (150, 76, 40),
        (150, 148, 146),
        (215, 212, 208),
    ],
    np.float32,
)
EYE_COLORS = np.array([(60, 38, 24), (36, 26, 20), (84, 110, 140), (90, 110, 70)], np.float32)
FACE_REACH_M = 0.115
"""The face texture spans this far from its middle, to each side."""
_FACE_SIDE = 256
_OVERSAMPLE = 2


def face_uv(places: np.ndarray) -> np.ndarray:
    """(..., 2) texture coordinates of template points of the head, seen from in front."""
    middle = _face_middle()
    u = 0.5 + (places[..., 0] - middle[0]) / (2 * FACE_REACH_M)
    v = 0.5 - (places[..., 1] - middle[1]) / (2 * FACE_REACH_M)
    return np.stack([u, v], -1)


def _face_middle() -> np.ndarray:
    return body_template().landmarks_m["nose"] + np.array([0, 0.005, 0])


def skin_texture(rng: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    """Even skin."""
    face = tone + cloud_noise(rng, 64, (4, 8, 16))[..., None] * np.array([3, 3.5, 3.5])
    return np.clip(face, 0, 255).astype(np.uint8)


def eye_texture(rng: np.random.Generator) -> np.ndarray:
    """An eyeball seen from in front."""
    side = 64
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    away = np.hypot(rows, columns)
    face = np.full((side, side, 3), 232.0)
    face[away < 0.24] = EYE_COLORS[rng.integers(len(EYE_COLORS))] * rng.uniform(0.8, 1.2)
    face[away < 0.1] = 12
    return np.clip(face, 0, 255).astype(np.uint8)


def face_texture(
    rng: np.random.Generator, tone: np.ndarray, hair: np.ndarray, *, beard: float, make_up: float
) -> np.ndarray:
    """Skin with brows, eye rims, lips, cheeks, and perhaps a beard's shadow or make-up.

    Args:
        rng: for the variations.
        tone: (3,) skin colour, 0..255.
        hair: (3,) colour of brows and beard.
        beard: 0 none to 1 dense.
        make_up: 0 none to 1.
    """
    side = _FACE_SIDE * _OVERSAMPLE
    base = skin_texture(rng, tone).astype(np.float32)
    face = cv2.resize(base, (side, side), interpolation=cv2.INTER_CUBIC)
    painter = _Painter(face, side)
    eyes = [painter.pixel(f"{name}_eye") for name in ("left", "right")]
    apart = abs(eyes[0][0] - eyes[1][0])
    mouth = painter.mouth()
    if beard > 0:
        painter.beard(rng, hair * 0.8 + tone * 0.2, beard, mouth, apart)
    cheeks = tone * np.array([1.0, 0.82, 0.8])
    for eye in eyes:
        painter.soft(cheeks, eye + np.array([0, 0.62 * apart]), 0.32 * apart, 0.35 + 0.3 * make_up)
        painter.soft(tone * 0.62, eye, 0.3 * apart, 0.5 + 0.3 * make_up)
    lips = tone * np.array([0.86, 0.62, 0.62]) + np.array([8, 0, 0])
    if make_up > 0.5:
        lips = tone * 0.4 + np.array([rng.uniform(80, 130), 15, 30])
    painter.oval(lips, mouth, (0.44 * apart, 0.13 * apart))
    line = tuple(int(v) for v in mouth)
    painter.line(tone * 0.35, line, 0.36 * apart, 0.018 * apart)
    brow = hair * 0.75 + tone * 0.12
    thickness = rng.uniform(0.05, 0.1)
    for eye, sign in zip(eyes, (1, -1), strict=True):
        painter.brow(brow, eye, apart, thickness, sign)
    face = cv2.resize(face, (_FACE_SIDE, _FACE_SIDE), interpolation=cv2.INTER_AREA)
    return np.clip(face, 0, 255).astype(np.uint8)


class _Painter:
    """Draws into a face texture, in pixels."""

    def __init__(self, face: np.ndarray, side: int) -> None:
        self.face = face
        self.side = side

    def pixel(self, landmark: str) -> np.ndarray:
        return face_uv(body_template().landmarks_m[landmark]) * self.side

    def mouth(self) -> np.ndarray:
        """Between the lips."""
        return (self.pixel("lip_top") + self.pixel("lip_bottom")) / 2

    def oval(self, color, centre, radii) -> None:
        centre = (round(centre[0]), round(centre[1]))
        radii = (round(radii[0]), round(radii[1]))
        cv2.ellipse(self.face, centre, radii, 0, 0, 360, color.tolist(), -1, cv2.LINE_AA)

    def line(self, color, centre, half_px, thick_px) -> None:
        a = (round(centre[0] - half_px), centre[1])
        b = (round(centre[0] + half_px), centre[1])
        cv2.line(self.face, a, b, color.tolist(), max(1, round(thick_px * 2)), cv2.LINE_AA)

    def brow(self, color, eye, apart, thickness, sign) -> None:
        steps = np.array([(-0.30, -0.36), (-0.05, -0.42), (0.18, -0.42), (0.4, -0.30)])
        steps = eye + steps * apart * np.array([sign, 1.0])
        points = np.round(steps).astype(np.int32).reshape(-1, 1, 2)
        width = max(1, round(thickness * apart))
        cv2.polylines(self.face, [points], False, color.tolist(), width, cv2.LINE_AA)

    def soft(self, color, centre, radius_px, amount) -> None:
        places = np.arange(self.side)
        fall_x, fall_y = (
            np.exp(-((places - middle) ** 2) / (2 * (radius_px / 1.6) ** 2)) for middle in centre
        )
        low = np.maximum(0, (np.asarray(centre) - 2.5 * radius_px).astype(int))
        high = (np.asarray(centre) + 2.5 * radius_px).astype(int)
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        share = amount * fall_y[rows, None, None] * fall_x[None, columns, None]
        self.face[rows, columns] += share * (color - self.face[rows, columns])

    def beard(self, rng, color, amount, mouth, apart) -> None:
        rows, columns = np.mgrid[: self.side, : self.side]
        across = (columns - mouth[0]) / (1.25 * apart)
        down = (rows - mouth[1]) / apart
        lower = 1 / (1 + np.exp(-(down + 0.42 - 0.9 * across**2 * (across**2 < 4)) * 14))
        jaw = np.clip((np.abs(across) - 0.4) / 0.25, 0, 1)
        lower += jaw * (1 / (1 + np.exp(-(down + 0.5) * 10)) - lower)
        grain = 0.85 + 0.25 * rng.random((self.side, self.side))
        # Gone before the painted skin ends, under the chin and before the ears.
        chin = face_uv(body_template().landmarks_m["lip_bottom"] - np.array([0, 0.042, 0]))[1]
        fade = np.clip((chin * self.side - rows) / (0.06 * self.side), 0, 1)
        fade = fade * np.clip((0.8 - np.abs(across)) / 0.15, 0, 1)
        share = np.clip(amount * lower * fade * grain, 0, 1)[..., None]
        self.face += share * (color - self.face)


def eye_uv(places: np.ndarray) -> np.ndarray:
    """(..., 2) texture coordinates of template points of either eyeball."""
    template = body_template()
    left = template.joints_m[JOINT["left_eye_smplhf"]]
    right = template.joints_m[JOINT["right_eye_smplhf"]]
    centre = np.where(places[..., :1] > 0, left, right)
    away = (places - centre)[..., :2] / 0.032
    return np.stack([0.5 + away[..., 0], 0.5 - away[..., 1]], -1)


def hair_color(rng: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    """(3,) 0..255; dark skin mostly goes with dark hair."""
    is_dark = tone.mean() < 130
    choices = [0, 0, 1, 2, 7] if is_dark and rng.random() < 0.9 else range(len(HAIR_COLORS))
    color = HAIR_COLORS[rng.choice(choices)] * rng.uniform(0.85, 1.15)
    return np.clip(color, 0, 240)
