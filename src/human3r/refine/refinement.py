"""The schedule: scales from soles, then contacts and least squares in turns."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from human3r.geometry import invert
from human3r.refine import noise
from human3r.refine.acceptance import chosen, judge, without_people
from human3r.refine.contacts import Contacts, Motion, find_contacts
from human3r.refine.limbs.people import settled
from human3r.refine.outcome import Refined, finished
from human3r.refine.problem import Problem, Seen, first_state, motion_of
from human3r.refine.recording import Recording, chunks_of, key_frames
from human3r.refine.residuals.cameras import PosePairs, no_loops
from human3r.refine.residuals.features import FeaturePairs, follow_features, no_features
from human3r.refine.residuals.scene import depth_pairs
from human3r.refine.residuals.touches import touch_of
from human3r.refine.rows import Rows, rows_of
from human3r.refine.solver import minimise
from human3r.refine.start import ScaleEvidence, border_steps, evidence_of_feet, first_scales
from human3r.refine.surface import Samples, Surface, take_samples
from human3r.refine.unknowns import State

_SAME_SCALE = 1e-3
"""Chunks whose depth agrees to this share need nothing."""
_LIMB_M = 0.02
"""By which feet tremble against the body, where they do."""
_FLOATS_M = 0.02
"""Soles that are farther off the scene, all of them, would pass for false contacts."""
_AS_MANY = 0.7
"""Two explanations can be compared when one has at least this share of the other's contacts."""


@dataclass(frozen=True)
class Options:
    """How to refine."""

    key_rate_hz: float = 10.0
    chunk_s: float = 10.0
    """All lengths of so long a stretch share one scale."""
    rounds: int = 3
    """Contacts are looked for anew in each."""
    iterations: int = 12
    """Steps per round at most."""
    smooth: bool = True
    """Bodies and limbs move as people can; otherwise limbs stay as they are."""


@dataclass(frozen=True)
class Progress:
    """Where an interrupted refinement goes on."""

    rounds_done: int
    state: State
    steps: int


Detector = Callable[[int, Contacts], Contacts]
"""Given a person's index and what was found: the contacts to use."""


def refine(
    recording: Recording,
    options: Options | None = None,
    *,
    loops: Callable[[Recording, np.ndarray], PosePairs] | None = None,
    change_contacts: Detector | None = None,
    resume: Progress | None = None,
    after_step: Callable[[int, int, float], None] = lambda round_, step, cost: None,
    after_round: Callable[[Progress], None] = lambda progress: None,
) -> Refined:
    """A recording whose people touch the scene and stay still while they do.

    Args:
        recording: what a stream wrote.
        options: how.
        loops: finds poses between key frames that see the same place again.
        change_contacts: replaces what geometry finds, for labels from elsewhere.
        resume: what ``after_round`` was last told in an earlier try at the same recording.
        after_step: told round, step and cost.
        after_round: told where to go on.
    """
    options = options or Options()
    keys = key_frames(recording.times_s, options.key_rate_hz)
    chunk = chunks_of(recording.session[keys], recording.times_s[keys], options.chunk_s)
    samples = take_samples(recording, keys)
    rows = rows_of(recording, keys)
    closed = loops(recording, keys) if loops is not None else no_loops()
    step = _border_step(recording, keys, chunk, samples)
    features, held_out = follow_features(recording, keys)
    work = Work(
        *(recording, keys, chunk, samples, rows, closed, features, options),
        *(change_contacts, step, np.zeros(len(recording.tracks))),
    )
    as_it_came = _start(work, with_feet=False, with_borders=False)
    begin, is_rescaled = _begun(work)
    if not _is_there_anything(work.contacts(begin), closed, is_rescaled):
        contacts = work.contacts(begin)
        return _with_limbs(work, as_it_came, finished(work, as_it_came, contacts, 0))
    rounds = _Rounds(begin, after_step, after_round)
    state, steps = rounds.run(work, resume)
    contacts = work.contacts(state)
    verdict = judge(work, as_it_came, begin, state, contacts, held_out)
    doubted = [person for person in verdict.unmoved if person in verdict.before]
    if doubted:
        # Their feet tremble by themselves, and tell little about where bodies are.
        limb_m = np.zeros(len(recording.tracks))
        limb_m[doubted] = _LIMB_M
        work = replace(work, limb_m=limb_m)
        state, more = replace(rounds, after_round=lambda progress: None).run(work)
        contacts, steps = work.contacts(state), steps + more
        verdict = judge(work, as_it_came, begin, state, contacts, held_out)
    if not verdict.is_accepted:
        state, contacts = as_it_came, work.contacts(as_it_came)
    elif verdict.unmoved:
        # What they touch must not move cameras or give a scale either.
        work = replace(work, left_out=verdict.unmoved)
        if len(verdict.unmoved) == len(recording.tracks):
            rounds = replace(rounds, begin=_start(work, with_feet=False))
        state, more = replace(rounds, after_round=lambda progress: None).run(work)
        state, steps = _without(rows, state, verdict.unmoved), steps + more
        verdict = without_people(verdict, chunk, as_it_came, state, held_out)
        if not verdict.is_accepted:
            state = as_it_came
        contacts = replace(work, left_out=()).contacts(state)
    return _with_limbs(work, state, finished(work, state, contacts, steps, verdict))


