"""One image with everything that is true about it."""

from dataclasses import dataclass

import numpy as np

from human3r.types import Intrinsics

CONTACT_NAMES = ("left_heel", "left_toe", "right_heel", "right_toe")
"""Columns of ``PeopleTruth.contacts``."""


@dataclass(frozen=True)
class PeopleTruth:
    """The annotated people of one view: bodies without clothes."""

    person_ids: np.ndarray
    """(people,) int32 from 1, stable over a sequence."""
    rotations: np.ndarray
    """(people, 53, 3, 3) float32: root, 21 body, 15 left hand, 15 right hand joints, jaw; child in
    parent, the root in the camera frame."""
    betas: np.ndarray
    """(people, 10) float32 shape coefficients of the sequence's body model."""
    expression: np.ndarray
    """(people, 10) float32."""
    head_camera: np.ndarray
    """(people, 3) float32, metres: the head joint in the camera frame."""
    contacts: np.ndarray
    """(people, 4) bool: which of ``CONTACT_NAMES`` rest on the floor."""

    def __len__(self) -> int:
        return len(self.person_ids)

    @classmethod
    def nobody(cls) -> "PeopleTruth":
        """No people."""
        return cls(
            np.zeros(0, np.int32),
            np.zeros((0, 53, 3, 3), np.float32),
            np.zeros((0, 10), np.float32),
            np.zeros((0, 10), np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros((0, len(CONTACT_NAMES)), bool),
        )


@dataclass(frozen=True)
class ViewTruth:
    """One image of a sequence: people, scene and camera. Image, depth and mask show clothes."""

    image: np.ndarray
    """(height, width, 3) uint8, RGB."""
    depth_m: np.ndarray
    """(height, width) float32: depth along the optical axis; 0 where there is none, as in sky."""
    person_index: np.ndarray
    """(height, width) uint8: the ``person_ids`` of whom is seen, 0 where none is."""
    intrinsics: Intrinsics
    world_from_camera: np.ndarray
    """(4, 4) float64; the world's z points up."""
    people: PeopleTruth
    stamp_ns: int
