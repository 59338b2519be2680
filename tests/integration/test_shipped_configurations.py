"""Layouts, policies and examples that name topics, against the topics that are really offered."""

import re
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import human3r_bridge
import pytest
import yaml
from human3r_bridge import formats, inputs, parameters
from human3r_ros.commands import layout_check
from human3r_ros.commands.layout_check import Offered, problems, shown_in
from human3r_ros.outputs import TOPICS
from human3r_ros.qos import overridable
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from human3r.config import Settings
from human3r.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "ros2_ws" / "src"
SHARE = PACKAGES / "human3r_ros"
LAYOUTS = (SHARE / "rviz" / "human3r.rviz", SHARE / "foxglove" / "human3r.json")
MULTI_LAYOUT = SHARE / "rviz" / "human3r_multi.rviz"
MULTI_CAMERAS = ("left", "right")
"""As the shipped files have them for an example."""
CAMERA = {
    "/image": Offered("Image", False, False),
    "/camera/image_raw": Offered("Image", False, False),
    "/camera/camera_info": Offered("CameraInfo", False, False),
}
"""What any camera offers at least; RViz's topic is remapped, Foxglove's is an example."""
LIFECYCLE = (
    "change_state get_state get_available_states get_available_transitions get_transition_graph"
)
PARAMETERS = (
    "describe_parameters get_parameter_types get_parameters list_parameters set_parameters "
    "set_parameters_atomically get_type_description"
)
EVERY_NODE = {"/parameter_events", "/rosout"}


class Recorder:
    """A node that remembers the publishers that are made."""

    def __init__(self):
        self.published = {}

    def resolve_topic_name(self, topic):
        return topic.replace("~", "/human3r_bridge")

    def create_publisher(self, message_type, topic, profile, **kwargs):
        self.published[self.resolve_topic_name(topic)] = (message_type, profile)

    create_lifecycle_publisher = create_publisher

    def create_subscription(self, *args, **kwargs):
        return None


class MultiRecorder(Recorder):
    """The same for ``human3r_multi``."""

    def resolve_topic_name(self, topic):
        return topic.replace("~", "/human3r_multi")


@pytest.fixture(scope="module")
def published():
    """(message class, QoS) by topic, of the node and of a bridge with every format."""
    assert human3r_bridge
    recorder = Recorder()
    settings = parameters.BridgeSettings().replace({"outputs": list(parameters.OUTPUTS)})
    formats.make_outputs(recorder, settings, lambda kind, text: None)
    node = {
        topic.replace("~", "/human3r"): (message_type, profile)
        for topic, message_type, profile, _ in TOPICS.values()
    }
    from diagnostic_msgs.msg import DiagnosticArray
    from human3r_ros import qos

    return {**recorder.published, **node, "/diagnostics": (DiagnosticArray, qos.DIAGNOSTICS)}


@pytest.fixture(scope="module")
def published_by_multi():
    """The same of human3r_multi with two cameras and everything that can be published."""
    from diagnostic_msgs.msg import DiagnosticArray
    from human3r_ros import qos
    from human3r_ros.multi.fused_stream import FusedStream
    from human3r_ros.multi.rig_view import RigView
    from human3r_ros.multi.settings import MultiSettings
    from human3r_ros.outputs import Outputs

    recorder = MultiRecorder()
    everything = {name: True for name in MultiSettings.specs() if name.startswith("publish.")}
    everything = {n: v for n, v in everything.items() if MultiSettings.spec(n).default in (0, 1)}
    settings = MultiSettings().replace({"cameras": ",".join(MULTI_CAMERAS), **everything})
    FusedStream(recorder, settings, {}, lambda text: None)
    RigView(recorder, MULTI_CAMERAS, "world", lambda name: None)
    for camera in MULTI_CAMERAS:
        Outputs(recorder, settings.pipeline_settings(), lambda kind, text: None, camera)
    recorder.published["/diagnostics"] = (DiagnosticArray, qos.DIAGNOSTICS)
    return recorder.published


@pytest.fixture(scope="module")
def offered_by_multi(published_by_multi):
    return as_offered(published_by_multi)


