"""Definitions of foreign messages, package files, and what the bridge must not load."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
DEFINITIONS = PACKAGE / "human3r_bridge" / "definitions"
EXPECTED = {
    "hri_msgs/IdsList": "std_msgs/Header header, string[] ids",
    "hri_msgs/IdsMatch": "string id1, int8 id1_type, string id2, int8 id2_type, float32 confidence",
    "hri_msgs/NormalizedPointOfInterest2D": "float32 x, float32 y, float32 c",
    "hri_msgs/NormalizedRegionOfInterest2D": (
        "std_msgs/Header header, float32 xmin, float32 ymin, float32 xmax, float32 ymax, float32 c"
    ),
    "hri_msgs/Skeleton2D": (
        "std_msgs/Header header, hri_msgs/NormalizedPointOfInterest2D[18] skeleton"
    ),
    "people_msgs/Person": (
        "string name, geometry_msgs/Point position, geometry_msgs/Point velocity, "
        "double reliability, string[] tagnames, string[] tags"
    ),
    "people_msgs/People": "std_msgs/Header header, people_msgs/Person[] people",
    "vision_msgs/Point2D": "double x, double y",
    "vision_msgs/Pose2D": "vision_msgs/Point2D position, double theta",
    "vision_msgs/BoundingBox2D": "vision_msgs/Pose2D center, double size_x, double size_y",
    "vision_msgs/BoundingBox3D": "geometry_msgs/Pose center, geometry_msgs/Vector3 size",
    "vision_msgs/ObjectHypothesis": "string class_id, double score",
    "vision_msgs/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis, geometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/Detection2D": (
        "std_msgs/Header header, vision_msgs/ObjectHypothesisWithPose[] results, "
        "vision_msgs/BoundingBox2D bbox, string id"
    ),
    "vision_msgs/Detection2DArray": (
        "std_msgs/Header header, vision_msgs/Detection2D[] detections"
    ),
    "vision_msgs/Detection3D": (
        "std_msgs/Header header, vision_msgs/ObjectHypothesisWithPose[] results, "
        "vision_msgs/BoundingBox3D bbox, string id"
    ),
    "vision_msgs/Detection3DArray": (
        "std_msgs/Header header, vision_msgs/Detection3D[] detections"
    ),
}


def test_every_definition_that_is_shipped_is_pinned_here():
    shipped = {f"{path.parts[-3]}/{path.stem}" for path in DEFINITIONS.glob("*/msg/*.msg")}
    assert shipped == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_fields_come_in_the_order_of_the_published_definitions(name):
    from human3r_ros.commands.message_class import message_class

    fields = message_class(name.replace("/", "/msg/")).get_fields_and_field_types()
    words = {"float": "float32", "int8": "int8"}
    seen = []
    for field, kind in fields.items():
        kind = re.sub(r"sequence<(.*)>", r"\1[]", kind)
        seen.append(f"{words.get(kind, kind)} {field}")
    assert ", ".join(seen) == EXPECTED[name]


def test_constants_are_those_of_hri_msgs():
    from hri_msgs.msg import IdsMatch, Skeleton2D

    assert (IdsMatch.UNSET, IdsMatch.PERSON, IdsMatch.FACE) == (0, 1, 2)
    assert (IdsMatch.BODY, IdsMatch.VOICE) == (3, 4)
    assert (Skeleton2D.NOSE, Skeleton2D.NECK, Skeleton2D.RIGHT_SHOULDER) == (0, 1, 2)
    assert (Skeleton2D.LEFT_SHOULDER, Skeleton2D.RIGHT_HIP, Skeleton2D.LEFT_HIP) == (5, 8, 11)
    assert (Skeleton2D.LEFT_EYE, Skeleton2D.RIGHT_EYE) == (14, 15)
    assert (Skeleton2D.LEFT_EAR, Skeleton2D.RIGHT_EAR) == (16, 17)


def test_every_definition_survives_the_wire():
    from human3r_ros.commands.message_class import message_class
    from rclpy.serialization import deserialize_message, serialize_message

    for name in EXPECTED:
        kind = message_class(name.replace("/", "/msg/"))
        assert deserialize_message(serialize_message(kind()), kind) == kind()


def test_ros_packages_that_are_imported_are_dependencies_or_optional():
    root = ET.parse(PACKAGE / "package.xml").getroot()
    declared = {item.text for item in root.findall("exec_depend")}
    imported = set()
    for path in (PACKAGE / "human3r_bridge").glob("*.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.ImportFrom) and item.module and item.level == 0:
                imported.add(item.module.split(".")[0])
    ros = {name for name in imported if name.endswith(("_msgs", "_interfaces", "_ros"))}
    optional = {"hri_msgs", "people_msgs", "vision_msgs"}
    assert ros - {"human3r_bridge"} - optional <= declared
    assert not optional & declared


def test_all_parts_have_one_version():
    versions = {
        ET.parse(PACKAGE.parent / name / "package.xml").getroot().findtext("version")
        for name in ("human3r_bridge", "human3r_ros", "human3r_msgs")
    }
    versions.add(re.search(r'version="([^"]+)"', (PACKAGE / "setup.py").read_text())[1])
    assert len(versions) == 1, versions


def test_the_package_is_found_by_ament():
    assert (PACKAGE / "resource" / "human3r_bridge").is_file()
    assert "install_scripts=$base/lib/human3r_bridge" in (PACKAGE / "setup.cfg").read_text()


@pytest.mark.ros
def test_the_launch_file_describes_a_launch():
    import runpy

    path = PACKAGE / "launch" / "bridge.launch.py"
    assert runpy.run_path(str(path))["generate_launch_description"]().entities


def test_the_bridge_loads_neither_torch_nor_opencv():
    code = (
        "import sys, human3r_bridge.process; from human3r_bridge import hri_output, "
        "marker_output, people_output, mesh_marker_output, to_vision_msgs, to_pose_array; "
        "print([name for name in ('torch', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
