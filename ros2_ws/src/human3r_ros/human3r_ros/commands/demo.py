"""``human3r demo``: the whole product on one video, in processes of their own that speak DDS.

The player publishes images, the node turns them into people, scene and camera, the recorder
writes a bag; then the bag is read back and drawn.
"""

import argparse
import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from human3r_msgs.msg import FrameStatus
from rclpy.qos import QoSProfile

from human3r.config import NODE as NODE_PLACE
from human3r.config import Settings
from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path
from human3r.io import open_source
from human3r.setting import (
    CommandParser,
    add_setting_flag,
    add_settings_options,
    as_text,
    dump_yaml,
    settings_from,
)
from human3r_ros.commands.child import Child, ChildFailedError, wait_until
from human3r_ros.commands.client_session import ClientSession, client_session
from human3r_ros.commands.command_log import speak_plainly
from human3r_ros.commands.demo_folder import PAGE, DemoFolder
from human3r_ros.commands.demo_inputs import DemoModel, find_model
from human3r_ros.commands.lifecycle_client import ACTIVE, DEACTIVATE, LifecycleClient
from human3r_ros.commands.option_types import count, field_of_view_deg, seconds
from human3r_ros.commands.private_domain import private_environment
from human3r_ros.commands.recorded_frames import FRAME_TOPICS

log = logging.getLogger(__name__)

NODE = "/human3r"
IMAGE_TOPIC = "/camera/image_raw"
CAMERA_INFO_TOPIC = "/camera/camera_info"
TOPICS = (
    *(f"{NODE}/{topic}" for topic in (*FRAME_TOPICS.values(), "skeleton", "map/points")),
    *(f"{NODE}/color/{topic}" for topic in ("image/compressed", "camera_info")),
    *("/tf", "/diagnostics"),
)
"""What is recorded of the node; viewers' layouts show all of it."""
MARKERS = "/human3r_bridge/markers"
"""What is recorded of the bridge: people as viewers draw them."""

_ASSUMED_FOV_DEG = 60.0
_DEMO_SETTINGS = {
    "tf.mode": "odometry",
    # Everything is recorded, however long a frame takes.
    "diagnostics.max_latency_s": 0.0,
}
_UNTRAINED_SETTINGS = {
    "scene.min_confidence": 1.0,
    "scene.edge_filter": 0.0,
    "scene.mask_threshold": 0.5,
    "scene.remove_people": "body",
}
"""Untrained weights are sure of nothing and see a person in every pixel: with the usual settings
there would be no point to look at."""
_FLAGS = {"--weights": "model.weights", "--body-model": "model.body_model"}
_CONFIGURE_S = 300.0
_DISCOVERY_S = 30.0
_DRAIN_S = 60.0
_DEACTIVATE_S = 15.0
_END_S = 20.0


@dataclass(frozen=True)
class Plan:
    """What one demonstration plays, with what model, and where everything goes."""

    video: Path
    is_own_clip: bool
    model: DemoModel
    folder: DemoFolder
    settings: Settings
    """What the node runs with."""
    every: int
    max_frames: int
    fov_deg: float
    """Field of view to announce; 0: the network estimates the focal length."""
    environment: dict[str, str]
    with_bridge: bool
    """Whether human3r_bridge is installed, which makes markers of the people."""

    @property
    def report_file(self) -> Path:
        """Where the player says what it sent."""
        return self.folder.work / "sent.json"

    @property
    def compressed(self) -> bool:
        """Whether images are sent as JPEG."""
        return self.settings.input.transport == "compressed"

    @property
    def settings_file(self) -> Path:
        """What the node is started with."""
        return self.folder.work / "settings.yaml"

    @property
    def changed_settings(self) -> list[str]:
        """What differs from the node's defaults, as ``--set`` takes it; files are named apart."""
        default = Settings().flat()
        return [
            f"{name}={as_text(value)}"
            for name, value in self.settings.flat().items()
            if value != default[name] and name not in _FLAGS.values()
        ]

    @property
    def bag(self) -> Path:
        """The recording."""
        return self.folder.part / "bag"

    @property
    def topics(self) -> tuple[str, ...]:
        """What is recorded. Images only where they are compressed: raw ones fill a disk."""
        images = (f"{IMAGE_TOPIC}/compressed", CAMERA_INFO_TOPIC) if self.compressed else ()
        return (*TOPICS, *((MARKERS,) if self.with_bridge else ()), *images)

    def child(self, name: str, *arguments: str, module: str = "human3r.cli.main") -> Child:
        """Start one of the processes."""
        log_file = self.folder.work / f"{name}.log"
        return Child(name, arguments, log_file, self.environment, module)


