"""The service ``~/set_scale``: a scale from outside, in a new session."""

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING

from human3r_msgs.srv import SetScale

from human3r.errors import ConfigError
from human3r.scale import check_scale
from human3r_ros.worker import Worker

if TYPE_CHECKING:
    from human3r_ros.processor import StreamProcessor


def answer(
    request: SetScale.Request,
    response: SetScale.Response,
    running: "tuple[Worker, StreamProcessor] | None",
    timeout_s: float,
) -> SetScale.Response:
    """Hand the scale to the worker; it holds until cleanup.

    Args:
        request: metres per unit of the network.
        response: filled in.
        running: who works on the stream; None while the node is not active.
        timeout_s: how long to wait for a frame that is being processed.
    """
    response.success = False
    if running is None:
        response.message = "the node is not active; activate it first."
        return response
    worker, processor = running
    try:
        check_scale(request.scale)
    except ConfigError as error:
        response.message = str(error)
        return response
    done = worker.submit(lambda: processor.set_scale(request.scale))
    try:
        session = done.result(timeout_s)
        response.message = f"scale is {request.scale:g} from session {session} on."
        response.success = True
    except FutureTimeoutError:
        response.message = (
            f"a frame is being processed; scale {request.scale:g} is used from the next one on."
        )
        response.success = True
    except Exception as error:
        response.message = f"the scale was not set: {type(error).__name__}: {error}"
    return response
