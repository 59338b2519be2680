import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from human3r.config import SceneSettings
from human3r.errors import InputError, OutputError
from human3r.io.results import (
    FrameFiles,
    PeopleFile,
    ResultFolder,
    SceneFile,
    TrajectoryFile,
    read_trajectory,
    whole_file,
    write_ply,
)
from human3r.io.scene_cloud import SceneCloud
from human3r.mapping.points import select_static_points
from human3r.types import TrackState
from tests.viewer import synthetic_estimates as synthetic


@pytest.fixture(scope="module")
def walk():
    return list(synthetic.walk(4))


def feed(writer, results):
    for frame, estimate in results:
        writer.add(frame, estimate)
    writer.finish()


def test_a_frame_file_holds_everything_an_analyst_needs(tmp_path, walk):
    feed(FrameFiles(tmp_path / "frames"), walk)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == [
        f"{n:06d}.npz" for n in range(4)
    ]
    _, estimate = walk[2]
    with np.load(tmp_path / "frames" / "000002.npz") as arrays:
        assert int(arrays["stamp_ns"]) == estimate.stamp_ns
        np.testing.assert_allclose(arrays["depth"], estimate.depth, rtol=1 / 8192)
        np.testing.assert_array_equal(arrays["image"], estimate.image)
        np.testing.assert_array_equal(arrays["world_from_camera"], estimate.world_from_camera)
        np.testing.assert_array_equal(arrays["intrinsics"], estimate.intrinsics.matrix())
        np.testing.assert_array_equal(arrays["track_id"], [1, 2])
        np.testing.assert_array_equal(arrays["joints_camera"][1], estimate.people[1].joints_camera)
        assert arrays["rotations"].shape == (2, 53, 3, 3)
        assert arrays["source_size"].tolist() == list(synthetic.SOURCE)


def test_the_people_file_has_one_row_per_person_and_frame(tmp_path, walk):
    nobody = synthetic.estimate(9)
    feed(PeopleFile(tmp_path / "people.npz"), [nobody, *walk, nobody])
    with np.load(tmp_path / "people.npz") as arrays:
        assert arrays["frame"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
        assert arrays["track_id"].tolist() == [1, 2] * 4
        assert arrays["track_state"].tolist() == [TrackState.OK] * 8
        assert arrays["joints_camera"].shape == (8, 55, 3)
        np.testing.assert_array_equal(
            arrays["joints_camera"][5], walk[2][1].people[1].joints_camera
        )
        np.testing.assert_array_equal(arrays["world_from_camera"][6], walk[3][1].world_from_camera)
    assert [p.name for p in tmp_path.iterdir()] == ["people.npz"]


def test_a_run_without_people_still_gives_a_readable_file(tmp_path):
    feed(PeopleFile(tmp_path / "people.npz"), [synthetic.estimate(0)])
    with np.load(tmp_path / "people.npz") as arrays:
        assert arrays["track_id"].shape == (0,)
        assert arrays["rotations"].shape == (0, 53, 3, 3)


def test_equal_runs_give_equal_bytes(tmp_path, walk):
    for name in ("a.npz", "b.npz"):
        feed(PeopleFile(tmp_path / name), walk)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_trajectory_keeps_every_nanosecond_and_pose(tmp_path, walk):
    path = tmp_path / "trajectory.tum"
    results = [
        (frame, replace(estimate, stamp_ns=1_700_000_000_123_456_789 + number))
        for number, (frame, estimate) in enumerate(walk)
    ]
    feed(TrajectoryFile(path), results)
    stamps_ns, poses = read_trajectory(path)
    assert stamps_ns.tolist() == [estimate.stamp_ns for _, estimate in results]
    expected = [estimate.world_from_camera for _, estimate in results]
    np.testing.assert_allclose(poses, expected, atol=2e-8)


@pytest.mark.parametrize("text", ["1 2 3\n", "1 0 0 0 0 0 0 nan\n", "x 0 0 0 0 0 0 1\n", "\xff"])
def test_a_bad_trajectory_is_refused(tmp_path, text):
    path = tmp_path / "t.tum"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"t\.tum"):
        read_trajectory(path)


def test_the_scene_is_in_the_world_frame_without_people(tmp_path, walk):
    scene = SceneSettings(voxel_m=0.0, edge_filter=0.0, max_points=400_000)
    cloud = SceneCloud(0.05)
    path = tmp_path / "scene.ply"
    feed(SceneFile(path, lambda e: select_static_points(e, scene), cloud), walk)
    mesh = trimesh.load(path)
    points = np.asarray(mesh.vertices)
    assert len(points) > 1000
    room = np.min(
        [
            np.abs(points[:, 1] - synthetic.FLOOR_M),
            np.abs(points[:, 2] - synthetic.WALL_M),
            np.abs(np.abs(points[:, 0]) - synthetic.SIDE_M),
        ],
        axis=0,
    )
    # Averages over a voxel on the edge between wall and floor lie a little inside.
    assert np.quantile(room, 0.98) < 0.01
    assert room.max() < 0.05
    assert np.asarray(mesh.colors)[:, :3].std(axis=0).min() > 5


