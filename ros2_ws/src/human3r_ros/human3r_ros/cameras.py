"""Which pinhole camera goes with a frame: calibrated, estimated, or assumed."""

import math
from collections import deque
from statistics import median

from human3r.types import FrameEstimate, Intrinsics

_WINDOW_FRAMES = 301
_ASSUMED_FIELD_OF_VIEW_RAD = math.radians(60.0)
"""Of the longer side: what the network's human branch takes for granted when it places people."""
_DISAGREEMENT = 0.15
_DISAGREEING_FRAMES = 30


class Cameras:
    """Remembers the focal lengths found in a session, for frames that give none."""

    def __init__(self) -> None:
        self._focals: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._session: int | None = None
        self._disagreeing = 0

    def see(self, estimate: FrameEstimate) -> None:
        """Take over a frame's focal length; a new session forgets the old one's."""
        if estimate.session != self._session:
            self._session = estimate.session
            self._focals.clear()
        if estimate.intrinsics.fx > 0:
            self._focals.append(estimate.intrinsics.fx)

    def of_source(self, estimate: FrameEstimate, calibrated: Intrinsics | None) -> Intrinsics:
        """Camera of the source image: calibrated, else this frame's own estimate."""
        if calibrated is not None:
            return calibrated
        network = estimate.intrinsics
        # The estimate is 0 where the points fit no camera at all.
        if network.fx <= 0:
            network = self._with_focal(network, self._usual_focal(network))
        return estimate.geometry.source_intrinsics(network)

    def of_depth(self, estimate: FrameEstimate, calibrated: Intrinsics | None) -> Intrinsics:
        """Camera of the network image: calibrated, else with the session's median focal length."""
        if calibrated is not None:
            return estimate.geometry.network_intrinsics(calibrated)
        return self._with_focal(estimate.intrinsics, self._usual_focal(estimate.intrinsics))

    def disagreement(self, estimate: FrameEstimate, calibrated: Intrinsics | None) -> str:
        """What to say when calibration and estimate have differed for thirty frames; else empty."""
        if calibrated is None:
            self._disagreeing = 0
            return ""
        found_px = estimate.geometry.source_intrinsics(estimate.intrinsics).fx
        # 0 where the points fit no camera: such a frame speaks neither for nor against.
        if not found_px > 0:
            return ""
        is_off = abs(found_px / calibrated.fx - 1.0) > _DISAGREEMENT
        self._disagreeing = self._disagreeing + 1 if is_off else 0
        if self._disagreeing < _DISAGREEING_FRAMES:
            return ""
        return (
            f"focal length is {found_px:.0f} px as seen by the network and {calibrated.fx:.0f} px "
            f"in camera_info; expected them within {_DISAGREEMENT:.0%}. Check the calibration, and "
            "that the image is not cropped."
        )

    def _usual_focal(self, network: Intrinsics) -> float:
        if self._focals:
            return float(median(self._focals))
        longer_side_px = max(network.width_px, network.height_px)
        return longer_side_px / 2.0 / math.tan(_ASSUMED_FIELD_OF_VIEW_RAD / 2.0)

    @staticmethod
    def _with_focal(network: Intrinsics, focal_px: float) -> Intrinsics:
        return Intrinsics(
            focal_px, focal_px, network.cx, network.cy, network.width_px, network.height_px
        )