def _with_limbs(work: "Work", state: State, refined: Refined) -> Refined:
    """With limbs settled where that helps, and the contacts that people then have."""
    if not work.options.smooth:
        return refined
    tracks, judged = settled(refined.recording)
    if not any(one is not None and one.is_accepted for one in judged):
        return replace(refined, limbs=judged)
    recording = refined.recording.with_tracks(tracks)
    rows = rows_of(recording, work.keys)
    nothing = np.zeros_like(state.shift)
    contacts = replace(work, recording=recording, rows=rows, left_out=()).contacts(
        replace(state, shift=nothing, turn=nothing)
    )
    return replace(
        refined,
        recording=recording,
        rows=rows,
        contacts=contacts,
        has_changed=True,
        limbs=judged,
    )


@dataclass(frozen=True)
class _Rounds:
    """Contacts and least squares in turns."""

    begin: State
    after_step: Callable[[int, int, float], None]
    after_round: Callable[[Progress], None]

    def run(self, work: "Work", resume: Progress | None = None) -> tuple[State, int]:
        """The last state, and how many steps were tried."""
        done = resume or Progress(0, self.begin, 0)
        state, steps = done.state, done.steps
        for number in range(done.rounds_done, work.options.rounds):
            state, tried, _ = work.round(
                state,
                work.contacts(state),
                lambda step, cost, number=number: self.after_step(number, step, cost),
            )
            steps += tried
            self.after_round(Progress(number + 1, state, steps))
        return state, steps


def _begun(work: "Work") -> tuple[State, bool]:
    """Where least squares begins, and whether a scale was changed for it."""
    state = _start(work, with_feet=True)
    is_rescaled = bool(np.abs(state.log_scale).max() > _SAME_SCALE)
    if is_rescaled:
        state = _bodies_or_scene(work, state)
    state = _put_down(work, state, work.contacts(state))
    if any(len(one.row) for one in work.contacts(state)):
        return state, is_rescaled
    # Feet that seemed to ask for a scale touch nothing after all.
    state = _start(work, with_feet=False)
    return state, bool(np.abs(state.log_scale).max() > _SAME_SCALE)


def _without(rows: Rows, state: State, people: tuple[int, ...]) -> State:
    """The state with some people where their cameras saw them."""
    keep = ~np.isin(rows.person, people)[:, None]
    return replace(state, shift=state.shift * keep, turn=state.turn * keep)


def _is_there_anything(contacts: tuple[Contacts, ...], loops: PosePairs, is_rescaled: bool) -> bool:
    some = any((~one.is_moving).any() for one in contacts)
    return some or len(loops.key) > 0 or is_rescaled


