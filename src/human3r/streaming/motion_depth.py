"""Depth of a moving camera: the network's, corrected by what earlier images saw of the same places.

Two things, both at the poses of the odometry. Features of the present image are looked for in
earlier ones that were taken from elsewhere, and depth is adjusted to where they are found
(``scene.depth_adjustment``). And the depth so far is carried into the present image, where it is
averaged with the new one, each as much as it is sure; so depth does not flicker, and what was
adjusted once stays so while the camera rests. Where the two contradict each other, as where
something has moved, the new image is believed. A whole image that contradicts is of another scale,
not of another scene: it takes over the scale of what is known.

People move: on them nothing is measured, and their corrections stay where they are in the image.
"""

import time
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from human3r.geometry import invert
from human3r.scene.depth_adjustment import DepthPrior, Sighting, adjust
from human3r.scene.scene_depth import DepthImage, points_along_rays
from human3r.types import FrameEstimate, Intrinsics

_PERSON_PROBABILITY = 0.3
_AWAY_FROM_PEOPLE_PX = 9
_STDDEV_AT_LEAST, _STDDEV_PER_ERROR, _STDDEV_AT_MOST = 0.03, 1.25, 0.8
"""Of the logarithm of depth, from the mean error that the network expects; measured on ``val``."""
_MOST_FEATURES, _FEWEST_FEATURES, _APART = 250, 20, 5 / 224
_WINDOW_PX, _PYRAMID_LEVELS = 11, 1
_THERE_AND_BACK_PX = 0.5
_MOST_KEPT, _MOST_COMPARED = 24, 5
"""Earlier images."""
_NEAR, _FAR = 0.007, 0.5
"""Distances between cameras over the median depth, from which on, and up to which, they count."""
_LARGEST_TURN_RAD = 0.5
_ADJUST_EVERY_NS = 300_000_000
_GRID_PX = 4
"""Every so many pixels the correction is worked out."""
_BELIEVED_S = 3.3
"""What was known before loses its weight as exp(-time / this)."""
_ANEW_S = 1.7
"""Errors of single images change so slowly that images count in full only after this time."""
_REACH = 2.0
"""Depth that differs from the new image's by more standard deviations is of something else."""
_MOST_WEIGHT = 6.0
"""Of what was known before, in images."""
_ROUNDS = 2
_FIRST_VIEW, _MOST_VIEWS = 0.3, 10.0
"""What the first image counts as, and how many views the scale of all depth is a mean of."""
_FEWEST_SHARED = 0.2
"""Share of the image that has to be known already to take its scale from there."""
_LARGEST_FOCAL_RATIO = 1.1
_LONGEST_GAP_S = 5.0


@dataclass(frozen=True)
class _Seen:
    """An earlier image."""

    gray: UInt8[np.ndarray, "height width"]
    is_person: Bool[np.ndarray, "height width"]
    world_from_camera: Float[np.ndarray, "4 4"]
    camera: Intrinsics


@dataclass(frozen=True)
class _Known:
    """Depth of the last image, in the network's unit."""

    seen: _Seen
    stamp_ns: int
    log_depth: Float32[np.ndarray, "height width"]
    network: Float32[np.ndarray, "height width"]
    """Logarithm of what the network alone says, brought to the scale of the stream."""
    correction: Float32[np.ndarray, "height width"]
    """By which it differs from the network's."""
    weight: Float32[np.ndarray, "height width"]
    """One over the variance of the logarithm."""


