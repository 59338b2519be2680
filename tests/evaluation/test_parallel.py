"""Several processes find what one finds."""

import argparse
import json

import pytest
from human3r_lab.cli import evaluate as command
from human3r_lab.datasets import write_sequence
from human3r_lab.evaluation import parallel
from human3r_lab.evaluation.benchmarks import BenchmarkOptions
from human3r_lab.evaluation.parallel import Work, evaluate_in_processes
from human3r_lab.evaluation.pictures import PictureKeeper
from human3r_lab.evaluation.rendering import RenderHere, RenderJob

from human3r.config import Settings
from human3r.errors import InputError, OutputError
from tests.evaluation import fake_process
from tests.evaluation.small_world import ToldSequence, free_body, walk


@pytest.fixture
def run(monkeypatch):
    """Runs made-up sequences, whose processes do what is said."""
    monkeypatch.setattr(parallel, "_open", fake_process.open_nothing)
    monkeypatch.setattr(parallel, "_evaluate_one", fake_process.evaluate_one)

    def run(what_happens, num_processes, num_sequences=3, **options):
        sequences = [ToldSequence(f"s{number}", []) for number in range(num_sequences)]
        work = Work(what_happens, BenchmarkOptions(), Settings(), 1)
        keeper = PictureKeeper(free_body().faces, free_body().faces, 15)
        done = evaluate_in_processes(sequences, work, num_processes, keeper=keeper, **options)
        return done, keeper

    return run


def test_results_come_in_the_order_of_the_sequences(run):
    seen = []
    done, keeper = run(
        "comes in another order", 2, 9, progress=lambda so_far: seen.append(so_far.frames)
    )
    assert [result.name for result in done.results] == [f"s{number}" for number in range(9)]
    assert (done.frames, done.network_s, done.was_interrupted) == (27, 4.5, False)
    assert seen == sorted(seen)
    assert seen[-1] == 27
    # Six of each, those of equal badness in the order of the sequences.
    assert [p.sequence for p in keeper.pictures("worst")] == ["s3", "s7", "s2", "s6", "s1", "s5"]
    assert [p.sequence for p in keeper.pictures("best")] == ["s0", "s4", "s8", "s1", "s5", "s2"]


def test_a_process_that_dies_takes_what_is_not_finished_and_nothing_else(run):
    done, _ = run("dies", 1)
    assert [result.name for result in done.results] == ["s0", "s1", "s2"]
    assert [bool(result.error) for result in done.results] == [False, True, True]
    assert "fewer --jobs" in done.results[1].error
    assert done.frames == 3


def test_what_would_fail_in_every_sequence_ends_the_evaluation(run):
    with pytest.raises(OutputError, match="the disk is full"):
        run("fails", 1)


def test_a_request_to_stop_leaves_out_what_is_not_finished(run):
    finished = []
    done, _ = run(
        "is stopped", 1, 6, progress=finished.append, is_asked_to_stop=lambda: bool(finished)
    )
    assert done.was_interrupted
    assert [result.name for result in done.results] == ["s0"]


def test_frames_can_be_rendered_as_they_are_asked_for():
    jobs = [RenderJob(seed, {"frames": 2}) for seed in (3, 4)]
    here = RenderHere(jobs, "tests.evaluation.fake_renderer:render")
    assert [view.image[0, 0, 0] for view in here.views(1)] == [4, 4]
    assert [view.image[0, 0, 0] for view in here.views(0)] == [3, 3]
    failing = RenderHere([RenderJob(5, {"frames": 2, "raise_at": 1})], here._renderer)
    views = failing.views(0)
    next(views)
    with pytest.raises(InputError, match="seed 5: the renderer failed: ValueError"):
        next(views)


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(tmp_path):
    truths = walk(4)
    for name in ("a", "b", "c"):
        metadata = {"name": name, "seed": 0, "split": "val", "body": "free_body"}
        metadata |= {"rate_hz": 10.0, "difficulty": "hard" if name == "b" else "easy"}
        (tmp_path / "data").mkdir(exist_ok=True)
        write_sequence(tmp_path / "data" / f"{name}.safetensors", truths, metadata)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    documents = []
    for jobs in ("1", "2"):
        words = ["evaluate", "synthetic", str(tmp_path / "data"), "--set", "model.threads=1"]
        words += ["--set", "people.min_score=0.02", "--set", "people.source=network"]
        args = parser.parse_args([*words, "--jobs", jobs, "--out", str(tmp_path / jobs)])
        assert args.run(args) == 0
        documents.append(json.loads((tmp_path / jobs / "results.json").read_text()))
    one, two = documents
    assert one["hardware"]["processes"] == 1
    assert two["hardware"]["processes"] == 2
    for name in ("numbers", "counts", "curves", "sequences", "dataset", "frames", "settings"):
        assert one[name] == two[name], name
