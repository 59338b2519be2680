"""One body of several: rotations on their manifold, places by information, bones by the mean.

Groups are the people to be made, members what the views say of them. Arrays with ``groups views``
are padded; ``weights`` is 0 where a view says nothing of a group.
"""

import numpy as np
from jaxtyping import Float

from human3r.body import skeleton

_POWER_STEPS = 2
_REWEIGHTINGS = 1
_USUAL_RAD = 0.8
"""Rotations this far from the mean count half."""
_SPLIT_RAD = 1.2
"""Views whose rotations differ by more do not mean the same; one of them is wrong."""
_PARALLEL = 1e-9
_SMALL_TRACE = 0.5
"""Of 1 + the trace, four times the square of a quaternion's w: below it, w is no good divisor."""


def mean_rotations(
    rotations: Float[np.ndarray, "groups views joints 3 3"],
    weights: Float[np.ndarray, "groups views"],
) -> Float[np.ndarray, "groups joints 3 3"]:
    """Weighted mean of rotations, in which those far from the others count little.

    The mean is the quaternion q that maximises sum w (q . q_v)^2, whatever their signs. Where views
    contradict each other, as front and back do, it begins at the one nearest to all others.

    Args:
        rotations: matrices; anything where the weight is 0.
        weights: not negative, at least one of a group above 0.

    Source: Markley et al. 2007, "Averaging quaternions", eq. 12, by power iteration; reweighting
    with weights 1 / (1 + (angle / 0.8)^4).
    """
    groups, views, joints = rotations.shape[:3]
    components_first = np.ascontiguousarray(rotations.transpose(3, 4, 1, 0, 2), np.float64)
    q = _quaternions(components_first.reshape(3, 3, views, groups * joints))
    w = np.repeat((weights / weights.sum(1, keepdims=True)).T, joints, axis=1)
    # |q . q_v| is the cosine of half the angle: it tells near from far as the angle does.
    near = np.abs(sum(part[:, None] * part for part in q))
    is_known = w > 0
    medoid = np.argmax(np.where(is_known, (near * w).sum(1), -np.inf), axis=0)
    start = q[:, medoid, np.arange(groups * joints)]
    is_split = (is_known[:, None] & is_known & (near < np.cos(_SPLIT_RAD / 2))).any((0, 1))
    mean = np.where(is_split, start, _power(q, w, start))
    for _ in range(_REWEIGHTINGS):
        angle = 2 * np.arccos(np.minimum(np.abs(_dots(q, mean)), 1.0))
        mean = _power(q, w / (1 + (angle / _USUAL_RAD) ** 4), mean)
    return np.moveaxis(_matrices(mean), -1, 0).reshape(groups, joints, 3, 3)


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions (4, ...), x y z w of either sign, of rotations (3, 3, ...).

    NumPy, for torch takes longer to begin. Components come first: long rows of bodies' joints,
    which NumPy is fast on. Most joints turn little: theirs is read off the trace, several times
    faster.

    Source: Shepperd 1978, "Quaternion from rotation matrix".
    """
    r = rotations
    four_w2 = 1.0 + r[0, 0] + r[1, 1] + r[2, 2]
    w = 0.5 * np.sqrt(np.maximum(four_w2, _SMALL_TRACE))
    found = np.stack([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], w])
    found[:3] *= 0.25 / w
    far = four_w2 < _SMALL_TRACE
    found[:, far] = _quaternions_of_large_turns(np.moveaxis(r[:, :, far], -1, 0)).T
    # Matrices that are rotations to float32 only do not have unit ones.
    return found / np.sqrt(np.einsum("c...,c...->...", found, found))


def _quaternions_of_large_turns(r: np.ndarray) -> np.ndarray:
    """The same from whichever component is largest."""
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # Four times the outer product of the quaternion with itself: each row is a multiple of it.
    products = np.empty((*r.shape[:-2], 4, 4))
    products[..., :3, :3] = r + np.swapaxes(r, -1, -2)
    products[..., [0, 1, 2], [0, 1, 2]] += (1.0 - trace)[..., None]
    products[..., :3, 3] = r[..., [2, 0, 1], [1, 2, 0]] - r[..., [1, 2, 0], [2, 0, 1]]
    products[..., 3, :3] = products[..., :3, 3]
    products[..., 3, 3] = 1.0 + trace
    best = products.diagonal(axis1=-2, axis2=-1).argmax(-1)
    return np.take_along_axis(products, best[..., None, None], axis=-2)[..., 0, :]


def _matrices(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (3, 3, n) of unit quaternions x y z w (4, n)."""
    outer = 2.0 * quaternions[:, None] * quaternions
    x, y, z, w = 0, 1, 2, 3
    found = np.empty((3, 3, quaternions.shape[1]))
    for i, j, k in ((x, y, z), (y, z, x), (z, x, y)):
        found[i, i] = 1.0 - outer[j, j] - outer[k, k]
        found[i, j] = outer[i, j] - outer[k, w]
        found[j, i] = outer[i, j] + outer[k, w]
    return found


