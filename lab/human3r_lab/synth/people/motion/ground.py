"""Where a person goes: a plan of standing, walking along curves and turning, step by step."""

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from human3r_lab.synth.people.motion.feet import SIDES, FootPlan, Footstep

_SWING_SHARE = 0.38
"""Share of a gait cycle in which a foot is off the floor (Winter 1991: 0.38 to 0.40)."""
_GRID_HZ = 60.0


@dataclass(frozen=True)
class Curve:
    """A smooth way over the floor by arc length."""

    spline: CubicSpline
    length_m: float

    @classmethod
    def through(cls, points_m: np.ndarray) -> "Curve":
        """A curve through (n, 2) points, n of 2 or more."""
        chords = np.maximum(np.linalg.norm(np.diff(points_m, axis=0), axis=1), 1e-3)
        knots = np.concatenate([[0.0], np.cumsum(chords)])
        rough = CubicSpline(knots, points_m, bc_type="natural")
        dense = np.linspace(0.0, knots[-1], 200)
        places = rough(dense)
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
        return cls(CubicSpline(arc, places, bc_type="natural"), float(arc[-1]))

    def place(self, arc_m: np.ndarray) -> np.ndarray:
        """(T, 2) metres."""
        return self.spline(np.clip(arc_m, 0.0, self.length_m))

    def heading(self, arc_m: np.ndarray) -> np.ndarray:
        """(T,) radians, unwrapped along the argument."""
        tangent = self.spline(np.clip(arc_m, 0.0, self.length_m), 1)
        return np.unwrap(np.arctan2(tangent[..., 1], tangent[..., 0]))


