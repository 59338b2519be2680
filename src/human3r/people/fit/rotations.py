"""Rotations of small batches in float64, and how a rotation vector moves with a turn.

The twins of ``human3r.geometry`` for NumPy: a fit turns a few dozen joints at a time,
where the overhead of a tensor operation is larger than its work.
"""

import numpy as np
from scipy.spatial.transform import Rotation

_SMALL_RAD = 1e-4
_FAR_RAD = 3.0
_LOWER, _UPPER = np.array([7, 2, 3]), np.array([5, 6, 1])
"""Entries of a matrix whose differences are twice the axis times the sine."""


def matrices(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), rad.

    Source: Rodrigues' formula.
    """
    squared = (vectors**2).sum(-1)
    half = np.sqrt(squared) / 2
    half_sinc = _sinc(half)
    # k k = v v^T - |v|^2, which spares a product of small matrices.
    share = half_sinc**2 / 2
    turned = (share[..., None] * vectors)[..., None] * vectors[..., None, :]
    turned += cross_matrices((half_sinc * np.cos(half))[..., None] * vectors)
    _add_to_diagonal(turned, 1 - share * squared)
    return turned


def vectors(rotations: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), rad, of rotation matrices (..., 3, 3).

    Source: the antisymmetric part is the axis times the sine; near pi, where it vanishes, SciPy's.
    """
    r = rotations
    flat = r.reshape(*r.shape[:-2], 9)
    twice_sine = flat[..., _LOWER] - flat[..., _UPPER]
    sine = np.sqrt((twice_sine**2).sum(-1)) / 2
    cosine = (flat[..., ::4].sum(-1) - 1) / 2
    angle = np.arctan2(sine, cosine)
    found = twice_sine / np.maximum(2 * _sinc(angle), 1e-9)[..., None]
    is_far = angle > _FAR_RAD
    if is_far.any():
        found[is_far] = Rotation.from_matrix(r[is_far]).as_rotvec()
    return found


def cross_matrices(v: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices that take a vector w to the cross product v x w."""
    matrix = np.zeros((*v.shape, 3))
    matrix[..., 0, 1], matrix[..., 0, 2] = -v[..., 2], v[..., 1]
    matrix[..., 1, 0], matrix[..., 1, 2] = v[..., 2], -v[..., 0]
    matrix[..., 2, 0], matrix[..., 2, 1] = -v[..., 1], v[..., 0]
    return matrix


def vector_slopes(v: np.ndarray) -> np.ndarray:
    """How rotation vectors move when their rotation is followed by a small turn.

    Args:
        v: (..., 3) rotation vectors, shorter than 2 pi.

    Returns:
        (..., 3, 3): d log(exp(v) exp(w)) / d w at w = 0, the inverse right Jacobian of SO(3).

    Source: Chirikjian 2012, "Stochastic Models, Information Theory, and Lie Groups", vol. 2, 10.86.
    """
    squared = (v**2).sum(-1)
    is_small = squared < _SMALL_RAD**2
    safe = np.where(is_small, 1.0, squared)
    half = np.sqrt(safe) / 2
    factor = np.where(is_small, 1 / 12, (1 - half / np.tan(half)) / safe)
    slopes = (factor[..., None] * v)[..., None] * v[..., None, :]
    slopes += cross_matrices(v / 2)
    _add_to_diagonal(slopes, 1 - factor * squared)
    return slopes


def _sinc(x: np.ndarray) -> np.ndarray:
    """sin(x) / x, 1 at 0."""
    is_zero = x == 0
    return np.where(is_zero, 1.0, np.sin(x) / np.where(is_zero, 1.0, x))


def _add_to_diagonal(matrices: np.ndarray, values: np.ndarray) -> None:
    """Adds values (...) to the three entries of each diagonal, in place."""
    matrices.reshape(*matrices.shape[:-2], 9)[..., ::4] += values[..., None]


def smallest_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., 3, 3): the smallest rotations that take unit vectors a (..., 3) to b.

    Opposite vectors give no rotation of pi but a matrix near it; callers fit on from there.

    Source: Rodrigues' formula with sine and cosine from the cross and dot products.
    """
    k = cross_matrices(_cross(a, b))
    cosine = (a * b).sum(-1)[..., None, None]
    turned = np.eye(3) + k + (k @ k) / np.maximum(1 + cosine, 1e-3)
    return turned


def ray_frames(rays: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations that take the optical axis to rays (..., 3), without a roll."""
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    axis = np.broadcast_to(np.array([0.0, 0.0, 1.0]), unit.shape)
    return smallest_turn(axis, unit)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product; ``numpy.cross`` takes several times longer for a handful of rows."""
    return np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        axis=-1,
    )
