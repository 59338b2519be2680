"""People are found, followed and lost as a person who looks at the frames would say."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.demo_clip import demo_clip_path
from human3r.errors import ConfigError, ShapeError
from human3r.io import open_source
from human3r.people.finder import FinderOptions, PeopleFinder
from human3r.people.graph import load_network
from human3r.people.landmarks import (
    CROP_PX,
    Detection,
    PersonLandmarks,
    Region,
    assigned,
    crop,
    is_same_person,
    person_map,
    region_of_circle,
)
from human3r.people.movenet import decode
from human3r.people.network_file import packaged_network_path
from human3r.people.pose_detector import PoseDetector
from human3r.types import ImageGeometry
from tests.people.pictures import ORIGINAL, PERSON

LEFT, RIGHT = [11, 13, 15, 23, 25, 27], [12, 14, 16, 24, 26, 28]


def scene(*corners: tuple[int, int], size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """The person of the stored picture, 256 pixels a side, at these places on a plain wall."""
    image = np.full((*size, 3), (150, 170, 150), np.uint8)
    for x, y in corners:
        image[y : y + 256, x : x + 256] = PERSON[: size[0] - y, : size[1] - x]
    return image


def middle(person: PersonLandmarks) -> np.ndarray:
    return person.pixels[[11, 12, 23, 24]].mean(0)


@pytest.fixture(scope="module")
def shared_finder():
    return PeopleFinder(FinderOptions(with_masks=True))


@pytest.fixture
def finder(shared_finder):
    shared_finder.reset()
    return shared_finder


def test_people_are_counted_and_keep_their_numbers(finder):
    tracks = set()
    for step in range(5):
        people = finder(scene((20 + 6 * step, 120), (340, 150)))
        assert [p.track for p in people] == [0, 1]
        left, right = sorted(people, key=lambda p: p.pixels[0, 0])
        tracks.add((left.track, right.track))
        apart = middle(right) - middle(left)
        np.testing.assert_allclose(apart, [320 - 6 * step, 30], atol=4)
    assert len(tracks) == 1
    assert finder.timing.landmarks > 0
    for person in people:
        assert person.score > 0.9
        assert person.world.shape == (33, 3)
        assert np.abs(person.world[[23, 24]].mean(0)).max() < 0.05
        # Head above the hips, feet below them, in axes with y down.
        assert person.world[0, 1] < -0.4
        assert person.world[[27, 28], 1].min() > 0.4


def test_the_same_frames_give_the_same_numbers(finder):
    frames = [scene((40, 100)), scene((50, 100), (330, 100)), scene((330, 120))]
    first = [finder(frame) for frame in frames]
    finder.reset()
    for before, after in zip(first, [finder(frame) for frame in frames], strict=True):
        assert [p.track for p in before] == [p.track for p in after]
        for p, q in zip(before, after, strict=True):
            np.testing.assert_array_equal(p.pixels, q.pixels)
            np.testing.assert_array_equal(p.mask, q.mask)


def test_whoever_jumps_out_of_the_region_is_found_in_the_same_frame(finder):
    assert len(finder(scene((10, 60)))) == 1
    assert len(finder(scene((12, 60)))) == 1
    (moved,) = finder(scene((380, 200)))
    assert moved.detection_score > 0.2
    assert moved.region.centre[0] > 400


def test_whoever_leaves_is_gone_at_once(finder):
    assert len(finder(scene((200, 100)))) == 1
    for _ in range(4):
        assert finder(scene()) == []
    assert [p.track for p in finder(scene((200, 100)))] == [1]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.full((1, 3000, 3), 90, np.uint8),
        np.full((3000, 2, 3), 90, np.uint8),
    ],
    ids=["covered", "white", "noise", "8x8", "row", "column"],
)
def test_nobody_is_seen_where_nobody_is(finder, image):
    assert finder(image) == []
    assert finder(image) == []


def test_large_and_portrait_images(finder):
    (small,) = finder(scene((60, 180), size=(640, 360)))
    finder.reset()
    large = np.repeat(np.repeat(scene((60, 180), size=(640, 360)), 6, 0), 6, 1)
    (big,) = finder(large)
    span = 0.03 * small.region.side
    np.testing.assert_allclose((big.pixels[11:] + 0.5) / 6 - 0.5, small.pixels[11:], atol=span)


def test_a_hint_finds_people_without_a_detector_and_nobody_twice():
    finder = PeopleFinder(FinderOptions(detector="none", max_people=2))
    image = scene((20, 120), (340, 150))
    assert finder(image) == []
    region = Region(np.array([130.0, 255.0]), 250.0, 0.1)
    hints = [Detection(region, 0.9, True), Detection(region, 0.8, True)]
    (person,) = finder(image, hints)
    assert abs(middle(person)[0] - 140) < 40
    far = Detection(Region(np.array([1e9, np.nan]), 100.0, 0.0), 1.0)
    empty = Detection(Region(np.array([600.0, 40.0]), 60.0, 0.0), 0.9)
    assert [p.track for p in finder(image, [far, empty])] == [0]


def test_no_more_people_than_asked_for():
    finder = PeopleFinder(FinderOptions(max_people=1))
    for _ in range(2):
        assert len(finder(scene((20, 120), (340, 150)))) == 1


def test_landmarks_turn_with_the_image(finder):
    size = (420, 420)
    image = scene((80, 80), size=size)
    (upright,) = finder(image)
    turned = np.ascontiguousarray(np.rot90(image, -1))  # clockwise: (x, y) goes to (419 - y, x)
    finder.reset()
    x, y = upright.region.centre
    hint = Region(np.array([size[0] - 1 - y, x]), upright.region.side, np.pi / 2)
    (person,) = finder(turned, [Detection(hint, 0.9)])
    expected = np.stack([size[0] - 1 - upright.pixels[:, 1], upright.pixels[:, 0]], 1)
    sure = LEFT + RIGHT
    np.testing.assert_allclose(person.pixels[sure], expected[sure], atol=8)
    world = np.stack([-upright.world[:, 1], upright.world[:, 0], upright.world[:, 2]], 1)
    np.testing.assert_allclose(person.world[sure], world[sure], atol=0.08)


def test_masks_cover_people_at_any_size(finder):
    image = scene((20, 120), (340, 150))
    people = finder(image)
    full = person_map(people, ImageGeometry(640, 480, 640, 480, 0, 0, 640, 480))
    assert full.shape == (480, 640)
    for person in people:
        x, y = middle(person).astype(int)
        assert full[y - 10 : y + 10, x - 10 : x + 10].min() > 0.8
    assert full[:100].max() < 0.2
    small = person_map(people, ImageGeometry(640, 480, 160, 120, 8, 4, 144, 112))
    expected = full.reshape(120, 4, 160, 4).mean((1, 3))[4:116, 8:152]
    assert np.abs(small - expected).mean() < 0.01
    bare = [dataclasses.replace(p, mask=None) for p in people]
    assert person_map(bare, ImageGeometry(640, 480, 64, 48, 0, 0, 64, 48)).max() == 0


def test_movenet_decodes_as_the_published_graph():
    network = load_network(packaged_network_path("movenet_multipose"), "movenet_multipose")
    batch = torch.from_numpy(PERSON[:192].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    with torch.inference_mode():
        found = decode([m[0] for m in network(batch[None])], 6, 0.0)
    expected = ORIGINAL["movenet_people"]
    points = expected[:, :51].reshape(-1, 17, 3)
    own = found.points / [256, 192]
    sure = points[..., 2] > 0.05
    np.testing.assert_allclose(own[..., 1][sure], points[..., 0][sure], atol=1e-3)
    np.testing.assert_allclose(own[..., 0][sure], points[..., 1][sure], atol=1e-3)
    np.testing.assert_allclose(found.point_scores, points[..., 2], atol=1e-3)
    np.testing.assert_allclose(found.scores, expected[:, 55], atol=1e-3)
    assert expected[0, 55] > 0.5


def test_both_detectors_name_the_same_region(finder):
    image = scene((200, 100))
    (person,) = finder(image)
    (found,) = PoseDetector()(image)
    assert is_same_person(found.region, person.region)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.floats(-300, 300)] * 4).filter(lambda v: np.hypot(v[0] - v[2], v[1] - v[3]) > 1)
)
def test_a_region_has_the_circle_in_its_middle_and_its_end_above(numbers):
    centre, end = np.array(numbers[:2]), np.array(numbers[2:])
    region = region_of_circle(centre, end)
    matrix = region.image_from_crop(CROP_PX)
    half = (CROP_PX - 1) / 2
    above = half - CROP_PX / 2 / 1.25
    np.testing.assert_allclose(matrix @ [half, half, 1], centre, atol=1e-6)
    np.testing.assert_allclose(matrix @ [half, above, 1], end, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.floats(60, 180), st.floats(60, 180), st.floats(10, 2000), st.floats(-4, 4))
def test_a_crop_shows_what_the_region_says(x, y, side, angle):
    rows, columns = np.mgrid[:240, :240].astype(np.float64)
    image = np.stack([columns, rows, 0 * rows], -1).astype(np.uint8)
    region = Region(np.array([x, y]), side, angle)
    seen = crop(image, region).astype(float)
    matrix = region.image_from_crop(CROP_PX)
    grid = np.stack(np.meshgrid(*[np.arange(CROP_PX)] * 2), -1)
    place = grid @ matrix[:, :2].T + matrix[:, 2]
    margin = 2 + 2 * side / CROP_PX
    inside = ((place > margin) & (place < 239 - margin)).all(-1)
    assert np.abs(seen[..., :2] - place)[inside].max(initial=0) <= 1.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"detector": "yolo"},
        {"sides_px": ()},
        {"detect_every": 0},
        {"min_known_score": 0.5},
        {"max_people": 10**6},
    ],
)
def test_impossible_options_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FinderOptions(**wrong)


def test_another_kind_of_image_is_refused(finder):
    with pytest.raises(ShapeError, match="expected uint8"):
        finder(np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("shown", [(4, 7, 16, 22, 24), (1, 5, 12, 21, 24), (2, 6, 14, 16, 19, 22)])
def test_who_passes_in_front_of_another_keeps_the_number_at_a_low_frame_rate(finder, shown):
    # In the clip, 10 frames per second, a person near by walks from the right to the left.
    with open_source(demo_clip_path(), max_frames=25) as source:
        frames = list(source)
    found = [finder(frames[n].image, stamp_ns=frames[n].stamp_ns) for n in shown]
    first = max(found[0], key=lambda person: person.region.side)
    last = {person.track: person for person in found[-1]}
    assert len(last) == 2
    assert last[first.track] is max(found[-1], key=lambda person: person.region.side)
    assert first.region.centre[0] > 320 > last[first.track].region.centre[0]


@pytest.mark.parametrize(
    ("scale", "left", "top"),
    [(3.9291, 42.58, 73.48), (2.7195, 199.79, -51.63), (3.5, 157, 90)],
)
def test_a_person_whom_borders_cut_is_seen_in_the_first_image_and_stays(finder, scale, left, top):
    shift = [[scale, 0, 240 - left - 128 * scale], [0, scale, -top]]
    image = cv2.warpAffine(PERSON, np.array(shift), (480, 360), borderMode=cv2.BORDER_REPLICATE)
    assert [[p.track for p in finder(image)] for _ in range(6)] == [[0]] * 6


@pytest.mark.parametrize("step", [1, 2])
def test_nobody_has_two_bodies_while_hiding_another(finder, step):
    # Frames 6 to 8 of the clip: the person near by stands right before the other one.
    with open_source(demo_clip_path(), max_frames=15) as source:
        frames = list(enumerate(source))[::step]
    found = {index: finder(f.image, stamp_ns=f.stamp_ns) for index, f in frames}
    assert [len(found[index]) for index in (0, 6, 8, 14)] == [2, 1, 1, 2]
    near = {max(people, key=lambda p: p.region.side).track for people in found.values()}
    assert len(near) == 1


def test_the_detector_runs_after_tenths_of_a_second_where_frames_are_rare(finder):
    image = scene((20, 120))
    for period_ms, expected in ((33, [1, 0, 0, 1, 0, 0, 1]), (250, [1, 0, 1, 0, 1]), (400, [1, 1])):
        finder.reset()
        runs = []
        for n in range(len(expected)):
            finder(image, stamp_ns=n * period_ms * 1_000_000)
            runs.append(int(finder.timing.detector > 0))
        assert runs == expected, period_ms


regions = st.builds(
    lambda x, y, side: Region(np.array([x, y]), side, 0.0),
    *[st.floats(0, 640)] * 2,
    st.floats(40, 500),
)


@given(st.lists(regions, max_size=5), st.lists(regions, max_size=5), st.floats(0, 2), st.randoms())
def test_regions_are_assigned_one_to_one_and_in_any_order(known, found, gap_s, random):
    pairs = assigned(known, found, gap_s)
    assert len(set(pairs.values())) == len(pairs)
    shuffled = list(range(len(found)))
    random.shuffle(shuffled)
    again = assigned(known, [found[n] for n in shuffled], gap_s)
    assert len(again) == len(pairs)
    for k, n in pairs.items():
        assert np.hypot(*(known[k].centre - found[n].centre)) <= 0.5 * max(
            known[k].side, found[n].side
        )


def test_of_two_who_pass_each_other_size_tells_who_is_who():
    near, far = Region(np.array([400.0, 300]), 490, 0.0), Region(np.array([360.0, 210]), 250, 0.0)
    moved, stayed = Region(np.array([260.0, 300]), 420, 0.0), Region(np.array([380.0, 214]), 270, 0)
    assert assigned([near, far], [stayed, moved], 0.7) == {0: 1, 1: 0}
    assert assigned([near], [stayed, moved], 0.7) == {0: 1}
    assert assigned([near], [], 0.7) == {}
