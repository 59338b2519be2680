"""Batches: what is done is not done again, what fails is tried again, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from human3r.batch.manifest import DONE, FAILED, Manifest
from human3r.batch.run import MANIFEST, REPORT, find_recordings, run_batch, tasks_for
from human3r.batch.work import TRIES, Outcome, Task, do_task, written_once
from human3r.batch.workers import on_this_machine
from human3r.cli.main import main
from human3r.errors import InputError, OutputError


def recordings(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.mp4" for number in range(count)]
    for path in paths:
        path.write_bytes(b"")
    return paths


def write_files(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "people.npz").write_text(text)
    (folder / "summary.json").write_text("{}")


def write_result(task: Task) -> Outcome:
    """Stands for run and refine: writes the files by which a result is known, and a trace."""
    trace = Path(task.source).with_suffix(".trace")
    with trace.open("a") as file:
        file.write(f"{os.getpid()}\n")
    with written_once(Path(task.out)) as folder:
        write_files(folder, "x")
    return Outcome(task.source, True, "fine", 0.1)


def fail_first(task: Task) -> Outcome:
    if not Path(task.source).with_suffix(".trace").exists():
        Path(task.source).with_suffix(".trace").write_text("")
        return Outcome(task.source, False, "no luck", 0.1)
    return write_result(task)


def events(out: Path) -> list[tuple[str, str]]:
    lines = (out / MANIFEST).read_text().splitlines()
    return [(Path(e["source"]).name, e["state"]) for e in map(json.loads, lines)]


def test_every_recording_is_done_once_and_again_never(tmp_path):
    out = tmp_path / "out"
    tasks = tasks_for(recordings(tmp_path / "in", 5), out, Task("", ""))
    workers = partial(on_this_machine, jobs=3, work=write_result)
    assert run_batch(tasks, out, workers).num_done == 5
    again = run_batch(tasks, out, workers)
    assert (again.num_done, again.num_before) == (5, 5)
    for path in (tmp_path / "in").glob("*.trace"):
        assert len(path.read_text().splitlines()) == 1
    report = json.loads((out / REPORT).read_text())
    assert [row["state"] for row in report["recordings"]] == [DONE] * 5


def test_a_failure_is_tried_again_and_then_reported(tmp_path):
    out = tmp_path / "out"
    tasks = tasks_for(recordings(tmp_path / "in", 2), out, Task("", ""))
    once = run_batch(tasks, out, partial(on_this_machine, jobs=1, work=fail_first), retries=0)
    assert once.failures == {task.source: "no luck" for task in tasks}
    summary = run_batch(tasks, out, partial(on_this_machine, jobs=1, work=fail_first))
    assert summary.num_done == 2
    assert [state for _, state in events(out)].count(FAILED) == 2


def test_a_result_that_was_removed_is_made_again(tmp_path):
    import shutil

    out = tmp_path / "out"
    tasks = tasks_for(recordings(tmp_path / "in", 2), out, Task("", ""))
    workers = partial(on_this_machine, jobs=1, work=write_result)
    run_batch(tasks, out, workers)
    shutil.rmtree(tasks[0].out)
    assert run_batch(tasks, out, workers).num_before == 1
    assert Path(tasks[0].out, "people.npz").exists()


def test_a_manifest_cut_off_by_a_crash_is_read(tmp_path):
    path = tmp_path / MANIFEST
    manifest = Manifest.open(path)
    manifest.add("a", DONE)
    with path.open("a") as file:
        file.write('{"source": "b", "sta')
    again = Manifest.open(path)
    assert set(again.entries) == {"a"}
    again.add("b", DONE)
    assert set(Manifest.open(path).entries) == {"a", "b"}


def test_another_file_is_no_manifest(tmp_path):
    (tmp_path / MANIFEST).write_text("hello\nworld\n")
    with pytest.raises(InputError, match="is no event"):
        Manifest.open(tmp_path / MANIFEST)


def test_recordings_of_one_name_get_folders_of_their_own(tmp_path):
    first, second = recordings(tmp_path / "a", 1) + recordings(tmp_path / "b", 1)
    tasks = tasks_for([first, second], tmp_path, Task("", ""))
    assert tasks[0].out != tasks[1].out


def test_without_recordings_it_is_said(tmp_path):
    with pytest.raises(InputError, match="no recordings"):
        find_recordings(str(tmp_path))


def test_a_recording_that_cannot_be_read_fails_alone(tmp_path, capsys):
    recordings(tmp_path / "in", 1)
    code = main(["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--retries", "0"])
    assert code == 1
    assert "0 of 1 recordings done" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    assert "0.mp4" in report["recordings"][0]["message"]


def test_a_worker_that_only_seemed_dead_spoils_nothing(tmp_path):
    out = tmp_path / "out"
    with written_once(out / "0") as slow:
        slow.mkdir()
        (slow / "people.npz").write_text("half of")
        with written_once(out / "0") as fast:
            write_files(fast, "fast")
        (slow / "summary.json").write_text("{}")
    assert (out / "0" / "people.npz").read_text() == "fast"
    assert sorted(path.name for path in out.iterdir()) == [TRIES, "0"]
    assert not list((out / TRIES).iterdir())


def test_what_dead_workers_left_is_removed_and_in_nobodys_way(tmp_path):
    out = tmp_path / "out"
    tasks = tasks_for(recordings(tmp_path / "in", 1), out, Task("", ""))
    (out / TRIES / "a" / "0").mkdir(parents=True)
    assert run_batch(tasks, out, partial(on_this_machine, jobs=1, work=write_result)).num_done == 1
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["0"]


def test_a_folder_that_is_no_result_is_not_taken_for_one(tmp_path):
    (tmp_path / "0" / "holiday").mkdir(parents=True)
    with pytest.raises(OutputError, match="no complete result"):
        with written_once(tmp_path / "0") as folder:
            write_files(folder, "x")
    assert sorted(path.name for path in (tmp_path / "0").iterdir()) == ["holiday"]


def test_a_failure_names_the_wanted_folder_and_leaves_none(tmp_path):
    source = recordings(tmp_path / "in", 1)[0]
    outcome = do_task(Task(str(source), str(tmp_path / "out" / "0"), refine=False))
    assert not outcome.is_done
    assert str(source) in outcome.message
    assert not list((tmp_path / "out").glob("0*"))


SLOW_WORK = """
import sys, time
sys.path.insert(0, {root!r})
from functools import partial
from pathlib import Path
from human3r.batch.run import run_batch, tasks_for
from human3r.batch.work import Task
from human3r.batch.workers import on_this_machine
from tests.batch.test_batch import write_result

