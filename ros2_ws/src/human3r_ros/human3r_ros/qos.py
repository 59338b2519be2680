"""Every QoS profile with its reason, and what to say when two ends do not match."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from human3r.errors import ConfigError
from human3r_ros.commands.message_class import message_class

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble keeps them under the older name.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


def _profile(reliability: ReliabilityPolicy, durability: DurabilityPolicy, depth: int):
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability
    )


def _reliable(depth: int) -> QoSProfile:
    return _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, depth)


def image_input(depth: int) -> QoSProfile:
    """Cameras publish either way; best effort reads both and never holds a publisher back.

    Args:
        depth: 1 for the newest frame only; more where every frame counts.
    """
    return _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, depth)


CAMERA_INFO_INPUT = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 5)
"""Intrinsics are cached, so a lost one is made good by the next."""

TF_INPUT = _reliable(100)
TF_STATIC_INPUT = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 100)
"""As tf2's own listener, so that static transforms sent before our start arrive."""

HUMANS = _reliable(5)
"""Reliable serves reliable and best-effort readers; small, so a short history is cheap."""
STATUS = _reliable(10)
ODOMETRY = _reliable(10)
LATCHED = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1)
"""Sent once per activation; whoever comes later still gets it."""
DIAGNOSTICS = _reliable(10)
LARGE = _reliable(1)
"""Images and clouds: depth 1 keeps a slow reader from holding old ones."""


def overridable() -> QoSOverridingOptions:
    """Lets the integrator change these policies by parameter, without a build.

    On Wi-Fi a reliable cloud with one slow reader can throttle all readers.
    """
    return QoSOverridingOptions(
        [
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
        ]
    )


_QOS_WORDS = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default"),
    "durability": ("volatile", "transient_local", "system_default"),
}


def check_overrides(parameters: Mapping[str, Any]) -> None:
    """Refuse policies that the client library would refuse only when the topic is opened.

    Args:
        parameters: name below qos_overrides to value.

    Raises:
        ConfigError: a policy or a value that there is not.
    """
    for name, value in parameters.items():
        policy = name.rpartition(".")[2]
        words = _QOS_WORDS.get(policy, ())
        is_depth = policy == "depth" and isinstance(value, int) and not isinstance(value, bool)
        if not (value in words or (is_depth and value >= 1)):
            expected = " or ".join(words) or "a whole number from 1"
            if policy not in (*_QOS_WORDS, "depth"):
                expected = f"one of the policies {', '.join((*_QOS_WORDS, 'depth'))}"
            raise ConfigError(
                f"qos_overrides.{name} is {value!r}; expected {expected}. Correct the parameter."
            )


def publisher_events(topic: str, warn: Callable[[str], None]) -> PublisherEventCallbacks:
    """Event callbacks that explain an incompatible reader of ``topic``."""
    return PublisherEventCallbacks(
        incompatible_qos=lambda info: warn(_mismatch(topic, "publisher", "reader", info))
    )


def subscription_events(topic: str, warn: Callable[[str], None]) -> SubscriptionEventCallbacks:
    """Event callbacks that explain an incompatible publisher of ``topic``."""
    return SubscriptionEventCallbacks(
        incompatible_qos=lambda info: warn(_mismatch(topic, "subscription", "publisher", info))
    )


def no_events() -> SubscriptionEventCallbacks:
    """For a subscription beside another that explains what does not match."""
    return SubscriptionEventCallbacks(use_default_callbacks=False)


def mismatch(publisher: QoSProfile, subscription: QoSProfile) -> str:
    """Why such a publisher does not reach such a subscription; empty when it does."""
    verdict, reason = qos_check_compatible(publisher, subscription)
    return reason.removeprefix("ERROR: ").strip(" ;") if verdict == QoSCompatibility.ERROR else ""


def other_definition(ours: Any, theirs: Any) -> str:
    """Why two ends of a topic do not understand each other: another type, or another version of it.

    Args:
        ours: endpoint of this node, as ``get_publishers_info_by_topic`` and its like give it.
        theirs: endpoint of the other one.

    Returns:
        Empty where the definitions agree, or one of them is not told, as on Humble.
    """
    if ours.topic_type != theirs.topic_type:
        return (
            f"has the topic as {theirs.topic_type}; expected {ours.topic_type}, so it and this "
            "node exchange nothing. Remap one of the two."
        )
    hashes = [_type_hash(end) for end in (ours, theirs)]
    if not all(hashes) or hashes[0] == hashes[1]:
        return ""
    fields = message_class(ours.topic_type).get_fields_and_field_types()
    listed = ", ".join(f"{name} ({kind})" for name, kind in fields.items())
    return (
        f"has another definition of {ours.topic_type}, so what it gets or sends cannot be read. "
        f"Expected one definition at both ends; here the fields are {listed}. Build both with one "
        f"version of {ours.topic_type.partition('/')[0]}."
    )


def _type_hash(endpoint: Any) -> str:
    """RIHS01 text; empty where the endpoint does not tell. Jazzy has an object for it."""
    text = str(getattr(endpoint, "topic_type_hash", ""))
    return text if text.startswith("RIHS01_") and text[7:].strip("0") else ""


def in_words(profile: QoSProfile) -> str:
    """Reliability, and durability where it is not the usual one."""
    words = profile.reliability.name.lower().replace("_", " ")
    is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return f"{words}, transient local" if is_latched else words


def _mismatch(topic: str, ours: str, theirs: str, info) -> str:
    policy = _policy_name(info.last_policy_kind)
    if policy == "invalid":
        # What DDS says where QoS is not the reason.
        return (
            f"{topic}: a {theirs} with another type, or another definition of the same type, was "
            "found; it and this node exchange nothing. Expected the same message. Compare the "
            f"types in `ros2 topic info -v {topic}`, and build both ends with one version of the "
            "message package."
        )
    return (
        f"{topic}: a {theirs} with an incompatible {policy} policy was found; it and this node "
        f"exchange nothing. Expected matching {policy}. Change that {theirs}, or start this node "
        f"with parameter qos_overrides.{topic}.{ours}.{policy}."
    )


def _policy_name(kind) -> str:
    try:
        return QoSPolicyKind(int(kind)).name.lower()
    except ValueError:
        return f"QoS (kind {int(kind)})"