@pytest.fixture(scope="module")
def offered(published):
    return CAMERA | as_offered(published)


def as_offered(published):
    return {
        topic: Offered(
            message_type.__name__,
            profile.reliability == ReliabilityPolicy.RELIABLE,
            profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        for topic, (message_type, profile) in published.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: path.suffix)
def test_a_layout_shows_only_what_is_offered_in_a_way_that_can_be_heard(layout, offered):
    shown = shown_in(layout)
    assert len(shown) >= 8
    assert problems(shown, offered) == []


def test_the_layout_of_several_cameras_shows_people_cameras_and_each_one_s_images_and_clouds(
    offered, offered_by_multi
):
    shown = shown_in(MULTI_LAYOUT)
    known = {t: o for t, o in offered.items() if t.startswith("/human3r_bridge/")}
    known |= {t.replace("/left/", "/CAMERA/"): o for t, o in offered_by_multi.items()}
    assert problems(shown, known) == []
    topics = {one.topic for one in shown}
    assert {"/human3r_bridge/markers", "/human3r_multi/cameras"} <= topics
    per_camera = {topic.partition("/CAMERA/")[2] for topic in topics} - {""}
    assert per_camera == {
        *("color/image/compressed", "scene/points", "points", "depth/image", "mask/image"),
    }


def test_both_layouts_show_people_scene_map_and_camera(offered):
    wanted = {
        *("/human3r/scene/points", "/human3r/map/points", "/human3r/points"),
        *("/human3r_bridge/markers", "/human3r_bridge/mesh_markers"),
        *("/human3r/depth/image", "/human3r/mask/image", "/human3r/odometry"),
    }
    for layout in LAYOUTS:
        assert wanted <= {one.topic for one in shown_in(layout)}


def test_the_check_finds_what_would_not_be_seen(tmp_path):
    shown = shown_in(LAYOUTS[0])
    volatile = {one.topic: Offered(min(one.types), False, False) for one in shown}
    found = "\n".join(problems(shown, volatile))
    assert "/human3r/map/points is volatile; the display asks for transient local." in found
    assert "/human3r/odometry is best effort; the display asks for reliable." in found
    absent = problems(shown, {"/image": Offered("PointCloud2", True, True)})
    assert "/image is PointCloud2, but shown as Image." in absent
    assert "/human3r/odometry is shown but has no publisher." in absent
    for name, text in (("a.rviz", "Panels: []"), ("b.json", "{"), ("c.json", "[1]")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="no layout"):
            shown_in(tmp_path / name)


def test_plotted_fields_exist(published):
    plots = [one for one in shown_in(LAYOUTS[1]) if one.fields]
    assert plots
    for one in plots:
        value = published[one.topic][0]()
        for field in one.fields:
            value = getattr(value, field)
        assert isinstance(value, float)


def test_both_layouts_look_from_the_level_frame():
    level = Settings().frames.level
    rviz = yaml.safe_load(LAYOUTS[0].read_text())["Visualization Manager"]
    assert rviz["Global Options"]["Fixed Frame"] == level
    assert f'"followTf": "{level}"' in LAYOUTS[1].read_text()


def test_a_camera_that_is_best_effort_is_shown():
    for one in shown_in(LAYOUTS[0]):
        if one.topic == "/image":
            assert not one.is_reliable


def enclaves():
    """Names by (direction, kind) of each enclave of the policy."""
    found = {}
    for enclave in ET.parse(SHARE / "sros2" / "policy.xml").getroot().iter("enclave"):
        (profile,) = enclave.iter("profile")
        assert enclave.get("path") == "/" + profile.get("node")
        allowed = found.setdefault(profile.get("node"), {})
        for kind in ("topics", "services"):
            for block in profile.iter(kind):
                ((direction, value),) = block.attrib.items()
                assert value == "ALLOW"
                listed = [item.text for item in block]
                assert len(listed) == len(set(listed))
                allowed[direction] = set(listed)
    return found


def absolute(node, names):
    return {f"/{node}/{name}" for name in names.split()}


def test_the_policy_lets_the_node_publish_exactly_its_topics(published):
    allowed = enclaves()["human3r"]
    ours = {topic for topic in published if topic.startswith("/human3r/")}
    assert allowed["publish"] == ours | EVERY_NODE | {
        *("/diagnostics", "/tf", "/human3r/transition_event"),
    }
    assert allowed["subscribe"] == {
        *("/camera/image_raw", "/camera/image_raw/compressed", "/camera/camera_info"),
        *("/camera/depth", "/tf", "/tf_static", "/clock", "/parameter_events"),
    }


def test_the_policy_lets_the_bridge_publish_exactly_its_topics_and_read_no_image(published):
    allowed = enclaves()["human3r_bridge"]
    wildcards = ("/humans/bodies/*", "/humans/faces/*")
    named = {t for t in published if not t.startswith(("/human3r/", "/humans/", "/diagnostics"))}
    assert allowed["publish"] == named | EVERY_NODE | {
        *(*wildcards, "/humans/candidate_matches", "/tf"),
    }
    per_person = {topic for topic in published if topic.startswith("/humans/")}
    assert {"/humans/bodies/tracked", "/humans/faces/tracked"} <= per_person
    for topic in per_person - {"/humans/candidate_matches"}:
        assert topic.startswith(tuple(name[:-1] for name in wildcards))
    read = (inputs.HUMANS, inputs.SKELETON, inputs.MESHES, inputs.MESH_TOPOLOGY)
    assert allowed["subscribe"] == {f"/{name}" for name in read} | {
        *("/tf", "/tf_static", "/clock", "/parameter_events"),
    }
    assert not any("image" in topic for topic in allowed["subscribe"])


def test_the_policy_lets_the_fusing_node_publish_exactly_its_topics(published_by_multi):
    allowed = enclaves()["human3r_multi"]
    assert allowed["publish"] == set(published_by_multi) | EVERY_NODE | {
        "/human3r_multi/transition_event",
    }
    read = ("image_raw", "image_raw/compressed", "camera_info", "human3r/humans")
    read += ("human3r/skeleton",)
    assert allowed["subscribe"] == {f"/{c}/{name}" for c in MULTI_CAMERAS for name in read} | {
        *("/tf", "/tf_static", "/clock", "/parameter_events"),
    }
    assert allowed["reply"] == absolute("human3r_multi", f"{LIFECYCLE} {PARAMETERS}")


def test_the_pages_name_every_topic_of_the_fusing_node(published_by_multi):
    ours = {t for t in published_by_multi if t.startswith("/human3r_multi/")}
    of_camera = {t.removeprefix("/human3r_multi/left/") for t in ours if "/left/" in t}
    of_all = {
        t for t in ours if not t.startswith(tuple(f"/human3r_multi/{c}/" for c in MULTI_CAMERAS))
    }
    for page in ("README.md", "docs/topics.md", "docs/several-cameras.md"):
        text = (ROOT / page).read_text().replace("`~/", "`/human3r_multi/")
        assert {t for t in of_all if f"`{t}`" not in text} == set(), page
    row = next(
        line
        for line in (ROOT / "docs" / "topics.md").read_text().splitlines()
        if "`/human3r_multi/NAME/...`" in line
    )
    assert set(re.findall(r"`([\w/]+)`", row)) == of_camera


def test_the_policy_names_every_service_and_stays_small():
    ours = set()
    for path in (SHARE / "human3r_ros").glob("*.py"):
        # Every offer of a service of ours is written as a name in the node's own namespace.
        offers = r'(?:create_service\(\s*\w+, "~/([\w/]+)")|(?:"~/([\w/]+)": \()'
        ours |= {one or other for one, other in re.findall(offers, path.read_text())}
    assert {"reset", "get_meshes"} <= ours
    allowed = enclaves()
    names = f"{LIFECYCLE} {PARAMETERS} {' '.join(ours)}"
    assert allowed["human3r"]["reply"] == absolute("human3r", names)
    assert allowed["human3r_bridge"]["reply"] == absolute("human3r_bridge", PARAMETERS)
    # Larger permission files break the handshake; signing turns a name into about 200 bytes.
    size = (SHARE / "sros2" / "policy.xml").stat().st_size
    count = sum(len(names) for node in allowed.values() for names in node.values())
    assert size < 64_000
    assert 200 * count < 64_000


def sources(tree):
    """(topic, description) of every observation source in a Nav2 file."""
    if isinstance(tree, dict):
        if "observation_sources" in tree:
            names = tree["observation_sources"]
            for name in names.split() if isinstance(names, str) else names:
                yield tree[name]["topic"], tree[name]
        for value in tree.values():
            yield from sources(value)


def test_nav2_reads_clouds_that_are_offered_and_only_the_local_ones_hold_people(offered):
    tree = yaml.safe_load((SHARE / "nav2" / "human3r_nav2.yaml").read_text())
    found = {}
    for part in tree:
        ours = [(t, source) for t, source in sources(tree[part]) if t.startswith("/human3r")]
        for topic, source in ours:
            assert offered[topic].type_name == "PointCloud2"
            assert "pointcloud" in (source.get("data_type") or source.get("type")).lower()
            assert source.get("sensor_frame", "") == "", "rays start in the cloud's own frame"
        found[part] = [topic for topic, _ in ours]
    assert found == {
        "collision_monitor": ["/human3r/points"],
        "local_costmap": ["/human3r/points"],
        "global_costmap": ["/human3r/scene/points"],
    }
    local = tree["local_costmap"]["local_costmap"]["ros__parameters"]
    assert local["social_layer"]["plugin"] == "nav2_social_costmap_plugin::SocialLayer"
    assert "/people" in offered, "which that layer reads"
    assert local["global_frame"] == Settings().frames.anchor
    for part in tree.values():
        for layer in part.get("local_costmap", part.get("global_costmap", {})).values():
            assert set(layer["plugins"]) <= set(layer), "every plugin is described"


def test_the_recording_profile_covers_exactly_the_latched_topics(offered, offered_by_multi):
    profiles = yaml.safe_load((SHARE / "config" / "record_qos.yaml").read_text())
    both = offered | offered_by_multi
    ours = ("/human3r/", "/human3r_multi/")
    latched = {t for t, o in both.items() if o.is_latched and t.startswith(ours)}
    assert set(profiles) == latched | {"/tf_static"}
    for profile in profiles.values():
        assert profile["durability"] == "transient_local"
        assert profile["reliability"] == "reliable"


def test_the_example_of_qos_overrides_names_topics_and_policies_that_can_be_overridden(offered):
    from human3r_ros.commands import live

    options = live.build_parser().parse_args(
        ["--image", "/camera/image_raw", "--params", str(SHARE / "config" / "qos_wifi.yaml")]
    )
    names = [name.split(".") for name in live.values_from(options)]
    assert len(names) >= 3
    policies = {kind.name.lower() for kind in overridable().policy_kinds}
    for prefix, topic, side, policy in names:
        assert prefix == "qos_overrides"
        assert topic in offered
        assert side == ("subscription" if topic in CAMERA else "publisher")
        assert policy in policies


def test_a_bag_explains_every_message_to_a_reader_that_knows_none(tmp_path):
    """What Foxglove and Rerun need: MCAP with `ros2msg` schemas, complete to the last field."""
    from human3r_msgs.msg import Human, HumanArray
    from human3r_ros.bag_file import BagFile
    from rclpy.qos import QoSProfile
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    from visualization_msgs.msg import Marker, MarkerArray

    person = Human(id="h3r00001", score=0.5)
    array = HumanArray(session=7, humans=[person])
    markers = MarkerArray(markers=[Marker(ns="bones", id=3)])
    bag = BagFile(tmp_path / "bag")
    for topic, message in (("/humans", array), ("/markers", markers)):
        package = type(message).__module__.partition(".")[0]
        typename = f"{package}/msg/{type(message).__name__}"
        connection = bag.add_topic(topic, typename, [QoSProfile(depth=1)])
        bag.write(connection, 1, serialize_message(message))
    bag.finish({})
    (file,) = (tmp_path / "bag").glob("*.mcap")
    assert b"ros2msg" in file.read_bytes()
    with Reader(tmp_path / "bag") as reader:
        read = {}
        for connection, _, data in reader.messages():
            blank = get_typestore(Stores.EMPTY)
            blank.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
            read[connection.topic] = blank.deserialize_cdr(data, connection.msgtype)
    assert read["/humans"].session == 7
    assert (read["/humans"].humans[0].id, read["/humans"].humans[0].score) == ("h3r00001", 0.5)
    assert (read["/markers"].markers[0].ns, read["/markers"].markers[0].id) == ("bones", 3)


def test_every_source_that_the_docker_image_copies_is_there():
    text = (ROOT / "Dockerfile").read_text()
    copies = re.findall(r"(?m)^COPY (.+) \S+$", text)
    assert copies
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in copies:
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert source not in ignored
    assert "rosdep install --from-paths ros2_ws/src" in text


@pytest.mark.parametrize("package", ["human3r_msgs", "human3r_ros", "human3r_bridge"])
def test_package_files_are_complete(package):
    root = ET.parse(PACKAGES / package / "package.xml").getroot()
    assert root.findtext("name") == package
    for tag in ("version", "description", "maintainer", "license"):
        assert root.findtext(tag)
    named = [item.text for item in root if item.tag.endswith("depend")]
    assert len(named) == len(set(named)), "each dependency once"
    kind = root.find("export").findtext("build_type")
    assert kind == ("ament_cmake" if package == "human3r_msgs" else "ament_python")
    if kind == "ament_python":
        text = (PACKAGES / package / "setup.py").read_text()
        assert 'extras_require={"test": ["pytest"]}' in text, "colcon test looks for it"
        for module, function in re.findall(r"= ([\w.]+):(\w+)", text):
            assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("package", ["human3r_ros", "human3r_bridge"])
def test_every_ros_package_that_a_package_needs_is_a_dependency(package):
    root = ET.parse(PACKAGES / package / "package.xml").getroot()
    declared = {item.text for item in root.findall("exec_depend")}
    imported, started = set(), set()
    for path in (PACKAGES / package / package).rglob("*.py"):
        imported |= set(re.findall(r"(?m)^\s*from (\w+)", path.read_text()))
    for path in (PACKAGES / package / "launch").glob("*.py"):
        text = path.read_text()
        imported |= set(re.findall(r"(?m)^from (\w+)", text))
        started |= set(re.findall(r'package="(\w+)"', text))
    ros = {name for name in imported if re.search(r"_(msgs|srvs|interfaces|ros|py)$", name)}
    ros |= imported & {"rclpy", "cv_bridge", "tf_transformations", "launch", "launch_ros"}
    # Needed by one format each; the bridge says what to install.
    optional = {"hri_msgs", "people_msgs", "vision_msgs"} if package == "human3r_bridge" else set()
    assert ros >= {"rclpy", "launch", "human3r_msgs"}
    assert (ros | started) - {package} - optional <= declared


def test_every_folder_of_files_is_installed():
    text = (SHARE / "setup.py").read_text()
    for folder in ("launch", "config", "rviz", "foxglove", "nav2", "sros2"):
        assert list((SHARE / folder).iterdir())
        assert f'glob("{folder}/*' in text


def test_the_command_says_what_is_wrong_with_a_layout(tmp_path, capsys):
    (tmp_path / "x.rviz").write_text("{}")
    assert layout_check.main([str(tmp_path / "x.rviz")]) == 1
    assert "expected a .rviz file" in capsys.readouterr().err


def test_the_conformance_suite_needs_nothing_of_ours():
    """It is to run on the real rclpy; conftest.py alone asks for rclpy_lite, in its absence."""
    files = sorted((ROOT / "tests" / "conformance").glob("*.py"))
    assert len(files) > 3
    for path in files:
        imported = set(re.findall(r"(?m)^\s*(?:from|import) (\w+)", path.read_text()))
        ours = imported & {"rclpy_lite", "human3r", "human3r_ros", "human3r_msgs", "torch", "tests"}
        assert ours == ({"rclpy_lite"} if path.name == "conftest.py" else set()), path.name


def test_every_link_between_the_pages_leads_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    wrong = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                wrong.append(f"{page.name}: {target}")
    assert wrong == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name
