from dataclasses import replace

import av
import numpy as np
import pytest

from human3r.viewer.colors import colorize_depth, person_color
from human3r.viewer.labels import draw_label
from human3r.viewer.overlay import Caption, draw_overlay, project
from human3r.viewer.overlay_files import OverlayFiles
from human3r.viewer.raster import silhouette, triangle_ids
from human3r.viewer.video_file import VideoFile
from tests.viewer import synthetic_estimates as synthetic


@pytest.fixture(scope="module")
def one():
    return synthetic.estimate(0, [synthetic.person(4, [0.2, 0.3, 3.5])])


def changed(image, other):
    return (image.astype(int) != other).any(axis=-1)


def test_a_person_is_drawn_where_the_body_is(one):
    frame, estimate = one
    drawn = draw_overlay(frame.image, estimate, synthetic.FACES, depth_inset=False)
    person = estimate.people[0]
    pixels, depth = project(person.vertices_camera, synthetic.source_camera())
    body = silhouette(pixels, depth, synthetic.FACES, *synthetic.SOURCE)
    difference = changed(drawn, frame.image)
    assert difference[body].mean() > 0.98
    rows, cols = np.nonzero(body)
    far = np.ones_like(body)
    far[max(0, rows.min() - 40) : rows.max() + 10, cols.min() - 25 : cols.max() + 25] = False
    assert not difference[far].any()


def test_the_image_given_is_left_alone(one):
    frame, estimate = one
    before = frame.image.copy()
    draw_overlay(frame.image, estimate, synthetic.FACES, caption=Caption(3, 2.0, "note"))
    np.testing.assert_array_equal(frame.image, before)


def test_the_skeleton_needs_no_mesh(one):
    frame, estimate = one
    drawn = draw_overlay(frame.image, estimate, None, depth_inset=False)
    person = estimate.people[0]
    pixels, _ = project(person.joints_camera[:22], synthetic.source_camera())
    for u, v in np.round(pixels).astype(int):
        assert changed(drawn, frame.image)[v, u]


def test_an_overlay_of_a_smaller_image_has_the_person_in_the_same_place(one):
    frame, estimate = one
    half = np.ascontiguousarray(frame.image[::2, ::2])
    drawn = draw_overlay(half, estimate, synthetic.FACES, depth_inset=False)
    pixels, depth = project(estimate.people[0].vertices_camera, synthetic.source_camera())
    body = silhouette(pixels, depth, synthetic.FACES, *synthetic.SOURCE)[::2, ::2]
    difference = changed(drawn, half)
    assert difference[body].mean() > 0.97
    columns = np.flatnonzero(difference.any(axis=0))
    expected = np.flatnonzero(body.any(axis=0))
    np.testing.assert_allclose(columns[[0, -1]], expected[[0, -1]], atol=4)


def test_a_calibrated_camera_wins_over_the_estimated_one(one):
    frame, estimate = one
    wrong = replace(estimate.intrinsics, fx=60.0, fy=60.0)
    mistaken = replace(estimate, intrinsics=wrong)
    expected = draw_overlay(frame.image, estimate, synthetic.FACES, depth_inset=False)
    drawn = draw_overlay(
        frame.image, mistaken, synthetic.FACES, camera=synthetic.source_camera(), depth_inset=False
    )
    np.testing.assert_array_equal(drawn, expected)
    assert changed(
        draw_overlay(frame.image, mistaken, synthetic.FACES, depth_inset=False), expected
    ).any()


@pytest.mark.parametrize("focal_px", [0.0, 2.6])
def test_people_stay_visible_where_the_focal_length_is_degenerate(one, focal_px):
    frame, estimate = one
    flat = replace(estimate, intrinsics=replace(estimate.intrinsics, fx=focal_px, fy=focal_px))
    drawn = draw_overlay(frame.image, flat, synthetic.FACES, depth_inset=False)
    assert changed(drawn, frame.image).sum() > 3000


def test_the_nearest_person_is_drawn_last():
    near, far = synthetic.person(1, [0, 0.3, 2.5]), synthetic.person(2, [0, 0.3, 3.0])
    frame, estimate = synthetic.estimate(0, [near, far])
    same = replace(estimate, people=(far, near))
    first = draw_overlay(frame.image, estimate, synthetic.FACES)
    np.testing.assert_array_equal(first, draw_overlay(frame.image, same, synthetic.FACES))


@pytest.mark.parametrize("place", [[0, 0, -3.0], [0, 0, 0.0], [80.0, 0, 2.0], [np.nan] * 3])
def test_people_out_of_sight_or_not_finite_do_no_harm(place):
    frame, estimate = synthetic.estimate(0)
    ghost = synthetic.person(1, [0, 0, 3.0])
    shift = np.asarray(place, np.float32) - ghost.joints_camera[0]
    ghost = replace(
        ghost,
        joints_camera=ghost.joints_camera + shift,
        vertices_camera=ghost.vertices_camera + shift,
        head_px=np.array([np.nan, 1e9], np.float32),
    )
    drawn = draw_overlay(frame.image, replace(estimate, people=(ghost,)), synthetic.FACES)
    assert drawn.shape == frame.image.shape


