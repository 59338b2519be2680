"""Lifecycle services and events of a node in another process, and its semantics in this one."""

import time

import pytest
from rclpy_lite.exceptions import RCLError
from rclpy_lite.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy_lite.messages import get_message, get_service

ChangeState = get_service("lifecycle_msgs/srv/ChangeState")
GetState = get_service("lifecycle_msgs/srv/GetState")
GetAvailableStates = get_service("lifecycle_msgs/srv/GetAvailableStates")
GetAvailableTransitions = get_service("lifecycle_msgs/srv/GetAvailableTransitions")
GetParameters = get_service("rcl_interfaces/srv/GetParameters")
SetParameters = get_service("rcl_interfaces/srv/SetParameters")
TransitionEvent = get_message("lifecycle_msgs/msg/TransitionEvent")
Transition = get_message("lifecycle_msgs/msg/Transition")
String = get_message("std_msgs/msg/String")


class Remote:
    """The managed peer, as a lifecycle manager sees it."""

    def __init__(self, node, spin):
        self.node = node
        self.spin = spin
        self.events = []
        node.create_subscription(
            TransitionEvent, "/managed/transition_event", self.events.append, 50
        )

    def call(self, srv_type, name, **fields):
        client = self.node.create_client(srv_type, f"/managed/{name}")
        assert client.wait_for_service(10)
        future = client.call_async(srv_type.Request(**fields))
        self.spin(self.node, future.done)
        self.node.destroy_client(client)
        return future.result()

    def change(self, transition_id):
        transition = Transition(id=transition_id)
        return self.call(ChangeState, "change_state", transition=transition).success

    def state(self):
        return self.call(GetState, "get_state").current_state.label

    def set(self, name, value):
        from rclpy_lite.parameter import Parameter

        message = Parameter(name, value=value).to_parameter_msg()
        return self.call(SetParameters, "set_parameters", parameters=[message]).results[0]


@pytest.fixture
def remote(make_node, spin, start_peer):
    peer = start_peer("managed.py")
    peer.wait_for("ready")
    made = Remote(make_node(), spin)
    made.peer = peer
    return made


def test_a_whole_life_through_services(remote, spin):
    assert remote.state() == "unconfigured"
    steps = [(1, "inactive"), (3, "active"), (4, "inactive"), (2, "unconfigured"), (5, "finalized")]
    for transition_id, state in steps:
        assert remote.change(transition_id)
        assert remote.state() == state
    spin(remote.node, lambda: len(remote.events) >= 10)
    seen = [(e.start_state.label, e.goal_state.label) for e in remote.events]
    assert seen[:4] == [
        ("unconfigured", "configuring"),
        ("configuring", "inactive"),
        ("inactive", "activating"),
        ("activating", "active"),
    ]
    assert seen[-1] == ("shuttingdown", "finalized")


def test_an_impossible_transition_is_refused_and_changes_nothing(remote):
    assert not remote.change(Transition.TRANSITION_ACTIVATE)
    assert remote.state() == "unconfigured"


def test_failure_goes_back(remote):
    assert remote.set("fail", "configure:failure").successful
    assert not remote.change(1)
    assert remote.state() == "unconfigured"


def test_an_exception_leads_through_error_processing(remote, spin):
    remote.set("fail", "configure:raise")
    assert not remote.change(1)
    assert remote.peer.wait_for("on_error") == "on_error from unconfigured"
    assert remote.state() == "unconfigured"
    spin(remote.node, lambda: len(remote.events) >= 3)
    assert [e.goal_state.label for e in remote.events] == [
        "configuring",
        "errorprocessing",
        "unconfigured",
    ]
    assert [e.transition.label for e in remote.events] == [
        "configure",
        "transition_error",
        "transition_success",
    ]


def test_the_graph_of_states_can_be_asked_for(remote):
    states = remote.call(GetAvailableStates, "get_available_states").available_states
    assert {state.label: state.id for state in states}["errorprocessing"] == 15
    assert len(states) == 11
    here = remote.call(GetAvailableTransitions, "get_available_transitions").available_transitions
    assert [d.transition.label for d in here] == ["configure", "shutdown"]
    graph = remote.call(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert len(graph) == 25


@pytest.mark.parametrize("fails", ["raise", "failure"])
def test_failing_error_processing_finalizes(make_node, fails):
    class Hopeless(LifecycleNode):
        def on_configure(self, state):
            raise RuntimeError("first")

        def on_error(self, state):
            if fails == "raise":
                raise RuntimeError("second")
            return TransitionCallbackReturn.FAILURE

    node = make_node("hopeless", Hopeless)
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert node._current_state.label == "finalized"
    with pytest.raises(RCLError, match="not possible in state 'finalized'"):
        node.trigger_configure()


def test_a_callback_that_returns_nothing_is_an_error(make_node):
    class Forgetful(LifecycleNode):
        def on_configure(self, state):
            return None

    node = make_node("forgetful", Forgetful)
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert node._current_state.label == "unconfigured"


def test_lifecycle_publishers_speak_only_while_active(make_node, spin):
    node = make_node("speaker", LifecycleNode)
    listener = make_node("listener")
    got = []
    listener.create_subscription(String, "speech", lambda m: got.append(m.data), 10)
    publisher = node.create_lifecycle_publisher(String, "speech", 10)
    spin(listener, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="unconfigured"))
    node.trigger_configure()
    publisher.publish(String(data="inactive"))
    node.trigger_activate()
    assert publisher.is_activated
    publisher.publish(String(data="active"))
    spin(listener, lambda: got)
    node.trigger_deactivate()
    publisher.publish(String(data="deactivated"))
    time.sleep(0.1)
    assert got == ["active"]


def test_the_mixin_puts_its_services_where_it_is_told(make_node):
    from rclpy_lite.callback_groups import MutuallyExclusiveCallbackGroup
    from rclpy_lite.lifecycle import LifecycleNodeMixin
    from rclpy_lite.node import Node

    class Own(LifecycleNodeMixin, Node):
        def __init__(self, name, **options):
            Node.__init__(self, name, **options)
            self.group = MutuallyExclusiveCallbackGroup()
            LifecycleNodeMixin.__init__(self, callback_group=self.group)

    node = make_node("own", Own)
    mine = [s.srv_name for s in node.services if s.callback_group is node.group]
    assert sorted(mine) == [
        f"/own/{name}"
        for name in (
            "change_state",
            "get_available_states",
            "get_available_transitions",
            "get_state",
            "get_transition_graph",
        )
    ]
