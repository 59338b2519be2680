"""``human3r live``: the lifecycle node on one image topic, configured and activated.

Runs on ROS 2 and, through rclpy_lite, on a machine that has only Python.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from human3r.camera.calibration import uses_p
from human3r.cli.run import check_files
from human3r.config import Settings
from human3r.errors import Human3RError
from human3r.setting import CommandParser, add_setting_flag, add_settings_options, given_values
from human3r.viewer.web_options import add_web_options, web_flags
from human3r_ros.names import namespace, topic_name

_COMPRESSED = "/compressed"
_QUEUE = 10
"""Images waiting at most in lock-step; one does, where the player waits for every report."""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``human3r live``."""
    parser = CommandParser(
        prog="human3r live",
        description="Subscribe to an image topic and publish people, scene and camera pose.",
    )
    parser.add_argument(
        "--image", type=topic_name, metavar="TOPIC", required=True, help="image topic to read"
    )
    parser.add_argument(
        "--compressed",
        action="store_true",
        help="read sensor_msgs/CompressedImage on TOPIC/compressed",
    )
    parser.add_argument(
        "--camera-info",
        type=topic_name,
        metavar="TOPIC",
        help="calibration topic; default: camera_info beside TOPIC",
    )
    parser.add_argument(
        "--depth",
        type=topic_name,
        metavar="TOPIC",
        help="depth images aligned to the colour images, in metres; sets scale.mode to depth",
    )
    for flag, name, metavar in (
        ("--weights", "model.weights", "FILE"),
        ("--body-model", "model.body_model", "FILE"),
        ("--tf-mode", "tf.mode", None),
    ):
        add_setting_flag(parser, flag, Settings.spec(name), metavar)
    add_web_options(parser)
    add_settings_options(parser, aliases=["--params"])
    parser.add_argument(
        "--lockstep",
        action="store_true",
        help="take every image and follow /clock, for `human3r play --lockstep`",
    )
    parser.add_argument("--namespace", type=namespace, metavar="NS", help="namespace of the node")
    parser.add_argument(
        "--no-autostart",
        action="store_true",
        help="stay unconfigured until a lifecycle manager configures and activates the node",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C.

    Returns:
        0 after Ctrl-C, 1 when the node cannot start, 3 after a fault with fault.policy exit.
    """
    options = build_parser().parse_args(argv)
    try:
        from human3r_ros.parameters import FOREIGN, overrides

        values = values_from(options)
        parameters = overrides(values, Settings())
        if not options.no_autostart:
            ours = {name: value for name, value in values.items() if not name.startswith(FOREIGN)}
            settings = Settings().replace(ours)
            check_files(settings)
            uses_p(settings.input, topics(options)[0])
        # Last: it loads PyTorch, which takes seconds.
        from human3r_ros.process import run
    except Human3RError as error:
        sys.stderr.write(f"human3r live: {error}\n")
        return 1
    return run(
        ["human3r live", *ros_arguments(options)],
        autostart=not options.no_autostart,
        overrides=parameters,
    )


def values_from(options: argparse.Namespace) -> dict[str, Any]:
    """Dotted names and values: the file's, then --set, then the flags, later ones winning.

    Parameters of the client library (use_sim_time, qos_overrides) pass unchecked.

    Raises:
        ConfigError: unreadable file, unknown name or wrong value.
    """
    from human3r_ros.parameters import FOREIGN

    return given_values(options, Settings, flags=_flags(options), foreign=FOREIGN)


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    given = vars(options)
    flags = {"tf.mode": given["tf.mode"], **web_flags(options)}
    for name in ("model.weights", "model.body_model"):
        # A path means the same file wherever the node runs.
        flags[name] = os.path.abspath(given[name]) if given[name] else None
    if options.depth:
        flags["scale.mode"] = "depth"
    if options.compressed:
        flags["input.transport"] = "compressed"
    return {**flags, **lockstep_settings(options)} if options.lockstep else flags


def lockstep_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What makes the node take every image of a replay: see ``human3r_ros.commands.lockstep``."""
    root = f"/{(options.namespace or '').strip('/')}".rstrip("/")
    image, info = topics(options)
    read = f"{image}{_COMPRESSED}" if options.compressed else image
    full = (name if name.startswith("/") else f"{root}/{name}" for name in (read, info))
    reliable = {f"qos_overrides.{name}.subscription.reliability": "reliable" for name in full}
    return {
        "use_sim_time": True,
        "input.policy": "every",
        "input.queue": _QUEUE,
        # What is left out to save time would depend on the machine.
        "diagnostics.max_latency_s": 0.0,
        **reliable,
    }


def topics(options: argparse.Namespace) -> tuple[str, str]:
    """Image topic, without the suffix of compressed ones, and calibration topic."""
    image = options.image
    if options.compressed:
        # The node adds the suffix itself, as image_transport does.
        image = image.removesuffix(_COMPRESSED)
    folder, slash, _ = image.rpartition("/")
    return image, options.camera_info or f"{folder}{slash}camera_info"


def ros_arguments(options: argparse.Namespace) -> list[str]:
    """The remappings and the namespace as ``--ros-args``."""
    image, info = topics(options)
    arguments = ["--ros-args", "-r", f"image:={image}", "-r", f"camera_info:={info}"]
    if options.depth:
        arguments += ["-r", f"depth:={options.depth}"]
    if options.namespace:
        arguments += ["-r", f"__ns:=/{options.namespace.strip('/')}"]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
