"""Commands that must end, and modules that must load, before PyTorch is: all in one process.

A process for each would load NumPy, OpenCV and our own modules anew every time. One that has not
loaded PyTorch after the last of them has not loaded it for any.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_COMMANDS = """
import contextlib, importlib, io, json, os, sys, traceback
main = importlib.import_module(sys.argv[1]).main
ends = []
for folder, words in json.load(sys.stdin):
    os.chdir(folder)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            code = main(words)
        except BaseException:
            traceback.print_exc()
            code = None
    ends.append([code, said.getvalue(), 'torch' in sys.modules])
print(json.dumps(ends))
"""
_MODULES = """
import importlib, json, sys
print(json.dumps({n: importlib.import_module(n) and 'torch' in sys.modules for n in sys.argv[1:]}))
"""


class Ended(NamedTuple):
    """How a command ended; ``code`` is None where it raised."""

    code: int | None
    stderr: str
    has_torch: bool
    """Whether it, or one before it, has loaded PyTorch."""


def commands_in_turn(
    commands: Iterable[tuple[Path, Sequence[str]]], module: str = "human3r.cli.main"
) -> list[Ended]:
    """Call ``main`` of a module with each of these words, in the folder beside them."""
    asked = json.dumps([(str(folder), list(words)) for folder, words in commands])
    return [Ended(*one) for one in json.loads(_answer(_COMMANDS, module, said=asked))]


def modules_with_torch(*names: str) -> dict[str, bool]:
    """Import modules one after the other; whether PyTorch is loaded after each."""
    return json.loads(_answer(_MODULES, *names))


def _answer(code: str, *arguments: str, said: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=said, env=dict(os.environ), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
