import numpy as np
from human3r_ros.tracks import TrackBook

from human3r.config import PeopleSettings
from human3r.tracking.association import TrackMemory, associate, forget
from ros2_ws.src.human3r_ros.tests.builders import make_estimate, make_person

PEOPLE = PeopleSettings()


def test_track_numbers_and_sessions_go_on_when_a_network_is_loaded_anew(body_model):
    book = TrackBook()
    book.begin_network()
    assert book.session(0) == 0
    assert book.session(3) == 3
    person = make_person(body_model, track_id=4)
    assert book.update(make_estimate([person]), PEOPLE)[0].number == 4
    book.begin_network()
    assert book.session(0) == 4
    person = make_person(body_model, track_id=0)
    assert book.update(make_estimate([person]), PEOPLE)[0].number == 5


def test_nothing_is_said_after_a_reset_about_those_before(body_model):
    book = TrackBook()
    book.begin_network()
    person = make_person(body_model)
    for stamp_ns in (10**9, 2 * 10**9):
        book.update(make_estimate([person], stamp_ns), PEOPLE)
    book.forget_people()
    assert book.update(make_estimate([], 3 * 10**9), PEOPLE) == []


def test_the_track_book_forgets_when_the_network_does(body_model):
    book = TrackBook()
    book.begin_network()
    memory = TrackMemory.empty(2)
    token = np.ones((1, 2), np.float32)
    starts = []
    for stamp_ns in (10**9, 6 * 10**9, 11 * 10**9 + 1):
        memory = forget(memory, stamp_ns, 5.0)
        (track_id,), memory = associate(memory, token, stamp_ns)
        person = make_person(body_model, track_id=int(track_id))
        starts.append(book.update(make_estimate([person], stamp_ns), PEOPLE)[0].first_seen_ns)
    # Unseen for exactly as long is kept, a nanosecond more is forgotten.
    assert starts == [10**9, 10**9, 11 * 10**9 + 1]
