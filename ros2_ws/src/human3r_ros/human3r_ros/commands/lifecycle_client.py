"""Asks a lifecycle node for its state and for transitions, as any lifecycle manager does."""

import time
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

ACTIVE = State.PRIMARY_STATE_ACTIVE
INACTIVE = State.PRIMARY_STATE_INACTIVE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE

_CALL_TIMEOUT_S = 5.0


class LifecycleClient:
    """Client of one lifecycle node.

    Args:
        node: makes the calls; its owner spins it.
        target: full name of the lifecycle node, for example ``/human3r``.
    """

    def __init__(self, node: Node, target: str) -> None:
        self._get = node.create_client(GetState, f"{target}/get_state")
        self._change = node.create_client(ChangeState, f"{target}/change_state")

    def state(self) -> int | None:
        """Id of its current state; None when it does not answer, or takes no transitions yet."""
        if not self._change.service_is_ready():
            return None
        reply = call(self._get, GetState.Request(), _CALL_TIMEOUT_S)
        return None if reply is None else reply.current_state.id

    def change(self, transition_id: int, timeout_s: float) -> bool:
        """Whether it went through with the transition."""
        request = ChangeState.Request(transition=Transition(id=transition_id))
        reply = call(self._change, request, timeout_s)
        return reply is not None and reply.success


def call(client: Any, request: Any, timeout_s: float) -> Any:
    """The answer of a service; None when it is absent or does not answer in time."""
    if not client.service_is_ready():
        return None
    future = client.call_async(request)
    deadline_s = time.monotonic() + timeout_s
    while not future.done():
        if time.monotonic() > deadline_s:
            client.remove_pending_request(future)
            return None
        time.sleep(0.01)
    return future.result()
