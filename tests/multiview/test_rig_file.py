import numpy as np
import pytest

from human3r.errors import InputError
from human3r.multiview.rig_file import RigCamera, read_rig, write_rig
from human3r.types import Intrinsics
from tests.multiview.rooms import camera_at

GOOD = """
cameras:
  left:
    world_from_camera: {position: [0, -3, 1.5], quaternion_xyzw: [-0.70710678, 0, 0, 0.70710678]}
"""


def test_cameras_come_back_as_they_were_written(tmp_path):
    # As calculations leave it.
    lens = Intrinsics(np.float64(600.0), 601.0, np.float32(319.5), 239.5, 640, 480)
    given = {
        "left": RigCamera("left", camera_at(0.3), lens, 0.04, "left.mp4", (0.01, 0.002)),
        "right": RigCamera("right", camera_at(1.3)),
    }
    write_rig(tmp_path / "cameras.yaml", given)
    found = read_rig(tmp_path / "cameras.yaml")
    assert list(found) == ["left", "right"]
    for name, camera in given.items():
        assert np.allclose(found[name].world_from_camera, camera.world_from_camera, atol=1e-6)
        assert found[name].intrinsics == camera.intrinsics
        assert found[name].time_offset_s == camera.time_offset_s
        assert found[name].source == camera.source
        assert found[name].stddev == camera.stddev


def test_a_camera_that_looks_north_is_read(tmp_path):
    path = tmp_path / "cameras.yaml"
    path.write_text(GOOD)
    pose = read_rig(path)["left"].world_from_camera
    assert np.allclose(pose[:3, 2], [0, 1, 0], atol=1e-6)  # looks along y
    assert np.allclose(pose[:3, 1], [0, 0, -1], atol=1e-6)  # its down is the world's down


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: [1, 2", "expected YAML"),
        ("people: 3", "has no `cameras`"),
        ("cameras: {left: {}}", "world_from_camera is missing"),
        (GOOD.replace("0.70710678]", "2]"), "length 1"),
        (GOOD.replace("position: [0, -3, 1.5]", "position: [0, 1]"), "unusable numbers"),
        (GOOD.replace("-3", ".nan"), "finite"),
        (GOOD + "    fov: 60\n", "knows fov"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, text, said):
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_rig(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rig(tmp_path / "none.yaml")
