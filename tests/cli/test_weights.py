import argparse
import subprocess
import sys

import pytest
import torch

from human3r.cli import weights
from human3r.errors import WeightsError
from human3r.model.checkpoint import load_network
from human3r.model.default import default_weights_path
from human3r.model.variants import VARIANTS
from human3r.people.network_file import packaged_network_path
from tests.before_torch import commands_in_turn


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    weights.add_parser(parser.add_subparsers())
    args = parser.parse_args(["weights", *words])
    return args.run(args)


def test_seeded_weights_are_made_inspected_and_loaded(tmp_path, capsys):
    target = tmp_path / "w.safetensors"
    assert run("seeded", "tiny", str(target), "--seed", "3") == 0
    assert "tiny, untrained, 827 tensors, 95590862 numbers" in capsys.readouterr().out
    assert run("inspect", str(target)) == 0
    shown = capsys.readouterr().out
    assert "seed 3, untrained" in shown
    assert "variant     tiny" in shown
    assert load_network(target).config == VARIANTS["tiny"]


def test_a_checkpoint_is_inspected_without_loading_it(tmp_path, capsys):
    path = tmp_path / "c.pth"
    blob = {"model": {"x": torch.ones(2, 3)}, "args": argparse.Namespace(model="Text(1)")}
    torch.save(blob, path)
    assert run("inspect", str(path)) == 0
    shown = capsys.readouterr().out
    assert "numbers     6" in shown
    assert "Text(1)" in shown


def test_options_of_convert_arrive(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"model": {"x": torch.ones(2, 3)}}, path)
    target = str(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="cls_token is missing"):
        run("convert", str(path), target)
    with pytest.raises(WeightsError, match="827 missing"):
        run("convert", str(path), target, "--variant", "tiny")
    with pytest.raises(WeightsError, match="cls_token is missing"):
        run("convert", str(path), target, "--human-size", "672")


def test_packages_of_people_networks_are_told_from_checkpoints(tmp_path):
    package, checkpoint = tmp_path / "p.tgz", tmp_path / "pytorch_model.bin"
    package.write_bytes(b"no package")
    torch.save({"model": {"x": torch.ones(2, 3)}}, checkpoint)
    with pytest.raises(WeightsError, match="expected a package of npm"):
        run("convert", str(package), str(tmp_path / "out"))
    with pytest.raises(WeightsError, match="cls_token is missing"):
        run("convert", str(checkpoint), str(tmp_path / "w.safetensors"))


def test_help_needs_no_torch():
    code = (
        "import argparse, sys; from human3r.cli import body, weights;"
        "c = argparse.ArgumentParser().add_subparsers();"
        "weights.add_parser(c); body.add_parser(c);"
        "assert not {'torch', 'safetensors'} & set(sys.modules), 'heavy imports'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_saying_what_a_file_holds_needs_no_torch(tmp_path):
    checkpoint = tmp_path / "c.pth"
    torch.save({"model": {"x": torch.ones(2, 3)}}, checkpoint)
    files = (default_weights_path(), packaged_network_path("movenet_multipose"), checkpoint)
    for end in commands_in_turn((tmp_path, ["weights", "inspect", str(file)]) for file in files):
        assert end.code == 0, end.stderr
        assert not end.has_torch
