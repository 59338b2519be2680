"""The definitions themselves: readable by rosbags, installed unchanged, as large as promised."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

SOURCE = Path(__file__).resolve().parents[2] / "human3r_msgs"
MESSAGES = sorted(SOURCE.glob("msg/*.msg"))
SERVICES = sorted(SOURCE.glob("srv/*.srv"))
POSITIONS, ROTATIONS, PIXELS = 180, 220, 120


def typestore(store):
    types = {}
    for path in MESSAGES:
        types.update(get_types_from_msg(path.read_text(), f"human3r_msgs/msg/{path.stem}"))
    for path in SERVICES:
        request, response = path.read_text().split("---\n")
        for part, text in (("Request", request), ("Response", response)):
            # rosbags looks for unqualified types beside the definition, ROS among the messages.
            types.update(get_types_from_msg(text, f"human3r_msgs/msg/{path.stem}_{part}"))
    found = get_typestore(store)
    found.register(types)
    return found


@pytest.fixture(scope="module", params=[Stores.ROS2_HUMBLE, Stores.ROS2_JAZZY])
def types(request):
    return typestore(request.param)


def test_the_build_lists_every_definition():
    listed = set(re.findall(r'"((?:msg|srv)/\w+\.\w+)"', (SOURCE / "CMakeLists.txt").read_text()))
    assert listed == {f"{p.parent.name}/{p.name}" for p in (*MESSAGES, *SERVICES)}
    assert {p.stem for p in MESSAGES} == {
        *("HumanArray", "Human", "SkeletonInfo", "FrameStatus"),
        *("HumanMeshArray", "HumanMesh", "MeshTopology"),
    }
    assert {p.stem for p in SERVICES} == {"Reset", "GetMeshes", "SaveMap", "SetScale"}


def random_value(types, descriptor, rng):
    """A value of a field's type, arrays with 0 to 4 items."""
    kind, detail = descriptor
    if kind == 1:
        name = detail[0]
        if name == "string":
            return "abcdef"[: rng.integers(0, 7)]
        if name == "bool":
            return bool(rng.integers(2))
        return np.dtype(name).type(rng.integers(0, 100)).item()
    if kind == 2:
        return random_message(types, detail, rng)
    item, size = detail
    count = size if kind == 3 and size else int(rng.integers(0, 5))
    if item[0] == 1 and item[1][0] not in ("string", "bool"):
        return rng.integers(0, 100, count).astype(item[1][0])
    return [random_value(types, item, rng) for _ in range(count)]


def random_message(types, name, rng):
    fields = types.fielddefs[name][1]
    return types.types[name](**{key: random_value(types, d, rng) for key, d in fields})


def test_every_definition_survives_cdr(types):
    rng = np.random.default_rng(1)
    names = [name for name in types.fielddefs if name.startswith("human3r_msgs/")]
    assert len(names) == len(MESSAGES) + 2 * len(SERVICES)
    for name in names:
        for _ in range(5):
            message = random_message(types, name, rng)
            data = types.serialize_cdr(message, name)
            again = types.deserialize_cdr(data, name)
            assert bytes(types.serialize_cdr(again, name)) == bytes(data), name


def human_array(types, count):
    t = types.types
    pose = t["geometry_msgs/msg/Pose"](
        t["geometry_msgs/msg/Point"](0, 0, 0), t["geometry_msgs/msg/Quaternion"](0, 0, 0, 1)
    )
    stamp = t["builtin_interfaces/msg/Time"](1, 2)
    zeros = lambda n: np.zeros(n, np.float32)  # noqa: E731
    human = t["human3r_msgs/msg/Human"](
        **{"id": "h3r00001", "track_id": 1, "track_state": 1, "age_frames": 1},
        **{"first_seen": stamp, "last_seen": stamp, "score": 1.0},
        **{"body_pose": pose, "head_pose": pose, "velocity_valid": False, "truncated": False},
        velocity=t["geometry_msgs/msg/Vector3"](0, 0, 0),
        box_center=t["geometry_msgs/msg/Point"](0, 0, 0),
        box_size=t["geometry_msgs/msg/Vector3"](0, 0, 0),
        **{"stature": 1.7, "scene_agreement": 0.0},
        **{"joint_positions": zeros(POSITIONS), "joint_rotations": zeros(ROTATIONS)},
        body_pose_covariance=zeros(36),
        **{"joint_pixels": zeros(PIXELS), "joint_visibility": zeros(60)},
        **{"betas": zeros(10), "expression": zeros(10), "box_pixels": zeros(4)},
    )
    header = t["std_msgs/msg/Header"](stamp, "camera_color_optical_frame")
    return t["human3r_msgs/msg/HumanArray"](
        header, 1, 1, "0123456789abcdef", pose, True, 1.0, 640, 480, [human] * count
    )


@pytest.mark.parametrize(("count", "size"), [(0, 160), (1, 2950), (5, 14_300), (20, 56_900)])
def test_a_human_array_is_as_large_as_documented(types, count, size):
    data = types.serialize_cdr(human_array(types, count), "human3r_msgs/msg/HumanArray")
    assert len(data) == pytest.approx(size, rel=0.02)


def test_installed_definitions_equal_the_sources():
    share = Path(sys.prefix) / "share" / "human3r_msgs"
    if not share.is_dir():
        pytest.skip("human3r_msgs is not installed with pip in this environment")
    for path in (*MESSAGES, *SERVICES):
        installed = share / path.parent.name / path.name
        assert installed.read_text() == path.read_text(), f"re-install human3r_msgs: {installed}"


def test_the_node_uses_the_same_definitions():
    from human3r_msgs.msg import FrameStatus, Human, HumanArray
    from rclpy.serialization import deserialize_message, serialize_message

    message = HumanArray(humans=[Human(id="h3r00001")])
    assert deserialize_message(serialize_message(message), HumanArray) == message
    assert (Human.NOSE, Human.LEFT_EAR, FrameStatus.RESET_FAULT) == (55, 59, 7)


def test_reset_reasons_are_numbered_as_in_the_message():
    from human3r_msgs.msg import FrameStatus

    from human3r.io import stream_rules

    names = [name for name in vars(stream_rules) if name.startswith("RESET_")]
    assert len(names) == 8
    for name in names:
        assert getattr(FrameStatus, name) == getattr(stream_rules, name)
