"""The services of map and meshes; each answers within 100 ms or says why not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from human3r_msgs.srv import GetMeshes, SaveMap
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.service import Service
from std_srvs.srv import Trigger

from human3r.config import Settings
from human3r.errors import Human3RError
from human3r_ros.map_output import MapOutput, map_path

if TYPE_CHECKING:
    from human3r_ros.scene_outputs import SceneOutputs

_ANSWER_S = 0.09
_NOT_ACTIVE = "the node is not active; activate it first."
_NO_MAP = "map.enabled is false; expected true, so there is no map. Set it and configure again."


@dataclass(frozen=True)
class RunningScene:
    """The scene of an active node and its settings as of now."""

    outputs: "SceneOutputs"
    settings: Settings


def create_scene_services(
    node: Node, group: CallbackGroup, active: Callable[[], RunningScene | None]
) -> list[Service]:
    """``~/get_meshes``, ``~/map/clear`` and ``~/map/save``.

    Args:
        node: offers them.
        group: their callbacks'.
        active: what there is to ask; None while the node is not active.
    """

    def offer(kind: type, name: str, answer: Callable) -> Service:
        def respond(request, response):
            running = active()
            if running is None:
                response.success, response.message = False, _NOT_ACTIVE
                return response
            try:
                answer(request, response, running)
            except Human3RError as error:
                response.success, response.message = False, str(error)
            except Exception as error:
                response.success = False
                response.message = f"{name} failed: {type(error).__name__}: {error}"
                node.get_logger().error(response.message)
            return response

        return node.create_service(kind, name, respond, callback_group=group)

    return [
        offer(GetMeshes, "~/get_meshes", _get_meshes),
        offer(Trigger, "~/map/clear", _clear),
        offer(SaveMap, "~/map/save", _Saver(node.get_logger().error)),
    ]


def _get_meshes(
    request: GetMeshes.Request, response: GetMeshes.Response, scene: RunningScene
) -> None:
    response.meshes = scene.outputs.meshes.of(request.ids)
    response.success = True
    if not scene.settings.publish.meshes:
        response.message = "the triangles are on ~/mesh_topology, which publish.meshes offers."


def _clear(request: Trigger.Request, response: Trigger.Response, scene: RunningScene) -> None:
    if not scene.settings.map.enabled:
        response.success, response.message = False, _NO_MAP
        return
    response.message = f"{scene.outputs.map.clear()} voxels were forgotten."
    response.success = True


class _Saver:
    """Writes beside the executor, so that a slow disk delays no other answer for long."""

    def __init__(self, log_error: Callable[[str], object]) -> None:
        self._log_error = log_error
        self._running: Future | None = None

    def __call__(
        self, request: SaveMap.Request, response: SaveMap.Response, scene: RunningScene
    ) -> None:
        settings = scene.settings
        response.success = False
        if not settings.map.enabled:
            response.message = _NO_MAP
            return
        if self._running is not None and not self._running.done():
            response.message = "a map is still being written; expected one at a time. Ask again."
            return
        # A bad name is refused at once, whatever the disk does.
        response.path = str(map_path(request.name, settings.map.directory))
        done = self._running = self._start(scene.outputs.map, request.name, settings)
        try:
            path, response.points = done.result(_ANSWER_S)
            response.path = str(path)
        except FutureTimeoutError:
            done.add_done_callback(self._report)
            response.message = "still being written; the file appears when it is complete."
        except Human3RError:
            response.path = ""
            raise
        response.success = True

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
