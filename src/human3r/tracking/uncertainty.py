"""How sure a body's pose is: a covariance from how wrong such poses were on data with known truth.

Four errors are told apart, for they differ by far: of the place along the ray from the camera and
across it, both relative to the distance, and of the orientation about the body's long axis and
about the axes across that. Each has a standard deviation that depends on the circumstances, and
grows while the body is not measured. ``human3r_lab.evaluation.covariance_fit`` finds the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from human3r.tracking.tracks import body_origin
from human3r.types import FrameEstimate, Intrinsics, PersonEstimate, TrackedPerson, Visibility

ERRORS = ("along", "across", "turn", "tilt")
"""Along and across the ray, relative to the distance; about the long axis and across it, rad."""
FEATURES = ("log_distance", "score", "cut", "hidden")
"""What standard deviations depend on."""
_NUM_JOINTS = 22
"""Of the trunk and the limbs: they decide how much of a body is cut off or hidden."""
_NEAREST_M = 0.1
_MAX_STDDEV = {"along": 3.0, "across": 3.0, "turn": np.pi, "tilt": np.pi}
"""Beyond these nothing is known anyhow."""
_MAX_LOG = 5.0
"""Keeps numbers finite, whatever a file says."""


_UNSEEN_M_PER_S, _UNSEEN_RAD_PER_S = 0.5, 1.0
"""How much faster people walk and turn than predicted, one standard deviation."""


@dataclass(frozen=True)
class Circumstances:
    """What the size of an error depends on."""

    distance_m: float
    """Of the body's origin from the camera, as the network says: without a later scale."""
    score: float
    """[0, 1] of the detector."""
    cut: float
    """[0, 1] share of the joints outside the image."""
    hidden: float
    """[0, 1] share of the others that are hidden; NaN when not computed."""
    unseen_s: float = 0.0
    """Time since the last measurement; score, cut and hidden are of then."""

    def features(self) -> Float[np.ndarray, "4"]:
        """The values of ``FEATURES``."""
        distance_m = max(self.distance_m, _NEAREST_M)
        return np.array([np.log(distance_m), self.score, self.cut, self.hidden])


