"""What all markers of people share: colours, life time, and their removal."""

import colorsys

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from human3r_bridge.people import Person

_LIFETIME_S = 1
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
        # A net for readers that miss the removal.
        lifetime=Duration(sec=_LIFETIME_S),
    )
    message.pose.orientation.w = 1.0
    return message


def color(person: Person) -> ColorRGBA:
    """One colour per track, its neighbours' far away; pale while the person is not seen."""
    red, green, blue = colorsys.hsv_to_rgb(person.track_id * _GOLDEN_ANGLE % 1.0, 0.75, 1.0)
    alpha = 1.0 if person.is_measured else _PREDICTED_ALPHA
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


class ShownMarkers:
    """Remembers what readers show, so that each marker is taken away when it vanishes."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()

    def replace(self, markers: list[Marker], header: Header) -> MarkerArray:
        """These markers, and the removal of those that were shown and are not among them."""
        now = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self._shown - now)
        ]
        self._shown = now
        return MarkerArray(markers=gone + markers)
