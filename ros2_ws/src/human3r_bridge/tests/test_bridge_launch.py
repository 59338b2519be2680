"""Launch and RViz files against the bridge, with stand-ins for ROS 2's launch."""

import re
from pathlib import Path

import pytest
import yaml
from human3r_bridge import inputs, parameters
from human3r_bridge.formats import make_outputs
from human3r_bridge.hri_chain import CHAIN
from human3r_bridge.inputs import IMAGE
from human3r_ros import parent
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from ros2_ws.src.human3r_ros.tests.launch_stand_in import only, starter

SOURCES = Path(__file__).resolve().parents[2]
BRIDGE = SOURCES / "human3r_bridge" / "launch" / "bridge.launch.py"
NODE = SOURCES / "human3r_ros" / "launch"
RVIZ = SOURCES / "human3r_ros" / "rviz" / "human3r.rviz"


@pytest.fixture
def launch(monkeypatch):
    """Runs a launch file with arguments; returns its arguments and its actions."""
    start = starter(monkeypatch)
    return lambda path, **given: start(path, **given)[:2]


def test_the_launch_file_starts_the_bridge_with_what_is_given(launch):
    declared, (node,) = launch(BRIDGE, namespace="robot1", outputs="[markers, hri]", image="/cam")
    assert node.name == "Node"
    assert node.kwargs["package"] == node.kwargs["executable"] == "human3r_bridge"
    assert node.kwargs["namespace"] == "robot1"
    file, given = node.kwargs["parameters"]
    assert declared["bridge_params_file"]["default_value"] == "", "what includes it may say so too"
    assert file[1] == "/config/human3r_bridge.yaml"
    assert node.kwargs["additional_env"] == {parent.LAUNCHED: "1"}
    assert node.kwargs["respawn"] is False
    assert given == {"use_sim_time": False, "outputs": ["markers", "hri"]}
    assert node.kwargs["remappings"] == [(IMAGE, "/cam")]
    assert parameters.BridgeSettings().replace({"outputs": given["outputs"]}).outputs == (
        "markers",
        "hri",
    )


def test_the_people_of_another_node_are_read_by_remapping(launch):
    _, (node,) = launch(BRIDGE, node="human3r_multi", namespace="base")
    remapped = dict(node.kwargs["remappings"])
    for name in (inputs.HUMANS, inputs.SKELETON, inputs.MESHES, inputs.MESH_TOPOLOGY):
        assert remapped[name] == name.replace("human3r/", "human3r_multi/")


def test_a_parameter_file_and_respawning_are_taken_over(launch):
    _, (node,) = launch(BRIDGE, bridge_params_file="/my/bridge.yaml", respawn="true")
    assert node.kwargs["parameters"][0] == "/my/bridge.yaml"
    assert node.kwargs["respawn"] is True


def test_outputs_that_are_not_given_are_left_to_the_parameter_file(launch):
    _, (node,) = launch(BRIDGE, use_sim_time="true")
    assert node.kwargs["parameters"][1] == {"use_sim_time": True}


def test_the_live_launch_file_starts_the_bridge_unless_told_not_to(launch):
    declared, actions = launch(NODE / "live.launch.py")
    assert declared["bridge"]["default_value"] == "true"
    assert {"LifecycleNode", "IncludeLaunchDescription"} <= {action.name for action in actions}
    _, actions = launch(NODE / "live.launch.py", bridge="false")
    assert "IncludeLaunchDescription" not in {action.name for action in actions}


def test_the_live_launch_file_passes_its_arguments_on_to_the_bridge(launch):
    bridge_arguments, _ = launch(BRIDGE)
    live_arguments, actions = launch(NODE / "live.launch.py", bridge="true", outputs="[hri]")
    include = only(actions, name="IncludeLaunchDescription")
    package, path = include.args[0].args[0]
    assert (package.args, path) == (("human3r_bridge",), f"/launch/{BRIDGE.name}")
    passed = {name: value.args[0] for name, value in include.kwargs["launch_arguments"]}
    assert passed == {name: name for name in passed}
    assert set(passed) == set(bridge_arguments) & set(live_arguments)
    # They start the node that is read by default.
    assert set(passed) == set(bridge_arguments) - {"node"}, "all are seen by --show-args"


class TopicNode:
    """Remembers which publishers the bridge makes."""

    def __init__(self):
        self.published = {}

    def resolve_topic_name(self, topic):
        return topic.replace("~", "/human3r_bridge")

    def create_publisher(self, message_type, topic, profile, **kwargs):
        self.published[self.resolve_topic_name(topic)] = (message_type.__name__, profile)

    def create_subscription(self, *args, **kwargs):
        return None


@pytest.fixture(scope="module")
def published():
    node = TopicNode()
    settings = parameters.BridgeSettings().replace({"outputs": list(parameters.OUTPUTS)})
    make_outputs(node, settings, lambda kind, text: None)
    return node.published


def bridge_displays():
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    return {
        display["Topic"]["Value"]: display
        for display in displays
        if display.get("Topic", {}).get("Value", "").startswith("/human3r_bridge/")
    }


def test_rviz_shows_the_markers_of_the_bridge_with_a_compatible_policy(published):
    shown = bridge_displays()
    assert set(shown) == {"/human3r_bridge/markers", "/human3r_bridge/mesh_markers"}
    for topic, display in shown.items():
        type_name, profile = published[topic]
        assert display["Class"] == f"rviz_default_plugins/{type_name}"
        assert display["Enabled"] is True
        policies = display["Topic"]
        assert policies["Reliability Policy"] == "Reliable"
        assert profile.reliability == ReliabilityPolicy.RELIABLE
        assert policies["Durability Policy"] == "Volatile"
        assert profile.durability == DurabilityPolicy.VOLATILE
        # A frame that RViz drops may be the one that takes markers away.
        assert policies["Depth"] >= profile.depth


def test_rviz_follows_the_bridge_into_a_namespace(launch):
    _, actions = launch(NODE / "live.launch.py", namespace="robot1")
    rviz = next(a for a in actions if a.kwargs.get("package") == "rviz2")
    remappings = dict(rviz.kwargs["remappings"])
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    shown = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    for topic in shown:
        assert remappings[topic] == f"/robot1{topic}"
    _, actions = launch(NODE / "live.launch.py")
    rviz = next(a for a in actions if a.kwargs.get("package") == "rviz2")
    assert dict(rviz.kwargs["remappings"])["/human3r_bridge/markers"] == "/human3r_bridge/markers"


def test_rviz_hides_the_links_of_bodies_and_no_other_frame():
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    (tf,) = (d for d in displays if d["Class"].endswith("/TF"))
    hidden = re.compile(tf["Filter (blacklist)"])
    links = {"body", "face", "gaze", *(joint.child for joint in CHAIN)}
    assert all(hidden.fullmatch(f"{link}_h3r00012") for link in links)
    for frame in ("human3r_odom", "camera_optical", "base_link", "map"):
        assert not hidden.search(frame)
