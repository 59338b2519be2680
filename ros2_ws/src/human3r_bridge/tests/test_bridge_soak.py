"""Thousands of people come and go; nothing of them may stay behind."""

from collections import Counter, deque
from dataclasses import replace
from types import SimpleNamespace

import pytest
from human3r_bridge import hri_output, mesh_marker_output
from human3r_bridge.formats import make_outputs
from human3r_bridge.output import PeopleFrame
from human3r_bridge.parameters import OUTPUTS, BridgeSettings
from human3r_bridge.people import confirmed_people
from human3r_ros.throttled_log import ThrottledLog

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_human, make_skeleton

PERIOD_NS, LINGER_S = 125_000_000, 0.5
WARM_FRAMES = 16
PEOPLE = 2000
BODY_TOPICS, FACE_TOPICS = 7, 1
"""Of one person: roi, skeleton2d, joint_states, position, velocity, cropped, urdf; roi."""
CONTAINERS = (dict, list, set, tuple, deque)


class FakePublisher:
    def __init__(self, node, topic):
        self.node, self.topic, self.sent = node, topic, 0

    def get_subscription_count(self):
        return int(self.node.is_heard)

    def publish(self, message):
        self.sent += 1


class FakeNode:
    """Holds what a node would hold: the publishers and subscriptions that are alive."""

    def __init__(self):
        self.publishers, self.subscriptions = set(), {}
        self.sent = Counter()
        self.is_heard = True

    def resolve_topic_name(self, topic):
        return topic.replace("~", "/human3r_bridge")

    def create_publisher(self, message_type, topic, *args, **kwargs):
        publisher = FakePublisher(self, topic)
        assert topic not in {other.topic for other in self.publishers}
        self.publishers.add(publisher)
        return publisher

    def destroy_publisher(self, publisher):
        self.publishers.remove(publisher)
        self.sent[publisher.topic.split("/")[-1]] += publisher.sent

    def create_subscription(self, message_type, topic, callback, *args, **kwargs):
        self.subscriptions[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.subscriptions[topic]

    def count_publishers(self, topic):
        return 1

    def get_logger(self):
        return SimpleNamespace(warning=lambda text: None)


class Clock:
    """Stands in for the module time."""

    def __init__(self):
        self.now_s = 1000.0

    def monotonic(self):
        return self.now_s


def num_kept(thing, seen=None):
    """Items in all containers that objects of the bridge lead to."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return 0
    seen[id(thing)] = thing
    if isinstance(thing, CONTAINERS):
        inside = [*thing.keys(), *thing.values()] if isinstance(thing, dict) else list(thing)
        return len(thing) + sum(num_kept(item, seen) for item in inside)
    if type(thing).__module__.startswith(("human3r_bridge.", "human3r_ros.")):
        return num_kept(getattr(thing, "__dict__", {}), seen)
    return 0


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    for module in (hri_output, mesh_marker_output):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def node():
    return FakeNode()


@pytest.fixture
def outputs(node, clock):
    settings = BridgeSettings().replace(
        {"outputs": list(OUTPUTS), "hri.linger_s": LINGER_S, "hri.cropped": True}
    )
    made = make_outputs(node, settings, ThrottledLog(lambda text: None).warn)
    node.subscriptions["human3r/skeleton"](make_skeleton())
    return made


def step(node, outputs, clock, numbers, template, frame_number):
    # Readers come and go as well, all at once; without them nothing is computed.
    node.is_heard = not numbers or frame_number % 20 < 2
    people = [replace(template, id=f"h3r{n:05d}", track_id=n) for n in numbers]
    array = make_array(stamp_ns=frame_number * PERIOD_NS)
    for output in outputs.values():
        output.publish(PeopleFrame(array, people))
        output.tick()
    clock.now_s += PERIOD_NS / 1e9


def test_two_thousand_people_leave_nothing_behind(node, outputs, clock):
    (template,) = confirmed_people(make_array(make_human()))
    static, most_publishers, kept = len(node.publishers), 0, {}
    # So many frames fill the bounded memory of how far apart they are.
    for number in range(-WARM_FRAMES, 1):
        step(node, outputs, clock, [], template, number)
    kept_before = num_kept(outputs)
    for number in range(1, PEOPLE + 1):
        # One comes and one goes with every frame.
        step(node, outputs, clock, [number, number + 1], template, number)
        most_publishers = max(most_publishers, len(node.publishers))
        if number in (PEOPLE // 10, PEOPLE):
            kept[number] = num_kept(outputs)
    assert kept[PEOPLE] == kept[PEOPLE // 10] > kept_before

    # Two are there, and those who left less than half a second ago.
    lingering = round(LINGER_S * 1e9 / PERIOD_NS)
    present = 2 + lingering + 1
    assert static < most_publishers <= static + present * (BODY_TOPICS + FACE_TOPICS)

    for frame_number in range(PEOPLE + 1, PEOPLE + lingering + 3):
        step(node, outputs, clock, [], template, frame_number)
    assert len(node.publishers) == static
    assert num_kept(outputs) == kept_before
    hri = outputs["hri"]
    assert (hri._topics, hri._matched) == ({}, set())
    assert node.sent["urdf"] == PEOPLE + 1
    assert node.sent["joint_states"] > 0


def test_somebody_who_comes_back_in_time_keeps_the_topics(node, outputs, clock):
    (template,) = confirmed_people(make_array(make_human()))
    static = len(node.publishers)
    step(node, outputs, clock, [1], template, 1)
    one = set(node.publishers)
    for frame_number in range(2, 200):
        # Gone for two frames of three, which is less than the topics linger.
        step(node, outputs, clock, [1] if frame_number % 3 == 0 else [], template, frame_number)
    assert node.publishers == one
    assert len(one) == static + BODY_TOPICS + FACE_TOPICS


def test_notices_of_ever_new_kinds_are_bounded():
    notices = ThrottledLog(lambda text: None)
    for number in range(5000):
        notices.warn(("qos", f"/humans/bodies/h3r{number:05d}/roi"), "text")
    assert num_kept(notices) < 3 * 1024
