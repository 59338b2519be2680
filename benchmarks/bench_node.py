"""The running node over DDS: latency case by case, and whether it still answers under load.

Node, camera and this client are processes of their own on one machine; what they take from each
other is part of the numbers.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip import write_clip
from human3r_ros.child import Child, wait_until
from human3r_ros.client_session import client_session
from human3r_ros.demo_inputs import DemoModel, find_model
from human3r_ros.lifecycle_client import ACTIVE, LifecycleClient, call
from human3r_ros.message_class import message_class
from human3r_ros.private_domain import private_environment
from human3r_ros.report import percentiles
from node_latency import IMAGE_TOPIC, LISTENED, NODE
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.qos import QoSProfile

_PROCESSED, _DEGRADED = 0, 1
_WARM_UP_FRAMES = 3


@dataclass(frozen=True)
class Case:
    """One stream through one node."""

    width_px: int
    height_px: int
    rate_hz: int = 5
    compressed: bool = False
    listens: bool = True
    """Somebody subscribes to every output."""
    settings: dict[str, object] = field(default_factory=dict)


LATENCY_CASES = {
    "640x480 raw": Case(640, 480),
    "1280x720 raw": Case(1280, 720),
    "1920x1080 compressed": Case(1920, 1080, compressed=True),
    "640x480 raw, no outputs wanted": Case(640, 480, listens=False),
    **{
        # Any place with a score counts as a person, so that there are always enough.
        f"640x480 raw, {count} people": Case(
            640, 480, settings={"people.max_count": count, "people.min_score": 0.0}
        )
        for count in (1, 5, 20)
    },
}
CONTROL_CASE = Case(1280, 720, rate_hz=30, settings={"model.input_size": 640})
"""More pixels than the small network was made for, so that it cannot keep up with the camera."""


def measure_latency(seconds: float) -> dict[str, dict[str, float]]:
    """Stamp to publication of every processed frame, per case; seconds."""
    found = {}
    for name, case in LATENCY_CASES.items():
        statuses, _ = _run(case, seconds, None)
        ages = [s.age_published for s in statuses][_WARM_UP_FRAMES:]
        found[name] = {**(percentiles(ages) or {}), "count": len(ages)}
    return found


def measure_control(seconds: float) -> dict[str, dict[str, float]]:
    """Round trips of services and parameter changes under load, and without; seconds."""
    loaded = _run(CONTROL_CASE, seconds, _Caller)[1]
    idle = _run(Case(1280, 720, rate_hz=1), seconds, _Caller)[1]
    return {
        f"{name}, {load}": {**(percentiles(times) or {}), "count": len(times)}
        for load, calls in (("network busy", loaded), ("one frame per second", idle))
        for name, times in calls.items()
    }


class _Caller:
    """Calls the node twenty times a second from a thread of its own."""

    def __init__(self, node: Any) -> None:
        self.times_s: dict[str, list[float]] = {"get_parameters": [], "set_parameters": []}
        self._get = node.create_client(GetParameters, f"{NODE}/get_parameters")
        self._set = node.create_client(SetParameters, f"{NODE}/set_parameters")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def finish(self) -> dict[str, list[float]]:
        self._stop.set()
        self._thread.join(10)
        return self.times_s

    def _work(self) -> None:
        turn = 0
        while not self._stop.wait(0.05):
            turn += 1
            value = ParameterValue(
                type=ParameterType.PARAMETER_DOUBLE, double_value=0.3 + 0.01 * (turn % 5)
            )
            parameter = Parameter(name="people.min_score", value=value)
            self._time("get_parameters", self._get, GetParameters.Request(names=["scene.voxel_m"]))
            self._time("set_parameters", self._set, SetParameters.Request(parameters=[parameter]))

    def _time(self, name: str, client: Any, request: Any) -> None:
        began_s = time.perf_counter()
        if call(client, request, 5.0) is not None:
            self.times_s[name].append(time.perf_counter() - began_s)


def _run(
    case: Case, seconds: float, caller: Callable[[Any], _Caller] | None
) -> tuple[list[Any], dict[str, list[float]]]:
    """Statuses of the frames that were processed, and what ``caller`` timed meanwhile."""
    os.environ.update(private_environment())
    model = find_model("", "")
    with tempfile.TemporaryDirectory() as name, client_session("bench", spin=True) as session:
        clip = write_clip(
            Path(name) / "clip.mp4",
            width_px=case.width_px,
            height_px=case.height_px,
            rate_hz=case.rate_hz,
            duration_s=seconds,
        )
        statuses, readers = _listen(session.node, case.listens)
        live = Child("node", ["live", *_arguments(case, model)], Path(name) / "node.log", {})
        children = [live]
        try:
            lifecycle = LifecycleClient(session.node, NODE)
            wait_until(lambda: lifecycle.state() == ACTIVE, children, 300, "activation")
            calls = caller(session.node) if caller else None
            play = ["play", str(clip), "--topic", IMAGE_TOPIC, "--wait-for-subscriber"]
            play += ["--fov-deg", "58", *(["--compressed"] if case.compressed else [])]
            player = Child("player", play, Path(name) / "player.log", {})
            children.append(player)
            while not player.has_ended:
                live.check_running()
                time.sleep(0.1)
            player.check_success()
            times_s = calls.finish() if calls else {}
            time.sleep(1.0)
            live.finish(30)
        finally:
            for child in children:
                child.kill()
            for reader in readers:
                session.node.destroy_subscription(reader)
    return [s for s in statuses if s.outcome in (_PROCESSED, _DEGRADED)], times_s


def _listen(node: Any, to_everything: bool) -> tuple[list[Any], list[Any]]:
    statuses: list[Any] = []
    status = message_class("human3r_msgs/msg/FrameStatus")
    readers = [
        node.create_subscription(status, f"{NODE}/status", statuses.append, QoSProfile(depth=50))
    ]
    for topic, typename in LISTENED.items() if to_everything else ():
        kind = message_class(typename)
        readers.append(
            node.create_subscription(
                kind, f"{NODE}/{topic}", lambda cdr: None, QoSProfile(depth=1), raw=True
            )
        )
    return statuses, readers


def _arguments(case: Case, model: DemoModel) -> list[str]:
    # Nothing is left out when the machine is slow, and no frame is too old to be measured.
    settings = {"diagnostics.max_latency_s": 0, "input.max_age_s": 0, **case.settings}
    arguments = ["--image", IMAGE_TOPIC, "--tf-mode", "odometry"]
    arguments += ["--weights", str(model.weights), "--body-model", str(model.body)]
    arguments += ["--compressed"] if case.compressed else []
    for name, value in settings.items():
        arguments += ["--set", f"{name}={value}"]
    return arguments
