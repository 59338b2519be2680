"""BEDLAM, from files that are laid out as the real ones."""

import os

import numpy as np
import pytest
import torch
from human3r_lab.datasets import ViewTruth
from human3r_lab.datasets.bedlam import SOMEBODY, TEST_SCENES, open_bedlam
from human3r_lab.datasets.bedlam_files import (
    engine_camera,
    read_cameras,
    read_exr_depth,
    read_labels,
)
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.errors import InputError
from tests.datasets import published

SCENE = "20221011_1_250_batch01hand_zoom_suburb_a"

# OpenCV reads EXR only with this set; tests write it too.
os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")


@pytest.fixture(scope="module")
def body():
    return load_body_model(default_body_path())


def test_a_view_is_the_sample_of_training(tmp_path, body):
    published.bedlam(tmp_path, SCENE)
    (sequence,) = open_bedlam(tmp_path, body, "train")
    assert sequence.name == f"{SCENE}/seq_000003"
    assert len(sequence) == 3
    assert sequence.metadata["body"] == "smplx_neutral"
    view = sequence.view(1)
    assert isinstance(view, ViewTruth)
    assert view.image.shape == (36, 64, 3)
    assert view.depth_m.dtype == np.float32
    assert view.depth_m[5, 5] == 4
    assert (view.depth_m[:2] == 0).all(), "neither sky nor beyond 200 m"
    assert set(np.unique(view.person_index)) == {0, SOMEBODY}
    assert view.person_index[15, 25] == SOMEBODY
    assert view.intrinsics.fx == view.intrinsics.fy == 18 / 36 * 64
    assert (view.intrinsics.cx, view.intrinsics.cy) == (31.5, 17.5)
    assert view.stamp_ns == 200_000_000
    assert view.people.person_ids.tolist() == [1, 2]


def test_bodies_are_where_the_labels_put_them(tmp_path, body):
    published.bedlam(tmp_path, SCENE)
    (sequence,) = open_bedlam(tmp_path, body, "train")
    labels = read_labels(tmp_path / "bedlam_labels" / f"{SCENE}.npz")
    people = sequence.view(0).people
    mesh = body(
        *(
            torch.from_numpy(getattr(people, name))
            for name in ("rotations", "betas", "expression", "head_camera")
        )
    )
    rest = body.rest_joints(torch.from_numpy(people.betas))[:, 0].numpy()
    # SMPL-X files put the pelvis at its place in the rest pose plus the translation.
    want = rest + np.array([[0, 0, 2], [0, 0, 3]])
    assert np.allclose(mesh.joints[:, 0].numpy(), want, atol=1e-4)
    vectors = Rotation.from_matrix(people.rotations[0]).as_rotvec()
    assert np.allclose(vectors, labels.rotation_vectors[0], atol=1e-5)


def test_hands_and_jaw_change_places_and_eyes_are_dropped(tmp_path, body):
    pose = np.zeros((6, 55, 3))
    pose[:, 22, 0], pose[:, 23, 0], pose[:, 25, 1], pose[:, 40, 2] = 0.1, 0.2, 0.3, 0.4
    published.bedlam(tmp_path, SCENE, pose_cam=pose.reshape(6, 165))
    labels = read_labels(tmp_path / "bedlam_labels" / f"{SCENE}.npz")
    vectors = labels.rotation_vectors[0]
    assert vectors[52].tolist() == [0.1, 0, 0], "the jaw comes last"
    assert vectors[22].tolist() == [0, 0.3, 0], "the left hand comes after the body"
    assert vectors[37].tolist() == [0, 0, 0.4]
    assert np.abs(vectors).sum() == pytest.approx(0.8), "no eyes"


def test_the_ten_nearest_in_front_of_the_camera_are_kept(tmp_path, body):
    extrinsics = np.tile(np.eye(4), (13 * 3, 1, 1))
    extrinsics[:, 2, 3] = np.tile(14.0 - np.arange(13), 3)
    extrinsics[::13, 2, 3] = -3
    published.bedlam(tmp_path, SCENE, people=13, cam_ext=extrinsics)
    (sequence,) = open_bedlam(tmp_path, body, "train")
    people = sequence.view(2).people
    assert len(people) == 10
    assert (np.diff(np.linalg.norm(people.head_camera, axis=-1)) > 0).all()
    assert 1 not in people.person_ids, "behind the camera"


