"""`human3r refine`: result folders in, result folders of the same kind out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.cli.main import main
from human3r.demo_clip import demo_clip_path
from human3r.export.result import read_result
from human3r.io.trajectory import read_trajectory
from tests.refine.result_folders import write_standing

SAMPLE_BAG = Path(__file__).parents[2] / "examples" / "sample_bag"


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine")
    true = write_standing(folder / "live", shake_m=0.003)
    assert main(["refine", str(folder / "live"), "-o", str(folder / "better")]) == 0
    return folder, true


def test_the_scene_gets_its_metres(refined):
    folder, true = refined
    result = read_result(folder / "better")
    path = result.world_from_camera[:, :3, 3]
    assert np.linalg.norm(path[-1]) == pytest.approx(np.linalg.norm(true[-1, :3, 3]), rel=0.02)
    report = json.loads((folder / "better" / "refine.json").read_text())
    assert report["scales"][0] == pytest.approx(1 / 0.85, rel=0.02)
    person = report["people"]["7"]
    assert person["after"]["sole_to_surface_mm"] < 20 < person["before"]["sole_to_surface_mm"]
    slid, slides = (person[w]["sliding_mm_per_key_frame"] for w in ("before", "after"))
    assert slides < 0.5 * slid


def test_every_file_agrees(refined):
    folder, _ = refined
    result = read_result(folder / "better")
    stamps, poses = read_trajectory(folder / "better" / "trajectory.tum")
    np.testing.assert_allclose(poses, result.world_from_camera, atol=1e-6)
    assert (stamps == result.stamps_ns).all()
    for number, path in enumerate(sorted((folder / "better" / "frames").glob("*.npz"))):
        frame = np.load(path)
        np.testing.assert_array_equal(frame["world_from_camera"], result.world_from_camera[number])
        np.testing.assert_array_equal(frame["joints_camera"][0], result.joints_camera[number])
    assert len(result.points_world) > 1000
    floor = result.points_world[result.points_world[:, 1] > 1.3]
    assert np.median(floor[:, 1]) == pytest.approx(1.5, abs=0.03)
    contacts = np.load(folder / "better" / "contacts.npz")
    assert set(contacts["track_id"]) == {7}
    assert len(contacts["place_world"]) == len(contacts["confidence"]) > 50
    listed = json.loads((folder / "better" / "summary.json").read_text())["files"]
    assert sorted(listed) == sorted(path.name for path in (folder / "better").iterdir())


def assert_same_bytes(one: Path, other: Path):
    first, second = (
        {p.relative_to(f): p.read_bytes() for p in sorted(f.rglob("*")) if p.is_file()}
        for f in (one, other)
    )
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_refined_twice_is_the_same_byte_for_byte(refined):
    folder, _ = refined
    assert main(["refine", str(folder / "live"), "-o", str(folder / "again")]) == 0
    assert_same_bytes(folder / "better", folder / "again")


@pytest.mark.slow
@pytest.mark.parametrize("source", [SAMPLE_BAG, demo_clip_path()], ids=["bag", "video"])
def test_a_source_refined_twice_is_the_same_byte_for_byte(tmp_path, source):
    more = "--set model.deterministic=true --max-frames 40"
    one, two = (tmp_path / name / "better" for name in ("one", "two"))
    for folder in (one, two):
        # Each in a process of its own: the setting holds for all of it.
        command = [sys.executable, "-m", "human3r.cli.main", "refine", str(source), "--run-args"]
        subprocess.run([*command, more, "-o", str(folder)], check=True, timeout=1200)
        assert main(["export", str(folder), "--html", str(folder.parent / "page.html")]) == 0
    names = {"people.npz", "contacts.npz", "scene.ply", "trajectory.tum", "frames", "refine.json"}
    assert names <= {path.name for path in one.iterdir()}
    assert_same_bytes(one, two)
    pages = [(folder.parent / "page.html").read_bytes() for folder in (one, two)]
    assert pages[0] == pages[1]


def test_arguments_for_a_run_are_refused_where_nothing_is_run(refined, capsys):
    folder, _ = refined
    assert main(["refine", str(folder / "live"), "--run-args", "--max-frames 3"]) == 1
    assert "not run again" in capsys.readouterr().err


def test_nothing_is_left_beside_the_result(refined):
    folder, _ = refined
    assert {path.name for path in folder.iterdir()} <= {"live", "better", "again"}


def test_limbs_of_the_files_agree_with_their_joints(tmp_path):
    write_standing(tmp_path / "live", scale=1.0, frames=30, with_frames=False, shake_m=0.02)
    assert main(["refine", str(tmp_path / "live"), "-o", str(tmp_path / "out")]) == 0
    limbs = json.loads((tmp_path / "out" / "refine.json").read_text())["people"]["7"]["limbs"]
    assert limbs["has_changed"]
    assert limbs["stances"] >= 2
    before, after = (np.load(tmp_path / f / "people.npz") for f in ("live", "out"))
    assert np.abs(after["rotations"] - before["rotations"])[:, 1:].max() > 1e-3
    names = ("rotations", "betas", "expression", "head_camera")
    body = load_body_model(default_body_path())
    mesh = body(*(torch.from_numpy(after[name]) for name in names))
    np.testing.assert_allclose(mesh.joints.numpy(), after["joints_camera"], atol=1e-5)
    kept = ["refine", str(tmp_path / "live"), "-o", str(tmp_path / "kept"), "--no-smooth"]
    assert main(kept) == 0
    np.testing.assert_array_equal(
        np.load(tmp_path / "kept" / "people.npz")["rotations"], before["rotations"]
    )


def test_what_was_not_saved_is_said(tmp_path, capsys):
    write_standing(tmp_path / "live", with_frames=False, frames=12)
    assert main(["refine", str(tmp_path / "live"), "-o", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "refine.json").read_text())
    assert any("frames/" in text for text in report["missing"])
    assert any("scene.ply" in text for text in report["missing"])


def test_chaining_keeps_the_way(tmp_path):
    write_standing(tmp_path / "live", scale=1.0, frames=30)
    arguments = ["refine", str(tmp_path / "live"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--method", "chain"]) == 0
    before, after = (read_result(tmp_path / f).world_from_camera for f in ("live", "out"))
    length_m = np.linalg.norm(np.diff(before[:, :3, 3], axis=0), axis=1).sum()
    assert np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=1).max() < 0.01 * length_m


def test_a_folder_that_is_no_result_is_refused(tmp_path, capsys):
    (tmp_path / "live").mkdir()
    assert main(["refine", str(tmp_path / "live"), "-o", str(tmp_path / "out")]) == 1
    assert "expected" in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()


def test_frames_of_another_run_are_refused(tmp_path, capsys):
    write_standing(tmp_path / "live", frames=12)
    (tmp_path / "live" / "frames" / "000003.npz").unlink()
    assert main(["refine", str(tmp_path / "live"), "-o", str(tmp_path / "out")]) == 1
    assert "11 files; expected 12" in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()
