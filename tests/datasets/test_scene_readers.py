"""TUM, Bonn, 7-Scenes, Sintel and KITTI, from files that are laid out as the real ones."""

import re

import numpy as np
import pytest
from human3r_lab.datasets.files import nearest, read_depth_png, read_rgb
from human3r_lab.datasets.kitti import crop, open_kitti
from human3r_lab.datasets.sevenscenes import open_seven_scenes, registered
from human3r_lab.datasets.sintel import open_sintel, read_cam, read_dpt
from human3r_lab.datasets.tum import open_bonn, open_tum_dynamics

from human3r.errors import InputError
from tests.datasets import published


def test_tum_images_have_the_pose_and_depth_of_their_time(tmp_path):
    published.tum(tmp_path / "rgbd_dataset_freiburg3_walking_xyz")
    published.tum(tmp_path / "rgbd_dataset_freiburg3_long_office_household")
    (sequence,) = open_tum_dynamics(tmp_path)
    assert sequence.name == "rgbd_dataset_freiburg3_walking_xyz"
    assert len(sequence) == 5
    view = sequence.view(3)
    assert view.stamp_ns == 1_000_300_000_000
    assert view.image.shape == (48, 64, 3)
    assert view.depth_m[1, 0] == 5
    assert view.depth_m[0, 0] == 0
    assert np.allclose(view.world_from_camera[:3, 3], [0.3, 0, 1])
    assert np.allclose(view.world_from_camera[:3, 0], [0, 1, 0], atol=1e-6)
    assert view.intrinsics.fx == 535.4


def test_tum_images_without_a_pose_are_left_out(tmp_path):
    folder = published.tum(tmp_path / "rgbd_dataset_freiburg3_sitting_rpy")
    lines = (folder / "groundtruth.txt").read_text().splitlines()
    (folder / "groundtruth.txt").write_text("\n".join(lines[:12]) + "\n")
    assert len(open_tum_dynamics(tmp_path)[0]) == 3
    (folder / "groundtruth.txt").write_text("5.0 0 0 0 0 0 0 1\n")
    with pytest.raises(InputError, match="one clock"):
        open_tum_dynamics(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("groundtruth.txt", "1000.0 0 0\n"),
        ("groundtruth.txt", "1000.0 0 0 nan 0 0 0 1\n"),
        ("groundtruth.txt", "1000.0 0 0 0 0 0 0 0\n"),
        ("groundtruth.txt", ""),
        ("rgb.txt", "now rgb/a.png\n"),
        ("rgb.txt", "1000.0 ../../secret.png\n"),
        ("rgb.txt", "1000.0 /etc/passwd\n"),
        ("rgb.txt", "# nothing\n"),
    ],
)
def test_damaged_lists_of_tum_are_named(tmp_path, name, text):
    folder = published.tum(tmp_path / "rgbd_dataset_freiburg3_walking_xyz")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(name)):
        open_tum_dynamics(tmp_path)


def test_bonn_takes_the_five_sequences_of_the_benchmark(tmp_path):
    published.tum(tmp_path / "rgbd_bonn_balloon2")
    published.tum(tmp_path / "rgbd_bonn_balloon")
    (sequence,) = open_bonn(tmp_path)
    assert sequence.name == "rgbd_bonn_balloon2"
    assert sequence.view(0).depth_m[1, 0] == 2


def test_seven_scenes_are_brought_to_the_colour_camera(tmp_path):
    published.seven_scenes(tmp_path / "chess" / "seq-03")
    (sequence,) = open_seven_scenes(tmp_path)
    assert sequence.name == "chess-seq-03"
    view = sequence.view(2)
    assert view.stamp_ns == 100_000_000
    assert view.intrinsics.fx == 525
    # The depth camera looks along x, so its right is the world's -y.
    assert np.allclose(view.world_from_camera[:3, 3], [0.2, -0.025, 1])
    assert view.depth_m.shape == (480, 640)
    assert view.depth_m[200, 320] == 2
    assert (view.depth_m[-150:] == 0).all(), "65535 is no depth"
    assert (view.depth_m[:, :20] == 0).all(), "colour sees more than depth"


def test_registered_depth_keeps_the_nearer_of_two_points():
    depth = np.zeros((480, 640), np.float32)
    # A point at the depth camera's centre, 1 m away, is seen 525 * 0.025 px to the left.
    depth[240, 320] = 1.0
    # Ten metres away and seen by colour at the same pixel.
    depth[240, 307] = 10.0
    seen = registered(depth)
    assert np.argwhere(seen).tolist() == [[240, 307]]
    assert seen[240, 307] == 1


