"""The people of one view at one moment, in flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from human3r.tracking.tracks import body_origin
from human3r.types import FrameEstimate, Intrinsics, TrackedPerson

ALONG_SHARE = 0.08
"""Standard deviation of a distance without a covariance, as a share of the distance."""
ACROSS_SHARE = 0.01
"""The same across the ray: a few pixels."""
TURN_RAD = 0.2
"""Standard deviation of a rotation without a covariance."""
USUAL_SIZE_PX = 640, 480
"""Of images whose size is not told."""
_NEAREST_M = 0.1


@dataclass(frozen=True)
class ViewPeople:
    """All people one camera knows at one moment. Joints are in SMPL-X order, 55 at least."""

    view: str
    """Name of the camera."""
    stamp_ns: int
    world_from_camera: Float[np.ndarray, "4 4"]
    """In the world that all views share."""
    focal_px: float
    """Turns angles into pixels."""
    tracked: tuple[TrackedPerson, ...]
    """In the camera frame; numbers last within the view. The arrays have their order."""
    numbers: Int[np.ndarray, " people"]
    is_measured: Bool[np.ndarray, " people"]
    rotations: Float[np.ndarray, "people 53 3 3"]
    """Child in parent, the root in the camera frame."""
    betas: Float[np.ndarray, "people 10"]
    expression: Float[np.ndarray, "people 10"]
    joints_camera: Float[np.ndarray, "people joints 3"]
    """Metres."""
    place_covariance: Float[np.ndarray, "people 3 3"]
    """Of the body's place in the camera frame, m^2."""
    turn_variance: Float[np.ndarray, " people"]
    """Of its rotations, rad^2."""
    size_px: tuple[int, int] = USUAL_SIZE_PX
    """Width and height of the image."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def lens(self) -> Intrinsics:
        """The camera as far as it is known: the image's middle is taken for the axis."""
        width, height = self.size_px
        return Intrinsics(
            self.focal_px, self.focal_px, (width - 1) / 2, (height - 1) / 2, width, height
        )

    @property
    def joints_world(self) -> Float[np.ndarray, "people joints 3"]:
        """Joints in the shared world."""
        pose = self.world_from_camera
        return self.joints_camera @ pose[:3, :3].T + pose[:3, 3]


def view_from_estimate(
    view: str, estimate: FrameEstimate, world_from_camera: np.ndarray
) -> ViewPeople:
    """The people of a frame.

    Args:
        view: name of the camera.
        estimate: as a pipeline gave it, ``tracked`` included.
        world_from_camera: (4, 4) pose of the camera in the world that all views share.
    """
    camera = estimate.source_camera
    return view_from_tracked(
        view,
        estimate.stamp_ns,
        estimate.tracked,
        world_from_camera,
        focal_px=camera.fx,
        size_px=(camera.width_px, camera.height_px),
    )


def view_from_tracked(
    view: str,
    stamp_ns: int,
    tracked: Sequence[TrackedPerson],
    world_from_camera: np.ndarray,
    *,
    focal_px: float,
    size_px: tuple[int, int] = USUAL_SIZE_PX,
) -> ViewPeople:
    """People of any stream; those that a track has lost are left out.

    Args:
        view: name of the camera.
        stamp_ns: of the image.
        tracked: in the camera frame.
        world_from_camera: (4, 4) pose of the camera in the world that all views share.
        focal_px: of the image in which residuals are to be told.
        size_px: width and height of that image.
    """
    known = tuple(one for one in tracked if one.state != 3)
    bodies = [one.person.body for one in known]
    num_joints = len(known[0].person.joints_camera) if known else 55
    covariances = [_covariance(one) for one in known]

    def stacked(values: Sequence, shape: tuple[int, ...]) -> np.ndarray:
        return np.array(values, np.float64).reshape(len(known), *shape)

    return ViewPeople(
        view=view,
        stamp_ns=stamp_ns,
        world_from_camera=np.asarray(world_from_camera, np.float64),
        focal_px=focal_px,
        tracked=known,
        numbers=np.array([one.number for one in known], np.int64),
        is_measured=np.array([one.is_measured for one in known], bool),
        rotations=stacked([body.rotations for body in bodies], (53, 3, 3)),
        betas=stacked([body.betas for body in bodies], (10,)),
        expression=stacked([body.expression for body in bodies], (10,)),
        joints_camera=stacked([one.person.joints_camera for one in known], (num_joints, 3)),
        place_covariance=stacked([c[:3, :3] for c in covariances], (3, 3)),
        turn_variance=stacked([np.trace(c[3:, 3:]) / 3 for c in covariances], ()),
        size_px=size_px,
    )


def ray_covariance(
    place_camera: Float[np.ndarray, "*batch 3"], along_m: np.ndarray, across_m: np.ndarray
) -> Float[np.ndarray, "*batch 3 3"]:
    """Covariances of places with one standard deviation along the ray and another across it."""
    distance_m = np.maximum(np.linalg.norm(place_camera, axis=-1, keepdims=True), _NEAREST_M)
    ray = place_camera / distance_m
    along = ray[..., :, None] * ray[..., None, :]
    across = np.eye(3) - along
    return (
        np.square(along_m)[..., None, None] * along + np.square(across_m)[..., None, None] * across
    )


def _covariance(tracked: TrackedPerson) -> np.ndarray:
    """(6, 6) of the body's pose; the usual one where none is given."""
    known = tracked.covariance
    if known is not None and np.isfinite(known).all() and known[0] > 0:
        return np.asarray(known, np.float64).reshape(6, 6)
    origin = body_origin(tracked.person)
    distance_m = max(float(np.linalg.norm(origin)), _NEAREST_M)
    covariance = np.eye(6) * TURN_RAD**2
    covariance[:3, :3] = ray_covariance(
        origin, np.array(ALONG_SHARE * distance_m), np.array(ACROSS_SHARE * distance_m)
    )
    return covariance