@dataclass(frozen=True)
class SpreadModel:
    """Standard deviations by circumstances: exp(constant + weights . features)."""

    constants: Float[np.ndarray, "4"]
    """By ``ERRORS``."""
    weights: Float[np.ndarray, "4 4"]
    """Rows by ``ERRORS``, columns by ``FEATURES``."""

    def stddev(self, features: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
        """Of each error in ``ERRORS``; a feature that is NaN does not count."""
        log_stddev = self.constants + self.weights @ np.nan_to_num(features)
        return np.exp(np.minimum(log_stddev, _MAX_LOG))


@dataclass(frozen=True)
class CovarianceModel:
    """Everything that was found out about the errors of one network."""

    seen: SpreadModel
    """Of a measured body."""
    seen_without_hidden: SpreadModel
    """The same where ``hidden`` is not known."""
    bounds: Float[np.ndarray, "4 2"]
    """Least and largest value of each feature in the data; beyond it the nearest one counts."""
    growth: Float[np.ndarray, "4 2"]
    """Factor and exponent per error: factor * seconds ** exponent is added to the standard
    deviation of an unseen body, in quadrature."""

    def stddev(self, circumstances: Circumstances) -> Float[np.ndarray, "4"]:
        """Of each error in ``ERRORS``."""
        features = np.clip(circumstances.features(), *self.bounds.T)
        is_known = np.isfinite(features[FEATURES.index("hidden")])
        measured = (self.seen if is_known else self.seen_without_hidden).stddev(features)
        factors, exponents = self.growth.T
        grown = factors * max(circumstances.unseen_s, 0.0) ** exponents
        grown = grown if circumstances.unseen_s > 0 else 0.0
        return np.minimum(np.hypot(measured, grown), list(_MAX_STDDEV.values()))

    def covariance(
        self,
        circumstances: Circumstances,
        origin_camera: Float[np.ndarray, "3"],
        up_camera: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "6 6"]:
        """Of a body's pose in the camera frame: x, y, z in metres, rotation about x, y, z in rad.

        Rotations are about the axes of the camera frame, small, and applied after the estimate,
        as geometry_msgs/PoseWithCovariance has it.

        Args:
            circumstances: of the estimate.
            origin_camera: of the body, metres; not the camera's own place.
            up_camera: unit vector from the body's origin to its head.
        """
        along, across, turn, tilt = self.stddev(circumstances)
        distance_m = max(float(np.linalg.norm(origin_camera)), _NEAREST_M)
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = _about_axis(
            origin_camera / distance_m, along * distance_m, across * distance_m
        )
        covariance[3:, 3:] = _about_axis(up_camera, turn, tilt)
        return covariance


def _about_axis(axis: np.ndarray, along: float, across: float) -> np.ndarray:
    """Covariance (3, 3) with one standard deviation along a unit vector and another across it."""
    projection = np.outer(axis, axis)
    return along**2 * projection + across**2 * (np.eye(3) - projection)


def share_outside(person: PersonEstimate, camera: Intrinsics) -> float:
    """[0, 1] share of a body's joints that the image does not hold."""
    x, y, z = person.joints_camera[:_NUM_JOINTS].astype(np.float64).T
    depth = np.maximum(z, _NEAREST_M)
    u, v = camera.fx * x / depth + camera.cx, camera.fy * y / depth + camera.cy
    is_inside = (z > _NEAREST_M) & (u >= -0.5) & (v >= -0.5)
    is_inside &= (u < camera.width_px - 0.5) & (v < camera.height_px - 0.5)
    return 1.0 - float(is_inside.mean())


def share_hidden(visibility: Visibility) -> float:
    """[0, 1] share of a body's joints within the image that are hidden; NaN without any."""
    joints = visibility.joints[:_NUM_JOINTS]
    judged = joints[np.isfinite(joints)]
    return 1.0 - float(judged.mean()) if len(judged) else float("nan")


class PoseUncertainty:
    """The circumstances of all people in a stream, and the covariances that follow from them."""

    def __init__(self, model: CovarianceModel | None) -> None:
        """Start without people.

        Args:
            model: of the network in use; without one every covariance is unknown.
        """
        self._model = model
        self._last: dict[int, tuple[float, float]] = {}
        """Shares cut and hidden at each person's last measurement, by number."""

    def circumstances(
        self, people: Sequence[TrackedPerson], estimate: FrameEstimate
    ) -> list[Circumstances]:
        """Of all known people after a frame; call it once for every frame.

        Args:
            people: with their visibility, where it is looked at.
            estimate: the frame's, for its stamp, camera and scale.
        """
        found, last = [], {}
        camera = estimate.source_camera
        for tracked in people:
            person = tracked.person
            if tracked.is_measured:
                hidden = share_hidden(tracked.visibility) if tracked.visibility else float("nan")
                shares = share_outside(person, camera), hidden
            else:
                shares = self._last.get(tracked.number, (1.0, float("nan")))
            last[tracked.number] = shares
            found.append(
                Circumstances(
                    float(np.linalg.norm(body_origin(person))) / estimate.scale,
                    float(person.score),
                    *shares,
                    unseen_s=(estimate.stamp_ns - tracked.last_seen_ns) * 1e-9,
                )
            )
        self._last = last
        return found

    def covariances(
        self, people: Sequence[TrackedPerson], estimate: FrameEstimate
    ) -> list[Float32[np.ndarray, "36"] | None]:
        """Row-major covariances of each person's body pose in the camera frame; None where unknown.

        The arguments are those of ``circumstances``.
        """
        found = self.circumstances(people, estimate)
        return [
            self._covariance(circumstances, tracked)
            for circumstances, tracked in zip(found, people, strict=True)
        ]

    def _covariance(
        self, circumstances: Circumstances, tracked: TrackedPerson
    ) -> Float32[np.ndarray, "36"] | None:
        own = tracked.person.covariance
        if own is not None:
            return own + _unseen_growth(circumstances.unseen_s)
        if self._model is None:
            return None
        up = tracked.person.body.rotations[0][:, 1]
        found = self._model.covariance(circumstances, body_origin(tracked.person), up)
        return found.ravel().astype(np.float32)


def _unseen_growth(unseen_s: float) -> Float32[np.ndarray, "36"]:
    """What a prediction of this age adds to the covariance of the last measurement."""
    stddev = [_UNSEEN_M_PER_S * unseen_s] * 3 + [min(_UNSEEN_RAD_PER_S * unseen_s, np.pi)] * 3
    return np.diag(np.square(stddev)).astype(np.float32).ravel()
