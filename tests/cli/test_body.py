import argparse
import pickle

import pytest

from human3r.body import load_body_model
from human3r.cli import body
from human3r.errors import BodyModelError
from tests import synthetic_smplx


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    body.add_parser(parser.add_subparsers())
    args = parser.parse_args(["body", *words])
    return args.run(args)


def test_a_pickle_is_converted_and_inspected(tmp_path, capsys):
    source, target = tmp_path / "SMPLX_NEUTRAL.pkl", tmp_path / "out.npz"
    source.write_bytes(pickle.dumps(synthetic_smplx.build(num_vertices=120, num_faces=90)))
    assert run("convert", str(source), str(target)) == 0
    assert "vertices     120" in capsys.readouterr().out
    assert run("inspect", str(target)) == 0
    assert "faces        90" in capsys.readouterr().out
    assert load_body_model(target).num_vertices == 120


def test_something_else_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("not a body")
    with pytest.raises(BodyModelError):
        run("inspect", str(path))
