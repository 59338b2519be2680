"""The clip that the project draws itself."""

import numpy as np
import pytest

from human3r.errors import InputError, OutputError
from human3r.io import open_source
from tests.drawn_clip import clip_intrinsics, draw_clip, write_clip

SMALL = {"width_px": 96, "height_px": 64, "rate_hz": 5, "duration_s": 0.6}


def test_the_same_arguments_draw_the_same_pictures():
    first, second = list(draw_clip(**SMALL)), list(draw_clip(**SMALL))
    assert len(first) == 3
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_figures_and_camera_move():
    first, *_, last = draw_clip(**SMALL)
    changed = (np.abs(first.astype(int) - last).max(axis=2) > 12).mean()
    assert first.shape == (64, 96, 3)
    assert first.std() > 20
    assert changed > 0.1


def test_the_video_has_the_frames_that_were_drawn(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", **SMALL)
    with open_source(str(path), max_pixels=10**6) as source:
        frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [0, 200_000_000, 400_000_000]
    for frame, drawn in zip(frames, draw_clip(**SMALL), strict=True):
        assert np.abs(frame.image.astype(int) - drawn).mean() < 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]


def test_intrinsics_are_those_of_the_image():
    camera = clip_intrinsics(640, 480)
    assert (camera.width_px, camera.height_px) == (640, 480)
    assert (camera.cx, camera.cy) == (319.5, 239.5)


@pytest.mark.parametrize("change", [{"width_px": 97}, {"height_px": 2}, {"duration_s": 0.0}])
def test_impossible_sizes_are_refused(change):
    with pytest.raises(InputError, match="clip of"):
        next(draw_clip(**{**SMALL, **change}))


def test_an_unwritable_place_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_clip(tmp_path / "file" / "clip.mp4", **SMALL)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
