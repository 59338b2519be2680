"""Contacts: skin on the surface of the scene, and at one place of the world while it stays.

Both in the form of JOSH (Liu et al., arXiv 2501.02158): ``L_c1``, here point to plane (Chen and
Medioni 1992), and ``L_c2`` to a place in the world rather than from frame to frame.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from human3r.refine.contacts import Contacts
from human3r.refine.recording import Recording, Track
from human3r.refine.residuals.derivatives import of_body_point, of_scene_point, scaled, world
from human3r.refine.rows import Rows
from human3r.refine.solver import Block, Residuals
from human3r.refine.unknowns import Layout, State

_CONTACT_M, _STILL_M = 0.005, 0.001
_ROBUST = 3.0
_LEAST_CONFIDENCE = 0.02


@dataclass(frozen=True)
class Touch:
    """All contacts of all people, as rows of the problem."""

    row: Int[np.ndarray, " n"]
    offset: Float[np.ndarray, "n 3"]
    """Skin point from the pelvis, camera frame, as it came."""
    episode: Int[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    has_plane: np.ndarray
    normal: Float[np.ndarray, "n 3"]
    key: Int[np.ndarray, " n"]
    """Key frame that saw the scene there."""
    place: Float[np.ndarray, "n 3"]
    """Of the scene in that camera, not scaled."""
    num_episodes: int


def no_touch() -> Touch:
    """No contacts at all."""
    none, empty = np.zeros(0, int), np.zeros((0, 3))
    return Touch(none, empty, none, np.zeros(0), np.zeros(0, bool), empty, none, empty, 0)


def touch_of(recording: Recording, rows: Rows, found: list[Contacts]) -> Touch:
    """Contacts of all people as rows of the problem; those on moving supports are left out."""
    parts: list[tuple[np.ndarray, ...]] = []
    episodes = 0
    for person, contacts in enumerate(found):
        mine = np.flatnonzero(rows.person == person)
        good = ~contacts.is_moving & (contacts.confidence > _LEAST_CONFIDENCE)
        row, point = mine[contacts.row[good]], contacts.point[good]
        points = recording.tracks[person].points[rows.track_row[row], point]
        planes = contacts.planes
        numbers, episode = np.unique(contacts.episode[good], return_inverse=True)
        parts.append(
            (
                row,
                points - rows.place[row],
                episode + episodes,
                contacts.confidence[good] / _points_per_part(recording.tracks[person], point),
                planes.is_known[good],
                planes.normal[good],
                planes.key[good],
                planes.place[good],
            )
        )
        episodes += len(numbers)
    if not parts:
        return no_touch()
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Touch(*columns, episodes)  # pyright: ignore[reportCallIssue]


def _points_per_part(track: Track, point: np.ndarray) -> np.ndarray:
    """Points of one foot err alike."""
    return np.bincount(track.parts)[track.parts[point]]


def plane_stddev_m(
    touch: Touch, rotation: Float[np.ndarray, "keys 3 3"], depth_stddev: float
) -> Float[np.ndarray, " n"]:
    """Standard deviation of the distance between skin and plane.

    Depth that is off by a share moves a plane by that share of its distance from the camera.
    Depth of one spot is wrong in the same way in all frames of an episode: together its contacts
    tell no more than one of them.

    Args:
        touch: the contacts.
        rotation: of cameras in the world.
        depth_stddev: of depth over its distance, of one spot against the people in front of it.
    """
    count = np.bincount(touch.episode, minlength=touch.num_episodes)[touch.episode]
    ray = np.einsum("nij,nj->ni", rotation[touch.key], touch.place)
    off_m = depth_stddev * np.abs(np.einsum("ni,ni->n", ray, touch.normal))
    return np.sqrt(_CONTACT_M**2 + count * off_m**2)


@dataclass(frozen=True)
class Contact:
    """Skin points in contact."""

    layout: Layout
    rows: Rows
    touch: Touch
    noise_m: Float[np.ndarray, "people 2"]
    """By which places tremble, along and across the ray."""
    limb_m: Float[np.ndarray, " people"]
    """By which feet tremble, whatever the body does."""
    plane_stddev_m: Float[np.ndarray, " n"]
    """See ``plane_stddev_m``."""

    def touched(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Skin points in contact: in the camera frame, and from the pelvis."""
        row = self.touch.row
        turned = Rotation.from_rotvec(state.turn[row]).as_matrix()
        offset = np.einsum("nij,nj->ni", turned, self.touch.offset)
        return self.rows.place[row] + state.shift[row] + offset, offset

    def landmarks(self, state: State) -> Float[np.ndarray, "episodes 3"]:
        """Median places of the episodes' points."""
        camera, _ = self.touched(state)
        there = world(state, self.rows.key[self.touch.row], camera)
        medians = np.zeros((self.touch.num_episodes, 3))
        if not len(medians):
            return medians
        order = np.argsort(self.touch.episode, kind="stable")
        ends = np.cumsum(np.bincount(self.touch.episode, minlength=len(medians)))
        for number, rows in enumerate(np.split(there[order], ends[:-1])):
            medians[number] = np.median(rows, axis=0)
        return medians

    def residuals(self, state: State) -> list[Residuals]:
        """To the places that points stay at, and to the planes that they touch."""
        if len(self.touch.row) == 0:
            return []
        camera, offset = self.touched(state)
        return [self._stays(state, camera, offset), self._touches(state, camera, offset)]

    def _stays(self, state: State, camera: np.ndarray, offset: np.ndarray) -> Residuals:
        touch, key = self.touch, self.rows.key[self.touch.row]
        stddev = np.hypot(_STILL_M, self.limb_m[self.rows.person[touch.row]])
        still = np.sqrt(touch.weight)[:, None] / stddev[:, None]
        own = self.layout.landmark_at + 3 * touch.episode
        return Residuals(
            (world(state, key, camera) - state.landmark[touch.episode]) * still,
            [
                *of_body_point(self.layout, state, key, touch.row, camera, still, offset),
                Block(own, -np.eye(3)[None] * still[:, :, None]),
            ],
            _ROBUST * np.sqrt(1 + (self._noise() / stddev) ** 2),
            is_bounded=True,
        )

    def _touches(self, state: State, camera: np.ndarray, offset: np.ndarray) -> Residuals:
        keep = self.touch.has_plane
        camera, offset, row = camera[keep], offset[keep], self.touch.row[keep]
        normal, key, place = (
            a[keep] for a in (self.touch.normal, self.touch.key, self.touch.place)
        )
        own_key = self.rows.key[row]
        scene = world(state, key, scaled(self.layout, state, key, place))
        stddev = self.plane_stddev_m[keep]
        weight = (np.sqrt(self.touch.weight[keep]) / stddev)[:, None]
        distance = np.einsum("ni,ni->n", normal, world(state, own_key, camera) - scene)[:, None]
        return Residuals(
            distance * weight,
            [
                *of_body_point(self.layout, state, own_key, row, camera, weight, offset, normal),
                *of_scene_point(self.layout, state, key, place, -weight, normal),
            ],
            # Beyond so many standard deviations a contact is doubted.
            _ROBUST * np.sqrt(4 + (self._noise()[keep] / stddev) ** 2),
            is_bounded=True,
        )

    def _noise(self) -> Float[np.ndarray, " n"]:
        return self.noise_m[self.rows.person[self.touch.row]].max(axis=1)
