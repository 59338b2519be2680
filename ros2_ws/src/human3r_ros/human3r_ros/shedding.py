"""Which optional outputs are left out while frames take too long."""

from collections.abc import Collection

from human3r.config import Settings

GROUPS = ("meshes", "map update", "masks and confidence", "depth", "scene cloud")
"""Left out in this order, restored in reverse. People, status, TF and ``~/points`` never are."""
_SLOW_FRAMES = 10
_GOOD_FRAMES = 30


class Shedding:
    """Leaves out one more group after ten slow frames, restores one after thirty good ones."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A new activation: everything is made again."""
        self._num_shed = 0
        self._slow = self._good = 0

    @property
    def shed(self) -> tuple[str, ...]:
        """The groups that are left out now, wanted or not."""
        return GROUPS[: self._num_shed]

    def observe(self, latency_s: float, limit_s: float, wanted: Collection[str]) -> None:
        """Count one processed frame.

        Args:
            latency_s: from stamp to publication; NaN under simulated time, where it means nothing
                and replays have to be alike, so that nothing is left out.
            limit_s: ``diagnostics.max_latency_s``; 0: nothing is ever left out.
            wanted: groups that somebody listens to. The others cost nothing, so they are passed
                over: leaving them out would not help, and restoring them would not hurt.
        """
        if limit_s <= 0:
            self.forget()
        elif latency_s > limit_s:
            self._slow, self._good = self._slow + 1, 0
            if self._slow >= _SLOW_FRAMES:
                self._slow = 0
                self._leave_out(wanted)
        else:
            self._slow, self._good = 0, self._good + 1
            if self._good >= _GOOD_FRAMES:
                self._good = 0
                self._restore(wanted)

    def _leave_out(self, wanted: Collection[str]) -> None:
        for number in range(self._num_shed, len(GROUPS)):
            if GROUPS[number] in wanted:
                self._num_shed = number + 1
                return

    def _restore(self, wanted: Collection[str]) -> None:
        for number in reversed(range(self._num_shed)):
            self._num_shed = number
            if GROUPS[number] in wanted:
                return


def shed_text(left_out: Collection[str], settings: Settings) -> str:
    """What to say about a frame that went out with less than was asked for."""
    return (
        f"left out to save time: {', '.join(left_out)}. {_SLOW_FRAMES} frames in a row took longer "
        f"than diagnostics.max_latency_s, {settings.diagnostics.max_latency_s:g} s; expected less. "
        "Use a faster machine, a smaller network or fewer outputs, or raise it (0: leave out "
        "nothing)."
    )
