"""The ways in which ``human3r play`` goes through a recording: by the clock, or in lock-step."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rclpy.node import Node

from human3r.types import Frame
from human3r_ros.commands.bag_topics import BagTopics
from human3r_ros.commands.feeds import Shot
from human3r_ros.commands.image_out import Player
from human3r_ros.commands.lockstep import FrameGate, ReplayClock, lossy_readers
from human3r_ros.commands.pacing import Pacer

log = logging.getLogger(__name__)

_FIRST_STAMP_NS = 1_000_000_000
"""Of a source whose own stamps begin at zero, which means "no stamp" in ROS."""


@dataclass(frozen=True)
class Item:
    """One moment of a recording."""

    shots: Sequence[Shot]
    """The first image first."""
    media_ns: int
    """Time since the first moment."""
    recorded_ns: int | None
    """When it was recorded, for a bag."""

    @property
    def frame(self) -> Frame:
        """The first image."""
        return self.shots[0].frame


class Pace(Protocol):
    """When a frame goes out, and with which stamp."""

    delayed_ns: int
    """How much longer it took than planned."""

    def before(self, item: Item) -> int | None:
        """The frame's stamp when its time has come; None when asked to stop."""

    def after(self, stamp_ns: int) -> None:
        """What is to be waited for when it is out."""


class CameraPace:
    """As a camera would: each frame at its time, stamped with the present.

    Args:
        rate: media seconds per second.
        now_ns: the present of the node's clock.
        stop: set when the user wants to stop.
    """

    def __init__(self, rate: float, now_ns: int, stop: threading.Event) -> None:
        self._stop = stop
        self._began_ns, self._wall_ns = time.monotonic_ns(), now_ns
        self._pacer = Pacer(self._began_ns, rate)

    @property
    def delayed_ns(self) -> int:
        """How far the plan has slipped."""
        return self._pacer.delayed_ns

    def before(self, item: Item) -> int | None:
        """The frame's due time."""
        due_ns = self._pacer.due_ns(item.media_ns, time.monotonic_ns())
        if self._stop.wait(max(0, due_ns - time.monotonic_ns()) / 1e9):
            return None
        return self._wall_ns + due_ns - self._began_ns

    def after(self, stamp_ns: int) -> None:
        """Nothing."""


class RecordedTime:
    """The recording's own stamps, announced on ``/clock``, with other topics in their order.

    Args:
        clock: where time is announced.
        others: topics of the bag that go out as well.
    """

    def __init__(self, clock: ReplayClock, others: BagTopics | None) -> None:
        self._clock, self._others = clock, others
        self._origin_ns: int | None = None

    def enter(self, item: Item) -> int:
        """Make it the time of this frame; returns its stamp."""
        if self._origin_ns is None:
            self._origin_ns = item.frame.stamp_ns or _FIRST_STAMP_NS
        stamp_ns = self._origin_ns + item.media_ns
        self._clock.advance(stamp_ns)
        if self._others is not None and item.recorded_ns is not None:
            self._others.send_until(item.recorded_ns)
        return stamp_ns


class RecordedPace(CameraPace):
    """Each frame at its time, with its own stamp.

    Args:
        recorded: the recording's time.
        rate: media seconds per second.
        stop: set when the user wants to stop.
    """

    def __init__(self, recorded: RecordedTime, rate: float, stop: threading.Event) -> None:
        super().__init__(rate, 0, stop)
        self._recorded = recorded

    def before(self, item: Item) -> int | None:
        """The frame's own stamp, at its due time."""
        return None if super().before(item) is None else self._recorded.enter(item)


class LockStep:
    """Each frame when the node has reported on the one before, with its own stamp.

    Args:
        recorded: the recording's time.
        gate: hears the node.
        patience_s: how long the node may take for one frame.
        stop: set when the user wants to stop.
    """

    delayed_ns = 0

    def __init__(
        self, recorded: RecordedTime, gate: FrameGate, patience_s: float, stop: threading.Event
    ) -> None:
        self._recorded, self._gate = recorded, gate
        self._patience_s, self._stop = patience_s, stop

    def before(self, item: Item) -> int | None:
        """The frame's own stamp, at once."""
        return None if self._stop.is_set() else self._recorded.enter(item)

    def after(self, stamp_ns: int) -> None:
        """Wait for the node.

        Raises:
            InputError: it does not report in time.
        """
        self._gate.wait_for_report(stamp_ns, self._patience_s, self._stop)


def play_all(
    players: Sequence[Player],
    items: Iterable[Item],
    pace: Pace,
    *,
    in_order: bool,
    stamps: list[int] | None,
) -> None:
    """Publish every moment at its pace, until the end or until asked to stop.

    Args:
        players: publish, one for each feed.
        items: the moments; images of one have stamps as far apart as in the recording.
        pace: when, and with which stamp.
        in_order: send an image only when every reader has its calibration.
        stamps: takes the stamps that were sent.
    """
    for item in items:
        stamp_ns = pace.before(item)
        if stamp_ns is None:
            return
        for shot in item.shots:
            later_ns = shot.frame.stamp_ns - item.frame.stamp_ns
            players[shot.feed].publish(shot.frame, stamp_ns + later_ns, in_order=in_order)
        pace.after(stamp_ns)
        if stamps is not None:
            stamps.append(stamp_ns)


def warn_of_lossy_readers(node: Node, player: Player) -> None:
    """Say that lock-step may stall, where a reader may lose an image."""
    if readers := lossy_readers(node, player.topic):
        log.warning(
            "%s: %s takes images best effort, so one may be lost and nothing would come after it; "
            "expected a reliable reader. Start the node with `human3r live --lockstep`.",
            player.topic,
            ", ".join(readers),
        )
