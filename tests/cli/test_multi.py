"""``human3r multi`` and ``human3r calibrate``: what is refused, and a run with two cameras."""

import json

import numpy as np
import pytest
from PIL import Image

from human3r.cli.main import main
from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path
from human3r.multiview.rig_file import RigCamera, write_rig
from tests.io.media import image_message, write_bag, write_images
from tests.multiview.rooms import camera_at


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "cameras.yaml"
    write_rig(path, {n: RigCamera(n, camera_at(0.0), DEMO_CLIP_CAMERA) for n in ("left", "right")})
    return path


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "names no source"),
        (["left.mp4"], "expected NAME=SOURCE"),
        (["top=clip.mp4"], "left, right"),
        (["left=none.mp4"], "none.mp4"),
    ],
)
def test_what_cannot_be_run_is_told_before_the_network_is_loaded(
    calibration, tmp_path, capsys, sources, said
):
    out = tmp_path / "out"
    assert main(["multi", str(calibration), *sources, "--out", str(out)]) == 1
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["left=a.mp4"], "at least two"),
        (["a.mp4", "b.mp4"], "NAME=SOURCE"),
        (["left=a.mp4", "left=b.mp4"], "name of its own"),
        (["bag", "--topics", "/left/image_raw"], "at least two topics"),
    ],
)
def test_what_cannot_be_calibrated_is_told(arguments, said, capsys):
    assert main(["calibrate", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_lenses_of_cameras_with_other_names_are_told(calibration, tmp_path, capsys):
    clip = demo_clip_path()
    words = [f"a={clip}", f"b={clip}", "--intrinsics", str(calibration)]
    assert main(["calibrate", *words, "--out", str(tmp_path / "found.yaml")]) == 1
    assert "knows the cameras left, right; expected one of a, b" in capsys.readouterr().err


def test_topics_of_several_bags_can_be_calibrated(tmp_path, capsys):
    stamps = range(0, 10**9, 10**8)
    image = np.zeros((48, 64, 3), np.uint8)
    for name in ("left", "right"):
        sent = [(f"/{name}/image", t, image_message(t, image, "rgb8")) for t in stamps]
        write_bag(tmp_path / name, [*sent, ("/other", 0, image_message(0, image, "rgb8"))])
    words = [f"{name}={tmp_path / name}:/{name}/image" for name in ("left", "right")]
    assert main(["calibrate", *words, "--out", str(tmp_path / "found.yaml")]) == 1
    # Their images have been looked at.
    assert "camera left: saw nobody" in capsys.readouterr().err


@pytest.mark.slow
def test_two_cameras_that_see_the_same_agree_about_everybody(calibration, tmp_path):
    clip, out = demo_clip_path(), tmp_path / "out"
    words = [f"left={clip}", f"right={clip}", "--max-frames", "4", "--out", str(out)]
    assert main(["multi", str(calibration), *words]) == 0
    with np.load(out / "people.npz") as people, np.load(out / "right" / "people.npz") as right:
        assert len(people["track_id"]) > 0
        # Both have one pose, so the same people in the same places with the same numbers.
        assert np.array_equal(people["track_id"], right["track_id"])
        assert np.allclose(people["joints_camera"], right["joints_camera"], atol=1e-4)
        assert np.allclose(people["up_world"], [0, 0, 1])
    about = json.loads((out / "cameras.json").read_text())
    assert about["left"]["shared"] == len(people_rows(out))
    assert about["left"]["residual_px"] < 0.1
    assert (out / "together.png").stat().st_size > 10_000
    for name in ("together.mp4", "scene.ply", "left/trajectory.tum", "left/overlay.mp4"):
        assert (out / name).is_file()


@pytest.mark.slow
def test_a_camera_that_saw_nobody_is_told(calibration, tmp_path, caplog):
    dark = write_images(tmp_path / "dark", 4, size=(640, 480))
    for image in dark.iterdir():
        Image.new("RGB", (640, 480)).save(image)
    words = [f"left={demo_clip_path()}", f"right={dark}", "--max-frames", "4"]
    assert main(["multi", str(calibration), *words, "--out", str(tmp_path / "out")]) == 0
    assert "camera right: saw nobody, and others did" in caplog.text
    assert "camera left" not in caplog.text


@pytest.mark.slow
def test_images_that_never_belong_together_are_told(calibration, tmp_path, capsys, caplog):
    write_rig(
        calibration,
        {
            "left": RigCamera("left", camera_at(0.0), DEMO_CLIP_CAMERA),
            "right": RigCamera("right", camera_at(0.0), DEMO_CLIP_CAMERA, time_offset_s=0.015),
        },
    )
    clip = demo_clip_path()
    words = [f"left={clip}", f"right={clip}", "--max-frames", "6", "--max-gap", "0.01"]
    assert main(["multi", str(calibration), *words, "--out", str(tmp_path / "out")]) == 0
    assert "6 of 6 moments have the image of one camera" in caplog.text
    assert "0.015 s later" in caplog.text
    assert "confirmed" in capsys.readouterr().out


def people_rows(out):
    with np.load(out / "people.npz") as people:
        return people["track_id"][people["track_state"] < 2]
