"""Message packages of others: definitions for rclpy_lite, and what to install elsewhere."""

import os
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from human3r_ros.ros_api import is_lite

from human3r.errors import ConfigError

_DEFINITIONS = Path(__file__).with_name("definitions")


def provide() -> None:
    """With rclpy_lite: use our definitions of those packages that are not installed.

    With ROS 2 this does nothing. There, only installed packages have the type support that
    publishing needs.
    """
    if not is_lite():
        return
    from rclpy_lite.messages import add_package

    for directory in sorted(path for path in _DEFINITIONS.iterdir() if path.is_dir()):
        if find_spec(directory.name) is None:
            add_package(directory.name, directory)


def require(packages: Iterable[str], output: str) -> None:
    """Nothing, when all of these message packages can be used.

    Raises:
        ConfigError: some are missing; the message says how to install them.
    """
    missing = [package for package in packages if not _is_usable(package)]
    if missing:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        names = " ".join(f"ros-{distro}-{package.replace('_', '-')}" for package in missing)
        raise ConfigError(
            f"output {output!r} needs {', '.join(missing)}, which cannot be imported; expected an "
            f"installed and sourced package. Install it (sudo apt install {names}; where a release "
            "lacks it, from ros2_ws/human3r.repos), or take "
            f"{output} out of the parameter outputs."
        )


def _is_usable(package: str) -> bool:
    try:
        import_module(f"{package}.msg")
    except ImportError:
        return False
    return True