def test_the_cameras_of_the_engine_look_where_they_should(tmp_path):
    ahead = engine_camera(100, 200, 300, yaw=0, pitch=0, roll=0)
    assert np.allclose(ahead[:3, 3], [1, -2, 3])
    assert np.allclose(ahead[:3, :3] @ [0, 0, 1], [1, 0, 0]), "z of the camera is ahead"
    assert np.allclose(ahead[:3, :3] @ [0, 1, 0], [0, 0, -1]), "y of the camera is down"
    right = engine_camera(0, 0, 0, yaw=90, pitch=0, roll=0)
    assert np.allclose(right[:3, :3] @ [0, 0, 1], [0, -1, 0]), "turned to the right"
    lifted = engine_camera(0, 0, 0, yaw=0, pitch=30, roll=0)
    assert (lifted[:3, :3] @ [0, 0, 1])[2] == pytest.approx(0.5), "looks up"
    tilted = engine_camera(0, 0, 0, yaw=0, pitch=0, roll=30)
    assert (tilted[:3, :3] @ [1, 0, 0])[2] == pytest.approx(-0.5), "right side down"
    anyhow = engine_camera(1, 2, 3, 40, -20, 70)[:3, :3]
    assert np.allclose(anyhow @ anyhow.T, np.eye(3))
    assert np.linalg.det(anyhow) == pytest.approx(1)


def test_some_scenes_and_sequences_are_left_out(tmp_path, body):
    published.bedlam(tmp_path, SCENE)
    for scene in ("20221017_3_1000_batch01hand", "20221012_1_500_batch01hand_closeup_suburb_b"):
        published.bedlam(tmp_path, scene)
    published.bedlam(tmp_path, TEST_SCENES[0])
    assert [s.scene for s in open_bedlam(tmp_path, body, "train")] == [SCENE]
    assert [s.scene for s in open_bedlam(tmp_path, body, "test")] == [TEST_SCENES[0]]
    (tmp_path / "excluded_sequences.txt").write_text(f"{SCENE}/seq_000003\n")
    with pytest.raises(InputError, match="no sequence of the train split"):
        open_bedlam(tmp_path, body, "train")
    with pytest.raises(InputError, match="train or test"):
        open_bedlam(tmp_path, body, "val")


def test_what_is_missing_is_named(tmp_path, body):
    with pytest.raises(InputError, match=r"bedlam_labels.*registration"):
        open_bedlam(tmp_path, body, "train")
    folder = published.bedlam(tmp_path, SCENE)
    (sequence,) = open_bedlam(tmp_path, body, "train")
    for pattern in ("png/*/*_0005.png", "depth/*/*_0005_depth.exr", "masks/*/*_0005_env.png"):
        (path,) = folder.glob(pattern)
        content = path.read_bytes()
        for damaged in (None, content[:-50]):
            path.unlink(missing_ok=True)
            if damaged:
                path.write_bytes(damaged)
            with pytest.raises(InputError, match=path.name):
                sequence.view(1)
        path.write_bytes(content)
    assert sequence.view(1).depth_m.max() == 4
    cameras = next((folder / "ground_truth" / "camera").iterdir())
    lines = cameras.read_text().splitlines()
    for text in ("\n".join(lines[:3]), "name,x\na,1\n", lines[0] + "\na,1,2,3,4,5,6,nan,0,0,0\n"):
        cameras.write_text(text)
        with pytest.raises(InputError, match=r"seq_000003|camera\.csv"):
            open_bedlam(tmp_path, body, "train")


@pytest.mark.parametrize(
    "labels",
    [
        {"pose_cam": np.zeros((6, 100))},
        {"trans_cam": np.full((6, 3), np.inf)},
        {"sub": np.array(["a"])},
        {"shape": np.zeros((6, 5))},
        {"imgname": np.array([{"a": 1}] * 6, dtype=object)},
    ],
)
def test_damaged_labels_are_refused(tmp_path, body, labels):
    published.bedlam(tmp_path, SCENE, **labels)
    with pytest.raises(InputError, match=SCENE):
        open_bedlam(tmp_path, body, "train")


def test_an_exr_of_absurd_size_is_not_decoded(tmp_path):
    path = published.exr(tmp_path / "a.exr", 0)
    content = bytearray(path.read_bytes())
    place = content.index(b"dataWindow") + len(b"dataWindow\0box2i\0") + 4
    content[place + 8 : place + 16] = np.array([2**20, 2**20], "<i4").tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match="1048577x1048577"):
        read_exr_depth(path)


def test_cameras_are_named_by_their_frame(tmp_path):
    folder = published.bedlam(tmp_path, SCENE)
    cameras = read_cameras(folder / "ground_truth" / "camera" / "seq_000003_camera.csv")
    assert sorted(cameras) == [f"seq_000003_{n:04d}" for n in (0, 5, 10)]
    assert np.allclose(cameras["seq_000003_0010"].world_from_camera[:3, 3], [2, -2, 1.5])
