"""Sessions and people, numbered over the whole life of the process."""

from human3r.config import PeopleSettings
from human3r.tracking.tracks import TrackedPerson, Tracker
from human3r.types import FrameEstimate


class TrackBook:
    """Numbers that never come twice, across resets and re-configurations.

    Every loaded network counts its people and sessions from 0; the book goes on from the highest
    numbers it has given out.
    """

    def __init__(self) -> None:
        self._people = Tracker()
        self._session_offset = 0
        self._next_session = 0

    def begin_network(self) -> None:
        """A new network counts from 0 again; its numbers follow those already given out."""
        self._people.begin_network()
        self._session_offset = self._next_session

    def session(self, session: int) -> int:
        """The published number of a network's session."""
        published = self._session_offset + session
        self._next_session = max(self._next_session, published + 1)
        return published

    def forget_people(self) -> None:
        """A reset: whoever comes next is new."""
        self._people.forget()

    def numbers(self, estimate: FrameEstimate, settings: PeopleSettings) -> list[int]:
        """The numbers that ``update`` will give to the estimate's people, in their order."""
        return self._people.numbers(estimate, settings)

    def update(self, estimate: FrameEstimate, settings: PeopleSettings) -> list[TrackedPerson]:
        """Everybody known after a frame: the measured in their order, then the unseen."""
        return self._people.update(estimate, settings)
