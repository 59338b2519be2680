from types import SimpleNamespace

from human3r_bridge.node import BridgeNode
from human3r_bridge.output import PeopleFrame

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array


class Broken:
    def publish(self, frame):
        raise ZeroDivisionError("on purpose")


class Whole:
    def __init__(self):
        self.frames = []

    def publish(self, frame):
        self.frames.append(frame)


def test_a_format_that_fails_is_reported_and_leaves_the_others_alone():
    told, whole = [], Whole()
    bridge = SimpleNamespace(
        _outputs={"hri": Broken(), "people": whole},
        _log=SimpleNamespace(warn=lambda kind, text: told.append((kind, text))),
    )
    bridge._guard = lambda name, work: BridgeNode._guard(bridge, name, work)
    frame = PeopleFrame(make_array(), [])
    BridgeNode._publish(bridge, frame)
    assert whole.frames == [frame]
    ((kind, text),) = told
    assert kind == ("fault", "hri")
    assert "on purpose" in text
    assert "output hri failed" in text
