import os
import subprocess
import sys

import pytest
from human3r_ros import live

from human3r.errors import ConfigError


def parse(*arguments):
    return live.build_parser().parse_args(["--image", "/cam/image_raw", *arguments])


def test_flags_win_over_assignments_and_assignments_over_the_file(tmp_path):
    file = tmp_path / "human3r.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    use_sim_time: true\n"
        "    scene:\n      voxel_m: 0.1\n      max_points: 500\n    tf:\n      mode: none\n"
        "    qos_overrides:\n      /cam/image_raw:\n        subscription:\n          depth: 2\n"
    )
    values = live.settings_from(
        parse("--params", str(file), "--set", "scene.voxel_m=0.2", "--set", "tf.mode=none")
    )
    assert values["scene.voxel_m"] == 0.2
    assert values["scene.max_points"] == 500
    assert values["use_sim_time"] is True
    assert values["qos_overrides./cam/image_raw.subscription.depth"] == 2
    flags = parse("--params", str(file), "--tf-mode", "odometry", "--compressed")
    assert live.settings_from(flags)["tf.mode"] == "odometry"
    assert live.settings_from(flags)["input.transport"] == "compressed"


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = live.settings_from(parse("--weights", "w.safetensors", "--body-model", "b.npz"))
    assert values["model.weights"] == str(tmp_path / "w.safetensors")
    assert values["model.body_model"] == str(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("image", "extra", "expected_image", "expected_info"),
    [
        ("/cam/image_raw", [], "/cam/image_raw", "/cam/camera_info"),
        ("/image", [], "/image", "/camera_info"),
        ("image", [], "image", "camera_info"),
        ("cam/image", ["--camera-info", "/ci"], "cam/image", "/ci"),
        ("/cam/image/compressed", ["--compressed"], "/cam/image", "/cam/camera_info"),
    ],
)
def test_topics_are_remapped_and_the_calibration_lies_beside_the_image(
    image, extra, expected_image, expected_info
):
    options = live.build_parser().parse_args(["--image", image, *extra])
    arguments = live.ros_arguments(options)
    assert f"image:={expected_image}" in arguments
    assert f"camera_info:={expected_info}" in arguments


def test_a_namespace_is_passed_on():
    assert "__ns:=/robot1" in live.ros_arguments(parse("--namespace", "robot1"))


def test_lock_step_takes_every_image_reliably_under_simulated_time():
    values = live.settings_from(parse("--lockstep", "--compressed", "--camera-info", "info"))
    assert values["use_sim_time"] is True
    assert values["input.policy"] == "every"
    assert values["diagnostics.max_latency_s"] == 0.0, "nothing is shed"
    reliable = {name for name, value in values.items() if value == "reliable"}
    assert reliable == {
        "qos_overrides./cam/image_raw/compressed.subscription.reliability",
        "qos_overrides./info.subscription.reliability",
    }
    options = live.build_parser().parse_args(
        ["--image", "eye/image", "--namespace", "robot1", "--lockstep"]
    )
    assert "qos_overrides./robot1/eye/camera_info.subscription.reliability" in (
        live.settings_from(options)
    )


@pytest.mark.parametrize("assignment", ["scene.voxel_m", "scene.voxel_m=big", "model.ttt3r=maybe"])
def test_wrong_assignments_are_refused(assignment):
    with pytest.raises(ConfigError):
        live.settings_from(parse("--set", assignment))


def test_an_unknown_parameter_ends_the_command_with_a_hint(capsys):
    assert live.main(["--image", "/i", "--set", "scene.voxel=1"]) == 1
    assert "did you mean scene.voxel_m" in capsys.readouterr().err


def test_the_command_needs_an_image_topic(capsys):
    with pytest.raises(SystemExit) as ended:
        live.main([])
    assert ended.value.code == 2


@pytest.mark.parametrize("module", ["human3r_ros.node", "human3r_ros.live"])
def test_compute_threads_that_wait_sleep(module):
    """OpenMP reads how to wait when torch is loaded; it says what it has read."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    start = f"import human3r.cli.main, {module}, human3r_ros.process, torch"
    done = subprocess.run(
        [sys.executable, "-c", start],
        env={**environment, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this build of PyTorch has another OpenMP than GNU's")
    assert "GOMP_SPINCOUNT = '0'" in done.stderr
