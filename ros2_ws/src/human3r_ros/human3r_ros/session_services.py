"""The services that begin a new session: ``~/reset`` and ``~/set_scale``.

They hand their work to the worker; while a frame is being processed they answer before it is done.
"""

from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from human3r_msgs.srv import Reset, SetScale

from human3r.errors import ConfigError
from human3r.scale import check_scale
from human3r_ros import stream_rules
from human3r_ros.services import ANSWER_S
from human3r_ros.worker import Worker

if TYPE_CHECKING:
    from human3r_ros.processor import StreamProcessor


@dataclass(frozen=True)
class RunningStream:
    """Who works on the stream of an active node."""

    worker: Worker
    processor: "StreamProcessor"


def _reset(request: Reset.Request, response: Reset.Response, running: RunningStream) -> None:
    if request.keep_map and not request.keep_world:
        raise ConfigError("keep_map needs keep_world; set both, or neither.")
    worker, processor = running.worker, running.processor
    kept = {"keep_world": request.keep_world, "keep_map": request.keep_map}
    done = worker.submit(lambda: processor.reset(stream_rules.RESET_SERVICE, **kept))
    try:
        response.session = done.result(ANSWER_S)
    except FutureTimeoutError:
        response.session = processor.session + 1
        response.message = "a frame is being processed; the reset takes effect before the next one."


def _set_scale(
    request: SetScale.Request, response: SetScale.Response, running: RunningStream
) -> None:
    """The scale holds until cleanup."""
    worker, processor = running.worker, running.processor
    check_scale(request.scale)
    done = worker.submit(lambda: processor.set_scale(request.scale))
    try:
        session = done.result(ANSWER_S)
        response.message = f"scale is {request.scale:g} from session {session} on."
    except FutureTimeoutError:
        response.message = (
            f"a frame is being processed; scale {request.scale:g} is used from the next one on."
        )


SESSION_SERVICES = {"~/reset": (Reset, _reset), "~/set_scale": (SetScale, _set_scale)}
"""For ``services.offer_services``, with a ``RunningStream``."""
