"""Images of several cameras, handed on as sets of one moment: the newest complete set wins."""

import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Condition

from human3r.multiview.synchronise import LiveSets
from human3r_ros.worker import Arrival, CountedStream

_SECOND_NS = 1_000_000_000
_CDR_HEADER_BYTES = 4


@dataclass(frozen=True)
class StampedArrival:
    """An image as it came, with its stamp on the clock that all cameras share."""

    stamp_ns: int
    arrival: Arrival


class Door(CountedStream):
    """Where one camera's images come in.

    Attributes:
        hear: told of every image.
    """

    def __init__(
        self, sets: "ImageSets", camera: str, offset_ns: int, condition: Condition
    ) -> None:
        """Nothing has come yet.

        Args:
            sets: takes the images.
            camera: its name.
            offset_ns: added to its stamps.
            condition: guards the counters and the sets.
        """
        super().__init__(condition)
        self.hear: Callable[[], None] = lambda: None
        self._sets, self._camera, self._offset_ns = sets, camera, offset_ns

    def put(self, arrival: Arrival) -> bool:
        """As of the base; what an image replaces is counted where it came in."""
        self.hear()
        stamp_ns = _stamp_ns(arrival) if self._sets.uses_header else arrival.receive_ns
        with self._condition:
            self.count("received")
            self._sets.add(self._camera, StampedArrival(stamp_ns + self._offset_ns, arrival))
        return True

    def discard_before(self, jump_s: float) -> None:
        """Nothing: ``ImageSets.forget_time`` is for all cameras at once."""


class ImageSets:
    """Sets for one consumer, the compute thread.

    Cameras that are silent are not waited for. While the consumer is busy, a newer set takes the
    place of the one that waits, unless that one has more cameras.

    Attributes:
        doors: by camera, where images come in and are counted.
        uses_header: stamps are those of the images; otherwise those of their arrival.
        alone: by camera, how many sets in a row had its image only, although others sent some.
    """

    def __init__(
        self,
        offsets_ns: dict[str, int],
        tolerance_ns: int,
        patience_s: float,
        silent_s: float,
        *,
        uses_header: bool = True,
    ) -> None:
        """Nothing has come yet.

        Args:
            offsets_ns: by camera, added to its stamps.
            tolerance_ns: most time between the first and the last stamp of a set.
            patience_s: so long a set waits for the others.
            silent_s: a camera that has not spoken for so long is not waited for.
            uses_header: as the attribute.
        """
        self.uses_header = uses_header
        self._condition = Condition()
        self._live: LiveSets[StampedArrival] = LiveSets(tolerance_ns, patience_s, silent_s)
        self._waiting: dict[str, StampedArrival] = {}
        self._is_woken = False
        self._last_alone = ""
        self.alone = dict.fromkeys(offsets_ns, 0)
        self.doors = {
            camera: Door(self, camera, offset_ns, self._condition)
            for camera, offset_ns in offsets_ns.items()
        }

    def add(self, camera: str, item: StampedArrival) -> None:
        """One more image; ``Door.put`` calls it."""
        with self._condition:
            late = self._live.late.get(camera, 0)
            self._offer(self._live.add(camera, item, item.arrival.arrival_s))
            if self._live.late.get(camera, 0) > late:
                self.doors[camera].count("dropped_stale")
            self._condition.notify()

    def take(self, timeout_s: float) -> dict[str, StampedArrival] | None:
        """The set that waits, by camera; None after ``timeout_s`` or a ``wake``."""
        end_s = time.monotonic() + timeout_s
        with self._condition:
            while True:
                now_s = time.monotonic()
                self._offer(self._live.tick(now_s))
                if self._waiting or self._is_woken or now_s >= end_s:
                    break
                self._condition.wait(min(end_s - now_s, self._live.due_in_s(now_s) + 1e-3))
            self._is_woken = False
            found, self._waiting = self._waiting, {}
            return found or None

    def wake(self) -> None:
        """Let the present ``take`` return, or the next one if none is waiting."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def forget_time(self) -> None:
        """The clock was set back: what waits is of before."""
        with self._condition:
            self._drop("dropped_stale", self._waiting)
            self._drop("dropped_stale", self._live.forget_time())
            self._waiting = {}

    def _offer(self, found: Iterable[dict[str, StampedArrival]]) -> None:
        for newer in found:
            self._watch(list(newer))
            waiting = self._waiting
            keeps = len(waiting) > len(newer)
            self._drop("dropped_overwritten", newer if keeps else waiting)
            self._waiting = waiting if keeps else newer

    def _watch(self, cameras: list[str]) -> None:
        if len(cameras) > 1:
            self._last_alone = ""
            self.alone.update(dict.fromkeys(cameras, 0))
        elif self._last_alone not in ("", cameras[0]):
            # Another camera's image went alone as well since this camera's last one.
            self.alone[cameras[0]] += 1
            self._last_alone = cameras[0]
        else:
            self._last_alone = cameras[0]

    def _drop(self, counter: str, cameras: Iterable[str]) -> None:
        for camera in cameras:
            self.doors[camera].count(counter)


def _stamp_ns(arrival: Arrival) -> int:
    """Of a serialised message that begins with a header; of its arrival where it has none.

    A message in CDR begins with four bytes, the second of which has bit 0 set for little endian;
    a header begins with its stamp.
    """
    data = arrival.data
    if len(data) < _CDR_HEADER_BYTES + 8:
        return arrival.receive_ns
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, _CDR_HEADER_BYTES)
    return seconds * _SECOND_NS + nanoseconds
