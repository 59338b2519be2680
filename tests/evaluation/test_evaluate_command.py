"""``human3r evaluate`` from its arguments to what it leaves behind."""

import argparse
import io
import json
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
from human3r_lab.cli import evaluate as command
from human3r_lab.datasets import write_sequence
from human3r_lab.evaluation import html_report, synthetic_sequences
from safetensors.numpy import save_file

from human3r.cli.main import main
from human3r.config import Settings
from human3r.errors import ConfigError, InputError, MissingExtraError
from human3r.pipeline import Pipeline
from human3r.setting import load_yaml
from tests.evaluation.small_world import CAMERA, Told, ToldPipeline, view, walk, world_from_camera

METADATA = {"seed": 0, "split": "test", "rate_hz": 10.0, "body": "free_body"}


@pytest.fixture(scope="module")
def truths():
    return walk(4)


def filed(folder, truths, metadata):
    folder.mkdir(exist_ok=True)
    return write_sequence(folder / f"{metadata['name']}.safetensors", truths, metadata)


def halves(place, truths):
    """A folder with two sequences of the same frames, one easy and one hard."""
    for name in ("easy", "hard"):
        filed(place / "data", truths, {**METADATA, "name": name, "difficulty": name})
    return place / "data"


def tell(patch, place, truths):
    """What the pipeline behind the command is told; weights are a file without a network."""
    told = Told(head_shift_m=(0, 0, 0.1))
    weights = place / "made_up.safetensors"
    save_file({"nothing": np.zeros(1)}, weights)

    def from_settings(settings):
        pipeline = ToldPipeline(truths, told)
        pipeline.settings = settings.replace({"model.weights": str(weights)})
        return pipeline

    patch.setattr(Pipeline, "from_settings", from_settings)
    return told


@pytest.fixture
def folder(truths, tmp_path):
    return halves(tmp_path, truths)


@pytest.fixture
def told(monkeypatch, truths, tmp_path):
    """What the pipeline is told; the report's plots, nearly all of the time, are left blank."""
    for plot in ("step_plot", "sorted_plot"):
        monkeypatch.setattr(html_report, plot, lambda *_: "<svg/>")
    return tell(monkeypatch, tmp_path, truths)


@pytest.fixture(scope="module")
def evaluated(truths, tmp_path_factory):
    """Both halves evaluated, with plots: the folder of results, and what was printed."""
    place = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as shown:
        tell(patch, place, truths)
        assert call("synthetic", halves(place, truths), "--out", place / "out") == 0
    return place / "out", shown.getvalue()


def call(*words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["evaluate", *map(str, words)])
    return args.run(args)


def test_a_folder_of_sequences_is_evaluated(evaluated):
    out, shown = evaluated
    assert {path.name for path in out.iterdir()} == {
        *("results.json", "report.html", "settings.yaml")
    }
    assert "root error" in shown
    assert str(out) in shown.splitlines()[-1]
    document = json.loads((out / "results.json").read_text())
    assert document["numbers"]["all"]["root_error_mm"] == pytest.approx(100, abs=0.1)
    assert document["dataset"]["name"] == "synthetic"
    assert document["dataset"]["sequences"] == 2
    assert document["dataset"]["size_px"] == [96, 64]
    assert "people by" in shown
    assert len(document["weights"]["sha256"]) == 64
    assert Settings().replace(load_yaml(out / "settings.yaml")).people.min_score == 0.3


