import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import av
import numpy as np
import pytest
from PIL import Image
from rosbags.highlevel import AnyReader

from human3r.cli.main import main
from human3r.config import Settings
from human3r.errors import OutputError
from human3r.io.images import ImageFolderSource
from human3r.io.results import FrameFiles, read_trajectory
from human3r.io.scene_file import read_ply
from human3r.model.default import default_weights_path
from human3r.pipeline import Pipeline
from human3r.setting import load_yaml
from tests.before_torch import commands_in_turn
from tests.drawn_clip import write_clip
from tests.export import readers
from tests.io.media import image_message, picture, write_bag, write_images, write_video
from tests.waiting import wait_until
from tests.warm_process import LOADED, start_warm

STAMP = 1_700_000_000_000_000_000


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, width_px=160, height_px=120, duration_s=1.0)


@pytest.fixture(scope="module")
def arguments(body_file):
    """Everything but the source: small pictures, so that a run takes a second or two."""
    return [
        *("--body-model", str(body_file), "--size", "64"),
        *("--set", "scene.min_confidence=1.0", "--set", "people.min_score=0.05"),
    ]


@pytest.fixture(scope="module")
def usual_run(clip, arguments, tmp_path_factory):
    """What three frames leave, as a bag too where that can be written. Leave it as it is."""
    out = tmp_path_factory.mktemp("usual") / "out"
    bag = ",bag" if find_spec("human3r_ros") else ""
    command = ["run", str(clip), "--out", str(out), "--max-frames", "3"]
    # Whether a voxel is seen in each of three frames hangs on the last millimetre of the camera.
    command += ["--set", "map.min_observations=100", "--save", f"people,trajectory,scene{bag}"]
    assert main([*command, *arguments]) == 0
    return out


def test_a_run_leaves_every_result_and_says_so_in_one_line(clip, arguments, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(clip), "--out", str(out), "--max-frames", "4", *arguments]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("4 frames, ")
    assert str(out) in line
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("people.npz", "trajectory.tum", "scene.ply", "overlay.mp4", "view.png"),
        *("settings.yaml", "summary.json"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 4
    assert summary["weights"]["trained"] is True
    assert summary["files"] == sorted(names - {"settings.yaml", "summary.json"})
    stamps_ns, poses = read_trajectory(out / "trajectory.tum")
    assert len(poses) == 4
    with np.load(out / "people.npz") as people:
        assert sorted(set(people["track_id"].tolist())) == summary["ids"]
        assert summary["ids"], "the made-up network finds somebody at this score"
        assert set(people["stamp_ns"].tolist()) <= set(stamps_ns.tolist())


def test_frames_are_written_when_asked_for_and_their_size_is_said(
    clip, arguments, tmp_path, caplog
):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "3", "--save", "+frames"]
    assert main([*command, *arguments]) == 0
    assert {"frames", "people.npz", "view.png"} <= {path.name for path in out.iterdir()}
    assert "MB for all" in caplog.text
    stamps_ns, poses = read_trajectory(out / "trajectory.tum")
    for number in range(3):
        with np.load(out / "frames" / f"{number:06d}.npz") as frame:
            assert int(frame["stamp_ns"]) == stamps_ns[number]
            np.testing.assert_allclose(frame["world_from_camera"], poses[number], atol=1e-6)


def test_effective_settings_are_written_with_the_run(clip, arguments, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("scene:\n  voxel_m: 0.5\nsession:\n  reset_interval: 3\n")
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "1", "--save", "trajectory"]
    command += [*arguments, "--settings", str(config), "--reset-interval", "2", "--no-ttt3r"]
    assert main(command) == 0
    settings = Settings().replace(load_yaml(out / "settings.yaml"))
    assert settings.scene.voxel_m == 0.5
    assert settings.session.reset_interval == 2
    assert settings.model.ttt3r is False
    assert settings.model.input_size == 64


def test_a_single_image_gives_an_overlay_picture(arguments, tmp_path):
    image = write_images(tmp_path / "in", 1, size=(160, 120)) / "frame0.png"
    out = tmp_path / "out"
    assert main(["run", str(image), "--out", str(out), "--save", "overlay", *arguments]) == 0
    with Image.open(out / "overlay.png") as overlay:
        assert overlay.size == (160, 120)


