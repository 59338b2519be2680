import os
import subprocess
import sys
from pathlib import Path

import pytest

from human3r.cli import doctor
from human3r.cli.main import main


def test_the_basics_work_here(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "Ready: human3r run works here." in text
    for part in ("Python", "PyTorch", "video encoder", "body model", "ROS 2", "disk"):
        assert part in text


def test_good_files_pass(mini_weights, body_file, capsys):
    command = ["doctor", "--weights", str(mini_weights), "--body-model", str(body_file)]
    assert main(command) == 0
    assert "300 vertices" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--weights", "--body-model"])
def test_a_bad_file_fails_with_the_reason(option, tmp_path, capsys):
    path = tmp_path / "bad.bin"
    path.write_bytes(b"nothing of value")
    assert main(["doctor", option, str(path)]) == 1
    text = capsys.readouterr().out
    assert "FAIL" in text
    assert "bad.bin" in text
    assert "Not ready" in text


def test_the_table_shows_names_with_brackets_as_they_are(capsys):
    doctor._show_table([doctor.Check("weights", doctor.FAIL, "[bold]x[/nonsense]", "Look.")])
    text = capsys.readouterr().out
    assert "[bold]x[/nonsense]" in text
    assert "-> Look." in text


def test_a_message_to_ourselves_comes_back_over_dds():
    domain = pytest.importorskip("human3r_ros.commands.private_domain")
    done = subprocess.run(
        [sys.executable, "-m", "human3r.cli.main", "doctor", "--dds"],
        env={**os.environ, **domain.private_environment()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a message came back" in done.stdout


def ros_lines(monkeypatch, *installed):
    """The report about ROS where these modules are there, and no others."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name in installed)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    return {check.part: check for check in doctor._ros()}


def test_the_bridge_is_a_wish_and_no_need(monkeypatch):
    line = ros_lines(monkeypatch, "rclpy_lite")["human3r_bridge"]
    assert (line.state, line.seen) == (doctor.NOTE, "not installed")
    assert "pip install ./ros2_ws/src/human3r_bridge" in line.advice


def test_with_ros_2_the_bridge_needs_the_message_packages(monkeypatch):
    lines = ros_lines(monkeypatch, "rclpy", "human3r_bridge", "vision_msgs")
    assert lines["human3r_bridge"].state == lines["vision_msgs"].state == doctor.OK
    assert lines["hri_msgs"].state == lines["people_msgs"].state == doctor.NOTE
    assert "sudo apt install ros-jazzy-people-msgs" in lines["people_msgs"].advice
    assert "output hri:" in lines["hri_msgs"].advice


def test_without_ros_2_the_bridge_brings_its_messages_along(monkeypatch):
    lines = ros_lines(monkeypatch, "rclpy_lite", "human3r_bridge")
    assert lines["human3r_bridge"].state == doctor.OK
    assert not {"hri_msgs", "people_msgs", "vision_msgs"} & set(lines)


def test_the_message_packages_are_those_the_bridge_has_definitions_of():
    bridge = pytest.importorskip("human3r_bridge.message_packages", reason="no bridge installed")
    brought = {path.name for path in bridge._DEFINITIONS.iterdir() if path.is_dir()}
    assert set(doctor._BRIDGE_MESSAGES) == brought


@pytest.mark.parametrize("is_there", [True, False])
def test_the_laboratory_is_optional(monkeypatch, is_there):
    monkeypatch.setattr(doctor, "_is_installed", lambda name: is_there)
    line = {check.part: check for check in doctor._packages()}["human3r_lab"]
    assert line.state == (doctor.OK if is_there else doctor.NOTE)
    assert ("pip install ./lab" in line.advice) != is_there


def test_optional_packages_are_where_the_advice_says():
    for name, (folder, _) in doctor._OPTIONAL_PACKAGES.items():
        assert (Path(__file__).resolve().parents[2] / folder / name / "__init__.py").is_file()


def test_a_check_that_breaks_is_reported_and_the_others_go_on(monkeypatch):
    def broken():
        raise OSError("library is broken")
        yield

    monkeypatch.setattr(doctor, "_torch", broken)
    checks = {check.part: check for check in doctor.all_checks()}
    assert checks["PyTorch"].state == doctor.FAIL
    assert "library is broken" in checks["PyTorch"].seen
    assert checks["disk"].state in (doctor.OK, doctor.NOTE)


def test_everything_that_is_not_well_comes_with_advice():
    for check in doctor.all_checks():
        if check.state != doctor.OK and check.part != "cameras":
            assert check.advice, check.part
