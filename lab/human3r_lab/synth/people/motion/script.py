"""What a person does during a sequence, before it becomes rotations."""

from dataclasses import dataclass, field

from human3r_lab.synth.people.motion.ground import Ground


@dataclass(frozen=True)
class Gesture:
    """An arm gesture; times beyond the sequence are fine."""

    name: str
    side: str
    """left, right or both."""
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Crouch:
    """Going down and coming up again on planted feet."""

    start_s: float
    end_s: float
    ease_s: float
    depth: float
    """Share of the leg's length by which the pelvis sinks."""
    lean_rad: float
    """How far the back bends forwards."""


@dataclass(frozen=True)
class Sitting:
    """Being on a seat; the ground plan stands in front of it."""

    start_s: float
    end_s: float
    ease_s: float
    back_m: float
    """How far behind the feet's middle the pelvis comes to rest."""
    seat_height_m: float
    lean_rad: float


@dataclass(frozen=True)
class Script:
    """One person's doings."""

    ground: Ground
    gestures: tuple[Gesture, ...] = ()
    crouches: tuple[Crouch, ...] = ()
    sittings: tuple[Sitting, ...] = ()
    gaze_rad: float = 0.0
    """Where the head looks on average, about the vertical, from straight ahead."""
    liveliness: float = field(default=1.0)
    """Size of swings and sways."""