@dataclass
class _Progress:
    """The node's own account of what it did, as it arrives."""

    statuses: int = 0
    idle_since_s: float | None = None
    processed: int = 0
    children: list[Child] = field(default_factory=list)

    def update(self, message: FrameStatus) -> None:
        self.statuses += 1
        self.processed = max(self.processed, int(message.processed))
        is_idle = message.outcome == FrameStatus.IDLE
        self.idle_since_s = time.monotonic() if is_idle else None


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status.

    Raises:
        Human3RError: what is missing or went wrong, in one message; nothing is left at ``--out``.
    """
    speak_plainly()
    options = _parser().parse_args(argv)
    if options.cameras:
        from human3r_ros.commands.demo_cameras import run_cameras

        return run_cameras(options.cameras, options.out)
    with DemoFolder(options.out) as folder:
        plan = _plan(options, folder)
        _announce(plan)
        was_interrupted = _run(plan)
        summary = _draw(plan, was_interrupted)
        folder.write_summary(summary)
    _say_what_came_out(folder.path, summary)
    return 130 if was_interrupted else 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="human3r demo",
        description="Play a video as an image topic to the node, record what it publishes, and "
        "draw it.",
    )
    add = parser.add_argument
    add(
        "video",
        nargs="?",
        metavar="VIDEO",
        help="default: a clip of the synthetic world, with known truth",
    )
    add("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default out/demo")
    for flag, name in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(name), "F")
    add("--max-seconds", type=seconds, default=0.0, metavar="S", help="play only so much of it")
    add("--every", type=count, default=1, metavar="N", help="play the first of every N frames")
    add(
        "--cameras",
        type=count,
        default=0,
        metavar="V",
        help="instead: a synthetic scene before 2 to 4 cameras, without node and recorder",
    )
    add("--compressed", action="store_true", help="send JPEG instead of raw images")
    add("--fov-deg", type=field_of_view_deg, default=0.0, metavar="D", help="horizontal "
        "field of view of the camera, where known")  # fmt: skip
    add_settings_options(parser)
    return parser


def _plan(options: argparse.Namespace, folder: DemoFolder) -> Plan:
    model, settings = _model_and_settings(options)
    video = Path(options.video).expanduser().resolve() if options.video else demo_clip_path()
    max_pixels = settings.input.max_pixels
    with open_source(str(video), every=options.every, max_pixels=max_pixels) as source:
        rate_hz = source.rate_hz or 30.0
    return Plan(
        video=video,
        is_own_clip=not options.video,
        model=model,
        folder=folder,
        settings=settings,
        every=options.every,
        max_frames=max(1, round(options.max_seconds * rate_hz)) if options.max_seconds else 0,
        fov_deg=_field_of_view_deg(options, model),
        environment=private_environment(),
        with_bridge=find_spec("human3r_bridge") is not None,
    )


def _model_and_settings(options: argparse.Namespace) -> tuple[DemoModel, Settings]:
    """The user's settings over the demonstration's, with the files that are named or bundled."""
    flags = {name: getattr(options, name) for name in _FLAGS.values()}
    if options.compressed:
        flags["input.transport"] = "compressed"
    named = settings_from(options, Settings(), flags=flags).model
    model = find_model(named.weights, named.body_model)
    own = _DEMO_SETTINGS if model.is_trained else {**_DEMO_SETTINGS, **_UNTRAINED_SETTINGS}
    default = Settings().replace(own)
    settings = settings_from(options, default, flags=flags, places=(NODE_PLACE,))
    files = {"model.weights": str(model.weights), "model.body_model": str(model.body)}
    return model, settings.replace(files)


def _field_of_view_deg(options: argparse.Namespace, model: DemoModel) -> float:
    if options.fov_deg:
        return options.fov_deg
    if not options.video:
        camera = DEMO_CLIP_CAMERA
        return math.degrees(2 * math.atan(camera.width_px / 2 / camera.fx))
    # Untrained weights cannot estimate a focal length; without one, people are drawn as dots.
    return 0.0 if model.is_trained else _ASSUMED_FOV_DEG


def _announce(plan: Plan) -> None:
    log.info("video:   %s", plan.video.name)
    log.info("weights: %s (%s)", plan.model.weights, plan.model.variant)
    log.info("body:    %s", plan.model.body)
    if not plan.model.is_trained:
        log.info(
            "\nThese weights are UNTRAINED. People, depth and camera will be meaningless; the "
            "pictures prove only that every part runs.\n"
        )


def _run(plan: Plan) -> bool:
    """Node, recorder and player, in the order in which each finds what it needs.

    Returns:
        Whether Ctrl-C ended the playing early. What came out until then is complete.
    """
    progress = _Progress()
    # This process joins the private domain too, to call the node's lifecycle services.
    os.environ.update(plan.environment)
    try:
        with client_session("human3r_demo", spin=True) as session:
            session.node.create_subscription(
                FrameStatus, f"{NODE}/status", progress.update, QoSProfile(depth=50)
            )
            lifecycle = LifecycleClient(session.node, NODE)
            node = _start_node(plan, progress, lifecycle, session)
            if plan.with_bridge:
                _start_bridge(plan, progress, session)
            recorder = _start_recorder(plan, progress, session)
            was_interrupted = _play(plan, progress, session)
            _drain(progress, session)
            if not lifecycle.change(DEACTIVATE, _DEACTIVATE_S):
                node.check_running()
                raise ChildFailedError(
                    "the node refused to deactivate; expected it to. The last lines it wrote:\n"
                    f"{node.last_words()}"
                )
            recorder.finish(_END_S)
            progress.children.remove(recorder)
            node.finish(_END_S)
            progress.children.remove(node)
            return was_interrupted
    finally:
        for child in progress.children:
            child.kill()


def _start_node(
    plan: Plan, progress: _Progress, lifecycle: LifecycleClient, session: ClientSession
) -> Child:
    log.info("starting the node")
    plan.settings_file.write_text(dump_yaml(plan.settings), encoding="utf-8")
    node = plan.child(
        "node",
        "live",
        "--image",
        IMAGE_TOPIC,
        "--camera-info",
        CAMERA_INFO_TOPIC,
        "--settings",
        str(plan.settings_file),
        *(("--compressed",) if plan.compressed else ()),
    )
    progress.children.append(node)
    _wait(lambda: lifecycle.state() == ACTIVE, progress, session, _CONFIGURE_S, "activation")
    log.info("the node is active (process %d)", node.pid)
    return node


def _start_bridge(plan: Plan, progress: _Progress, session: ClientSession) -> None:
    level = f"frames.level={plan.settings.frames.level}"
    bridge = plan.child("bridge", "--set", level, module="human3r_bridge.process")
    progress.children.append(bridge)

    def is_there() -> bool:
        return session.node.count_publishers(MARKERS) > 0

    _wait(is_there, progress, session, _DISCOVERY_S, "markers of the bridge")
    log.info("the bridge is running (process %d)", bridge.pid)


def _start_recorder(plan: Plan, progress: _Progress, session: ClientSession) -> Child:
    recorder = plan.child("recorder", "record", "--out", str(plan.bag), *plan.topics)
    progress.children.append(recorder)

    def is_listening() -> bool:
        # This process subscribes to the status as well.
        others = {f"{NODE}/status": 1}
        # Images have a publisher, and then a subscription of the recorder, when the player starts.
        topics = [topic for topic in plan.topics if not topic.startswith("/camera")]
        return all(session.node.count_subscribers(topic) > others.get(topic, 0) for topic in topics)

    _wait(is_listening, progress, session, _DISCOVERY_S, "subscription of the recorder")
    log.info("the recorder is listening (process %d)", recorder.pid)
    return recorder


def _play(plan: Plan, progress: _Progress, session: ClientSession) -> bool:
    """Send the video. Returns whether Ctrl-C ended that, after at least one processed frame."""
    player = plan.child(
        "player",
        "play",
        str(plan.video),
        "--topic",
        IMAGE_TOPIC,
        "--every",
        str(plan.every),
        "--max-frames",
        str(plan.max_frames),
        "--wait-for-subscriber",
        "--report",
        str(plan.report_file),
        *(("--compressed",) if plan.compressed else ()),
        *(("--fov-deg", str(plan.fov_deg)) if plan.fov_deg else ()),
    )
    log.info("playing (process %d)", player.pid)
    watched = list(progress.children)
    progress.children.append(player)
    shown_s = time.monotonic()
    while not player.has_ended:
        for child in watched:
            child.check_running()
        if session.stop.is_set() and progress.processed:
            log.info("interrupted: what is done so far is kept; Ctrl-C again gives it up")
            session.stop.clear()
            player.finish(_END_S)
            progress.children.remove(player)
            return True
        _stop_if_asked(session)
        time.sleep(0.1)
        if time.monotonic() - shown_s > 2.0:
            shown_s = time.monotonic()
            log.info("  %d frames processed", progress.processed)
    player.check_success()
    progress.children.remove(player)
    return False


def _drain(progress: _Progress, session: ClientSession) -> None:
    """Wait for the node to say that nothing came for a second, after everything was sent."""
    sent_s = time.monotonic()
    _wait(
        lambda: progress.idle_since_s is not None and progress.idle_since_s > sent_s,
        progress,
        session,
        _DRAIN_S,
        "the end of the node's work",
    )
    log.info("  %d frames processed, all done", progress.processed)


def _wait(condition, progress: _Progress, session: ClientSession, timeout_s: float, what: str):
    def is_over() -> bool:
        _stop_if_asked(session)
        return condition()

    wait_until(is_over, progress.children, timeout_s, what)


def _stop_if_asked(session: ClientSession) -> None:
    if session.stop.is_set():
        raise KeyboardInterrupt


def _draw(plan: Plan, was_interrupted: bool) -> dict[str, Any]:
    """Pictures of the recording; returns the summary."""
    from human3r_ros.commands.demo_result import write_result

    log.info("drawing")
    summary = write_result(
        plan.folder.part,
        sent_file=plan.report_file,
        node=NODE,
        model=plan.model,
        video=plan.video,
        every=plan.every,
        max_frames=plan.max_frames,
        max_pixels=plan.settings.input.max_pixels,
        is_own_clip=plan.is_own_clip,
    )
    summary["video"]["is_synthetic"] = plan.is_own_clip
    summary["video"]["announced_fov_deg"] = round(plan.fov_deg, 3) or None
    summary["settings"] = plan.changed_settings
    summary["interrupted"] = was_interrupted
    if plan.is_own_clip:
        shutil.copyfile(plan.video, plan.folder.part / "input.mp4")
    return summary


def _say_what_came_out(path: Path, summary: dict) -> None:
    frames, people = summary["frames"], summary["people"]
    dropped = sum(frames["dropped"].values())
    latency = summary["latency_s"]
    log.info(
        "\n%d frames in, %d processed, %d dropped (newest-frame policy); %d ids, %d people "
        "confirmed; %s frames/s%s",
        frames["in"],
        frames["processed"],
        dropped,
        people["ids"],
        people["confirmed"],
        summary["rate_hz"],
        f"; {1000 * latency['p50']:.0f} ms from stamp to publish (median)" if latency else "",
    )
    if "errors" in summary:
        from human3r_lab.clip_errors import in_words

        log.info("against the truth: %s", in_words(summary["errors"]))
    if not summary["weights"]["trained"]:
        sys.stdout.write("Untrained weights: the pictures prove only that everything runs.\n")
    page = path / PAGE
    for name, what in (
        ("bag", "everything that was published, a rosbag2 that RViz, Foxglove and Rerun read"),
        (next(path.glob("overlay.*")).name, "people drawn on the video"),
        ("view.png", "scene, people and camera path from outside"),
        *(((PAGE, ""),) if page.is_file() else ()),
        ("summary.json", "all numbers, with what they were made on"),
    ):
        if name == PAGE:
            # An address: most terminals open it on a click.
            sys.stdout.write(f"{page.resolve().as_uri()}  all of it in 3D, for your browser\n")
        else:
            sys.stdout.write(f"{path / name}  {what}\n")
    sys.stdout.flush()
