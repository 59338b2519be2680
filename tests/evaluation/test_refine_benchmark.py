"""The table over sequences before and after refinement."""

import shutil

import numpy as np
import pytest
from human3r_lab.evaluation.refine_benchmark import BeforeAfter, summary_table
from human3r_lab.evaluation.refine_part import MEASURES, numbers_before_and_after, read_truth

from human3r.errors import InputError
from tests.refine.result_folders import write_standing


def numbers(value: float, scale: float) -> dict[str, float]:
    return {**dict.fromkeys(MEASURES, value), "camera_scale": scale, "jitter_truth": 1.0}


def test_medians_and_how_many_became_better_and_worse():
    found = [
        BeforeAfter("a", numbers(10, 0.8), numbers(5, 0.9)),
        BeforeAfter("b", numbers(20, 1.2), numbers(30, 1.3)),
        BeforeAfter("c", numbers(30, 1.0), numbers(30.1, 1.0)),
        BeforeAfter("d", None, None),
    ]
    rows = summary_table(found).splitlines()
    assert "| WA-MPJPE, mm | 20 | 30 | 1 | 1 |" in rows
    assert rows[-2].endswith("| 1 | 1 | 1 | 1 |")  # The scale is best at 1.


def test_nobody_found_is_an_error():
    with pytest.raises(InputError, match="nobody"):
        summary_table([BeforeAfter("a", None, None)])


def test_whoever_is_moved_far_away_still_counts(tmp_path):
    true = write_standing(tmp_path / "live", scale=1.0, frames=20, with_frames=False)
    arrays = dict(np.load(tmp_path / "live" / "people.npz"))
    names = ("rotations", "betas", "expression", "head_camera")
    people = {name: arrays[name][:, None] for name in names}
    truth = {"stamp_ns": arrays["frame_stamp_ns"], "world_from_camera": true, **people}
    np.savez(tmp_path / "truth.npz", **truth)
    shutil.copytree(tmp_path / "live", tmp_path / "far")
    away_m = 3 + np.arange(20)[:, None, None] / 10
    arrays["joints_camera"] = arrays["joints_camera"] + away_m * np.array([0, 0, 1.0])
    np.savez(tmp_path / "far" / "people.npz", **arrays)
    about = read_truth(tmp_path / "truth.npz")
    before, after = numbers_before_and_after(tmp_path / "live", tmp_path / "far", about)
    assert before["wa_mpjpe_mm"] < 1
    assert after["wa_mpjpe_mm"] > 100
