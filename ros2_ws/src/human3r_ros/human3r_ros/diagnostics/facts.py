"""What the diagnostics are judged from: plain values, collected by ``diagnostics.py``."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from human3r.config import Settings
from human3r.scale import ScaleReport
from human3r_ros.diagnostics.frame_window import FrameRecord
from human3r_ros.placement import PlacementState
from human3r_ros.worker import Counters

OK, WARN, ERROR = 0, 1, 2
"""As in diagnostic_msgs/DiagnosticStatus."""
_PART_OF_NOTICE = {
    "publishers": "input",
    "namesakes": "outputs",
    "frozen": "input",
    "clock": "input",
    "stamp": "input",
    "frame": "input",
    "calibration": "input",
    "focal": "input",
    "scale": "input",
    "blank": "input",
    "subscription": "input",
    "failed": "inference",
    "status": "inference",
    "publisher": "outputs",
}
"""First word of a notice's kind to the part it belongs to; others are told in other ways."""
_ERRORS = ("publishers", "namesakes")
"""Kinds of notices that mean that nothing good can come of it."""


@dataclass(frozen=True)
class Part:
    """One status of the report."""

    name: str
    level: int
    message: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class LatestFrame:
    """What the last report of the worker said."""

    size: str = ""
    """Width x height in pixels."""
    encoding: str = ""
    frame_id: str = ""
    calibrated: bool = False
    scale: ScaleReport | None = None
    """Metres per unit of the network, and what is behind it."""
    session: int = 0
    frame_index: int = 0
    reset_reason: int = 0
    """Why the present session began, as numbered in FrameStatus."""
    tracked: int = 0
    """People measured in the last frame with a result."""
    coasting: int = 0
    """People predicted in it."""
    left_out: int = 0
    """People seen in it for whom ``people.max_count`` left no room."""


@dataclass(frozen=True)
class DeviceFacts:
    """The processor that the network runs on; sizes in bytes, 0 where there is no GPU."""

    name: str
    """For example cuda:0 or cpu."""
    hardware_id: str
    driver: str = ""
    allocated: int = 0
    reserved: int = 0
    peak: int = 0
    free: int = 0
    total: int = 0


@dataclass(frozen=True)
class InputFacts:
    """The image topic as the graph shows it."""

    topic: str
    publishers: Sequence[str]
    """Full names of the nodes that publish it."""
    qos: str
    """Reliability of our subscription and of the publishers."""
    unmatched: Sequence[str]
    """What to say about publishers whose QoS does not match."""
    silent_s: float
    """Since the last image arrived, or since activation."""
    cause: str = ""
    """Why nothing arrives, with what to do, where the graph shows it."""


@dataclass(frozen=True)
class Facts:
    """Everything at one moment."""

    now_s: float
    """Steady clock."""
    settings: Settings
    state: str
    """Lifecycle state, or the transition under way."""
    last_failure: str = ""
    active_s: float = math.nan
    """Since activation; NaN while not active."""
    network: str = ""
    """What was configured, in words."""
    records: Sequence[FrameRecord] = ()
    """Frames of the last seconds, oldest first."""
    latest: LatestFrame = field(default_factory=LatestFrame)
    ids_issued: int = 0
    counters: Counters = field(default_factory=Counters)
    notices: Sequence[tuple[Hashable, str]] = ()
    """Kind and text of the warnings of the last seconds."""
    input: InputFacts | None = None
    placement: PlacementState | None = None
    device: DeviceFacts | None = None
    device_trouble: str = ""
    """The last error of the device; empty once a frame succeeded after it."""
    outputs: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Topic to subscribers and bytes per second."""

    @property
    def is_active(self) -> bool:
        """Whether frames are being taken."""
        return not math.isnan(self.active_s)

    def said(self, part: str) -> list["Finding"]:
        """The warnings of the last seconds that belong to a part of the report."""
        found = []
        for kind, text in self.notices:
            word = str(kind[0] if isinstance(kind, tuple) and kind else kind)
            if _PART_OF_NOTICE.get(word) == part:
                found.append((ERROR if word in _ERRORS else WARN, text))
        return found


Finding = tuple[int, str]
"""Level and what to say."""


def warnings(*texts: str) -> list[Finding]:
    """Those that are not empty, as warnings."""
    return [(WARN, text) for text in texts if text]


def errors(*texts: str) -> list[Finding]:
    """Those that are not empty, as errors."""
    return [(ERROR, text) for text in texts if text]


def number(value: float, digits: int) -> object:
    """A rounded number, or the word that stands for none."""
    return round(value, digits) if math.isfinite(value) else "unknown"


def name_of(names: Sequence[str], index: int) -> str:
    """``names[index]``, or the number itself where there is no name for it."""
    return names[index] if 0 <= index < len(names) else str(index)
