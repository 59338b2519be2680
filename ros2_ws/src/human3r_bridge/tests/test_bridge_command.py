"""The command line: what is answered at once, before anything appears on the network."""

import subprocess
import sys
from pathlib import Path

import pytest
from human3r_bridge import parameters, process
from human3r_ros.parameters import render_file


@pytest.fixture
def never_run(monkeypatch):
    monkeypatch.setattr(process, "run", lambda args, _: pytest.fail(f"the bridge ran with {args}"))


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_names_every_format_and_parameter(word, never_run, capsys):
    with pytest.raises(SystemExit) as ended:
        process.main(["human3r_bridge", word])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    lines = [line.split(" (")[0].strip() for line in text.splitlines()]
    assert set(parameters.BridgeSettings.specs()) <= set(lines)
    for name in (*parameters.OUTPUTS, "--ros-args"):
        assert name in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--outputs", "hri"], "unrecognized arguments: --outputs hri"),
        (["stray", "--ros-args", "-p", "outputs:=[hri]"], "unrecognized arguments: stray"),
        (["--ros-args", "-p", "outputs:=[hri]", "--", "stray"], "unrecognized arguments: stray"),
        (["--ros-args", "-p"], "-p"),
    ],
)
def test_what_nobody_knows_is_wrong_use(arguments, says, never_run, capsys):
    with pytest.raises(SystemExit) as ended:
        process.main(["human3r_bridge", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_arguments_of_a_launch_file_are_passed_on(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(process, "run", lambda args, _: seen.append(args) or 0)
    file = tmp_path / "p.yaml"
    file.write_text(render_file(parameters.BridgeSettings(), "human3r_bridge.parameters"))
    launched = ["--ros-args", "--log-level", "info", "--ros-args", "-r", "__node:=human3r_bridge"]
    command = ["human3r_bridge", *launched, "-r", "__ns:=/robot1", "--params-file", str(file)]
    assert process.main(command) == 0
    assert seen == [command]


@pytest.mark.parametrize("command", [["-m", "human3r_bridge"], None], ids=["module", "script"])
def test_help_of_the_real_command_ends_with_0(command):
    script = Path(sys.executable).with_name("human3r_bridge")
    if command is None and not script.exists():
        pytest.skip("the package's scripts are not installed here")
    words = [sys.executable, *command] if command else [str(script)]
    done = subprocess.run([*words, "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: human3r_bridge")
