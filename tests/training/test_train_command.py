"""``human3r train`` from data to weights that inference loads."""

import argparse
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import cv2
import numpy as np
import pytest
import torch
from human3r_lab.cli import train as command
from human3r_lab.training.curves import draw_curves
from human3r_lab.training.duration import Duration
from human3r_lab.training.export import export_weights
from human3r_lab.training.initial import new_network, set_mean_body
from human3r_lab.training.run import TrainingOptions, train

from human3r.errors import ConfigError, DeviceError, InputError, WeightsError
from human3r.model.checkpoint import load_network
from tests.training.fake_sequences import write_folder
from tests.training.small import SMALL

ONE_BY_ONE = ("--batch", 1, "--workers", 0)


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["train", *map(str, words)])
    return args.run(args)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The small network's first weights as a file, since it is no known variant."""
    network = new_network(SMALL, seed=3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return export_weights(network.state_dict(), SMALL, path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, weights):
    """A short training, with validation."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_folder(folder / "data", sequences=2, views=5)
    held_out = write_folder(folder / "held_out", sequences=1, views=3)
    words = ("--init", weights, "--validation", held_out, "--validate-steps", 2)
    with redirect_stdout(StringIO()) as said:
        code = run(data, "--out", folder / "run", *ONE_BY_ONE, "--steps", 2, *words)
    assert code == 0
    (folder / "said").write_text(said.getvalue())
    return folder


def test_a_training_leaves_everything(trained):
    out = trained / "run"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"loss", "depth_abs_rel", "precision", "recall"} <= lines[1]["validation"].keys()
    picture = cv2.imread(str(out / "validation" / "step-00000002.jpg"))
    # One row; truth, answer and both depths side by side.
    assert picture.shape == (336, 4 * 448, 3)
    assert cv2.imread(str(out / "curves.png")).std() > 1
    network = load_network(out / "weights.safetensors")
    assert network.config == SMALL


def test_the_last_line_says_what_was_done(trained):
    last = (trained / "said").read_text().splitlines()[-1]
    assert last.startswith("2 steps; ")
    for word in ("images/s", "waiting for data", str(trained / "run")):
        assert word in last


def test_a_training_goes_on_only_when_that_is_wanted(trained, tmp_path, weights, capsys):
    out = shutil.copytree(trained / "run", tmp_path / "run")
    words = (trained / "data", "--out", out, "--init", weights, *ONE_BY_ONE, "--steps", 3)
    with pytest.raises(InputError, match="--resume"):
        run(*words)
    assert run(*words, "--resume") == 0
    assert capsys.readouterr().out.startswith("3 steps; ")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 1e-3)])
def test_exported_weights_are_the_running_average(trained, tmp_path, dtype, tolerance, capsys):
    target = tmp_path / "out.safetensors"
    assert run("--out", trained / "run", "--export", target, "--dtype", dtype) == 0
    assert f"{dtype} weights after 2 steps" in capsys.readouterr().out
    exported = load_network(target).state_dict()
    kept = load_network(trained / "run" / "weights.safetensors").state_dict()
    for name, value in kept.items():
        torch.testing.assert_close(exported[name].float(), value, rtol=tolerance, atol=tolerance)
    first = new_network(SMALL, seed=3).state_dict()
    assert not torch.equal(kept["enc_norm.weight"], first["enc_norm.weight"])


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"data": "nowhere"}, InputError, "nowhere"),
        ({"duration": Duration(steps=1), "variant": "huge"}, WeightsError, "huge"),
        ({"recipe": "prompt-tuning", "init": None}, ConfigError, "--cut3r"),
        ({"recipe": "magic"}, ConfigError, "magic"),
        ({"device": "abacus"}, DeviceError, "abacus"),
        ({"precision": "float8"}, ConfigError, "float8"),
        ({"batch": 0}, ConfigError, "batch"),
        ({"views": 0}, ConfigError, "views"),
    ],
)
def test_wrong_options_are_refused(tmp_path, data_folder, weights, change, error, word):
    options = TrainingOptions(data_folder, tmp_path / "run", Duration(steps=1), init=weights)
    with pytest.raises(error, match=word):
        train(replace(options, **change))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_damaged_sequence_is_named(tmp_path, data_folder, weights):
    broken = write_folder(tmp_path / "data", sequences=2, views=2)
    path = broken / "fake-001.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    options = TrainingOptions(broken, tmp_path / "run", Duration(steps=1), init=weights)
    with pytest.raises(InputError, match="fake-001"):
        train(options)


def test_exporting_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no training"):
        run("--out", tmp_path, "--export", tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="DATA"):
        run("--out", tmp_path)


def test_curves_show_what_there_is():
    lines = [
        {"step": i, "loss": 5.0 / i, "terms": {"points": 0.5 - 0.1 * i, "mask": None}}
        for i in range(1, 30)
    ]
    lines[20]["validation"] = {"loss": 1.0}
    panels = {axes.get_title("left"): axes for axes in draw_curves(lines).axes}
    raw, smooth, validation = panels["loss"].lines
    assert panels["loss"].get_yscale() == "log"
    assert panels["points"].get_yscale() == "linear", "it becomes negative"
    np.testing.assert_array_equal(raw.get_ydata(), [5.0 / i for i in range(1, 30)])
    assert len(smooth.get_ydata()) == 29
    assert validation.get_xydata().tolist() == [[21, 1.0]]
    for drawn in (panels["mask"], *draw_curves([]).axes):
        assert [text.get_text() for text in drawn.texts] == ["no values yet"]


def test_the_mean_body_is_that_of_the_data(data_folder):
    from human3r_lab.datasets import open_folder

    sequences = open_folder(data_folder)
    network = new_network(SMALL, seed=0)
    set_mean_body(network, sequences)
    heads = network.downstream_head
    betas = [file.view(i).people.betas for file in sequences for i in range(len(file))]
    np.testing.assert_allclose(heads.init_betas[0], np.concatenate(betas).mean(0), atol=1e-5)
    # Upright and facing the camera, arms hanging as the people of the data have them.
    rotations = heads.init_body_pose[0].view(53, 3, 2)
    np.testing.assert_array_equal(rotations[0, :, 1], [0, -1, 0])
    assert rotations[16, 1, 0] < -0.5


def test_new_networks_begin_sensibly():
    network = new_network(SMALL, seed=1)
    assert torch.equal(network.pose_token, new_network(SMALL, seed=1).pose_token)
    assert not torch.equal(network.pose_token, new_network(SMALL, seed=2).pose_token)
    before = torch.get_rng_state()
    new_network(SMALL, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(value.isfinite().all() for value in network.state_dict().values())
