"""The level frame of a session: where up is, as a rotation of the network's world."""

import numpy as np
from jaxtyping import Float

from human3r.errors import InputError

_FORWARD, _IMAGE_TOP = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])
_STEEP = 0.05
"""Length of the level part of the viewing direction below which it gives no heading (3 degrees)."""


def level_from_up(up_world: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """level_from_world: rotation only; z along ``up_world``, x along the first camera's heading.

    A first camera that looks straight down or up has no heading; then the top of its image,
    seen from above, takes the place of it.

    Args:
        up_world: opposite of gravity in the world frame, any length.

    Raises:
        InputError: ``up_world`` is zero or not finite.
    """
    length = float(np.linalg.norm(up_world))
    if not np.isfinite(length) or length < 1e-9:
        raise InputError(f"up_world is {up_world}; expected a direction. Look for the floor again.")
    z = np.asarray(up_world, np.float64) / length
    heading = _FORWARD - z * (z @ _FORWARD)
    if np.linalg.norm(heading) < _STEEP:
        top = _IMAGE_TOP if z @ _FORWARD < 0 else -_IMAGE_TOP
        heading = top - z * (z @ top)
    x = heading / np.linalg.norm(heading)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([x, np.cross(z, x), z])
    return matrix
