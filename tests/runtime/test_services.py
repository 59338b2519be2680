"""Services between two processes."""

import threading

import pytest
from rclpy_lite.executors import MultiThreadedExecutor
from rclpy_lite.messages import get_service

from tests.waiting import outcome_of

SetBool = get_service("std_srvs/srv/SetBool")


@pytest.fixture
def managed(start_peer):
    peer = start_peer("managed.py")
    peer.wait_for("ready")
    return peer


def test_two_hundred_calls_are_all_answered(make_node, spin, managed):
    node = make_node()
    client = node.create_client(SetBool, "switch")
    assert client.wait_for_service(10)
    for number in range(200):
        future = client.call_async(SetBool.Request(data=bool(number % 2)))
        spin(node, future.done)
        assert future.result() == SetBool.Response(success=not number % 2, message="managed")


def test_two_clients_of_one_service_each_get_their_own_answers(make_node, spin, managed):
    node = make_node()
    clients = [node.create_client(SetBool, "switch") for _ in range(2)]
    assert all(client.wait_for_service(10) for client in clients)
    yes = clients[0].call_async(SetBool.Request(data=False))
    no = clients[1].call_async(SetBool.Request(data=True))
    spin(node, lambda: yes.done() and no.done())
    assert (yes.result().success, no.result().success) == (True, False)


def test_call_waits_for_the_answer_while_another_thread_spins(make_node, context, managed):
    node = make_node()
    client = node.create_client(SetBool, "switch")
    assert client.wait_for_service(10)
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=lambda: executor.spin_until_future_complete(stop))
    from rclpy_lite.task import Future

    stop = Future()
    thread.start()
    assert client.call(SetBool.Request(data=False), timeout_sec=5).success
    stop.set_result(None)
    thread.join(5)
    executor.shutdown()


def test_a_missing_service_is_not_waited_for_longer_than_asked(make_node):
    client = make_node().create_client(SetBool, "nobody")
    assert not outcome_of(client.wait_for_service, 0.2)


def test_call_gives_up_after_its_timeout(make_node):
    client = make_node().create_client(SetBool, "nobody")
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        client.call(SetBool.Request(), timeout_sec=0.1)
    assert client._pending == {}


def test_an_async_callback_can_await_another_service(make_node, spin, managed):
    node = make_node()
    from rclpy_lite.callback_groups import ReentrantCallbackGroup

    group = ReentrantCallbackGroup()
    inner = node.create_client(SetBool, "switch", callback_group=group)

    async def relay(request, response):
        answer = await inner.call_async(request)
        response.success = answer.success
        response.message = "relayed"
        return response

    node.create_service(SetBool, "relay", relay, callback_group=group)
    client = node.create_client(SetBool, "relay", callback_group=group)
    assert inner.wait_for_service(10)
    assert client.wait_for_service(10)
    future = client.call_async(SetBool.Request(data=True))
    spin(node, future.done)
    assert future.result() == SetBool.Response(success=False, message="relayed")


def test_malformed_requests_are_dropped_and_the_service_goes_on(make_node, spin):
    node = make_node()
    node.create_service(SetBool, "switch", lambda request, response: response)
    client = node.create_client(SetBool, "switch")
    assert client.wait_for_service(10)
    from rclpy_lite.exceptions import RCLError
    from rclpy_lite.service import unwrap

    with pytest.raises(RCLError, match="refused"):
        client._writer.write(b"\0\1\0\0\0\0\0\0")
    for bad in (b"", b"\0\1\0\0", b"\7" * 32, b"\0\1\0\0" + b"\1" * 15):
        with pytest.raises(Exception, match=r"service message|deserialize"):
            unwrap(bad, SetBool.Request)
    future = client.call_async(SetBool.Request())
    spin(node, future.done)
