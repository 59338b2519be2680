"""Files named by mistake are called what they are, by every command that reads files."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest

from human3r.body.default import default_body_path
from human3r.cli.main import main
from human3r.errors import WeightsError
from human3r.file_kind import kind_of, refuse_other_kinds
from human3r.model.default import default_weights_path
from human3r.people.network_file import packaged_network_path


@pytest.fixture
def files(tmp_path):
    """Name of a kind to a file of it."""
    texts = {
        "page": b"\xef\xbb\xbf\n<!DOCTYPE html><title>Log in</title>",
        "text": b"weights: 3\n",
        "empty": b"",
        "itself": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "archive": b"\x1f\x8b\x08\x00 of an archive",
        "picture": b"\xff\xd8\xff\xe0 of a picture",
        "pickle": pickle.dumps({"v_template": np.zeros(3)}),
    }
    found = {}
    for name, data in texts.items():
        found[name] = tmp_path / f"{name}.bin"
        found[name].write_bytes(data)
    found["npz"] = tmp_path / "others.npz"
    np.savez(found["npz"], poses=np.zeros(3))
    found["people file"] = tmp_path / "people.npz"
    np.savez(found["people file"], frame_stamp_ns=np.zeros(3))
    return found | {
        "body": default_body_path(),
        "weights": default_weights_path(),
        "people network": packaged_network_path("pose_detection"),
        "folder": tmp_path,
    }


def test_every_kind_is_recognised(files):
    told = {name: kind_of(path) for name, path in files.items()}
    wanted = {"itself": "itself", "archive": "archive"}
    assert {n: k and k.name for n, k in told.items()} == {n: wanted.get(n, n) for n in files}


def test_a_downloaded_archive_says_what_to_unpack(tmp_path):
    path = tmp_path / "models_smplx.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("models/smplx/SMPLX_NEUTRAL.npz", b"x")
    with pytest.raises(WeightsError, match=r"is a zip archive with models/smplx/SMPLX_NEUTRAL.npz"):
        refuse_other_kinds(path, ("weights",), "weights", WeightsError)


@pytest.mark.parametrize(
    "data", [b"\x00" * 40, b"PK\x03\x04 cut", b"\x01\xff" * 300, b"\x09" + b"\0" * 9]
)
def test_what_is_not_recognised_is_left_to_the_reader(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert kind_of(path) is None


@pytest.mark.parametrize(
    ("command", "kind", "told"),
    [
        ("weights inspect {}", "body", "is a body model in the SMPL-X layout"),
        ("weights inspect {}", "page", "is a web page"),
        ("weights inspect {}", "picture", "is a picture"),
        ("weights convert {} {out}", "weights", "ready for use"),
        ("weights convert {} {out}", "people network", "is a landmark or detector network"),
        ("weights convert {} {out}", "folder", "is the folder of a run"),
        ("body inspect {}", "weights", "is a weights file of human3r"),
        ("body convert {} {out}", "page", "is a web page"),
    ],
)
def test_commands_say_what_the_file_is(files, tmp_path, capsys, command, kind, told):
    out = tmp_path / "out" / "file"
    words = command.format(files[kind], out=out).split()
    assert main(words) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "; expected " in said
    assert not out.exists()


@pytest.mark.parametrize(
    "command", ["weights seeded tiny {}", "body convert {body} {}", "weights convert {pth} {}"]
)
def test_a_file_that_is_there_is_replaced_only_when_asked(tmp_path, capsys, command):
    there = tmp_path / "there"
    there.write_bytes(b"precious")
    body = shutil.copy(default_body_path(), tmp_path / "body.npz")
    words = command.format(there, body=body, pth=tmp_path / "none.pth").split()
    assert main(words) == 1
    assert "is there already" in capsys.readouterr().err
    assert there.read_bytes() == b"precious"
    if words[0] == "body":
        assert main([*words, "--force"]) == 0
        assert there.read_bytes() != b"precious"
