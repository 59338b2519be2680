"""Which frames of a stream are taken, which are looked at, and when a new session begins.

Taken or not is decided by stamps alone, so a replay decides as the live run did; the node and every
offline source follow it. The time of arrival is used for one thing, telling apart two cameras that
publish at once. Images that come without a stamp get one.

Nothing is known from the images of a covered lens, from darkness, fog, or a picture that is frozen.
Of the others some get depth, and some of these are asked for more.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from human3r.camera.calibration import bad_frame_name, is_frame_name
from human3r.config import Settings
from human3r.errors import InputError
from human3r.types import Frame, FrameEstimate, check_rgb_image

SECOND_NS = 1_000_000_000
_TWO_CAMERAS_S = 2.0
_FUTURE_WARNING_NS = SECOND_NS
_FUTURE_LIMIT_NS = 60 * SECOND_NS
_STAMP_END_NS = 2**31 * SECOND_NS
"""builtin_interfaces/Time holds seconds as int32."""
_LEAP_NS = 60 * SECOND_NS
"""A pause longer than this is believed when the next stamp confirms it, or the clock does."""
_INTRINSICS_JUMP = 0.05
"""Share of the focal length, and of the image for its centre, by which autofocus and zoom do not
move from one image to the next. What is smaller is followed within the session."""
_RATE_SLACK = 0.02
"""Camera stamps jitter; a 10 Hz limit should not halve a 10 Hz camera."""

_RECEIVE = "set input.stamp to receive (`human3r play --stamp receive`)"
"""What helps against stamps that are none."""

# Reset reasons, numbered as in human3r_msgs/FrameStatus.
RESET_NONE, RESET_ACTIVATED, RESET_SERVICE, RESET_TIME_JUMP = 0, 1, 2, 3
RESET_STREAM_CHANGED, RESET_GAP, RESET_INTERVAL, RESET_FAULT = 4, 5, 6, 7

_DEFAULT_RATE_HZ = 30.0


def is_stamp(stamp_ns: int) -> bool:
    """Whether it is a time that a header can carry, and not 'not set'."""
    return 0 < stamp_ns < _STAMP_END_NS


def stamp_ns_of(stamp: Any) -> int:
    """A header's stamp, refused where nanoseconds could not be turned back into the same message.

    Raises:
        InputError: negative seconds, or a second or more of nanoseconds.
    """
    if stamp.sec < 0 or stamp.nanosec >= SECOND_NS:
        raise InputError(
            f"image stamp is sec {stamp.sec}, nanosec {stamp.nanosec}; expected sec from 0 to 2^31 "
            f"- 1 and nanosec below 10^9. Correct header.stamp in the camera driver, or {_RECEIVE}."
        )
    return stamp.sec * SECOND_NS + stamp.nanosec


@dataclass(frozen=True)
class StreamShape:
    """What must stay the same within a session."""

    width_px: int
    height_px: int
    family: str
    """Kind of encoding: colour, mono, bayer or compressed."""
    frame_id: str
    focal_px: tuple[float, float, float, float] | None
    """fx, fy, cx, cy of the calibration in use, None without one."""


@dataclass(frozen=True)
class Verdict:
    """What to do with a frame, judged by its header alone."""

    outcome: str = "processed"
    """processed, dropped_rate, dropped_stale, dropped_order or rejected."""
    reset: int = RESET_NONE
    """Reason for a new session before this frame, or RESET_NONE."""
    message: str = ""
    """Why, or a warning about a frame that is taken; empty when all is well."""
    is_leap: bool = False
    """Whether the stamp is so far from the last one that its successor should say which of the two
    is wrong: hold the frame back until then, and ask ``StreamRules.confirms``."""


class StreamRules:
    """Remembers the last accepted frame and judges the next one against it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start afresh: the next frame has no predecessor."""
        self._last_ns: int | None = None
        self._last_arrival_s = 0.0
        self._shape: StreamShape | None = None
        self._frame_id = ""

    def forget_time(self) -> None:
        """A clock jumped: the next stamp is not compared, the camera is still the same."""
        self._last_ns = None

    def has_reached(self, now_ns: int) -> bool:
        """Whether the last accepted image is of this time, or of one before it."""
        return self._last_ns is not None and self._last_ns <= now_ns + SECOND_NS

    def judge(
        self,
        stamp_ns: int,
        frame_id: str,
        arrival_s: float,
        now_ns: int | None,
        settings: Settings,
    ) -> Verdict:
        """The verdict on a frame before it is decoded.

        Args:
            stamp_ns: the image's stamp, or its time of arrival where ``input.stamp`` says so.
            frame_id: the image's optical frame.
            arrival_s: steady clock at arrival.
            now_ns: node clock; None under simulated time, where ages mean nothing.
            settings: limits.
        """
        refusal = self._refusal(stamp_ns, frame_id, arrival_s)
        if refusal:
            return Verdict("rejected", message=refusal)
        age_ns = None if now_ns is None else now_ns - stamp_ns
        if age_ns is not None and age_ns < -_FUTURE_LIMIT_NS:
            # Taken, it would make every honest stamp after it a jump back in time.
            return Verdict(
                "rejected",
                message=f"image stamp {_seconds(stamp_ns)} is {-age_ns / SECOND_NS:.3f} s ahead of "
                f"this node's clock at {_seconds(stamp_ns + age_ns)}; expected at most "
                f"{_FUTURE_LIMIT_NS // SECOND_NS} s. Synchronise the two machines (chrony or PTP), "
                "set use_sim_time for recorded stamps, or input.stamp to receive.",
            )
        limit_s = settings.input.max_age_s
        if age_ns is not None and limit_s > 0 and age_ns > limit_s * SECOND_NS:
            advice = (
                "Reduce the load or the delay; for recorded stamps set use_sim_time, or "
                "input.max_age_s to 0."
                if age_ns < _LEAP_NS
                else f"Its stamp is not of this node's clock, at {_seconds(stamp_ns + age_ns)}: "
                f"synchronise the two machines (chrony or PTP), or {_RECEIVE}; for recorded stamps "
                "set use_sim_time."
            )
            return Verdict(
                "dropped_stale",
                message=f"image of {_seconds(stamp_ns)} is {age_ns / SECOND_NS:.3f} s old; "
                f"input.max_age_s is {limit_s} s. {advice}",
            )
        verdict = self.judge_order(stamp_ns, settings, now_ns)
        if verdict.outcome == "processed" and age_ns is not None and age_ns < -_FUTURE_WARNING_NS:
            ahead = (
                f"image stamp {_seconds(stamp_ns)} is {-age_ns / SECOND_NS:.3f} s ahead of this "
                f"node's clock at {_seconds(stamp_ns + age_ns)}; expected synchronised clocks. "
                "Synchronise the two machines (chrony or PTP)."
            )
            return replace(verdict, message=ahead)
        return verdict

    def _refusal(self, stamp_ns: int, frame_id: str, arrival_s: float) -> str:
        if not is_stamp(stamp_ns):
            return (
                f"image stamp is {stamp_ns} ns; expected the time of capture, above 0 s and below "
                f"2^31 s. Make the camera driver fill in header.stamp, or {_RECEIVE}."
            )
        if not is_frame_name(frame_id):
            return bad_frame_name("header.frame_id", frame_id)
        is_other_camera = (
            self._shape is not None
            and frame_id != self._frame_id
            and arrival_s - self._last_arrival_s < _TWO_CAMERAS_S
        )
        if is_other_camera:
            return (
                f"images arrive from two frames, {self._frame_id!r} and {frame_id!r}; expected one "
                f"camera. Stop one publisher; {self._frame_id!r} is kept."
            )
        return ""

    def confirms(self, stamp_ns: int, held_ns: int) -> bool:
        """Whether a stamp goes on from one that was held back, and not from the last accepted.

        If so the clock was set and the held frame begins a session; if not it had a wrong stamp.
        """
        last_ns = self._last_ns
        return last_ns is None or abs(stamp_ns - held_ns) < abs(stamp_ns - last_ns)

    def judge_order(
        self, stamp_ns: int, settings: Settings, clock_ns: int | None = None
    ) -> Verdict:
        """The verdict on a stamp alone, for frames that come without a header.

        Args:
            stamp_ns: of the frame.
            settings: limits.
            clock_ns: of a clock that agrees with the stamp; None: there is none.
        """
        if self._last_ns is None:
            return Verdict()
        dt_ns = stamp_ns - self._last_ns
        window_s = settings.session.reorder_window_s
        if dt_ns < 0 and -dt_ns > window_s * SECOND_NS:
            return Verdict(
                reset=RESET_TIME_JUMP,
                message=f"stamps jumped back by {-dt_ns / SECOND_NS:.3f} s, from "
                f"{_seconds(self._last_ns)} to {_seconds(stamp_ns)}; expected increasing stamps, "
                "so a new session begins. Nothing to do if a recording was restarted.",
                # Where the clock says that the last stamp was wrong, none has to be waited for.
                is_leap=clock_ns is None or self._last_ns <= clock_ns + _FUTURE_WARNING_NS,
            )
        if dt_ns == 0:
            return Verdict(
                "dropped_order",
                message=f"image stamp is {_seconds(stamp_ns)}, that of the last accepted image; "
                "expected increasing stamps. Check that only one publisher sends this stream; "
                f"where a driver gives many images one stamp, {_RECEIVE}.",
            )
        if dt_ns < 0:
            return Verdict(
                "dropped_order",
                message=f"image stamp is {-dt_ns / SECOND_NS:.9f} s before the last accepted one; "
                "expected increasing stamps. Check that only one publisher sends this stream.",
            )
        rate_hz = settings.input.max_rate_hz
        if rate_hz > 0 and dt_ns < (1.0 - _RATE_SLACK) * SECOND_NS / rate_hz:
            return Verdict("dropped_rate", message=f"faster than input.max_rate_hz {rate_hz}.")
        is_leap = dt_ns > _LEAP_NS and clock_ns is None
        gap_s = settings.session.gap_reset_s
        if gap_s > 0 and dt_ns > gap_s * SECOND_NS:
            return Verdict(
                reset=RESET_GAP,
                is_leap=is_leap,
                message=f"pause of {dt_ns / SECOND_NS:.3f} s; session.gap_reset_s is {gap_s} s, "
                "so a new session begins.",
            )
        return Verdict(is_leap=is_leap)

    def accept(self, stamp_ns: int, arrival_s: float, shape: StreamShape) -> int:
        """Take over a decoded frame as the new predecessor.

        Returns:
            RESET_STREAM_CHANGED when it cannot continue the session, else RESET_NONE.
        """
        before = self._shape
        self._last_ns, self._last_arrival_s = stamp_ns, arrival_s
        self._shape, self._frame_id = shape, shape.frame_id
        return RESET_STREAM_CHANGED if before and _differs(before, shape) else RESET_NONE


class ImageStamps:
    """Makes frames of plain images, as if a camera took them at a constant rate.

    Attributes:
        rate_hz: of that camera; velocities and what is forgotten after seconds depend on it.
    """

    def __init__(self, rate_hz: float = _DEFAULT_RATE_HZ) -> None:
        """The first image has stamp 0."""
        self.rate_hz = rate_hz
        self._next_ns = 0

    def frame_of(self, given: Frame | np.ndarray) -> Frame:
        """The frame itself, or an image as a frame one period after the last one.

        Raises:
            InputError: neither a frame nor an image, or a rate that is not positive.
        """
        if isinstance(given, Frame):
            # A frame that was looked at ahead comes a second time, after its successor.
            self._next_ns = max(self._next_ns, int(given.stamp_ns) + self._period_ns())
            return given
        if not isinstance(given, np.ndarray):
            raise InputError(
                f"frame is {_name_of(type(given))}; expected a Frame "
                "or an image: a NumPy array (height, width, 3), uint8, RGB. Files are opened by "
                "human3r.run or human3r.io.open_source; other images become arrays with "
                "numpy.asarray(image.convert('RGB')) or tensor.cpu().numpy()."
            )
        frame = Frame(check_rgb_image(given), self._next_ns)
        self._next_ns += self._period_ns()
        return frame

    def _period_ns(self) -> int:
        if not (isinstance(self.rate_hz, (int, float)) and 0 < self.rate_hz < 1e6):
            raise InputError(f"rate_hz is {self.rate_hz!r}; expected frames per second above 0.")
        return round(1e9 / self.rate_hz)


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // SECOND_NS}.{stamp_ns % SECOND_NS // 1_000_000:03d}"


def _differs(before: StreamShape, now: StreamShape) -> bool:
    same_image = (before.width_px, before.height_px, before.family, before.frame_id) == (
        now.width_px,
        now.height_px,
        now.family,
        now.frame_id,
    )
    if not same_image:
        return True
    # A calibration that arrives late, or goes, changes nothing the network has seen.
    if before.focal_px is None or now.focal_px is None:
        return False
    sides = (before.focal_px[0], before.focal_px[1], now.width_px, now.height_px)
    return any(
        abs(a - b) > _INTRINSICS_JUMP * max(side, 1.0)
        for a, b, side in zip(before.focal_px, now.focal_px, sides, strict=True)
    )


def _name_of(kind: type) -> str:
    """As a person would write it: torch.Tensor, str."""
    module = kind.__module__.partition(".")[0]
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


_SAMPLE_PX, _SMALL_PX = 256, 32
"""Longer side of the sample taken of an image, and of what it is averaged to."""
_BLUR_PX = 2.0
UNSEEN = {
    "blank": "the image shows no scene, so it was kept out of the session's memory and nothing is "
    "known from it; expected structure. Lens covered? Dark, or fog? Numbers of 10 to 14 bits in "
    "an encoding of 16, whose white is 65535?",
    "frozen": "the picture is frozen: every image has been identical to the last bit for as long "
    "as input.max_frozen_s, so nothing is known from it; expected noise, as every camera has. "
    "Restart the camera driver, or set input.max_frozen_s to 0 for a simulator whose images have "
    "no noise.",
}
"""Why nothing is known from an image, ``FrameEstimate.unseen``, in words."""
_LEAST_REPEATED = 3
_LEAST_STRUCTURE = 3.5
"""Grey levels. Noise of a dark sensor averages out to 1; scenes in daylight have 20 and more."""

_FIRST_ESTIMATES = 10
"""Frames with a scene of which each is asked for the focal length: a median of ten is steady."""


def shows_scene(image: np.ndarray) -> bool:
    """Whether an image (height, width, 3) uint8 shows anything but light and noise.

    It is made small, so that noise averages out. Brightness that changes smoothly (vignetting,
    light beside a cover) is taken out: over the whole image as a polynomial of second order, from
    place to place as a blurred copy. What is left has to vary.
    """
    step = max(1, max(image.shape[:2]) // _SAMPLE_PX)
    sample = image[::step, ::step]
    height, width = sample.shape[:2]
    scale = _SMALL_PX / max(height, width)
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    small = cv2.resize(sample, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    basis = _smooth_basis(*size)
    flat = small.reshape(-1, 3)
    left = (flat - basis @ (basis.T @ flat)).reshape(small.shape)
    left -= cv2.GaussianBlur(left, (0, 0), _BLUR_PX)
    return float(left.reshape(-1, 3).std(axis=0).max()) >= _LEAST_STRUCTURE


class SamePicture:
    """Notices that a driver, or a recording of one, repeats one image."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next image has no predecessor."""
        self._last: np.ndarray | None = None
        self._since_ns = self._repeated = 0

    @property
    def is_repeated(self) -> bool:
        """Whether the last image was the one before it, so the camera has not moved."""
        return self._repeated > 0

    def lasts_s(self, image: np.ndarray, stamp_ns: int) -> float:
        """For how long the picture has been this one to the last bit; to be asked once per image.

        0 until it has come four times: a slow stream, or a slide show, may well repeat itself.

        Args:
            image: (height, width, 3) uint8, kept until the next one.
            stamp_ns: of the image.
        """
        before, self._last = self._last, image
        if before is None or not _is_same(before, image):
            self._since_ns, self._repeated = stamp_ns, 0
        else:
            self._repeated += 1
        if self._repeated < _LEAST_REPEATED:
            return 0.0
        return max(0, stamp_ns - self._since_ns) * 1e-9


