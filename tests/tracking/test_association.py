import numpy as np
import pytest

from human3r.tracking.tracks import TrackMemory, associate, forget, log_transport, match

SECOND_NS = 1_000_000_000


@pytest.fixture
def people():
    """Four clearly different people's tokens, (4, 16)."""
    return (10 * np.eye(4, 16)).astype(np.float32)


def test_transport_repeats_the_golden_numbers(unit_ops):
    got = log_transport(unit_ops["ot.scores"][0], float(unit_ops["ot.alpha"]))
    want = unit_ops["ot.out"][0].astype(np.float64)
    assert np.abs(got - want).max() <= 1e-5 * np.sqrt((want**2).mean())


def test_transport_keeps_the_masses():
    scores = np.random.default_rng(0).standard_normal((3, 5))
    plan = np.exp(log_transport(scores, -10.0, rounds=500))
    assert np.allclose(plan.sum(axis=1), [1, 1, 1, 5])
    assert np.allclose(plan.sum(axis=0), [1, 1, 1, 1, 1, 3])


def test_the_first_people_are_numbered_in_order(people):
    ids, memory = associate(TrackMemory.empty(16), people[:3], 0)
    assert ids.tolist() == [0, 1, 2]
    assert memory.next_id == 3


def test_people_keep_their_ids_in_any_order(people):
    _, memory = associate(TrackMemory.empty(16), people, 0)
    ids, memory = associate(memory, people[[2, 0, 3, 1]] + 0.1, 1)
    assert ids.tolist() == [2, 0, 3, 1]
    assert len(memory) == 4


def test_newcomers_get_new_ids_and_the_absent_are_remembered(people):
    _, memory = associate(TrackMemory.empty(16), people[:2], 0)
    ids, memory = associate(memory, people[[2, 1]], 1)
    assert ids.tolist() == [2, 1]
    assert memory.track_ids.tolist() == [2, 1, 0]
    ids, _ = associate(memory, people[[0]], 2)
    assert ids.tolist() == [0]


def test_a_frame_without_people_changes_nothing(people):
    _, memory = associate(TrackMemory.empty(16), people, 0)
    ids, after = associate(memory, people[:0], 5)
    assert ids.shape == (0,)
    assert ids.dtype == np.int64
    assert after is memory


def test_the_remembered_token_is_the_latest(people):
    _, memory = associate(TrackMemory.empty(16), people[:1], 0)
    _, memory = associate(memory, people[:1] + 0.5, 1)
    assert np.array_equal(memory.tokens, people[:1] + 0.5)
    assert memory.seen_ns.tolist() == [1]


def test_strangers_far_from_everybody_are_not_matched():
    near, far = np.zeros((1, 16), np.float32), np.full((1, 16), 100, np.float32)
    assert match(near, far)[0].shape == (0,)
    assert match(near, near)[0].tolist() == [0]


def test_nobody_matches_nobody():
    nothing = np.zeros((0, 16), np.float32)
    assert len(match(nothing, np.ones((2, 16), np.float32))[0]) == 0
    assert len(match(np.ones((2, 16), np.float32), nothing)[1]) == 0


def test_people_unseen_for_too_long_are_forgotten(people):
    _, memory = associate(TrackMemory.empty(16), people[:2], 0)
    _, memory = associate(memory, people[:1], 3 * SECOND_NS)
    kept = forget(memory, 5 * SECOND_NS, 5.0)
    assert kept.track_ids.tolist() == [0, 1]
    kept = forget(memory, 5 * SECOND_NS + 1, 5.0)
    assert kept.track_ids.tolist() == [0]
    assert kept.next_id == 2, "numbers are not used again"
    ids, _ = associate(kept, people[[1]], 6 * SECOND_NS)
    assert ids.tolist() == [2]


def test_zero_seconds_means_never_forget(people):
    _, memory = associate(TrackMemory.empty(16), people, 0)
    assert len(forget(memory, 10**15, 0.0)) == 4


def test_people_seen_in_the_future_count_as_seen_now(people):
    """After the clock was set back they must not stay for as long as it jumped."""
    _, memory = associate(TrackMemory.empty(16), people[:1], 100 * SECOND_NS)
    memory = forget(memory, SECOND_NS, 5.0)
    assert len(memory) == 1
    assert len(forget(memory, 7 * SECOND_NS, 5.0)) == 0


def test_memory_is_bounded_however_many_strangers_pass():
    rng = np.random.default_rng(0)
    memory = TrackMemory.empty(16)
    for second in range(50):
        memory = forget(memory, second * SECOND_NS, 5.0)
        strangers = 100 * rng.standard_normal((3, 16)).astype(np.float32)
        _, memory = associate(memory, strangers, second * SECOND_NS)
        assert len(memory) <= 3 * 6
    assert memory.next_id == 150
