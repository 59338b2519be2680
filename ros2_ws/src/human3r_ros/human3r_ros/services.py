"""Services that an active node answers: what they have in common."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.service import Service

from human3r.errors import Human3RError

ANSWER_S = 0.09
"""The interface gives every answer 0.1 s."""
_NOT_ACTIVE = "the node is not active; activate it first."


def offer_services(
    node: Node,
    group: CallbackGroup,
    active: Callable[[], Any],
    answers: Mapping[str, tuple[type, Callable[[Any, Any, Any], None]]],
    keep: Callable[[Service], object],
) -> None:
    """Create services whose responses have ``success`` and ``message``.

    Args:
        node: offers them.
        group: their callbacks'.
        active: what answers work with; None while the node is not active.
        answers: name to the kind of service and what fills in a response, from the request, the
            response and what is active. What it raises becomes the message of a failure; what is
            not explained by the error is logged too.
        keep: told of each service as soon as it is there.
    """

    def offer(name: str, kind: type, answer: Callable[[Any, Any, Any], None]) -> Service:
        def respond(request: Any, response: Any) -> Any:
            running = active()
            try:
                if running is None:
                    raise Human3RError(_NOT_ACTIVE)
                answer(request, response, running)
                response.success = True
            except Human3RError as error:
                response.success, response.message = False, str(error)
            except Exception as error:
                response.success = False
                response.message = f"{name} failed: {type(error).__name__}: {error}"
                node.get_logger().error(response.message)
            return response

        return node.create_service(kind, name, respond, callback_group=group)

    for name, (kind, answer) in answers.items():
        keep(offer(name, kind, answer))
