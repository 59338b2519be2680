import pytest

from human3r.tracking.presence import Presence, frames_needed


@pytest.mark.parametrize(
    ("num_frames", "share", "needed"),
    [
        (0, 0.1, 1),
        (5, 0.1, 1),
        (95, 0.1, 10),
        (300, 0.1, 30),
        (18_000, 0.1, 30),
        (18_000, 0.001, 18),
        (300, 0.5, 150),
        (300, 1.0, 300),
        (300, 0.0, 1),
    ],
)
def test_a_share_is_asked_for_and_thirty_frames_are_enough(num_frames, share, needed):
    assert frames_needed(num_frames, share) == needed


def test_who_is_seen_now_and_then_has_a_number_and_is_no_person():
    presence = Presence()
    for number in range(100):
        presence.add([3, 8] if number < 9 else [3])
    assert (presence.ids, presence.confirmed_ids) == ([3, 8], [3])
    assert presence.words() == "2 ids, 1 person confirmed (3)"


def test_who_walks_through_a_long_recording_is_a_person():
    presence = Presence()
    for number in range(10_000):
        presence.add([1] if 500 <= number < 530 else [])
    assert presence.confirmed_ids == [1]
    assert Presence().words() == "0 ids, 0 people confirmed"
