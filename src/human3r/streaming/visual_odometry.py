"""Where the camera went, from features of the image and the network's depth at them.

The bundled human3r_mini has not learnt how its camera moves. What stands still shows it:
features outside of people are followed from image to image, and the camera's pose is the one from
which they, as deep as the network saw them first, appear where they are now. Every image is
compared with the key image itself, so that what is lost on the way from image to image does not add
up; and a camera that stands still stays exactly where it is.

Depth that is off by a fifth and features that are off by a fraction of a pixel make a camera that
stands still tremble. So the simplest motion is taken that explains the features about as well as
any: none, a turn on the spot, a free motion. All three are judged by the same robust misfit, as in
Torr, Geometric motion segmentation and model selection, 1998.

Sources: features, Shi and Tomasi, 1994; following them, Lucas and Kanade, 1981, on pyramids; those
that went too far for that are found by their looks, Lowe, 2004; by OpenCV. Turn: Kabsch's
algorithm, iterated with Tukey's weights. Free motion: RANSAC, Fischler and Bolles, 1981, and
Levenberg-Marquardt, by OpenCV; its covariance from the normal equations.
Covariance of chained poses, Barfoot and Furgale, Associating uncertainty with three-dimensional
poses, 2014, to first order.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from human3r.geometry import chain, invert
from human3r.types import FrameEstimate, Intrinsics

_MOST_FEATURES = 200
_APART_PX = 5
_AWAY_FROM_PEOPLE_PX = 9
_PERSON_PROBABILITY = 0.3
_WINDOW_PX = 15
_PYRAMID_LEVELS = 3
_THERE_AND_BACK_PX = 1.0
"""A feature that is followed back to the last image has to arrive where it was."""
_TIED_PX = 1.5
"""Farther apart, following image by image and from the key image did not find the same feature."""
_LOOKS_PX, _LIKER_THAN_NEXT = 8, 0.8
"""Size of what is compared of a corner, and how much liker the best has to be than the second."""
_KEPT_SHARE = 0.8
"""With fewer of a key image's features left the present image becomes the next key image."""
_DEPTH_OFF_TOGETHER, _DEPTH_OFF_EVERYWHERE = 0.1, 0.1
"""Shares by which all depth of a key image may be off alike, and all depth of the stream."""
_UNSEEN_M_PER_S, _UNSEEN_RAD_PER_S = 0.5, 0.5
"""Standard deviations of the motion of a camera while nothing can be followed."""
_LONGEST_GAP_S = 10.0

_FEATURE_STDDEV = 0.3 / 224
"""Of a followed feature, in widths of the image."""
_LARGEST_TERM = 9.0
"""A feature off by more than three standard deviations counts as off by three."""
_NO_WORSE = 0.35
"""A simpler motion is taken when its mean squared misfit, in variances, is larger by less."""
_FEW_ASTRAY = 3
"""So many features, as those of a shadow, do not make a motion."""
_MISFIT = 2 / 224
"""A feature fits a motion when it appears no farther off than this, in widths of the image."""
FEWEST_FITTING = 12
_FITTING_SHARE = 0.4
_TURN_ROUNDS = 5
_TURN_REACH = 3.0
"""Features farther off, in standard deviations, have no say in a turn."""
_DEPTH_SHARE = 0.2
"""Standard deviation of a feature's depth, over its depth."""
_ALIKE = 4.0
"""So many features err alike, as depth is smooth; measured on synthetic sequences."""
_CREEP_RADIANS = 0.3e-3
"""Smaller turns pass for none."""


