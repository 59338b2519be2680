"""Launch and package files, checked as far as that works without ROS 2."""

import ast
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import setuptools
import yaml
from human3r_ros.outputs import TOPICS

import human3r

PACKAGE = Path(__file__).resolve().parents[1]
MESSAGES = PACKAGE.parent / "human3r_msgs"
LAUNCH = sorted((PACKAGE / "launch").glob("*.py"))


def test_the_launch_files_name_every_output():
    tree = (PACKAGE / "launch" / "_node_actions.py").read_text()
    for topic, *_ in TOPICS.values():
        assert topic.removeprefix("~/") in tree, topic


@pytest.mark.ros
@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.name)
def test_ros2_launch_shows_the_arguments_of_every_launch_file(path):
    if not path.name.endswith(".launch.py"):
        pytest.skip("no launch file of its own")
    done = subprocess.run(
        ["ros2", "launch", str(path), "--show-args"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "bridge_params_file" in done.stdout


def versions():
    yield "core", human3r.__version__
    for folder in (PACKAGE, MESSAGES):
        root = ET.parse(folder / "package.xml").getroot()
        yield folder.name, root.findtext("version")
    from importlib.metadata import version

    for name in ("human3r-ros", "human3r-msgs"):
        yield name, version(name)


def test_all_parts_have_one_version():
    assert len({value for _, value in versions()}) == 1, list(versions())


def test_every_ros_package_that_is_imported_is_a_dependency():
    root = ET.parse(PACKAGE / "package.xml").getroot()
    declared = {item.text for item in root.findall("exec_depend")}
    ros = set()
    for path in (PACKAGE / "human3r_ros").glob("*.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.ImportFrom) and item.module and item.level == 0:
                ros.add(item.module.split(".")[0])
    ours = {name for name in ros if name.endswith(("_msgs", "_interfaces", "_py", "_ros"))}
    ours |= ros & {"rclpy", "cv_bridge", "tf_transformations"}
    assert ours - {"human3r_ros"} <= declared


def test_the_package_is_found_by_ament():
    assert (PACKAGE / "resource" / "human3r_ros").is_file()
    assert "install_scripts=$base/lib/human3r_ros" in (PACKAGE / "setup.cfg").read_text()


@pytest.mark.parametrize(
    ("words", "is_offered"),
    [
        ("egg_info build install --record x", True),
        ("develop --editable --no-deps", True),
        ("bdist_wheel", False),
        ("editable_wheel", False),
    ],
    ids=["colcon", "colcon --symlink-install", "pip", "pip -e"],
)
def test_ros2_run_offers_the_command_and_a_wheel_leaves_it_to_the_core(
    monkeypatch, words, is_offered
):
    """A wheel's command would take the place of the core's, and go when this package goes."""
    made = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: made.update(options))
    monkeypatch.setattr(sys, "argv", ["setup.py", *words.split()])
    monkeypatch.chdir(PACKAGE)
    runpy.run_path("setup.py")
    scripts = made["entry_points"]["console_scripts"]
    assert ("human3r = human3r.cli.main:main" in scripts) == is_offered


# Of rosdep's database and the distribution files of Humble, Jazzy, Kilted and Lyrical, August 2026:
# every key below is known for each of them.
ROSDEP_KEYS = """
ament_cmake ament_index_python builtin_interfaces compressed_image_transport cv_bridge
diagnostic_msgs geometry_msgs launch
launch_ros lifecycle_msgs nav2_lifecycle_manager nav_msgs rcl_interfaces rclpy ros2bag ros2service
rosbag2_interfaces rosbag2_storage_mcap rosbag2_transport rosgraph_msgs rosidl_default_generators
rosidl_default_runtime rviz2 sensor_msgs sensor_msgs_py std_msgs std_srvs tf2_msgs tf2_ros
tf_transformations visualization_msgs
python3-numpy python3-opencv python3-pil python3-pytest python3-scipy python3-yaml
"""


@pytest.mark.parametrize("name", ["human3r_msgs", "human3r_ros", "human3r_bridge"])
def test_a_package_is_ready_for_rosdep_and_bloom(name):
    folder = PACKAGE.parent / name
    root = ET.parse(folder / "package.xml").getroot()
    keys = {item.text for item in root if item.tag.endswith("depend")}
    ours = {path.parent.name for path in PACKAGE.parent.glob("*/package.xml")}
    assert keys - ours <= set(ROSDEP_KEYS.split())
    # What bloom asks for: a changelog with a section to release, of this very package.
    changelog = (folder / "CHANGELOG.rst").read_text()
    assert f"Changelog for package {name}\n" in changelog
    assert "\nForthcoming\n-----------\n" in changelog
    assert 'package_format3.xsd"' in (folder / "package.xml").read_text()


@pytest.mark.ros
def test_catkin_pkg_has_nothing_to_say_about_the_packages():
    parse = pytest.importorskip("catkin_pkg.package").parse_package
    for path in PACKAGE.parent.glob("*/package.xml"):
        warnings = []
        parse(str(path), warnings=warnings)
        assert warnings == []


def test_the_repositories_are_those_of_the_packages_the_bridge_can_do_without():
    found = yaml.safe_load((PACKAGE.parents[1] / "human3r.repos").read_text())["repositories"]
    assert set(found) == {"hri_msgs", "people"}
    for source in found.values():
        assert source["type"] == "git"
        assert source["url"].startswith("https://github.com/")
        assert source["version"]
