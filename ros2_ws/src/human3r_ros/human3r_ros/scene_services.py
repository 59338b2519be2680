"""The services of map and meshes; each answers within 100 ms or says why not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from human3r_msgs.srv import GetMeshes, SaveMap
from std_srvs.srv import Trigger

from human3r.config import Settings
from human3r.errors import ConfigError, Human3RError, OutputError
from human3r_ros.map_output import MapOutput, map_path
from human3r_ros.services import ANSWER_S

if TYPE_CHECKING:
    from human3r_ros.scene_outputs import SceneOutputs

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
