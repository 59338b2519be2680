"""How far a jaw is open, from the landmarks of a face.

The gap between the lips over the distance of the outer corners of the eyes, both in space, does not
depend on where a face looks. The body model says which angle of its own jaw gives the same. A
mouth that a face network sees as shut has a gap about as small as the body's at rest.
"""

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.errors import BodyModelError
from human3r.people.fit.rotations import matrices

LIPS, EYE_CORNERS = (13, 14), (33, 263)
"""Points of the face network: upper and lower inner lip; right and left outer corner."""
_NAMES = ("lip_top", "lip_bottom", "right_eye1", "left_eye1")
MAX_RAD = 0.5
_STEPS = 21


class JawPoser:
    """Knows the jaw of one body model."""

    def __init__(self, model: BodyModel) -> None:
        """Open the model's mouth, step by step.

        Raises:
            BodyModelError: the model has no landmarks of the face.
        """
        names = list(model.joint_names)
        missing = [name for name in _NAMES if name not in names]
        if missing:
            raise BodyModelError(
                f"body model {model.name} has no landmark {missing[0]}; expected those of the face "
                "for people.face. Use the free body, or switch people.face off."
            )
        self._angles = np.linspace(0, MAX_RAD, _STEPS)
        points = _opening(model, self._angles)[:, [names.index(name) for name in _NAMES]]
        self._gaps = np.maximum.accumulate(_gap(*points.swapaxes(0, 1)))

    def angle(self, points: np.ndarray) -> float:
        """Rad by which the jaw is open, 0 to ``MAX_RAD``, by landmarks (468, 3) of any unit."""
        upper, lower = points[list(LIPS)]
        right, left = points[list(EYE_CORNERS)]
        return float(np.interp(_gap(upper, lower, right, left), self._gaps, self._angles))


def jaw_rotation(angle_rad: float) -> np.ndarray:
    """(3, 3) of a jaw that is open by an angle."""
    return matrices(np.array([angle_rad, 0.0, 0.0]))


def _gap(upper: np.ndarray, lower: np.ndarray, right: np.ndarray, left: np.ndarray) -> np.ndarray:
    eyes = np.linalg.norm(left - right, axis=-1)
    return np.linalg.norm(upper - lower, axis=-1) / np.maximum(eyes, 1e-9)


def _opening(model: BodyModel, angles: np.ndarray) -> np.ndarray:
    """(n, joints, 3) of the mean shape at rest but for the jaw."""
    count, device = len(angles), model.device
    rotations = np.tile(np.eye(3), (count, skeleton.NUM_ROTATIONS, 1, 1))
    rotations[:, -1] = [jaw_rotation(angle) for angle in angles]
    betas = torch.zeros(count, NUM_BETAS, device=device)
    expression = torch.zeros(count, NUM_EXPRESSIONS, device=device)
    with torch.inference_mode():
        head = model.rest_joints(betas)[:, skeleton.HEAD]
        turned = torch.from_numpy(rotations).float().to(device)
        return model(turned, betas, expression, head).joints.cpu().numpy().astype(np.float64)
