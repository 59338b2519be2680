"""The ROS4HRI body chain: angles, URDF and forward kinematics put the limbs where they are."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from human3r_bridge.hri_chain import CHAIN, joint_angles, link_transforms
from human3r_bridge.hri_urdf import urdf
from human3r_bridge.people import confirmed_people
from scipy.spatial.transform import Rotation

from ros2_ws.src.human3r_bridge.tests.bridge_people import (
    STATURE_M,
    make_array,
    make_human,
    random_pose,
    upright,
)

# Upper and lower ends in the chain, and their joints in Human.msg.
BONES = {
    ("l_shoulder", "l_elbow"): (16, 18),
    ("l_elbow", "l_wrist"): (18, 20),
    ("r_shoulder", "r_elbow"): (17, 19),
    ("r_elbow", "r_wrist"): (19, 21),
    ("l_hip", "l_knee"): (1, 4),
    ("l_knee", "l_ankle"): (4, 7),
    ("r_hip", "r_knee"): (2, 5),
    ("r_knee", "r_ankle"): (5, 8),
}
UPPER = [bone for bone in BONES if bone[0].endswith(("shoulder", "hip"))]
MIRRORED = np.array(
    [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, *range(22, 55)]
)


def person_in(rotations):
    (person,) = confirmed_people(make_array(make_human(rotations=rotations)))
    return person


def turned(**joints):
    """The zero pose with some joints turned: (axes, degrees) by number."""
    rotations = upright()
    for name, (axes, degrees) in joints.items():
        turn = Rotation.from_euler(axes, degrees, degrees=True).as_matrix()
        rotations[int(name[1:])] = rotations[int(name[1:])] @ turn
    return rotations


HANGING = {"j16": ("z", -80), "j17": ("z", 80)}


def forward_kinematics(angles, stature_m):
    """Every link in the body frame, as a reader of the URDF computes it."""
    robot = ET.fromstring(urdf("x", stature_m))
    links = {"body": np.eye(4)}
    for joint in robot.findall("joint"):
        parent, child = (
            joint.find(end).get("link").removesuffix("_x") for end in ("parent", "child")
        )
        step = np.eye(4)
        step[:3, 3] = [float(v) for v in joint.find("origin").get("xyz").split()]
        if joint.get("type") == "revolute":
            axis = np.array([float(v) for v in joint.find("axis").get("xyz").split()])
            angle = angles[joint.get("name").removesuffix("_x")]
            step[:3, :3] = Rotation.from_rotvec(axis * angle).as_matrix()
        links[child] = links[parent] @ step
    return links


def joints_in_body(person):
    return (person.joints_camera - person.camera_from_body[:3, 3]) @ person.camera_from_body[:3, :3]


def unit(v):
    return v / np.linalg.norm(v)


def off_angle(person, links, bone):
    """Between a bone of the chain and that of the person, rad."""
    joints = joints_in_body(person)
    start, end = BONES[bone]
    chain = unit(links[bone[1]][:3, 3] - links[bone[0]][:3, 3])
    return np.arccos(np.clip(chain @ unit(joints[end] - joints[start]), -1, 1))


def bend(person, bone):
    """Sine of the angle at the upper end of a lower bone."""
    joints = joints_in_body(person)
    start, end = BONES[bone]
    before = next(BONES[upper][0] for upper in UPPER if BONES[upper][1] == start)
    return np.linalg.norm(
        np.cross(unit(joints[start] - joints[before]), unit(joints[end] - joints[start]))
    )


@pytest.mark.parametrize("seed", range(40))
def test_limbs_and_head_point_where_the_persons_do(seed):
    person = person_in(random_pose(seed, 0.5))
    links = forward_kinematics(joint_angles(person), STATURE_M)
    for bone in UPPER:
        assert off_angle(person, links, bone) < 1e-3
    for bone in set(BONES) - set(UPPER):
        # A nearly straight limb is twisted as the body model says, not as a random sideways
        # bend, which no elbow or knee makes, would have it.
        assert off_angle(person, links, bone) < (1e-3 if bend(person, bone) > 0.5 else 0.6)
    face = person.camera_from_body[:3, :3].T @ person.camera_from_head[:3, :3]
    np.testing.assert_allclose(links["head"][:3, :3], face, atol=1e-6)


@pytest.mark.parametrize(
    "joints",
    [
        {},
        HANGING,
        {**HANGING, "j18": ("y", -90), "j19": ("y", 45)},
        {**HANGING, "j1": ("x", -90), "j4": ("x", 90), "j2": ("x", -85), "j5": ("x", 80)},
        {**HANGING, "j1": ("x", -25), "j4": ("x", 30), "j2": ("x", 20), "j5": ("x", 5)},
        {**HANGING, "j0": ("xyz", (10, 160, 5)), "j15": ("y", 40), "j3": ("x", 10)},
    ],
    ids=["arms out", "standing", "elbows bent", "sitting", "walking", "turned"],
)
def test_joints_of_usual_poses_are_met_within_the_difference_of_proportions(joints):
    person = person_in(turned(**joints))
    links = forward_kinematics(joint_angles(person), STATURE_M)
    places = joints_in_body(person)
    for bone, ends in BONES.items():
        # A straight leg is slightly knock-kneed, which a hinge cannot be.
        assert off_angle(person, links, bone) < 0.06
        for link, joint in zip(bone, ends, strict=True):
            limit_m = 0.2 if bone[0][2:] in ("shoulder", "elbow") else 0.1
            assert np.linalg.norm(links[link][:3, 3] - places[joint]) < limit_m


def test_worked_angles():
    angles = joint_angles(person_in(turned(**HANGING, j18=("y", -90), j4=("x", 60), j15=("y", 30))))
    # Arms 80 degrees below the shoulders' line: 10 degrees from straight down.
    assert np.degrees(angles["l_p_shoulder"]) == pytest.approx(10, abs=1)
    assert np.degrees(angles["r_p_shoulder"]) == pytest.approx(10, abs=1)
    assert np.degrees(angles["l_elbow"]) == pytest.approx(90, abs=0.1)
    assert np.degrees(angles["r_elbow"]) == pytest.approx(0, abs=0.1)
    assert np.degrees(angles["l_knee"]) == pytest.approx(-60, abs=2)
    assert np.degrees(angles["r_knee"]) == pytest.approx(0, abs=2)
    assert np.degrees(angles["y_head"]) == pytest.approx(30, abs=1)
    assert np.degrees(angles["waist"]) == pytest.approx(1.7, abs=0.2)


def test_bending_forward_and_raising_a_leg_are_positive():
    bent = joint_angles(person_in(turned(j3=("x", 40))))
    assert 0.4 < bent["waist"] < 0.8
    raised = joint_angles(person_in(turned(j1=("x", -50))))
    assert np.degrees(raised["l_r_hip"]) == pytest.approx(50, abs=2)
    assert abs(raised["r_r_hip"]) < 0.1


@pytest.mark.parametrize("seed", range(10))
def test_a_mirrored_person_has_mirrored_angles(seed):
    rotations = random_pose(seed, 0.4)
    mirror = np.diag([-1.0, 1.0, 1.0])
    # Reflect every rotation and swap left and right.
    mirrored = mirror @ rotations[MIRRORED] @ mirror
    ours, theirs = joint_angles(person_in(rotations)), joint_angles(person_in(mirrored))
    for name in ours:
        side, _, part = name.partition("_")
        if side in ("l", "r") and part not in ("head", "y_hip"):
            other = ("r_" if side == "l" else "l_") + part
            assert theirs[other] == pytest.approx(ours[name], abs=1e-5), name
    # These two turn about one axis on both sides of the description.
    assert theirs["r_y_hip"] == pytest.approx(-ours["l_y_hip"], abs=1e-5)
    assert theirs["y_head"] == pytest.approx(-ours["y_head"], abs=1e-5)
    assert theirs["r_head"] == pytest.approx(-ours["r_head"], abs=1e-5)
    assert theirs["p_head"] == pytest.approx(ours["p_head"], abs=1e-5)


@pytest.mark.parametrize(
    "joints",
    [
        {"j16": ("z", -90), "j17": ("z", 90)},
        {"j16": ("z", 90), "j17": ("z", -90)},
        {"j15": ("y", 90)},
        {"j1": ("z", 90)},
        {"j18": ("y", 180), "j19": ("x", 180)},
        {"j12": ("x", 180)},
    ],
)
def test_every_pose_at_the_edge_has_finite_angles_that_still_fit(joints):
    person = person_in(turned(**joints))
    angles = joint_angles(person)
    assert np.isfinite(list(angles.values())).all()
    links = forward_kinematics(angles, STATURE_M)
    for bone in UPPER:
        assert off_angle(person, links, bone) < 1e-3


def test_a_body_whose_joints_coincide_has_finite_angles():
    human = make_human()
    flat = np.tile([0.0, 0.0, 3.0], 60).astype(np.float32)
    human.joint_positions = flat
    (person,) = confirmed_people(make_array(human))
    angles = joint_angles(person)
    assert np.isfinite(list(angles.values())).all()
    for _, _, matrix in link_transforms(angles, STATURE_M):
        assert np.isfinite(matrix).all()


def test_the_urdf_and_the_broadcast_links_are_one_chain():
    angles = joint_angles(person_in(random_pose(3)))
    links = {"body": np.eye(4)}
    for parent, child, parent_from_child in link_transforms(angles, 1.7):
        links[child] = links[parent] @ parent_from_child
    from_urdf = forward_kinematics(angles, 1.7)
    assert links.keys() == from_urdf.keys()
    for name, body_from_link in links.items():
        # The URDF writes tenths of a millimetre.
        np.testing.assert_allclose(body_from_link, from_urdf[name], atol=5e-4)


def test_the_urdf_has_the_names_geometry_and_limits_of_human_description():
    robot = ET.fromstring(urdf("h3r00001", 7.5))
    joints = {joint.get("name"): joint for joint in robot.findall("joint")}
    assert len(joints) == len(CHAIN) == 26
    links = [link.get("name") for link in robot.findall("link")]
    assert len(links) == len(set(links)) == 27
    assert all(name.endswith("_h3r00001") for name in (*links, *joints))
    # Stature 7.5 m makes the unit one metre.
    expected = {
        "waist": ("revolute", "body", "waist", (0, 0, 0), (0, 1, 0), (-0.2, 1.0)),
        "torso": ("fixed", "waist", "torso", (0, 0, 2.75), None, None),
        "r_head": ("revolute", "torso", "r_head", (0, 0, 0.25), (1, 0, 0), (-1, 1)),
        "y_head": ("revolute", "r_head", "y_head", (0, 0, 0), (0, 0, 1), (-1.4, 1.4)),
        "p_head": ("revolute", "y_head", "p_head", (0, 0, 0), (0, -1, 0), (-1.5, 1.5)),
        "head": ("fixed", "p_head", "head", (0.25, 0, 0.5), None, None),
        "l_y_shoulder": ("revolute", "torso", "l_y_shoulder", (0, 0.8, 0), (0, 0, -1), (-1.1, 1.9)),
        "r_y_shoulder": ("revolute", "torso", "r_y_shoulder", (0, -0.8, 0), (0, 0, 1), (-1.1, 1.9)),
        "l_p_shoulder": (
            *("revolute", "l_y_shoulder", "l_p_shoulder"),
            *((0, 0, 0), (1, 0, 0), (-0.4, 3.3)),
        ),
        "r_r_shoulder": (
            *("revolute", "r_p_shoulder", "r_shoulder"),
            *((0, 0, 0), (0, 0, -1), (-1.7, 1.5)),
        ),
        "l_elbow": ("revolute", "l_shoulder", "l_elbow", (0, 0, -1.6), (0, -1, 0), (0, 2.5)),
        "r_wrist": ("fixed", "r_elbow", "r_wrist", (0, 0, -1), None, None),
        "l_y_hip": ("revolute", "body", "l_y_hip", (0, 0.6, 0), (0, 0, -1), (-0.1, 0.6)),
        "r_y_hip": ("revolute", "body", "r_y_hip", (0, -0.6, 0), (0, 0, -1), (-0.1, 0.6)),
        "r_p_hip": ("revolute", "r_y_hip", "r_p_hip", (0, 0, 0), (-1, 0, 0), (-0.4, 3.3)),
        "l_r_hip": ("revolute", "l_p_hip", "l_hip", (0, 0, 0), (0, -1, 0), (-0.4, 0.7)),
        "l_knee": ("revolute", "l_hip", "l_knee", (0, 0, -1.5), (0, -1, 0), (-2.5, 0)),
        "r_ankle": ("fixed", "r_knee", "r_ankle", (0, 0, -2), None, None),
    }
    for name, (kind, parent, child, offset, axis, limits) in expected.items():
        joint = joints[f"{name}_h3r00001"]
        assert joint.get("type") == kind
        assert joint.find("parent").get("link") == f"{parent}_h3r00001"
        assert joint.find("child").get("link") == f"{child}_h3r00001"
        assert [float(v) for v in joint.find("origin").get("xyz").split()] == pytest.approx(offset)
        if axis is not None:
            assert [float(v) for v in joint.find("axis").get("xyz").split()] == list(axis)
            limit = joint.find("limit")
            assert (float(limit.get("lower")), float(limit.get("upper"))) == limits


def test_every_drawn_bone_reaches_from_its_joint_to_the_next():
    robot = ET.fromstring(urdf("x", 7.5))
    length = {
        link.get("name"): float(link.find("visual/geometry/cylinder").get("length"))
        for link in robot.findall("link")
        if link.find("visual/geometry/cylinder") is not None
    }
    assert length["l_shoulder_x"] == 1.6
    assert length["r_elbow_x"] == 1.0
    assert length["l_hip_x"] == 1.5
    assert length["r_knee_x"] == 2.0
    thigh = next(link for link in robot.findall("link") if link.get("name") == "l_hip_x")
    assert thigh.find("visual/origin").get("xyz") == "0.0000 0.0000 -0.7500"
