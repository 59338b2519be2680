"""How much places tremble, from what moves while it should not.

People who stand and walk as still as they should are not smoothed at all.
"""

import numpy as np
from jaxtyping import Float

from human3r.refine.contacts import Contacts, Motion
from human3r.refine.residuals.bodies import ACCELERATION
from human3r.refine.rows import Rows, following, triples

_RAYLEIGH = 1.1774 * 1.4826
"""Median length of two numbers of unit variance, in the terms of ``_stddev``."""
_FEWEST = 3


def of_contacts(
    motion: Motion, camera: np.ndarray, rotation: np.ndarray, found: Contacts
) -> Float[np.ndarray, "2"]:
    """Along and across the ray, from skin that touches the scene.

    Args:
        motion: of the person, as it came.
        camera: the same points (rows, points, 3) in the camera frames.
        rotation: (keys, 3, 3) of cameras in the world.
        found: contacts of the person.
    """
    order = np.lexsort((found.row, found.episode))
    order = order[~found.is_moving[order]]
    row, point, episode = found.row[order], found.point[order], found.episode[order]
    same = (episode[2:] == episode[:-2]) & (row[2:] == row[:-2] + 2)
    if same.sum() < _FEWEST:
        return np.zeros(2)
    places = motion.points[row, point]
    # A scale that is off makes still points drift evenly; that is no noise.
    off = ((places[:-2] - 2 * places[1:-1] + places[2:]) / np.sqrt(6))[same]
    row, point = row[1:-1][same], point[1:-1][same]
    off = np.einsum("nji,nj->ni", rotation[motion.keys[row]], off)
    ray = camera[row, point] / np.linalg.norm(camera[row, point], axis=1, keepdims=True)
    along = np.einsum("ni,ni->n", off, ray)
    across = np.linalg.norm(off - along[:, None] * ray, axis=1) / _RAYLEIGH
    return np.array([_stddev(along), _stddev(across)])


def of_pelvises(
    rows: Rows,
    times_s: Float[np.ndarray, " keys"],
    pose: Float[np.ndarray, "keys 4 4"],
    num_people: int,
) -> Float[np.ndarray, "people 2"]:
    """Along and across the ray, what pelvises accelerate beyond what people do.

    Args:
        rows: of all people.
        times_s: of key frames.
        pose: of their cameras.
        num_people: how many.
    """
    a, b, c = triples(following(rows, times_s, pose), len(rows.key))
    noise = np.zeros((num_people, 2))
    first_s = times_s[rows.key[b]] - times_s[rows.key[a]]
    second_s = times_s[rows.key[c]] - times_s[rows.key[b]]
    even = np.abs(first_s - second_s) < 0.2 * first_s
    a, b, c, step_s = a[even], b[even], c[even], first_s[even]
    rotation = pose[rows.key, :3, :3]
    world = np.einsum("nij,nj->ni", rotation, rows.place) + pose[rows.key, :3, 3]
    off = np.einsum("nji,nj->ni", rotation[b], world[a] - 2 * world[b] + world[c]) / np.sqrt(6)
    ray = rows.place[b] / np.linalg.norm(rows.place[b], axis=1, keepdims=True)
    along = np.einsum("ni,ni->n", off, ray)
    across = np.linalg.norm(off - along[:, None] * ray, axis=1) / _RAYLEIGH
    for person in range(num_people):
        mine = rows.person[b] == person
        if mine.sum() < _FEWEST:
            continue
        usual_m = ACCELERATION * float(np.median(step_s[mine])) ** 2 / np.sqrt(6)
        found = np.array([_stddev(along[mine]), _stddev(across[mine])])
        noise[person] = np.sqrt(np.maximum(found**2 - usual_m**2, 0))
    return noise


def _stddev(values: np.ndarray) -> float:
    """Standard deviation that a minority of false contacts does not spoil."""
    return 1.4826 * float(np.median(np.abs(values)))