class MotionDepth:
    """Corrects the depth of a stream's estimates by what the camera's motion shows."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything; the next image stands alone."""
        self._seen: deque[_Seen] = deque(maxlen=_MOST_KEPT)
        self._known: _Known | None = None
        self._adjusted_ns: int | None = None
        self._log_scale, self._num_views = 0.0, _FIRST_VIEW

    def apply(self, estimate: FrameEstimate) -> FrameEstimate:
        """The estimate with corrected points; those of an image without depth stay as they are.

        Args:
            estimate: the newest of the stream, with the odometry's pose; both in the network's
                unit.
        """
        if not estimate.state_updated:
            return estimate
        if not estimate.is_motion_known:
            self.restart()
        if not (estimate.has_scene and (estimate.depth > 0).all()):
            return estimate
        began_s = time.perf_counter()
        seen = _seen_in(estimate)
        self._prepare(estimate, seen)
        network = np.log(estimate.depth)
        stddev = _stddev(estimate.confidence)
        self._believe_scale(seen, estimate.stamp_ns, network)
        network += np.float32(self._log_scale)
        median_m = float(np.exp(np.median(network)))
        log_depth, weight = self._adjusted(estimate.stamp_ns, seen, network, stddev, median_m)
        if self._adjusted_ns == estimate.stamp_ns:
            # Both know the same of the shape of what they see.
            off = self._scale_off(seen, log_depth, of_network=False)
            self._log_scale += off
            network, log_depth = network + np.float32(off), log_depth + np.float32(off)
        if self._known is not None:
            own = (log_depth, weight)
            log_depth, weight = _averaged(
                self._known, seen, estimate.stamp_ns, network, own, stddev
            )
        self._known = _Known(
            seen, estimate.stamp_ns, log_depth, network, log_depth - network, weight
        )
        self._keep(seen, median_m)
        points = points_along_rays(np.exp(log_depth), estimate.intrinsics)
        estimate.timings_s["motion"] = time.perf_counter() - began_s
        return replace(estimate, points_camera=points)

    def _prepare(self, estimate: FrameEstimate, seen: _Seen) -> None:
        """Forget what does not belong to this image; believe the present focal length."""
        known = self._known
        if known is None:
            return
        gap_s = (estimate.stamp_ns - known.stamp_ns) * 1e-9
        ratio = seen.camera.fx / known.seen.camera.fx
        is_other = seen.gray.shape != known.seen.gray.shape
        is_zoomed = max(ratio, 1 / ratio) > _LARGEST_FOCAL_RATIO
        if is_other or is_zoomed or gap_s > _LONGEST_GAP_S:
            self.restart()
        elif estimate.calibrated is None and ratio != 1:
            # The same lens, known better: all its depth grows with the focal length.
            earlier = [replace(one, camera=seen.camera) for one in self._seen]
            self._seen = deque(earlier, maxlen=_MOST_KEPT)
            self._known = replace(
                known,
                seen=replace(known.seen, camera=seen.camera),
                log_depth=known.log_depth + np.float32(np.log(ratio)),
                network=known.network + np.float32(np.log(ratio)),
            )

    def _believe_scale(
        self, seen: _Seen, stamp_ns: int, network: Float32[np.ndarray, "height width"]
    ) -> None:
        """Find by what the network's depth of this image is to be multiplied.

        The network judges the scale of each image anew, and by more than the scene allows. So an
        image takes its scale from what is known of the same places already, and that of the
        stream is the mean of what the network says of all views.
        """
        known = self._known
        if known is None:
            return
        scaled = network + np.float32(self._log_scale)
        self._log_scale += self._scale_off(seen, scaled, of_network=True)
        if self._num_views < 1 or self._is_new(seen, float(np.exp(np.median(scaled)))):
            anew = min((stamp_ns - known.stamp_ns) * 1e-9 / _ANEW_S, 1.0)
            self._num_views = min(self._num_views + anew, _MOST_VIEWS)
            self._log_scale *= 1 - anew / self._num_views

    def _scale_off(
        self, seen: _Seen, log_depth: Float32[np.ndarray, "height width"], *, of_network: bool
    ) -> float:
        """Logarithm of what is known of the same places over this image's depth; 0 where unknown.

        Args:
            seen: the present image.
            log_depth: its own, scaled as the last one.
            of_network: compare with what the network alone said of the last image.
        """
        known = self._known
        if known is None:
            return 0.0
        if of_network:
            known = replace(known, log_depth=known.network)
        off, weight = _carried(known, seen, log_depth)
        is_shared = (weight > 0) & ~seen.is_person
        return float(np.median(off[is_shared])) if is_shared.mean() > _FEWEST_SHARED else 0.0

    def _adjusted(
        self,
        stamp_ns: int,
        seen: _Seen,
        network: Float32[np.ndarray, "height width"],
        stddev: Float32[np.ndarray, "height width"],
        median_depth_m: float,
    ) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
        """Logarithm of depth and its weight by the features of this image."""
        plain = network, stddev**-2
        last_ns = self._adjusted_ns
        if last_ns is not None and 0 <= stamp_ns - last_ns < _ADJUST_EVERY_NS:
            return plain
        others = _others(self._seen, seen, median_depth_m)
        places = _features(seen) if others else np.zeros((0, 2), np.float32)
        if len(places) < _FEWEST_FEATURES:
            return plain
        self._adjusted_ns = stamp_ns
        columns, rows = np.rint(places).astype(int).T
        prior = _prior(places, network[rows, columns], stddev[rows, columns], network.shape[1])
        rays = np.column_stack((places, np.ones(len(places))))
        rays = rays @ np.linalg.inv(seen.camera.matrix()).T
        points = rays * np.exp(prior.log_depth)[:, None]
        sightings = [_sighting(seen, other, places, points) for other in others]
        found = adjust(rays, prior, sightings, network.shape[1])
        if found is None:
            return plain
        correction, explained = (
            _enlarged(x, network.shape) for x in found.at(_grid(network, stddev))
        )
        # Features say nothing of the scale.
        correction -= np.median(correction[~seen.is_person]) if not seen.is_person.all() else 0
        return network + correction, stddev**-2 / np.maximum(1 - explained, 1 / _MOST_WEIGHT)

    def _keep(self, seen: _Seen, median_depth_m: float) -> None:
        """Keep the image, unless it shows what the last one kept does."""
        if self._is_new(seen, median_depth_m):
            self._seen.append(seen)

    def _is_new(self, seen: _Seen, median_depth_m: float) -> bool:
        """Whether the camera has moved since the last image that was kept."""
        if not self._seen:
            return True
        shift, turn = _apart(self._seen[-1], seen)
        return shift >= _NEAR * median_depth_m or turn >= _LARGEST_TURN_RAD / 10