def test_a_topic_of_a_bag_is_run_with_its_own_stamps(arguments, tmp_path):
    messages = [
        (topic, STAMP + n * 10**8, image_message(STAMP + n * 10**8, picture(n, 160, 120), "rgb8"))
        for n in range(3)
        for topic in ("/left/image", "/right/image")
    ]
    bag = write_bag(tmp_path / "bag", messages)
    out = tmp_path / "out"
    command = ["run", str(bag), "--topic", "/right/image", "--out", str(out)]
    assert main([*command, "--save", "trajectory", *arguments]) == 0
    stamps_ns, _ = read_trajectory(out / "trajectory.tum")
    assert stamps_ns.tolist() == [STAMP + n * 10**8 for n in range(3)]
    assert main([*command[:2], "--out", str(out), *arguments]) == 1


def test_save_chooses_what_is_written(clip, arguments, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "2", "--save", "trajectory"]
    assert main([*command, *arguments]) == 0
    assert {p.name for p in out.iterdir()} == {"trajectory.tum", "settings.yaml", "summary.json"}


def test_a_second_run_gets_a_folder_of_its_own(clip, arguments, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "1", "--save", "trajectory"]
    for _ in range(2):
        assert main([*command, *arguments]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out-2"]


def test_the_same_run_twice_gives_the_same_numbers(usual_run, clip, arguments, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "3"]
    assert main([*command, "--save", "people,trajectory", *arguments]) == 0
    for file in ("people.npz", "trajectory.tum"):
        assert (usual_run / file).read_bytes() == (out / file).read_bytes()


def test_with_nothing_named_the_network_and_body_that_come_along_are_used(clip, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "2", "--save", "people"]
    assert main(command) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["weights"]["variant"] == "human3r_mini"
    assert summary["weights"]["trained"] is True
    assert summary["body_model"] == "free_body.npz"


def test_without_a_body_model_the_free_one_is_used_and_said_so(clip, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "1", "--save", "people"]
    assert main([*command, "--weights", str(default_weights_path()), "--size", "64"]) == 0
    assert "free body" in capsys.readouterr().err
    assert json.loads((out / "summary.json").read_text())["body_model"] == "free_body.npz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "nothing.safetensors"], r"nothing.safetensors"),
        (["--body-model", "nothing.npz"], r"nothing.npz"),
        (["--device", "cuda:99"], r"cuda:99"),
        (["--device", "quantum"], r"quantum"),
        (["--size", "5000"], r"model.input_size is 5000"),
        (["--save", "frames,pictures"], r"pictures"),
        (["--every", "0"], r"every is 0"),
        (["--topic", "/x"], r"no bag"),
        (["--settings", "nothing.yaml"], r"nothing.yaml"),
        (["--max-side", "1"], r"the longest side is 1"),
        (["--fps", "1e-300"], r"the rate is 1e-300"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_left(
    clip, arguments, tmp_path, capsys, options, message
):
    out = tmp_path / "out"
    assert main(["run", str(clip), "--out", str(out), *arguments, *options]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_reader_of_its_line_a_run_is_kept_and_ends_as_other_tools_end(
    clip, arguments, tmp_path
):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "human3r.cli.main", "run", str(clip), "--out", "out"]
    done = subprocess.run(
        [*command, "--max-frames", "2", "--save", "trajectory", *arguments],
        cwd=tmp_path, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
    )  # fmt: skip
    os.close(write_end)
    assert done.returncode == 128 + signal.SIGPIPE
    assert "human3r:" not in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_trajectory(tmp_path / "out" / "trajectory.tum")[0]) == 2


def test_unusable_sources_leave_nothing(arguments, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    write_bag(tmp_path / "bag", [])
    for name in ("empty", "bad.mp4", "bag", "missing.mp4"):
        source = str(tmp_path / name)
        assert main(["run", source, "--out", str(tmp_path / "out"), *arguments]) == 1
        assert name in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


UNUSABLE = {
    "no picture": ("bad.png",),
    "stamps of zero": ("zero",),
    "no body": ("clip", "--body-model", "absent.npz"),
    "no device": ("clip", "--device", "quantum"),
    "no folder": ("clip", "--out", "file"),
}


@pytest.fixture(scope="module")
def refused(clip, tmp_path_factory):
    """How each of these runs ended, and the folder in which it ran."""
    folders = {}
    for name in UNUSABLE:
        folders[name] = folder = tmp_path_factory.mktemp("unusable")
        (folder / "file").write_text("x")
        (folder / "bad.png").write_bytes(b"no picture")
        write_bag(folder / "zero", [("/image", 1, image_message(0, picture(0), "rgb8"))])
        (folder / "clip").symlink_to(clip)
    ends = commands_in_turn((folders[name], ["run", *UNUSABLE[name]]) for name in UNUSABLE)
    return {name: (end, folders[name]) for name, end in zip(UNUSABLE, ends, strict=True)}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_run_is_refused_before_torch_is_loaded(name, refused):
    end, folder = refused[name]
    assert end.code == 1, end.stderr
    assert not end.has_torch
    assert not (folder / "out").exists()


def test_pictures_of_one_pixel_are_run(tmp_path):
    folder = write_images(tmp_path / "in", 2, size=(1, 1))
    options = ["--save", "people,overlay", "--out", str(tmp_path / "out")]
    # The networks that come along take any size; the body and size of the others would not.
    assert main(["run", str(folder), *options]) == 0
    assert (tmp_path / "out" / "overlay.mp4").exists()


def test_one_broken_image_in_a_folder_is_left_out(arguments, tmp_path, caplog):
    folder = write_images(tmp_path / "in", 4, size=(160, 120))
    (folder / "frame2.png").write_bytes(b"broken")
    out = tmp_path / "out"
    assert main(["run", str(folder), "--out", str(out), *arguments, "--save", "trajectory"]) == 0
    assert "frame2.png" in caplog.text
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 3


def test_of_a_source_that_breaks_midway_what_came_before_is_kept(
    arguments, tmp_path, capsys, monkeypatch
):
    folder = write_images(tmp_path / "in", 4, size=(160, 120))
    (folder / "frame2.png").write_bytes(b"broken")
    monkeypatch.setattr(ImageFolderSource, "skips_damaged", False)
    out = tmp_path / "out"
    save = ("--save", "frames,people,trajectory,scene,overlay")
    assert main(["run", str(folder), "--out", str(out), *arguments, *save]) == 1
    captured = capsys.readouterr()
    assert "frame2.png" in captured.err
    assert "2 frames, ended by an error" in captured.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 2
    assert "frame2.png" in summary["error"]
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 2
    assert {"frames", "people.npz", "scene.ply", "overlay.mp4"} <= set(summary["files"])


def test_when_one_file_cannot_be_written_the_others_are_kept(
    arguments, tmp_path, capsys, monkeypatch
):
    folder = write_images(tmp_path / "in", 4, size=(160, 120))
    add = FrameFiles.add

    def full_after_two(self, frame, estimate):
        if self._count == 2:
            raise OutputError("the disk is full")
        add(self, frame, estimate)

    monkeypatch.setattr(FrameFiles, "add", full_after_two)
    out = tmp_path / "out"
    save = ("--save", "trajectory,frames,people")
    assert main(["run", str(folder), "--out", str(out), *arguments, *save]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert len(list((out / "frames").iterdir())) == 2
    assert len(read_trajectory(out / "trajectory.tum")[0]) in (2, 3)
    assert (out / "people.npz").exists()


def test_when_the_last_file_cannot_be_written_the_results_are_kept(
    clip, arguments, tmp_path, capsys, monkeypatch
):
    def full(*_):
        raise OutputError("summary.json: the disk is full")

    monkeypatch.setattr("human3r.cli.run.write_about", full)
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "3", *arguments]
    assert main([*command, "--save", "trajectory"]) == 1
    assert "summary.json: the disk is full" in capsys.readouterr().err
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 3


def test_a_broken_and_an_odd_image_are_left_out_counted_and_said(arguments, tmp_path, capsys):
    folder = write_images(tmp_path / "in", 6, size=(160, 120))
    (folder / "frame1.png").write_bytes(b"broken")
    Image.fromarray(picture(3, 100, 96)).save(folder / "frame3.png")
    out = tmp_path / "out"
    command = ["run", str(folder), "--out", str(out), *arguments, "--save", "trajectory,people"]
    assert main(command) == 0
    assert "4 frames, 2 left out (1 unreadable, 1 of another size)" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["frames"], summary["frames_left_out"]) == (4, 2)
    with np.load(out / "people.npz") as people:
        assert people["frame_session"].tolist() == [0] * 4
    # The old way ends at the first of them, and keeps what came before.
    assert main([*command, "--strict"]) == 1
    assert "frame1.png" in capsys.readouterr().err
    assert json.loads((tmp_path / "out-2" / "summary.json").read_text())["frames"] == 1


def test_a_fault_of_ours_after_hours_keeps_what_was_found(clip, arguments, tmp_path, monkeypatch):
    step, count = Pipeline.step, iter(range(100))

    def faulty(self, *given):
        if next(count) == 3:
            raise IndexError("a fault")
        return step(self, *given)

    monkeypatch.setattr(Pipeline, "step", faulty)
    out = tmp_path / "out"
    assert main(["run", str(clip), "--out", str(out), "--save", "trajectory", *arguments]) == 1
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 3
    assert json.loads((out / "summary.json").read_text())["error"] == "a fault"


def test_level_results_say_so_and_are_the_same_turned(usual_run, clip, arguments, tmp_path):
    folders = {"camera": usual_run, "level": tmp_path / "level"}
    command = ["run", str(clip), "--out", str(folders["level"]), "--world", "level"]
    command += ["--max-frames", "3", "--save", "trajectory,scene,people", *arguments]
    assert main(command) == 0
    heads = {
        world: (folder / "trajectory.tum").read_text().splitlines()[0]
        for world, folder in folders.items()
    }
    assert "world_from_camera" in heads["camera"]
    assert "level_from_camera" in heads["level"]
    assert "z up" in heads["level"]
    with np.load(folders["level"] / "people.npz") as people:
        level = people["frame_level_from_world"][0]
    poses = {world: read_trajectory(folders[world] / "trajectory.tum")[1] for world in heads}
    np.testing.assert_allclose(poses["level"], level @ poses["camera"], atol=1e-6)
    assert poses["level"][0, :3, 1] @ [0, 0, 1] == pytest.approx(-1), "the image's y points down"
    files = {world: folders[world] / "scene.ply" for world in heads}
    assert b"z up" in files["level"].read_bytes()[:300]
    points = {world: read_ply(path)[0] for world, path in files.items()}
    assert len(points["camera"]) > 50
    # What reads it back has the world again, whichever way it lies in the file.
    np.testing.assert_allclose(points["level"], points["camera"], atol=1e-5)
    stored = np.frombuffer(
        files["level"].read_bytes().split(b"end_header\n")[1],
        np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]),
    )["xyz"]
    np.testing.assert_allclose(stored, points["camera"] @ level[:3, :3].T, atol=1e-5)


