"""The state machine of managed nodes: states, transitions, and where each one leads.

Source: the ROS 2 design article on managed nodes and the constants of lifecycle_msgs.
"""

from enum import IntEnum
from typing import NamedTuple

from rclpy_lite.exceptions import RCLError


class TransitionCallbackReturn(IntEnum):
    """What a transition callback answers; the numbers are those of lifecycle_msgs/Transition."""

    SUCCESS = 97
    FAILURE = 98
    ERROR = 99

    def to_label(self) -> str:
        """The label of the transition that this answer causes."""
        return f"transition_{self.name.lower()}"


class LifecycleState(NamedTuple):
    """A state, as transition callbacks get it."""

    label: str
    state_id: int


class Transition(NamedTuple):
    """One edge of the graph."""

    transition_id: int
    label: str
    start: LifecycleState
    goal: LifecycleState


def _state(label: str, number: int) -> LifecycleState:
    return LifecycleState(label, number)


UNKNOWN = _state("unknown", 0)
UNCONFIGURED = _state("unconfigured", 1)
INACTIVE = _state("inactive", 2)
ACTIVE = _state("active", 3)
FINALIZED = _state("finalized", 4)
CONFIGURING = _state("configuring", 10)
CLEANINGUP = _state("cleaningup", 11)
SHUTTINGDOWN = _state("shuttingdown", 12)
ACTIVATING = _state("activating", 13)
DEACTIVATING = _state("deactivating", 14)
ERRORPROCESSING = _state("errorprocessing", 15)

STATES = (
    UNKNOWN,
    UNCONFIGURED,
    INACTIVE,
    ACTIVE,
    FINALIZED,
    CONFIGURING,
    CLEANINGUP,
    SHUTTINGDOWN,
    ACTIVATING,
    DEACTIVATING,
    ERRORPROCESSING,
)


def _answers(
    first_id: int,
    start: LifecycleState,
    success: LifecycleState,
    failure: LifecycleState,
    error: LifecycleState = ERRORPROCESSING,
) -> tuple[Transition, ...]:
    goals = (success, failure, error)
    return tuple(
        Transition(first_id + i, answer.to_label(), start, goal)
        for i, (answer, goal) in enumerate(zip(TransitionCallbackReturn, goals, strict=True))
    )


TRANSITIONS = (
    Transition(1, "configure", UNCONFIGURED, CONFIGURING),
    *_answers(10, CONFIGURING, INACTIVE, UNCONFIGURED),
    Transition(2, "cleanup", INACTIVE, CLEANINGUP),
    *_answers(20, CLEANINGUP, UNCONFIGURED, INACTIVE),
    Transition(3, "activate", INACTIVE, ACTIVATING),
    *_answers(30, ACTIVATING, ACTIVE, INACTIVE),
    Transition(4, "deactivate", ACTIVE, DEACTIVATING),
    *_answers(40, DEACTIVATING, INACTIVE, ACTIVE),
    Transition(5, "shutdown", UNCONFIGURED, SHUTTINGDOWN),
    Transition(6, "shutdown", INACTIVE, SHUTTINGDOWN),
    Transition(7, "shutdown", ACTIVE, SHUTTINGDOWN),
    *_answers(50, SHUTTINGDOWN, FINALIZED, FINALIZED),
    *_answers(60, ERRORPROCESSING, UNCONFIGURED, FINALIZED, FINALIZED),
)

CALLBACK_OF_STATE = {
    CONFIGURING: "on_configure",
    CLEANINGUP: "on_cleanup",
    SHUTTINGDOWN: "on_shutdown",
    ACTIVATING: "on_activate",
    DEACTIVATING: "on_deactivate",
    ERRORPROCESSING: "on_error",
}


def transitions_from(state: LifecycleState) -> list[Transition]:
    """The edges that start in a state."""
    return [transition for transition in TRANSITIONS if transition.start == state]


def find_transition(state: LifecycleState, wanted: int | str) -> Transition:
    """The edge with that id or label that starts in ``state``.

    Raises:
        RCLError: there is none.
    """
    for transition in transitions_from(state):
        if wanted in (transition.transition_id, transition.label):
            return transition
    known = ", ".join(t.label for t in transitions_from(state)) or "nothing"
    raise RCLError(
        f"transition {wanted!r} is not possible in state '{state.label}'; expected {known}."
    )
