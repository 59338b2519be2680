import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from human3r.cli.main import main
from human3r.config import Settings, load_yaml
from human3r.io.results import read_trajectory
from tests.drawn_clip import write_clip
from tests.io.media import image_message, picture, write_bag, write_images, write_video

STAMP = 1_700_000_000_000_000_000


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, width_px=160, height_px=120, duration_s=1.0)


@pytest.fixture
def arguments(weights_file, body_file):
    """Everything but the source: small pictures, so that a run takes a second or two."""
    return [
        *("--weights", str(weights_file), "--body-model", str(body_file), "--size", "64"),
        *("--set", "scene.min_confidence=1.0", "--set", "people.min_score=0.05"),
    ]


def test_a_run_leaves_every_result_and_says_so_in_one_line(clip, arguments, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(clip), "--out", str(out), "--max-frames", "4", *arguments]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("4 frames, ")
    assert str(out) in line
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("frames", "people.npz", "trajectory.tum", "scene.ply", "overlay.mp4", "view.png"),
        *("settings.yaml", "summary.json"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 4
    assert summary["weights"]["trained"] is False
    assert summary["files"] == sorted(names - {"settings.yaml", "summary.json"})
    stamps_ns, poses = read_trajectory(out / "trajectory.tum")
    assert len(poses) == 4
    with np.load(out / "people.npz") as people:
        assert sorted(set(people["track_id"].tolist())) == summary["ids"]
        assert summary["ids"], "the made-up network finds somebody at this score"
        assert set(people["stamp_ns"].tolist()) <= set(stamps_ns.tolist())
    for number in range(4):
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


def test_the_same_run_twice_gives_the_same_numbers(clip, arguments, tmp_path):
    for name in ("a", "b"):
        command = ["run", str(clip), "--out", str(tmp_path / name), "--max-frames", "3"]
        assert main([*command, "--save", "people,trajectory", *arguments]) == 0
    for file in ("people.npz", "trajectory.tum"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_with_nothing_named_the_network_and_body_that_come_along_are_used(clip, tmp_path):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "2", "--save", "people"]
    assert main(command) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["weights"]["variant"] == "human3r_mini"
    assert summary["weights"]["trained"] is True
    assert summary["body_model"] == "free_body.npz"


def test_without_a_body_model_the_free_one_is_used_and_said_so(
    clip, weights_file, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "1", "--save", "people"]
    assert main([*command, "--weights", str(weights_file), "--size", "64"]) == 0
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


def test_unusable_sources_leave_nothing(arguments, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    write_bag(tmp_path / "bag", [])
    for name in ("empty", "bad.mp4", "bag", "missing.mp4"):
        source = str(tmp_path / name)
        assert main(["run", source, "--out", str(tmp_path / "out"), *arguments]) == 1
        assert name in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_a_source_that_breaks_midway_leaves_nothing(arguments, tmp_path, capsys):
    folder = write_images(tmp_path / "in", 4, size=(160, 120))
    (folder / "frame2.png").write_bytes(b"broken")
    assert main(["run", str(folder), "--out", str(tmp_path / "out"), *arguments]) == 1
    assert "frame2.png" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_folder_that_cannot_be_written_is_an_error(clip, arguments, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "out"
    assert main(["run", str(clip), "--out", str(out), *arguments]) == 1
    assert "cannot be written" in capsys.readouterr().err


def endless(tmp_path, arguments, out):
    """A run that takes long, in a process of its own."""
    source = write_video(tmp_path / "long.mp4", 400, size=(160, 120))
    command = [sys.executable, "-m", "human3r.cli.main", "run", str(source), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--save", "frames,trajectory", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    part = out.with_name(out.name + ".part")
    deadline_s = time.monotonic() + 60
    while not len(list((part / "frames").glob("*.npz"))) > 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_has(arguments, tmp_path, number):
    out = tmp_path / "out"
    process = endless(tmp_path, arguments, out)
    os.kill(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stdout
    summary = json.loads((out / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["frames"] == len(list((out / "frames").iterdir()))
    assert len(read_trajectory(out / "trajectory.tum")[0]) == summary["frames"]


def test_a_killed_run_leaves_nothing_that_looks_whole(arguments, tmp_path):
    out = tmp_path / "out"
    process = endless(tmp_path, arguments, out)
    process.kill()
    process.communicate(timeout=60)
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.mp4", "out.part"]
    assert not (tmp_path / "out.part" / "summary.json").exists()
    assert not (tmp_path / "out.part" / "trajectory.tum").exists()


def test_a_run_becomes_a_bag_with_the_messages_of_the_node(clip, arguments, tmp_path):
    pytest.importorskip("human3r_ros", reason="the ROS part is not installed")
    from rosbags.highlevel import AnyReader

    out = tmp_path / "out"
    command = ["run", str(clip), "--out", str(out), "--max-frames", "3"]
    assert main([*command, "--save", "bag,trajectory", *arguments]) == 0
    stamps_ns, _ = read_trajectory(out / "trajectory.tum")
    with AnyReader([out / "bag"]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        assert counts == {
            "/human3r/skeleton": 1,
            "/tf": 3,
            **{
                f"/human3r/{name}": 3
                for name in (
                    *("humans", "status", "odometry", "depth/image", "depth/camera_info"),
                    *("depth/confidence", "mask/image", "mask/labels", "points", "scene/points"),
                    "camera_info",
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