def test_where_up_is_never_found_the_level_files_say_so(clip, arguments, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--world", "level", "--max-frames", "2"]
    command += ["--save", "trajectory,scene", "--set", "level.source=floor", *arguments]
    assert main(command) == 0
    assert "up was not found" in (out / "trajectory.tum").read_text()
    assert b"y down, z forward" in (out / "scene.ply").read_bytes()[:300]
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 2


def test_a_lens_angle_and_a_calibration_file_give_the_camera(arguments, tmp_path, capsys):
    folder = write_images(tmp_path / "in", 2, size=(160, 120))
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "image_width: 320\nimage_height: 240\ncamera_matrix: {rows: 3, cols: 3, data: "
        "[300, 0, 160, 0, 300, 120, 0, 0, 1]}\ndistortion_model: plumb_bob\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n"
    )
    save = ("--save", "people", *arguments)
    for name, options, focal_px in (
        ("a", ("--fov-deg", "90"), 80.0),
        ("b", ("--camera", str(calibration)), 150.0),
    ):
        out = tmp_path / name
        assert main(["run", str(folder), "--out", str(out), *options, "--fps", "5", *save]) == 0
        with np.load(out / "people.npz") as people:
            np.testing.assert_allclose(people["frame_intrinsics"][:, 0, 0], focal_px)
            assert np.diff(people["frame_stamp_ns"]).tolist() == [200_000_000]
    calibration.write_text("width: 3\n")
    command = ["run", str(folder), "--out", str(tmp_path / "c"), "--camera", str(calibration)]
    assert main([*command, *save]) == 1
    assert "expected a camera calibration" in capsys.readouterr().err


