"""From an arrived message to a frame, or the reason why not: judge, decode, calibrate."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from human3r.camera.calibration import (
    UNNAMED_FRAME,
    Calibration,
    CalibrationCache,
    calibrated,
    image_frame,
    is_frame_name,
)
from human3r.config import Settings
from human3r.errors import InputError
from human3r.io.frame_source import size_limit
from human3r.io.image_messages import family_of, rgb_from_message
from human3r.io.stream_rules import StreamRules, StreamShape, is_stamp, stamp_ns_of
from human3r.types import Frame
from human3r_ros.status import FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.worker import Arrival

_MAX_ENCODING = 64
"""Characters of an encoding's name that are repeated in diagnostics."""


class FrameDroppedError(Exception):
    """A frame that will not be processed, and the counter it belongs to."""

    def __init__(self, counter: str, message: str) -> None:
        super().__init__(message)
        self.counter = counter


class HeldBackError(Exception):
    """A frame whose stamp leaps: it is decided on when its successor arrives."""


@dataclass
class _Held:
    """The frame that waits for its successor."""

    arrival: Arrival
    stamp_ns: int
    is_confirmed: bool | None = None
    """What the successor says; None while there is none."""


class FrameFilter:
    """Decides about one stream's frames; remembers the last accepted one.

    For each arrival, admit what ``due`` names, in that order; after a second without one, what
    ``overdue`` names.
    """

    def __init__(
        self,
        calibrations: CalibrationCache,
        throttled_log: ThrottledLog,
        now_ns: Callable[[], int],
        is_simulated: Callable[[], bool],
    ) -> None:
        self.rules = StreamRules()
        self._calibrations = calibrations
        self._log = throttled_log
        self._now_ns = now_ns
        self._is_simulated = is_simulated
        self.begin()

    def begin(self) -> None:
        """A new activation: waiting for a calibration starts over."""
        self._began_s = time.monotonic()
        self._held: _Held | None = None

    def forget_time(self) -> bool:
        """The clock was set: the next stamp has no predecessor.

        Returns:
            Whether a frame waited for its successor; it is dropped.
        """
        self.rules.forget_time()
        held, self._held = self._held, None
        return held is not None

    def due(self, arrival: Arrival, settings: Settings) -> list[Arrival]:
        """The frame held back, about which this one decides, and this one."""
        if self._held is None:
            return [arrival]
        try:
            message = _read(arrival.data, _message_type(settings))
            stamp_ns = self._stamp_ns(message, arrival, settings)
        except InputError:
            return [arrival]
        self._held.is_confirmed = self.rules.confirms(stamp_ns, self._held.stamp_ns)
        return [self._held.arrival, arrival]

    def confirmed_by(self, clock_ns: int) -> list[Arrival]:
        """The frame held back, when the clock was set to its time."""
        if self._held is None or not self.rules.confirms(clock_ns, self._held.stamp_ns):
            return []
        return self.overdue()

    def overdue(self) -> list[Arrival]:
        """The frame held back, if no successor came within a second; it is believed then."""
        if self._held is None:
            return []
        self._held.is_confirmed = True
        return [self._held.arrival]

    def admit(self, arrival: Arrival, report: FrameReport, settings: Settings) -> tuple[Frame, int]:
        """The frame, and the reason for a new session before it (RESET_NONE mostly).

        Args:
            arrival: the message as it came.
            report: stamp, ages, calibration and warnings are filled in.
            settings: limits and policies.

        Raises:
            FrameDroppedError: it will not be processed.
            HeldBackError: whether it will be is not known yet.
        """
        start_s = time.perf_counter()
        is_raw = settings.input.transport == "raw"
        try:
            message = _read(arrival.data, _message_type(settings))
            report.encoding = (message.encoding if is_raw else message.format)[:_MAX_ENCODING]
            reset = self._judge(message, arrival, report, settings)
            what = "image" if is_raw else "compressed image"
            image = rgb_from_message(message, what, size_limit(settings.input.max_pixels))
            family = family_of(message)
        except InputError as error:
            raise FrameDroppedError("rejected", str(error)) from error
        finally:
            report.stages_s["decode"] = time.perf_counter() - start_s
        height, width = image.shape[:2]
        report.size = f"{width}x{height}"
        calibration = self._calibrate(report, width, height, settings)
        k = report.calibrated = calibration.intrinsics
        if calibration.lens is not None:
            # Another picture, of which the network's memory knows nothing.
            image, family = calibration.without_distortion(image), f"{family} without distortion"
        shape = StreamShape(width, height, family, report.frame_id, k and (k.fx, k.fy, k.cx, k.cy))
        changed = self.rules.accept(report.stamp_ns, arrival.arrival_s, shape)
        bend = calibration.raw_from_image
        return Frame(image, report.stamp_ns, k, report.frame_id, bend), reset or changed

    def _judge(
        self,
        message: Image | CompressedImage,
        arrival: Arrival,
        report: FrameReport,
        settings: Settings,
    ) -> int:
        frame_id = image_frame(message.header.frame_id)
        # The report echoes what came, so only what can be echoed enters it.
        if is_frame_name(frame_id):
            report.frame_id = frame_id
        stamp_ns = self._stamp_ns(message, arrival, settings)
        now_ns = None if self._is_simulated() else self._now_ns()
        if now_ns is not None and self._held is not None and self._held.arrival is arrival:
            # Its age is not what it waited here for its successor.
            now_ns = min(now_ns, arrival.receive_ns)
        if is_stamp(stamp_ns):
            report.stamp_ns = stamp_ns
            report.age_taken_s = math.nan if now_ns is None else (now_ns - stamp_ns) * 1e-9
        verdict = self.rules.judge(stamp_ns, frame_id, arrival.arrival_s, now_ns, settings)
        if verdict.outcome != "processed":
            raise FrameDroppedError(verdict.outcome, verdict.message)
        if verdict.is_leap:
            self._hold(arrival, stamp_ns)
        if not message.header.frame_id:
            report.say(self._log, "frame", UNNAMED_FRAME, period_s=float("inf"))
        if verdict.message:
            report.say(self._log, "stamp", verdict.message, period_s=10.0)
        return verdict.reset

    def _hold(self, arrival: Arrival, stamp_ns: int) -> None:
        """Nothing, when the successor of this frame has confirmed that time leapt."""
        held, self._held = self._held, None
        if held is None or held.arrival is not arrival:
            self._held = _Held(arrival, stamp_ns)
            raise HeldBackError
        if not held.is_confirmed:
            raise FrameDroppedError(
                "dropped_order",
                f"image stamp {stamp_ns} ns is far from those before and after it; expected "
                "increasing stamps, so it counts as wrong. Check the camera driver's clock.",
            )

    @staticmethod
    def _stamp_ns(message: Image | CompressedImage, arrival: Arrival, settings: Settings) -> int:
        is_stamped = settings.input.stamp == "header"
        return stamp_ns_of(message.header.stamp) if is_stamped else arrival.receive_ns

    def _calibrate(
        self, report: FrameReport, width_px: int, height_px: int, settings: Settings
    ) -> Calibration:
        try:
            found = calibrated(
                self._calibrations, settings.input, report.frame_id, width_px, height_px
            )
        except InputError as error:
            self.warn_without_calibration(settings, report.frame_id)
            raise FrameDroppedError("rejected", str(error)) from error
        for warning in found.warnings:
            report.say(self._log, ("calibration", warning), warning, period_s=float("inf"))
        if found.intrinsics is None:
            self.warn_without_calibration(settings, report.frame_id)
        return found

    def warn_without_calibration(self, settings: Settings, frame_id: str = "") -> None:
        """Say once that no calibration has come in time.

        Args:
            settings: whether one is wanted, and by when.
            frame_id: of the image; empty while there is none, when any calibration will do.
        """
        cache = self._calibrations
        known = cache.frames()
        is_missing = cache.given is None and not (cache.is_known(frame_id) if frame_id else known)
        is_late = time.monotonic() - self._began_s > settings.input.camera_info_timeout_s
        if settings.input.camera_info != "ignore" and is_missing and is_late:
            # Another text is another finding: nothing came, or something for other frames.
            kind = ("calibration", bool(known), bool(cache.refusal))
            self._log.once(kind, cache.missing())


def _message_type(settings: Settings) -> type:
    return Image if settings.input.transport == "raw" else CompressedImage


def _read(data: bytes, message_type: type) -> Image | CompressedImage:
    try:
        return deserialize_message(data, message_type)
    except Exception as error:
        raise InputError(
            f"image message of {len(data)} bytes cannot be read ({error}); expected a complete "
            "message. Check the publisher's message type."
        ) from error
