"""The tool that fits covariances: from a folder of sequences to a file beside the weights."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from human3r_lab.datasets import write_sequence

from human3r.errors import InputError
from human3r.model.weights_file import sha256_of
from human3r.pipeline import Pipeline
from human3r.tracking.covariance_file import covariance_path, find_covariance
from tests.evaluation.small_world import Told, ToldPipeline, walk
from tools import calibrate_covariance

TOOL = Path(calibrate_covariance.__file__)


def filed(folder, truths, count, split):
    folder.mkdir()
    for number in range(count):
        metadata = {"split": split, "difficulty": "easy", "body": "free_body"}
        write_sequence(folder / f"{split}-{number}.safetensors", truths, metadata)
    return folder


def test_from_sequences_to_a_file_that_fits_the_weights(tmp_path, monkeypatch, capsys):
    truths = walk(14)
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")

    def from_settings(settings):
        pipeline = ToldPipeline(truths, Told(scale=1.1))
        pipeline.settings = settings
        return pipeline

    monkeypatch.setattr(Pipeline, "from_settings", from_settings)
    data = filed(tmp_path / "data", truths, 8, "val")
    monkeypatch.setattr(sys, "argv", ["tool", str(data), "--weights", str(weights)])
    calibrate_covariance.main()
    model = find_covariance(weights, sha256_of)
    assert model is not None
    content = json.loads(covariance_path(weights).read_text())
    assert content["made_from"]["sequences"] == 8
    assert content["made_from"]["seen"] == 8 * 28
    said = capsys.readouterr().out
    assert "inside one and two sigma" in said
    assert str(covariance_path(weights)) in said


@pytest.mark.parametrize("split", ["test", "train"])
def test_only_the_validation_split_is_taken(tmp_path, split):
    data = filed(tmp_path / "data", walk(1), 1, split)
    with pytest.raises(InputError, match=f"splits {split}; expected val"):
        calibrate_covariance.check_split(data)


def test_a_missing_folder_is_said_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "no such folder" in said
    assert "Traceback" not in said
