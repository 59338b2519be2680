import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from human3r import __version__, plugins
from human3r.cli.main import _FROM_PLUGINS, COMMANDS, build_parser, main
from human3r.cli.settings import markdown
from human3r.config import Settings
from human3r.model.default import default_weights_path
from human3r.setting import load_yaml
from tests.before_torch import commands_in_turn

REPOSITORY = Path(__file__).parents[2]


def in_python(code: str, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["doctor", "--help"]])
def test_help_loads_no_other_package_than_numpy(arguments):
    """Loading is what takes the time before help comes."""
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom human3r.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 0\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - sys.stdlib_module_names - {'human3r', 'numpy'}))\n"
    )
    done = in_python(code)
    assert done.returncode == 0, done.stderr
    assert "human3r" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_is_listed_with_a_word_of_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    # A long name has its help on the line below.
    assert all(re.search(rf"^    {name}\s+\w", text, re.MULTILINE) for name in COMMANDS)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["nonsense"], ["run"], ["run", "a", "--size", "x"]),
        *(["refine", "a", "--run-args", "'b"], ["batch", "a", "--refine-args", '"b']),
    ],
)
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


def test_a_full_disk_behind_stdout_is_no_fault_of_ours():
    code = "from human3r.cli.main import main; raise SystemExit(main(['settings', '--markdown']))"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-u", "-c", code],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be written (No space left on device)" in done.stderr
    assert "fault of human3r" not in done.stderr


@pytest.mark.parametrize("command", ["run", "view", "export --format csv", "bag repair"])
def test_a_name_that_the_system_refuses_is_no_fault_of_ours(command, capsys):
    assert main([*command.split(), "x" * 300]) == 1
    error = capsys.readouterr().err
    assert "fault of human3r" not in error
    assert error.startswith("human3r: xxx")


class EntryPoint:
    """Stands for what the metadata of another package says."""

    def __init__(self, load):
        self.load = load


@pytest.mark.parametrize("name", ["live", "play", "record", "demo", "synth", "train", "evaluate"])
def test_commands_of_other_packages_get_their_arguments_untouched(name, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "human3r.plugins.load_plugin",
        lambda group, given: lambda rest: seen.append((group, given, rest)) or 7,
    )
    assert main([name, "--image", "/x", "pos", "--", "-h"]) == 7
    assert main([name, "pos", "--debug"]) == 7
    rests = (["--image", "/x", "pos", "--", "-h"], ["pos"])
    assert seen == [(plugins.COMMANDS, name, rest) for rest in rests]


@pytest.mark.parametrize(("name", "install"), [("live", "./runtime"), ("train", "./lab")])
def test_a_command_whose_package_is_missing_says_what_to_install(
    name, install, monkeypatch, capsys
):
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])
    assert main([name, "--image", "/x"]) == 1
    error = capsys.readouterr().err
    assert "is not installed" in error
    assert f"pip install {install}" in error


def test_a_command_without_its_client_library_says_what_to_install(monkeypatch, capsys):
    def load():
        raise ModuleNotFoundError("No module named 'cyclonedds'", name="cyclonedds")

    monkeypatch.setattr(plugins, "entry_points", lambda **_: [EntryPoint(load)])
    assert main(["live"]) == 1
    assert "cyclonedds is not installed" in capsys.readouterr().err


def test_a_missing_module_of_another_kind_is_not_dressed_up(monkeypatch):
    def load():
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(plugins, "entry_points", lambda **_: [EntryPoint(load)])
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        plugins.load_plugin(plugins.COMMANDS, "live")


def test_every_plugin_named_in_the_core_is_offered_by_a_package():
    for group, names in (
        (plugins.COMMANDS, [*_FROM_PLUGINS]),
        (plugins.WRITERS, ["bag"]),
        (plugins.CHECKS, ["graph", "loopback"]),
    ):
        for name in names:
            assert callable(plugins.load_plugin(group, name)), (group, name)


def test_docs_settings_is_what_the_declaration_says():
    assert (REPOSITORY / "docs" / "settings.md").read_text() == markdown(), (
        "run: human3r settings --markdown > docs/settings.md"
    )


