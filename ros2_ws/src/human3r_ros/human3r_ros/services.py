"""Services of an active node: reset, scale, meshes and map.

Each answers within 100 ms, or says what is still going on. Those of the session hand their work to
the worker; while a frame is being processed they answer before it is done.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from human3r_msgs.srv import GetMeshes, Reset, SaveMap, SetScale
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.service import Service
from std_srvs.srv import Trigger

from human3r.config import Settings
from human3r.errors import ConfigError, Human3RError, OutputError
from human3r.io import stream_rules
from human3r.scale import check_scale
from human3r_ros.map_output import MapOutput, map_path
from human3r_ros.worker import Worker

if TYPE_CHECKING:
    from human3r_ros.processor import StreamProcessor
    from human3r_ros.scene_outputs import SceneOutputs


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


_NO_MAP = "map.enabled is false; expected true, so there is no map. Set it and configure again."


@dataclass(frozen=True)
class RunningScene:
    """The scene of an active node and its settings as of now."""

    outputs: "SceneOutputs"
    settings: Settings


def scene_services(log_error: Callable[[str], object]) -> dict[str, tuple[type, Callable]]:
    """``~/get_meshes``, ``~/map/clear`` and ``~/map/save``, with a ``RunningScene``.

    Args:
        log_error: told of maps that fail after their call was answered.

    Returns:
        For ``services.offer_services``.
    """
    return {
        "~/get_meshes": (GetMeshes, _get_meshes),
        "~/map/clear": (Trigger, _clear),
        "~/map/save": (SaveMap, _Saver(log_error)),
    }


def _get_meshes(
    request: GetMeshes.Request, response: GetMeshes.Response, scene: RunningScene
) -> None:
    response.meshes = scene.outputs.meshes.of(request.ids)
    if not scene.settings.publish.meshes:
        response.message = "the triangles are on ~/mesh_topology, which publish.meshes offers."


def _clear(request: Trigger.Request, response: Trigger.Response, scene: RunningScene) -> None:
    if not scene.settings.map.enabled:
        raise ConfigError(_NO_MAP)
    response.message = f"{scene.outputs.map.clear()} voxels were forgotten."


class _Saver:
    """Writes beside the executor, so that a slow disk delays no other answer for long."""

    def __init__(self, log_error: Callable[[str], object]) -> None:
        self._log_error = log_error
        self._running: Future | None = None

    def __call__(
        self, request: SaveMap.Request, response: SaveMap.Response, scene: RunningScene
    ) -> None:
        settings = scene.settings
        if not settings.map.enabled:
            raise ConfigError(_NO_MAP)
        if self._running is not None and not self._running.done():
            raise OutputError("a map is still being written; expected one at a time. Ask again.")
        # A bad name is refused at once, whatever the disk does.
        response.path = str(map_path(request.name, settings.map.directory))
        done = self._running = self._start(scene.outputs.map, request.name, settings)
        try:
            path, response.points = done.result(ANSWER_S)
            response.path = str(path)
        except FutureTimeoutError:
            done.add_done_callback(self._report)
            response.message = "still being written; the file appears when it is complete."
        except Human3RError:
            response.path = ""
            raise

    def _start(self, map_output: MapOutput, name: str, settings: Settings) -> Future:
        done: Future = Future()

        def work() -> None:
            try:
                done.set_result(map_output.save(name, settings))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=work, name="human3r_map_save", daemon=True).start()
        return done

    def _report(self, done: Future) -> None:
        if error := done.exception():
            self._log_error(f"the map was not saved: {error}")
