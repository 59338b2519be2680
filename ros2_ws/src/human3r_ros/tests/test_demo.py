"""The parts of ``human3r demo`` that need no network: results, processes, numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from human3r_ros.commands import demo_inputs, report
from human3r_ros.commands.child import Child, ChildFailedError, wait_until
from human3r_ros.commands.demo_folder import DemoFolder

from human3r.atomic import is_running
from human3r.errors import OutputError, WeightsError


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_result_appears_only_when_it_is_complete(tmp_path):
    with DemoFolder(tmp_path / "demo") as folder:
        (folder.part / "view.png").write_bytes(b"picture")
        (folder.work / "node.log").write_text("words")
        folder.write_summary({"people": 3})
        assert not (tmp_path / "demo").exists()
    assert names(tmp_path) == ["demo"]
    assert names(tmp_path / "demo") == ["summary.json", "view.png"]
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())["people"] == 3


def fail(folder):
    with suppress(KeyboardInterrupt), folder:
        (folder.part / "view.png").write_bytes(b"picture")
        raise KeyboardInterrupt


def test_a_failed_demonstration_leaves_nothing(tmp_path):
    fail(DemoFolder(tmp_path / "out" / "demo"))
    assert names(tmp_path / "out") == []


def test_an_earlier_result_cannot_pass_for_a_failed_run(tmp_path):
    with DemoFolder(tmp_path / "demo") as first:
        first.write_summary({})
    fail(DemoFolder(tmp_path / "demo"))
    assert names(tmp_path) == []


def test_a_name_that_was_taken_meanwhile_costs_no_result(tmp_path):
    with DemoFolder(tmp_path / "demo") as folder:
        folder.write_summary({})
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "thesis.tex").write_text("years of work")
    assert folder.path == tmp_path / "demo-2"
    assert names(tmp_path) == ["demo", "demo-2"]
    assert names(tmp_path / "demo") == ["thesis.tex"]
    assert names(tmp_path / "demo-2") == ["summary.json"]


def test_a_folder_of_somebody_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match="no earlier result of the demo"),
        DemoFolder(tmp_path / "demo"),
    ):
        pass
    assert names(tmp_path / "demo") == ["thesis.tex"]


def test_a_number_that_is_no_number_is_not_written_as_a_result(tmp_path):
    with (
        pytest.raises(ValueError, match="JSON compliant"),
        DemoFolder(tmp_path / "demo") as folder,
    ):
        folder.write_summary({"rate_hz": float("nan")})
    assert names(tmp_path) == []


def test_leftovers_of_killed_runs_are_removed_but_not_those_of_running_ones(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".demo.{dead.pid}.abc.part").mkdir()
    (tmp_path / f".demo.{os.getppid()}.abc.part").mkdir()
    (tmp_path / f".other.{dead.pid}.abc.part").mkdir()
    fail(DemoFolder(tmp_path / "demo"))
    assert names(tmp_path) == [f".demo.{os.getppid()}.abc.part", f".other.{dead.pid}.abc.part"]


def test_an_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        DemoFolder(tmp_path / "file" / "demo"),
    ):
        pass


def child(tmp_path, *arguments):
    return Child("helper", arguments, tmp_path / "helper.log", {})


def test_a_child_that_fails_is_reported_with_its_last_words(tmp_path):
    process = child(tmp_path, "play", "absent.mp4", "--topic", "/image")
    with pytest.raises(ChildFailedError) as caught:
        wait_until(lambda: False, [process], 30, "anything")
    assert "the helper ended unexpectedly, exit code 1" in str(caught.value)
    assert "absent.mp4: no such file" in str(caught.value)


def test_a_killed_child_is_reported_with_the_signal(tmp_path, loopback):
    process = Child(
        "helper", ["record", "--out", str(tmp_path / "b"), "/a"], tmp_path / "log", loopback
    )
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ChildFailedError, match=r"by signal 9 \(SIGKILL\)"):
        wait_until(lambda: False, [process], 30, "anything")


def test_a_child_dies_with_its_parent(tmp_path, loopback):
    """Even when the parent is killed and cannot clean up."""
    code = (
        "import sys, time; from pathlib import Path; from human3r_ros.commands.child import Child\n"
        "made = Child('helper', ['record', '--out', sys.argv[1] + '/bag', '/a'],"
        " Path(sys.argv[1]) / 'log', {})\n"
        "print(made.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, **loopback},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    end_s = time.monotonic() + 20
    while not (tmp_path / "bag.part").exists():
        assert time.monotonic() < end_s
        time.sleep(0.05)
    parent.kill()
    parent.communicate()
    while is_running(pid):
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.fixture
def loopback():
    from human3r_ros.commands.private_domain import private_environment

    return private_environment()


def test_a_condition_that_never_holds_says_what_was_waited_for(tmp_path):
    with pytest.raises(ChildFailedError, match=r"activation did not happen within 0\.2 s"):
        wait_until(lambda: False, [], 0.2, "activation")


def test_percentiles_leave_out_what_is_unknown():
    nan = float("nan")
    assert report.percentiles([nan]) is None
    found = report.percentiles([0.1, nan, 0.3, 0.2])
    assert found == {"p50": 0.2, "p95": 0.29, "p99": 0.298, "max": 0.3}


def test_foreign_weights_are_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsError, match="expected weights written by human3r"):
        demo_inputs.find_model(str(tmp_path / "weights.pth"), "")


@pytest.mark.parametrize(
    "argument",
    [
        *("--every=0", "--every=two", "--max-seconds=-1", "--max-seconds=nan"),
        *("--max-seconds=inf", "--max-seconds=x", "--fov-deg=500", "--fov-deg=nan"),
    ],
)
def test_senseless_numbers_are_wrong_use_and_leave_nothing(tmp_path, argument, capsys):
    from human3r_ros.commands import demo

    with pytest.raises(SystemExit) as caught:
        demo.main(["absent.mp4", "--out", str(tmp_path / "demo"), argument])
    assert caught.value.code == 2
    name, value = argument.split("=")
    assert f"argument {name}: {value} is not " in capsys.readouterr().err
    assert names(tmp_path) == []


def test_the_users_settings_win_over_those_of_the_demonstration(tmp_path, caplog):
    from human3r_ros.commands import demo

    file = tmp_path / "my.yaml"
    file.write_text("scene: {voxel_m: 0.1}\ntf: {mode: anchored}\n")
    words = ["--settings", str(file), "--set", "diagnostics.max_latency_s=2", "--compressed"]
    model, settings = demo._model_and_settings(demo._parser().parse_args(words))
    assert (settings.scene.voxel_m, settings.tf.mode) == (0.1, "anchored")
    assert settings.diagnostics.max_latency_s == 2.0
    assert settings.input.transport == "compressed"
    assert (settings.model.weights, settings.model.body_model) == (
        str(model.weights),
        str(model.body),
    )
    _, settings = demo._model_and_settings(demo._parser().parse_args(["--set", "map.voxel_m=0.1"]))
    assert (settings.tf.mode, settings.diagnostics.max_latency_s) == ("odometry", 0.0)
    assert not caplog.messages