def nothing_seen(
    estimate: FrameEstimate, world_from_camera: np.ndarray, reason: str = "blank"
) -> FrameEstimate:
    """The answer to an image from which nothing is known: no people, no depth, camera where it was.

    Args:
        estimate: what the network made of the image.
        world_from_camera: (4, 4) of the last image with a scene.
        reason: ``blank`` or ``frozen``.
    """
    return replace(
        estimate,
        points_camera=np.zeros_like(estimate.points_camera),
        points_world=None,
        confidence=np.zeros_like(estimate.confidence),
        person_probability=np.zeros_like(estimate.person_probability),
        world_from_camera=world_from_camera,
        # As where the points fit no camera.
        estimated_focal_px=0.0,
        people=(),
        state_updated=False,
        unseen=reason,
        is_motion_known=False,
    )


@dataclass(frozen=True)
class Turn:
    """What is done about one frame."""

    with_scene: bool = True
    """The frame gets depth."""
    with_network: bool = True
    """The recurrent network looks at it."""
    with_focal: bool = True
    """The focal network looks at it, where that one is in use."""


class Turns:
    """Counts a session's frames.

    Attributes:
        with_network: some frames are for the recurrent network.
    """

    def __init__(self, *, frames_may_pass: bool, with_network: bool) -> None:
        """The next frame is a session's first.

        Args:
            frames_may_pass: people come from elsewhere, so not every frame needs a scene.
            with_network: frames with a scene need the recurrent network; False where depth, motion
                and focal length come from elsewhere too.
        """
        self.with_network = with_network
        self._frames_may_pass = frames_may_pass
        self._next = 0

    def restart(self) -> None:
        """A new session begins with the next frame."""
        self._next = 0

    def take(self, settings: Settings) -> Turn:
        """The turn of the next frame; to be asked once for every frame."""
        number, self._next = self._next, self._next + 1
        every = settings.scene.every if self._frames_may_pass else 1
        if number % every:
            return Turn(with_scene=False, with_network=False, with_focal=False)
        scenes = number // every
        is_early = scenes < _FIRST_ESTIMATES
        is_due = is_early or scenes % settings.camera.estimate_every == 0
        return Turn(with_network=self.with_network, with_focal=is_due)


@lru_cache(maxsize=8)
def _smooth_basis(width: int, height: int) -> np.ndarray:
    """(pixels, 6) orthonormal: the polynomials of second order over an image."""
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return np.linalg.qr(np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1))[0]


def _is_same(before: np.ndarray, image: np.ndarray) -> bool:
    if before.shape != image.shape:
        return False
    # Live images differ nearly everywhere: a few rows tell without reading the rest.
    some = slice(None, None, max(1, len(image) // 8))
    return np.array_equal(before[some], image[some]) and np.array_equal(before, image)