@dataclass
class _Key:
    """An image whose features have a place in space."""

    world_from_key: Float[np.ndarray, "4 4"]
    covariance: Float[np.ndarray, "6 6"]
    """Of world_from_key, translation then rotation, from the left: exp(error) world_from_key."""
    num_features: int
    key_image: UInt8[np.ndarray, "height width"]
    """Grey."""
    image: UInt8[np.ndarray, "height width"]
    """The last one in which features were found, grey, at first the key image itself."""
    points_key: Float[np.ndarray, "features 3"]
    """Of the features that are still followed."""
    key_pixels: Float[np.ndarray, "features 2"]
    """Of the same, in ``key_image``."""
    pixels: Float[np.ndarray, "features 2"]
    """Of the same, in ``image``."""
    focal_px: float
    """Along whose rays ``points_key`` lie."""
    stamp_ns: int
    """Of the key image."""
    key_from_camera: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Of the camera that took ``image``."""
    step_covariance: Float[np.ndarray, "6 6"] = field(default_factory=lambda: np.zeros((6, 6)))
    """Of key_from_camera, from the right."""


class VisualOdometry:
    """Gives a stream's estimates the camera path that their images show.

    Lengths of the path are as the network's depth has them, frame for frame.
    """

    def __init__(self) -> None:
        self._forget_path()
        self._key: _Key | None = None
        self._is_new = True

    @property
    def covariance(self) -> Float[np.ndarray, "6 6"]:
        """Of the last pose in the world frame: its place in metres, then a rotation about it.

        The axes are those of the world, as in geometry_msgs/PoseWithCovariance. It grows with every
        key image and while nothing can be followed, and with the distance as all depth may be off
        alike; it is zero where the world begins.
        """
        about_place = np.eye(6)
        about_place[:3, 3:] = -_cross(self._world_from_camera[:3, 3])
        covariance = about_place @ self._left_covariance @ about_place.T
        together = _DEPTH_OFF_EVERYWHERE * self._world_from_camera[:3, 3]
        covariance[:3, :3] += np.outer(together, together)
        return covariance

    def restart(self, *, keep_world: bool) -> None:
        """A new session, whose images may have another size.

        Args:
            keep_world: go on from the last pose; otherwise the next camera is the world.
        """
        self._key, self._is_new = None, True
        if not keep_world:
            self._forget_path()

    def apply(
        self, estimate: FrameEstimate, camera: Intrinsics, *, is_repeated: bool = False
    ) -> FrameEstimate:
        """The estimate with the pose of the followed features.

        While too few can be followed the camera counts as standing still, and ``is_motion_known``
        is False.

        Args:
            estimate: the newest of the stream; its path is in the network's unit.
            camera: of the network image, along whose rays the estimate's points lie.
            is_repeated: the image is the one before it to the last bit: nothing has moved.
        """
        is_known, self._is_new = self._is_new, False
        # An image without contrast says nothing and is nothing to go on from.
        if is_repeated and estimate.state_updated and self._key is not None:
            is_known = True
        elif estimate.state_updated and camera.fx > 0:
            is_known = self._update(estimate, camera) or is_known
        if not is_known:
            self._guess_motion(estimate.stamp_ns)
        self._last_ns = estimate.stamp_ns
        return replace(
            estimate,
            world_from_camera=self._world_from_camera.copy(),
            camera_covariance=self.covariance,
            is_motion_known=is_known,
            points_world=None,
        )

    def correct_depth(self, estimate: FrameEstimate) -> None:
        """Take over better depth of the newest image, if it is a key image.

        Args:
            estimate: as ``apply`` gave it, with corrected points.
        """
        key = self._key
        if key is not None and key.stamp_ns == estimate.stamp_ns:
            columns, rows = np.round(key.key_pixels).astype(int).T
            key.points_key *= (estimate.depth[rows, columns] / key.points_key[:, 2])[:, None]

    def _update(self, estimate: FrameEstimate, camera: Intrinsics) -> bool:
        """Whether the image shows how the camera moved; if so, it has moved by that."""
        gray = cv2.cvtColor(estimate.image, cv2.COLOR_RGB2GRAY)
        key = self._key
        if key is not None and estimate.calibrated is None:
            _believe_focal(key, camera.fx)
        is_followed = key is not None and _follow(
            key, gray, estimate.person_probability, camera.matrix()
        )
        if is_followed:
            self._world_from_camera = chain(key.world_from_key, key.key_from_camera)  # pyright: ignore[reportOptionalMemberAccess]
            self._left_covariance = _chained(key)  # pyright: ignore[reportArgumentType]
        is_spent = not is_followed or len(key.pixels) < _KEPT_SHARE * key.num_features  # pyright: ignore[reportOptionalMemberAccess]
        # Without depth there is no other key; the next image may find this one's features.
        if is_spent and estimate.has_scene:
            self._key = _new_key(
                gray, estimate, camera, self._world_from_camera, self._left_covariance
            )
        return is_followed

    def _guess_motion(self, stamp_ns: int) -> None:
        """The camera may have moved by as much as cameras do in that time."""
        passed_s = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) * 1e-9
        passed_s = min(max(passed_s, 0.0), _LONGEST_GAP_S)
        unseen = np.diag([_UNSEEN_M_PER_S**2] * 3 + [_UNSEEN_RAD_PER_S**2] * 3) * passed_s**2
        adjoint = _adjoint(self._world_from_camera)
        self._left_covariance = self._left_covariance + adjoint @ unseen @ adjoint.T
        # Features found again later count from where the camera now seems to be.
        if self._key is not None:
            self._key.covariance = self._left_covariance

    def _forget_path(self) -> None:
        self._world_from_camera = np.eye(4)
        self._left_covariance = np.zeros((6, 6))
        self._last_ns: int | None = None


@dataclass(frozen=True)
class FeaturePose:
    """How the camera stands to the key image."""

    key_from_camera: Float[np.ndarray, "4 4"]
    """Exactly the identity for a camera that stands still."""
    fits: Bool[np.ndarray, " features"]
    """Which features agree."""
    covariance: Float[np.ndarray, "6 6"]
    """Of translation, then rotation, from the right: key_from_camera exp(error)."""


class _Features:
    """Features of a key image, with depth, and where they are now."""

    def __init__(
        self,
        points_key: Float[np.ndarray, "features 3"],
        pixels: Float[np.ndarray, "features 2"],
        camera: Float[np.ndarray, "3 3"],
        width_px: int,
    ) -> None:
        self.points_key, self.pixels = points_key, pixels.astype(np.float64)
        self.camera, self.width_px = camera, width_px

    def off(self, camera_from_key: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " features"]:
        """Pixels between where features are and where they should be."""
        there = self.points_key @ camera_from_key[:3, :3].T + camera_from_key[:3, 3]
        in_front = np.maximum(there[:, 2:], 1e-6)
        seen = (there / in_front) @ self.camera[:2].T
        return np.linalg.norm(seen - self.pixels, axis=1)

    def misfit(self, off_px: Float[np.ndarray, " features"]) -> float:
        """Mean squared distance in variances, each at most ``_LARGEST_TERM``."""
        scaled = off_px / (_FEATURE_STDDEV * self.width_px)
        return float(np.minimum(scaled**2, _LARGEST_TERM).mean())

    def fits(self, off_px: Float[np.ndarray, " features"]) -> Bool[np.ndarray, " features"]:
        """Which features are where they should be."""
        return off_px <= _MISFIT * self.width_px


def find_pose(
    points_key: Float[np.ndarray, "features 3"],
    pixels: Float[np.ndarray, "features 2"],
    camera: Float[np.ndarray, "3 3"],
    width_px: int,
    start: Float[np.ndarray, "4 4"],
) -> FeaturePose | None:
    """The simplest motion that explains the features; None when too few agree on any.

    Args:
        points_key: features in the frame of the key image's camera.
        pixels: where they are in the present image.
        camera: matrix K of both images.
        width_px: of both images.
        start: key_from_camera of the image before.
    """
    features = _Features(points_key, pixels, camera, width_px)
    still = np.eye(4)
    candidates = [still]
    if features.misfit(features.off(still)) > _NO_WORSE:
        candidates.append(_turn(features))
        moved = _motion(features, start)
        candidates += [] if moved is None else [moved]
    misfits = [features.misfit(features.off(pose)) for pose in candidates]
    no_worse = min(misfits) + max(_NO_WORSE, _FEW_ASTRAY * _LARGEST_TERM / len(pixels))
    chosen = next(i for i, misfit in enumerate(misfits) if misfit <= no_worse)
    fits = features.fits(features.off(candidates[chosen]))
    if fits.sum() < max(FEWEST_FITTING, _FITTING_SHARE * len(pixels)):
        return None
    pose = invert(candidates[chosen])
    return FeaturePose(pose, fits, _covariance(features, candidates[chosen], fits))


def _new_key(
    gray: UInt8[np.ndarray, "height width"],
    estimate: FrameEstimate,
    camera: Intrinsics,
    world_from_camera: Float[np.ndarray, "4 4"],
    covariance: Float[np.ndarray, "6 6"],
) -> _Key:
    """The image as the one whose features are followed from now on."""
    depth = estimate.depth
    is_person = (estimate.person_probability > _PERSON_PROBABILITY).astype(np.uint8)
    near_people = cv2.dilate(is_person, np.ones((_AWAY_FROM_PEOPLE_PX,) * 2, np.uint8))
    usable = ((depth > 0) & (near_people == 0)).astype(np.uint8)
    found = cv2.goodFeaturesToTrack(gray, _MOST_FEATURES, 0.01, _APART_PX, mask=usable)
    pixels = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
    columns, rows = np.round(pixels).astype(int).T
    rays = np.column_stack((pixels, np.ones(len(pixels)))) @ np.linalg.inv(camera.matrix()).T
    return _Key(
        world_from_key=world_from_camera,
        covariance=covariance,
        num_features=len(pixels),
        key_image=gray,
        image=gray,
        points_key=rays * depth[rows, columns, None],
        key_pixels=pixels,
        pixels=pixels,
        focal_px=camera.fx,
        stamp_ns=estimate.stamp_ns,
    )


def _believe_focal(key: _Key, focal_px: float) -> None:
    """Put a key's points onto the rays of a better estimate of the same lens.

    A lens that is estimated anew has not zoomed; left where they were, its features would seem to
    come nearer or go away.
    """
    key.points_key[:, :2] *= key.focal_px / focal_px
    key.focal_px = focal_px


def _follow(
    key: _Key,
    gray: UInt8[np.ndarray, "height width"],
    person_probability: Float[np.ndarray, "height width"],
    camera: Float[np.ndarray, "3 3"],
) -> bool:
    """Find the key's features and the camera in a newer image; False, and no change, when lost.

    ``camera`` is that of the newer image: autofocus and zoom change it on the way.
    """
    if len(key.pixels) < FEWEST_FITTING:
        return False
    for find in (_followed_on, _found_again):
        pixels, is_found = find(key, gray)
        pixels = _tied(key, gray, pixels, is_found)
        columns, rows = np.round(np.clip(pixels, 0, np.array(gray.shape[::-1]) - 1)).astype(int).T
        is_found = is_found & (person_probability[rows, columns] <= _PERSON_PROBABILITY)
        if is_found.sum() < FEWEST_FITTING:
            continue
        points, pixels = key.points_key[is_found], pixels[is_found]
        found = find_pose(points, pixels, camera, gray.shape[1], key.key_from_camera)
        if found is not None:
            key.key_from_camera, key.step_covariance = found.key_from_camera, found.covariance
            key.points_key, key.pixels = points[found.fits], pixels[found.fits]
            key.key_pixels, key.image = key.key_pixels[is_found][found.fits], gray
            return True
    return False


def _followed_on(
    key: _Key, gray: UInt8[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "features 2"], np.ndarray]:
    """Where features went since the last image, and for which of them that is sure."""
    return _followed(key.image, gray, key.pixels)


def _found_again(
    key: _Key, gray: UInt8[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "features 2"], np.ndarray]:
    """Where features are that went farther than they can be followed: corners that look alike."""
    corners = cv2.goodFeaturesToTrack(gray, 2 * _MOST_FEATURES, 0.01, _APART_PX)
    if corners is None or len(corners) < FEWEST_FITTING:
        return key.pixels, np.zeros(len(key.pixels), bool)
    words, words_now = _looks(key.key_image, key.key_pixels), _looks(gray, corners[:, 0])
    pixels, is_found = key.pixels.copy(), np.zeros(len(key.pixels), bool)
    for pair in cv2.BFMatcher().knnMatch(words, words_now, k=2):
        if len(pair) == 2 and pair[0].distance < _LIKER_THAN_NEXT * pair[1].distance:
            pixels[pair[0].queryIdx] = corners[pair[0].trainIdx, 0]
            is_found[pair[0].queryIdx] = True
    return pixels, is_found


def _looks(
    gray: UInt8[np.ndarray, "height width"], pixels: Float[np.ndarray, "features 2"]
) -> Float[np.ndarray, "features words"]:
    """What tells features from each other; cameras hardly turn about their axis in between."""
    places = [cv2.KeyPoint(float(x), float(y), _LOOKS_PX, 0.0) for x, y in pixels]
    return cv2.SIFT_create().compute(gray, places)[1]  # pyright: ignore[reportAttributeAccessIssue]


def _tied(
    key: _Key,
    gray: UInt8[np.ndarray, "height width"],
    pixels: Float[np.ndarray, "features 2"],
    is_found: np.ndarray,
) -> Float[np.ndarray, "features 2"]:
    """The features' places, by the key image itself where that finds about the same ones."""
    options = {"winSize": (_WINDOW_PX, _WINDOW_PX), "maxLevel": 0}
    tied, went, _ = cv2.calcOpticalFlowPyrLK(
        key.key_image,
        gray,
        key.key_pixels[:, None],
        pixels[:, None].copy(),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        **options,
    )
    tied = tied[:, 0]
    is_tied = is_found & (went[:, 0] > 0) & (np.linalg.norm(tied - pixels, axis=1) < _TIED_PX)
    return np.where(is_tied[:, None], tied, pixels)


