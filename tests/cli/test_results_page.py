"""docs/results.md against the folder of a real run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from human3r.cli.main import main
from human3r.demo_clip import demo_clip_path

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
READERS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the shipped network and body leave of three frames of the demo clip."""
    out = tmp_path_factory.mktemp("page") / "out"
    command = ["run", str(demo_clip_path()), "--out", str(out), "--max-frames", "3"]
    assert main([*command, "--save", "all"]) == 0
    return out


# Each with nothing but what it imports itself; in one process, since most of the time is NumPy's.
ONE_BY_ONE = """
import contextlib, io, json, sys
shown = []
for number, reader in enumerate(json.load(sys.stdin)):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(reader, f"reader {number}", "exec"), {"__name__": "__main__"})
    shown.append(said.getvalue())
print(json.dumps(shown))
"""


def test_every_reader_of_the_page_reads(folder):
    assert len(READERS) == 9
    for reader in READERS:
        lines = [line for line in reader.splitlines() if line]
        assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ONE_BY_ONE],
        input=json.dumps(READERS), cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for reader, shown in zip(READERS, json.loads(done.stdout), strict=True):
        assert shown.strip(), reader


@pytest.mark.parametrize(
    ("file", "section"), [("people.npz", "people.npz"), ("frames/000000.npz", "frames")]
)
def test_the_page_names_every_key_and_no_other(folder, file, section):
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    keys = set()
    for line in text.splitlines():
        if line.startswith("| `"):
            keys.update(re.findall(r"`(\w+)`", line.split("|")[1]))
    if section == "frames":
        keys.update(re.findall(r"`(\w+)`", text.split("with one row per person of that frame,")[1]))
    with np.load(folder / file) as arrays:
        assert set(arrays.files) == keys


def test_the_page_names_every_file(folder):
    for path in folder.iterdir():
        assert f"`{path.name}" in PAGE, path.name
