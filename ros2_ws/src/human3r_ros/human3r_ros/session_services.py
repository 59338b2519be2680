"""The services that begin a new session: ``~/reset`` and ``~/set_scale``.

They hand their work to the worker; while a frame is being processed they answer before it is done.
"""

from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from human3r_msgs.srv import Reset, SetScale
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.service import Service

from human3r.errors import ConfigError
from human3r.scale import check_scale
from human3r_ros import stream_rules
from human3r_ros.worker import Worker

if TYPE_CHECKING:
    from human3r_ros.processor import StreamProcessor

_ANSWER_S = 0.09
"""The interface gives every answer 0.1 s."""
_FAILED = "the reset failed"
_NOT_ACTIVE = "the node is not active; activate it first."


@dataclass(frozen=True)
class RunningStream:
    """Who works on the stream of an active node."""

    worker: Worker
    processor: "StreamProcessor"


def create_session_services(
    node: Node, group: CallbackGroup, active: Callable[[], RunningStream | None]
) -> list[Service]:
    """``~/reset`` and ``~/set_scale``.

    Args:
        node: offers them.
        group: their callbacks'.
        active: who works on the stream; None while the node is not active.
    """

    def offer(kind: type, name: str, answer: Callable) -> Service:
        def respond(request, response):
            running = active()
            response.success = False
            if running is None:
                response.message = _NOT_ACTIVE
            else:
                answer(request, response, running)
            return response

        return node.create_service(kind, name, respond, callback_group=group)

    def reset(request: Reset.Request, response: Reset.Response, running: RunningStream) -> None:
        _reset(request, response, running)
        if response.message.startswith(_FAILED):
            node.get_logger().error(response.message)

    return [offer(Reset, "~/reset", reset), offer(SetScale, "~/set_scale", _set_scale)]


def _reset(request: Reset.Request, response: Reset.Response, running: RunningStream) -> None:
    if request.keep_map and not request.keep_world:
        response.message = "keep_map needs keep_world; set both, or neither."
        return
    worker, processor = running.worker, running.processor
    kept = {"keep_world": request.keep_world, "keep_map": request.keep_map}
    done = worker.submit(lambda: processor.reset(stream_rules.RESET_SERVICE, **kept))
    response.success = True
    try:
        response.session = done.result(_ANSWER_S)
    except FutureTimeoutError:
        response.session = processor.session + 1
        response.message = "a frame is being processed; the reset takes effect before the next one."
    except Exception as error:
        response.success = False
        response.message = f"{_FAILED}: {type(error).__name__}: {error}"


def _set_scale(
    request: SetScale.Request, response: SetScale.Response, running: RunningStream
) -> None:
    """The scale holds until cleanup."""
    worker, processor = running.worker, running.processor
    try:
        check_scale(request.scale)
    except ConfigError as error:
        response.message = str(error)
        return
    done = worker.submit(lambda: processor.set_scale(request.scale))
    try:
        session = done.result(_ANSWER_S)
        response.message = f"scale is {request.scale:g} from session {session} on."
        response.success = True
    except FutureTimeoutError:
        response.message = (
            f"a frame is being processed; scale {request.scale:g} is used from the next one on."
        )
        response.success = True
    except Exception as error:
        response.message = f"the scale was not set: {type(error).__name__}: {error}"
