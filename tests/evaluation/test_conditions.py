"""People are told apart by what makes them hard to see."""

import dataclasses

import numpy as np
import pytest
import torch
from human3r_lab.evaluation.conditions import CONDITIONS, heights_px, steps_of
from human3r_lab.evaluation.measures import Measure, RunningMedian, pool
from human3r_lab.evaluation.truth import FreeBodyScheme

from tests.evaluation.small_world import CAMERA, free_body, view


def true_view(places):
    return FreeBodyScheme(free_body()).true_view(view(places))


def step_names(condition, places):
    """The name of each person's step."""
    names = CONDITIONS[condition].step_names()
    return [names[step] for step in steps_of(true_view(places), (0,))[condition]]


@pytest.mark.parametrize("distance_m", [1.0, 1.6, 2.8, 3.5, 5.0, 7.0])
def test_height_is_that_of_the_silhouette(distance_m):
    truth = view({1: (distance_m, 0)})
    shown = np.flatnonzero((truth.person_index == 1).any(axis=1))
    bodies = FreeBodyScheme(free_body()).true_view(truth).people.bodies
    (height,) = heights_px(bodies.vertices, CAMERA)
    assert height == pytest.approx(np.ptp(shown) + 1, abs=2)


def test_who_is_beside_the_image_or_behind_the_camera_has_no_height():
    bodies = true_view({1: (4.0, 9.0), 2: (-3.0, 0)}).people.bodies
    assert heights_px(bodies.vertices, CAMERA).tolist() == [0, 0]
    assert len(heights_px(bodies.vertices[:0], CAMERA)) == 0


def test_height_is_in_pixels_of_the_image():
    bodies = true_view({1: (5.0, 0)}).people.bodies
    (small,) = heights_px(bodies.vertices, CAMERA)
    (large,) = heights_px(bodies.vertices, CAMERA.scaled_to(10 * 96, 10 * 64))
    assert large == pytest.approx(10 * small, rel=0.05)


def test_people_are_counted_who_are_to_be_found():
    assert step_names("people", {1: (3, 0)}) == ["1"]
    assert step_names("people", {1: (3, -0.8), 2: (3, 0.8), 3: (4, 0)}) == ["3", "3", "3"]
    assert step_names("people", {1: (3, 0), 2: (3, 9)}) == ["1", "1"], "one is beside the image"
    crowd = {n + 1: (6, 0.8 * n - 2) for n in range(6)}
    assert step_names("people", crowd) == ["≥ 5"] * 6


def test_stature_follows_the_shape():
    truth = view({1: (3, -0.5), 2: (4, 0.5)})
    people = FreeBodyScheme(free_body()).true_view(truth).people
    body = free_body()
    shapes = torch.from_numpy(truth.people.betas)
    rest = body(
        torch.eye(3).expand(2, 53, 3, 3), shapes, torch.zeros(2, 10), torch.zeros(2, 3)
    ).vertices.numpy()
    assert people.statures_m == pytest.approx(np.ptp(rest[..., 1], axis=1), abs=1e-4)


def test_places_and_what_hides_are_told_apart():
    assert step_names("distance", {1: (2.5, 0), 2: (5.5, 1)}) == ["2-3", "5-6"]
    assert step_names("visible", {1: (3, 0), 2: (6, 0)}) == ["≥ 0.9", "< 0.4"]
    assert step_names("inside", {1: (4.5, 0), 2: (4, 9)}) == ["≥ 0.999", "< 0.4"]


def test_without_a_camera_and_annotations_the_rest_is_known():
    seen = true_view({1: (3, 0)})
    people = dataclasses.replace(
        seen.people, statures_m=None, visible_share=None, inside_share=None
    )
    bare = dataclasses.replace(seen, people=people, intrinsics=None)
    assert sorted(steps_of(bare, (0,))) == ["distance", "people"]


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_step_has_its_own_name(name):
    condition = CONDITIONS[name]
    names = condition.step_names()
    assert len(names) == len(set(names)) == len(condition.borders) + 1
    assert names[-1].startswith("≥")
    assert list(condition.borders) == sorted(condition.borders)


def running_median(values):
    found = RunningMedian(limit=180, bin_width=0.25)
    found.add(values)
    return found.measure()


@pytest.mark.parametrize("seed", range(5))
def test_a_running_median_is_right_to_its_bins_however_it_was_fed(seed):
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(8, 30, rng.integers(1, 400))) % 180
    whole = running_median(values)
    below = np.sort(values)
    low, high = below[(len(values) - 1) // 2], below[len(values) // 2]
    assert low - 0.25 <= whole.value <= high + 0.25
    assert whole.weight == len(values)
    parts = [running_median(part) for part in np.array_split(values, 3) if len(part)]
    assert pool([*parts, None]) == whole


def test_a_median_takes_no_notice_of_how_far_off_a_few_are():
    assert running_median([1.0, 1.0, 1.0, 180.0]).value == pytest.approx(1, abs=0.25)
    assert running_median(1e9).value == pytest.approx(180, abs=0.25)
    assert running_median([]) is None
    assert pool([None, None]) is None
    assert pool([Measure(1, 1), Measure(3, 3)]) == Measure(2.5, 4)
