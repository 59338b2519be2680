"""A batch of real recordings through the real network, a worker killed at work."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from human3r.batch.manifest import DONE, FAILED
from human3r.batch.run import MANIFEST, REPORT
from human3r.demo_clip import demo_clip_path

pytestmark = pytest.mark.slow
_LIMIT_S = 1200
"""Long before that a batch that has hung would be seen; a busy machine needs minutes."""


def start(recordings: Path, out: Path) -> subprocess.Popen:
    arguments = ["batch", str(recordings), "-o", str(out), "--jobs", "2", "--retries", "2"]
    arguments += ["--run-args", "--save people,trajectory,scene,frames --max-frames 4"]
    command = [sys.executable, "-m", "human3r.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def workers_of(batch: subprocess.Popen) -> list[int]:
    """Process numbers of the recordings that are worked on."""
    tasks = Path(f"/proc/{batch.pid}/task")
    found = []
    for task in tasks.iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def alive(pid: int) -> bool:
    """Whether a process still works."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(what, batch: subprocess.Popen | None = None):
    limit_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < limit_s:
        found = what()
        if found:
            return found
        if batch is not None and batch.poll() is not None:
            raise AssertionError(f"the batch ended: {batch.communicate()[0]}")
        time.sleep(0.02)
    raise AssertionError("nothing happened")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_worker_and_a_killed_batch_lose_nothing_and_do_nothing_twice(tmp_path):
    recordings, out = tmp_path / "in", tmp_path / "out"
    recordings.mkdir()
    for number in range(3):
        shutil.copy(demo_clip_path(), recordings / f"{number}.mp4")
    batch = start(recordings, out)
    os.kill(wait_for(lambda: workers_of(batch), batch)[0], signal.SIGKILL)

    def one_is_done():
        return (out / MANIFEST).exists() and f'"{DONE}"' in (out / MANIFEST).read_text()

    wait_for(one_is_done, batch)
    left = workers_of(batch)
    os.kill(batch.pid, signal.SIGKILL)
    batch.communicate()
    wait_for(lambda: not any(map(alive, left)))  # Workers end with their batch.
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/people.npz")}
    ended = start(recordings, out)
    text, _ = ended.communicate(timeout=_LIMIT_S)
    assert ended.returncode == 0, text
    assert "3 of 3 recordings done" in text
    events = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    done = [event["source"] for event in events if event["state"] == DONE]
    assert len(done) == len(set(done)) == 3
    assert [e for e in events if e["state"] == FAILED]  # The killed one was tried again.
    assert {f"{n}{kind}" for n in range(3) for kind in ("", "-live")} == {
        path.name for path in out.iterdir() if path.is_dir()
    }
    for path, stamp in made.items():  # What was there already was not made again.
        assert path.stat().st_mtime_ns == stamp
    report = json.loads((out / REPORT).read_text())
    assert [row["state"] for row in report["recordings"]] == [DONE] * 3