def test_seven_scenes_take_the_test_split_and_flat_folders(tmp_path):
    for number in (1, 2, 12):
        published.seven_scenes(tmp_path / "fire" / f"seq-{number:02d}", frames=1)
    (tmp_path / "fire" / "TestSplit.txt").write_text("sequence2\nsequence12\n")
    published.seven_scenes(tmp_path / "flat", frames=1, suffix="jpg")
    names = [sequence.name for sequence in open_seven_scenes(tmp_path)]
    assert names == ["flat", "fire-seq-02", "fire-seq-12"]
    assert [s.name for s in open_seven_scenes(tmp_path / "fire")] == ["seq-02", "seq-12"]
    assert [s.name for s in open_seven_scenes(tmp_path / "flat")] == ["flat"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("frame-000001.pose.txt", None),
        ("frame-000001.depth.png", None),
        ("frame-000001.pose.txt", "1 0 0 0\n0 1 0 0\n"),
        ("frame-000001.pose.txt", "1 0 0 0\n0 1 0 0\n0 0 1 -1.#IND\n0 0 0 1\n"),
        ("frame-000001.pose.txt", "1 0 0 0\n0 1 0 0\n0 0 nan 0\n0 0 0 1\n"),
        ("frame-000001.pose.txt", "2 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"),
        ("frame-000001.depth.png", "no image"),
        ("frame-000001.color.png", "no image"),
    ],
)
def test_damaged_frames_of_seven_scenes_are_named(tmp_path, name, text):
    folder = published.seven_scenes(tmp_path / "seq-01", frames=2)
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(name)):
        open_seven_scenes(tmp_path)[0].view(1)
    published.depth_png(folder / "frame-000000.depth.png", 1000, 2.0)
    if text is not None:
        with pytest.raises(InputError, match="expected one size"):
            open_seven_scenes(tmp_path)[0].view(0)


def test_sintel_has_exact_depth_and_a_path_where_the_benchmark_takes_it(tmp_path):
    published.sintel(tmp_path, "alley_2")
    published.sintel(tmp_path, "bamboo_1", frames=1)
    alley, bamboo = open_sintel(tmp_path)
    assert (alley.name, bamboo.name) == ("alley_2", "bamboo_1")
    assert bamboo.view(0).world_from_camera is None
    view = alley.view(2)
    assert view.depth_m.shape == (30, 70)
    assert view.depth_m[0, 0] == 7
    assert np.allclose(view.world_from_camera[:3, 3], [0.2, 0, -3])
    assert view.intrinsics.fy == 62
    assert [alley.view(n).stamp_ns for n in range(2)] == [41_666_667, 83_333_334]


@pytest.mark.parametrize("cut", [0, 4, 11, 100])
def test_cut_off_sintel_files_are_refused(tmp_path, cut):
    published.sintel(tmp_path, "alley_2", frames=1)
    for kind, read in (("depth", read_dpt), ("camdata_left", read_cam)):
        (path,) = (tmp_path / "training" / kind / "alley_2").iterdir()
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(InputError, match=re.escape(path.name)):
            read(path)


def test_sintel_sizes_that_are_a_lie_allocate_nothing(tmp_path):
    path = tmp_path / "frame.dpt"
    head = np.float32(202021.25).tobytes()
    for size in ([2**30, 2**30], [-1, -5], [0, 7]):
        path.write_bytes(head + np.array(size, "<i4").tobytes() + b"1234")
        with pytest.raises(InputError, match=r"no whole \.dpt"):
            read_dpt(path)


def test_kitti_is_cropped_to_the_lower_middle(tmp_path):
    published.kitti(tmp_path)
    (sequence,) = open_kitti(tmp_path)
    assert sequence.name == "2011_09_26_drive_0002_sync"
    view = sequence.view(0)
    assert view.image.shape == (352, 1216, 3)
    assert view.depth_m.shape == (352, 1216)
    assert view.depth_m[-1, -1] == 10
    assert view.stamp_ns == 600_000_000
    rows, columns = np.indices((375, 1242))
    assert crop(rows)[[0, -1], 0].tolist() == [23, 374]
    assert crop(columns)[0, [0, -1]].tolist() == [13, 1228]


def test_what_is_missing_is_named_with_the_layout_and_where_to_get_it(tmp_path):
    readers = {open_tum_dynamics: "cvg.cit.tum.de", open_bonn: "uni-bonn"}
    readers |= {open_seven_scenes: "rgb-d-dataset-7-scenes"}
    readers |= {open_sintel: "sintel.is.tue.mpg.de", open_kitti: "cvlibs"}
    for read, place in readers.items():
        with pytest.raises(InputError, match=re.escape(place)):
            read(tmp_path / "nowhere")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="Expected"):
            read(tmp_path / "empty")
    published.kitti(tmp_path)
    next(tmp_path.glob("2011*/*/image_02/data/*5.png")).unlink()
    with pytest.raises(InputError, match=r"0000000005\.png"):
        open_kitti(tmp_path)


def test_damaged_images_are_refused(tmp_path):
    path = published.image(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:200])
    for read in (read_rgb, lambda p: read_depth_png(p, 1)):
        with pytest.raises(InputError, match=r"a\.png"):
            read(path)
        with pytest.raises(InputError, match="nowhere"):
            read(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="one channel"):
        read_depth_png(published.image(tmp_path / "b.png"), 5000)


def test_nearest_finds_what_is_near_enough():
    offered = np.array([3.0, 1.0, 2.0])
    found = nearest(np.array([0.0, 0.95, 1.6, 2.4, 9.0]), offered, 0.45)
    assert found.tolist() == [-1, 1, 2, 2, -1]