@dataclass(frozen=True)
class Work:
    """What does not change from round to round."""

    recording: Recording
    keys: np.ndarray
    chunk: np.ndarray
    samples: Samples
    rows: Rows
    loops: PosePairs
    features: FeaturePairs
    options: Options
    change: Detector | None
    border_step: np.ndarray
    """See ``border_steps``."""
    limb_m: np.ndarray
    """(people,) by which feet tremble that are in contact, whatever the body does."""
    left_out: tuple[int, ...] = ()
    """People whose contacts do not count."""
    _last: list[tuple[State, Surface]] = field(default_factory=list, init=False, repr=False)

    def motions(self, state: State) -> list[tuple[Motion, np.ndarray]]:
        """All people's skin points at key frames, in the world and in the cameras."""
        people = range(len(self.recording.tracks))
        return [motion_of(self.recording, self.keys, self.rows, state, one) for one in people]

    def contacts(self, state: State) -> tuple[Contacts, ...]:
        """Of all people, with the scene as a state has it."""
        surface = self._surface(state)
        found = [find_contacts(motion, surface) for motion, _ in self.motions(state)]
        if self.change is not None:
            found = [self.change(person, one) for person, one in enumerate(found)]
        return tuple(
            chosen(one, np.zeros(len(one.row), bool)) if person in self.left_out else one
            for person, one in enumerate(found)
        )

    def _surface(self, state: State) -> Surface:
        """The scene as a state has it; the last one is kept."""
        if not self._last or self._last[0][0] is not state:
            scale = np.exp(state.log_scale[self.chunk])
            self._last[:] = [(state, Surface(self.samples, state.rotation, state.centre, scale))]
        return self._last[0][1]

    def round(
        self,
        state: State,
        contacts: tuple[Contacts, ...],
        after_step: Callable[[int, float], None] = lambda step, cost: None,
    ) -> tuple[State, int, float]:
        """Least squares with given contacts: the state, steps tried, cost per contact."""
        touch = touch_of(self.recording, self.rows, list(contacts))
        noise_m = _noise(self, state, contacts)
        pairs = depth_pairs(self.recording, self.samples, state, self.chunk)
        seen = Seen(
            *(touch, noise_m, self.limb_m, pairs, self.features, self.loops, self.border_step)
        )
        problem = Problem(
            *(self.recording, self.keys, self.chunk, self.rows, seen, state),
            self.options.smooth,
        )
        state = problem.begun(state)
        state, steps = minimise(
            state,
            problem.residuals,
            problem.moved,
            problem.num_unknowns,
            self.options.iterations,
            after_step,
        )
        cost = sum(group.cost() for group in problem.residuals(state))
        return state, steps, cost / max(len(touch.row), 1)


def _bodies_or_scene(work: Work, scene_off: State) -> State:
    """The better beginning: the scene has another scale, or the bodies float or sink.

    Both put soles on the floor; only one lets them stand still while the camera moves.
    """
    bodies_off = _start(work, with_feet=False)
    contacts = work.contacts(bodies_off)
    of_scene = work.contacts(scene_off)
    number, number_of_scene = (_num_steady(found) for found in (contacts, of_scene))
    if number < _AS_MANY * number_of_scene or number == 0:
        return scene_off
    bodies_off = _put_down(work, bodies_off, contacts)
    after_scene, _, cost_of_scene = work.round(scene_off, of_scene)
    after_bodies, _, cost_of_bodies = work.round(bodies_off, work.contacts(bodies_off))
    return after_bodies if cost_of_bodies < cost_of_scene else after_scene


def _num_steady(found: tuple[Contacts, ...]) -> int:
    return sum(int((~one.is_moving).sum()) for one in found)


