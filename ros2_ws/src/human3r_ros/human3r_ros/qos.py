"""Every QoS profile with its reason, and what to say when two ends do not match."""

from collections.abc import Callable

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


def mismatch(publisher: QoSProfile, subscription: QoSProfile) -> str:
    """Why such a publisher does not reach such a subscription; empty when it does."""
    verdict, reason = qos_check_compatible(publisher, subscription)
    return reason.removeprefix("ERROR: ").strip(" ;") if verdict == QoSCompatibility.ERROR else ""


def in_words(profile: QoSProfile) -> str:
    """Reliability, and durability where it is not the usual one."""
    words = profile.reliability.name.lower().replace("_", " ")
    is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return f"{words}, transient local" if is_latched else words


def _mismatch(topic: str, ours: str, theirs: str, info) -> str:
    policy = _policy_name(info.last_policy_kind)
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
