"""The frozen dataclasses that cross part boundaries. NumPy only: front ends need no torch.

Frames, as in docs/conventions.md: ``camera`` is x right, y down, z forward; ``world`` is the
camera of the first frame since the last reset that did not keep the world; transforms read
``a_from_b``. Pixels are (u, v), u right and v down, whole numbers at pixel centres. Lengths are
metres, times nanoseconds or seconds as named.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from human3r.errors import InputError, ShapeError

MAX_IMAGE_PIXELS = 67_108_864
"""Absolute bound on one image; front ends usually set a lower one."""
_MAX_ASPECT = 3.0
_SHAPE_TOLERANCE = 0.01
"""Two image sizes are of one shape when their aspect ratios differ by no more than this."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion.

    ``from_fov`` and ``from_matrix`` make one; ``human3r.io.read_intrinsics`` reads the calibration
    file of a ROS camera.
    """

    fx: float
    """Focal length in x, pixels."""
    fy: float
    """Focal length in y, pixels."""
    cx: float
    """Principal point, pixels from the left pixel centre."""
    cy: float
    """Principal point, pixels from the top pixel centre."""
    width_px: int
    height_px: int

    @classmethod
    def from_fov(
        cls, fov_deg: float, width_px: int, height_px: int, *, of: str = "width"
    ) -> "Intrinsics":
        """The camera of an image whose field of view is known, centred and with square pixels.

        Args:
            fov_deg: whole angle of view in degrees, above 0 and below 180.
            width_px: of the image.
            height_px: of the image.
            of: what the angle spans: ``width``, ``height`` or ``diagonal``, as data sheets of
                lenses mean it.

        Raises:
            InputError: no such angle, size or side.
        """
        _check_size(width_px, height_px)
        if not (_is_number(fov_deg) and 0 < fov_deg < 180):
            raise InputError(
                f"fov_deg is {fov_deg!r}; expected an angle above 0 and below 180 degrees. Look it "
                "up for the camera: 60 to 75 is usual."
            )
        sides = {
            "width": width_px,
            "height": height_px,
            "diagonal": math.hypot(width_px, height_px),
        }
        if of not in sides:
            raise InputError(f"of is {of!r}; expected one of {', '.join(sides)}.")
        focal_px = sides[of] / 2 / math.tan(math.radians(fov_deg) / 2)
        cx, cy = (width_px - 1) / 2, (height_px - 1) / 2
        return cls(focal_px, focal_px, cx, cy, int(width_px), int(height_px))

    @classmethod
    def from_matrix(cls, matrix: Any, width_px: int, height_px: int) -> "Intrinsics":
        """The camera of a 3x3 calibration matrix K, such as OpenCV's calibration gives.

        Args:
            matrix: ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]``, array or nested lists.
            width_px: of the image it was made for.
            height_px: of the image it was made for.

        Raises:
            InputError: another shape, skew, focal lengths that are not positive, or no size.
        """
        _check_size(width_px, height_px)
        try:
            k = np.asarray(matrix, np.float64)
        except (TypeError, ValueError):
            k = np.zeros(0)
        is_pinhole = (
            k.shape == (3, 3)
            and bool(np.isfinite(k).all())
            and min(k[0, 0], k[1, 1]) > 0
            and np.allclose([k[0, 1], k[1, 0], *k[2]], [0, 0, 0, 0, 1], atol=1e-6 * k[0, 0])
        )
        if not is_pinhole:
            raise InputError(
                f"matrix is {matrix!r}; expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with "
                "positive focal lengths in pixels. Pass the K of the calibration."
            )
        fx, fy, cx, cy = (float(k[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        return cls(fx, fy, cx, cy, int(width_px), int(height_px))

    @property
    def fov_deg(self) -> float:
        """Angle of view across the width, degrees, for a principal point in the middle."""
        return math.degrees(2 * math.atan2(self.width_px / 2, self.fx))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in front of the camera, camera frame."""
        points = np.asarray(points, np.float64)
        pixels = points[..., :2] / points[..., 2:]
        return pixels * [self.fx, self.fy] + [self.cx, self.cy]

    def matrix(self) -> np.ndarray:
        """The 3x3 calibration matrix K, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def scaled_to(self, width_px: int, height_px: int) -> "Intrinsics":
        """The same camera for an image of another size; pixel corners scale, not their centres.

        Raises:
            InputError: the image has another shape, so it was cropped at an unknown place.
        """
        if (self.width_px, self.height_px) == (width_px, height_px):
            return self
        sx, sy = width_px / self.width_px, height_px / self.height_px
        if abs(sx / sy - 1.0) > _SHAPE_TOLERANCE:
            raise InputError(
                f"intrinsics: for {self.width_px}x{self.height_px}, the image is "
                f"{width_px}x{height_px}; expected the same aspect ratio, to "
                f"{_SHAPE_TOLERANCE:.0%}. Pass the calibration of the image as it is, or none."
            )
        return Intrinsics(
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
            width_px,
            height_px,
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)


def _check_size(width_px: object, height_px: object) -> None:
    """Raises InputError where these are no whole numbers of pixels."""
    for name, value in (("width_px", width_px), ("height_px", height_px)):
        if not isinstance(value, Integral) or int(value) < 1:
            raise InputError(
                f"{name} is {value!r}; expected a whole number of pixels. The size of an array is "
                "height, width = image.shape[:2]."
            )


def check_rgb_image(image: object, name: str = "image") -> np.ndarray:
    """The image itself, when it is a uint8 array of shape (height, width, 3) of sane size.

    Raises:
        ShapeError: anything else.
    """
    expected = "uint8 with shape (height, width, 3)"
    if not isinstance(image, np.ndarray):
        raise ShapeError(
            f"{name}: expected {expected}, got {type(image).__name__}. "
            "Convert with numpy.asarray(image.convert('RGB')) or similar.",
            expected,
            type(image).__name__,
        )
    seen = f"{image.dtype} {image.shape}"
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(
            f"{name}: expected {expected}, got {seen}. {_way_to_rgb(image)}", expected, seen
        )
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise ShapeError(
            f"{name}: got an empty image {seen}; expected at least one pixel. Check the source.",
            expected,
            seen,
        )
    if height * width > MAX_IMAGE_PIXELS:
        raise ShapeError(
            f"{name}: {width}x{height} is more than {MAX_IMAGE_PIXELS} pixels. "
            "Reduce the image before passing it on.",
            expected,
            seen,
        )
    return image


def _way_to_rgb(image: np.ndarray) -> str:
    """What to do with an array that is no 8-bit RGB image, as far as its shape tells."""
    channels_first = image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] > 4
    if image.ndim == 4:
        return "Give one image at a time, for example images[0]; human3r.run takes all of them."
    if channels_first:
        return "Its channels come first: image.transpose(1, 2, 0)."
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "A grey image: numpy.stack([image] * 3, axis=-1) of its two axes, as uint8."
    if image.ndim == 3 and image.shape[2] == 4:
        return "Without its fourth channel: image[..., :3], or image[..., 2::-1] where it is BGRA."
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype.kind == "f":
        return "Where its values go from 0 to 1: (255 * image).round().astype(numpy.uint8)."
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint16:
        return "Where all 16 bits are in use: (image >> 8).astype(numpy.uint8)."
    return "Convert it to 8-bit RGB."


def check_image_size(width_px: int, height_px: int, max_pixels: int, what: str) -> None:
    """Nothing, when an image of this size may be decoded.

    Args:
        width_px: of the image.
        height_px: of the image.
        max_pixels: most pixels to accept.
        what: how to call it in an error message.

    Raises:
        InputError: no pixels at all, more than ``max_pixels``, or too long and narrow.
    """
    if width_px < 1 or height_px < 1:
        raise InputError(
            f"{what}: the image is {width_px}x{height_px}; expected at least one pixel. "
            "Check how it was made."
        )
    if width_px * height_px > max_pixels:
        raise InputError(
            f"{what}: {width_px}x{height_px} is {width_px * height_px} pixels; expected at "
            f"most {max_pixels} (input.max_pixels). Reduce the image or raise the limit."
        )
    if max(width_px, height_px) > _MAX_ASPECT * min(width_px, height_px):
        raise InputError(
            f"{what}: the image is {width_px}x{height_px}; expected an aspect ratio between "
            "1:3 and 3:1, since the network's crop would lose people. Crop the image first."
        )


@dataclass(frozen=True, repr=False)
class Frame:
    """One image of a stream.

    Intrinsics of another image size are scaled to ``image``.

    Raises:
        InputError: intrinsics of another aspect ratio or type, or a stamp that is no whole number.
    """

    image: np.ndarray
    """(height, width, 3) uint8, RGB."""
    stamp_ns: int
    """Capture time in nanoseconds; strictly increasing within a stream."""
    intrinsics: Intrinsics | None = None
    """Calibration of ``image``, where known."""
    frame_id: str = "camera"
    """Name of the optical frame the image was taken in."""
    raw_from_image: Callable[[np.ndarray], np.ndarray] | None = None
    """Pixels (..., 2) of the picture as the lens drew it, from pixels of ``image``; None where
    ``image`` is that picture."""
    anchor_from_camera: Callable[[], np.ndarray | None] | None = None
    """Asks the robot for the camera's pose (4, 4) in a frame whose z is up, at this stamp; None
    where there is no TF. It may wait, so it is asked only when ``level.source`` is tf."""
    begins_session: bool = False
    """Whether the source says that this frame does not continue what came before: the clock was
    set, or the image has another size. ``Pipeline.step`` resets before it."""

    def __post_init__(self) -> None:
        if not isinstance(self.stamp_ns, Integral):
            raise InputError(
                f"stamp_ns is {self.stamp_ns!r}; expected a whole number of nanoseconds. A float "
                "cannot hold today's time to the nanosecond: convert with integers."
            )
        if self.intrinsics is not None and not isinstance(self.intrinsics, Intrinsics):
            raise InputError(
                f"intrinsics is {type(self.intrinsics).__name__}; expected Intrinsics or None. "
                "Make them with Intrinsics.from_fov or Intrinsics.from_matrix."
            )
        shape = getattr(self.image, "shape", ())
        if self.intrinsics is not None and len(shape) == 3 and 0 not in shape:
            scaled = self.intrinsics.scaled_to(shape[1], shape[0])
            object.__setattr__(self, "intrinsics", scaled)

    def __repr__(self) -> str:
        shape = getattr(self.image, "shape", None)
        size = f"{shape[1]}x{shape[0]}" if shape and len(shape) > 1 else repr(self.image)[:40]
        camera = "uncalibrated" if self.intrinsics is None else f"fx={self.intrinsics.fx:.1f}"
        begins = ", begins a session" if self.begins_session else ""
        return f"Frame({size}, at {self.stamp_ns / 1e9:.3f} s, {camera}{begins})"


@dataclass(frozen=True)
class ImageGeometry:
    """How source pixels became network pixels: one resize, then one crop."""

    source_width_px: int
    source_height_px: int
    resized_width_px: int
    resized_height_px: int
    crop_left_px: int
    crop_top_px: int
    width_px: int
    """Width of the network image."""
    height_px: int
    """Height of the network image."""

    def _scale(self) -> np.ndarray:
        return np.array(
            [
                self.resized_width_px / self.source_width_px,
                self.resized_height_px / self.source_height_px,
            ]
        )

    def _crop(self) -> np.ndarray:
        return np.array([self.crop_left_px, self.crop_top_px])

    def network_from_source(self, pixels: np.ndarray) -> np.ndarray:
        """Source pixels (..., 2) as network pixels (..., 2); resampling keeps pixel corners."""
        return (np.asarray(pixels) + 0.5) * self._scale() - 0.5 - self._crop()

    def source_from_network(self, pixels: np.ndarray) -> np.ndarray:
        """Network pixels (..., 2) as source pixels (..., 2)."""
        return (np.asarray(pixels) + self._crop() + 0.5) / self._scale() - 0.5

    def source_intrinsics(self, network: Intrinsics) -> Intrinsics:
        """The camera of the network image as a camera of the source image."""
        sx, sy = self._scale().tolist()
        cx, cy = self.source_from_network(np.array([network.cx, network.cy]))
        return Intrinsics(
            network.fx / sx,
            network.fy / sy,
            float(cx),
            float(cy),
            self.source_width_px,
            self.source_height_px,
        )

    def network_intrinsics(self, source: Intrinsics) -> Intrinsics:
        """The camera of the source image as a camera of the network image."""
        sx, sy = self._scale().tolist()
        cx, cy = self.network_from_source(np.array([source.cx, source.cy]))
        return Intrinsics(
            source.fx * sx, source.fy * sy, float(cx), float(cy), self.width_px, self.height_px
        )


@dataclass(frozen=True, repr=False)
class BodyParameters:
    """One body, as the network says it; SMPL-X conventions."""

    rotations: np.ndarray
    """(53, 3, 3) float32: root, 21 body, 15 left hand, 15 right hand joints, jaw; child in parent,
    the root in the camera frame. Eyes do not rotate."""
    betas: np.ndarray
    """(10,) float32 shape coefficients of the body model in use."""
    expression: np.ndarray
    """(10,) float32 expression coefficients."""
    head_camera: np.ndarray
    """(3,) float32, metres: place of the head joint in the camera frame."""

    def __repr__(self) -> str:
        return f"BodyParameters(head_camera={_place(self.head_camera)})"


@dataclass(frozen=True, repr=False)
class PersonEstimate:
    """One person in one frame."""

    track_id: int
    """Identity; stays with the person and is never reused."""
    score: float
    """[0, 1] head detection score, uncalibrated."""
    head_px: np.ndarray
    """(2,) float32: detected head in source pixels."""
    body: BodyParameters
    joints_camera: np.ndarray
    """(joints, 3) float32 metres: 55 rotating joints, then landmarks, as the body model names."""
    vertices_camera: np.ndarray
    """(vertices, 3) float32 metres."""
    covariance: np.ndarray | None = None
    """(36,) float32, as of ``TrackedPerson``, where it is known from the measurement itself."""
    world_from_camera: np.ndarray | None = None
    """(4, 4) pose of the camera in this frame, as of ``FrameEstimate``; ``Pipeline.step`` sets
    it."""

    def __repr__(self) -> str:
        return (
            f"PersonEstimate(id {self.track_id}, score {self.score:.2f}, head at "
            f"{_place(self.body.head_camera)} in the camera frame)"
        )

    @property
    def joints_world(self) -> np.ndarray:
        """(joints, 3) float32 metres: ``joints_camera`` in the world frame.

        Raises:
            InputError: nothing has said where the camera was.
        """
        return self._in_world(self.joints_camera)

    @property
    def vertices_world(self) -> np.ndarray:
        """(vertices, 3) float32 metres: ``vertices_camera`` in the world frame.

        Raises:
            InputError: nothing has said where the camera was.
        """
        return self._in_world(self.vertices_camera)

    @property
    def head_world(self) -> np.ndarray:
        """(3,) float32 metres: the head joint in the world frame.

        Raises:
            InputError: nothing has said where the camera was.
        """
        return self._in_world(self.body.head_camera)

    def _in_world(self, points_camera: np.ndarray) -> np.ndarray:
        pose = self.world_from_camera
        if pose is None:
            raise InputError(
                "this person has no world_from_camera; expected one of an estimate that "
                "Pipeline.step gave. Set it with dataclasses.replace."
            )
        return (points_camera @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)


class TrackState(enum.IntEnum):
    """How sure a track is; the numbers are those of human3r_msgs/Human."""

    NEW = 0
    """Seen, not yet confirmed."""
    OK = 1
    """Measured in this frame."""
    COASTING = 2
    """Not measured in this frame; the pose is predicted."""
    LOST = 3
    """The last word about this number."""


@dataclass(frozen=True)
class Visibility:
    """What the camera sees of one person."""

    joints: np.ndarray
    """(joints,) float32: 1 visible, 0 hidden behind body or scene, NaN outside the image."""
    scene_agreement_m: float
    """Median of body depth minus scene depth where the person is seen; NaN if not measurable."""


@dataclass(frozen=True, repr=False)
class TrackedPerson:
    """One person in one frame, measured or predicted."""

    number: int
    """Increases over the life of the tracker, across resets; never given away twice."""
    state: TrackState
    person: PersonEstimate
    """In the camera frame of this frame."""
    velocity_camera: np.ndarray | None
    """(3,) m/s of the body's origin relative to the static world, along the camera's axes."""
    first_seen_ns: int
    last_seen_ns: int
    """Stamp of the last measurement."""
    age_frames: int
    """Processed frames since the first sighting; 0 in the frame it was first seen."""
    stature_m: float = float("nan")
    """Standing height that the shape implies."""
    visibility: Visibility | None = None
    """Of a measured person; None where ``people.visibility`` is off."""
    covariance: np.ndarray | None = None
    """(36,) float32 row-major covariance of the body's pose in the camera frame: x, y, z in
    metres, rotation about x, y, z in radians; None where unknown."""

    def __repr__(self) -> str:
        return f"TrackedPerson(number {self.number}, {self.state.name}, {self.person!r})"

    @property
    def is_measured(self) -> bool:
        """Whether this frame shows the person; otherwise the pose is a prediction."""
        return self.state in (TrackState.NEW, TrackState.OK)


@dataclass(frozen=True, repr=False)
class FrameEstimate:
    """Everything known from one frame: people, scene, camera."""

    stamp_ns: int
    session: int
    """Increases at every reset of the recurrent state, interval resets included."""
    frame_index: int
    """Processed frames since the session began, from 0."""
    geometry: ImageGeometry
    image: np.ndarray
    """(height, width, 3) uint8: the network image, colours of ``points_camera``."""
    points_camera: np.ndarray
    """(height, width, 3) float32 metres: one scene point per network pixel, camera frame; z is not
    positive where nothing is known."""
    confidence: np.ndarray
    """(height, width) float32, from 1 upwards; 0 where nothing is known."""
    person_probability: np.ndarray
    """(height, width) float32 in [0, 1]: belongs to a person."""
    world_from_camera: np.ndarray
    """(4, 4) float64 rigid transform; chained over interval resets."""
    intrinsics: Intrinsics
    """The one camera of the network image along whose rays points and people lie: calibrated where
    the frame brought a calibration, else estimated."""
    people: tuple[PersonEstimate, ...]
    """All people measured in this frame."""
    num_left_out: int = 0
    """People seen beyond ``people.max_count``, who are not in ``people``."""
    state_updated: bool = True
    """False when the frame was predicted but kept out of the recurrent state."""
    unseen: str = ""
    """Why nothing is known from the image: ``blank`` (no scene in it), ``frozen`` (the same for too
    long); empty on all others."""
    has_scene: bool = True
    """False when the scene network did not look at this frame (``scene.every``): points and
    confidence are 0, so no depth is known; people are as on any other frame."""
    is_depth_measured: bool = False
    """A depth camera's values stand where it has some (``scale.mode`` depth); the network's, in
    its holes."""
    is_motion_known: bool = True
    """False when nothing says how the camera moved since the last frame, whose pose is kept."""
    tracked: tuple[TrackedPerson, ...] = ()
    """All people known after this frame: the measured in the order of ``people``, then those out of
    sight by number."""
    calibrated: Intrinsics | None = None
    """Camera of the source image as the frame brought it; None where it is estimated."""
    estimated_focal_px: float = float("nan")
    """Focal length of the network image, as the network's own points imply it or as the focal
    network sees it; 0 where no camera fits, or where it was not estimated."""
    camera_covariance: np.ndarray | None = None
    """(6, 6) of ``world_from_camera``: place in metres, then rotation about it, along the world's
    axes; it grows with the way. None where nothing is known of it."""
    level_from_world: np.ndarray | None = None
    """(4, 4) rotation to the level frame, z up; None while it is not known."""
    scale: float = 1.0
    """Factor already applied to all lengths; 1 means straight from the network."""
    body_scale: float = 1.0
    """Size of people's bodies relative to what their shape coefficients mean: ``scale`` for bodies
    of the network, 1 for bodies that are metric by themselves."""
    points_world: np.ndarray | None = None
    """(height, width, 3) float32 metres from the world head; only when asked for."""
    timings_s: dict[str, float] = field(default_factory=dict)
    """Wall time per stage: preprocess, network, depth, motion, bodies, fit, geometry, one by one;
    detector and landmarks run beside them, wait is what they take longer. A stage that did
    not run has no time."""

    def __repr__(self) -> str:
        ids = ", ".join(str(person.track_id) for person in self.people)
        people = f"{len(self.people)} {'person' if len(self.people) == 1 else 'people'}"
        people += f" (ids {ids})" if ids else ""
        camera = "calibrated" if self.calibrated else "estimated"
        return (
            f"FrameEstimate(frame {self.frame_index} of session {self.session}, at "
            f"{self.stamp_ns / 1e9:.3f} s, {people}, camera at "
            f"{_place(self.world_from_camera[:3, 3])}, focal length "
            f"{self.source_camera.fx:.0f} px {camera})"
        )

    @property
    def estimated_intrinsics(self) -> Intrinsics | None:
        """What the network alone makes of the source image's camera; the one in use is another.

        None where its points fit no camera, or where it did not look at the frame.
        """
        focal_px = self.estimated_focal_px
        if not focal_px > 0:
            return None
        k = self.intrinsics
        # The network takes the middle of its image for the principal point.
        cx, cy = k.width_px // 2, k.height_px // 2
        return self.geometry.source_intrinsics(
            Intrinsics(focal_px, focal_px, cx, cy, k.width_px, k.height_px)
        )

    @property
    def estimated_source_focal_px(self) -> float:
        """``estimated_focal_px``, in pixels of the source image."""
        geometry = self.geometry
        return self.estimated_focal_px * geometry.source_width_px / geometry.resized_width_px

    @property
    def source_camera(self) -> Intrinsics:
        """The camera in use, of the source image."""
        return self.calibrated or self.geometry.source_intrinsics(self.intrinsics)

    @property
    def level_from_camera(self) -> np.ndarray:
        """(4, 4) pose of the camera in the level frame; NaN while that frame is not known."""
        if self.level_from_world is None:
            return np.full((4, 4), np.nan)
        return self.level_from_world @ self.world_from_camera

    @property
    def depth(self) -> np.ndarray:
        """(height, width) float32 metres along the optical axis; may be non-positive."""
        return self.points_camera[..., 2]


def _place(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{float(value):+.2f}" for value in point) + ") m"


@dataclass(frozen=True, repr=False)
class PointSet:
    """Unorganised coloured points, finite and in front of the camera."""

    points: np.ndarray
    """(points, 3) float32 metres."""
    colors: np.ndarray
    """(points, 3) uint8 RGB."""
    confidence: np.ndarray
    """(points,) float32."""
    labels: np.ndarray
    """(points,) uint16: 0 scene, else 1 + index in ``FrameEstimate.people``."""

    def __repr__(self) -> str:
        return f"PointSet({len(self.points)} points, {int((self.labels > 0).sum())} on people)"
