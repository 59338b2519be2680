"""``human3r live``: the lifecycle node on one image topic, configured and activated.

Runs on ROS 2 and, through rclpy_lite, on a machine that has only Python.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from human3r.config import iterate, load_yaml
from human3r.errors import ConfigError, Human3RError

_COMPRESSED = "/compressed"
_QUEUE = 10
"""Images waiting at most in lock-step; one does, where the player waits for every report."""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``human3r live``."""
    specs = {spec.name: spec for spec in iterate()}
    parser = argparse.ArgumentParser(
        prog="human3r live",
        description="Subscribe to an image topic and publish people, scene and camera pose.",
    )
    parser.add_argument("--image", metavar="TOPIC", required=True, help="image topic to read")
    parser.add_argument(
        "--compressed",
        action="store_true",
        help="read sensor_msgs/CompressedImage on TOPIC/compressed",
    )
    parser.add_argument(
        "--camera-info",
        metavar="TOPIC",
        help="calibration topic; default: camera_info beside TOPIC",
    )
    parser.add_argument(
        "--depth",
        metavar="TOPIC",
        help="depth images aligned to the colour images, in metres; sets scale.mode to depth",
    )
    parser.add_argument("--weights", metavar="FILE", help=specs["model.weights"].help)
    parser.add_argument("--body-model", metavar="FILE", help=specs["model.body_model"].help)
    parser.add_argument("--params", metavar="FILE", help="YAML file of parameters")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="one parameter, for example scene.voxel_m=0.05; wins over --params; may be repeated",
    )
    parser.add_argument("--tf-mode", choices=specs["tf.mode"].choices, help=specs["tf.mode"].help)
    parser.add_argument(
        "--lockstep",
        action="store_true",
        help="take every image and follow /clock, for `human3r play --lockstep`",
    )
    parser.add_argument("--namespace", metavar="NS", help="namespace of the node")
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
        values = settings_from(options)
        from human3r_ros.parameters import overrides
        from human3r_ros.process import run

        parameters = overrides(values)
    except Human3RError as error:
        sys.stderr.write(f"human3r live: {error}\n")
        return 1
    return run(
        ["human3r live", *ros_arguments(options)],
        autostart=not options.no_autostart,
        overrides=parameters,
    )


def settings_from(options: argparse.Namespace) -> dict[str, Any]:
    """Dotted names and values: the file's, then --set, then the flags, later ones winning.

    Parameters of the client library (use_sim_time, qos_overrides) pass unchecked.

    Raises:
        ConfigError: unreadable file, unknown name or wrong value.
    """
    values = _flatten(load_yaml(options.params)) if options.params else {}
    specs = {spec.name: spec for spec in iterate()}
    for assignment in options.set:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE, as in scene.voxel_m=0.05.")
        values[name] = specs[name].parse(text) if name in specs else yaml.safe_load(text)
    # A path means the same file wherever the node runs.
    if options.weights:
        values["model.weights"] = os.path.abspath(options.weights)
    if options.body_model:
        values["model.body_model"] = os.path.abspath(options.body_model)
    if options.tf_mode:
        values["tf.mode"] = options.tf_mode
    if options.depth:
        values["scale.mode"] = "depth"
    if options.compressed:
        values["input.transport"] = "compressed"
    if options.lockstep:
        values |= lockstep_settings(options)
    return values


def lockstep_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What makes the node take every image of a replay: see ``human3r_ros.lockstep``."""
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


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; qos_overrides nests deeper than settings do."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(_flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


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
