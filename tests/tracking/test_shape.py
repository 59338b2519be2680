import numpy as np

from human3r.tracking.shape import MeanShapes


def test_everybody_has_the_mean_of_their_own_shapes():
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((20, 2, 10)).astype(np.float32)
    means = MeanShapes()
    for frame, both in enumerate(shapes):
        # They change places in the list, not in identity.
        ids = (5, 9) if frame % 2 else (9, 5)
        given = both if frame % 2 else both[::-1]
        found = means.update(ids, given)
        expected = shapes[: frame + 1].mean(axis=0)
        assert np.allclose(found, expected if frame % 2 else expected[::-1], atol=1e-5)
    assert found.dtype == np.float32


def test_enough_shapes_make_the_bones_for_good():
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((60, 1, 10)).astype(np.float32)
    means = MeanShapes()
    found = [means.update([3], shape)[0] for shape in shapes]
    assert np.allclose(found[29], shapes[:30].mean(axis=0)[0], atol=1e-6)
    assert not np.allclose(found[28], found[29], atol=1e-4)
    assert all(np.array_equal(later, found[29]) for later in found[30:])


def test_a_shape_that_does_not_change_stays_bit_for_bit():
    means, shape = MeanShapes(), np.full((1, 10), 0.1, np.float32)
    for _ in range(1000):
        found = means.update([3], shape)
    assert np.array_equal(found, shape)


def test_the_memory_is_bounded_and_the_longest_unseen_go_first():
    means, one = MeanShapes(), np.ones((1, 10), np.float32)
    means.update([0], one)
    for number in range(1, 1000):
        means.update([number], one)
        means.update([0], one)
    assert len(means._sums) <= 256
    # Somebody seen all the time is still known after everybody else.
    assert np.allclose(means.update([0], 3 * one), 1.0)
    assert np.allclose(means.update([1], 3 * one), 3.0)
