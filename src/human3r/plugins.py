"""Commands, writers and checks that other packages bring, found by their entry points.

A package declares them in its own metadata, for example::

    [project.entry-points."human3r.commands"]
    live = "human3r_ros.commands.live:main"

so the core needs no name of a package that may be absent.
"""

from importlib.metadata import entry_points
from typing import Any

from human3r.errors import MissingExtraError

COMMANDS, WRITERS, CHECKS = "human3r.commands", "human3r.writers", "human3r.checks"
"""Groups: ``main(argv) -> exit code``; result writers of ``human3r run``; checks of the doctor."""

_KNOWN = {
    **dict.fromkeys(
        ("live", "play", "record", "demo", "bag", "graph", "loopback"),
        (
            "the ROS part",
            "pip install ./runtime ./ros2_ws/src/human3r_msgs ./ros2_ws/src/human3r_ros",
        ),
    ),
    **dict.fromkeys(("synth", "train", "evaluate"), ("the laboratory", "pip install ./lab")),
}
"""Where the plugins of this project come from, for when they are not there."""
_OPTIONAL_MODULES = ("rclpy", "rclpy_lite", "cyclonedds", "human3r_msgs")


def load_plugin(group: str, name: str) -> Any:
    """The object behind an entry point.

    Args:
        group: ``COMMANDS``, ``WRITERS`` or ``CHECKS``.
        name: of the entry point.

    Raises:
        MissingExtraError: no installed package offers it, or what it needs is not installed.
    """
    part, install = _KNOWN.get(name, ("another package", "pip install that package"))
    found = list(entry_points(group=group, name=name))
    if not found:
        raise MissingExtraError(
            f"{name} belongs to {part}, which is not installed; expected a package with the entry "
            f"point {name} in {group}. Install it from the repository: {install}"
        )
    try:
        return found[0].load()
    except ModuleNotFoundError as error:
        # Anything else that is missing is a fault of ours and must not be dressed up.
        if (error.name or "").partition(".")[0] not in _OPTIONAL_MODULES:
            raise
        raise MissingExtraError(
            f"{name} belongs to {part}, but {error.name} is not installed; expected it, or a "
            f"sourced ROS 2. Install it from the repository: {install}"
        ) from error