def _put_down(work: Work, state: State, contacts: tuple[Contacts, ...]) -> State:
    """The state with each person moved by as much as their soles are most often off the scene."""
    shift = state.shift.copy()
    floating = [
        (person, found)
        for person, found in enumerate(contacts)
        if abs(found.gap_m) >= _FLOATS_M and found.planes.is_known.any()
    ]
    if not floating:
        return state
    for person, found in floating:
        mine = work.rows.person == person
        normal = found.planes.normal[found.planes.is_known].mean(axis=0)
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        rotation = state.rotation[work.rows.key[mine]]
        shift[mine] -= found.gap_m * np.einsum("nji,j->ni", rotation, normal)
    return replace(state, shift=shift)


def _border_step(
    recording: Recording, keys: np.ndarray, chunk: np.ndarray, samples: Samples
) -> Float[np.ndarray, " borders"]:
    pose = recording.world_from_camera[keys]
    borders = np.flatnonzero(np.diff(chunk))
    step = border_steps(samples, [invert(pose[b + 1]) @ pose[b] for b in borders], chunk)
    # Differences below what depth can tell are none.
    return np.where(np.abs(step) < _SAME_SCALE, 0.0, step)


def _start(work: Work, with_feet: bool, with_borders: bool = True) -> State:
    """Everything as it came, with chunks scaled as depth at borders and feet ask, if wanted."""
    recording, keys, chunk, samples = work.recording, work.keys, work.chunk, work.samples
    nothing = np.zeros(int(chunk.max()) + 1)
    state = first_state(recording, keys, chunk, nothing, len(work.rows.key))
    if not with_borders or recording.is_metric or len(samples.points) == 0:
        return state
    evidence = ScaleEvidence(nothing, nothing.astype(int))
    if with_feet:
        steps_m = np.linalg.norm(np.diff(state.centre, axis=0), axis=1)
        speed = steps_m / np.diff(recording.times_s[keys])
        speed = np.concatenate([speed[:1], speed]) if len(speed) else np.zeros(1)
        seen = work.motions(state)
        has_depth = len(np.unique(samples.key)) > 1
        cloud = samples.points @ state.rotation[0].T + state.centre[0]

        def scene_at(key: int) -> np.ndarray:
            if has_depth:
                return samples.of(key)
            there = (cloud - state.centre[key]) @ state.rotation[key]
            return there[there[:, 2] > 0.1]

        evidence = evidence_of_feet(
            [motion for motion, _ in seen], [points for _, points in seen], scene_at, speed, chunk
        )
    scales = first_scales(evidence, work.border_step)
    return first_state(recording, keys, chunk, scales, len(work.rows.key))


def _noise(
    work: Work, state: State, contacts: tuple[Contacts, ...]
) -> Float[np.ndarray, "people 2"]:
    """See ``noise``; of people as they came."""
    came = replace(state, shift=np.zeros_like(state.shift), turn=np.zeros_like(state.turn))
    of_skin = [
        noise.of_contacts(motion, camera, state.rotation, found)
        for (motion, camera), found in zip(work.motions(came), contacts, strict=True)
    ]
    pose = work.recording.world_from_camera[work.keys]
    times_s = work.recording.times_s[work.keys]
    of_people = noise.of_pelvises(work.rows, times_s, pose, len(of_skin))
    return np.maximum(np.array(of_skin).reshape(-1, 2), of_people)


def unrefined(before: Recording, after: Recording) -> Refined:
    """A recording whose cameras were changed by other means, with the contacts it then has."""
    options = Options()
    keys = key_frames(before.times_s, options.key_rate_hz)
    chunk = np.zeros(len(keys), int)
    rows = rows_of(after, keys)
    state = first_state(after, keys, chunk, np.zeros(1), len(rows.key))
    samples = take_samples(after, keys)
    nothing = np.zeros(0)
    work = Work(
        *(
            after,
            keys,
            chunk,
            samples,
            rows,
            no_loops(),
            no_features(),
            options,
            None,
            nothing,
            nothing,
        )
    )
    one = np.ones(len(before.stamps_ns))
    contacts = work.contacts(state)
    return Refined(after, one, keys, chunk, np.zeros(1), rows, contacts, 0, True)