def _seen_in(estimate: FrameEstimate) -> _Seen:
    gray = cv2.cvtColor(estimate.image, cv2.COLOR_RGB2GRAY)
    is_person = estimate.person_probability > _PERSON_PROBABILITY
    return _Seen(gray, is_person, estimate.world_from_camera, estimate.intrinsics)


def _stddev(confidence: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    expected = DepthImage(confidence, confidence).relative_error
    stddev = _STDDEV_AT_LEAST + _STDDEV_PER_ERROR * expected
    return np.minimum(stddev, _STDDEV_AT_MOST).astype(np.float32)


def _apart(one: _Seen, other: _Seen) -> tuple[float, float]:
    """Distance and angle between two cameras."""
    between = invert(one.world_from_camera) @ other.world_from_camera
    cosine = (np.trace(between[:3, :3]) - 1) / 2
    return float(np.linalg.norm(between[:3, 3])), float(np.arccos(np.clip(cosine, -1, 1)))


def _others(earlier: deque[_Seen], seen: _Seen, median_depth_m: float) -> list[_Seen]:
    """A few earlier images from near to far, evenly by the logarithm of the distance."""
    apart = np.array([_apart(one, seen) for one in earlier]).reshape(-1, 2)
    near, far = _NEAR * median_depth_m, _FAR * median_depth_m
    shift, turn = apart.T
    usable = np.flatnonzero((shift > near) & (shift < far) & (turn < _LARGEST_TURN_RAD))
    if not len(usable):
        return []
    wanted = np.geomspace(near, shift[usable].max(), _MOST_COMPARED)
    off = np.abs(np.log(shift[usable]) - np.log(wanted)[:, None])
    return [earlier[index] for index in sorted(set(usable[off.argmin(1)].tolist()))]


def _features(seen: _Seen) -> Float32[np.ndarray, "features 2"]:
    """Corners outside of people: column and row."""
    near_people = cv2.dilate(
        seen.is_person.astype(np.uint8), np.ones((_AWAY_FROM_PEOPLE_PX,) * 2, np.uint8)
    )
    apart_px = _APART * seen.gray.shape[1]
    found = cv2.goodFeaturesToTrack(seen.gray, _MOST_FEATURES, 0.01, apart_px, mask=1 - near_people)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0]


def _prior(
    places_px: np.ndarray, log_depth: np.ndarray, stddev: np.ndarray, width_px: int
) -> DepthPrior:
    return DepthPrior(places_px / np.float32(width_px), log_depth, stddev)


def _grid(
    log_depth: Float32[np.ndarray, "height width"], stddev: Float32[np.ndarray, "height width"]
) -> DepthPrior:
    """The network's depth at every few pixels, in rows."""
    height, width = log_depth.shape
    columns, rows = np.meshgrid(np.arange(0, width, _GRID_PX), np.arange(0, height, _GRID_PX))
    places = np.column_stack((columns.ravel(), rows.ravel())).astype(np.float32)
    every = (slice(None, None, _GRID_PX),) * 2
    return _prior(places, log_depth[every].ravel(), stddev[every].ravel(), width)


