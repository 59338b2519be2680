"""What all markers of people share: colours, life time, and their removal."""

import colorsys
from collections import deque

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from human3r_bridge.geometry_messages import ns_from_time
from human3r_bridge.people import Person

_LIFETIME_S = (1.0, 60.0)
"""Shortest and longest life time; in between it is that of a few frames."""
_LIFETIME_FRAMES = 3
_REMEMBERED_INTERVALS = 5
_GOLDEN_ANGLE = 0.618034
_PREDICTED_ALPHA = 0.4
_MAX_ID = 0x7FFFFFFF


def marker(
    person: Person, header: Header, kind: str, shape: int, scale: tuple[float, float, float]
) -> Marker:
    """A marker of one person; its id is the track, its namespace what it shows."""
    message = Marker(
        header=header,
        ns=kind,
        id=person.track_id & _MAX_ID,
        type=shape,
        action=Marker.ADD,
        scale=Vector3(x=scale[0], y=scale[1], z=scale[2]),
        color=color(person),
    )
    message.pose.orientation.w = 1.0
    return message


def color(person: Person) -> ColorRGBA:
    """One colour per track, its neighbours' far away; pale while the person is not seen."""
    red, green, blue = colorsys.hsv_to_rgb(person.track_id * _GOLDEN_ANGLE % 1.0, 0.75, 1.0)
    alpha = 1.0 if person.is_measured else _PREDICTED_ALPHA
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


class ShownMarkers:
    """Remembers what readers show, so that each marker is taken away when it vanishes.

    Markers also die by themselves, for readers that miss the removal: after three intervals of the
    frames as they come, and not before a second has passed.
    """

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()
        self._last_ns: int | None = None
        self._intervals_s: deque[float] = deque(maxlen=_REMEMBERED_INTERVALS)

    def replace(self, markers: list[Marker], header: Header) -> MarkerArray:
        """These markers, and the removal of those that were shown and are not among them."""
        lifetime = self._lifetime(ns_from_time(header.stamp))
        for marker in markers:
            marker.lifetime = lifetime
        now = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self._shown - now)
        ]
        self._shown = now
        return MarkerArray(markers=gone + markers)

    def _lifetime(self, stamp_ns: int) -> Duration:
        if self._last_ns is not None and stamp_ns > self._last_ns:
            self._intervals_s.append((stamp_ns - self._last_ns) * 1e-9)
        self._last_ns = stamp_ns
        shortest_s, longest_s = _LIFETIME_S
        wanted_s = _LIFETIME_FRAMES * max(self._intervals_s, default=0.0)
        lifetime_ns = round(min(max(wanted_s, shortest_s), longest_s) * 1e9)
        return Duration(sec=lifetime_ns // 10**9, nanosec=lifetime_ns % 10**9)