def test_docs_settings_names_every_setting():
    text = markdown()
    assert all(f"`{spec.name}`" in text for spec in Settings.specs().values())


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
    given = [getattr(args, name) for name in Settings.specs() if hasattr(args, name)]
    assert len(given) >= 6
    assert set(given) == {None}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("run a.mp4 --weigths w", "--weights"),
        ("run --weigths w", "--weights"),
        ("--verison", "--version"),
        ("rnu a.mp4", "run"),
        ("weights inspekt a", "inspect"),
        ("export a --formt glb", "--format"),
        ("live --imgae /a", "--image"),
        ("play a.mp4 --topci=/a", "--topic"),
        ("record --uot a /b", "--out"),
        ("demo --max-secnds 3", "--max-seconds"),
        ("synth --sequnces 3 a", "--sequences"),
        ("train --minuts 3 a", "--minutes"),
        ("evaluate synthetic --weigths a", "--weights"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(words, meant, capsys):
    with pytest.raises(SystemExit) as end:
        main(words.split())
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert f"did you mean {meant}?" in told
    if not words.startswith(("rnu", "--")):
        assert told.startswith(f"usage: human3r {words.split()[0]}")


def test_words_that_are_options_or_values_are_not_called_mistyped(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--size=3", "--every", "-1", "--max-f", "2"])
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "human3r run: error: the following arguments are required: SOURCE"


BAD_NAMES = [
    ("view absent", "absent: no such file or folder; expected the folder of a `human3r run`"),
    ("view text", "text: is a text file; expected the folder"),
    ("view empty", "empty: has no people.npz"),
    ("export absent --html page.html", "absent: no such file or folder"),
    ("export text --format csv", "text: is a text file"),
    ("refine absent", "absent: no such file"),
    ("refine text", "text: is a text file"),
    ("refine empty", "no image in this folder"),
    ("batch absent --out out", "absent: no recordings"),
    ("calibrate a=absent b=absent", "absent: no such file"),
    ("calibrate a=text b=text", "text: is a text file"),
    ("calibrate absent --topics /a,/b", "absent: no such file"),
    ("multi absent a=b", "absent: no such file"),
    ("evaluate synthetic absent", "absent: no such folder"),
    ("evaluate tum text", "text: is no folder"),
    ("evaluate synthetic --weights absent", "absent: no such file"),
    ("evaluate multiview absent", "absent: no such folder"),
    ("evaluate refine absent empty", "absent: no such file"),
    ("evaluate compare absent text", "absent: no such file"),
    ("train absent --out out --steps 1", "absent: no such folder"),
    ("weights inspect absent", "absent: no such file"),
    ("weights inspect empty", "empty: is a folder"),
    ("weights convert absent new.safetensors", "absent: no such file"),
    ("weights seeded absent new.safetensors", "absent: no such file; expected tiny"),
]
"""Commands on names that are absent, a text file or an empty folder, and what they say of them."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """How each of the commands ended, and the folder in which it ran."""
    folders = {}
    for command, _ in BAD_NAMES:
        folders[command] = tmp_path_factory.mktemp("names")
        (folders[command] / "text").write_text("x")
        (folders[command] / "empty").mkdir()
    ends = commands_in_turn((folder, command.split()) for command, folder in folders.items())
    return {
        command: (end, folder) for (command, folder), end in zip(folders.items(), ends, strict=True)
    }


@pytest.mark.parametrize(("command", "words"), BAD_NAMES)
def test_bad_names_are_refused_before_torch_is_loaded(command, words, refused):
    end, folder = refused[command]
    assert end.code == 1, end.stderr
    assert words in end.stderr
    assert not end.has_torch
    assert {path.name for path in folder.iterdir()} == {"text", "empty"}


@pytest.mark.parametrize(
    "command",
    [
        *("run", "view", "refine", "batch --out out", "calibrate", "multi", "weights inspect"),
        *("export --html page.html", "bag repair", "synth", "train --out out", "evaluate tum"),
        *("play", "record", "weights convert text"),
    ],
)
def test_an_empty_name_is_a_variable_that_is_not_set(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("x")
    with pytest.raises(SystemExit) as end:
        main([*command.split(), ""])
    assert end.value.code == 2
    assert "the name is empty; is a variable of your script not set?" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("command", "buffered"),
    [
        *(("settings", ""), ("settings", "1"), ("weights inspect", ""), ("weights inspect", "1")),
        # Unbuffered, argparse itself takes no notice.
        *(("--version", ""), ("run --help", "")),
    ],
)
def test_a_reader_that_left_ends_a_command_as_other_tools_end(command, buffered, tmp_path):
    words = command.split()
    if words[0] == "weights":
        words.append(str(default_weights_path()))
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "human3r.cli.main", *words],
        stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
    )  # fmt: skip
    os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == 128 + signal.SIGPIPE
