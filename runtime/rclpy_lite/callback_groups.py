"""Which callbacks may run at the same time."""

import threading
import weakref
from typing import Any


class CallbackGroup:
    """Base of the groups."""

    def __init__(self) -> None:
        self._entities: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()

    def add_entity(self, entity: Any) -> None:
        """Put an entity into the group."""
        self._entities.add(entity)

    def has_entity(self, entity: Any) -> bool:
        """True when the entity belongs to the group."""
        return entity in self._entities

    def can_execute(self, entity: Any) -> bool:
        """True when the entity's callback may start now."""
        raise NotImplementedError

    def beginning_execution(self, entity: Any) -> bool:
        """Claim the right to run; False when that is not possible now."""
        raise NotImplementedError

    def ending_execution(self, entity: Any) -> None:
        """Give the right back."""
        raise NotImplementedError


class ReentrantCallbackGroup(CallbackGroup):
    """Everything may run at any time, the same callback twice included."""

    def can_execute(self, entity: Any) -> bool:
        """True."""
        return True

    def beginning_execution(self, entity: Any) -> bool:
        """True."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """Nothing to give back."""


class MutuallyExclusiveCallbackGroup(CallbackGroup):
    """One callback at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._active: Any = None

    def can_execute(self, entity: Any) -> bool:
        """True while nothing of the group runs."""
        return self._active is None

    def beginning_execution(self, entity: Any) -> bool:
        """Claim the group."""
        with self._lock:
            if self._active is not None:
                return False
            self._active = entity
            return True

    def ending_execution(self, entity: Any) -> None:
        """Free the group."""
        with self._lock:
            self._active = None
