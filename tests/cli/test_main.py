import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from human3r import __version__
from human3r.cli.main import COMMANDS, build_parser, main
from human3r.cli.settings import markdown
from human3r.config import Settings, iterate, load_yaml
from human3r.errors import MissingExtraError

REPOSITORY = Path(__file__).parents[2]


def in_python(code: str, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["doctor", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom human3r.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'cv2', 'av', 'scipy', 'rosbags', 'PIL', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = in_python(code)
    assert done.returncode == 0, done.stderr
    assert "human3r" in done.stdout


def test_help_comes_at_once():
    times_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        in_python("from human3r.cli.main import main; main(['--help'])")
        times_s.append(time.perf_counter() - began_s)
    # 0.2 s on a quiet machine; the bound leaves room for a busy one.
    assert min(times_s) < 1.0


def test_every_command_is_listed_with_a_word_of_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"    {name} " in text for name in COMMANDS)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run"], ["run", "a", "--size", "x"]])
def test_wrong_use_ends_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: human3r" in capsys.readouterr().err


def test_an_error_is_one_message_without_traceback(capsys):
    assert main(["settings", "--set", "scene.voxel=1"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("human3r: scene.voxel is no setting")
    assert "scene.voxel_m" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback_before_or_behind_the_command(place, capsys):
    arguments = ["settings", "--set", "scene.voxel=1"]
    arguments.insert(place, "--debug")
    assert main(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_told_from_an_error_of_the_user(capsys, monkeypatch):
    from human3r.cli import settings

    def broken(args):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(settings, "run", broken)
    assert main(["settings"]) == 1
    assert "unexpected ZeroDivisionError: inside" in capsys.readouterr().err


def test_interruption_ends_with_130(capsys, monkeypatch):
    from human3r.cli import settings

    def interrupted(args):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(settings, "run", interrupted)
    assert main(["settings"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error_message():
    code = "from human3r.cli.main import main; raise SystemExit(main(['settings', '--markdown']))"
    command = f'{sys.executable} -u -c "{code}" | true'
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["live", "play", "record", "demo"])
def test_node_commands_pass_their_arguments_on_untouched(name, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "human3r.cli.ros_part.ros_command",
        lambda given: lambda rest: seen.append((given, rest)) or 7,
    )
    assert main([name, "--image", "/x", "pos", "--debug", "--", "-h"]) == 7
    assert seen == [(name, ["--image", "/x", "pos", "--debug", "--", "-h"])]


def test_node_commands_say_what_to_install_when_it_is_missing(tmp_path):
    # A finder that knows neither package stands for a machine without them.
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('human3r_ros', 'rclpy_lite', 'rclpy'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from human3r.cli.main import main\n"
        "raise SystemExit(main(['live', '--image', '/x']))\n"
    )
    done = in_python(code)
    assert done.returncode == 1
    assert "human3r_ros is not installed" in done.stderr
    assert "pip install ./runtime" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_of_another_kind_is_not_dressed_up(monkeypatch):
    from human3r.cli import ros_part

    def import_module(name):
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(ros_part, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError):
        ros_part.ros_command("live")
    assert not issubclass(ModuleNotFoundError, MissingExtraError)


def test_docs_settings_is_what_the_declaration_says():
    assert (REPOSITORY / "docs" / "settings.md").read_text() == markdown(), (
        "run: human3r settings --markdown > docs/settings.md"
    )


def test_docs_settings_names_every_setting():
    text = markdown()
    assert all(f"`{spec.name}`" in text for spec in iterate())


def test_printed_settings_can_be_read_back(tmp_path, capsys):
    assert main(["settings", "--set", "scene.voxel_m=0.5", "--set", "model.ttt3r=no"]) == 0
    path = tmp_path / "my.yaml"
    path.write_text(capsys.readouterr().out)
    settings = Settings().replace(load_yaml(path))
    assert settings.scene.voxel_m == 0.5
    assert settings.model.ttt3r is False
    assert main(["settings", "--settings", str(path), "--set", "scene.voxel_m=0.25"]) == 0
    assert "voxel_m: 0.25" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["scene.voxel_m", "scene.voxel_m=wide", "scene.voxel_m=1e9"])
def test_a_bad_assignment_is_refused(value, capsys):
    assert main(["settings", "--set", value]) == 1
    assert "scene.voxel_m" in capsys.readouterr().err


def test_flags_of_run_hold_no_defaults_of_their_own():
    args = build_parser().parse_args(["run", "x"])
    assert [getattr(args, spec.name) for spec in iterate() if hasattr(args, spec.name)] == [
        None
    ] * 6