def _enlarged(
    values: Float[np.ndarray, " pixels"], shape: tuple[int, ...]
) -> Float32[np.ndarray, "height width"]:
    """Values of ``_grid`` at all pixels."""
    height, width = shape
    grid = values.astype(np.float32).reshape(-(-height // _GRID_PX), -1)
    # Pixel (row, column) of the grid is pixel (row, column) * _GRID_PX of the image.
    places = np.array([[1 / _GRID_PX, 0, 0], [0, 1 / _GRID_PX, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        grid, places, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def _sighting(
    seen: _Seen,
    other: _Seen,
    places: Float32[np.ndarray, "features 2"],
    points: Float[np.ndarray, "features 3"],
) -> Sighting:
    """The features in another image, looked for where they should be by depth and odometry."""
    other_from_camera = invert(other.world_from_camera) @ seen.world_from_camera
    there = points @ other_from_camera[:3, :3].T + other_from_camera[:3, 3]
    in_front = there[:, 2] > 0
    camera = other.camera.matrix()
    expected = (there / np.where(in_front, there[:, 2], 1)[:, None]) @ camera[:2].T
    size = np.array(seen.gray.shape[::-1])
    is_inside = in_front & ((expected >= 0) & (expected < size)).all(axis=1)
    expected = np.where(is_inside[:, None], expected, places).astype(np.float32)
    pixels, is_found = _tracked(seen.gray, other.gray, places, expected)
    columns, rows = np.clip(np.rint(pixels).astype(int), 0, size - 1).T
    is_found &= is_inside & ~other.is_person[rows, columns]
    return Sighting(other_from_camera, pixels, is_found, camera)


def _tracked(
    gray: UInt8[np.ndarray, "height width"],
    other: UInt8[np.ndarray, "height width"],
    places: Float32[np.ndarray, "features 2"],
    expected: Float32[np.ndarray, "features 2"],
) -> tuple[Float32[np.ndarray, "features 2"], Bool[np.ndarray, " features"]]:
    """Where features are in another image, and for which of them that is sure."""
    options = {
        "winSize": (_WINDOW_PX, _WINDOW_PX),
        "maxLevel": _PYRAMID_LEVELS,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    there, went, _ = cv2.calcOpticalFlowPyrLK(
        gray, other, places[:, None], expected[:, None].copy(), **options
    )
    back, came, _ = cv2.calcOpticalFlowPyrLK(other, gray, there, places[:, None].copy(), **options)
    there = there[:, 0]
    is_back = np.linalg.norm(back[:, 0] - places, axis=1) < _THERE_AND_BACK_PX
    height, width = other.shape
    is_inside = ((there > 2) & (there < (width - 3, height - 3))).all(axis=1)
    return there, (went[:, 0] > 0) & (came[:, 0] > 0) & is_back & is_inside


def _averaged(
    known: _Known,
    seen: _Seen,
    stamp_ns: int,
    network: Float32[np.ndarray, "height width"],
    own: tuple[np.ndarray, np.ndarray],
    stddev: Float32[np.ndarray, "height width"],
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """Logarithm of depth and its weight, from this image and all before.

    Args:
        known: of the last image.
        seen: the present one.
        stamp_ns: of the present one.
        network: the network's depth, logarithm.
        own: logarithm and weight by this image.
        stddev: of the network's.
    """
    passed_s = max((stamp_ns - known.stamp_ns) * 1e-9, 0.0)
    correction, weight = _carried(known, seen, network)
    fit = np.clip(1 - (correction / (_REACH * stddev)) ** 2, 0, 1) ** 2
    once = stddev**-2
    weight *= fit * np.float32(np.exp(-passed_s / _BELIEVED_S))
    # An image like those before says little that is new, but all where nothing was known.
    anew = np.maximum(np.float32(passed_s / _ANEW_S), 1 - weight / once)
    own_weight = own[1] - once + np.minimum(anew, 1) * once
    total = weight + own_weight
    log_depth = (weight * (network + correction) + own_weight * own[0]) / total
    return log_depth, np.minimum(total, _MOST_WEIGHT * once)


def _carried(
    known: _Known, seen: _Seen, network: Float32[np.ndarray, "height width"]
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """What the last image adds to the network's logarithm of depth, and the weight of that."""
    then_from_now = invert(known.seen.world_from_camera) @ seen.world_from_camera
    people_then = known.seen.is_person.astype(np.uint8)
    correction, weight = np.zeros_like(network), np.zeros_like(network)
    for _ in range(_ROUNDS):
        # From where the surface is to the ray that shows it: the pixel there moves a little.
        there = points_along_rays(np.exp(network + correction), seen.camera)
        there = there @ then_from_now[:3, :3].T.astype(np.float32)
        there += then_from_now[:3, 3].astype(np.float32)
        depth = np.maximum(there[..., 2], np.float32(1e-3))
        camera = known.seen.camera
        columns = there[..., 0] / depth * np.float32(camera.fx) + np.float32(camera.cx)
        rows = there[..., 1] / depth * np.float32(camera.fy) + np.float32(camera.cy)
        then = cv2.remap(known.log_depth, columns, rows, cv2.INTER_LINEAR)
        weight = cv2.remap(known.weight, columns, rows, cv2.INTER_LINEAR)
        was_person = cv2.remap(people_then, columns, rows, cv2.INTER_NEAREST) > 0
        is_static = (there[..., 2] > 1e-3) & ~was_person & ~seen.is_person & (weight > 0)
        correction = np.where(is_static, correction + then - np.log(depth), 0)
    stays = seen.is_person & known.seen.is_person
    correction = np.where(stays, known.correction, correction)
    weight = np.where(stays, known.weight, np.where(is_static, weight, 0))  # pyright: ignore[reportPossiblyUnboundVariable]
    return correction, weight