def test_several_videos_get_folders_of_their_own_and_images_are_one_stream(
    clip, arguments, tmp_path, capsys
):
    other = write_clip(tmp_path / "other.mp4", width_px=160, height_px=120, duration_s=0.3)
    out = tmp_path / "out"
    options = ("--max-frames", "1", "--save", "trajectory", *arguments)
    assert main(["run", str(clip), str(other), "--out", str(out), *options]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["clip", "other"]
    # One that fails does not keep the others from being run, unless it is to.
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    several = ["run", str(tmp_path / "bad.mp4"), str(other), *options]
    assert main([*several, "--out", str(tmp_path / "some")]) == 1
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["other"]
    assert main([*several, "--out", str(tmp_path / "none"), "--strict"]) == 1
    assert not (tmp_path / "none").exists()
    folder = write_images(tmp_path / "in", 3, size=(160, 120))
    pattern = ["run", str(folder / "*.png"), "--out", str(tmp_path / "images")]
    assert main([*pattern, "--save", "trajectory", *arguments]) == 0
    assert len(read_trajectory(tmp_path / "images" / "trajectory.tum")[0]) == 3
    assert "3 frames" in capsys.readouterr().out


def test_an_image_of_another_size_begins_a_session_in_every_result(arguments, tmp_path):
    folder = write_images(tmp_path / "in", 4, size=(160, 120))
    for number in (2, 3):
        Image.fromarray(picture(number, 100, 96)).save(folder / f"frame{number}.png")
    out = tmp_path / "out"
    save = ("--save", "frames,people,trajectory,scene,overlay,view,bag")
    assert main(["run", str(folder), "--out", str(out), *arguments, *save]) == 0
    sessions = [int(np.load(path)["session"]) for path in sorted((out / "frames").iterdir())]
    assert sessions == [0, 0, 1, 1]
    assert len(read_trajectory(out / "trajectory.tum")[0]) == 4
    with av.open(str(out / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 4
    with AnyReader([out / "bag"]) as reader:
        of_status = [c for c in reader.connections if c.topic == "/human3r/status"]
        messages = reader.messages(connections=of_status)
        found = [reader.deserialize(data, c.msgtype).session for c, _, data in messages]
    assert found == [0, 0, 1, 1]


def test_a_folder_that_cannot_be_written_is_an_error(clip, arguments, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "out"
    assert main(["run", str(clip), "--out", str(out), *arguments]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", 400, size=(160, 120))


@pytest.fixture
def endless(long_clip, arguments, tmp_path):
    """A run that takes long, in a process of its own, when it has some frames; and its log."""
    out, log_file = tmp_path / "out", tmp_path / "log"
    command = [sys.executable, "-m", "human3r.cli.main", "run", str(long_clip), "--out", str(out)]
    command += ["--save", "frames,trajectory", *arguments]
    loaded = (*LOADED, "human3r.cli.run_writers", "human3r.io.sources", "human3r.io.video")
    with log_file.open("wb") as log:
        process = start_warm(command, log, dict(os.environ), loaded)

    def has_frames():
        assert process.poll() is None, log_file.read_text()
        return len(list((tmp_path / "out.part" / "frames").glob("*.npz"))) > 2

    try:
        wait_until(has_frames, 300.0, "a third frame")
        yield process, log_file
    finally:
        process.kill()
        process.wait(300.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_keeps_what_it_has(endless, tmp_path, number):
    out = tmp_path / "out"
    process, log_file = endless
    process.send_signal(number)
    code = process.wait(300.0)
    log = log_file.read_text()
    assert code == 130, log
    assert any("frames, interrupted" in line for line in log.splitlines())
    summary = json.loads((out / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["frames"] == len(list((out / "frames").iterdir()))
    assert len(read_trajectory(out / "trajectory.tum")[0]) == summary["frames"]


def test_a_killed_run_leaves_nothing_that_looks_whole(endless, tmp_path):
    out = tmp_path / "out"
    process, _ = endless
    process.kill()
    process.wait(300.0)
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "out.part"]
    assert not (tmp_path / "out.part" / "summary.json").exists()
    assert not (tmp_path / "out.part" / "trajectory.tum").exists()


def test_a_run_becomes_a_bag_with_the_messages_of_the_node(usual_run):
    pytest.importorskip("human3r_ros", reason="the ROS part is not installed")
    stamps_ns, _ = read_trajectory(usual_run / "trajectory.tum")
    with AnyReader([usual_run / "bag"]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        assert counts == {
            "/human3r/skeleton": 1,
            "/tf": 3,
            "/human3r_bridge/markers": 3,
            **{
                f"/human3r/{name}": 3
                for name in (
                    *("humans", "status", "odometry", "depth/image", "depth/camera_info"),
                    *("depth/confidence", "mask/image", "mask/labels", "points", "scene/points"),
                    *("camera_info", "color/image/compressed", "color/camera_info"),
                )
            },
        }
        people = [c for c in reader.connections if c.topic == "/human3r/humans"]
        found = []
        for connection, _, data in reader.messages(connections=people):
            message = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp
            found.append(stamp.sec * 10**9 + stamp.nanosec)
    assert found == stamps_ns.tolist()


def test_the_bag_of_a_run_is_exported_as_the_run_is(usual_run, tmp_path):
    pytest.importorskip("human3r_ros", reason="the ROS part is not installed")
    tables = []
    for source in (usual_run, usual_run / "bag"):
        file = tmp_path / f"{source.name}.csv"
        words = ["export", str(source), "--format", "csv", "-o", str(file), "--up", "camera"]
        assert main([*words, "--min-share", "0"]) == 0
        tables.append(readers.csv_joints(file)[1])
    assert tables[0].keys() == tables[1].keys()
    assert tables[0]
    for key, joints in tables[1].items():
        np.testing.assert_allclose(joints[:55], tables[0][key][:55], atol=1e-4)
