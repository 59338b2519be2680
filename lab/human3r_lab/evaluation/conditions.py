"""The circumstances under which people are to be found, in steps."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from human3r.types import Intrinsics
from human3r_lab.evaluation.body_metrics import pelvis_of
from human3r_lab.evaluation.truth import NEAR_M, TrueView, is_inside, project_px


@dataclass(frozen=True)
class Condition:
    """One circumstance of a person in an image."""

    title: str
    unit: str
    borders: tuple[float, ...]
    """Between its steps; a value on a border belongs to the step above it."""
    is_count: bool = False
    """Whether its values are whole numbers from 1, so that a step may hold a single one."""

    def step_names(self) -> list[str]:
        """What each step is called, the lowest first; one more than there are borders."""
        if self.is_count:
            lows = [1, *map(round, self.borders)]
            spans = [_span(low, high - 1) for low, high in pairwise(lows)]
        else:
            spans = [f"< {self.borders[0]:g}"]
            spans += [_span(*pair) for pair in pairwise(self.borders)]
        return [*spans, f"≥ {self.borders[-1]:g}"]


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


CONDITIONS = {
    "height": Condition("height in the image", "px", (40, 60, 90, 130, 190, 280)),
    "people": Condition("people to be found in the image", "", (2, 3, 4, 5), is_count=True),
    "visible": Condition("share of that which is not hidden", "", (0.4, 0.6, 0.8, 0.9)),
    "inside": Condition("share of the body within the image", "", (0.4, 0.6, 0.8, 0.999)),
    "distance": Condition("distance of the pelvis", "m", (2, 3, 4, 5, 6, 8)),
    "stature": Condition("stature", "m", (1.2, 1.4, 1.6, 1.7, 1.8, 1.9)),
}
"""Every circumstance, in the order in which reports show them."""


def steps_of(view: TrueView, pelvis_joints: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Per condition, the (people,) step of each of the view's people; unknown ones are absent.

    Args:
        view: whose people are known.
        pelvis_joints: joints whose mean is the pelvis.
    """
    people = view.people
    assert people is not None
    values = {
        "people": np.full(len(people), people.is_counted.sum()),
        "visible": people.visible_share,
        "inside": people.inside_share,
        "distance": np.linalg.norm(pelvis_of(people.bodies.joints, pelvis_joints)[:, 0], axis=-1),
        "stature": people.statures_m,
    }
    if view.intrinsics is not None:
        values["height"] = heights_px(people.bodies.vertices, view.intrinsics)
    return {
        name: np.digitize(value, CONDITIONS[name].borders)
        for name, value in values.items()
        if value is not None
    }


def heights_px(vertices: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """(people,) height of what of each body lies within the image, hidden or not, pixels.

    Args:
        vertices: (people, vertices, 3) in the camera frame, metres.
        camera: of the image.
    """
    pixels = project_px(vertices, camera)
    is_in = is_inside(pixels, camera) & (vertices[..., 2] > NEAR_M)
    v = pixels[..., 1]
    top = np.where(is_in, v, np.inf).min(axis=-1, initial=np.inf)
    bottom = np.where(is_in, v, -np.inf).max(axis=-1, initial=-np.inf)
    return np.maximum(bottom - top + 1, 0)
