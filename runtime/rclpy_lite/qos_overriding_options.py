"""Changing the QoS of a topic with parameters."""

from collections.abc import Callable, Iterable
from typing import Any

from rclpy_lite.duration import Duration
from rclpy_lite.exceptions import ParameterAlreadyDeclaredException
from rclpy_lite.messages import get_message
from rclpy_lite.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)

_ENUMS: dict[QoSPolicyKind, Any] = {
    QoSPolicyKind.HISTORY: HistoryPolicy,
    QoSPolicyKind.RELIABILITY: ReliabilityPolicy,
    QoSPolicyKind.DURABILITY: DurabilityPolicy,
    QoSPolicyKind.LIVELINESS: LivelinessPolicy,
}
_DURATIONS = (
    QoSPolicyKind.DEADLINE,
    QoSPolicyKind.LIFESPAN,
    QoSPolicyKind.LIVELINESS_LEASE_DURATION,
)


class InvalidQosOverridesError(Exception):
    """An override was refused by its callback or names an unknown policy value."""


class QoSOverridingOptions:
    """Which policies of a topic may be overridden."""

    def __init__(
        self,
        policy_kinds: Iterable[QoSPolicyKind],
        *,
        callback: Callable[[QoSProfile], Any] | None = None,
        entity_id: str | None = None,
    ) -> None:
        self._policy_kinds = tuple(policy_kinds)
        self._callback = callback
        self._entity_id = entity_id

    @property
    def policy_kinds(self) -> tuple[QoSPolicyKind, ...]:
        """Policies that may be overridden."""
        return self._policy_kinds

    @property
    def callback(self) -> Callable[[QoSProfile], Any] | None:
        """Gets the final profile and may refuse it."""
        return self._callback

    @property
    def entity_id(self) -> str | None:
        """Tells apart several publishers or subscriptions of one topic."""
        return self._entity_id

    @classmethod
    def with_default_policies(
        cls,
        *,
        callback: Callable[[QoSProfile], Any] | None = None,
        entity_id: str | None = None,
    ) -> "QoSOverridingOptions":
        """History, depth and reliability."""
        kinds = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY)
        return cls(kinds, callback=callback, entity_id=entity_id)


def _to_parameter(kind: QoSPolicyKind, value: Any) -> Any:
    if kind in _ENUMS:
        return _ENUMS[kind](value).short_key
    return value.nanoseconds if kind in _DURATIONS else value


def _from_parameter(kind: QoSPolicyKind, value: Any) -> Any:
    if kind in _ENUMS:
        enum = _ENUMS[kind]
        return enum(enum.get_from_short_key(value))
    return Duration(nanoseconds=value) if kind in _DURATIONS else value


def apply_overrides(
    node: Any, kind: str, topic: str, profile: QoSProfile, options: QoSOverridingOptions | None
) -> QoSProfile:
    """The profile with the values of ``qos_overrides.<topic>.<kind>.<policy>``.

    Raises:
        InvalidQosOverridesError: a value is unknown, or the callback refused the result.
    """
    if options is None:
        return profile
    suffix = f"_{options.entity_id}" if options.entity_id else ""
    made = profile.copy()
    descriptor = get_message("rcl_interfaces/msg/ParameterDescriptor")
    for policy in options.policy_kinds:
        field = policy.name.lower()
        name = f"qos_overrides.{topic}.{kind}{suffix}.{field}"
        described = descriptor(
            description=f"{field} of {kind} {{{options.entity_id or ''}}} on topic {{{topic}}}",
            read_only=True,
        )
        default = _to_parameter(policy, getattr(made, field))
        try:
            value = node.declare_parameter(name, default, described).value
        except ParameterAlreadyDeclaredException:
            value = node.get_parameter(name).value
        try:
            setattr(made, field, _from_parameter(policy, value))
        except ValueError as error:
            raise InvalidQosOverridesError(f"{name}: {error}") from error
    if options.callback is not None:
        result = options.callback(made)
        if not result.successful:
            raise InvalidQosOverridesError(f"{topic}: {result.reason}")
    return made
