"""Lifecycle nodes."""

import contextlib
import threading
import traceback
from typing import Any

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.exceptions import InvalidHandle, NotInitializedException, RCLError
from rclpy_lite.lifecycle.managed_entity import ManagedEntity
from rclpy_lite.lifecycle.publisher import LifecyclePublisher
from rclpy_lite.lifecycle.state_machine import (
    CALLBACK_OF_STATE,
    STATES,
    TRANSITIONS,
    UNCONFIGURED,
    LifecycleState,
    Transition,
    TransitionCallbackReturn,
    find_transition,
    transitions_from,
)
from rclpy_lite.messages import get_message, get_service
from rclpy_lite.node import Node

_SUCCESS = TransitionCallbackReturn.SUCCESS
_ERROR = TransitionCallbackReturn.ERROR

_State = get_message("lifecycle_msgs/msg/State")
_Transition = get_message("lifecycle_msgs/msg/Transition")
_Description = get_message("lifecycle_msgs/msg/TransitionDescription")
_Event = get_message("lifecycle_msgs/msg/TransitionEvent")


def _state_msg(state: LifecycleState) -> Any:
    return _State(id=state.state_id, label=state.label)


def _describe(transition: Transition) -> Any:
    return _Description(
        transition=_Transition(id=transition.transition_id, label=transition.label),
        start_state=_state_msg(transition.start),
        goal_state=_state_msg(transition.goal),
    )


class LifecycleNodeMixin(ManagedEntity):
    """Adds the state machine to a node; initialise `Node` first."""

    def __init__(
        self,
        *,
        enable_communication_interface: bool = True,
        callback_group: CallbackGroup | None = None,
    ) -> None:
        self._managed_entities: list[ManagedEntity] = []
        self._machine_lock = threading.RLock()
        self._current_state = UNCONFIGURED
        self._transition_event: Any = None
        if enable_communication_interface:
            self._start_interface(callback_group)

    def _start_interface(self: Any, group: CallbackGroup | None) -> None:
        self._transition_event = self.create_publisher(_Event, "~/transition_event", 10)
        for kind, name, callback in (
            ("ChangeState", "change_state", self._on_change_state),
            ("GetState", "get_state", self._on_get_state),
            ("GetAvailableStates", "get_available_states", self._on_get_states),
            ("GetAvailableTransitions", "get_available_transitions", self._on_get_transitions),
            ("GetAvailableTransitions", "get_transition_graph", self._on_get_graph),
        ):
            self.create_service(
                get_service(f"lifecycle_msgs/srv/{kind}"),
                f"~/{name}",
                callback,
                callback_group=group,
            )

    # What a node's author uses.

    def trigger_configure(self) -> TransitionCallbackReturn:
        """From unconfigured to inactive."""
        return self._change_state("configure")

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        """From inactive to unconfigured."""
        return self._change_state("cleanup")

    def trigger_activate(self) -> TransitionCallbackReturn:
        """From inactive to active."""
        return self._change_state("activate")

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        """From active to inactive."""
        return self._change_state("deactivate")

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """From any primary state to finalized."""
        return self._change_state("shutdown")

    def add_managed_entity(self, entity: ManagedEntity) -> None:
        """Tell this entity of every transition."""
        self._managed_entities.append(entity)

    def create_lifecycle_publisher(self: Any, *args: Any, **kwargs: Any) -> LifecyclePublisher:
        """As `Node.create_publisher`, silent unless the node is active."""
        publisher = self.create_publisher(*args, **kwargs, publisher_class=LifecyclePublisher)
        self._managed_entities.append(publisher)
        return publisher

    def destroy_lifecycle_publisher(self: Any, publisher: LifecyclePublisher) -> bool:
        """Remove a lifecycle publisher."""
        if publisher in self._managed_entities:
            self._managed_entities.remove(publisher)
        return self.destroy_publisher(publisher)

    def _tell_entities(self, callback: str, state: LifecycleState) -> TransitionCallbackReturn:
        for entity in list(self._managed_entities):
            answer = getattr(entity, callback)(state)
            if answer != _SUCCESS:
                return answer
        return _SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_configure", state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_cleanup", state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_shutdown", state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_activate", state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_deactivate", state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Override; call this one for the managed entities."""
        return self._tell_entities("on_error", state)

    # The machine.

    def _go(self: Any, wanted: int | str) -> LifecycleState:
        """Follow one edge; the state it started from."""
        with self._machine_lock:
            transition = find_transition(self._current_state, wanted)
            self._current_state = transition.goal
        if self._transition_event is not None:
            described = _describe(transition)
            event = _Event(
                timestamp=self.get_clock().now().nanoseconds,
                transition=described.transition,
                start_state=described.start_state,
                goal_state=described.goal_state,
            )
            # A node must be able to end its life when the network is gone already.
            with contextlib.suppress(InvalidHandle, NotInitializedException):
                self._transition_event.publish(event)
        return transition.start

    def _run_callback(self: Any, former: LifecycleState) -> TransitionCallbackReturn:
        name = CALLBACK_OF_STATE[self._current_state]
        try:
            answer = getattr(self, name)(former)
        except Exception:
            self.get_logger().error(f"{name} raised:\n{traceback.format_exc()}")
            return _ERROR
        if not isinstance(answer, TransitionCallbackReturn):
            self.get_logger().error(
                f"{name} returned {answer!r}; expected a TransitionCallbackReturn."
            )
            return _ERROR
        return answer

    def _change_state(self, wanted: int | str) -> TransitionCallbackReturn:
        former = self._go(wanted)
        answer = self._run_callback(former)
        self._go(answer.to_label())
        if answer == _ERROR:
            self._go(self._run_callback(former).to_label())
        return answer

    # The services.

    def _on_change_state(self: Any, request: Any, response: Any) -> Any:
        transition = request.transition
        wanted = transition.label if transition.label else transition.id
        try:
            response.success = self._change_state(wanted) == _SUCCESS
        except RCLError as error:
            self.get_logger().warning(f"change_state: {error}")
            response.success = False
        return response

    def _on_get_state(self, request: Any, response: Any) -> Any:
        response.current_state = _state_msg(self._current_state)
        return response

    def _on_get_states(self, request: Any, response: Any) -> Any:
        response.available_states = [_state_msg(state) for state in STATES]
        return response

    def _on_get_transitions(self, request: Any, response: Any) -> Any:
        response.available_transitions = [
            _describe(t) for t in transitions_from(self._current_state)
        ]
        return response

    def _on_get_graph(self, request: Any, response: Any) -> Any:
        response.available_transitions = [_describe(t) for t in TRANSITIONS]
        return response


class LifecycleNode(LifecycleNodeMixin, Node):
    """A node with a managed life."""

    def __init__(
        self, node_name: str, *, enable_communication_interface: bool = True, **options: Any
    ) -> None:
        Node.__init__(self, node_name, **options)
        LifecycleNodeMixin.__init__(
            self, enable_communication_interface=enable_communication_interface
        )
