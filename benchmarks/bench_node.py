"""The running node over DDS: latency case by case, and whether it still answers under load.

Node, camera and this client are processes of their own on one machine; what they take from each
other is part of the numbers.
"""

import math
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip import write_clip
from human3r_ros.commands.child import Child, wait_until
from human3r_ros.commands.client_session import client_session
from human3r_ros.commands.demo_inputs import DemoModel, find_model
from human3r_ros.commands.lifecycle_client import ACTIVE, LifecycleClient
from human3r_ros.commands.message_class import message_class
from human3r_ros.commands.private_domain import private_environment
from human3r_ros.commands.report import percentiles
from node_latency import IMAGE_TOPIC, LISTENED, NODE
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.qos import QoSProfile

_PROCESSED, _DEGRADED = 0, 1
_QUIET, _BUSY = "no images", "network busy"
_ANSWER_S = 5.0
_SETTLE_S = 2.0
_WARM_UP_FRAMES = 3


@dataclass(frozen=True)
class Case:
    """One stream through one node."""

    width_px: int
    height_px: int
    rate_hz: int = 5
    compressed: bool = False
    listens: bool = True
    """Subscribes to every output."""
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
        people = [s.humans for s in statuses][_WARM_UP_FRAMES:]
        found[name] = {**_described(ages), "people": sum(people) / max(1, len(people))}
    return found


def measure_control(seconds: float) -> dict[str, dict[str, float]]:
    """Round trips of services and parameter changes; seconds.

    Of one running node: while the camera outruns the network, and before and after, without any
    image. The second says what this machine costs at the time; what the images add is beside it.
    """
    times_s = _run(CONTROL_CASE, seconds, _Caller)[1]
    found: dict[str, dict[str, float]] = {}
    for name in ("get_parameters", "set_parameters"):
        busy, quiet = (_described(times_s[name, load]) for load in (_BUSY, _QUIET))
        found[f"{name}, {_QUIET}"], found[f"{name}, {_BUSY}"] = quiet, busy
        both = [key for key in ("p50", "p95", "p99") if key in busy and key in quiet]
        found[f"{name}, added by images"] = {key: busy[key] - quiet[key] for key in both}
    return found


def _described(times_s: list[float]) -> dict[str, float]:
    return {**(percentiles(times_s) or {}), "count": len(times_s)}


class _Caller:
    """Calls the node up to forty times a second from a thread of its own."""

    def __init__(self, node: Any) -> None:
        self.times_s: dict[tuple[str, str], list[float]] = defaultdict(list)
        """By service and load."""
        self.load = ""
        """What the node does now; calls that begin or end while it is empty do not count."""
        self._get = node.create_client(GetParameters, f"{NODE}/get_parameters")
        self._set = node.create_client(SetParameters, f"{NODE}/set_parameters")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def finish(self) -> dict[tuple[str, str], list[float]]:
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
        if not client.service_is_ready():
            return
        load, done = self.load, threading.Event()
        end_s = math.inf

        def stamp(_: Any) -> None:
            nonlocal end_s
            end_s = time.perf_counter()
            done.set()

        began_s = time.perf_counter()
        client.call_async(request).add_done_callback(stamp)
        done.wait(_ANSWER_S)
        if load and load == self.load:
            # What is not answered counts as answered at the end of our patience.
            self.times_s[name, load].append(min(end_s - began_s, _ANSWER_S))


def _run(
    case: Case, seconds: float, caller: Callable[[Any], _Caller] | None
) -> tuple[list[Any], dict[tuple[str, str], list[float]]]:
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
            _wait_quietly(calls, seconds / 2)
            play = ["play", str(clip), "--topic", IMAGE_TOPIC, "--wait-for-subscriber"]
            play += ["--fov-deg", "58", *(["--compressed"] if case.compressed else [])]
            player = Child("player", play, Path(name) / "player.log", {})
            children.append(player)
            while not player.has_ended:
                live.check_running()
                if calls and _processed(statuses):
                    calls.load = _BUSY
                time.sleep(0.1)
            if calls:
                calls.load = ""
            player.check_success()
            time.sleep(_SETTLE_S)
            _wait_quietly(calls, seconds / 2)
            times_s = calls.finish() if calls else {}
            live.finish(30)
        finally:
            for child in children:
                child.kill()
            for reader in readers:
                session.node.destroy_subscription(reader)
    return _processed(statuses), times_s


def _processed(statuses: list[Any]) -> list[Any]:
    return [s for s in statuses if s.outcome in (_PROCESSED, _DEGRADED)]


def _wait_quietly(calls: _Caller | None, seconds: float) -> None:
    """Let ``calls`` time a node that gets no images."""
    if calls:
        calls.load = _QUIET
        time.sleep(seconds)
        calls.load = ""


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
