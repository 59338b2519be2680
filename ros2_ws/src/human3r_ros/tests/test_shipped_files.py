"""Launch, RViz and package files, checked against the node as far as that works without ROS 2."""

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from human3r_ros.outputs import TOPICS
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

import human3r

PACKAGE = Path(__file__).resolve().parents[1]
MESSAGES = PACKAGE.parent / "human3r_msgs"
LAUNCH = sorted((PACKAGE / "launch").glob("*.py"))


def rviz_displays():
    document = yaml.safe_load((PACKAGE / "rviz" / "human3r.rviz").read_text())
    manager = document["Visualization Manager"]
    return manager["Global Options"], manager["Displays"]


def test_every_topic_shown_in_rviz_is_published_with_a_compatible_policy():
    published = {
        topic.replace("~", "/human3r"): (message_type.__name__, profile)
        for topic, message_type, profile, _ in TOPICS.values()
    }
    shown = [display for display in rviz_displays()[1] if "Topic" in display]
    # human3r_bridge checks its own; it builds on this package.
    shown = [d for d in shown if not d["Topic"]["Value"].startswith("/human3r_bridge/")]
    assert len(shown) >= 5
    for display in shown:
        topic = display["Topic"]
        if topic["Value"] == "/image":
            # A camera may publish best effort, which a reliable display would not match.
            assert topic["Reliability Policy"] == "Best Effort"
            continue
        type_name, profile = published[topic["Value"]]
        assert display["Class"].endswith(type_name)
        if topic["Reliability Policy"] == "Reliable":
            assert profile.reliability == ReliabilityPolicy.RELIABLE
        if topic["Durability Policy"] == "Transient Local":
            assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_rviz_looks_from_the_level_frame():
    from human3r.config import Settings

    assert rviz_displays()[0]["Fixed Frame"] == Settings().frames.level


def constants(path, call):
    """First arguments of every call of this name in a launch file."""
    found = []
    for item in ast.walk(ast.parse(path.read_text())):
        name = getattr(getattr(item, "func", None), "id", None)
        if isinstance(item, ast.Call) and name in call and item.args:
            found.append(getattr(item.args[0], "value", None))
    return found


def test_the_launch_files_take_the_documented_arguments():
    shared = constants(
        PACKAGE / "launch" / "_node_actions.py", ("text", "flag", "DeclareLaunchArgument")
    )
    expected = {"image", "camera_info", "compressed", "params_file", "namespace", "tf_mode"}
    expected |= {"weights", "body_model", "rviz", "autostart", "use_sim_time", "log_level"}
    assert expected <= set(shared)
    replay = constants(PACKAGE / "launch" / "replay.launch.py", ("DeclareLaunchArgument",))
    assert {"bag", "rate", "loop", "record"} <= set(replay)
    live = constants(PACKAGE / "launch" / "live.launch.py", ("DeclareLaunchArgument",))
    assert {"bridge", "outputs"} <= set(live)


def test_the_launch_files_repeat_no_default_of_the_settings():
    from human3r.config import iterate

    text = "".join(path.read_text() for path in LAUNCH)
    named = {spec.name for spec in iterate() if f'"{spec.name}"' in text}
    assert named == {"model.weights", "model.body_model", "tf.mode", "input.transport"}


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
