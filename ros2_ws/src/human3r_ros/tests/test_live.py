import os
import subprocess
import sys
from functools import cache

import pytest
from human3r_ros.commands import live
from human3r_ros.qos import check_overrides

from human3r.errors import ConfigError
from tests.before_torch import commands_in_turn


def parse(*arguments):
    return live.build_parser().parse_args(["--image", "/cam/image_raw", *arguments])


def test_flags_win_over_assignments_and_assignments_over_the_file(tmp_path):
    file = tmp_path / "human3r.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    use_sim_time: true\n"
        "    scene:\n      voxel_m: 0.1\n      max_points: 500\n    tf:\n      mode: none\n"
        "    qos_overrides:\n      /cam/image_raw:\n        subscription:\n          depth: 2\n"
    )
    values = live.values_from(
        parse("--params", str(file), "--set", "scene.voxel_m=0.2", "--set", "tf.mode=none")
    )
    assert values["scene.voxel_m"] == 0.2
    assert values["scene.max_points"] == 500
    assert values["use_sim_time"] is True
    assert values["qos_overrides./cam/image_raw.subscription.depth"] == 2
    flags = parse("--params", str(file), "--tf-mode", "odometry", "--compressed")
    assert live.values_from(flags)["tf.mode"] == "odometry"
    assert live.values_from(flags)["input.transport"] == "compressed"


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = live.values_from(parse("--weights", "w.safetensors", "--body-model", "b.npz"))
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
    values = live.values_from(parse("--lockstep", "--compressed", "--camera-info", "info"))
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
        live.values_from(options)
    )


@pytest.mark.parametrize("assignment", ["scene.voxel_m", "scene.voxel_m=big", "model.ttt3r=maybe"])
def test_wrong_assignments_are_refused(assignment):
    with pytest.raises(ConfigError):
        live.values_from(parse("--set", assignment))


def test_an_unknown_parameter_ends_the_command_with_a_hint(capsys):
    assert live.main(["--image", "/i", "--set", "scene.voxel=1"]) == 1
    assert "did you mean scene.voxel_m" in capsys.readouterr().err


UNUSABLE = {
    "weights": (["--weights", "absent.npz"], "absent.npz: no such file"),
    "body": (["--body-model", "absent.npz"], "absent.npz: no such file"),
    "lens": (
        ["--image", "/cam/image_rect", "--set", "input.undistort=true"],
        "input.undistort is set",
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """How the command ended with each of these options."""
    commands = [
        (tmp_path_factory.mktemp("live"), ["--image", "/i", *options])
        for options, _ in UNUSABLE.values()
    ]
    ends = commands_in_turn(commands, "human3r_ros.commands.live")
    return dict(zip(UNUSABLE, ends, strict=True))


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_said_before_torch_is_loaded(name, refused):
    end = refused[name]
    assert end.code == 1, end.stderr
    assert UNUSABLE[name][1] in end.stderr
    assert not end.has_torch


def test_the_command_needs_an_image_topic(capsys):
    with pytest.raises(SystemExit) as ended:
        live.main([])
    assert ended.value.code == 2


LOAD = """
import ctypes
import re

import human3r.cli.main, {module}
import numpy, scipy.linalg

scipy.linalg.inv(numpy.eye(3))
NAMES = [f"{{prefix}}openblas_get_num_threads{{suffix}}"
         for prefix in ("", "scipy_") for suffix in ("", "64_", "_64_")]
for path in sorted(set(re.findall(r"/\\S*openblas\\S*", open("/proc/self/maps").read()))):
    library = ctypes.CDLL(path)
    found = [name for name in NAMES if hasattr(library, name)]
    print(getattr(library, found[0])() if found else "unknown")
"""
LOAD_TORCH = "import human3r_ros.process, torch"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="libraries are found on Linux")


@cache
def loaded(module, wanted):
    """A process that has loaded a module, and the node's PyTorch where nothing is wanted."""
    set_here = ("OMP_WAIT_POLICY", "_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if not k.endswith(set_here)}
    environment |= {"OMP_DISPLAY_ENV": "verbose"}
    environment |= {} if wanted is None else {"OPENBLAS_NUM_THREADS": wanted}
    with_torch = wanted is None and module.startswith("human3r_ros")
    script = LOAD.format(module=module) + (LOAD_TORCH if with_torch else "")
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


@on_linux
@pytest.mark.parametrize("module", ["human3r_ros.process", "human3r_ros.commands.live"])
def test_compute_threads_that_wait_sleep(module):
    """OpenMP reads how to wait when torch is loaded; it says what it has read."""
    done = loaded(module, None)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this build of PyTorch has another OpenMP than GNU's")
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


@on_linux
@pytest.mark.parametrize(
    "module", ["human3r_ros.process", "human3r_ros.commands.live", "human3r_bridge.process"]
)
@pytest.mark.parametrize("wanted", [None, "2"])
def test_numpy_multiplies_in_one_thread_unless_the_user_wants_more(module, wanted):
    """OpenBLAS reads how many when NumPy is loaded: whatever is set later has no effect."""
    if module.startswith("human3r_bridge"):
        pytest.importorskip("human3r_bridge")
    done = loaded(module, wanted)
    counts = set(done.stdout.split())
    if not counts or (wanted and (os.cpu_count() or 1) < int(wanted)):
        pytest.skip("this NumPy has another BLAS than OpenBLAS, or the machine one core")
    assert counts == {wanted or "1"}


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--namespace", "my-robot", "for example my_robot"),
        ("--namespace", "3rd", "for example _3rd"),
        ("--namespace", "/a//b", "for example a/b"),
        ("--namespace", "x" * 300, "at most 240 characters"),
        ("--image", "/" + "x" * 300, "at most 240 characters"),
        ("--image", "/a b", "is no topic name"),
        ("--image", "/a//b", "is no topic name"),
        ("--image", "/a/", "is no topic name"),
        ("--camera-info", "/2cam/info", "is no topic name"),
        ("--depth", "", "is no topic name"),
    ],
)
def test_a_name_that_ros_does_not_allow_is_refused_before_anything_starts(
    capsys, option, text, words
):
    with pytest.raises(SystemExit) as refused:
        parse(option, text)
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "/", "robot1", "/fleet/robot_1/"])
def test_namespaces_that_ros_allows_are_taken(text):
    assert parse("--namespace", text).namespace == text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("/i.subscription.reliability", "foo", "expected reliable or best_effort"),
        ("/i.subscription.durability", "volatil", "expected volatile or"),
        ("/i.subscription.depth", 0, "a whole number from 1"),
        ("/i.subscription.depth", "2", "a whole number from 1"),
        ("/i.subscription.deadline", 1, "one of the policies"),
    ],
)
def test_qos_overrides_that_there_are_not_are_refused_by_name(name, value, words):
    with pytest.raises(ConfigError, match=words):
        check_overrides({name: value})


def test_qos_overrides_that_there_are_pass():
    check_overrides({"/i.subscription.reliability": "reliable", "/i.subscription.depth": 3})
