"""``human3r doctor``: what works on this machine, what is missing, and what to do about it."""

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from human3r.cli.doctor_check import FAIL, NOTE, OK, Check
from human3r.errors import Human3RError
from human3r.plugins import CHECKS, load_plugin

DEFAULT_NODE = "/human3r"

_WANTED_RMEM_BYTES = 4_194_304
_OPTIONAL_PACKAGES = {
    # package: folder of the repository that has it, and what it is for
    "human3r_lab": ("./lab", "human3r synth, train and evaluate"),
}
_BRIDGE_MESSAGES = {
    # package: what of human3r_bridge needs it
    "hri_msgs": "output hri",
    "people_msgs": "output people",
    "vision_msgs": "outputs vision and vision2d",
}


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "doctor",
        help="say what works on this machine and what is missing, or how a running node is",
        description="Checks Python, PyTorch, devices, ROS, network and files, or with --graph a "
        "running node. Ends with 0 when `human3r run` can work here, or when the node is well.",
    )
    parser.add_argument("--weights", metavar="FILE", help="weights file to check")
    parser.add_argument("--body-model", metavar="FILE", help="body model file to check")
    parser.add_argument(
        "--dds", action="store_true", help="also send a message to ourselves over DDS on loopback"
    )
    parser.add_argument(
        "--graph",
        metavar="NODE",
        nargs="?",
        const=DEFAULT_NODE,
        help="look at a running node instead: state, last failure, diagnostics, topics, rates and "
        f"QoS (default: {DEFAULT_NODE})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 when a basic part fails."""
    if args.graph:
        checks, ill = list(load_plugin(CHECKS, "graph")(args.graph)), "Not well"
        notes = list(dict.fromkeys(check.part for check in checks if check.state == NOTE))
        well = f"It works; see the notes on {', '.join(notes)}." if notes else "All is well."
    else:
        checks = list(all_checks(args.weights, args.body_model, with_dds=args.dds))
        well, ill = "Ready: human3r run works here.", "Not ready"
    if sys.stdout.isatty():
        _show_table(checks)
    else:
        width = max(22, *(len(check.part) for check in checks))
        # Whole lines, so that they can be searched and pasted.
        for check in checks:
            advice = f" -> {check.advice}" if check.advice else ""
            print(f"{check.part:<{width}} {check.state:<5} {check.seen}{advice}")
    failed = list(dict.fromkeys(check.part for check in checks if check.state == FAIL))
    print(f"{ill}: {', '.join(failed)}." if failed else well)
    return 1 if failed else 0


def _show_table(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for heading in ("part", "", "seen"):
        table.add_column(heading, overflow="fold")
    style = {OK: "green", NOTE: "yellow", FAIL: "bold red"}
    for check in checks:
        seen = check.seen + (f"\n-> {check.advice}" if check.advice else "")
        # Text, not markup: paths and messages may hold brackets.
        table.add_row(Text(check.part), Text(check.state, style[check.state]), Text(seen))
    Console().print(table)


def all_checks(
    weights: str | None = None, body_model: str | None = None, *, with_dds: bool = False
) -> Iterator[Check]:
    """Every check, in the order of the report; a check that breaks is itself reported."""
    steps: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("Python", _python),
        ("packages", _packages),
        ("PyTorch", _torch),
        ("video encoder", _video),
        ("weights", lambda: _weights(weights)),
        ("body model", lambda: _body(body_model)),
        ("ROS", _ros),
        ("network buffers", _network),
        ("cameras", _cameras),
        ("disk", _disk),
    ]
    if with_dds:
        steps.append(("DDS loopback", _dds))
    for part, step in steps:
        try:
            yield from step()
        except Human3RError as error:
            yield Check(part, FAIL, str(error))
        # A broken installation can raise anything on import; the report must go on.
        except Exception as error:
            yield Check(part, FAIL, f"{type(error).__name__}: {error}", "Install human3r again.")


def _python() -> Iterator[Check]:
    version = platform.python_version()
    fits = (3, 10) <= sys.version_info[:2] <= (3, 13)
    yield Check(
        "Python",
        OK if fits else NOTE,
        f"{version} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "" if fits else "human3r is tested with Python 3.10 to 3.13.",
    )


def _packages() -> Iterator[Check]:
    for name in ("numpy", "safetensors", "opencv-python-headless", "av", "rosbags", "scipy"):
        try:
            yield Check(name, OK, metadata.version(name))
        except metadata.PackageNotFoundError:
            module = {"opencv-python-headless": "cv2"}.get(name, name)
            found = find_spec(module) is not None
            yield Check(
                name,
                OK if found else FAIL,
                "installed in another way" if found else "missing",
                "" if found else f"pip install {name}",
            )
    for name, (folder, use) in _OPTIONAL_PACKAGES.items():
        found = _is_installed(name)
        yield Check(
            name,
            OK if found else NOTE,
            "found" if found else "not installed",
            "" if found else f"only for {use}: pip install {folder} from the clone",
        )


def _torch() -> Iterator[Check]:
    import torch

    yield Check("PyTorch", OK, f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            gigabytes = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
            name = torch.cuda.get_device_name(index)
            yield Check(f"cuda:{index}", OK, f"{name}, {gigabytes}")
    elif torch.version.cuda:
        yield Check(
            "GPU",
            NOTE,
            f"this PyTorch is built for CUDA {torch.version.cuda}, but sees no device",
            "Check `nvidia-smi` and the driver; the CPU is used meanwhile, at a few frames per "
            "second or less.",
        )
    else:
        yield Check(
            "GPU",
            NOTE,
            "this PyTorch is built for the CPU",
            "Fine for trials. For live use install a CUDA build, see pytorch.org.",
        )


def _video() -> Iterator[Check]:
    import av

    found = [name for name in ("libx264", "libopenh264", "mpeg4") if name in av.codecs_available]
    if found:
        yield Check("video encoder", OK, f"{found[0]} in PyAV {av.__version__}")
    else:
        yield Check(
            "video encoder",
            NOTE,
            f"PyAV {av.__version__} has no encoder for overlay.mp4",
            "pip install --force-reinstall av",
        )


def _weights(path: str | None) -> Iterator[Check]:
    from human3r.model.default import default_weights_path
    from human3r.model.weights_inspection import describe_weights

    summary = describe_weights(Path(path) if path else default_weights_path())
    advice = "" if path else "The bundled network is used; name a file to check it."
    yield Check("weights", OK if path else NOTE, _in_words(summary), advice)


def _body(path: str | None) -> Iterator[Check]:
    from human3r.body import find_body_file
    from human3r.body.convert import describe_body
    from human3r.body.default import default_body_path

    chosen = Path(path) if path else default_body_path()
    summary = describe_body(find_body_file(chosen))
    words = f"{summary.path}: {summary.num_vertices} vertices, {summary.height_m:.2f} m"
    advice = "" if path else "The free model is used; name an SMPL-X file to check it."
    yield Check("body model", OK if path else NOTE, words, advice)


def _in_words(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in summary.items())


def _ros() -> Iterator[Check]:
    distribution = os.environ.get("ROS_DISTRO", "")
    has_rclpy, has_lite = find_spec("rclpy") is not None, find_spec("rclpy_lite") is not None
    if has_rclpy:
        yield Check("ROS 2", OK, f"{distribution or 'unknown release'}, rclpy found")
    elif has_lite:
        yield Check("ROS 2", OK, "not sourced; rclpy_lite speaks its wire protocol instead")
    else:
        yield Check(
            "ROS 2",
            NOTE,
            "neither rclpy nor rclpy_lite",
            "Only for live, play, record and demo: pip install ./runtime, or source a ROS 2.",
        )
    for name, advice in (
        ("human3r_msgs", "pip install ./ros2_ws/src/human3r_msgs, or colcon build in ros2_ws"),
        ("human3r_ros", "pip install ./ros2_ws/src/human3r_ros, or colcon build in ros2_ws"),
        (
            "human3r_bridge",
            "only for markers, people_msgs, vision_msgs and ROS4HRI: "
            "pip install ./ros2_ws/src/human3r_bridge, or colcon build in ros2_ws",
        ),
        ("cyclonedds", "comes with ./runtime; not needed where ROS 2 is sourced"),
    ):
        found = _is_installed(name)
        needed = not (name == "cyclonedds" and has_rclpy)
        state = OK if found or not needed else NOTE
        yield Check(name, state, "found" if found else "not installed", "" if found else advice)
    if has_rclpy and find_spec("human3r_bridge") is not None:
        yield from _bridge_messages(distribution or "<distro>")


def _bridge_messages(distribution: str) -> Iterator[Check]:
    """With ROS 2 the bridge cannot bring definitions of its own: packages must be installed."""
    for name, outputs in _BRIDGE_MESSAGES.items():
        found = find_spec(name) is not None
        advice = (
            f"only for human3r_bridge's {outputs}: "
            f"sudo apt install ros-{distribution}-{name.replace('_', '-')}"
        )
        yield Check(
            name,
            OK if found else NOTE,
            "found" if found else "not installed",
            "" if found else advice,
        )


def _is_installed(name: str) -> bool:
    """As a module, or as a package of message definitions, which rclpy_lite turns into one."""
    if find_spec(name) is not None:
        return True
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _network() -> Iterator[Check]:
    setting = Path("/proc/sys/net/core/rmem_max")
    if not setting.exists():
        return
    size = int(setting.read_text())
    enough = size >= _WANTED_RMEM_BYTES
    yield Check(
        "network buffers",
        OK if enough else NOTE,
        f"net.core.rmem_max is {size} bytes",
        ""
        if enough
        else "Large raw images over a network may be lost; if so: "
        f"sudo sysctl -w net.core.rmem_max={_WANTED_RMEM_BYTES}",
    )
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain:
        yield Check("ROS_DOMAIN_ID", OK, domain)


def _cameras() -> Iterator[Check]:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    yield Check("cameras", OK if found else NOTE, ", ".join(found) or "none at this machine")


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > 2**30
    yield Check(
        "disk",
        OK if enough else NOTE,
        f"{free / 2**30:.1f} GiB free here",
        "" if enough else "A run writes about 2 MB per frame; leave some out with --save.",
    )


def _dds() -> Iterator[Check]:
    """A string to ourselves, through the same client library as the node's."""
    millis = load_plugin(CHECKS, "loopback")(timeout_s=10.0)
    yield Check("DDS loopback", OK, f"a message came back after {millis:.1f} ms")