def _followed(
    before: UInt8[np.ndarray, "height width"],
    now: UInt8[np.ndarray, "height width"],
    pixels: Float[np.ndarray, "features 2"],
) -> tuple[Float[np.ndarray, "features 2"], np.ndarray]:
    """Where features went, and for which of them that is sure."""
    options = {"winSize": (_WINDOW_PX, _WINDOW_PX), "maxLevel": _PYRAMID_LEVELS}
    there, went, _ = cv2.calcOpticalFlowPyrLK(before, now, pixels[:, None], None, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]
    back, came, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]
    there = there[:, 0]
    is_back = np.linalg.norm(back[:, 0] - pixels, axis=1) < _THERE_AND_BACK_PX
    height, width = now.shape
    is_inside = ((there > 1) & (there < (width - 2, height - 2))).all(axis=1)
    return there, (went[:, 0] > 0) & (came[:, 0] > 0) & is_back & is_inside


def _chained(key: _Key) -> Float[np.ndarray, "6 6"]:
    """Covariance of world_from_key key_from_camera, from the left."""
    shift = key.key_from_camera[:3, 3]
    step = key.step_covariance.copy()
    # From the right: in the frame of the camera that moved.
    together = _DEPTH_OFF_TOGETHER * key.key_from_camera[:3, :3].T @ shift
    step[:3, :3] += np.outer(together, together)
    adjoint = _adjoint(key.world_from_key @ key.key_from_camera)
    return key.covariance + adjoint @ step @ adjoint.T


