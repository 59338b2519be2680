"""From an arrived message to a frame, or the reason why not: judge, decode, calibrate."""

import math
import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from human3r.config import Settings
from human3r.errors import InputError
from human3r.types import Frame
from human3r_ros import convert
from human3r_ros.calibration import Calibration, CalibrationCache
from human3r_ros.images import decode_compressed, decode_image
from human3r_ros.intake import Arrival
from human3r_ros.notices import Notices
from human3r_ros.status import FrameReport
from human3r_ros.stream_rules import SECOND_NS, StreamRules, StreamShape, is_frame_name, is_stamp

_MAX_ENCODING = 64
"""Characters of an encoding's name that are repeated in diagnostics."""


class TurnedAwayError(Exception):
    """A frame that will not be processed, and the counter it belongs to."""

    def __init__(self, fate: str, message: str) -> None:
        super().__init__(message)
        self.fate = fate


class Admission:
    """Decides about one stream's frames; remembers the last accepted one."""

    def __init__(
        self,
        calibrations: CalibrationCache,
        notices: Notices,
        now_ns: Callable[[], int],
        is_simulated: Callable[[], bool],
    ) -> None:
        self.rules = StreamRules()
        self._calibrations = calibrations
        self._notices = notices
        self._now_ns = now_ns
        self._is_simulated = is_simulated
        self._began_s = time.monotonic()

    def begin(self) -> None:
        """A new activation: waiting for a calibration starts over."""
        self._began_s = time.monotonic()

    def admit(self, arrival: Arrival, report: FrameReport, settings: Settings) -> tuple[Frame, int]:
        """The frame, and the reason for a new session before it (RESET_NONE mostly).

        Args:
            arrival: the message as it came.
            report: stamp, ages, calibration and warnings are filled in.
            settings: limits and policies.

        Raises:
            TurnedAwayError: it will not be processed.
        """
        start_s = time.perf_counter()
        is_raw = settings.input.transport == "raw"
        try:
            message = _read(arrival.data, Image if is_raw else CompressedImage)
            report.encoding = (message.encoding if is_raw else message.format)[:_MAX_ENCODING]
            reset = self._judge(message, arrival, report, settings)
            decode = decode_image if is_raw else decode_compressed
            image, family = decode(message, settings.input.max_pixels)
        except InputError as error:
            raise TurnedAwayError("rejected", str(error)) from error
        finally:
            report.stages_s["decode"] = time.perf_counter() - start_s
        height, width = image.shape[:2]
        report.size = f"{width}x{height}"
        calibration = self._calibrate(report, width, height, settings)
        k, lens = calibration.intrinsics, calibration.lens
        report.calibrated = k
        if lens is not None:
            # Another picture, of which the network's memory knows nothing.
            image, family = lens.rectify(image), f"{family} without distortion"
        shape = StreamShape(width, height, family, report.frame_id, k and (k.fx, k.fy, k.cx, k.cy))
        changed = self.rules.accept(report.stamp_ns, arrival.arrival_s, shape)
        bend = None if lens is None else lens.raw_from_rectified
        return Frame(image, report.stamp_ns, k, report.frame_id, bend), reset or changed

    def _judge(
        self,
        message: Image | CompressedImage,
        arrival: Arrival,
        report: FrameReport,
        settings: Settings,
    ) -> int:
        is_stamped = settings.input.stamp == "header"
        frame_id = message.header.frame_id
        # The report echoes what came, so only what can be echoed enters it.
        if is_frame_name(frame_id):
            report.frame_id = frame_id
        stamp_ns = _stamp_ns(message.header.stamp) if is_stamped else arrival.receive_ns
        now_ns = None if self._is_simulated() else self._now_ns()
        if is_stamp(stamp_ns):
            report.stamp_ns = stamp_ns
            report.age_taken_s = math.nan if now_ns is None else (now_ns - stamp_ns) * 1e-9
        verdict = self.rules.judge(stamp_ns, frame_id, arrival.arrival_s, now_ns, settings)
        if verdict.fate != "processed":
            raise TurnedAwayError(verdict.fate, verdict.message)
        if verdict.message:
            report.say(self._notices, "stamp", verdict.message, period_s=10.0)
        return verdict.reset

    def _calibrate(
        self, report: FrameReport, width_px: int, height_px: int, settings: Settings
    ) -> Calibration:
        policy = settings.input.camera_info
        if policy == "ignore":
            return Calibration(None)
        found = self._calibrations.for_image(
            report.frame_id, width_px, height_px, settings.input.undistort
        )
        for warning in found.warnings:
            report.say(self._notices, ("calibration", warning), warning, period_s=float("inf"))
        if found.intrinsics is None:
            self.warn_without_calibration(settings, report.frame_id)
            if policy == "required":
                raise TurnedAwayError("rejected", " | ".join(found.warnings) or self._no_info())
        return found

    def warn_without_calibration(self, settings: Settings, frame_id: str = "") -> None:
        """Say once that no calibration has come in time.

        Args:
            settings: whether one is wanted, and by when.
            frame_id: of the image; empty while there is none, when any calibration will do.
        """
        known = self._calibrations.frames()
        is_missing = frame_id not in known if frame_id else not known
        is_late = time.monotonic() - self._began_s > settings.input.camera_info_timeout_s
        if settings.input.camera_info != "ignore" and is_missing and is_late:
            # Another text is another finding: nothing came, or something for other frames.
            kind = ("calibration", bool(known), bool(self._calibrations.refusal))
            self._notices.once(kind, self._no_info())

    def _no_info(self) -> str:
        known = ", ".join(map(repr, self._calibrations.frames()))
        seen = (
            f"camera_info arrived for {known}; expected one with the image's frame_id."
            if known
            else "no camera_info has arrived; expected one beside the images."
        )
        if self._calibrations.refusal:
            seen = f"{self._calibrations.refusal} Beside it, {seen}"
        return (
            f"{seen} Publish it, remap camera_info, or set input.camera_info to ignore; until then "
            "the focal length is estimated."
        )


def _stamp_ns(stamp: Time) -> int:
    """The stamp, refused where nanoseconds could not be turned back into the same message.

    Raises:
        InputError: negative seconds, or a second or more of nanoseconds.
    """
    if stamp.sec < 0 or stamp.nanosec >= SECOND_NS:
        raise InputError(
            f"image stamp is sec {stamp.sec}, nanosec {stamp.nanosec}; expected sec from 0 to 2^31 "
            "- 1 and nanosec below 10^9. Correct header.stamp in the camera driver, or set "
            "input.stamp to receive."
        )
    return convert.ns_from_time(stamp)


def _read(data: bytes, message_type: type) -> Image | CompressedImage:
    try:
        return deserialize_message(data, message_type)
    except Exception as error:
        raise InputError(
            f"image message of {len(data)} bytes cannot be read ({error}); expected a complete "
            "message. Check the publisher's message type."
        ) from error