def test_a_ply_file_round_trips(tmp_path):
    points = np.array([[0.5, -1, 2], [3, 4, 5]], np.float32)
    colors = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)
    write_ply(tmp_path / "a.ply", points, colors)
    loaded = trimesh.load(tmp_path / "a.ply")
    np.testing.assert_array_equal(np.asarray(loaded.vertices, np.float32), points)
    np.testing.assert_array_equal(np.asarray(loaded.colors)[:, :3], colors)
    write_ply(tmp_path / "none.ply", points[:0], colors[:0])
    assert b"element vertex 0" in (tmp_path / "none.ply").read_bytes()


def test_the_scene_cloud_averages_within_a_cube():
    cloud = SceneCloud(1.0)
    cloud.add(
        np.array([[0.2, 0.5, 0.5], [0.4, 0.5, 0.5]]), np.array([[10] * 3, [20] * 3], np.uint8)
    )
    cloud.add(
        np.array([[0.6, 0.5, 0.5], [1.5, 0.5, 0.5]]), np.array([[30] * 3, [90] * 3], np.uint8)
    )
    points, colors, counts = cloud.result()
    np.testing.assert_allclose(points, [[0.4, 0.5, 0.5], [1.5, 0.5, 0.5]], atol=1e-6)
    assert colors[:, 0].tolist() == [20, 90]
    assert counts.tolist() == [3, 1]


def test_the_scene_cloud_stays_bounded_and_drops_what_is_not_finite():
    rng = np.random.default_rng(0)
    cloud = SceneCloud(0.001, max_points=500)
    for _ in range(5):
        points = rng.uniform(-1, 1, (2000, 3))
        points[0], points[1] = np.nan, 1e12
        cloud.add(points, np.zeros((2000, 3), np.uint8))
    points, _, counts = cloud.result()
    assert 0 < len(points) <= 500
    assert counts.sum() == 5 * 1998
    assert np.isfinite(points).all()


def test_an_empty_scene_cloud_gives_no_points():
    points, colors, counts = SceneCloud(0.1).result()
    assert (points.shape, colors.shape, counts.shape) == ((0, 3), (0, 3), (0,))


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.bin"

    def fail_midway():
        with whole_file(path) as file:
            file.write(b"half")
            assert not path.exists()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def test_aborted_writers_leave_nothing(tmp_path, walk):
    writers = [PeopleFile(tmp_path / "people.npz"), TrajectoryFile(tmp_path / "t.tum")]
    for writer in writers:
        writer.add(*walk[0])
        writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gets_its_name_when_complete(tmp_path):
    with ResultFolder(tmp_path / "deep" / "out") as folder:
        (folder.part / "a").write_text("x")
        assert not (tmp_path / "deep" / "out").exists()
    assert folder.path == tmp_path / "deep" / "out"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_folder_that_failed_is_gone(tmp_path):
    def fail_midway():
        with ResultFolder(tmp_path / "out") as folder:
            (folder.part / "a").write_text("x")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_gets_a_number_and_keeps_its_content(tmp_path):
    for expected in ("out", "out-2", "out-3"):
        with ResultFolder(tmp_path / "out") as folder:
            (folder.part / "a").write_text(expected)
        assert folder.path.name == expected
    assert (tmp_path / "out" / "a").read_text() == "out"


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    with ResultFolder(tmp_path / "out") as folder:
        (folder.part / "a").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_two_runs_at_once_never_share_a_folder(tmp_path):
    with ResultFolder(tmp_path / "out") as first, ResultFolder(tmp_path / "out") as second:
        assert first.part != second.part
        for folder in (first, second):
            (folder.part / "a").write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out-2"]


def test_a_folder_filled_meanwhile_is_not_overwritten(tmp_path):
    with ResultFolder(tmp_path / "out") as folder:
        (folder.part / "a").write_text("ours")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("theirs")
    assert (tmp_path / "out" / "a").read_text() == "theirs"
    assert folder.path == tmp_path / "out-2"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="is a file"), ResultFolder(tmp_path / "out"):
        pass
    with pytest.raises(OutputError, match="cannot be written"):
        with ResultFolder(tmp_path / "out" / "below"):
            pass


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    """The system's limit on file size makes writes fail as a full disk does."""
    code = f"""
        import resource, sys
        sys.path.insert(0, {str(synthetic.__file__.rsplit("/tests/", 1)[0])!r})
        from pathlib import Path
        from human3r.errors import OutputError
        from human3r.io.results import FrameFiles, PeopleFile
        from human3r.viewer.overlay_files import OverlayFiles
        from tests.viewer import synthetic_estimates as synthetic
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        frame, estimate = next(synthetic.walk(1))
        for make in (
            lambda: FrameFiles(Path("frames")),
            lambda: PeopleFile(Path("people.npz")),
            lambda: OverlayFiles(Path("."), synthetic.FACES),
        ):
            writer = None
            try:
                writer = make()
                for _ in range(12):
                    writer.add(frame, estimate)
                writer.finish()
                print("no error")
            except OutputError as error:
                print(error)
                writer.abort()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("cannot be written" in line for line in lines), lines
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_images_written_are_the_images_read(tmp_path, walk):
    from human3r.viewer.overlay_files import write_png

    write_png(tmp_path / "a.png", walk[0][0].image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), walk[0][0].image)