def _dots(q: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Products (views, n) of quaternions (4, views, n) with one (4, n) for all views."""
    return q[0] * mean[0] + q[1] * mean[1] + q[2] * mean[2] + q[3] * mean[3]


def _power(q: np.ndarray, w: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Dominant eigenvectors (4, n) of sum w q q^T, which are near ``start``."""
    mean = start
    for _ in range(_POWER_STEPS):
        mean = (q * (w * _dots(q, mean))).sum(1)
        mean = mean / np.sqrt((mean * mean).sum(0))
    return mean


def fuse_places(
    places: Float[np.ndarray, "*batch views 3"], information: Float[np.ndarray, "*batch views 3 3"]
) -> tuple[Float[np.ndarray, "*batch 3"], Float[np.ndarray, "*batch 3 3"]]:
    """Places weighted by what each view knows, and their covariance.

    Args:
        places: in one frame, metres.
        information: inverse covariances, ``I/s_lat^2`` across the ray and ``1/s_rad^2`` along it;
            0 where a view says nothing.

    Source: weighted least squares (Gauss-Markov).
    """
    total = information.sum(-3)
    covariance = inverse(total)
    weighted = (information @ places[..., None]).sum(-3)
    return (covariance @ weighted)[..., 0], covariance


def inverse(
    matrices: Float[np.ndarray, "*batch 3 3"],
) -> Float[np.ndarray, "*batch 3 3"]:
    """Inverses of many small symmetric matrices; much faster than the general way."""
    a, b, c = (matrices[..., 0, i] for i in range(3))
    d, e, f = matrices[..., 1, 1], matrices[..., 1, 2], matrices[..., 2, 2]
    found = np.empty(matrices.shape)
    found[..., 0, 0] = d * f - e * e
    found[..., 0, 1] = found[..., 1, 0] = c * e - b * f
    found[..., 0, 2] = found[..., 2, 0] = b * e - c * d
    found[..., 1, 1] = a * f - c * c
    found[..., 1, 2] = found[..., 2, 1] = b * c - a * e
    found[..., 2, 2] = a * d - b * b
    determinant = a * found[..., 0, 0] + b * found[..., 0, 1] + c * found[..., 0, 2]
    return found / determinant[..., None, None]


def triangulate(
    origins: Float[np.ndarray, "*batch views 3"],
    points: Float[np.ndarray, "*batch views 3"],
    weights: Float[np.ndarray, "*batch views"],
) -> Float[np.ndarray, "*batch 3"]:
    """The place nearest to rays, in the sense of least squares; depths along them do not count.

    Args:
        origins: of the rays.
        points: anywhere on them.
        weights: 1, or 0 where there is no ray; two rays at least that are not parallel.
    """
    rays = points - origins
    rays = rays / np.maximum(np.linalg.norm(rays, axis=-1, keepdims=True), 1e-12)
    across = np.eye(3) - rays[..., :, None] * rays[..., None, :]
    across = across * weights[..., None, None]
    # Parallel rays leave the direction along them open: the points themselves then decide it.
    hint = _PARALLEL * weights[..., None, None] * np.eye(3)
    return fuse_places(np.where(weights[..., None] > 0, points, 0.0), across + hint)[0]


def skeleton_order(
    rotations: Float[np.ndarray, "n 53 3 3"],
) -> Float[np.ndarray, "n 55 3 3"]:
    """Rotations in the order of the skeleton; eyes look straight."""
    ordered = np.empty((len(rotations), skeleton.NUM_JOINTS, 3, 3))
    ordered[:] = np.eye(3)
    ordered[:, _JOINT_OF_ROTATION] = rotations
    return ordered


def chained_rotations(
    rotations: Float[np.ndarray, "n 53 3 3"],
) -> Float[np.ndarray, "n 55 3 3"]:
    """Rotations of the skeleton's joints to the frame of the root's, from child in parent."""
    chained = skeleton_order(rotations)
    for level, parents in zip(_LEVELS[1:], _PARENTS_OF_LEVELS[1:], strict=True):
        chained[:, level] = chained[:, parents] @ chained[:, level]
    return chained


def bones(
    chained: Float[np.ndarray, "n 55 3 3"],
    joints: Float[np.ndarray, "n joints 3"],
    parents: np.ndarray,
) -> Float[np.ndarray, "n joints 3"]:
    """Every joint's place in the frame of its parent; 0 for the root.

    They are linear in the shape, so the mean of bones is the bone of the mean shape.
    """
    along = joints - joints[:, parents]
    turned = np.swapaxes(chained[:, parents], -1, -2) @ along[..., None]
    turned[:, 0] = 0
    return turned[..., 0]


def joints_from_bones(
    chained: Float[np.ndarray, "n 55 3 3"],
    bone: Float[np.ndarray, "n joints 3"],
    parents: np.ndarray,
) -> Float[np.ndarray, "n joints 3"]:
    """Joints relative to the root, the inverse of ``bones``."""
    steps = (chained[:, parents] @ bone[..., None])[..., 0]
    joints = np.zeros_like(steps)
    for level in _LEVELS[1:]:
        joints[:, level] = joints[:, parents[level]] + steps[:, level]
    joints[:, skeleton.NUM_JOINTS :] = (
        joints[:, parents[skeleton.NUM_JOINTS :]] + steps[:, skeleton.NUM_JOINTS :]
    )
    return joints


def parents_or_root(joint_parents: tuple[int, ...], num_joints: int) -> np.ndarray:
    """Parents with the root as its own; landmarks without one hang on the head."""
    parents = list(joint_parents)[:num_joints]
    parents += [skeleton.HEAD] * (num_joints - len(parents))
    return np.array([0, *parents[1:]])


_LEVELS = [np.array(level) for level in skeleton.levels()]
_PARENTS_OF_LEVELS = [np.array(skeleton.JOINT_PARENTS)[level] for level in _LEVELS]
_JOINT_OF_ROTATION = np.array(skeleton.JOINT_OF_ROTATION)
