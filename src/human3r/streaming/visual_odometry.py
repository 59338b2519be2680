"""Where the camera went, from corners of the image and the network's depth at them.

The small network that comes along has not learnt how its camera moves. What stands still shows it:
corners outside of people are followed from image to image, and the camera's pose is the one from
which they, as deep as the network saw them first, appear where they are now.

Sources: corners, Shi and Tomasi, 1994; following them, Lucas and Kanade, 1981, on pyramids; pose
from points, RANSAC, Fischler and Bolles, 1981. All by OpenCV.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from human3r.geometry.rigid import chain, invert
from human3r.types import FrameEstimate, Intrinsics

_MOST_CORNERS = 200
_APART_PX = 5
_AWAY_FROM_PEOPLE_PX = 9
_PERSON_PROBABILITY = 0.3
_WINDOW_PX = 15
_PYRAMID_LEVELS = 3
_THERE_AND_BACK_PX = 1.0
"""A corner that is followed back to the last image has to arrive where it was."""
_MISFIT = 2 / 224
"""A corner fits a pose when it appears no farther off than this, in widths of the image."""
_FEWEST_FITTING = 12
_FITTING_SHARE = 0.4
_KEPT_SHARE = 0.8
"""With fewer of a key image's corners left the present image becomes the next key image."""


@dataclass
class _Key:
    """An image whose corners have a place in space."""

    camera: Float[np.ndarray, "3 3"]
    world_from_key: Float[np.ndarray, "4 4"]
    num_corners: int
    image: UInt8[np.ndarray, "height width"]
    """The last one in which corners were found, grey, at first the key image itself."""
    points_key: Float[np.ndarray, "corners 3"]
    """Of the corners that are still followed."""
    pixels: Float[np.ndarray, "corners 2"]
    """Of the same, in ``image``."""
    key_from_camera: Float[np.ndarray, "4 4"]
    """Of the camera that took ``image``."""


class VisualOdometry:
    """Gives a stream's estimates the camera path that their images show.

    Lengths of the path are as the network's depth has them, frame for frame.
    """

    def __init__(self) -> None:
        self._world_from_camera = np.eye(4)
        self._key: _Key | None = None
        self._is_new = True

    def restart(self, *, keep_world: bool) -> None:
        """A new session, whose images may have another size.

        Args:
            keep_world: go on from the last pose; otherwise the next camera is the world.
        """
        self._key, self._is_new = None, True
        if not keep_world:
            self._world_from_camera = np.eye(4)

    def apply(self, estimate: FrameEstimate, camera: Intrinsics) -> FrameEstimate:
        """The estimate with the pose of the followed corners.

        While too few can be followed the camera counts as standing still, and ``is_motion_known``
        is False.

        Args:
            estimate: the newest of the stream; its path is in the network's unit.
            camera: of the network image, along whose rays the estimate's points lie.
        """
        is_known, self._is_new = self._is_new, False
        # An image without contrast says nothing and is nothing to go on from.
        if estimate.state_updated and camera.fx > 0:
            gray = cv2.cvtColor(estimate.image, cv2.COLOR_RGB2GRAY)
            key = self._key
            is_followed = key is not None and _follow(key, gray, estimate.person_probability)
            if is_followed:
                self._world_from_camera = chain(key.world_from_key, key.key_from_camera)
            if not is_followed or len(key.pixels) < _KEPT_SHARE * key.num_corners:
                self._key = _new_key(gray, estimate, camera, self._world_from_camera)
            is_known = is_known or is_followed
        return replace(
            estimate,
            world_from_camera=self._world_from_camera.copy(),
            is_motion_known=is_known,
            points_world=None,
        )


