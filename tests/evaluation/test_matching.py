import itertools
import math

import numpy as np
import pytest
from human3r_lab.evaluation.matching import box_overlap, detection_rates, match_people

FIGURE = np.array([[0.0, 0], [10, 0], [10, 40], [0, 40]])


def at(*corners):
    return np.stack([FIGURE + corner for corner in corners]) if corners else np.zeros((0, 4, 2))


def test_the_nearest_pairs_come_first():
    found = match_people(at((3, 0), (100, 0)), at((101, 0), (0, 0)))
    assert found.pairs == ((1, 0), (0, 1))
    assert found.misses == found.false_positives == ()


def test_one_prediction_serves_one_truth():
    found = match_people(at((1, 0)), at((0, 0), (2, 0)))
    assert len(found.pairs) == 1
    assert len(found.misses) == 1


def test_people_far_apart_in_the_image_are_no_pair():
    found = match_people(at((0, 0)), at((300, 0)))
    assert found.pairs == ()
    assert found.false_positives == found.misses == (0,)


def test_the_order_of_people_does_not_matter():
    rng = np.random.default_rng(3)
    true = rng.uniform(0, 200, (4, 6, 2))
    predicted = true + rng.normal(0, 3, true.shape)
    want = {(i, i) for i in range(4)}
    for order in itertools.permutations(range(4)):
        found = match_people(predicted[list(order)], true)
        assert {(order[i], j) for i, j in found.pairs} == want


def test_nobody_on_either_side():
    assert match_people(at(), at((0, 0))).misses == (0,)
    assert match_people(at((0, 0)), at()).false_positives == (0,)
    assert match_people(at(), at()).pairs == ()


def test_a_pair_dropped_for_its_boxes_ends_the_search_for_a_single_prediction():
    """The only prediction is nearest to a truth that it does not touch."""
    wide = FIGURE * [20, 1]
    touched, untouched = wide + np.array([0, 20]), FIGURE * 0.1 + [12, -2]
    predicted = FIGURE * [1, 0.01]
    assert box_overlap(predicted, untouched) < 0.05
    found = match_people(predicted[None], np.stack([untouched, touched]))
    assert found.pairs == ()


def test_boxes_count_whole_pixels():
    point = np.zeros((1, 2))
    assert box_overlap(point, point) == 1
    assert box_overlap(point, point + np.array([0, 1])) == 0
    below, beside, touching = at((0, 41), (11, 0), (10, 0))
    assert box_overlap(FIGURE, below) == box_overlap(FIGURE, beside) == 0
    assert box_overlap(FIGURE, touching) == pytest.approx(41 / (2 * 11 * 41 - 41))


def test_rates_of_nothing_are_unknown():
    assert math.isnan(detection_rates(0, 0, 0).f1)
    assert math.isnan(detection_rates(0, 0, 4).precision)
    assert detection_rates(0, 0, 4).recall == 0
    assert detection_rates(3, 1, 0).precision == 0.75