def test_ids_have_stable_and_different_colours():
    colors = [person_color(number) for number in range(12)]
    assert colors == [person_color(number) for number in range(12)]
    distances = [
        np.abs(np.subtract(a, b)).sum() for i, a in enumerate(colors) for b in colors[i + 1 :]
    ]
    assert min(distances) > 25


def test_unknown_depth_is_black_and_near_is_warm():
    depth = np.linspace(1, 8, 400, dtype=np.float32).reshape(20, 20)
    depth[0, 0], depth[0, 1], depth[0, 2] = np.nan, -1, np.inf
    colors = colorize_depth(depth)
    assert not colors[0, :3].any()
    near, far = colors[0, 5].astype(int), colors[-1, -1].astype(int)
    assert near[0] > near[2]
    assert far[0] < far[2] + 60
    assert not colorize_depth(np.full((4, 4), np.nan, np.float32)).any()


def test_labels_stay_inside_tiny_images():
    image = np.zeros((5, 4, 3), np.uint8)
    draw_label(image, "a long label", -50, 900, size_px=12)
    assert image.shape == (5, 4, 3)


def test_the_nearer_triangle_is_seen():
    pixels = np.array([[0, 0], [20, 0], [0, 20], [0, 0], [20, 0], [0, 20]], float)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    for depths, seen in (([1, 1, 1, 2, 2, 2], 0), ([3, 3, 3, 2, 2, 2], 1)):
        ids = triangle_ids(pixels, np.array(depths, float), faces, 20, 20)
        assert ids[3, 3] == seen
        assert ids[19, 19] == -1


def read(path):
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in video.decode(stream)]
        return frames, stream.codec_context.name, stream.codec_context.pix_fmt


def test_a_video_keeps_stamps_and_pictures(tmp_path):
    video = VideoFile(tmp_path / "a.mp4")
    stamps_ns = [10**18, 10**18 + 40_000_000, 10**18 + 500_000_000]
    for number, stamp_ns in enumerate(stamps_ns):
        video.add(np.full((50, 71, 3), 60 * number, np.uint8), stamp_ns)
    assert not (tmp_path / "a.mp4").exists()
    video.finish()
    frames, codec, pixels = read(tmp_path / "a.mp4")
    assert (codec, pixels) == ("h264", "yuv420p")
    assert [time for time, _ in frames] == pytest.approx([0, 0.04, 0.5])
    for number, (_, image) in enumerate(frames):
        assert image.shape == (50, 70, 3)
        assert abs(float(image.mean()) - 60 * number) < 4
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_video_longer_than_the_encoder_looks_ahead_keeps_its_stamps(tmp_path):
    video = VideoFile(tmp_path / "a.mp4")
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.4, 90).round(3))
    for time_s in times_s:
        video.add(np.zeros((48, 64, 3), np.uint8), round(time_s * 1e9))
    video.finish()
    frames, _, _ = read(tmp_path / "a.mp4")
    assert [time for time, _ in frames] == pytest.approx(list(times_s - times_s[0]), abs=2e-3)


@pytest.mark.parametrize("count", [0, 2])
def test_an_aborted_video_leaves_nothing(tmp_path, count):
    video = VideoFile(tmp_path / "a.mp4")
    for number in range(count):
        video.add(np.zeros((48, 64, 3), np.uint8), number)
    video.abort()
    assert list(tmp_path.iterdir()) == []


def test_one_frame_gives_a_picture_and_more_give_a_video(tmp_path):
    for count, name in ((1, "overlay.png"), (3, "overlay.mp4")):
        folder = tmp_path / str(count)
        folder.mkdir()
        files = OverlayFiles(folder, synthetic.FACES, "untrained")
        for frame, estimate in synthetic.walk(count):
            files.add(frame, estimate)
        files.finish()
        assert [p.name for p in folder.iterdir()] == [name]


def test_depth_lies_beside_an_upright_image_and_in_the_corner_of_a_wide_one(one):
    frame, estimate = one
    upright = np.full((320, 180, 3), 90, np.uint8)
    drawn = draw_overlay(upright, estimate)
    assert drawn.shape[0] == 320
    assert drawn.shape[1] > 180 + 100
    np.testing.assert_array_equal(
        drawn[:, :180], draw_overlay(upright, estimate, depth_inset=False)
    )
    assert draw_overlay(frame.image, estimate).shape == frame.image.shape


def test_a_clock_that_leaps_by_years_becomes_a_short_pause_of_the_video(one, tmp_path):
    frame, estimate = one
    files = OverlayFiles(tmp_path, synthetic.FACES)
    for stamp_s in (1, 2, 1_700_000_000, 1_700_000_001, 1_700_000_031):
        files.add(replace(frame, stamp_ns=stamp_s * 10**9), estimate)
    files.finish()
    with av.open(str(tmp_path / "overlay.mp4")) as video:
        times = [float(picture.time) for picture in video.decode(video=0)]
    assert times == pytest.approx([0.0, 1.0, 1.1, 2.1, 32.1], abs=0.01)