def slowly(task):
    time.sleep(0.3)
    return write_result(task)

paths = sorted(Path({folder!r}).glob("*.mp4"))
tasks = tasks_for(paths, Path({out!r}), Task("", ""))
run_batch(tasks, Path({out!r}), partial(on_this_machine, jobs=2, work=slowly))
"""


def test_a_killed_batch_goes_on_where_it_was(tmp_path):
    out = tmp_path / "out"
    recordings(tmp_path / "in", 8)
    root = str(Path(__file__).parents[2])
    code = SLOW_WORK.format(root=root, folder=str(tmp_path / "in"), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", code])
    limit_s = time.monotonic() + 60
    while time.monotonic() < limit_s:
        if (out / MANIFEST).exists() and (out / MANIFEST).read_text().count(DONE) >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done_before = (out / MANIFEST).read_text().count(f'"{DONE}"')
    assert 2 <= done_before < 8
    tasks = tasks_for(sorted((tmp_path / "in").glob("*.mp4")), out, Task("", ""))
    summary = run_batch(tasks, out, partial(on_this_machine, jobs=2, work=write_result))
    assert (summary.num_done, summary.num_before) == (8, done_before)
    folders = [path for path in out.iterdir() if path.is_dir() and path.suffix != ".part"]
    done_once = [name for name, state in events(out) if state == DONE]
    assert len(done_once) == len(set(done_once)) == 8
    assert {Path(task.out) for task in tasks} <= set(folders)