def test_one_half_and_fewer_frames_can_be_asked_for(folder, told, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ("--hard", "--max-frames", 2, "--set", "people.min_score=0.5")
    assert call("synthetic", folder, "--out", out, *arguments, "--alignments", "metric") == 0
    document = json.loads((out / "results.json").read_text())
    assert [(s["name"], s["frames"]) for s in document["sequences"]] == [("hard", 2)]
    assert document["settings"]["people.min_score"] == 0.5
    assert document["numbers"]["all"]["abs_rel_median"] is None
    assert document["numbers"]["all"]["abs_rel"] is not None
    assert document["settings"]["model.weights"] == "made_up.safetensors", "no path of this machine"
    heading = next(line for line in capsys.readouterr().out.splitlines() if "measure" in line)
    assert "hard" in heading
    assert "all" not in heading, "one half is not shown twice"


def test_a_damaged_sequence_fails_the_command_but_not_the_others(
    folder, told, tmp_path, monkeypatch, capsys
):
    real = synthetic_sequences.FiledSequence._view

    def broken(self, index):
        if self.name == "easy" and index == 2:
            raise InputError("easy.safetensors: frame 2 cannot be read")
        return real(self, index)

    monkeypatch.setattr(synthetic_sequences.FiledSequence, "_view", broken)
    out = tmp_path / "out"
    assert call("synthetic", folder, "--out", out) == 1
    document = json.loads((out / "results.json").read_text())
    assert document["sequences_failed"] == 1
    assert [s["frames"] for s in document["sequences"]] == [2, 4]
    assert "frame 2 cannot be read" in capsys.readouterr().out


def test_nothing_is_left_when_nothing_can_be_read(folder, told, tmp_path):
    (folder / "easy.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"easy\.safetensors"):
        call("synthetic", folder, "--out", tmp_path / "out")
    with pytest.raises(InputError, match="no such folder"):
        call("synthetic", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sequences_of_another_body_are_refused(truths, told, tmp_path):
    metadata = {**METADATA, "name": "a", "difficulty": "easy", "body": "smplx_neutral"}
    filed(tmp_path / "data", truths, metadata)
    with pytest.raises(InputError, match=r"smplx_neutral.*free_body"):
        call("synthetic", tmp_path / "data", "--out", tmp_path / "out")


def test_a_half_that_is_not_there_is_said(truths, told, tmp_path):
    metadata = {**METADATA, "name": "a", "difficulty": "easy"}
    filed(tmp_path / "data", truths, metadata)
    with pytest.raises(InputError, match="difficulty hard"):
        call("synthetic", tmp_path / "data", "--hard", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    "words",
    [
        ("--alignments", "metric,best"),
        ("--sequences", -1),
        ("--max-frames", -2),
        ("--workers", -3),
        ("--jobs", 0),
        ("--set", "people.min_scor=1"),
    ],
)
def test_wrong_arguments_are_said_before_any_work(folder, tmp_path, words):
    with pytest.raises(ConfigError):
        call("synthetic", folder, *words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", ["640", "640x", "ax480", "-640x480", "640x480x3", "640 x 480"])
def test_a_size_that_is_none_is_refused(size, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call("synthetic", f"--image-size={size}", "--out", tmp_path / "out")
    assert "WIDTHxHEIGHT, for example 640x480" in capsys.readouterr().err


def test_a_size_that_cannot_be_drawn_or_is_not_asked_for_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="8x480; expected 16 to 4096"):
        call("synthetic", "--image-size", "8x480", "--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="have their own"):
        call("synthetic", folder, "--image-size", "96x64", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_benchmark_keeps_its_size_unless_another_one_is_asked_for():
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    sizes = [
        command._options(parser.parse_args(["evaluate", "synthetic", *words])).size_px
        for words in ([], ["--image-size", "640x480"])
    ]
    assert sizes == [(224, 160), (640, 480)]


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_frames_name_their_camera_when_that_is_asked_for(
    is_calibrated, folder, told, tmp_path, monkeypatch, capsys
):
    cameras = []

    class Noticing(ToldPipeline):
        def step(self, frame):
            cameras.append(frame.intrinsics)
            return super().step(frame)

    from_settings = Pipeline.from_settings

    def noticing(settings):
        pipeline = from_settings(settings)
        pipeline.__class__ = Noticing
        return pipeline

    monkeypatch.setattr(Pipeline, "from_settings", noticing)
    words = ["--calibrated"] if is_calibrated else []
    words += ["--max-frames", "2", "--out", tmp_path / "out"]
    assert call("synthetic", folder, "--easy", *words) == 0
    assert set(cameras) == ({CAMERA} if is_calibrated else {None})
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["dataset"].get("calibrated", False) is is_calibrated
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading == "synthetic, 96x64" + (", calibrated" if is_calibrated else "")
    assert heading in (tmp_path / "out" / "report.html").read_text()


def test_what_is_given_wins_over_the_protocol_also_where_it_is_usual(caplog):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    given = ["--set", "people.min_score=0.3", "--set", "tf.mode=odometry", "--size", "320"]
    args = parser.parse_args(["evaluate", "tum", "folder", *given])
    protocol = {"people.min_score": 0.7, "model.input_size": 512, "session.reset_interval": 9}
    settings = command._settings(args, SimpleNamespace(settings=protocol))
    assert settings.people.min_score == 0.3
    assert settings.model.input_size == 320
    assert settings.session.reset_interval == 9
    assert "tf.mode has no effect in `human3r evaluate`, only in the node." in caplog.text


def test_the_benchmark_is_rendered_from_its_seeds(told, truths, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(synthetic_sequences, "RENDERER", "tests.evaluation.fake_renderer:render")
    rendered = [view({}, world_from_camera(), number) for number in range(2)]
    monkeypatch.setattr(Pipeline, "from_settings", _with_views(Pipeline.from_settings, rendered))
    out = tmp_path / "out"
    arguments = ("--sequences", 2, "--max-frames", 2, "--workers", 2, "--split", "val")
    assert call("synthetic", *arguments, "--image-size", "96x64", "--out", out) == 0
    document = json.loads((out / "results.json").read_text())
    names = [s["name"] for s in document["sequences"]]
    assert names == ["easy-000", "easy-001", "hard-000", "hard-001"]
    assert document["dataset"]["first_seed"] == 0
    assert document["dataset"]["split"] == "val"
    assert document["dataset"]["frames_per_sequence"] == 2
    assert document["dataset"]["size_px"] == [96, 64]
    assert "easy 96x64" in capsys.readouterr().out
    assert document["frames"] == 8


def test_without_a_renderer_the_command_says_what_to_install(told, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_sequences, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install \./lab"):
        call("synthetic", "--out", tmp_path / "out")


def test_errors_end_the_command_with_one_line(told, tmp_path, capsys):
    assert main(["evaluate", "synthetic", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "imaginary"])


def test_two_results_are_compared(evaluated, folder, told, tmp_path, capsys):
    told.head_shift_m = (0, 0, 0.05)
    assert call("synthetic", folder, "--out", tmp_path / "b", "--max-frames", 3) == 0
    capsys.readouterr()
    files = evaluated[0] / "results.json", tmp_path / "b" / "results.json"
    assert call("compare", *files) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("root error  "))
    assert "-50.0 %" in line
    assert "100.0" in line
    with pytest.raises(InputError, match="no such file"):
        call("compare", files[0], tmp_path / "c.json")


def test_results_of_an_older_version_are_compared(evaluated, tmp_path, capsys):
    new = evaluated[0] / "results.json"
    document = json.loads(new.read_text())
    del document["curves"], document["dataset"]["size_px"]
    for numbers in (*document["numbers"].values(), *(s["numbers"] for s in document["sequences"])):
        for name in ("facing_median_deg", "facing_over_90_percent"):
            del numbers[name]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    capsys.readouterr()
    assert call("compare", old, new) == 0
    shown = capsys.readouterr().out
    assert "dataset size_px: absent and [96, 64]" in shown
    assert "B 96x64" in shown
    cells = next(line for line in shown.splitlines() if line.startswith("facing error, median"))
    assert [cell.strip() for cell in cells.split("│")][2:5] == ["-", "0.1", "-"]
    assert call("compare", new, old) == 0


def _with_views(from_settings, views):
    def wrapped(settings):
        pipeline = from_settings(settings)
        pipeline._views = {view.stamp_ns: (n, view) for n, view in enumerate(views)}
        return pipeline

    return wrapped
