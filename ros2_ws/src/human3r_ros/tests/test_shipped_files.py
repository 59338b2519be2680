"""Launch and package files, checked as far as that works without ROS 2."""

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from human3r_ros.outputs import TOPICS

import human3r

PACKAGE = Path(__file__).resolve().parents[1]
MESSAGES = PACKAGE.parent / "human3r_msgs"
LAUNCH = sorted((PACKAGE / "launch").glob("*.py"))


def test_the_launch_files_name_every_output():
    tree = (PACKAGE / "launch" / "_node_actions.py").read_text()
    for topic, *_ in TOPICS.values():
        assert topic.removeprefix("~/") in tree, topic


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.name)
def test_launch_files_describe_a_launch(path):
    pytest.importorskip("launch_ros", reason="needs ROS 2's launch")
    if path.name.endswith(".launch.py"):
        import runpy

        assert runpy.run_path(str(path))["generate_launch_description"]().entities


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
