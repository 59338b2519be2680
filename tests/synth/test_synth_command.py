"""``human3r synth`` as a person meets it; the pictures come from a stand-in."""

import sys
from functools import partial

import cv2
import numpy as np
import pytest
from human3r_lab.datasets.sequence_file import open_folder
from human3r_lab.synth import production

from human3r.cli.main import main


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    fake = partial(production.produce, renderer="tests.synth.fake_generator:render")
    monkeypatch.setattr(production, "produce", fake)


def synth(*arguments):
    return main(["synth", *map(str, arguments)])


def test_it_makes_a_folder_a_preview_and_a_video_and_says_how_fast(tmp_path, capsys):
    folder, sheet, video = tmp_path / "data", tmp_path / "sheet.jpg", tmp_path / "first.mp4"
    options = ("--sequences", 2, "--frames", 3, "--rate", 5, "--size", "64x48", "--workers", 2)
    more = ("--seed", 7, "--split", "val", "--preview", sheet, "--video", video)
    assert synth(folder, *options, *more) == 0
    told = capsys.readouterr().out
    assert "2 sequences" in told
    assert "6 frames in" in told
    assert "frames/s" in told
    sequences = open_folder(folder)
    assert [s.name for s in sequences] == ["val-easy-000008", "val-hard-000007"]
    assert sequences[0].metadata["rate_hz"] == 5.0
    assert sequences[0].view(0).image.shape == (48, 64, 3)
    assert cv2.imread(str(sheet)).shape == (96, 6 * 64, 3)
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 3
    capture.release()

    assert synth(folder, *options, "--seed", 7, "--split", "val") == 0
    assert "2 of them from before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "64"), "expected WIDTHxHEIGHT"),
        (("--sequences", "0"), "expected at least 1"),
        (("--split", "exam"), "invalid choice"),
    ],
)
def test_wrong_use_is_told_with_its_reason(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        synth(tmp_path / "data", *arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_picture_too_large_is_refused_before_anything_is_made(tmp_path, capsys):
    assert synth(tmp_path / "data", "--size", "99999x99999") == 1
    assert "expected 16 to 4096" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_preview_that_cannot_be_written_is_told_before_the_work(tmp_path, capsys):
    assert synth(tmp_path / "data", "--preview", tmp_path / "absent" / "sheet.jpg") == 1
    assert "no such folder to write into" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_without_numba_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "human3r_lab.synth.compiler", raising=False)
    assert synth(tmp_path / "data") == 1
    assert "pip install ./lab" in capsys.readouterr().err


def test_depth_and_mask_are_in_the_preview():
    from human3r_lab.synth.contact_sheet import contact_sheet

    from tests.synth.fake_generator import render

    class Sequence:
        def __len__(self):
            return 1

        def view(self, index):
            (view,) = render(90, frames=1, width_px=20, height_px=10)
            view.person_index[:, :10] = 2
            view.depth_m[:5] = 0
            return view

    sheet = contact_sheet([Sequence(), Sequence()])
    assert sheet.shape == (20, 120, 3)
    assert (sheet[:, :80] == 90).all()
    assert (sheet[:5, 80:100] == 0).all()
    assert len(np.unique(sheet[:10, 100:110].reshape(-1, 3), axis=0)) == 1
    assert (sheet[:10, 110:] == 0).all()
    assert sheet[0, 100].max() > 100