@dataclass(frozen=True)
class Ground:
    """Places on the floor over time."""

    times_s: np.ndarray
    """(G,) a grid of 60 Hz."""
    place_m: np.ndarray
    """(G, 2) middle between the feet, smoothed."""
    heading_rad: np.ndarray
    """(G,) unwrapped."""
    feet: dict[str, FootPlan]

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 2) places and (T,) headings."""
        columns = [np.interp(times_s, self.times_s, self.place_m[:, axis]) for axis in (0, 1)]
        return np.stack(columns, 1), np.interp(times_s, self.times_s, self.heading_rad)


@dataclass
class GroundPlanner:
    """Builds a ``Ground`` piece by piece; time and place go on from the last piece."""

    place_m: np.ndarray
    heading_rad: float
    stature_m: float
    stance_m: float
    """Half the distance between the feet in standing."""
    rng: np.random.Generator
    time_s: float = 0.0
    stagger_m: float = 0.0
    """How far the left foot stands before the middle at first, the right one behind it."""
    _steps: dict[str, list[Footstep]] = field(init=False)
    _first: dict[str, tuple[np.ndarray, float]] = field(init=False)
    _knots: list[tuple[float, np.ndarray, float]] = field(init=False)
    _next_side: int = field(init=False)

    def __post_init__(self) -> None:
        self.place_m = np.asarray(self.place_m, float)
        self._toe_out = {
            side: sign * self.rng.uniform(0.02, 0.2)
            for side, sign in zip(SIDES, (1, -1), strict=True)
        }
        self._steps = {side: [] for side in SIDES}
        ahead = self.stagger_m * np.array([np.cos(self.heading_rad), np.sin(self.heading_rad)])
        self._first = {
            side: self._footprint(
                side, self.place_m + sign * ahead, self.heading_rad, self.stance_m
            )
            for side, sign in zip(SIDES, (1, -1), strict=True)
        }
        self._knots = [(self.time_s, self.place_m, self.heading_rad)]
        self._next_side = int(self.rng.integers(2))

    def stand(self, duration_s: float) -> None:
        """Stay."""
        self._knots.append((self.time_s, self.place_m, self.heading_rad))
        self.time_s += duration_s
        self._knots.append((self.time_s, self.place_m, self.heading_rad))

    def turn(self, heading_rad: float) -> None:
        """Turn on the spot in small steps, the short way."""
        change = np.remainder(heading_rad - self.heading_rad + np.pi, 2 * np.pi) - np.pi
        if abs(change) < 0.12:
            return
        count = int(np.ceil(abs(change) / 0.75)) + 1
        self._next_side = 0 if change > 0 else 1
        headings = self.heading_rad + change * np.linspace(0, 1, count + 1)[1:]
        headings[-1:] = self.heading_rad + change
        for heading in headings:
            self._step(self.place_m, heading, self.stance_m, 0.42 + self.rng.uniform(0, 0.08))

    def walk(self, curve: Curve, speed_m_s: float, until_s: float = np.inf) -> None:
        """Walk along a curve that starts here; slow first and last steps."""
        self.turn(float(curve.heading(np.zeros(1))[0]))
        scale = self.stature_m / 1.7
        step_m = 0.575 * np.sqrt(speed_m_s * scale)
        count = max(2, int(np.ceil(curve.length_m / step_m)))
        shares = np.ones(count)
        shares[0] = shares[-1] = 0.62
        arcs = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()]) * curve.length_m
        durations = np.diff(arcs) / speed_m_s
        durations = np.maximum(durations, 0.36 * np.sqrt(scale))
        durations[0] += 0.1
        headings = curve.heading(np.linspace(0, curve.length_m, 400))
        offset = self.heading_rad - headings[0]
        offset = 2 * np.pi * np.round(offset / (2 * np.pi))
        width = 0.62 * self.stance_m
        for number in range(count):
            heading = np.interp(arcs[number + 1], np.linspace(0, curve.length_m, 400), headings)
            place = curve.place(arcs[number + 1 : number + 2])[0]
            self._step(place, float(heading + offset), width, float(durations[number]))
            if self.time_s > until_s:
                return
        heading = self.heading_rad
        self._step(self.place_m, heading, 0.8 * self.stance_m, 0.5)

    def finish(self) -> Ground:
        """The plan from its first time to its last."""
        self._knots.append((self.time_s, self.place_m, self.heading_rad))
        times = np.array([knot[0] for knot in self._knots])
        values = np.array([[*knot[1], knot[2]] for knot in self._knots])
        grid = np.arange(times[0] - 1.0, times[-1] + 1.0, 1 / _GRID_HZ)
        smooth = np.stack([np.interp(grid, times, values[:, k]) for k in range(3)], 1)
        smooth = gaussian_filter1d(smooth, 0.14 * _GRID_HZ, axis=0, mode="nearest")
        feet = {side: FootPlan(*self._first[side], tuple(self._steps[side])) for side in SIDES}
        return Ground(grid, smooth[:, :2], smooth[:, 2], feet)

    def _step(self, place_m, heading_rad, width_m, duration_s) -> None:
        """One footstep with the foot whose turn it is."""
        side = SIDES[self._next_side]
        self._next_side = 1 - self._next_side
        start, end = self.time_s, self.time_s + duration_s
        # Consecutive footsteps overlap in neither foot: each swings for 0.76 of its step.
        pause = (1 - 2 * _SWING_SHARE) / 2 * duration_s
        place, heading = self._footprint(side, np.asarray(place_m), heading_rad, width_m)
        self._steps[side].append(Footstep(start + pause, end - pause, place, heading))
        # In the middle of the step the body stands over the other foot, where it came down last.
        middle_rad = (self.heading_rad + heading_rad) / 2
        self._knots.append(((start + end) / 2, self.place_m, middle_rad))
        self.time_s = end
        self.place_m, self.heading_rad = np.asarray(place_m, float), float(heading_rad)

    def _footprint(self, side, place_m, heading_rad, width_m):
        sign = 1.0 if side == "left" else -1.0
        lateral = np.array([-np.sin(heading_rad), np.cos(heading_rad)])
        return place_m + sign * width_m * lateral, heading_rad + self._toe_out[side]