def _new_key(
    gray: UInt8[np.ndarray, "height width"],
    estimate: FrameEstimate,
    camera: Intrinsics,
    world_from_camera: Float[np.ndarray, "4 4"],
) -> _Key:
    """The image as the one whose corners are followed from now on."""
    depth = estimate.depth
    is_person = (estimate.person_probability > _PERSON_PROBABILITY).astype(np.uint8)
    near_people = cv2.dilate(is_person, np.ones((_AWAY_FROM_PEOPLE_PX,) * 2, np.uint8))
    usable = ((depth > 0) & (near_people == 0)).astype(np.uint8)
    found = cv2.goodFeaturesToTrack(gray, _MOST_CORNERS, 0.01, _APART_PX, mask=usable)
    pixels = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
    columns, rows = np.round(pixels).astype(int).T
    rays = np.column_stack((pixels, np.ones(len(pixels)))) @ np.linalg.inv(camera.matrix()).T
    return _Key(
        camera=camera.matrix(),
        world_from_key=world_from_camera,
        num_corners=len(pixels),
        image=gray,
        points_key=rays * depth[rows, columns, None],
        pixels=pixels,
        key_from_camera=np.eye(4),
    )


def _follow(
    key: _Key,
    gray: UInt8[np.ndarray, "height width"],
    person_probability: Float[np.ndarray, "height width"],
) -> bool:
    """Find the key's corners and the camera in a newer image; False, and no change, when lost."""
    if len(key.pixels) < _FEWEST_FITTING:
        return False
    pixels, is_found = _followed(key.image, gray, key.pixels)
    points, pixels = key.points_key[is_found], pixels[is_found]
    columns, rows = np.round(pixels).astype(int).T
    is_scene = person_probability[rows, columns] <= _PERSON_PROBABILITY
    points, pixels = points[is_scene], pixels[is_scene]
    if len(pixels) < _FEWEST_FITTING:
        return False
    fitted = _pose(points, pixels, key, _MISFIT * gray.shape[1])
    if fitted is None:
        return False
    key.key_from_camera, fits = fitted
    key.points_key, key.pixels, key.image = points[fits], pixels[fits], gray
    return True


def _followed(
    before: UInt8[np.ndarray, "height width"],
    now: UInt8[np.ndarray, "height width"],
    pixels: Float[np.ndarray, "corners 2"],
) -> tuple[Float[np.ndarray, "corners 2"], np.ndarray]:
    """Where corners went, and for which of them that is sure."""
    options = {"winSize": (_WINDOW_PX, _WINDOW_PX), "maxLevel": _PYRAMID_LEVELS}
    there, went, _ = cv2.calcOpticalFlowPyrLK(before, now, pixels[:, None], None, **options)
    back, came, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, **options)
    there = there[:, 0]
    is_back = np.linalg.norm(back[:, 0] - pixels, axis=1) < _THERE_AND_BACK_PX
    height, width = now.shape
    is_inside = ((there > 1) & (there < (width - 2, height - 2))).all(axis=1)
    return there, (went[:, 0] > 0) & (came[:, 0] > 0) & is_back & is_inside


def _pose(
    points_key: Float[np.ndarray, "corners 3"],
    pixels: Float[np.ndarray, "corners 2"],
    key: _Key,
    misfit_px: float,
) -> tuple[Float[np.ndarray, "4 4"], np.ndarray] | None:
    """key_from_camera and the numbers of the corners that fit it; None when too few do."""
    pixels = pixels.astype(np.float64)
    last = invert(key.key_from_camera)
    start = {"rvec": cv2.Rodrigues(last[:3, :3])[0], "tvec": last[:3, 3:].copy()}
    is_found, rotation, translation, fits = cv2.solvePnPRansac(
        points_key,
        pixels,
        key.camera,
        None,
        **start,
        useExtrinsicGuess=True,
        reprojectionError=misfit_px,
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    if not is_found or len(fits) < max(_FEWEST_FITTING, _FITTING_SHARE * len(pixels)):
        return None
    fits = fits[:, 0]
    rotation, translation = cv2.solvePnPRefineLM(
        points_key[fits], pixels[fits], key.camera, None, rotation, translation
    )
    camera_from_key = np.eye(4)
    camera_from_key[:3, :3] = cv2.Rodrigues(rotation)[0]
    camera_from_key[:3, 3:] = translation
    if not np.isfinite(camera_from_key).all():
        return None
    return invert(camera_from_key), fits
