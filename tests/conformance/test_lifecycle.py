"""Lifecycle nodes."""

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, TransitionCallbackReturn
from rclpy.node import Node
from std_msgs.msg import String


class Recorder(LifecycleNode):
    """Remembers its callbacks and answers as told."""

    def __init__(self, name, **options):
        self.answers = {}
        self.seen = []
        super().__init__(name, **options)

    def _answer(self, step):
        self.seen.append(step)
        answer = self.answers.get(step, TransitionCallbackReturn.SUCCESS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_configure(self, state):
        return self._answer("configure")

    def on_activate(self, state):
        super().on_activate(state)
        return self._answer("activate")

    def on_deactivate(self, state):
        super().on_deactivate(state)
        return self._answer("deactivate")

    def on_cleanup(self, state):
        return self._answer("cleanup")

    def on_shutdown(self, state):
        return self._answer("shutdown")

    def on_error(self, state):
        return self._answer("error")


def _call(make_node, executor, srv_type, name, request):
    client = make_node("manager").create_client(srv_type, name)
    assert client.wait_for_service(timeout_sec=10)
    future = client.call_async(request)
    executor.spin_until_future_complete(future, timeout_sec=10)
    return future.result()


def test_a_life(make_node):
    node = make_node("managed", Recorder)
    for trigger in ("configure", "activate", "deactivate", "cleanup", "shutdown"):
        assert getattr(node, f"trigger_{trigger}")() == TransitionCallbackReturn.SUCCESS
    assert node.seen == ["configure", "activate", "deactivate", "cleanup", "shutdown"]


def test_an_exception_runs_error_processing(make_node, executor):
    node = make_node("managed", Recorder)
    node.answers["configure"] = ValueError("in configure")
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert node.seen == ["configure", "error"]
    state = _call(make_node, executor, GetState, "/managed/get_state", GetState.Request())
    assert state.current_state.label == "unconfigured"


def test_failure_stays_where_it_was(make_node):
    node = make_node("managed", Recorder)
    node.answers["configure"] = TransitionCallbackReturn.FAILURE
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.seen == ["configure", "configure"]


def test_transitions_by_service(make_node, executor):
    node = make_node("managed", Recorder)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    assert _call(make_node, executor, ChangeState, "/managed/change_state", request).success
    assert node.seen == ["configure"]


def test_lifecycle_publishers_follow_the_state(make_node, spin_until):
    node, got = make_node("managed", Recorder), []
    make_node("listener").create_subscription(String, "topic", lambda m: got.append(m.data), 10)
    publisher = node.create_lifecycle_publisher(String, "topic", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="silent"))
    node.trigger_configure()
    node.trigger_activate()
    publisher.publish(String(data="loud"))
    spin_until(lambda: got)
    assert got == ["loud"]


def test_the_mixin_takes_a_callback_group(context):
    group = MutuallyExclusiveCallbackGroup()

    class Own(LifecycleNodeMixin, Node):
        def __init__(self):
            Node.__init__(self, "own", context=context)
            LifecycleNodeMixin.__init__(self, callback_group=group)

    node = Own()
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    executor.shutdown()
    node.destroy_node()


def test_an_impossible_trigger_is_an_error(make_node):
    node = make_node("managed", Recorder)
    with pytest.raises(Exception, match=r"(?i)transition"):
        node.trigger_activate()
    assert node.seen == []
