"""What runs on a machine where a ROS 2 is sourced and rclpy_lite is not installed.

An imitation: rclpy_lite under the name rclpy, with nothing left of its own name. Real DDS, real
processes; only the real rclpy's own code is missing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client_library import is_ros_sourced

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [ROOT / "ros2_ws/src/human3r_ros", ROOT / "ros2_ws/src/human3r_bridge"]
SITE = """
import importlib.abc
import sys


class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "rclpy_lite":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
import rclpy

rclpy.install()
"""

pytestmark = pytest.mark.skipif(is_ros_sourced(), reason="the real thing is here")


@pytest.fixture(scope="module")
def sourced(tmp_path_factory):
    """Environment variables of such a machine."""
    site = tmp_path_factory.mktemp("sourced")
    lite = ROOT / "runtime/rclpy_lite"
    for path in lite.rglob("*"):
        if path.suffix in (".py", ".msg", ".srv"):
            copy = site / "rclpy" / path.relative_to(lite)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace("rclpy_lite", "rclpy"))
    (site / "sitecustomize.py").write_text(SITE)
    sources = [site, ROOT / "src", ROOT / "lab", *PACKAGES]
    python_path = os.pathsep.join(map(str, sources))
    return {**os.environ, "PYTHONPATH": python_path, "ROS_DISTRO": "jazzy"}


def run(environment, *words):
    """Run Python with these words on that machine; its output."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_packages_tests_are_collected_and_those_of_rclpy_lite_skipped(sourced):
    words = ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--collect-only")
    tests = [package / "tests" for package in PACKAGES]
    shown = run(sourced, *words, *tests, ROOT / "tests/runtime")
    for name in ("test_node_faults.py::", "test_process_end.py::", "test_bridge_markers.py::"):
        assert name in shown
    assert "about rclpy_lite, which stands in where no ROS 2 is sourced" in shown
    assert "tests/runtime/test_names.py::" not in shown
    assert "hri_msgs is not installed" in shown, "as on a machine without ROS4HRI"


PRIVATE = """
import os, sys
from human3r_ros.commands.private_domain import private_environment
from human3r_ros.bag_file import describe_type
from human3r_ros.ros_api import is_lite
environment = private_environment()
assert "rclpy_lite" not in sys.modules and not is_lite()
print(environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE"), environment.get("ROS_LOCALHOST_ONLY"))
print(describe_type("human3r_msgs/msg/HumanArray")[1])
"""


def test_a_private_domain_is_made_with_the_variables_of_ros(sourced):
    from human3r_ros.bag_file import describe_type

    lines = run(sourced, "-c", PRIVATE).splitlines()
    assert lines == ["LOCALHOST None", describe_type("human3r_msgs/msg/HumanArray")[1]]
    older = run({**sourced, "ROS_DISTRO": "humble"}, "-c", PRIVATE).splitlines()
    assert older[0] == "None 1"


@pytest.mark.slow
def test_the_demonstration_runs(sourced, tmp_path):
    out = tmp_path / "demo"
    run(sourced, "-m", "human3r.cli.main", "demo", "--out", out, "--max-seconds", "0.5")
    assert (out / "bag").is_dir()
    assert (out / "overlay.mp4").is_file()
