"""Numbers of people that last over views and time."""

import math
from dataclasses import dataclass, field

import numpy as np

from human3r.multiview.settings import FusionSettings

Member = tuple[str, int]
"""View and the number that the person has there."""
_SAME_PLACE_M = 0.5
"""No two people stand closer, so who appears so near to where one vanished is that one."""
_LOST_PLACE_M = 2.0
"""A view's number that is this far from its person now, for another reason than walking, was given
to another person: the stream was started anew."""


@dataclass
class Identity:
    """What is remembered of a person."""

    number: int
    first_seen_ns: int
    place_world: np.ndarray
    last_ns: int = 0
    members: frozenset[Member] = frozenset()
    """Of the last frame."""
    votes: dict[Member, int] = field(default_factory=dict)
    """In how many frames each member was this person."""
    frames: int = 0
    correction_m: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Added to the place, so that it does not jump when the views change."""
    output_m: np.ndarray | None = None
    """The last place that was given away."""


class Identities:
    """Gives groups of members their numbers.

    A number stays with whoever has most of its members by votes. Two numbers that turn out to be
    one person go on as the older one.
    """

    def __init__(self) -> None:
        self.known: dict[int, Identity] = {}
        self._next = 0
        self._views: set[str] = set()

    def assign(
        self,
        groups: list[list[Member]],
        places_world: np.ndarray,
        stamp_ns: int,
        settings: FusionSettings,
        spread_m: np.ndarray,
    ) -> tuple[list[Identity], list[int]]:
        """The identity of every group, and the numbers that are given up for good.

        Args:
            groups: members of every person.
            places_world: (groups, 3).
            stamp_ns: of now; not older than the last.
            settings: how long numbers are remembered.
            spread_m: (groups,) standard deviations of the places.
        """
        self._views |= {view for members in groups for view, _ in members}
        chosen = self._by_votes(groups, places_world, stamp_ns)
        if len(self._views) > 1:
            self._rejoin(chosen, places_world, np.maximum(_SAME_PLACE_M, 3.0 * spread_m))
        for i in sorted(set(range(len(groups))) - chosen.keys(), key=lambda i: _lowest(groups[i])):
            chosen[i] = self._begin(groups[i], places_world[i], stamp_ns)
        found = [chosen[i] for i in range(len(groups))]
        for identity, members, place in zip(found, groups, places_world, strict=True):
            identity.last_ns, identity.place_world = stamp_ns, place
            identity.frames += 1
            for member in members:
                identity.votes[member] = identity.votes.get(member, 0) + 1
        return found, self._retire(found, groups, stamp_ns, settings)

    def forget_view(self, view: str) -> None:
        """A view's numbers mean other people from now on: its stream was started anew."""
        for identity in self.known.values():
            identity.votes = {m: n for m, n in identity.votes.items() if m[0] != view}

    def forget_time(self) -> None:
        """Time was set back: whoever is not seen next is gone."""
        for identity in self.known.values():
            identity.last_ns = 0

    def _by_votes(
        self, groups: list[list[Member]], places: np.ndarray, stamp_ns: int
    ) -> dict[int, Identity]:
        """Groups whose members had a number before; older numbers win."""
        votes_of: dict[Member, list[tuple[int, int]]] = {}
        for identity in self.known.values():
            for member, votes in identity.votes.items():
                votes_of.setdefault(member, []).append((identity.number, votes))
        claims = []
        for i, members in enumerate(groups):
            counts: dict[int, int] = {}
            for member in members:
                for number, votes in votes_of.get(member, ()):
                    counts[number] = counts.get(number, 0) + votes
            for number, votes in counts.items():
                if self._is_near(self.known[number], places[i], stamp_ns):
                    claims.append((-votes, number, i))
        numbers = [number for _, number, _ in claims]
        if len(claims) == len({i for _, _, i in claims}) == len(set(numbers)):
            return {i: self.known[number] for _, number, i in claims}  # Nothing is contested.
        # Who is one person now, but was two: the older number, if it has a vote at all.
        chosen: dict[int, Identity] = {}
        taken: set[int] = set()
        best: dict[int, list[int]] = {}
        for _, number, i in sorted(claims):
            best.setdefault(i, []).append(number)
        order = sorted(claims)
        for _, number, i in order:
            if i in chosen or number in taken:
                continue
            # The older of the numbers that no other group has more votes for.
            mine = [
                other for other in best[i] if other not in taken and _strongest(order, other) == i
            ]
            number = min([number, *mine])
            chosen[i] = self.known[number]
            taken.add(number)
        return chosen

    def _is_near(self, identity: Identity, place: np.ndarray, stamp_ns: int) -> bool:
        if len(self._views) == 1:
            return True  # No other person could have been meant: one view's own numbers are right.
        walked_m = 3.0 * (stamp_ns - identity.last_ns) * 1e-9
        return math.dist(place, identity.place_world) < _LOST_PLACE_M + walked_m

    def _rejoin(self, chosen: dict[int, Identity], places: np.ndarray, reach_m: np.ndarray) -> None:
        """New groups where a person has vanished, as far as one view alone may be off."""
        taken = {identity.number for identity in chosen.values()}
        waiting = [one for one in self.known.values() if one.number not in taken]
        pairs = [
            (float(np.linalg.norm(places[i] - one.place_world)), i, one.number)
            for i in range(len(places))
            if i not in chosen
            for one in waiting
        ]
        for distance_m, i, number in sorted(pairs):
            if distance_m < reach_m[i] and i not in chosen and number not in taken:
                chosen[i] = self.known[number]
                taken.add(number)

    def _begin(self, members: list[Member], place: np.ndarray, stamp_ns: int) -> Identity:
        # The view's own number where it is free, so that one view alone keeps its numbers.
        number = max(self._next, _lowest(members))
        self._next = number + 1
        identity = Identity(number, stamp_ns, place)
        self.known[number] = identity
        return identity

    def _retire(
        self,
        found: list[Identity],
        groups: list[list[Member]],
        stamp_ns: int,
        settings: FusionSettings,
    ) -> list[int]:
        """Forget who is gone, and numbers whose members all belong to other people now."""
        seen = {identity.number for identity in found}
        members = {member for group in groups for member in group}
        gone = []
        for number, identity in list(self.known.items()):
            if number in seen:
                continue
            is_old = stamp_ns - identity.last_ns > settings.remember_s * 1e9
            if is_old or identity.votes.keys() <= members:
                del self.known[number]
                gone.append(number)
        # A member of one person is not one of another.
        owner = {m: one for one, group in zip(found, groups, strict=True) for m in group}
        for identity in found:
            for member in [m for m in identity.votes if owner.get(m, identity) is not identity]:
                del identity.votes[member]
        return gone


def _lowest(members: list[Member]) -> int:
    return min(number for _, number in members)


def _strongest(claims: list[tuple[int, int, int]], number: int) -> int:
    """The group with most votes for a number."""
    return next(i for _, claimed, i in claims if claimed == number)