def _adjoint(a_from_b: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "6 6"]:
    """Takes small motions (translation, rotation) in b to the same ones in a."""
    rotation = a_from_b[:3, :3]
    adjoint = np.zeros((6, 6))
    adjoint[:3, :3] = adjoint[3:, 3:] = rotation
    adjoint[:3, 3:] = _cross(a_from_b[:3, 3]) @ rotation
    return adjoint


def _cross(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The matrix whose product with a vector is the cross product with it."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _turn(features: _Features) -> Float[np.ndarray, "4 4"]:
    """camera_from_key of a camera that turned on the spot."""
    rays = np.column_stack((features.pixels, np.ones(len(features.pixels))))
    rays = rays @ np.linalg.inv(features.camera).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    before = features.points_key / np.linalg.norm(features.points_key, axis=1, keepdims=True)
    pose, weight = np.eye(4), np.ones(len(rays))
    for _ in range(_TURN_ROUNDS):
        u, _, vt = np.linalg.svd((rays * weight[:, None]).T @ before)
        pose[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        off = features.off(pose)
        # The first rounds reach as far as half of the features need.
        reach = max(_TURN_REACH * _FEATURE_STDDEV * features.width_px, 2 * float(np.median(off)))
        weight = np.clip(1 - (off / reach) ** 2, 0, None) ** 2
    return pose


def _motion(
    features: _Features, key_from_camera: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"] | None:
    """camera_from_key of a camera that moved freely; None when nothing is found."""
    last = invert(key_from_camera)
    is_found, rotation, translation, fits = cv2.solvePnPRansac(
        features.points_key,
        features.pixels,
        features.camera,
        None,
        rvec=cv2.Rodrigues(last[:3, :3])[0],
        tvec=last[:3, 3:].copy(),
        useExtrinsicGuess=True,
        reprojectionError=_MISFIT * features.width_px,
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    if not is_found or len(fits) < FEWEST_FITTING:
        return None
    fits = fits[:, 0]
    rotation, translation = cv2.solvePnPRefineLM(
        features.points_key[fits],  # pyright: ignore[reportArgumentType, reportCallIssue]
        features.pixels[fits],  # pyright: ignore[reportArgumentType, reportCallIssue]
        features.camera,
        None,
        rotation,
        translation,
    )
    camera_from_key = np.eye(4)
    camera_from_key[:3, :3] = cv2.Rodrigues(rotation)[0]
    camera_from_key[:3, 3:] = translation
    return camera_from_key if np.isfinite(camera_from_key).all() else None


def _covariance(
    features: _Features,
    camera_from_key: Float[np.ndarray, "4 4"],
    fits: Bool[np.ndarray, " features"],
) -> Float[np.ndarray, "6 6"]:
    """Of key_from_camera, from features whose places and depths are both uncertain.

    A feature whose depth is off appears off by as much as the motion lets it: by the parallax times
    the share of depth. A camera that stands still has none, and small motions hide in the features'
    own noise.
    """
    there = features.points_key[fits] @ camera_from_key[:3, :3].T + camera_from_key[:3, 3]
    x, y, z = there[:, 0], there[:, 1], np.maximum(there[:, 2], 1e-3)
    zero, one = np.zeros_like(x), np.ones_like(x)
    focal = features.camera[0, 0]
    # By how much a point moves in the image when the camera moves, and turns, by a little.
    rows = [
        np.stack([-one / z, zero, x / z**2, x * y / z**2, -(1 + x**2 / z**2), y / z], -1),
        np.stack([zero, -one / z, y / z**2, 1 + y**2 / z**2, -x * y / z**2, -x / z], -1),
    ]
    shift = camera_from_key[:3, 3]
    parallax = np.hypot(shift[0] - x / z * shift[2], shift[1] - y / z * shift[2]) / z * focal
    variance = (_FEATURE_STDDEV * features.width_px) ** 2 + (_DEPTH_SHARE * parallax) ** 2
    normal = sum(row.T @ (row / variance[:, None]) for row in rows) * focal**2
    creep = np.diag([0.0] * 3 + [_CREEP_RADIANS**2] * 3)
    return _ALIKE * np.linalg.inv(normal + 1e-9 * np.trace(normal) * np.eye(6)) + creep
